"""Metrics: gaps, regrets, welfare, rankings."""

from gamejax.metrics._gaps import exploitability as exploitability
from gamejax.metrics._gaps import gains as gains
from gamejax.metrics._gaps import nash_conv as nash_conv
from gamejax.metrics._gaps import nash_gap as nash_gap
from gamejax.metrics._gaps import coarse_correlated_gains as coarse_correlated_gains
from gamejax.metrics._gaps import coarse_correlated_gap as coarse_correlated_gap

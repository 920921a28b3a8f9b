"""Metrics: gaps, regrets, welfare, rankings."""

from gamejax.metrics._alpha_rank import alpha_rank as alpha_rank
from gamejax.metrics._correlated import coarse_correlated_gains as coarse_correlated_gains
from gamejax.metrics._correlated import coarse_correlated_gap as coarse_correlated_gap
from gamejax.metrics._correlated import correlated_gains as correlated_gains
from gamejax.metrics._correlated import correlated_gap as correlated_gap
from gamejax.metrics._correlated import internal_gains as internal_gains
from gamejax.metrics._correlated import internal_gap as internal_gap
from gamejax.metrics._gaps import exploitability as exploitability
from gamejax.metrics._gaps import first_order_gap as first_order_gap
from gamejax.metrics._gaps import gains as gains
from gamejax.metrics._gaps import nash_conv as nash_conv
from gamejax.metrics._gaps import nash_gap as nash_gap
from gamejax.metrics._gaps import well_supported_gains as well_supported_gains
from gamejax.metrics._gaps import well_supported_gap as well_supported_gap
from gamejax.metrics._nash_averaging import NashAverage as NashAverage
from gamejax.metrics._nash_averaging import nash_averaging as nash_averaging
from gamejax.metrics._regret import external_regret as external_regret
from gamejax.metrics._regret import internal_regret as internal_regret
from gamejax.metrics._regret import regret as regret
from gamejax.metrics._regret import swap_regret as swap_regret
from gamejax.metrics._welfare import kl as kl
from gamejax.metrics._welfare import price_of_anarchy as price_of_anarchy
from gamejax.metrics._welfare import welfare as welfare

"""Pictures of runs; needs matplotlib (`pip install 'gamejax[plot]'`). Each returns its axes."""

from gamejax.plot._base import COLORS as COLORS
from gamejax.plot._calibration import reliability as reliability
from gamejax.plot._calibration import truthfulness as truthfulness
from gamejax.plot._runs import branch as branch
from gamejax.plot._runs import gaps as gaps
from gamejax.plot._runs import simplex as simplex

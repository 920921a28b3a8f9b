"""Pictures of runs; needs matplotlib (`pip install 'gamejax[plot]'`). Each returns its axes."""

from gamejax.plot._base import COLORS as COLORS
from gamejax.plot._calibration import reliability as reliability
from gamejax.plot._calibration import truthfulness as truthfulness
from gamejax.plot._curves import regret as regret
from gamejax.plot._curves import samples as samples
from gamejax.plot._extensive import game_tree as game_tree
from gamejax.plot._paths import simplex as simplex
from gamejax.plot._paths import square as square
from gamejax.plot._runs import branch as branch
from gamejax.plot._runs import gaps as gaps

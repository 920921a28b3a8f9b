"""Extensive-form games: trees with chance and hidden information."""

from gamejax.extensive._cfr import cfr as cfr
from gamejax.extensive._cfr import cfr_plus as cfr_plus
from gamejax.extensive._cfr import discounted_cfr as discounted_cfr
from gamejax.extensive._cfr import linear_cfr as linear_cfr
from gamejax.extensive._cfr import predictive_cfr_plus as predictive_cfr_plus
from gamejax.extensive._form import RecallError as RecallError
from gamejax.extensive._form import SequenceForm as SequenceForm
from gamejax.extensive._form import sequence_form as sequence_form
from gamejax.extensive._game import SequenceFormGame as SequenceFormGame
from gamejax.extensive._game import compile_tree as compile_tree
from gamejax.extensive._game import from_history as from_history
from gamejax.extensive._history import History as History
from gamejax.extensive._history import walk as walk
from gamejax.extensive._rules import chance as chance
from gamejax.extensive._rules import decide as decide
from gamejax.extensive._rules import terminal as terminal

"""Extensive-form games: trees with chance and hidden information."""

from gamejax.extensive import library as library
from gamejax.extensive._agent import AgentFormGame as AgentFormGame
from gamejax.extensive._agent import agent_form as agent_form
from gamejax.extensive._cfr import cfr as cfr
from gamejax.extensive._cfr import cfr_plus as cfr_plus
from gamejax.extensive._cfr import discounted_cfr as discounted_cfr
from gamejax.extensive._cfr import linear_cfr as linear_cfr
from gamejax.extensive._cfr import predictive_cfr_plus as predictive_cfr_plus
from gamejax.extensive._conversions import Response as Response
from gamejax.extensive._conversions import behaviors as behaviors
from gamejax.extensive._conversions import best_response as best_response
from gamejax.extensive._conversions import mixed_strategy as mixed_strategy
from gamejax.extensive._conversions import num_reduced_plans as num_reduced_plans
from gamejax.extensive._conversions import realization_plans as realization_plans
from gamejax.extensive._conversions import realized_plan as realized_plan
from gamejax.extensive._conversions import reduced_normal_form as reduced_normal_form
from gamejax.extensive._conversions import reduced_plans as reduced_plans
from gamejax.extensive._correlation import Triggers as Triggers
from gamejax.extensive._correlation import (
    extensive_coarse_correlated_gains as extensive_coarse_correlated_gains,
)
from gamejax.extensive._correlation import (
    extensive_coarse_correlated_gap as extensive_coarse_correlated_gap,
)
from gamejax.extensive._correlation import extensive_correlated_gains as extensive_correlated_gains
from gamejax.extensive._correlation import extensive_correlated_gap as extensive_correlated_gap
from gamejax.extensive._correlation import trigger_gains as trigger_gains
from gamejax.extensive._form import RecallError as RecallError
from gamejax.extensive._form import SequenceForm as SequenceForm
from gamejax.extensive._form import sequence_form as sequence_form
from gamejax.extensive._game import SequenceFormGame as SequenceFormGame
from gamejax.extensive._game import compile_tree as compile_tree
from gamejax.extensive._game import from_history as from_history
from gamejax.extensive._history import History as History
from gamejax.extensive._history import walk as walk
from gamejax.extensive._imperfect_recall import ImperfectRecallGame as ImperfectRecallGame
from gamejax.extensive._interop import from_open_spiel as from_open_spiel
from gamejax.extensive._interop import from_pygambit as from_pygambit
from gamejax.extensive._merged import Merged as Merged
from gamejax.extensive._merging import merged_form as merged_form
from gamejax.extensive._recall import Forgotten as Forgotten
from gamejax.extensive._recall import forgotten as forgotten
from gamejax.extensive._rules import chance as chance
from gamejax.extensive._rules import decide as decide
from gamejax.extensive._rules import terminal as terminal
from gamejax.extensive._sampled import SampledGame as SampledGame
from gamejax.extensive._sampled import sampled as sampled
from gamejax.extensive._sequential import Assessment as Assessment
from gamejax.extensive._sequential import beliefs as beliefs
from gamejax.extensive._sequential import node_probabilities as node_probabilities
from gamejax.extensive._sequential import sequential_equilibrium as sequential_equilibrium

"""Learners: how one player moves on."""

from gamejax.learners._adahedge import AdaHedge as AdaHedge
from gamejax.learners._base import AbstractLearner as AbstractLearner
from gamejax.learners._best_response import BestResponse as BestResponse
from gamejax.learners._best_response import SmoothBestResponse as SmoothBestResponse
from gamejax.learners._counterfactual import Counterfactual as Counterfactual
from gamejax.learners._ftrl import FollowTheRegularizedLeader as FollowTheRegularizedLeader
from gamejax.learners._gradient import GradientAscent as GradientAscent
from gamejax.learners._hedge import Hedge as Hedge
from gamejax.learners._index import UCB as UCB
from gamejax.learners._index import AbstractIndexPolicy as AbstractIndexPolicy
from gamejax.learners._internal_regret import HartMasColell as HartMasColell
from gamejax.learners._internal_regret import StoltzLugosi as StoltzLugosi
from gamejax.learners._mirror_descent import MagneticMirrorDescent as MagneticMirrorDescent
from gamejax.learners._mirror_descent import MirrorDescent as MirrorDescent
from gamejax.learners._regret_matching import DiscountedRegretMatching as DiscountedRegretMatching
from gamejax.learners._regret_matching import (
    PredictiveRegretMatchingPlus as PredictiveRegretMatchingPlus,
)
from gamejax.learners._regret_matching import RegretMatching as RegretMatching
from gamejax.learners._regret_matching import RegretMatchingPlus as RegretMatchingPlus
from gamejax.learners._regret_matching import (
    SmoothPredictiveRegretMatchingPlus as SmoothPredictiveRegretMatchingPlus,
)
from gamejax.learners._replicator import ProjectedReplicator as ProjectedReplicator
from gamejax.learners._replicator import Replicator as Replicator
from gamejax.learners._sign_change import SignChange as SignChange
from gamejax.learners._swap import BlumMansour as BlumMansour
from gamejax.learners._tree_swap import TreeSwap as TreeSwap
from gamejax.learners._wrappers import Every as Every

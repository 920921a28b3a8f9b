"""Learners: how one player moves on."""

from gamejax.learners._base import AbstractLearner as AbstractLearner
from gamejax.learners._hedge import Hedge as Hedge
from gamejax.learners._regret_matching import DiscountedRegretMatching as DiscountedRegretMatching
from gamejax.learners._regret_matching import (
    PredictiveRegretMatchingPlus as PredictiveRegretMatchingPlus,
)
from gamejax.learners._regret_matching import RegretMatching as RegretMatching
from gamejax.learners._regret_matching import RegretMatchingPlus as RegretMatchingPlus
from gamejax.learners._regret_matching import (
    SmoothPredictiveRegretMatchingPlus as SmoothPredictiveRegretMatchingPlus,
)

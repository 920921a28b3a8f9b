"""Feedback: how much of its gain does a player see?"""

from gamejax.feedback._base import AbstractFeedback as AbstractFeedback
from gamejax.feedback._base import Feedback as Feedback
from gamejax.feedback._base import FullInformation as FullInformation
from gamejax.feedback._estimators import AbstractEstimator as AbstractEstimator
from gamejax.feedback._estimators import ImplicitExploration as ImplicitExploration
from gamejax.feedback._estimators import ImportanceWeighting as ImportanceWeighting
from gamejax.feedback._estimators import OptimisticWeighting as OptimisticWeighting
from gamejax.feedback._estimators import ReducedVariance as ReducedVariance
from gamejax.feedback._sampled import AbstractSampledFeedback as AbstractSampledFeedback
from gamejax.feedback._sampled import BanditFeedback as BanditFeedback
from gamejax.feedback._sampled import SemiBanditFeedback as SemiBanditFeedback
from gamejax.feedback._wrappers import Delayed as Delayed
from gamejax.feedback._wrappers import Partial as Partial

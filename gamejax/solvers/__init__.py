"""Solvers: how all players move together."""

from gamejax.solvers._averaging import AbstractAveraging as AbstractAveraging
from gamejax.solvers._averaging import Best as Best
from gamejax.solvers._averaging import Last as Last
from gamejax.solvers._averaging import Linear as Linear
from gamejax.solvers._averaging import Power as Power
from gamejax.solvers._averaging import Quadratic as Quadratic
from gamejax.solvers._averaging import Uniform as Uniform
from gamejax.solvers._base import AbstractSolver as AbstractSolver
from gamejax.solvers._clairvoyant import ClairvoyantHedge as ClairvoyantHedge
from gamejax.solvers._correlated import CorrelatedEquilibrium as CorrelatedEquilibrium
from gamejax.solvers._default import default_solver as default_solver
from gamejax.solvers._extragradient import Extragradient as Extragradient
from gamejax.solvers._extragradient import MirrorProx as MirrorProx
from gamejax.solvers._extragradient import OptimisticGradient as OptimisticGradient
from gamejax.solvers._extragradient_rm import (
    ExtragradientRegretMatchingPlus as ExtragradientRegretMatchingPlus,
)
from gamejax.solvers._fictitious_play import FictitiousPlay as FictitiousPlay
from gamejax.solvers._gradient_play import LOLA as LOLA
from gamejax.solvers._gradient_play import AbstractGradientPlay as AbstractGradientPlay
from gamejax.solvers._gradient_play import CompetitiveGradient as CompetitiveGradient
from gamejax.solvers._gradient_play import ConsensusOptimization as ConsensusOptimization
from gamejax.solvers._gradient_play import StackelbergGradient as StackelbergGradient
from gamejax.solvers._gradient_play import (
    SymplecticGradientAdjustment as SymplecticGradientAdjustment,
)
from gamejax.solvers._lemke_howson import LemkeHowson as LemkeHowson
from gamejax.solvers._logit import LogitEquilibrium as LogitEquilibrium
from gamejax.solvers._logit_homotopy import BranchPoint as BranchPoint
from gamejax.solvers._logit_homotopy import LogitHomotopy as LogitHomotopy
from gamejax.solvers._logit_homotopy import branch_point as branch_point
from gamejax.solvers._multi_start import MultiStart as MultiStart
from gamejax.solvers._polished import Polished as Polished
from gamejax.solvers._self_play import SelfPlay as SelfPlay
from gamejax.solvers._simplex_method import SimplexMethod as SimplexMethod
from gamejax.solvers._smooth_homotopy import SmoothHomotopy as SmoothHomotopy
from gamejax.solvers._subsampled import SubsampledGame as SubsampledGame
from gamejax.solvers._support_enumeration import SupportEnumeration as SupportEnumeration

"""Solvers: how all players move together."""

from gamejax.solvers._averaging import AbstractAveraging as AbstractAveraging
from gamejax.solvers._averaging import Best as Best
from gamejax.solvers._averaging import Last as Last
from gamejax.solvers._averaging import Linear as Linear
from gamejax.solvers._averaging import Power as Power
from gamejax.solvers._averaging import Quadratic as Quadratic
from gamejax.solvers._averaging import Uniform as Uniform
from gamejax.solvers._base import AbstractSolver as AbstractSolver
from gamejax.solvers._default import default_solver as default_solver
from gamejax.solvers._multi_start import MultiStart as MultiStart
from gamejax.solvers._self_play import SelfPlay as SelfPlay

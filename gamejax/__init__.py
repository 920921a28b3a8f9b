"""gamejax: batched, differentiable, certified game solving in JAX."""

from gamejax import bandits as bandits
from gamejax import calibration as calibration
from gamejax import extensive as extensive
from gamejax import feedback as feedback
from gamejax import games as games
from gamejax import learners as learners
from gamejax import metrics as metrics
from gamejax import multidistribution as multidistribution
from gamejax import regularizers as regularizers
from gamejax import sets as sets
from gamejax import solvers as solvers
from gamejax._adjoint import Implicit as Implicit
from gamejax._adjoint import Unrolled as Unrolled
from gamejax._batch import Checkpoint as Checkpoint
from gamejax._batch import solve_batch as solve_batch
from gamejax._citation import citation as citation
from gamejax._equilibria import Equilibria as Equilibria
from gamejax._equilibria import equilibria as equilibria
from gamejax._equilibria import value as value
from gamejax._export import AbstractResult as AbstractResult
from gamejax._joint import Joint as Joint
from gamejax._joint import Sparse as Sparse
from gamejax._solution import RESULTS as RESULTS
from gamejax._solution import Solution as Solution
from gamejax._solution import Trajectory as Trajectory
from gamejax._solve import Record as Record
from gamejax._solve import play as play
from gamejax._solve import solve as solve
from gamejax.solvers import default_solver as default_solver

__version__ = "0.1.0"

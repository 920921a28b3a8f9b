"""Which solver a game gets when the user names none."""

from gamejax.games import AbstractGame, MatrixGame
from gamejax.learners import PredictiveRegretMatchingPlus
from gamejax.sets import Simplex
from gamejax.solvers._averaging import Quadratic
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._extragradient import Extragradient
from gamejax.solvers._multi_start import MultiStart
from gamejax.solvers._self_play import SelfPlay


def default_solver(game: AbstractGame) -> AbstractSolver:
    """A good solver for this kind of game.

    Zero-sum matrix games: alternating predictive regret matching+ with quadratic averaging, which
    converges in all of them. Other games: the same from eight starts, after a look at the pure
    profiles, the best certificate kept; it may stop short of an equilibrium, and says so. Games on
    other sets than simplices (capped ones, boxes, balls, trees of them): extragradient.

    References:
        farina2021, korpelevich1976.
    """
    if not all(isinstance(s, Simplex) for s in game.strategy_sets):
        return Extragradient()
    fast = SelfPlay(PredictiveRegretMatchingPlus(), averaging=Quadratic(), alternating=True)
    return fast if isinstance(game, MatrixGame) else MultiStart(fast)

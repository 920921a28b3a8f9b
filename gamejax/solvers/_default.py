"""Which solver a game gets when the user names none."""

import math

from gamejax.games import AbstractGame, MatrixGame
from gamejax.learners import PredictiveRegretMatchingPlus
from gamejax.sets import Simplex
from gamejax.solvers._averaging import Quadratic
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._extragradient import Extragradient
from gamejax.solvers._logit_homotopy import LogitHomotopy
from gamejax.solvers._multi_start import MultiStart
from gamejax.solvers._self_play import SelfPlay

MOST_UNKNOWNS = 400
"""Beyond, one step of the logit homotopy takes longer than thousands of regret matching."""


def default_solver(game: AbstractGame) -> AbstractSolver:
    """A good solver for this kind of game.

    Zero-sum matrix games: alternating predictive regret matching+ with quadratic averaging, which
    converges in all of them. Other games: the logit homotopy, which almost always ends at an
    equilibrium; where the players have more than 400 actions together, regret matching from eight
    starts instead, after a look at the pure profiles, the best certificate kept: it may stop short
    of an equilibrium, and says so. Games on other sets than simplices (capped ones, boxes, balls,
    trees of them): extragradient.

    References:
        farina2021, turocy2005, korpelevich1976.
    """
    if not all(isinstance(s, Simplex) for s in game.strategy_sets):
        return Extragradient()
    fast = SelfPlay(PredictiveRegretMatchingPlus(), averaging=Quadratic(), alternating=True)
    if isinstance(game, MatrixGame):
        return fast
    # The homotopy's linear systems have about so many unknowns.
    size = sum(math.prod(s.shape) for s in game.strategy_sets)
    return LogitHomotopy() if size <= MOST_UNKNOWNS else MultiStart(fast)

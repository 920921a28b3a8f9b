"""Which solver a game gets when the user names none."""

import math

from gamejax.games import AbstractGame, MatrixGame
from gamejax.learners import PredictiveRegretMatchingPlus
from gamejax.sets import Simplex, Treeplex
from gamejax.solvers._averaging import Quadratic
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._extragradient import Extragradient
from gamejax.solvers._logit_homotopy import LogitHomotopy
from gamejax.solvers._multi_start import MultiStart
from gamejax.solvers._self_play import SelfPlay
from gamejax.solvers._simplex_method import SimplexMethod

MOST_UNKNOWNS = 100
"""Beyond, one step of the logit homotopy takes longer than thousands of regret matching."""

MOST_PIVOTED = 64
"""Up to so many actions the simplex method is faster than regret matching to a gap of 1e-3."""


def default_solver(game: AbstractGame) -> AbstractSolver:
    """A good solver for this kind of game.

    Zero-sum matrix games: the simplex method, exact, up to 64 actions each; beyond, alternating
    predictive regret matching+ with quadratic averaging, which converges in all of them. Other
    games: the logit homotopy, which almost always ends at an equilibrium; where the players have
    more than 100 actions together, regret matching from eight starts instead, after a look at the
    pure profiles, the best certificate kept: it may stop short of an equilibrium, and says so.
    Game trees: discounted counterfactual regret minimization, which converges in two-player
    zero-sum ones and may stop short in others. Games on other sets than simplices (capped ones,
    boxes, balls): extragradient.

    References:
        dantzig1951, farina2021, turocy2005, brown2019, korpelevich1976.
    """
    game.check()
    if all(isinstance(s, Treeplex) for s in game.strategy_sets):
        from gamejax.extensive import discounted_cfr  # it imports this package

        return discounted_cfr()
    if not all(isinstance(s, Simplex) for s in game.strategy_sets):
        return Extragradient()
    fast = SelfPlay(PredictiveRegretMatchingPlus(), averaging=Quadratic(), alternating=True)
    if isinstance(game, MatrixGame):
        pivoting = max(game.payoff.shape[-2:]) <= MOST_PIVOTED
        return SimplexMethod() if pivoting else fast
    # The homotopy's linear systems have about so many unknowns.
    size = sum(math.prod(s.shape) for s in game.strategy_sets)
    return LogitHomotopy() if size <= MOST_UNKNOWNS else MultiStart(fast)

"""What a user writes today around packages that solve one game a call: a loop over games.

Packages are imported in the functions and nothing here imports jax, so that a fresh process
starts quickly. Every loop takes float64 payoffs and returns profiles of shape `(games, 2, n)`.
"""

import atexit
import contextlib
import functools
import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

Loop = Callable[[np.ndarray], np.ndarray]


def highs(payoffs: np.ndarray) -> np.ndarray:
    """One linear program of SciPy's HiGHS per game; its multipliers are the other strategy."""
    from scipy.optimize import linprog

    _, n, k = payoffs.shape
    cost, one = np.append(np.zeros(n), -1.0), np.append(np.ones(n), 0.0)[None]
    bounds = [(0, None)] * n + [(None, None)]
    profiles = []
    for payoff in payoffs:
        above = np.column_stack([-payoff.T, np.ones(k)])
        found = linprog(cost, above, np.zeros(k), one, np.ones(1), bounds, method="highs")
        profiles.append([found.x[:n], -found.ineqlin.marginals])
    return np.asarray(profiles)


def nashpy(payoffs: np.ndarray) -> np.ndarray:
    """Nashpy's `linear_program`."""
    nashpy = importlib.import_module("nashpy")

    return np.asarray([nashpy.Game(payoff).linear_program() for payoff in payoffs])


def pygambit(payoffs: np.ndarray) -> np.ndarray:
    """Gambit's linear program in floating point, the construction of the game included."""
    gambit = importlib.import_module("pygambit")
    profiles = []
    for a in payoffs:
        found = gambit.nash.lp_solve(gambit.Game.from_arrays(a, -a), rational=False)
        profiles.append(_of_gambit(found))
    return np.asarray(profiles)


def open_spiel(payoffs: np.ndarray) -> np.ndarray:
    """OpenSpiel's linear program."""
    pyspiel = importlib.import_module("pyspiel")
    lp_solver = importlib.import_module("open_spiel.python.algorithms.lp_solver")

    games = [pyspiel.create_matrix_game(a.tolist(), (-a).tolist()) for a in payoffs]
    found = [lp_solver.solve_zero_sum_matrix_game(game)[:2] for game in games]
    return np.asarray(found).reshape(len(payoffs), 2, -1)


def quantecon_bimatrix(payoffs: np.ndarray) -> np.ndarray:
    """The `lemke_howson` of quantecon as it is called; `payoffs` is `(games, 2, n, n)`."""
    import quantecon.game_theory as gt  # pyright: ignore[reportMissingImports]

    profiles = np.empty(payoffs.shape[:3])
    for profile, (a, b) in zip(profiles, payoffs, strict=True):
        players = gt.Player(a), gt.Player(np.ascontiguousarray(b.T))
        profile[:] = gt.lemke_howson(gt.NormalFormGame(players), init_pivot=0)
    return profiles


def nashpy_bimatrix(payoffs: np.ndarray) -> np.ndarray:
    """Nashpy's `lemke_howson` from label 0; `payoffs` is `(games, 2, n, n)`.

    Its integer pivoting overflows in some 8 x 8 games and would never end there: no answer.
    """
    nashpy = importlib.import_module("nashpy")

    profiles = np.full(payoffs.shape[:3], np.nan)
    for profile, (a, b) in zip(profiles, payoffs, strict=True):
        with np.errstate(over="raise", invalid="raise"), contextlib.suppress(FloatingPointError):
            profile[:] = nashpy.Game(a, b).lemke_howson(initial_dropped_label=0)
    return profiles


def pygambit_bimatrix(payoffs: np.ndarray) -> np.ndarray:
    """Gambit's `lcp_solve` in floating point, up to the first equilibrium."""
    gambit = importlib.import_module("pygambit")
    profiles = []
    for a, b in payoffs:
        game = gambit.Game.from_arrays(a, b)
        profiles.append(_of_gambit(gambit.nash.lcp_solve(game, rational=False, stop_after=1)))
    return np.asarray(profiles)


def coarse_any(payoffs: np.ndarray) -> np.ndarray:
    """A coarse correlated equilibrium of each game by HiGHS; `payoffs` `(games, players, ...)`."""
    return np.asarray([_coarse(u, np.zeros(u[0].size)) for u in payoffs])


def coarse_welfare(payoffs: np.ndarray) -> np.ndarray:
    """The coarse correlated equilibrium of largest total payoff of each game by HiGHS."""
    return np.asarray([_coarse(u, -u.sum(0).ravel()) for u in payoffs])


def _coarse(payoffs: np.ndarray, cost: np.ndarray) -> np.ndarray:
    from scipy.optimize import linprog

    gains = [
        (np.take(u, [action], axis=i) - u).ravel()
        for i, u in enumerate(payoffs)
        for action in range(u.shape[i])
    ]
    total = np.ones((1, cost.size))
    found = linprog(cost, np.asarray(gains), np.zeros(len(gains)), total, [1.0], method="highs")
    return found.x.reshape(payoffs.shape[1:])


def _of_gambit(found: Any) -> list[list[float]]:
    """The first profile of a result of Gambit."""
    (profile, *_) = found.equilibria
    return [[float(p) for _, p in strategy] for _, strategy in profile.mixed_strategies()]


def over_cores(loop: Loop, payoffs: np.ndarray, cores: int) -> np.ndarray:
    """The loop over all games, in one process per core where there are several."""
    if cores == 1 or len(payoffs) < cores:
        return loop(payoffs)
    parts = np.array_split(payoffs, cores)
    return np.concatenate(list(_pool(cores).map(loop, parts)))


@functools.cache
def _pool(cores: int) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn"))
    atexit.register(pool.shutdown, cancel_futures=True)
    return pool

"""Compiled loops over games: quantecon's solvers and self-play by hand, spread by `prange`."""

import importlib
from typing import Any

import numpy as np

numba: Any = importlib.import_module("numba")
_lemke_howson: Any = importlib.import_module("quantecon.game_theory.lemke_howson")
_get_mixed_actions = _lemke_howson._get_mixed_actions
_lemke_howson_capping = _lemke_howson._lemke_howson_capping
minmax = importlib.import_module("quantecon.optimize.minmax").minmax


@numba.njit(parallel=True)
def quantecon_minmax(payoffs: np.ndarray) -> np.ndarray:
    """`minmax` of every game, shape `(games, 2, n)`."""
    games, n, _ = payoffs.shape
    profiles = np.empty((games, 2, n))
    for g in numba.prange(games):
        _, profiles[g, 0], profiles[g, 1] = minmax(payoffs[g])
    return profiles


@numba.njit(parallel=True)
def quantecon_lemke_howson(payoffs: np.ndarray) -> np.ndarray:
    """`lemke_howson` of every game from label 0; `payoffs` is `(games, 2, n, n)`."""
    games, _, n, _ = payoffs.shape
    profiles = np.empty((games, 2, n))
    most = 10**6
    for g in numba.prange(games):
        # As the package keeps them: each player's own actions first.
        own = (payoffs[g, 0], np.ascontiguousarray(payoffs[g, 1].T))
        tableaux = (np.empty((n, 2 * n + 1)), np.empty((n, 2 * n + 1)))
        bases = (np.empty(n, np.int64), np.empty(n, np.int64))
        _lemke_howson_capping(own, tableaux, bases, 0, most, most)
        profiles[g, 0], profiles[g, 1] = _get_mixed_actions(tableaux, bases)
    return profiles


@numba.njit(fastmath=True)
def _learn(
    learner: int, rate: float, utility: np.ndarray, strategy: np.ndarray, memory: np.ndarray
) -> None:
    """One learner sees the utilities of the round and moves on, in place."""
    n = len(strategy)
    if learner == 0:
        top = memory[0] + utility[0]
        for i in range(n):
            memory[i] += utility[i]
            top = max(top, memory[i])
        for i in range(n):
            strategy[i] = np.exp(rate * (memory[i] - top))
    else:
        value = strategy[0] * utility[0]
        for i in range(1, n):
            value += strategy[i] * utility[i]
        for i in range(n):
            regret = utility[i] - value
            memory[i] = max(memory[i] + regret, memory[i] - memory[i])
            ahead = memory[i] + regret if learner == 2 else memory[i]
            strategy[i] = max(ahead, memory[i] - memory[i])
    total = strategy[0]
    for i in range(1, n):
        total += strategy[i]
    for i in range(n):
        strategy[i] = strategy[i] / total if total > 0 else 1 / n


@numba.njit(parallel=True, fastmath=True)
def self_play(payoffs: np.ndarray, learner: int, steps: int, rate: float) -> np.ndarray:
    """Uniform averages of simultaneous self-play, one game after another in each thread."""
    games, n, _ = payoffs.shape
    averages = np.zeros((games, 2, n), payoffs.dtype)
    for g in numba.prange(games):
        payoff, transposed = payoffs[g], payoffs[g].T.copy()
        x, y = np.full(n, 1 / n, payoffs.dtype), np.full(n, 1 / n, payoffs.dtype)
        u, v = np.empty_like(x), np.empty_like(x)
        memories = np.zeros((2, n), payoffs.dtype)
        for _ in range(steps):
            for i in range(n):
                averages[g, 0, i] += x[i]
                averages[g, 1, i] += y[i]
            for i in range(n):
                gain, loss = x[0] - x[0], x[0] - x[0]
                for j in range(n):
                    gain += payoff[i, j] * y[j]
                    loss += transposed[i, j] * x[j]
                u[i], v[i] = gain, -loss
            _learn(learner, rate, u, x, memories[0])
            _learn(learner, rate, v, y, memories[1])
        averages[g] /= steps
    return averages

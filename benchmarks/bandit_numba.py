"""Bernoulli bandits as one would write them without gamejax, in numba: see `bandit_loops`.

One copy after the other on each core, its state in the first-level cache. Ties are broken at
random, as cheaply as can be.
"""

# ruff: noqa: NPY002 -- inside numba the old functions are the fast ones, with a state per thread.

import importlib
import math
from typing import Any

import numpy as np

numba: Any = importlib.import_module("numba")


@numba.njit(fastmath=True)
def largest_of_few(mean: np.ndarray, width: np.ndarray, scale: float) -> int:
    """The arm of largest index, ties at random; one pass with branches."""
    best, arm, tied = -1.0, 0, 1
    for a in range(len(mean)):
        index = mean[a] + scale * width[a]
        if index > best:
            best, arm, tied = index, a, 1
        elif index == best:
            tied += 1
            if np.random.random() * tied < 1:
                arm = a
    return arm


@numba.njit(fastmath=True)
def largest_of_many(mean: np.ndarray, width: np.ndarray, scale: float, index: np.ndarray) -> int:
    """As above: a pass without branches, then a search that starts anywhere."""
    best = -1.0
    for a in range(len(mean)):
        index[a] = mean[a] + scale * width[a]
        best = max(best, index[a])
    arm = int(np.random.random() * len(mean))
    while index[arm] != best:
        arm = arm + 1 if arm + 1 < len(mean) else 0
    return arm


@numba.njit(parallel=True, fastmath=True)
def numba_ucb1(means: np.ndarray, horizon: int, replications: int, seed: int) -> np.ndarray:
    """UCB1; the index of an arm is one multiplication and one addition."""
    K, regrets = len(means), np.empty(replications)
    for r in numba.prange(replications):
        np.random.seed(seed + r)
        counts, sums = np.zeros(K), np.zeros(K)
        mean, width, index = np.zeros(K), np.zeros(K), np.zeros(K)
        for t in range(1, horizon + 1):
            scale = math.sqrt(math.log(t))
            if t <= K:
                arm = t - 1
            elif K <= 32:
                arm = largest_of_few(mean, width, scale)
            else:
                arm = largest_of_many(mean, width, scale, index)
            counts[arm] += 1
            if np.random.random() < means[arm]:
                sums[arm] += 1
            mean[arm] = sums[arm] / counts[arm]
            width[arm] = math.sqrt(2 / counts[arm])
        regrets[r] = ((means.max() - means) * counts).sum()
    return regrets


@numba.njit(parallel=True, fastmath=True)
def numba_thompson(means: np.ndarray, horizon: int, replications: int, seed: int) -> np.ndarray:
    """Thompson sampling from Beta posteriors."""
    K, regrets = len(means), np.empty(replications)
    for r in numba.prange(replications):
        np.random.seed(seed + r)
        wins, losses = np.ones(K), np.ones(K)
        for _ in range(horizon):
            best, arm = -1.0, 0
            for a in range(K):
                sample = np.random.beta(wins[a], losses[a])
                if sample > best:
                    best, arm = sample, a
            if np.random.random() < means[arm]:
                wins[arm] += 1
            else:
                losses[arm] += 1
        regrets[r] = ((means.max() - means) * (wins + losses - 2)).sum()
    return regrets


@numba.njit(parallel=True, fastmath=True)
def numba_exp3(means: np.ndarray, horizon: int, replications: int, seed: int) -> np.ndarray:
    """Exp3: one exponential per round, and a walk along the weights."""
    K, regrets = len(means), np.empty(replications)
    rate = math.sqrt(2 * math.log(K) / (horizon * K))
    for r in numba.prange(replications):
        np.random.seed(seed + r)
        weights, counts, total = np.ones(K), np.zeros(K), float(K)
        for t in range(horizon):
            target, arm = np.random.random() * total, 0
            target -= weights[0]
            while target >= 0 and arm < K - 1:
                arm += 1
                target -= weights[arm]
            counts[arm] += 1
            if np.random.random() >= means[arm]:
                old = weights[arm]
                weights[arm] = old * math.exp(-rate * total / old)
                total += weights[arm] - old
            if t % 256 == 255:
                weights /= weights.max()
                total = weights.sum()
        regrets[r] = ((means.max() - means) * counts).sum()
    return regrets


NUMBA = {"UCB1": numba_ucb1, "Thompson": numba_thompson, "Exp3": numba_exp3}

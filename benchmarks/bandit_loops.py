"""Bernoulli bandits as one would write them without gamejax, in NumPy.

Each function plays UCB1, Thompson sampling or Exp3 for `horizon` rounds in `replications` copies
and returns the pseudo-regret of each. They are meant to be fast: what changes only at the pulled
arm is not computed anew for the others. One operation serves all replications; arms stand in the
last axis.
"""

import math

import numpy as np


def exp3_rate(num_arms: int, horizon: int) -> float:
    """Exp3's learning rate for a known horizon."""
    return math.sqrt(2 * math.log(num_arms) / (horizon * num_arms))


def numpy_ucb1(means: np.ndarray, horizon: int, replications: int, seed: int) -> np.ndarray:
    """UCB1; arms stand in a random order of their own in each copy, so the first tie is fair."""
    rng = np.random.default_rng(seed)
    K, rows = len(means), np.arange(replications)
    order = rng.permuted(np.tile(np.arange(K), (replications, 1)), axis=1)
    shuffled = means[order]
    counts = np.zeros((replications, K))
    sums, mean = np.zeros_like(counts), np.zeros_like(counts)
    width = np.full_like(counts, np.inf)  # sqrt(2 / N)
    index = np.empty_like(counts)
    for t in range(1, horizon + 1):
        np.multiply(width, math.sqrt(math.log(t)) if t > 1 else 1.0, out=index)
        index += mean
        arm = index.argmax(1)
        reward = rng.random(replications) < shuffled[rows, arm]
        counts[rows, arm] += 1
        sums[rows, arm] += reward
        pulled = counts[rows, arm]
        mean[rows, arm] = sums[rows, arm] / pulled
        width[rows, arm] = np.sqrt(2 / pulled)
    return ((means.max() - shuffled) * counts).sum(1)


def numpy_thompson(means: np.ndarray, horizon: int, replications: int, seed: int) -> np.ndarray:
    """Thompson sampling from Beta posteriors."""
    rng = np.random.default_rng(seed)
    K, rows = len(means), np.arange(replications)
    wins, losses = np.ones((replications, K)), np.ones((replications, K))
    for _ in range(horizon):
        arm = rng.beta(wins, losses).argmax(1)
        reward = rng.random(replications) < means[arm]
        wins[rows, arm] += reward
        losses[rows, arm] += ~reward
    return ((means.max() - means) * (wins + losses - 2)).sum(1)


def numpy_exp3(means: np.ndarray, horizon: int, replications: int, seed: int) -> np.ndarray:
    """Exp3: only the pulled arm's weight moves; weights are scaled back every 256 rounds."""
    rng = np.random.default_rng(seed)
    K, rows, rate = len(means), np.arange(replications), exp3_rate(len(means), horizon)
    weights, counts = np.ones((replications, K)), np.zeros((replications, K))
    cumulative = np.empty_like(weights)
    for t in range(horizon):
        np.cumsum(weights, axis=1, out=cumulative)
        total = cumulative[:, -1]
        target = rng.random(replications) * total
        arm = (cumulative > target[:, None]).argmax(1)
        loss = rng.random(replications) >= means[arm]
        chosen = weights[rows, arm]
        weights[rows, arm] = chosen * np.exp(-rate * loss * total / chosen)
        counts[rows, arm] += 1
        if t % 256 == 255:
            weights /= weights.max(1, keepdims=True)
    return ((means.max() - means) * counts).sum(1)


NUMPY = {"UCB1": numpy_ucb1, "Thompson": numpy_thompson, "Exp3": numpy_exp3}

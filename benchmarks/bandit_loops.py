"""Bernoulli bandits as one would write them without gamejax: NumPy and numba loops.

Each function plays UCB1, Thompson sampling or Exp3 for `horizon` rounds in `replications` copies
and returns the pseudo-regret of each. They are meant to be fast: what changes only at the pulled
arm is not computed anew for the others, and ties are broken at random as cheaply as can be.
"""

import math

import numpy as np

try:
    import numba
except ImportError:
    numba = None


def exp3_rate(num_arms: int, horizon: int) -> float:
    """Exp3's learning rate for a known horizon."""
    return math.sqrt(2 * math.log(num_arms) / (horizon * num_arms))


# NumPy: one vectorised operation for all replications, arms in the last axis.


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
NUMBA = {}

if numba is not None:
    # One copy after the other on each core, its state in the first-level cache.

    @numba.njit(fastmath=True)
    def largest_of_few(mean, width, scale):
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
    def largest_of_many(mean, width, scale, index):
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
    def numba_ucb1(means, horizon, replications, seed):
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
    def numba_thompson(means, horizon, replications, seed):
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
    def numba_exp3(means, horizon, replications, seed):
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

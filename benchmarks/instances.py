"""The games of the benchmarks, by suite id, and what certifies every answer to them.

Payoffs are independent and uniform on [-1, 1] in float32, exactly representable in float64: all
rivals get the same games. `instances("zero_sum-8x8", 4096)` are `zero_sum-8x8-0` to
`zero_sum-8x8-4095` of `gamejax.games.random.instance(..., "float32")`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gamejax.games import AbstractGame, random

FAMILIES = {"zero_sum": random.zero_sum, "general_sum": random.general_sum}


def instances(name: str, count: int) -> AbstractGame:
    """The first `count` instances `name-0`, `name-1`, ... as one stacked game."""
    return _builder(name)(jnp.arange(count))


@functools.cache
def _builder(name: str) -> Callable[[jax.Array], AbstractGame]:
    """The compiled function from seeds to stacked games."""
    family, sizes = name.split("-")
    shape = tuple(int(n) for n in sizes.split("x"))

    def build(seed: jax.Array) -> AbstractGame:
        return FAMILIES[family](jax.random.key(seed, impl="threefry2x32"), shape, dtype="float32")

    return jax.jit(jax.vmap(build))


def payoffs_of(games: AbstractGame) -> np.ndarray:
    """Payoffs in float64: `(games, n, k)` of zero-sum games, `(games, players, *shape)` else."""
    (array,) = jax.tree.leaves(games)
    return np.asarray(array, np.float64)


def as_dtype(games: AbstractGame, dtype: str) -> AbstractGame:
    """The same games with payoffs of this type."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), games)


def nash_conv(payoffs: np.ndarray, profiles: np.ndarray) -> np.ndarray:
    """The sum of both players' best-response gains, one per game, in float64.

    Args:
        payoffs: `(games, n, n)`, the row player's in zero-sum games, or `(games, 2, n, n)`.
        profiles: `(games, 2, n)`; negative entries count as 0, and sums are brought to 1.
    """
    profiles = probabilities(profiles)
    x, y = profiles[:, 0], profiles[:, 1]
    rows, columns = (payoffs, -payoffs) if payoffs.ndim == 3 else (payoffs[:, 0], payoffs[:, 1])
    u = (rows @ y[..., None])[..., 0]
    v = (x[:, None] @ columns)[:, 0]
    return u.max(-1) - (u * x).sum(-1) + v.max(-1) - (v * y).sum(-1)


def coarse_correlated_gap(payoffs: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The largest gain from a fixed action, over players, one per game, in float64.

    Args:
        payoffs: `(games, players, *shape)`.
        joints: `(games, *shape)`; negative entries count as 0, and sums are brought to 1.
    """
    games, players = payoffs.shape[:2]
    joints = probabilities(joints.reshape(games, -1)).reshape(payoffs[:, 0].shape)
    axes, gaps = range(1, players + 1), []
    for i in range(players):
        others = joints.sum(i + 1, keepdims=True)
        rest = tuple(axis for axis in axes if axis != i + 1)
        gaps.append((payoffs[:, i] * others).sum(rest).max(-1))
        gaps[-1] -= (payoffs[:, i] * joints).sum(tuple(axes))
    return np.max(gaps, axis=0)


def welfare(payoffs: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The sum of the players' expected payoffs, one per game."""
    total = payoffs.sum(1).reshape(len(payoffs), -1)
    return (total * probabilities(joints.reshape(len(payoffs), -1))).sum(-1)


def probabilities(rows: np.ndarray) -> np.ndarray:
    """The rows without negative entries, brought to sum 1."""
    positive = np.maximum(np.asarray(rows, np.float64), 0)
    return positive / positive.sum(-1, keepdims=True)

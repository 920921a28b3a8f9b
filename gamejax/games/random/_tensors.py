"""Random games given by their payoff tensors."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from gamejax._types import Scalar
from gamejax.games._matrix import MatrixGame
from gamejax.games._normal_form import NormalFormGame
from gamejax.games.random._registry import as_count, as_shape, family, uniform


@family("shape")
def zero_sum(key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float) -> MatrixGame:
    """A zero-sum game with payoffs independent and uniform on [-1, 1].

    Args:
        key: the source of randomness.
        shape: numbers of actions, `(rows, columns)`.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    return MatrixGame(uniform(key, as_shape(shape, 2), dtype))


@family("shape")
def general_sum(key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float) -> NormalFormGame:
    """A game of any number of players with payoffs independent and uniform on [-1, 1].

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    sizes = as_shape(shape)
    return NormalFormGame(uniform(key, (len(sizes), *sizes), dtype))


@family("shape")
def covariant(
    key: PRNGKeyArray, shape: Sequence[int], correlation: float | Scalar, dtype: Any = float
) -> NormalFormGame:
    r"""A game with standard normal payoffs, of equal correlation between any two players.

    Profiles are independent; in each, with $z_i$ standard normal and $\bar z$ their mean,
    $U_i = \sqrt{1 - \rho}\,(z_i - \bar z) + \sqrt{1 + (m - 1)\rho}\;\bar z$. Correlation 1 gives
    common interest, $-1/(m-1)$ payoffs that add up to zero.

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        correlation: $\rho$, between $-1/(m-1)$ and 1; may be traced.
        dtype: the floating-point type of the payoffs; default the default float.

    Raises:
        ValueError: a Python number `correlation` is out of this range.

    References:
        nudelman2004.
    """
    sizes = as_shape(shape)
    m = len(sizes)
    if isinstance(correlation, int | float) and not -1 <= correlation * max(m - 1, 1) <= m - 1:
        raise ValueError(f"correlation must lie between -1/{m - 1} and 1, got {correlation}.")
    normal = jax.random.normal(key, (m, *sizes), dtype)
    rho = jnp.asarray(correlation, normal.dtype)
    mean = normal.mean(0, keepdims=True)
    common = jnp.sqrt(jnp.maximum(1 + (m - 1) * rho, 0))
    return NormalFormGame(jnp.sqrt(1 - rho) * (normal - mean) + common * mean)


@family("shape")
def common_interest(key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float) -> NormalFormGame:
    """A game in which all players have the same payoffs, independent and uniform on [-1, 1].

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    sizes = as_shape(shape)
    shared = uniform(key, sizes, dtype)
    return NormalFormGame(jnp.broadcast_to(shared, (len(sizes), *sizes)))


@family("shape")
def coordination(key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float) -> NormalFormGame:
    """A coordination game: choosing alike gains, uniform on [0, 1]; all else loses, on [-1, 0].

    Every profile of equal actions is a strict equilibrium, for each player with a value of its own.

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        nudelman2004.
    """
    return _by_agreement(key, as_shape(shape), dtype, sign=1)


@family("shape")
def anti_coordination(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float
) -> NormalFormGame:
    """An anti-coordination game: choosing alike loses, on [-1, 0]; all else gains, on [0, 1].

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        nudelman2004.
    """
    return _by_agreement(key, as_shape(shape), dtype, sign=-1)


def _by_agreement(key: Array, sizes: tuple[int, ...], dtype: Any, sign: int) -> NormalFormGame:
    indices = np.indices(sizes)
    agree = np.broadcast_to((indices == indices[0]).all(0), indices.shape)
    size = jax.random.uniform(key, indices.shape, dtype)
    return NormalFormGame(sign * jnp.where(agree, size, -size))


@family("shape")
def potential(key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float) -> NormalFormGame:
    r"""An exact potential game, $U_i(a) = (\Phi(a) + D_i(a_{-i})) / 2$.

    The potential $\Phi / 2$ and what each player cannot influence, $D_i / 2$, are independent and
    uniform.

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        monderer1996.
    """
    sizes = as_shape(shape)
    keys = jax.random.split(key, len(sizes) + 1)
    shared = uniform(keys[-1], sizes, dtype)
    own = [uniform(keys[i], (*sizes[:i], 1, *sizes[i + 1 :]), dtype) for i in range(len(sizes))]
    return NormalFormGame(jnp.stack([(shared + d) / 2 for d in own]))


@family("shape")
def dominance_solvable(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = float
) -> NormalFormGame:
    """A game that iterated elimination of strictly dominated actions solves, in hidden order.

    Payoffs are independent and uniform on [-1, 1], then sorted: under a random naming of actions,
    each action is strictly worse than the one before it whenever no opponent plays a later one. So
    the last remaining actions go first, and one profile, the only equilibrium, stays.

    Args:
        key: the source of randomness.
        shape: number of actions of each player.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    sizes = as_shape(shape)
    draw, *names = jax.random.split(key, len(sizes) + 1)
    tensor = uniform(draw, (len(sizes), *sizes), dtype)
    indices = np.indices(sizes)
    tensors = []
    for i in range(len(sizes)):
        others = np.delete(indices, i, axis=0)
        latest = others.max(0) if len(others) else np.zeros(sizes, int)
        tensors.append(_descending_from(tensor[i], np.maximum(latest - 1, 0), i))
    payoffs = jnp.stack(tensors)
    for i, name in enumerate(names):
        payoffs = jnp.take(payoffs, jax.random.permutation(name, sizes[i]), axis=i + 1)
    return NormalFormGame(payoffs)


def _descending_from(payoffs: Array, start: np.ndarray, axis: int) -> Array:
    """Each line along the axis, its entries from `start` on in descending order."""
    position = np.indices(payoffs.shape)[axis]
    keep = position < start
    last = jnp.sort(jnp.where(keep, -jnp.inf, payoffs), axis=axis, descending=True)
    return jnp.where(
        keep, payoffs, jnp.take_along_axis(last, np.maximum(position - start, 0), axis)
    )


@family("counts")
def skew_symmetric(key: PRNGKeyArray, num_actions: int, dtype: Any = float) -> MatrixGame:
    r"""A symmetric zero-sum game, $A = -A^\top$, uniform on [-1, 1] above the diagonal. Value 0.

    Args:
        key: the source of randomness.
        num_actions: number of actions of both players.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    n = as_count(num_actions, "num_actions")
    upper = jnp.triu(uniform(key, (n, n), dtype), 1)
    return MatrixGame(upper - upper.T)


@family("counts")
def cyclic(key: PRNGKeyArray, num_actions: int, dtype: Any = float) -> MatrixGame:
    """Rock, paper, scissors with any odd number of actions and random stakes. Value 0.

    Each action beats the half of the others that come before it, in a circle; the stake of a pair
    is uniform on [0, 1].

    Args:
        key: the source of randomness.
        num_actions: number of actions, odd and at least 3.
        dtype: the floating-point type of the payoffs; default the default float.

    Raises:
        ValueError: `num_actions` is even or below 3.
    """
    n = as_count(num_actions, "num_actions")
    if n < 3 or n % 2 == 0:
        raise ValueError(f"num_actions must be odd and at least 3, got {n}.")
    ahead = (np.arange(n)[:, None] - np.arange(n)) % n
    sign = np.where(ahead == 0, 0, np.where(ahead <= n // 2, 1, -1))
    stakes = jnp.triu(jax.random.uniform(key, (n, n), dtype), 1)
    return MatrixGame((stakes + stakes.T) * sign.astype(stakes.dtype))


@family("shape")
def low_rank(
    key: PRNGKeyArray, shape: Sequence[int], rank: int = 1, dtype: Any = float
) -> MatrixGame:
    """A zero-sum game whose matrix has low rank: the mean of `rank` products of uniform vectors.

    Args:
        key: the source of randomness.
        shape: numbers of actions, `(rows, columns)`.
        rank: number of products.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    rows, columns = as_shape(shape, 2)
    rank = as_count(rank, "rank")
    left, right = jax.random.split(key)
    x, y = uniform(left, (rows, rank), dtype), uniform(right, (rank, columns), dtype)
    return MatrixGame(jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST) / rank)


@family("shape")
def sparse(
    key: PRNGKeyArray, shape: Sequence[int], density: float | Scalar = 0.2, dtype: Any = float
) -> MatrixGame:
    """A zero-sum game with mostly zeros: payoffs are uniform on [-1, 1] with probability `density`.

    Args:
        key: the source of randomness.
        shape: numbers of actions, `(rows, columns)`.
        density: the expected share of payoffs other than 0; may be traced.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    sizes = as_shape(shape, 2)
    draw, choose = jax.random.split(key)
    payoff = uniform(draw, sizes, dtype)
    filled = jax.random.bernoulli(choose, jnp.asarray(density, dtype), sizes)
    return MatrixGame(jnp.where(filled, payoff, 0))

"""Smooth strategies: probability vectors with a cap on every probability."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool

from gamejax._numerics import inner, safe_log
from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer, Euclidean
from gamejax.sets._base import AbstractStrategySet
from gamejax.sets._checks import as_mask, as_shape, is_concrete, require_scalar
from gamejax.sets._simplex import below_top, distance_from_probability, hide, num_actions
from gamejax.sets._threshold import waterfill

PAIRWISE_ACTIONS = 256
"""Up to here ranks are counted over pairs, beyond they are read off a sort (as measured)."""


class CappedSimplex(AbstractStrategySet):
    r"""Probability vectors with capped entries, $\{0 \le x_a \le c, \sum_a x_a = 1\}$ per block.

    The strategies of smooth equilibria: $\sigma$-smooth strategies over $n$ actions have
    $c = 1 / (\sigma n)$. Best responses are fractional top-$k$ vectors: with utilities sorted
    downwards $w_{(i)} = \mathrm{clip}(1 - (i - 1) c, 0, c)$, so that gaps measured on this set are
    smooth gaps.

    Args:
        shape: number of actions, or a tuple whose last entry it is and whose leading entries count
            independent blocks.
        cap: the largest probability $c$ of an action, one number (Python's, an array or a tracer;
            differentiable) from $1/n$, where only the uniform strategy is left, to 1, from where
            on it never binds. A traced cap below $1/n$ leaves no strategy: then every action gets
            `cap` and `violation` tells.
        mask: boolean, of shape `shape` (or one block's shape, for all blocks alike): which actions
            exist. The others have probability exactly 0, whatever stands in their utility.

    Raises:
        TypeError: `cap` is no real number, `mask` is not boolean, or `shape` holds no integers.
        ValueError: `cap` is below one over the number of actions, or no single number; `shape` has
            no actions, `mask` does not fit it or leaves a block without any.

    References:
        daskalakis2024.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cap: ArrayLike
    mask: Bool[Array, "*blocks actions"] | None

    def __init__(self, shape: int | tuple[int, ...], cap: ArrayLike, mask: ArrayLike | None = None):
        self.shape = as_shape(shape)
        self.mask = as_mask(mask, self.shape)
        require_scalar(cap, "cap")
        if is_concrete(cap, self.mask):
            fewest = self.shape[-1] if self.mask is None else int(np.min(self.mask.sum(-1)))
            if not np.asarray(cap) * fewest >= 1 - 1e-6:
                raise ValueError(
                    f"cap must be at least 1 / {fewest}, one over the number of actions, got {cap}."
                )
        self.cap = cap

    def center(self, dtype: Any) -> Array:
        count = num_actions(self.shape, self.mask, dtype)
        if self.mask is None:
            return jnp.broadcast_to(1 / count, self.shape)
        return self.mask.astype(dtype) / count[..., None]

    def lmo(self, utility: Array) -> Array:
        ranks = _ranks(jax.lax.stop_gradient(hide(utility, self.mask)), utility.dtype)
        cap = jnp.asarray(self.cap, utility.dtype)
        weights = jnp.clip(1 - ranks * cap, jnp.zeros_like(cap), cap)
        return weights if self.mask is None else jnp.where(self.mask, weights, 0)

    def support(self, utility: Array) -> Scalar:
        if self.mask is not None:
            utility = jnp.where(self.mask, utility, 0)
        return inner(utility, self.lmo(utility))

    def project(self, point: Array) -> Array:
        return self.mirror(point, Euclidean())

    def mirror(self, dual: Array, regularizer: AbstractRegularizer) -> Array:
        return waterfill(hide(dual, self.mask), regularizer, jnp.asarray(self.cap, dual.dtype))

    def violation(self, strategy: Array) -> Scalar:
        excess = jnp.max(strategy) - jnp.asarray(self.cap, strategy.dtype)
        return jnp.maximum(distance_from_probability(strategy, self.mask), excess)

    def recenter(self, dual: Array) -> Array:
        return below_top(dual, self.mask)

    def entropy_range(self, dtype: Any) -> Scalar:
        cap = jnp.asarray(self.cap, dtype)
        vertex = jnp.clip(
            1 - jnp.arange(self.shape[-1], dtype=dtype) * cap, jnp.zeros_like(cap), cap
        )
        count = num_actions(self.shape, self.mask, dtype).max()
        return jnp.maximum(jnp.log(count) + inner(vertex, safe_log(vertex)), 0)


def _ranks(utility: Array, dtype: Any) -> Array:
    """How many actions come before each one: larger utility, or equal and lower index."""
    n = utility.shape[-1]
    if n > PAIRWISE_ACTIONS:
        order = jnp.argsort(utility, axis=-1, descending=True, stable=True)
        return jnp.argsort(order, axis=-1).astype(dtype)
    mine, other = utility[..., :, None], utility[..., None, :]
    index = jnp.arange(n, dtype=jnp.int32)
    earlier = jnp.broadcast_to(index[None, :] < index[:, None], (*utility.shape, n))
    return ((other > mine) | ((other == mine) & earlier)).sum(-1, dtype=dtype)

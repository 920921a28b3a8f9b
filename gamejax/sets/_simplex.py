"""The probability simplex."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer, Entropy, Euclidean
from gamejax.sets._base import AbstractStrategySet
from gamejax.sets._checks import as_mask, as_shape
from gamejax.sets._threshold import waterfill


class Simplex(AbstractStrategySet):
    r"""Probability vectors $\{x \ge 0, \sum_a x_a = 1\}$, one per block.

    Args:
        shape: number of actions, or a tuple whose last entry it is and whose leading entries count
            independent blocks.
        mask: boolean, of shape `shape` (or one block's shape, for all blocks alike): which actions
            exist. The others have probability exactly 0, whatever stands in their utility.

    Raises:
        TypeError: `mask` is not boolean, or `shape` holds no integers.
        ValueError: `shape` has no actions, `mask` does not fit it or leaves a block without any.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    mask: Bool[Array, "*blocks actions"] | None

    def __init__(self, shape: int | tuple[int, ...], mask: ArrayLike | None = None):
        self.shape = as_shape(shape)
        self.mask = as_mask(mask, self.shape)

    def center(self, dtype: Any) -> Array:
        if self.mask is None:
            return jnp.full(self.shape, 1 / self.shape[-1], dtype)
        return self.mask.astype(dtype) / self.mask.sum(-1, keepdims=True, dtype=dtype)

    def lmo(self, utility: Array) -> Array:
        best = jnp.argmax(hide(utility, self.mask), axis=-1)
        return jax.nn.one_hot(best, self.shape[-1], dtype=utility.dtype)

    def support(self, utility: Array) -> Scalar:
        return jnp.max(hide(utility, self.mask), axis=-1).sum()

    def project(self, point: Array) -> Array:
        return waterfill(hide(point, self.mask), Euclidean())

    def mirror(self, dual: Array, regularizer: AbstractRegularizer) -> Array:
        dual = hide(dual, self.mask)
        if isinstance(regularizer, Entropy):
            return jax.nn.softmax(dual, axis=-1)
        return waterfill(dual, regularizer)

    def violation(self, strategy: Array) -> Scalar:
        return distance_from_probability(strategy, self.mask)

    def recenter(self, dual: Array) -> Array:
        return below_top(dual, self.mask)

    def entropy_range(self, dtype: Any) -> Scalar:
        return jnp.log(num_actions(self.shape, self.mask, dtype)).max()


def hide(utility: Array, mask: Array | None) -> Array:
    """The utility with minus infinity at actions that do not exist."""
    return utility if mask is None else jnp.where(mask, utility, -jnp.inf)


def below_top(dual: Array, mask: Array | None) -> Array:
    """The dual vector less its largest entry; 0 at actions that do not exist."""
    difference = dual - jnp.max(hide(dual, mask), axis=-1, keepdims=True)
    return difference if mask is None else jnp.where(mask, difference, 0)


def num_actions(shape: tuple[int, ...], mask: Array | None, dtype: Any) -> Array:
    """How many actions exist, per block (a scalar where all blocks are alike)."""
    if mask is None:
        return jnp.asarray(shape[-1], dtype)
    return mask.sum(-1, dtype=dtype)


def distance_from_probability(strategy: Array, mask: Array | None) -> Scalar:
    """The largest of: negative probabilities, mass on masked actions, distance of a sum from 1."""
    negative = jnp.max(-strategy)
    total = jnp.max(jnp.abs(strategy.sum(-1) - 1))
    worst = jnp.maximum(jnp.maximum(negative, total), 0)
    if mask is None:
        return worst
    return jnp.maximum(worst, jnp.max(jnp.where(mask, 0, jnp.abs(strategy))))

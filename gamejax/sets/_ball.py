"""Euclidean balls."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gamejax._numerics import HIGHEST, safe_divide
from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer
from gamejax.sets._base import AbstractStrategySet
from gamejax.sets._checks import as_leaf, as_shape, is_concrete, require_euclidean, require_scalar


class Ball(AbstractStrategySet):
    r"""Vectors within a Euclidean distance of a point, $\{\|x - o\|_2 \le r\}$ per block.

    Args:
        shape: length of the vectors, or a tuple whose last entry it is and whose leading entries
            count independent blocks.
        radius: the distance $r \ge 0$, one number (Python's, an array or a tracer).
        center: the point $o$, an array of shape `shape`; default the origin.

    Raises:
        ValueError: `radius` is negative or no single number, or `center` does not fit `shape`.
        TypeError: `radius` is no real number; from `mirror`: any regularizer but `Euclidean`.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    radius: ArrayLike
    origin: ArrayLike | None

    def __init__(
        self,
        shape: int | tuple[int, ...],
        radius: ArrayLike = 1.0,
        center: ArrayLike | None = None,
    ):
        self.shape = as_shape(shape)
        require_scalar(radius, "radius")
        if is_concrete(radius) and not np.asarray(radius) >= 0:
            raise ValueError(f"radius must be at least 0, got {radius}.")
        if center is not None and np.shape(center) != self.shape:
            raise ValueError(f"center must have shape {self.shape}, got {np.shape(center)}.")
        self.radius = radius
        self.origin = None if center is None else as_leaf(center)

    def center(self, dtype: Any) -> Array:
        if self.origin is None:
            return jnp.zeros(self.shape, dtype)
        return jnp.asarray(self.origin, dtype)

    def lmo(self, utility: Array) -> Array:
        direction = safe_divide(utility, _lengths(utility))
        return self.center(utility.dtype) + jnp.asarray(self.radius, utility.dtype) * direction

    def support(self, utility: Array) -> Scalar:
        offset = jnp.vdot(utility, self.center(utility.dtype), precision=HIGHEST)
        return offset + jnp.asarray(self.radius, utility.dtype) * _lengths(utility).sum()

    def project(self, point: Array) -> Array:
        center, radius = self.center(point.dtype), jnp.asarray(self.radius, point.dtype)
        lengths = _lengths(point - center)
        outside = lengths > radius
        shrink = jnp.where(outside, radius / jnp.where(outside, lengths, 1), 1)
        return jnp.where(outside, center + shrink * (point - center), point)

    def mirror(self, dual: Array, regularizer: AbstractRegularizer) -> Array:
        require_euclidean(self, regularizer)
        return self.project(dual)

    def violation(self, strategy: Array) -> Scalar:
        lengths = _lengths(strategy - self.center(strategy.dtype))
        return jnp.maximum(jnp.max(lengths) - jnp.asarray(self.radius, strategy.dtype), 0)


def _lengths(x: Array) -> Array:
    """Euclidean lengths along the last axis (kept): no overflow, gradient 0 at the origin."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    zero = largest == 0
    scaled = x / jnp.where(zero, 1, largest)
    squares = jnp.sum(scaled**2, axis=-1, keepdims=True)
    return jnp.where(zero, 0, largest * jnp.sqrt(jnp.where(zero, 1, squares)))

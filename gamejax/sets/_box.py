"""Intervals, coordinate by coordinate."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gamejax._numerics import inner
from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer, Euclidean
from gamejax.sets._base import AbstractStrategySet
from gamejax.sets._checks import as_leaf, as_shape, is_concrete


class Box(AbstractStrategySet):
    r"""Vectors between two bounds, $\{l_a \le x_a \le u_a\}$: prices, quantities, efforts.

    Every mirror map is $x_a = \mathrm{clip}(\phi(\theta_a), l_a, u_a)$, so all regularizers work;
    those that live on positive numbers need `lower` to be at least 0.

    Args:
        lower: lower bounds, a number or an array that broadcasts to `shape`; may be infinite.
        upper: upper bounds, likewise.
        shape: shape of a strategy; default that of `lower` and `upper` broadcast together.

    Raises:
        ValueError: the bounds do not fit `shape`, or a lower one lies above its upper one.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    lower: ArrayLike
    upper: ArrayLike

    def __init__(
        self, lower: ArrayLike, upper: ArrayLike, shape: int | tuple[int, ...] | None = None
    ):
        bounds = np.shape(lower), np.shape(upper)
        try:
            self.shape = as_shape(
                np.broadcast_shapes(*bounds) if shape is None else shape, scalar=True
            )
            fits = np.broadcast_shapes(self.shape, *bounds) == self.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"lower and upper must broadcast to shape {shape}, got shapes {bounds[0]} and "
                f"{bounds[1]}."
            )
        if is_concrete(lower, upper) and not np.all(np.asarray(lower) <= np.asarray(upper)):
            raise ValueError(f"lower must not exceed upper, got lower {lower} and upper {upper}.")
        self.lower, self.upper = as_leaf(lower), as_leaf(upper)

    def _bounds(self, dtype: Any) -> tuple[Array, Array]:
        lower, upper = jnp.asarray(self.lower, dtype), jnp.asarray(self.upper, dtype)
        return jnp.broadcast_to(lower, self.shape), jnp.broadcast_to(upper, self.shape)

    def center(self, dtype: Any) -> Array:
        lower, upper = self._bounds(dtype)
        bounded = jnp.isfinite(lower) & jnp.isfinite(upper)
        middle = jnp.where(bounded, lower, 0) / 2 + jnp.where(bounded, upper, 0) / 2
        return jnp.clip(middle, lower, upper)

    def lmo(self, utility: Array) -> Array:
        lower, upper = self._bounds(utility.dtype)
        indifferent = self.center(utility.dtype)
        return jnp.where(utility > 0, upper, jnp.where(utility < 0, lower, indifferent))

    def support(self, utility: Array) -> Scalar:
        return inner(utility, jnp.where(utility == 0, 0, self.lmo(utility)))

    def project(self, point: Array) -> Array:
        return self.mirror(point, Euclidean())

    def mirror(self, dual: Array, regularizer: AbstractRegularizer) -> Array:
        unchecked = isinstance(regularizer, Euclidean) or not is_concrete(self.lower)
        if not (unchecked or np.all(np.asarray(self.lower) >= 0)):
            raise ValueError(
                f"lower must be at least 0 for the mirror map of {type(regularizer).__name__}, "
                f"got {self.lower}."
            )
        lower, upper = self._bounds(dual.dtype)
        above, below = dual >= regularizer.gradient(upper), dual <= regularizer.gradient(lower)
        inside = regularizer.inverse_gradient(jnp.where(above | below, -1, dual))
        return jnp.where(below, lower, jnp.where(above, upper, inside))

    def violation(self, strategy: Array) -> Scalar:
        lower, upper = self._bounds(strategy.dtype)
        return jnp.maximum(jnp.max(jnp.maximum(lower - strategy, strategy - upper)), 0)

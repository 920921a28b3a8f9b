"""The probability simplex."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer
from gamejax.sets._base import AbstractStrategySet


class Simplex(AbstractStrategySet):
    """Probability vectors; `mask` marks the actions that exist (padded ones have probability 0)."""

    shape: tuple[int, ...] = eqx.field(
        static=True, converter=lambda s: (s,) if isinstance(s, int) else tuple(s)
    )
    mask: Bool[Array, "*blocks actions"] | None = None

    def center(self, dtype) -> Array:
        if self.mask is None:
            return jnp.full(self.shape, 1 / self.shape[-1], dtype)
        return self.mask / self.mask.sum(-1, keepdims=True, dtype=dtype)

    def _hide(self, utility: Array) -> Array:
        return utility if self.mask is None else jnp.where(self.mask, utility, -jnp.inf)

    def lmo(self, utility: Array) -> Array:
        best = jnp.argmax(self._hide(utility), axis=-1)
        return jax.nn.one_hot(best, self.shape[-1], dtype=utility.dtype)

    def support(self, utility: Array) -> Scalar:
        return jnp.max(self._hide(utility), axis=-1).sum()

    def project(self, point: Array) -> Array:
        raise NotImplementedError

    def mirror(self, dual: Array, regularizer: AbstractRegularizer) -> Array:
        return jax.nn.softmax(self._hide(dual), axis=-1)

    def violation(self, strategy: Array) -> Scalar:
        raise NotImplementedError

    def recenter(self, dual: Array) -> Array:
        return dual - jnp.max(self._hide(dual), axis=-1, keepdims=True)

"""Strategies that consist of several parts."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import ArrayLike

from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer
from gamejax.sets._base import AbstractStrategySet


class Product(AbstractStrategySet):
    r"""One strategy from each of several sets, $X_1 \times \dots \times X_k$.

    Strategies and utilities are tuples with one entry per factor, and `shape` is the tuple of the
    factors' shapes. Blocks of one shape need no product: give `Simplex` leading axes.

    Args:
        sets: the factors, at least one.

    Raises:
        TypeError: a factor is no strategy set.
        ValueError: there are no factors.
    """

    shape: tuple[Any, ...] = eqx.field(static=True)
    sets: tuple[AbstractStrategySet, ...]

    def __init__(self, sets: Sequence[AbstractStrategySet]):
        self.sets = tuple(sets)
        for factor in self.sets:
            if not isinstance(factor, AbstractStrategySet):
                raise TypeError(f"sets must hold strategy sets, got a {type(factor).__name__}.")
        if not self.sets:
            raise ValueError("sets must hold at least one strategy set, got none.")
        self.shape = tuple(s.shape for s in self.sets)

    def center(self, dtype: Any) -> tuple[Any, ...]:
        return tuple(s.center(dtype) for s in self.sets)

    def lmo(self, utility: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(s.lmo(u) for s, u in zip(self.sets, utility, strict=True))

    def support(self, utility: tuple[Any, ...]) -> Scalar:
        values = [s.support(u) for s, u in zip(self.sets, utility, strict=True)]
        return jnp.stack(values).sum()

    def project(self, point: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(s.project(p) for s, p in zip(self.sets, point, strict=True))

    def mirror(self, dual: tuple[Any, ...], regularizer: AbstractRegularizer) -> tuple[Any, ...]:
        return tuple(s.mirror(d, regularizer) for s, d in zip(self.sets, dual, strict=True))

    def dual(self, strategy: tuple[Any, ...], regularizer: AbstractRegularizer) -> tuple[Any, ...]:
        return tuple(s.dual(x, regularizer) for s, x in zip(self.sets, strategy, strict=True))

    def regularization(self, strategy: tuple[Any, ...], regularizer: AbstractRegularizer) -> Scalar:
        pairs = zip(self.sets, strategy, strict=True)
        return jnp.stack([s.regularization(x, regularizer) for s, x in pairs]).sum()

    def restore(self, strategy: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(s.restore(x) for s, x in zip(self.sets, strategy, strict=True))

    def smooth_support(self, utility: tuple[Any, ...], temperature: ArrayLike) -> Scalar:
        pairs = zip(self.sets, utility, strict=True)
        return jnp.stack([s.smooth_support(u, temperature) for s, u in pairs]).sum()

    def violation(self, strategy: tuple[Any, ...]) -> Scalar:
        values = [s.violation(x) for s, x in zip(self.sets, strategy, strict=True)]
        return jnp.stack(values).max()

    def recenter(self, dual: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(s.recenter(d) for s, d in zip(self.sets, dual, strict=True))

    def entropy_range(self, dtype: Any) -> Scalar:
        return jnp.stack([s.entropy_range(dtype) for s in self.sets]).max()

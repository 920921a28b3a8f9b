"""Checks of arguments that several strategy sets share."""

import operator
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool

from gamejax.regularizers import AbstractRegularizer, Euclidean


def is_concrete(*values: Any) -> bool:
    """Whether Python may look at the values."""
    return not any(isinstance(v, Tracer) for v in values)


def as_leaf(value: ArrayLike) -> ArrayLike:
    """Python numbers as they are, so that they stay weakly typed; everything else as an array."""
    return value if isinstance(value, int | float) else jnp.asarray(value)


def as_shape(shape: int | Iterable[int], *, scalar: bool = False) -> tuple[int, ...]:
    """A tuple of positive integers from one integer or several; `()` only where `scalar`."""
    try:
        entries = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        sizes = tuple(operator.index(n) for n in entries)
    except TypeError:
        raise TypeError(
            f"shape must be an integer or a tuple of integers, got {shape!r}."
        ) from None
    if not (sizes or scalar) or any(n < 1 for n in sizes):
        raise ValueError(f"shape must hold positive integers, got {shape!r}.")
    return sizes


def as_mask(mask: Any, shape: tuple[int, ...]) -> Bool[Array, "*blocks actions"] | None:
    """A boolean array of this shape with at least one action in every block, or None."""
    if mask is None:
        return None
    array = jnp.asarray(mask)
    if array.dtype != jnp.bool_:
        raise TypeError(f"mask must be boolean, got dtype {array.dtype}.")
    if array.shape not in (shape, shape[-1:]):
        raise ValueError(
            f"mask must have shape {shape}, got {array.shape}; "
            "for a batch of sets map the constructor with jax.vmap."
        )
    array = jnp.broadcast_to(array, shape)
    if is_concrete(array) and not np.asarray(array).any(-1).all():
        raise ValueError("mask must leave at least one action in every block, got a block of none.")
    return array


def require_scalar(value: Any, name: str) -> None:
    """Refuse anything but one real number (Python's, an array or a tracer)."""
    shape, dtype = np.shape(value), getattr(value, "dtype", None) or np.asarray(value).dtype
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"{name} must be a real number, got {value!r}.")
    if shape != ():
        raise ValueError(
            f"{name} must be one number, got shape {shape}; "
            "for a batch of sets map the constructor with jax.vmap."
        )


def require_euclidean(strategies: Any, regularizer: AbstractRegularizer) -> None:
    """Refuse mirror maps that are not projections."""
    if not isinstance(regularizer, Euclidean):
        raise TypeError(
            f"{type(strategies).__name__} has a mirror map for Euclidean() only, "
            f"got {type(regularizer).__name__}."
        )

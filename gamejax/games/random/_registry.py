"""What the families of random games share: their list, draws and checks."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
from jaxtyping import Array

from gamejax.games._base import AbstractGame

Build = TypeVar("Build", bound=Callable[..., AbstractGame])
Sizes = Literal["shape", "counts"]

FAMILIES: dict[str, tuple[Callable[..., AbstractGame], Sizes]] = {}
"""Every family, and whether it takes its sizes as one tuple (`shape`) or one by one (`counts`)."""


def family(sizes: Sizes) -> Callable[[Build], Build]:
    """Enter a function into the list of families."""

    def enter(build: Build) -> Build:
        FAMILIES[build.__name__] = (build, sizes)
        return build

    return enter


def uniform(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Independent draws, uniform on [-1, 1]."""
    return jax.random.uniform(key, shape, dtype, minval=-1, maxval=1)


def as_count(value: Any, name: str) -> int:
    """A positive integer."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}.") from None
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}.")
    return count


def as_shape(shape: Sequence[int], num_players: int | None = None) -> tuple[int, ...]:
    """A tuple of positive integers, one per player."""
    if not isinstance(shape, Sequence):
        raise TypeError(f"shape must be a tuple with one entry per player, got {shape!r}.")
    sizes = tuple(as_count(n, "each entry of shape") for n in shape)
    if len(sizes) < 1 or (num_players is not None and len(sizes) != num_players):
        wanted = "at least one entry" if num_players is None else f"{num_players} entries"
        raise ValueError(f"shape must have {wanted}, got {sizes}.")
    return sizes

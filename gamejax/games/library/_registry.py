"""The list of named games, and what is known of their equilibria."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax.games._base import AbstractGame

Play: TypeAlias = int | Sequence[float]
"""A strategy written down: the index of an action, or a probability for each."""

Build = TypeVar("Build", bound=Callable[..., AbstractGame])


@dataclasses.dataclass(frozen=True)
class Classic:
    """A named game and what is known of it at its default parameters.

    Attributes:
        name: the name of its function in `gamejax.games.library`.
        build: that function.
        equilibria: Nash equilibria, each with one strategy per player.
        complete: whether there are no others.
        value: the row player's payoff in every equilibrium of a zero-sum game, else `None`.
    """

    name: str
    build: Callable[..., AbstractGame]
    equilibria: tuple[tuple[Play, ...], ...]
    complete: bool
    value: float | None


_CLASSICS: dict[str, Classic] = {}


def classic(
    *equilibria: Sequence[Play], complete: bool = False, value: float | None = None
) -> Callable[[Build], Build]:
    """Enter a function into the library, with the equilibria of the game that it returns."""

    def enter(build: Build) -> Build:
        name = build.__name__
        profiles = tuple(tuple(profile) for profile in equilibria)
        _CLASSICS[name] = Classic(name, build, profiles, complete, value)
        return build

    return enter


def names() -> tuple[str, ...]:
    """The names of all games of the library, in alphabetical order."""
    return tuple(sorted(_CLASSICS))


def entry(name: str) -> Classic:
    """What the library knows of a game.

    Raises:
        ValueError: there is no game of this name.
    """
    if name not in _CLASSICS:
        raise ValueError(f"name must be one of {', '.join(names())}, got {name!r}.")
    return _CLASSICS[name]


def all_games() -> dict[str, AbstractGame]:
    """Every game of the library at its default parameters, by name."""
    return {name: entry(name).build() for name in names()}


def known_equilibria(name: str) -> list[tuple[Array, ...]]:
    """The known Nash equilibria of a game at its default parameters, as profiles of arrays.

    `entry(name).complete` says whether these are all.

    Raises:
        ValueError: there is no game of this name.
    """
    known = entry(name)
    sets = known.build().strategy_sets
    return [
        tuple(_strategy(play, s.shape[0]) for play, s in zip(profile, sets, strict=True))
        for profile in known.equilibria
    ]


def _strategy(play: Play, num_actions: int) -> Array:
    if isinstance(play, int):
        return jax.nn.one_hot(play, num_actions, dtype=float)
    return jnp.asarray(play, float)

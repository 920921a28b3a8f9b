"""How the games of the library are made, and checks of their parameters."""

import functools
from collections.abc import Callable
from typing import Any

from gamejax.extensive._game import SequenceFormGame, from_history
from gamejax.extensive._history import History, walk
from gamejax.games import Labels
from gamejax.games.library._checks import require


@functools.lru_cache(maxsize=32)
def _walked(make_rules: Callable[..., Any], arguments: tuple[Any, ...]) -> History:
    return walk(make_rules(*arguments), ())


def made(make_rules: Callable[..., Any], *arguments: Any, labels: Labels) -> SequenceFormGame:
    """The game whose rules `make_rules(*arguments)` gives; the tree is walked once."""
    return from_history(_walked(make_rules, arguments), labels=labels)


def require_count(value: Any, name: str, least: int) -> None:
    """Refuse what is no integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer of at least {least}, got {value!r}.")
    require(value >= least, f"{name} must be at least {least}, got {value}.")


def seats(count: int) -> tuple[str, ...]:
    """Names of players by their place at the table."""
    return tuple(f"player {i + 1}" for i in range(count))

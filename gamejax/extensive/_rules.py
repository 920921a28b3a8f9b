"""What a rules function says of a state of the game."""

from collections.abc import Hashable, Sequence
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Number: TypeAlias = int | float | Fraction
State: TypeAlias = Any
"""Whatever a rules function takes as its argument."""


class Terminal(NamedTuple):
    """The game is over; see `terminal`."""

    payoffs: tuple[Number, ...]


class Chance(NamedTuple):
    """Nature moves; see `chance`."""

    branches: tuple[tuple[Number, State], ...]
    labels: tuple[str, ...] | None = None
    payoffs: tuple[Number, ...] | None = None
    name: str = ""


class Decide(NamedTuple):
    """A player moves; see `decide`."""

    player: int
    information: Hashable
    branches: tuple[tuple[str, State], ...]
    payoffs: tuple[Number, ...] | None = None
    name: str = ""


def terminal(payoffs: Sequence[Number]) -> Terminal:
    """The game is over.

    Args:
        payoffs: what each player gets, one number each.

    Raises:
        TypeError: a payoff is no real number.
    """
    payoffs = tuple(payoffs)
    for payoff in payoffs:
        if not isinstance(payoff, Real) or isinstance(payoff, bool):
            raise TypeError(f"payoffs must be numbers, got {payoff!r}.")
    return Terminal(payoffs)


def chance(
    branches: Sequence[tuple[Number, State]],
    *,
    labels: Sequence[str] | None = None,
    payoffs: Sequence[Number] | None = None,
    name: str = "",
) -> Chance:
    """Nature moves.

    Args:
        branches: pairs of a probability and the state that follows. Probabilities are at least 0
            and sum to 1 (fractions exactly, floats to rounding).
        labels: what to call the branches; default their numbers.
        payoffs: what each player gets here, added to what it gets later.
        name: what to call this move of nature.

    Raises:
        ValueError: the probabilities are no distribution, or `labels` are not one per branch.
    """
    branches = tuple((p, state) for p, state in branches)
    total = sum(p for p, _ in branches)
    # Numbers that float32 holds may come from there, with its rounding.
    rounded = all(not isinstance(p, Rational) and float(np.float32(p)) == p for p, _ in branches)
    if any(p < 0 for p, _ in branches) or abs(total - 1) > (1e-6 if rounded else 1e-9):
        shown = ", ".join(str(p) for p, _ in branches)
        raise ValueError(f"the probabilities of chance must be at least 0 and sum to 1: {shown}.")
    if labels is not None and len(labels) != len(branches):
        raise ValueError(f"chance has {len(branches)} branches, but {len(labels)} labels.")
    labels = None if labels is None else tuple(map(str, labels))
    return Chance(branches, labels, None if payoffs is None else tuple(payoffs), name)


def decide(
    player: int,
    information: Hashable,
    branches: Sequence[tuple[str, State]],
    *,
    payoffs: Sequence[Number] | None = None,
    name: str = "",
) -> Decide:
    """A player moves.

    Args:
        player: who, counted from 0.
        information: what it knows, its own past included; states in which one player has the same
            information form an information set and must have the same actions.
        branches: pairs of an action's name and the state that follows, at least one.
        payoffs: what each player gets here, added to what it gets later.
        name: what to call the information set; default what is known there, as text. Of several
            states' names the first counts.

    Raises:
        ValueError: `player` is no player, or there are no branches.
    """
    if isinstance(player, bool) or not isinstance(player, int) or player < 0:
        raise ValueError(f"player must be an integer of at least 0, got {player!r}.")
    branches = tuple((str(label), state) for label, state in branches)
    if not branches:
        raise ValueError(f"player {player} has no actions with the information {information!r}.")
    payoffs = None if payoffs is None else tuple(payoffs)
    return Decide(player, information, branches, payoffs, name)

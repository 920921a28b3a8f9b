"""Whether players remember what they did and knew."""

from typing import NamedTuple

import numpy as np

from gamejax.extensive._form import own_sequences
from gamejax.extensive._history import History, InformationSet


class Forgotten(NamedTuple):
    """An information set at which a player does not recall its own past.

    Attributes:
        player: who, from 0.
        number: of the set, in the order of `history.information_sets[player]`.
        information_set: what it knows there, and what it can do.
    """

    player: int
    number: int
    information_set: InformationSet


def forgotten(history: History) -> tuple[Forgotten, ...]:
    """The information sets at which players forget; none in games of perfect recall.

    A player recalls its past where all nodes of a set come after the same information sets and
    actions of its own. Sets that a path meets twice (absent-mindedness) are among those found.

    References:
        kuhn1953.
    """
    found: list[Forgotten] = []
    width = 1 + int(history.branch.max())
    for i in range(history.num_players):
        nodes = np.flatnonzero(history.player == i)
        numbers, own = history.information[nodes], own_sequences(history, i, width)[nodes]
        _, first = np.unique(numbers, return_index=True)
        wrong = np.unique(numbers[own != own[first][numbers]]).tolist()
        found += [Forgotten(i, number, history.information_sets[i][number]) for number in wrong]
    return tuple(found)

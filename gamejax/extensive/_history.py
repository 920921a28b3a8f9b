"""The tree of histories: every way that a game can go, as arrays."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from gamejax.extensive._rules import Chance, Decide, Number, State, Terminal

LEAF, NATURE = -2, -1
"""What `player` says at the end of the game and where chance moves."""


class InformationSet(NamedTuple):
    """What one player knows at some nodes, and what it can do there."""

    key: Hashable
    actions: tuple[str, ...]


class History(NamedTuple):
    """All nodes in depth-first order, the root first; node 0 has itself as parent.

    Attributes:
        parent: the node before, shape `(nodes,)`.
        branch: which branch of the parent leads here, from 0.
        player: who moves, or `NATURE`, or `LEAF`.
        information: the number of the mover's information set, in the order of first visits; at
            chance nodes their number; at leaves the leaf's number.
        probability: of the branch that leads here where nature moves before, else 1; objects, so
            that fractions stay exact.
        payoffs: of each leaf, summed along the way, shape `(leaves, players)`, objects too.
        information_sets: per player, in the order of first visits.
        chance_labels: per chance node, the names of its branches.
    """

    parent: np.ndarray
    branch: np.ndarray
    player: np.ndarray
    information: np.ndarray
    probability: np.ndarray
    payoffs: np.ndarray
    information_sets: tuple[tuple[InformationSet, ...], ...]
    chance_labels: tuple[tuple[str, ...], ...]

    @property
    def num_players(self) -> int:
        """How many players there are."""
        return len(self.information_sets)

    @property
    def leaves(self) -> np.ndarray:
        """The nodes at which the game ends, in depth-first order."""
        return np.flatnonzero(self.player == LEAF)


class _Open(NamedTuple):
    """A state that is still to be visited, and how it was reached."""

    state: State
    parent: int
    branch: int
    probability: Number
    payoffs: tuple[Number, ...]


def walk(rules: Callable[[State], Terminal | Chance | Decide], start: State) -> History:
    """Visit every state once, depth first, without recursion.

    Raises:
        TypeError: the rules return something else than `terminal`, `chance` or `decide`.
        ValueError: states of one information set have different actions, or payoffs differ in
            number.
    """
    rows: list[tuple[int, int, int, int, Number]] = []
    leaves: list[tuple[Number, ...]] = []
    chance_labels: list[tuple[str, ...]] = []
    sets: dict[int, dict[Hashable, tuple[int, tuple[str, ...]]]] = {}
    stack = [_Open(start, 0, 0, 1, ())]
    while stack:
        now = stack.pop()
        node, number = rules(now.state), len(rows)
        if isinstance(node, Terminal):
            rows.append((now.parent, now.branch, LEAF, len(leaves), now.probability))
            leaves.append(_added(now.payoffs, node.payoffs))
            continue
        if isinstance(node, Chance):
            mover, number_of = NATURE, len(chance_labels)
            labels = node.labels or tuple(str(k + 1) for k in range(len(node.branches)))
            chance_labels.append(labels)
            weights: list[Number] = [p for p, _ in node.branches]
        elif isinstance(node, Decide):
            mover, number_of = node.player, _set_number(sets.setdefault(node.player, {}), node)
            weights = [1] * len(node.branches)
        else:
            raise TypeError(
                "the rules must return terminal(...), chance(...) or decide(...), got "
                f"{type(node).__name__} at the state {now.state!r}."
            )
        rows.append((now.parent, now.branch, mover, number_of, now.probability))
        payoffs = now.payoffs if node.payoffs is None else _added(now.payoffs, node.payoffs)
        following = [
            _Open(state, number, k, weights[k], payoffs)
            for k, (_, state) in enumerate(node.branches)
        ]
        stack.extend(reversed(following))
    num_players = len(leaves[0])
    if max(sets, default=-1) >= num_players or any(len(p) != num_players for p in leaves):
        raise ValueError(
            f"every terminal must have one payoff per player; the first has {num_players}, others "
            f"{sorted({len(p) for p in leaves} - {num_players})}, and player "
            f"{max(sets, default=-1)} moves."
        )
    columns = list(zip(*rows, strict=True))
    return History(
        *(np.asarray(c, np.int32) for c in columns[:4]),
        probability=_objects(columns[4]),
        payoffs=_objects(leaves, num_players),
        information_sets=tuple(
            tuple(InformationSet(key, actions) for key, (_, actions) in sets.get(i, {}).items())
            for i in range(num_players)
        ),
        chance_labels=tuple(chance_labels),
    )


def _set_number(known: dict[Hashable, tuple[int, tuple[str, ...]]], node: Decide) -> int:
    actions = tuple(label for label, _ in node.branches)
    number, first = known.setdefault(node.information, (len(known), actions))
    if len(first) != len(actions):
        raise ValueError(
            f"player {node.player} has {len(first)} actions at one state with the information "
            f"{node.information!r} and {len(actions)} at another; an information set has the same "
            "actions everywhere."
        )
    return number


def _added(sofar: tuple[Number, ...], more: tuple[Number, ...]) -> tuple[Number, ...]:
    if not sofar:
        return more
    if len(sofar) != len(more):
        raise ValueError(f"payoffs of {len(sofar)} and of {len(more)} players on one path.")
    return tuple(a + b for a, b in zip(sofar, more, strict=True))


def _objects(values: Any, width: int | None = None) -> np.ndarray:
    """An array that keeps Python's numbers as they are."""
    shape = (len(values),) if width is None else (len(values), width)
    array = np.empty(shape, object)
    for i, value in enumerate(values):
        array[i] = value
    return array

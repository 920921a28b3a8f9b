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
    name: str = ""

    @property
    def title(self) -> str:
        """What to print: the name, or what is known as text."""
        return self.name or (f"set {self.key}" if isinstance(self.key, int) else str(self.key))


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
        chance_names: per chance node, its own name.
    """

    parent: np.ndarray
    branch: np.ndarray
    player: np.ndarray
    information: np.ndarray
    probability: np.ndarray
    payoffs: np.ndarray
    information_sets: tuple[tuple[InformationSet, ...], ...]
    chance_labels: tuple[tuple[str, ...], ...]
    chance_names: tuple[str, ...] = ()

    @property
    def num_players(self) -> int:
        """How many players there are."""
        return len(self.information_sets)

    @property
    def leaves(self) -> np.ndarray:
        """The nodes at which the game ends, in depth-first order."""
        return np.flatnonzero(self.player == LEAF)

    @property
    def identity(self) -> Hashable:
        """What is the same in two trees that differ in payoffs and names of chance only."""
        arrays = self.parent, self.branch, self.player, self.information
        return (
            *(array.tobytes() for array in arrays),
            tuple(self.probability.tolist()),
            self.information_sets,
        )

    def leaf_chances(self) -> np.ndarray:
        """The probability of each leaf as far as nature decides, shape `(leaves,)`."""
        chances: list[Number] = [1] * len(self.parent)
        steps = zip(self.parent.tolist(), self.probability.tolist(), strict=True)
        for node, (parent, probability) in enumerate(steps):
            chances[node] = chances[parent] if probability == 1 else chances[parent] * probability
        return np.array([float(chances[node]) for node in self.leaves.tolist()])


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
    chance_names: list[str] = []
    sets: dict[int, dict[Hashable, tuple[int, InformationSet]]] = {}
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
            chance_names.append(node.name)
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
            tuple(found for _, found in sets.get(i, {}).values()) for i in range(num_players)
        ),
        chance_labels=tuple(chance_labels),
        chance_names=tuple(chance_names),
    )


def _set_number(known: dict[Hashable, tuple[int, InformationSet]], node: Decide) -> int:
    actions = tuple(label for label, _ in node.branches)
    here = InformationSet(node.information, actions, node.name)
    number, first = known.setdefault(node.information, (len(known), here))
    if len(first.actions) != len(actions):
        counts = f"{len(first.actions)} actions at one state and {len(actions)} at another"
        raise ValueError(
            f"player {node.player} has {counts} with the same information {node.information!r}; an "
            "information set has the same actions everywhere."
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

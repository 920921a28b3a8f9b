"""The sequence form: what of a tree the kernels need."""

import functools
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from gamejax._numerics import require_memory
from gamejax.extensive._history import History, InformationSet
from gamejax.sets import Tree
from gamejax.sets._ragged import Ragged


class Rows(NamedTuple):
    """One player's payoff entries, sequence by sequence.

    Attributes:
        ragged: a row for each of the player's sequences.
        partners: the sequences of all other players, in their order, of what stands at each place
            of `ragged.items`, shape `(cells, players - 1)`; 0 in padding.
        entries: which entry that is, shape `(cells,)`; one past the last in padding.
    """

    ragged: Ragged
    partners: np.ndarray
    entries: np.ndarray


class SequenceForm:
    """The information sets of all players and where payoffs stand; static and hashable.

    Made by `sequence_form`. Information sets are sorted by level, see `gamejax.sets.Tree`.

    Attributes:
        trees: the players' information sets.
        sequences: each player's sequence at each leaf, shape `(players, leaves)`.
        leaf_entry: which entry a leaf adds to, shape `(leaves,)`; -1 for leaves that are left out.
        rows: the entries of each player's sequences.
        order: per player, which information set of the history stands at each place.
        history: the tree of histories.
        lifts: of a merged form, per player the sequence here that stands for each of the
            original's; otherwise `None`. See `merged_form`.
    """

    trees: tuple[Tree, ...]
    sequences: np.ndarray
    leaf_entry: np.ndarray
    order: tuple[np.ndarray, ...]
    history: History
    lifts: tuple[np.ndarray, ...] | None
    num_entries: int

    def __init__(
        self,
        trees: tuple[Tree, ...],
        sequences: np.ndarray,
        leaf_entry: np.ndarray,
        order: tuple[np.ndarray, ...],
        history: History,
        lifts: tuple[np.ndarray, ...] | None = None,
    ):
        self.trees, self.sequences, self.leaf_entry = trees, sequences, leaf_entry
        self.order, self.history, self.lifts = order, history, lifts
        self.num_entries = int(leaf_entry.max(initial=-1)) + 1
        self._key = (
            trees,
            sequences.tobytes(),
            leaf_entry.tobytes(),
            tuple(o.tobytes() for o in order),
            history.identity,
            None if lifts is None else tuple(lift.tobytes() for lift in lifts),
        )
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, SequenceForm) or self._hash != other._hash:
            return False
        return self._key == other._key

    def __repr__(self) -> str:
        return f"SequenceForm({self.num_entries} entries, {self.trees})"

    @functools.cached_property
    def rows(self) -> tuple[Rows, ...]:
        """Each player's entries by its own sequences."""
        return tuple(self._rows_of(i) for i in range(len(self.trees)))

    def _rows_of(self, player: int) -> Rows:
        used = self.leaf_entry >= 0
        of_entry = np.zeros((len(self.trees), self.num_entries), np.int32)
        of_entry[:, self.leaf_entry[used]] = self.sequences[:, used]
        own = of_entry[player]
        ragged = Ragged(np.bincount(own, minlength=self.trees[player].num_sequences))
        sorting = np.append(np.argsort(own, kind="stable"), self.num_entries)
        entries = sorting[ragged.items].astype(np.int32)
        others = np.append(np.delete(of_entry, player, axis=0).T, [[0] * (len(of_entry) - 1)], 0)
        return Rows(ragged, others[entries].astype(np.int32), entries)

    @functools.cached_property
    def multiplicities(self) -> tuple[np.ndarray, ...] | None:
        """Of a merged form, how many of the original's sets each set stands for."""
        if self.lifts is None:
            return None
        return tuple(
            np.bincount((lift[1 :: tree.width] - 1) // tree.width, minlength=tree.num_sets)
            for lift, tree in zip(self.lifts, self.trees, strict=True)
        )

    def information_set(self, player: int, number: int) -> InformationSet:
        """One of a player's information sets: what is known, the actions, the name."""
        return self.history.information_sets[player][self.order[player][number]]

    def information_key(self, player: int, number: int) -> Hashable:
        """What a player knows at one of its information sets."""
        return self.information_set(player, number).key

    def actions(self, player: int, number: int) -> tuple[str, ...]:
        """The names of the actions at one of a player's information sets."""
        return self.information_set(player, number).actions


class RecallError(ValueError):
    """A player forgets what it did or knew; the message names it and the information set.

    Attributes:
        player, number: who, and at which of its information sets, in the order of the history.
    """

    player: int
    number: int

    def __init__(self, message: str, player: int, number: int):
        super().__init__(message)
        self.player, self.number = player, number


def sequence_form(history: History, *, keep_zeros: bool = False) -> SequenceForm:
    """The sequence form of a tree of histories.

    Args:
        history: the tree.
        keep_zeros: keep entries whose leaves all pay nobody anything; needed where payoffs are to
            be changed later under `jax.jit`.

    Raises:
        RecallError: a player reaches an information set by two sequences of its own.
        ValueError: the tree does not fit into memory.
    """
    players = range(history.num_players)
    at_node, above = _sequences(history)
    places = sum(len(one.sequence) * one.width for one in above)
    require_memory(64 * places, f"a tree padded to {places:,} sequences")
    orders, trees, renumber = [], [], []
    for i in players:
        counts = np.array([len(s.actions) for s in history.information_sets[i]], np.int32)
        order, tree, new = _sorted(above[i], counts)
        orders.append(order)
        trees.append(tree)
        renumber.append(new)
    leaves = history.leaves
    sequences = np.stack([renumber[i][at_node[i, leaves]] for i in players]).astype(np.int32)
    _, entry = np.unique(sequences, axis=1, return_inverse=True)
    entry = entry.reshape(-1)
    paying = history.payoffs.astype(bool).any(1)
    if not keep_zeros and paying.any():
        keep = np.bincount(entry, paying, entry.max() + 1) > 0
        entry = np.where(keep[entry], (np.cumsum(keep) - 1)[entry], -1)
    elif not keep_zeros:
        entry = np.where(entry == entry[0], 0, -1)
    return SequenceForm(tuple(trees), sequences, entry.astype(np.int32), tuple(orders), history)


def _sequences(history: History) -> "tuple[np.ndarray, list[_Above]]":
    """Every player's sequence at every node, and the one above each information set.

    In the numbering of first visits: action `k` of set `j` is `1 + j * width + k`.
    """
    players = range(history.num_players)
    width = max((len(s.actions) for sets in history.information_sets for s in sets), default=1)
    at_node = np.zeros((history.num_players, len(history.parent)), np.int64)
    above = []
    for i in players:
        at_node[i] = own_sequences(history, i, width)
        nodes = np.flatnonzero(history.player == i)
        numbers, own = history.information[nodes], at_node[i, nodes]
        _, first = np.unique(numbers, return_index=True)
        above.append(_Above(own[first], width))
        wrong = np.flatnonzero(own != own[first][numbers])
        if len(wrong):
            key = history.information_sets[i][numbers[wrong[0]]].key
            raise RecallError(
                f"player {i} does not recall its own past at the information set {key!r}: "
                "it gets there by different moves of its own. Sequence form needs perfect "
                "recall; a player's own past must be part of its information.",
                player=i,
                number=int(numbers[wrong[0]]),
            )
    return at_node, above


def own_sequences(history: History, player: int, width: int) -> np.ndarray:
    """What a player did last before each node, its nearest own branch found by doubling."""
    chosen = history.player[history.parent] == player
    chosen[0] = False
    nearest = np.where(chosen, np.arange(len(chosen)), history.parent)
    while (nearest != nearest[nearest]).any():
        nearest = nearest[nearest]
    sequence = 1 + history.information[history.parent].astype(np.int64) * width + history.branch
    return np.where(chosen, sequence, 0)[nearest]


class _Above(NamedTuple):
    """The sequence above each set, in the numbering of first visits with this width."""

    sequence: np.ndarray
    width: int


def _sorted(above: _Above, num_actions: np.ndarray) -> tuple[np.ndarray, Tree, np.ndarray]:
    """Sets by level and parent: the order, the tree, and the new number of each old sequence."""
    count, own_width = len(num_actions), int(num_actions.max(initial=1))
    new = np.zeros(1 + count * above.width, np.int64)
    order: list[int] = []
    parents: list[int] = []
    level = [j for j in range(count) if above.sequence[j] == 0]
    below: dict[int, list[int]] = {}
    for j in range(count):
        if above.sequence[j]:
            below.setdefault((int(above.sequence[j]) - 1) // above.width, []).append(j)
    while level:
        level.sort(key=lambda j: (new[above.sequence[j]], j))
        for j in level:
            parents.append(int(new[above.sequence[j]]))
            place = 1 + len(order) * own_width + np.arange(own_width)
            new[1 + j * above.width : 1 + j * above.width + own_width] = place
            order.append(j)
        level = [k for j in level for k in below.get(j, [])]
    ordered = np.asarray(order, np.int32)
    return ordered, Tree(np.asarray(parents), num_actions[ordered]), new

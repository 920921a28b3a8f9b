"""Which information sets are copies of one another: color refinement."""

import functools
from typing import Any

import numpy as np

from gamejax.extensive._form import SequenceForm
from gamejax.sets import Tree

TOLERANCE = 1e-12
"""Payoffs closer than this times the largest one are equal, as sums in another order are.

Float32 payoffs and chances come rounded: there it is a few units of that.
"""


def merged_form(form: SequenceForm, payoffs: Any, chance: Any) -> SequenceForm | None:
    r"""The form in which information sets that nobody can tell apart are one.

    Two sequences of a player are alike where everything around them is: the sequence before, the
    actions beside, the sets that follow, what they pay against which sequences of the others, all
    of it up to the likeness of those. The coarsest such relation is found by refining colors until
    nothing splits any more. Players who treat alike sets alike play the merged game, whose payoffs
    are sums of the original's, and no player gains more by treating them differently; so it has
    the same equilibria among such profiles, with the same gaps.

    Args:
        form: the tree.
        payoffs: of the leaves, concrete numbers of shape `(*batch, players, leaves)`. Sets merge
            where they are alike in every game of a batch.
        chance: probability of each leaf, `(*batch, leaves)`.

    Returns:
        The merged form, with `lifts` to the sequences of the original; `None` where no two sets
        are alike.

    References:
        grohe2014.
    """
    if form.lifts is not None or not any(tree.num_sets > 1 for tree in form.trees):
        return None
    sequences, values = _entries(form, np.asarray(payoffs), np.asarray(chance))
    colors = _refine(form.trees, sequences, values)
    if colors is None:
        return None
    trees, lifts, orders = [], [], []
    for tree, own, order in zip(form.trees, colors, form.order, strict=True):
        first, kept = _classes(tree, own)
        trees.append(Tree(*kept[1:]))
        lifts.append(first)
        orders.append(order[kept[0]])
    merged = np.stack([lift[own] for lift, own in zip(lifts, form.sequences, strict=True)])
    used = form.leaf_entry >= 0
    entry = np.full(form.leaf_entry.shape, -1, np.int32)
    entry[used] = np.unique(merged[:, used], axis=1, return_inverse=True)[1].reshape(-1)
    return SequenceForm(
        tuple(trees), merged.astype(np.int32), entry, tuple(orders), form.history, tuple(lifts)
    )


def _entries(
    form: SequenceForm, payoffs: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences `(players, entries)`, and numbers `(players, entries)` equal where payoffs are.

    The number of an entry that pays a player nothing is 0.
    """
    used = form.leaf_entry >= 0
    weighted = (chance[..., None, :].astype(float) * payoffs)[..., used]
    weighted = weighted.reshape(-1, len(form.trees), weighted.shape[-1])
    order = np.argsort(form.leaf_entry[used], kind="stable")
    starts = np.flatnonzero(np.diff(form.leaf_entry[used][order], prepend=-1))
    values = np.add.reduceat(weighted[..., order], starts, axis=2)
    sequences = form.sequences[:, used][:, order[starts]].astype(np.int64)
    share = max(TOLERANCE, *(16 * _rounding(x) for x in (payoffs, chance)))
    numbers = np.stack([_numbered(values[:, i], share) for i in range(len(form.trees))])
    return sequences, numbers


def _rounding(numbers: np.ndarray) -> float:
    return float(np.finfo(np.result_type(numbers, np.float32)).eps)


def _numbered(values: np.ndarray, share: float) -> np.ndarray:
    """One number per column, equal where columns are but for rounding, 0 where they are zero."""
    scale = share * max((float(np.abs(row).max(initial=0)) for row in values), default=0.0)
    numbers = np.zeros(values.shape[1], np.uint64)
    ranks = np.empty_like(numbers)
    for row in values:
        order = np.argsort(row)
        ascending = row[order]
        steps = np.diff(ascending, prepend=ascending[:1]) > scale
        ranks[order] = steps.cumsum().astype(np.uint64)
        numbers = _mix(numbers, ranks)
    nothing = (np.abs(values) <= scale).all(0)
    return np.where(nothing, np.uint64(0), numbers)


def _refine(
    trees: tuple[Tree, ...], sequences: np.ndarray, values: np.ndarray
) -> list[np.ndarray] | None:
    """A color of each sequence of each player; `None` as soon as no two sets share theirs."""
    colors = [_positions(tree) for tree in trees]
    classes = 0
    while True:
        found = [_count(c[1 :: tree.width]) for tree, c in zip(trees, colors, strict=True)]
        if all(n == tree.num_sets for n, tree in zip(found, trees, strict=True)):
            return None
        before, classes = classes, sum(map(_count, colors))
        if classes == before:
            return colors
        seen = [c[own] for c, own in zip(colors, sequences, strict=True)]
        colors = [
            _finer(tree, colors[i], sequences[i], values[i], seen[:i] + seen[i + 1 :])
            for i, tree in enumerate(trees)
        ]


def _count(colors: np.ndarray) -> int:
    """How many different ones; several times faster than `np.unique` on hashes."""
    return len(colors) and 1 + int(np.count_nonzero(np.diff(np.sort(colors))))


def _positions(tree: Tree) -> np.ndarray:
    """Colors to begin with: level, number of actions, which action."""
    level = np.repeat(np.arange(len(tree.levels)), [high - low for low, high in tree.levels])
    action = np.tile(np.arange(tree.width), tree.num_sets)
    wide = [np.repeat(x, tree.width) for x in (level, tree.num_actions)]
    parts = [np.append(0, 1 + x).astype(np.uint64) for x in (*wide, action)]
    return functools.reduce(_mix, parts)


def _finer(
    tree: Tree, own: np.ndarray, places: np.ndarray, values: np.ndarray, others: list[np.ndarray]
) -> np.ndarray:
    """Colors that also tell apart by what surrounds a sequence."""
    moves = own[1:].reshape(tree.num_sets, tree.width)
    around = functools.reduce(_mix, moves.T, own[tree.parent])
    paid = np.where(values == 0, np.uint64(0), functools.reduce(_mix, others, values))
    # Sums of hashes stand for multisets: they do not depend on the order.
    below, pay = np.zeros_like(own), np.zeros_like(own)
    np.add.at(below, tree.parent, _mix(moves[:, 0], moves[:, 0]))
    np.add.at(pay, places, paid)
    beside = np.append(np.zeros(1, np.uint64), np.repeat(around, tree.width))
    return functools.reduce(_mix, (own, beside, below, pay))


def _mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A 64-bit hash of two arrays, entry by entry (SplitMix64); 0 only by chance."""
    with np.errstate(over="ignore"):
        z = a * np.uint64(0x9E3779B97F4A7C15) + b + np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _classes(tree: Tree, colors: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """The merged sequence of each sequence; of the merged sets a member, parents and actions."""
    width = tree.width
    _, first, of_set = np.unique(colors[1::width], return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    members: list[int] = []
    parents: list[int] = []
    for low, high in tree.levels:
        level = np.sort(first[(first >= low) & (first < high)])
        above, action = np.divmod(tree.parent[level].astype(np.int64) - 1, width)
        top = tree.parent[level] == 0
        parent = np.where(top, 0, 1 + number[of_set[above]] * width + action)
        for k in np.argsort(parent, kind="stable"):
            number[of_set[level[k]]] = len(members)
            members.append(int(level[k]))
            parents.append(int(parent[k]))
    lift = 1 + number[of_set][:, None] * width + np.arange(width)
    kept = np.asarray(members, np.int64)
    sequences = np.append(0, lift.reshape(-1)).astype(np.int32)
    return sequences, (kept, np.asarray(parents, np.int64), tree.num_actions[kept])

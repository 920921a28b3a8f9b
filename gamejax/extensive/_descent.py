"""Walks down the tree of histories that draw some moves and follow all branches of the others."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gamejax._types import Scalar
from gamejax.extensive._form import SequenceForm
from gamejax.extensive._history import LEAF, NATURE, History


class Nodes(NamedTuple):
    """What is known of nodes, one entry each.

    Attributes:
        mover: who moves, or `NATURE`, or `LEAF`.
        drawn: 1 where the branch is drawn, else 0.
        num_branches: how many branches there are.
        first: the node of the next depth to which branch 0 leads.
        weights: where the weights of the branches begin; see `Descent`.
        leaf: which leaf it is; one past the last for other nodes.
    """

    mover: Any
    drawn: Any
    num_branches: Any
    first: Any
    weights: Any
    leaf: Any


class Depth(NamedTuple):
    """The nodes of one depth, in slots: a slot holds one of several nodes, or none.

    Slots are told apart by the branches that were followed on the way.

    Attributes:
        table: `Nodes` side by side, shape `(nodes + 1, 6)`; the last is "none": no branches, no
            leaf.
        width: most branches of a drawn move; 0 where none is drawn.
        num_slots: how many slots there are.
        ends: the slots in which the game may end.
        parent, branch: for each slot of the next depth the slot above, and the branch followed.
    """

    table: np.ndarray
    width: int
    num_slots: int
    ends: np.ndarray
    parent: np.ndarray
    branch: np.ndarray


class Descent(NamedTuple):
    """A walk from the root that draws the moves of some and follows all moves of the others.

    Attributes:
        depths: the tree, depth by depth.
        nature: the probabilities of nature's branches, and some zeros; weights of branches are all
            players' plans and then these.
    """

    depths: tuple[Depth, ...]
    nature: np.ndarray

    @property
    def num_draws(self) -> int:
        """How many random numbers one walk takes."""
        return sum(depth.num_slots for depth in self.depths if depth.width)


class Reached(NamedTuple):
    """Where a walk ended: leaves, and the probability of the explorer's moves on the way."""

    leaves: Int[Array, " slots"]
    reach: Float[Array, " slots"]


def walk_down(
    descent: Descent,
    weights: Float[Array, " weights"],
    noise: Float[Array, " draws"],
    *,
    explorer: int | None = None,
    exploration: Scalar | float = 0.0,
) -> Reached:
    r"""Walk from the root, drawing moves in proportion to the weights of their branches.

    Args:
        descent: which moves are drawn.
        weights: the players' plans one after another, then nature's probabilities.
        noise: numbers from 0 to 1, `descent.num_draws` of them.
        explorer: a player whose behavior $b$ is replaced by $(1-\epsilon) b + \epsilon / n$.
        exploration: $\epsilon$.
    """
    used = 0
    nodes, reach = jnp.zeros((1,), jnp.int32), jnp.ones_like(weights, shape=(1,))
    leaves, reaches = [], []
    for depth, below in zip(descent.depths, [*descent.depths[1:], None], strict=True):
        here = Nodes(*look(depth.table, nodes).T)
        if len(depth.ends):
            leaves.append(here.leaf[depth.ends])
            reaches.append(reach[depth.ends])
        if below is None:
            break
        branch = jnp.asarray(depth.branch)
        exists = branch < here.num_branches[depth.parent]
        if depth.width:
            found = _branch_weights(here, depth.width, weights, explorer, exploration)
            picked, chance = _draw(found, noise[used : used + depth.num_slots])
            used += depth.num_slots
            if explorer is not None:
                reach = jnp.where(here.mover == explorer, reach * chance, reach)
            # What is drawn goes on in the slot of branch 0.
            drawn = here.drawn[depth.parent] > 0
            exists = exists & (~drawn | (branch == 0))
            branch = jnp.where(drawn, picked[depth.parent], branch)
        nodes = jnp.where(exists, here.first[depth.parent] + branch, len(below.table) - 1)
        reach = reach[depth.parent]
    return Reached(jnp.concatenate(leaves), jnp.concatenate(reaches))


def look(table: np.ndarray | Array, index: Array) -> Array:
    """Entries of a table at places that are known to be there."""
    return jnp.asarray(table).at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _branch_weights(
    here: Nodes,
    width: int,
    weights: Float[Array, " weights"],
    explorer: int | None,
    exploration: Scalar | float,
) -> Float[Array, "slots width"]:
    """Weights of the branches at these nodes; the explorer's are its probabilities."""
    offsets = np.arange(width, dtype=np.int32)[None]
    count = here.num_branches[:, None]
    exists = offsets < count
    found = jnp.where(exists, look(weights, here.weights[:, None] + offsets), 0)
    if explorer is None:
        return found
    total = found.sum(1, keepdims=True)
    uniform = jnp.where(exists, 1 / jnp.maximum(count, 1).astype(weights.dtype), 0)
    behavior = jnp.where(total > 0, found / jnp.where(total > 0, total, 1), uniform)
    explored = (1 - exploration) * behavior + exploration * uniform
    return jnp.where(here.mover[:, None] == explorer, explored, found)


def _draw(
    weights: Float[Array, "slots width"], noise: Float[Array, " slots"]
) -> tuple[Int[Array, " slots"], Float[Array, " slots"]]:
    """A branch in proportion to its weight, and its weight."""
    sums = jnp.cumsum(weights, axis=1)
    total = sums[:, -1:]
    below = _count(sums <= noise[:, None] * total)
    # Where rounding lets the number reach the total, the last branch of positive weight.
    picked = jnp.minimum(below, _count(sums < total))
    return picked, jnp.take_along_axis(weights, picked[:, None], axis=1)[:, 0]


def _count(which: Bool[Array, "slots width"]) -> Int[Array, " slots"]:
    return which.sum(1, dtype=jnp.int32)


@functools.lru_cache(maxsize=64)
def descent(form: SequenceForm, followed: tuple[int, ...]) -> Descent:
    """The walk in which all moves of these players are followed and the other moves drawn."""
    history = form.history
    levels, first = _by_depth(history)
    places, nature = _weight_places(form, levels)
    movers, counts = history.player, np.bincount(history.parent[1:], minlength=len(first))
    drawn = (movers != LEAF) & ~np.isin(movers, followed)
    num_leaves = len(history.payoffs)
    slot, depths = np.zeros(1, np.int64), []
    for nodes, below in zip(levels, [*levels[1:], np.zeros(0, np.int64)], strict=True):
        above = np.repeat(np.arange(len(nodes)), counts[nodes])
        branch = np.where(drawn[nodes][above], 0, history.branch[below])
        pairs = np.stack([slot[above], branch])
        _, taken, new = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
        moving = movers[nodes] != LEAF
        leaf = np.where(moving, num_leaves, history.information[nodes])
        known = Nodes(movers[nodes], drawn[nodes], counts[nodes], first[nodes], places[nodes], leaf)
        none = Nodes(LEAF, 0, 0, 0, 0, num_leaves)
        table = [np.append(column, last) for column, last in zip(known, none, strict=True)]
        depths.append(
            Depth(
                table=np.stack(table, 1).astype(np.int32),
                width=int(counts[nodes][drawn[nodes]].max(initial=0)),
                num_slots=int(slot.max()) + 1,
                ends=np.unique(slot[~moving]),
                parent=pairs[0, taken],
                branch=pairs[1, taken].astype(np.int32),
            )
        )
        slot = new.reshape(-1)
    return Descent(tuple(depths), nature)


def _by_depth(history: History) -> tuple[list[np.ndarray], np.ndarray]:
    """The nodes of each depth, children side by side, and where each node's children begin."""
    counts = np.bincount(history.parent[1:], minlength=len(history.parent))
    children = 1 + np.argsort(history.parent[1:], kind="stable")
    begin = np.cumsum(counts) - counts
    levels, first = [np.zeros(1, np.int64)], np.zeros(len(counts), np.int64)
    while counts[levels[-1]].any():
        here = levels[-1]
        first[here] = np.cumsum(counts[here]) - counts[here]
        shift = np.repeat(begin[here] - first[here], counts[here])
        levels.append(children[shift + np.arange(len(shift))])
    return levels, first


def _weight_places(form: SequenceForm, levels: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where the weights of each node's branches begin, and nature's probabilities."""
    history = form.history
    movers, leaves = history.player, history.leaves
    places = np.zeros(len(movers), np.int64)
    offset = 0
    for player, tree in enumerate(form.trees):
        moves = np.zeros(len(movers), np.int64)
        for nodes in levels[1:]:
            above = history.parent[nodes]
            moves[nodes] = moves[above] + (movers[above] == player)
        nodes = np.flatnonzero(movers == player)
        # The first leaf below branch 0, and from its sequence up to that of the branch.
        leaf = np.searchsorted(leaves, nodes)
        sequence = form.sequences[player, leaf].astype(np.int64)
        surplus = moves[leaves[leaf]] - moves[nodes] - 1
        while (surplus > 0).any():
            above = tree.parent[(sequence - 1) // tree.width]
            sequence = np.where(surplus > 0, above, sequence)
            surplus = surplus - 1
        places[nodes] = offset + sequence
        offset += tree.num_sequences
    by_nature = np.flatnonzero(movers == NATURE)
    children = 1 + np.argsort(history.parent[1:], kind="stable")
    children = children[movers[history.parent[children]] == NATURE]
    counts = np.bincount(history.parent[children], minlength=len(movers))[by_nature]
    places[by_nature] = offset + np.cumsum(counts) - counts
    # Whoever has fewer branches than others reads on behind its own.
    behind = np.zeros(int(np.bincount(history.parent).max()))
    return places, np.append(history.probability[children].astype(float), behind)

"""The shape of one player's decision tree, and the passes over its levels."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax.sets._ragged import Ragged, take

Leveled = Callable[[Float[Array, "sets actions"], int, int], Float[Array, " sets"]]


class Tree:
    r"""One player's information sets, with the sequences that lead to them; static and hashable.

    A sequence is what the player itself has done so far: sequence 0 is nothing, and action $k$ of
    set $j$ is sequence $1 + ja + k$, where $a$ is the largest number of actions of any set. A set's
    level is how many sets lie above it; sets stand in the order of levels.

    Args:
        parent: for each set the sequence that leads to it, shape `(sets,)`; ascending, so that the
            sets of a level stand together and those below a sequence too.
        num_actions: how many actions each set has, at least one, shape `(sets,)`.

    Raises:
        ValueError: the arrays describe no such tree.
    """

    parent: np.ndarray
    num_actions: np.ndarray

    def __init__(self, parent: Any, num_actions: Any):
        self.parent = np.asarray(parent, np.int32).reshape(-1)
        self.num_actions = np.asarray(num_actions, np.int32).reshape(-1)
        if self.parent.shape != self.num_actions.shape:
            raise ValueError(
                "parent and num_actions must have one entry per information set, got "
                f"{len(self.parent)} and {len(self.num_actions)}."
            )
        if len(self.num_actions) and self.num_actions.min() < 1:
            raise ValueError("num_actions must be at least 1 in every information set.")
        above, action = np.divmod(self.parent - 1, self.width)
        below_itself = above < np.arange(self.num_sets)
        exists = (self.parent == 0) | (action < self.num_actions[above])
        if not (below_itself & exists).all() or (np.diff(self.parent) < 0).any():
            raise ValueError(
                "parent must be ascending and name sequences of earlier information sets."
            )
        self._key = (self.parent.tobytes(), self.num_actions.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self._key == other._key

    def __repr__(self) -> str:
        return f"Tree({self.num_sets} information sets, {self.num_sequences} sequences)"

    @property
    def num_sets(self) -> int:
        """How many information sets there are."""
        return len(self.parent)

    @functools.cached_property
    def width(self) -> int:
        """The largest number of actions of any set."""
        return int(self.num_actions.max(initial=1))

    @property
    def num_sequences(self) -> int:
        """How many sequences there are, the empty one and those of padded actions included."""
        return 1 + self.num_sets * self.width

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """Which actions exist, shape `(sets, actions)`."""
        return np.arange(self.width)[None] < self.num_actions[:, None]

    @functools.cached_property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """First set of each level, and the one after its last."""
        depth = np.zeros(self.num_sets, np.int32)
        for j, parent in enumerate(self.parent):
            depth[j] = 0 if parent == 0 else depth[(parent - 1) // self.width] + 1
        ends = np.cumsum(np.bincount(depth)) if self.num_sets else []
        return tuple(zip([0, *ends[:-1]], map(int, ends), strict=True)) if self.num_sets else ()

    @functools.cached_property
    def children(self) -> tuple[Ragged, ...]:
        """Per level, a row for each of its sequences: the sets of the next level below it."""
        rows = []
        for (low, high), (start, end) in zip(self.levels[:-1], self.levels[1:], strict=True):
            above = self.parent[start:end] - (1 + low * self.width)
            rows.append(Ragged(np.bincount(above, minlength=(high - low) * self.width)))
        return tuple(rows)

    def fold(
        self, utility: Float[Array, " sequences"], value: Leveled
    ) -> tuple[Float[Array, ""], Float[Array, "sets actions"]]:
        r"""From the leaves up: $Q_{ja} = u_{ja} + \sum_{j' : p_{j'} = ja} V_{j'}$.

        Args:
            utility: $u$, one number per sequence.
            value: $V$ of the sets `low` to `high` of a level, a function of `(Q, low, high)`.

        Returns:
            $u_\emptyset + \sum_{j : p_j = \emptyset} V_j$ and $Q$.
        """
        if not self.num_sets:
            return utility[0], jnp.zeros((0, 1), utility.dtype)
        own = utility[1:].reshape(self.num_sets, self.width)
        levels, below = [], None
        for number, (low, high) in reversed(list(enumerate(self.levels))):
            total = own[low:high]
            if below is not None:
                total = total + _sums_below(self.children[number], below).reshape(total.shape)
            below = value(total, low, high)
            levels.append(total)
        assert below is not None
        return utility[0] + below.sum(), jnp.concatenate(levels[::-1])

    def plan(self, behaviors: Float[Array, "sets actions"]) -> Float[Array, " sequences"]:
        r"""From the root down: $x_\emptyset = 1$, $x_{ja} = x_{p_j} b_{ja}$."""
        above = jnp.ones_like(behaviors, shape=(1,))
        levels, first = [above], 0
        for low, high in self.levels:
            weight = take(above, self.parent[low:high] - first)
            above = (behaviors[low:high] * weight[:, None]).reshape(-1)
            levels.append(above)
            first = 1 + low * self.width
        return jnp.concatenate(levels)

    def behaviors(self, plan: Float[Array, " sequences"]) -> Float[Array, "sets actions"]:
        r"""$b_{ja} = x_{ja} / x_{p_j}$, uniform in sets that the plan does not reach."""
        reach = take(plan, self.parent)[:, None]
        uniform = jnp.asarray(self.mask / self.num_actions[:, None], plan.dtype)
        moves = plan[1:].reshape(self.num_sets, self.width)
        total = jnp.sum(moves, axis=1, keepdims=True)
        reached = (reach > 0) & (total > 0)
        return jnp.where(reached, moves / jnp.where(reached, total, 1), uniform)


def _sums_below(children: Ragged, values: Float[Array, " sets"]) -> Float[Array, " sequences"]:
    if children.has_padding:
        values = jnp.concatenate([values, jnp.zeros_like(values[:1])])
    return children.sums(lambda low, high: take(values, children.items[low:high]))

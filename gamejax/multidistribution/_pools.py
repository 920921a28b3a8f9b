"""Examples kept group by group: one group is one distribution."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from gamejax._numerics import hash_words, safe_divide
from gamejax._types import PyTree


class PoolState(NamedTuple):
    """For draws without replacement: the rows in the order of drawing, and how many are gone."""

    order: Int[Array, " rows"]
    used: Int[Array, " distributions"]


class GroupedRows(eqx.Module):
    """Rows sorted by group, each group a distribution.

    Attributes:
        rows: a tree of arrays with a common leading axis.
        groups: the group of each row, ascending, shape `(rows,)`.
        sizes: how many rows each group has, shape `(distributions,)`.
        replace: whether rows are drawn with replacement. Otherwise groups are pools in random
            order, that run out.
    """

    rows: PyTree[Array]
    groups: Int[Array, " rows"]
    sizes: Int[Array, " distributions"]
    replace: bool = eqx.field(static=True)

    @property
    def num_groups(self) -> int:
        """How many groups there are."""
        return self.sizes.shape[0]

    @property
    def starts(self) -> Int[Array, " distributions"]:
        """Where each group begins."""
        return jnp.cumsum(self.sizes, dtype=jnp.int32) - self.sizes

    def init(self, key: PRNGKeyArray | None) -> PoolState | tuple[()]:
        """The pools in random order, where rows are not put back.

        Raises:
            ValueError: there is no key.
        """
        if self.replace:
            return ()
        if key is None:
            raise ValueError("Pools are drawn in random order: pass key=jax.random.key(seed).")
        shuffled = jax.random.permutation(key, len(self.groups)).astype(jnp.int32)
        order = shuffled[jnp.argsort(self.groups[shuffled], stable=True)]
        return PoolState(order, jnp.zeros_like(self.sizes))

    def draw(
        self, groups: Int[Array, " draws"], state: Any, key: PRNGKeyArray
    ) -> tuple[PyTree[Array], Bool[Array, " draws"], Any]:
        """A row of each group named, whether there was one, and the pools after that."""
        sizes, starts = self.sizes[groups], self.starts[groups]
        if isinstance(state, PoolState):
            same = groups[:, None] == groups[None, :]
            before = jnp.tril(same, -1).sum(1, dtype=jnp.int32)
            place = state.used[groups] + before
            available = place < sizes
            index = state.order[starts + jnp.minimum(place, jnp.maximum(sizes - 1, 0))]
            each = jnp.arange(self.num_groups, dtype=jnp.int32)
            asked = (groups[:, None] == each[None, :]).sum(0, dtype=jnp.int32)
            used = jnp.minimum(state.used + asked, self.sizes)
            state = PoolState(state.order, used)
        else:
            words = hash_words(key, groups.shape)
            index = starts + (words % jnp.maximum(sizes, 1).astype(jnp.uint32)).astype(jnp.int32)
            available = sizes > 0
        return jax.tree.map(lambda row: row[index], self.rows), available, state

    def exhausted(self, state: Any) -> Bool[Array, " distributions"]:
        """Which groups have no row left."""
        if isinstance(state, PoolState):
            return state.used >= self.sizes
        return self.sizes == 0

    def means(self, values: Float[Array, " rows *rest"]) -> Float[Array, " distributions *rest"]:
        """The mean of one value per row within each group; 0 for a group without rows."""
        shape = (self.num_groups,) + (1,) * (values.ndim - 1)
        total = jax.ops.segment_sum(values, self.groups, self.num_groups, indices_are_sorted=True)
        return safe_divide(total, self.sizes.astype(values.dtype).reshape(shape))


def grouped(
    rows: PyTree[Any], groups: ArrayLike, num_groups: int | None, replace: bool
) -> GroupedRows:
    """Sort rows by their group.

    Raises:
        TypeError: `groups` holds no integers, or the rows are traced.
        ValueError: arrays have different lengths, or a group number is out of range.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((rows, groups))):
        raise TypeError(
            "Data sets are sorted by group when they are made: make them outside of jit and vmap."
        )
    numbers = np.asarray(groups)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise TypeError(
            "groups must be one integer per row (use numpy.unique(..., return_inverse=True) for "
            f"names), got {numbers.dtype} of shape {numbers.shape}."
        )
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(rows)]
    if not leaves or any(leaf.shape[:1] != numbers.shape for leaf in leaves):
        raise ValueError(
            f"rows must have one entry per group number ({len(numbers)}), got lengths "
            f"{[leaf.shape[:1] for leaf in leaves]}."
        )
    count = int(numbers.max()) + 1 if num_groups is None else num_groups
    if len(numbers) == 0 or numbers.min() < 0 or numbers.max() >= count:
        raise ValueError(f"groups must be numbers from 0 to {count - 1}, got {np.unique(numbers)}.")
    order = np.argsort(numbers, kind="stable")
    sizes = np.bincount(numbers, minlength=count)
    return GroupedRows(
        jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[order]), rows),
        jnp.asarray(numbers[order], jnp.int32),
        jnp.asarray(sizes, jnp.int32),
        replace,
    )

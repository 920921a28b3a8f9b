"""Sums of rows of different lengths, without a scatter and almost without padding."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

BLOCK_COST = 150
"""Another block of rows costs about as much time as so many terms."""
SPELLED_OUT = 8
"""Sums of so few terms are chains of additions, which compilers fuse with what makes the terms."""

Terms = Callable[[int, int], Array]


class Ragged:
    """Row `r` adds up `counts[r]` terms; term `i` of all comes `i`-th in the order of rows.

    Rows with about as many terms form a block, padded to the longest; within one the first terms of
    all rows come first. XLA runs scatters one number at a time, and the gathers here are not.

    Args:
        counts: how many terms each row has.

    Attributes:
        items: which term stands where, shape `(cells,)`; one past the last in padding.
    """

    def __init__(self, counts: Any):
        counts = np.asarray(counts, np.int64)
        start, self.total = np.cumsum(counts) - counts, int(counts.sum())
        self.place = np.zeros(len(counts), np.int32)
        self.blocks: list[tuple[int, int, int]] = []
        items, done, cells = [np.zeros(0, np.int32)], 0, 0
        for low, high in _ranges(counts):
            rows = np.flatnonzero((counts >= low) & (counts <= high))
            step = np.arange(high)[:, None]
            items.append(np.where(step < counts[rows], start[rows] + step, self.total).reshape(-1))
            self.blocks.append((cells, len(rows), high))
            self.place[rows] = done + np.arange(len(rows))
            done, cells = done + len(rows), cells + high * len(rows)
        self.items = np.concatenate(items).astype(np.int32)
        self.has_empty = done < len(counts)
        self.place[counts == 0] += done * self.has_empty

    @property
    def has_padding(self) -> bool:
        """Whether `items` names terms that are none."""
        return len(self.items) > self.total

    def sums(self, terms: Terms) -> Array:
        """The sums of the rows.

        Args:
            terms: of `low` and `high` the terms at these places of `items`, 0 where there is none.
        """
        parts = [self._block(terms, *block) for block in self.blocks]
        if len(parts) == 1 and self.blocks[0][2] == 1 and not self.has_empty:
            return parts[0]
        if self.has_empty:
            parts.append(jnp.zeros_like(parts[0][:1]))
        return take(jnp.concatenate(parts), self.place)

    def _block(self, terms: Terms, begin: int, count: int, longest: int) -> Array:
        if longest > SPELLED_OUT:
            return terms(begin, begin + count * longest).reshape(longest, count).sum(0)
        starts = range(begin, begin + count * longest, count)
        return functools.reduce(jnp.add, [terms(low, low + count) for low in starts])


def take(rows: Array, places: np.ndarray) -> Array:
    """The rows at places that are known to be there."""
    return rows.at[places].get(mode="promise_in_bounds")


def _ranges(counts: np.ndarray) -> list[tuple[int, int]]:
    """Which lengths share a block: the cheapest way to cut the sorted lengths into ranges.

    Rows of one term or none are one block, already in order. Longer sums are put in order by a
    gather even if they stand so: without one XLA computes them anew in each kernel that reads them.
    """
    if counts.max(initial=0) == 1:
        return [(0, 1)]
    lengths, numbers = np.unique(counts[counts > 0], return_counts=True)
    cheapest: list[tuple[float, list[tuple[int, int]]]] = [(0.0, [])]
    for high in range(1, len(lengths) + 1):
        options = []
        for low in range(high):
            cells = int(lengths[high - 1]) * int(numbers[low:high].sum())
            cost, ranges = cheapest[low]
            new = (int(lengths[low]), int(lengths[high - 1]))
            options.append((cost + cells + BLOCK_COST, [*ranges, new]))
        cheapest.append(min(options, key=lambda option: option[0]))
    return cheapest[-1][1]

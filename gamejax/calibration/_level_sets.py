"""Which predictions count as alike: level sets of scores, jointly or coordinate by coordinate."""

import math
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Levels(eqx.Module):
    r"""Level sets of predictions: each coordinate of a score is cut into equal intervals.

    Interval $v$ of $m$ is $[v/m, (v+1)/m)$, the last one closed. With two classes only the second
    coordinate counts, as the first follows from it.

    Args:
        num_levels: $m \ge 1$ intervals per coordinate.
        kind: `"joint"`: predictions are alike when all coordinates are; there are $m^k$ such cells,
            of which a point of the simplex can meet $\binom{m + k}{k}$, and only those are held.
            `"coordinate"`: when the coordinate in question is, $m$ cells for each class; weaker,
            but it scales. `"none"`: all are alike, which is multiaccuracy.

    References:
        haghtalab2023; kim2019.
    """

    num_levels: int = eqx.field(static=True)
    kind: Literal["joint", "coordinate", "none"] = eqx.field(static=True, default="joint")

    def __check_init__(self) -> None:
        if isinstance(self.num_levels, bool) or not isinstance(self.num_levels, int):
            raise TypeError(f"num_levels must be an integer, got {self.num_levels!r}.")
        if self.num_levels < 1:
            raise ValueError(f"num_levels must be at least 1, got {self.num_levels}.")
        if self.kind not in ("joint", "coordinate", "none"):
            raise ValueError(f'levels must be "joint", "coordinate" or "none", got {self.kind!r}.')

    def count(self, num_classes: int) -> int:
        """How many level sets there are."""
        if self.kind == "none":
            return 1
        if self.kind == "coordinate" or num_classes == 2:
            return self.num_levels
        return math.comb(self.num_levels + num_classes, num_classes)

    def codes(self, scores: Float[Array, "points classes"]) -> Int[Array, "points coordinates"]:
        """The level set of each prediction for each coordinate (see `coordinates`)."""
        own = coordinates(scores)
        if self.kind == "none":
            return jnp.zeros(own.shape, jnp.int32)
        cells = jnp.floor(own * self.num_levels).astype(jnp.int32)
        cells = jnp.clip(cells, 0, self.num_levels - 1)
        if self.kind == "coordinate" or scores.shape[-1] == 2:
            return cells
        return jnp.broadcast_to(self._rank(cells)[:, None], own.shape)

    def _rank(self, cells: Int[Array, "points classes"]) -> Int[Array, " points"]:
        """The place of a vector of cells, whose sum is at most `num_levels`, in a list of all.

        Adding 0, 1, 2, ... to the prefix sums makes them distinct: a subset, ranked as such.
        """
        k, m = cells.shape[-1], self.num_levels
        table = np.array([[math.comb(b, j + 1) for b in range(m + k)] for j in range(k)], np.int32)
        places = jnp.cumsum(cells, axis=-1) + jnp.arange(k, dtype=jnp.int32)[None, :]
        # Rows whose scores do not sum to one could fall outside the table.
        places = jnp.minimum(places, jnp.arange(m, m + k, dtype=jnp.int32)[None, :])
        return jnp.asarray(table)[jnp.arange(k)[None, :], places].sum(-1, dtype=jnp.int32)

    def intervals(self, level: int, num_classes: int) -> tuple[tuple[float, float], ...] | None:
        """The intervals of one level set, one per coordinate that defines it; `None` for all."""
        if self.kind == "none":
            return None
        cells = [level]
        if self.kind == "joint" and num_classes > 2:
            places, rest = [], level
            for j in range(num_classes, 0, -1):
                place = max(b for b in range(self.num_levels + j) if math.comb(b, j) <= rest)
                rest -= math.comb(place, j)
                places.append(place - (j - 1))
            cells = np.diff(places[::-1], prepend=0).tolist()
        return tuple((c / self.num_levels, (c + 1) / self.num_levels) for c in cells)


def coordinates(values: Float[Array, "points classes"]) -> Float[Array, "points coordinates"]:
    """The classes that are looked at: all, or of two the second alone."""
    return values[:, 1:] if values.shape[-1] == 2 else values

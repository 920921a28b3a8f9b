"""Overlapping, weighted groups of points, and sums over groups and level sets."""

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int


class Membership(eqx.Module):
    """Which groups each point belongs to, and with which weight: the nonzeros of a matrix.

    Attributes:
        members: group numbers, shape `(points, most groups of any point)`.
        shares: weights of the same shape, 0 where a point belongs to fewer.
        num_groups: how many groups there are.
    """

    members: Int[Array, "points most"]
    shares: Float[Array, "points most"]
    num_groups: int = eqx.field(static=True)

    @classmethod
    def of(cls, groups: ArrayLike, dtype: jnp.dtype) -> Self:
        """From a matrix `(points, groups)` of booleans or weights.

        Outside of `jit` only as many columns are kept as the busiest point has groups.
        """
        num_groups = jnp.shape(groups)[1]
        if isinstance(groups, Tracer):
            every = jnp.arange(num_groups, dtype=jnp.int32)[None, :]
            return cls(jnp.broadcast_to(every, groups.shape), groups.astype(dtype), num_groups)
        matrix = np.asarray(groups)
        most = max(1, int((matrix != 0).sum(1).max(initial=0)))
        first = np.argsort(matrix == 0, axis=1, kind="stable")[:, :most]
        shares = np.take_along_axis(matrix, first, axis=1)
        return cls(jnp.asarray(first, jnp.int32), jnp.asarray(shares, dtype), num_groups)

    def rows(self, points: Int[Array, " rows"]) -> Self:
        """The groups of some points, in this order."""
        return type(self)(self.members[points], self.shares[points], self.num_groups)

    def cells(
        self, codes: Int[Array, "points coordinates"], num_levels: int
    ) -> Int[Array, "points coordinates most"]:
        """The cell (group, level set, coordinate) in which each point is counted, as a number."""
        width = codes.shape[-1]
        cells = self.members[:, None, :] * num_levels + codes[:, :, None]
        return cells * width + jnp.arange(width, dtype=jnp.int32)[None, :, None]

    def sums(
        self,
        values: Float[Array, "points coordinates"],
        codes: Int[Array, "points coordinates"],
        num_levels: int,
    ) -> Float[Array, "groups levels coordinates"]:
        """The sum of a quantity over the points of each cell."""
        width = codes.shape[-1]
        spread = self.shares[:, None, :] * values[:, :, None]
        total = jax.ops.segment_sum(
            spread.reshape(-1),
            self.cells(codes, num_levels).reshape(-1),
            self.num_groups * num_levels * width,
        )
        return total.reshape(self.num_groups, num_levels, width)

    def gather(
        self,
        table: Float[Array, "groups levels coordinates"],
        codes: Int[Array, "points coordinates"],
    ) -> Float[Array, "points coordinates"]:
        """For each point the sum of a table over the cells in which it is counted."""
        coordinate = jnp.arange(codes.shape[-1], dtype=jnp.int32)[None, :]

        def one_more(total: Array, entry: tuple[Array, Array]) -> tuple[Array, None]:
            member, share = entry
            found = table[member[:, None], codes, coordinate]
            return total + share[:, None] * found, None

        # One after the other: sums over short axes of many points are slow on CPUs.
        zero = self.shares[:, :1] * table[:1, 0]
        return jax.lax.scan(one_more, jnp.zeros_like(zero), (self.members.T, self.shares.T))[0]

    def mass(self, weights: Float[Array, " points"]) -> Float[Array, " groups"]:
        """The weight of each group."""
        spread = self.shares * weights[:, None]
        return jax.ops.segment_sum(spread.reshape(-1), self.members.reshape(-1), self.num_groups)

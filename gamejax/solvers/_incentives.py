"""The incentive constraints of correlated equilibria, as products with payoff tensors."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gamejax._linear_program import AbstractRows, DenseRows
from gamejax._numerics import HIGHEST


def incentives(
    payoffs: Float[Array, "players ..."], masks: tuple[Bool[Array, " actions"], ...], coarse: bool
) -> tuple[AbstractRows, Bool[Array, " rows"]]:
    r"""What each deviation gains, linear in the joint distribution, and which deviations exist.

    Coarse: $\sum_a \mu(a) (U_i(b, a_{-i}) - U_i(a))$, a row for each player $i$ and action $b$.
    Else $\sum_{a_{-i}} \mu(a, a_{-i}) (U_i(b, a_{-i}) - U_i(a, a_{-i}))$, a row for each player and
    pair $a \ne b$. Joint distributions are flat vectors.

    Args:
        payoffs: shape `(m, n_1, ..., n_m)`; finite also at profiles that do not exist.
        masks: which actions exist, one mask per player.
        coarse: which kind.
    """
    own = [jnp.moveaxis(payoffs[i], i, 0) for i in range(len(masks))]
    if coarse:
        gains = [
            jnp.moveaxis(table[:, None] - table[None], 1, i + 1).reshape(len(table), -1)
            for i, table in enumerate(own)
        ]
        exists = jnp.concatenate(masks)
        return DenseRows(jnp.where(exists[:, None], jnp.concatenate(gains), 0)), exists
    swaps, exists = [], []
    for table, mask in zip(own, masks, strict=True):
        others = _other_actions(len(mask))
        allowed = mask[:, None] & mask[others]
        gains = table[others] - table[:, None]
        swaps.append(jnp.where(allowed.reshape(*allowed.shape, *[1] * (table.ndim - 1)), gains, 0))
        exists.append(allowed.reshape(-1))
    return SwapRows(tuple(swaps)), jnp.concatenate(exists)


def _other_actions(count: int) -> np.ndarray:
    """For each of `count` actions the others, in cyclic order."""
    return (np.arange(count)[:, None] + np.arange(1, count)) % count


class SwapRows(AbstractRows):
    """The incentive constraints of correlated equilibria.

    A row concerns one recommendation only, so that tables of what swaps gain take
    $n_i - 1$ times, not $n_i (n_i - 1)$ times, the room of a payoff tensor.

    Attributes:
        gains: for each player $i$ an array `(n_i, n_i - 1, ...)`: recommendation, other action,
            actions of the other players in order.
    """

    gains: tuple[Float[Array, "actions others ..."], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of actions."""
        return tuple(len(g) for g in self.gains)

    def dot(self, x: Array) -> Array:
        joint = x.reshape(self.shape)
        rows = [
            jnp.einsum("akr,ar->ak", _flat(g, 2), _flat(jnp.moveaxis(joint, i, 0), 1),
                       precision=HIGHEST)
            for i, g in enumerate(self.gains)
        ]  # fmt: skip
        return jnp.concatenate([r.reshape(-1) for r in rows])

    def transpose_dot(self, y: Array) -> Array:
        total, start = None, 0
        for i, g in enumerate(self.gains):
            size = g.shape[0] * g.shape[1]
            own = y[start : start + size].reshape(g.shape[:2])
            start += size
            part = jnp.einsum("akr,ak->ar", _flat(g, 2), own, precision=HIGHEST)
            part = jnp.moveaxis(part.reshape(g.shape[0], *g.shape[2:]), 0, i).reshape(-1)
            total = part if total is None else total + part
        assert total is not None
        return total

    def gram(self, weights: Array) -> Array:
        joint = weights.reshape(self.shape)
        players = range(len(self.gains))
        blocks = [[self._block(joint, min(i, j), max(i, j)) for j in players] for i in players]
        return jnp.block([[b.T if i > j else b for j, b in enumerate(row)] for i, row in
                          enumerate(blocks)])  # fmt: skip

    def _block(self, joint: Array, i: int, j: int) -> Array:
        """The products of rows of player `i` with rows of player `j >= i`."""
        first, second = self.gains[i], self.gains[j]
        if i == j:
            weighted = _flat(first, 2) * _flat(jnp.moveaxis(joint, i, 0), 1)[:, None]
            same = jnp.einsum("akr,alr->akl", weighted, _flat(first, 2), precision=HIGHEST)
            apart = jnp.eye(len(first), dtype=bool)[:, None, :, None]
            block = jnp.where(apart, same[:, :, None], 0)
        else:
            weights = _flat(jnp.moveaxis(joint, (i, j), (0, 1)), 2)
            weighted = _flat(jnp.moveaxis(first, j + 1, 2), 3) * weights[:, None]
            facing = _flat(jnp.moveaxis(second, i + 2, 2), 3)
            block = jnp.einsum("akcr,clar->akcl", weighted, facing, precision=HIGHEST)
        return _flat(block.reshape(block.shape[0] * block.shape[1], *block.shape[2:]), 1)


class Bordered(AbstractRows):
    r"""Inequalities over a distribution and more unknowns, with slacks, and one equation.

    $\begin{pmatrix} A & 0 & I & 0 \\ F & e & 0 & I \\ \mathbf 1 & 0 & 0 & 0 \end{pmatrix}$ on
    $(\mu, t, s, s')$: the columns of $A$, one number, a slack per inequality.

    Attributes:
        inner: $A$.
        floors: $F$, some dense rows; where there are none, there is no $t$.
    """

    inner: AbstractRows
    floors: Float[Array, "floors columns"]

    def dot(self, x: Array) -> Array:
        num_floors, size = self.floors.shape
        free = min(num_floors, 1)
        joint, slacks = x[:size], x[size + free :]
        floors = jnp.matmul(self.floors, joint, precision=HIGHEST) + (x[size] if free else 0)
        left = jnp.concatenate([self.inner.dot(joint), floors]) + slacks
        return jnp.concatenate([left, joint.sum(keepdims=True)])

    def transpose_dot(self, y: Array) -> Array:
        num_floors = len(self.floors)
        slacks, total = y[:-1], y[-1]
        split = len(slacks) - num_floors
        joint = self.inner.transpose_dot(slacks[:split]) + total
        if not num_floors:
            return jnp.concatenate([joint, slacks])
        joint = joint + jnp.matmul(slacks[split:], self.floors, precision=HIGHEST)
        return jnp.concatenate([joint, slacks[split:].sum(keepdims=True), slacks])

    def gram(self, weights: Array) -> Array:
        num_floors, size = self.floors.shape
        free = min(num_floors, 1)
        joint, slacks = weights[:size], weights[size + free :]
        border = jnp.concatenate([self.floors, jnp.ones_like(joint)[None]])
        weighted = border * joint[None, :]
        edge = jnp.stack([self.inner.dot(row) for row in weighted])
        corner = jnp.matmul(weighted, border.T, precision=HIGHEST)
        if free:
            corner = corner.at[:num_floors, :num_floors].add(weights[size])
        total = jnp.block([[self.inner.gram(joint), edge.T], [edge, corner]])
        rows = jnp.arange(len(slacks))
        return total.at[rows, rows].add(slacks)


def _flat(array: Array, axes: int) -> Array:
    """The array with all axes beyond the first `axes` as one."""
    return array.reshape(*array.shape[:axes], math.prod(array.shape[axes:]))

"""Games of many players who meet in pairs."""

from collections.abc import Iterable, Sequence
from typing import Self, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.games._base import AbstractGame, Labels
from gamejax.games._normal_form import as_payoffs, check_sets
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.sets._checks import is_concrete

Edge: TypeAlias = tuple[int, int, Numbers, Numbers]


class PolymatrixGame(AbstractGame):
    r"""A polymatrix game: two-player games with every neighbor, one strategy for all of them.

    $u_i(x) = \sum_{j \ne i} A_{ij} x_j$, where $A_{ij}[a, b]$ is what $i$ gains from playing $a$
    when $j$ plays $b$. One contraction for all players; $O(\text{pairs} \cdot n^2)$ work, and
    memory likewise, whatever the number of action profiles.

    Args:
        payoffs: array `(m, m, n, n)` of all $A_{ij}$, zero where $i = j$; or, with `pairs`, array
            `(len(pairs), n, n)` of the matrices of those pairs alone. Integers become the default
            float. Where players have fewer actions than $n$, the rest is ignored.
        pairs: the ordered pairs $(i, j)$ in which $i$ gains from $j$ (static); default all.
        num_actions: number of actions of each player, where they differ; needed with `pairs`.
        strategy_sets: one set per player; default whole simplices.
        labels: names of the game, its players and their actions.

    Raises:
        ValueError: shapes do not fit each other, or a diagonal block is not zero.

    References:
        howson1972, cai2016.
    """

    payoffs: Float[Array, "*pairs actions actions"]
    strategy_sets: tuple[AbstractStrategySet, ...]
    pairs: tuple[tuple[int, int], ...] | None = eqx.field(static=True)

    def __init__(
        self,
        payoffs: Numbers,
        pairs: Sequence[tuple[int, int]] | None = None,
        num_actions: Sequence[int] | None = None,
        strategy_sets: Sequence[AbstractStrategySet] | None = None,
        *,
        labels: Labels | None = None,
    ):
        array = as_payoffs(payoffs, "payoffs")
        self.pairs = None if pairs is None else tuple((int(i), int(j)) for i, j in pairs)
        if num_actions is None:
            if self.pairs is not None:
                raise ValueError("num_actions, one per player, must be given together with pairs.")
            num_actions = (array.shape[-1],) * array.shape[0]
        counts = tuple(int(n) for n in num_actions)
        leading = (len(counts),) * 2 if self.pairs is None else (len(self.pairs),)
        if array.shape != (*leading, max(counts), max(counts)):
            raise ValueError(
                f"payoffs must have shape {(*leading, max(counts), max(counts))}, "
                f"got {array.shape}."
            )
        if self.pairs is None:
            array = _without_diagonal(array)
        else:
            _check_pairs(self.pairs, len(counts))
        self.payoffs = array
        self.strategy_sets = (
            tuple(Simplex(n) for n in counts) if strategy_sets is None else tuple(strategy_sets)
        )
        check_sets(self.strategy_sets, counts)
        self.labels = labels

    @classmethod
    def from_edges(cls, edges: Iterable[Edge], *, labels: Labels | None = None) -> Self:
        """The game on a graph, each edge once: `(i, j, A_ij, A_ji)`.

        Args:
            edges: players $i$ and $j$, then `A_ij` of shape `(n_i, n_j)` and `A_ji` of shape
                `(n_j, n_i)`: each has its owner's actions in rows. Every player up to the largest
                index must appear; action counts may differ between players.
            labels: names of the game, its players and their actions.

        Raises:
            ValueError: an edge appears twice, shapes disagree, or a player has no edge.
        """
        matrices: dict[tuple[int, int], Array] = {}
        counts: dict[int, int] = {}
        for i, j, forth, back in edges:
            for pair, matrix in (((i, j), forth), ((j, i), back)):
                block = as_payoffs(matrix, f"the payoffs of {pair}")
                if pair in matrices or i == j:
                    raise ValueError(f"edges must join each two players once, got {pair} again.")
                sizes = tuple(
                    counts.setdefault(p, n) for p, n in zip(pair, block.shape, strict=False)
                )
                if block.ndim != 2 or sizes != block.shape:
                    raise ValueError(
                        f"the payoffs of {pair} must have shape (n_{pair[0]}, n_{pair[1]}) = "
                        f"{sizes}, got {block.shape}."
                    )
                matrices[pair] = block
        missing = sorted(set(range(max(counts, default=-1) + 1)) - set(counts))
        if missing or not counts:
            raise ValueError(f"edges must name every player, got none for {missing or 'anyone'}.")
        most = max(counts.values())
        padded = [
            jnp.pad(block, [(0, most - n) for n in block.shape]) for block in matrices.values()
        ]
        num_actions = [counts[i] for i in range(len(counts))]
        return cls(jnp.stack(padded), tuple(matrices), num_actions, labels=labels)

    @property
    def _num_actions(self) -> tuple[int, ...]:
        return tuple(s.shape[0] for s in self.strategy_sets)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        blocks, others = self._blocks(player)
        gains = jnp.einsum("jab,jb->a", blocks, self._stack(profile)[others], precision=HIGHEST)
        return gains[: self._num_actions[player]]

    def utilities(self, profile: tuple[Array, ...]) -> tuple[Array, ...]:
        strategies = self._stack(profile)
        if self.pairs is None:
            gains = jnp.einsum("ijab,jb->ia", self.payoffs, strategies, precision=HIGHEST)
        else:
            owners, others = np.array(self.pairs, np.int32).T
            each = jnp.einsum("eab,eb->ea", self.payoffs, strategies[others], precision=HIGHEST)
            gains = jax.ops.segment_sum(each, owners, len(profile))
        return tuple(g[:n] for g, n in zip(gains, self._num_actions, strict=True))

    def deviations(self, player: int, joint: Joint) -> Array:
        num_players, own = self.num_players, self._num_actions[player]
        blocks, others = self._blocks(player)
        total = jnp.zeros_like(blocks[0, :own, :own])
        for block, other in zip(blocks, others, strict=True):
            rest = tuple(j for j in range(num_players) if j not in (player, other))
            met = joint.probabilities.sum(rest)
            met = met if player < other else met.T
            total += jnp.matmul(met, block[:own, : met.shape[1]].T, precision=HIGHEST)
        return total

    def utility_range(self, player: int) -> Scalar:
        """Largest minus smallest payoff: every neighbor may do its best or worst on its own."""
        blocks, others = self._blocks(player)
        exists = self._exists()
        allowed = exists[others][:, None, :]
        highest = jnp.max(blocks, -1, where=allowed, initial=-jnp.inf).sum(0)
        lowest = jnp.min(blocks, -1, where=allowed, initial=jnp.inf).sum(0)
        best = jnp.max(highest, where=exists[player], initial=-jnp.inf)
        return best - jnp.min(lowest, where=exists[player], initial=jnp.inf)

    def _stack(self, profile: tuple[Array, ...]) -> Float[Array, "players actions"]:
        most = self.payoffs.shape[-1]
        return jnp.stack([jnp.pad(x, (0, most - x.shape[0])) for x in profile])

    def _blocks(self, player: int) -> tuple[Array, np.ndarray]:
        """The matrices by which a player gains, and from whom."""
        if self.pairs is None:
            others = np.delete(np.arange(self.num_players), player)
            return self.payoffs[player][others], others
        chosen = [(k, j) for k, (i, j) in enumerate(self.pairs) if i == player]
        rows, others = np.array(chosen, int).reshape(-1, 2).T
        return self.payoffs[rows], others

    def _exists(self) -> Array:
        """Which of the padded actions each player has, by count and by mask."""
        most = self.payoffs.shape[-1]
        rows = []
        for s in self.strategy_sets:
            mask = getattr(s, "mask", None)
            mask = jnp.ones(s.shape, bool) if mask is None else mask
            rows.append(jnp.pad(mask, (0, most - s.shape[0])))
        return jnp.stack(rows)


def _without_diagonal(payoffs: Array) -> Array:
    """All blocks, those of a player with itself zero; concrete ones must have been zero."""
    diagonal = np.eye(payoffs.shape[0], dtype=bool)[:, :, None, None]
    diagonal = np.broadcast_to(diagonal, payoffs.shape)
    if is_concrete(payoffs) and bool(jnp.any(jnp.where(diagonal, payoffs, 0) != 0)):
        raise ValueError("payoffs[i, i] must be zero: no player meets itself.")
    return jnp.where(diagonal, 0, payoffs)


def _check_pairs(pairs: tuple[tuple[int, int], ...], num_players: int) -> None:
    bad = [p for p in pairs if p[0] == p[1] or not all(0 <= i < num_players for i in p)]
    if bad or len(set(pairs)) != len(pairs):
        raise ValueError(
            f"pairs must be distinct and join different players among {num_players}, "
            f"got {bad or 'a pair twice'}."
        )

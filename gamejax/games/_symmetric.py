"""Games in which players are interchangeable, without the payoff tensor."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.games._base import AbstractGame, Labels
from gamejax.games._normal_form import as_payoffs, check_sets
from gamejax.sets import AbstractStrategySet, Simplex


@functools.lru_cache(maxsize=128)
def count_vectors(num_opponents: int, num_actions: int) -> Int[np.ndarray, "columns actions"]:
    r"""How many of `num_opponents` play each action: every possibility, one per row.

    The rows are the columns of a `SymmetricGame`'s payoff table, in its order: the sorted lists of
    the opponents' actions, lexicographically. Two opponents and three actions: 00, 01, 02, 11, 12,
    22, hence `[[2, 0, 0], [1, 1, 0], [1, 0, 1], [0, 2, 0], [0, 1, 1], [0, 0, 2]]`. One opponent:
    the identity matrix.

    Returns:
        A read-only array of integers with $\binom{k + n - 1}{n - 1}$ rows, for $k$ opponents.
    """
    lists = itertools.combinations_with_replacement(range(num_actions), num_opponents)
    rows = [np.bincount(np.array(plays, int), minlength=num_actions) for plays in lists]
    counts = np.array(rows, np.int32)
    counts.setflags(write=False)
    return counts


@functools.lru_cache(maxsize=128)
def _moves(num_opponents: int, num_actions: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns reached when one opponent moves from action 0 to b (`after`), and from b back.

    Opponents not yet looked at wait at action 0, so that every partial count is a full count and
    one table serves all steps. A move that is not possible points one past the last column in
    `before` and to the column itself in `after` (such columns have probability 0).
    """
    counts = count_vectors(num_opponents, num_actions)
    column = {tuple(c): k for k, c in enumerate(counts.tolist())}
    steps = np.eye(num_actions, dtype=int) - np.eye(num_actions, dtype=int)[0]
    before = [[column.get(tuple(c), len(counts)) for c in count - steps] for count in counts]
    after = [[column.get(tuple(c), k) for c in count + steps] for k, count in enumerate(counts)]
    return np.array(before, np.int32), np.array(after, np.int32)


class SymmetricGame(AbstractGame):
    r"""A game of $m$ interchangeable players.

    A payoff depends on the own action and on how many opponents chose each action:

    $$u_i(x)[a] = \sum_c U(a, c)\, \Pr[\text{opponents' counts} = c].$$

    The strategies of different players may differ. Counts are a dynamic program over players:
    distributions of the counts of the players before $i$, expected payoffs given the counts of
    those up to $i$, and one product of the two. $O(m\, n^2 \binom{m+n-2}{n-1})$ work for all
    players; the tensor of $n^m$ entries is never formed.

    Args:
        payoffs: the table $U$, shape `(n, columns)`: own action by opponents' counts, in the order
            of the rows of `count_vectors(num_players - 1, n)`. For two players, the row player's
            payoff matrix. Integers become the default float.
        num_players: how many players there are.
        strategy_sets: one set per player; default whole simplices.
        labels: names of the game, its players and their actions.

    Raises:
        ValueError: the table does not have the number of columns that the players make.
    """

    payoffs: Float[Array, "actions columns"]
    strategy_sets: tuple[AbstractStrategySet, ...]

    def __init__(
        self,
        payoffs: Numbers,
        num_players: int,
        strategy_sets: Sequence[AbstractStrategySet] | None = None,
        *,
        labels: Labels | None = None,
    ):
        table = as_payoffs(payoffs, "payoffs")
        if num_players < 1:
            raise ValueError(f"num_players must be at least 1, got {num_players}.")
        if table.ndim != 2 or table.size == 0:
            raise ValueError(f"payoffs must be a table (actions, columns), got {table.shape}.")
        num_actions = table.shape[0]
        columns = math.comb(num_players + num_actions - 2, num_actions - 1)
        if table.shape[1] != columns:
            raise ValueError(
                f"payoffs must have {columns} columns, one per row of "
                f"count_vectors({num_players - 1}, {num_actions}), got {table.shape[1]}."
            )
        self.payoffs = table
        self.strategy_sets = (
            (Simplex(num_actions),) * num_players if strategy_sets is None else tuple(strategy_sets)
        )
        check_sets(self.strategy_sets, (num_actions,) * num_players)
        self.labels = labels

    @classmethod
    def from_matrix(cls, matrix: Numbers, *, labels: Labels | None = None) -> Self:
        """The two-player game in which the row player gains `matrix`, the other its transpose."""
        return cls(matrix, 2, labels=labels)

    @classmethod
    def from_function(
        cls,
        payoff: Callable[[int, np.ndarray], float],
        num_players: int,
        num_actions: int,
        *,
        labels: Labels | None = None,
    ) -> Self:
        """The game in which `payoff(action, counts)` is gained against opponents' `counts`."""
        counts = count_vectors(num_players - 1, num_actions)
        table = [[float(payoff(a, c)) for c in counts] for a in range(num_actions)]
        return cls(table, num_players, labels=labels)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        return self.utilities(profile)[player]

    def utilities(self, profile: tuple[Array, ...]) -> tuple[Array, ...]:
        before, after = _moves(len(profile) - 1, self.payoffs.shape[0])

        def forward(counts: Array, strategy: Array) -> tuple[Array, Array]:
            reached = jnp.append(counts, jnp.zeros_like(counts[:1]))[before]
            return jnp.matmul(reached, strategy, precision=HIGHEST), counts

        def backward(values: Array, strategy: Array) -> tuple[Array, Array]:
            return jnp.matmul(values[:, after], strategy, precision=HIGHEST), values

        strategies = jnp.stack(profile)
        nobody_moved = jnp.zeros_like(self.payoffs[0]).at[0].set(1)
        earlier = jax.lax.scan(forward, nobody_moved, strategies)[1]
        later = jax.lax.scan(backward, self.payoffs, strategies, reverse=True)[1]
        return tuple(jnp.einsum("mc,mac->ma", earlier, later, precision=HIGHEST))

    def utility_range(self, player: int) -> Scalar | None:
        """Largest minus smallest payoff; `None` where masks hide some of the table."""
        if any(getattr(s, "mask", None) is not None for s in self.strategy_sets):
            return None
        return jnp.max(self.payoffs) - jnp.min(self.payoffs)

"""Support enumeration: one or all equilibria of tiny bimatrix games."""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame
from gamejax.games._pure import action_masks, payoff_tensor
from gamejax.games._supports import Indifference, indifference_on, normalize, subsets
from gamejax.metrics import nash_gap
from gamejax.solvers._base import AbstractSolver

MAX_SUPPORT_PAIRS = 200_000
"""More pairs of supports than this are refused: minutes of work and no end in sight."""
PAIRS_PER_STEP = 64


class SupportScan(NamedTuple):
    """What is known of every pair of supports, pairs in front.

    Attributes:
        rows: the row player's supports and the strategies on them that make the column player's
            support indifferent.
        columns: the same for the column player.
        gaps: the Nash gap of each pair of strategies.
        found: whether the pair is an equilibrium.
    """

    rows: Indifference
    columns: Indifference
    gaps: Float[Array, " pairs"]
    found: Bool[Array, " pairs"]


class SupportState(eqx.Module):
    """The best profile so far, its gap, and how many pairs of supports were tried."""

    best: tuple[Strategy, Strategy]
    gap: Scalar
    pairs: Int[Array, ""]


class SupportEnumeration(AbstractSolver):
    r"""Tries every pair of supports of equal size, smallest first: for tiny two-player games.

    On supports $I, J$ solves $(A y)_i = v, i \in I$, $y_j = 0, j \notin J$, $\sum_j y_j = 1$ and
    the same for $x$; an equilibrium if both are strategies and no action outside gains. In a
    non-degenerate game every equilibrium is found this way. `solve` stops at the first one (the
    profile of smallest gap is kept), 64 pairs a step; `enumerate` gives all of them at once.

    Raises:
        ValueError: there are more than 200,000 pairs, $\binom{n + k}{n} - 1$ of them.

    References:
        dickhaut1991; vonstengel2002.
    """

    def check(self, game: AbstractGame) -> None:
        """Refuse games of other than two players on simplices, or with too many supports."""
        if game.num_players != 2:
            raise ValueError(
                f"SupportEnumeration needs two players, the game has {game.num_players}."
            )
        action_masks(game)
        require_few_pairs(*(s.shape[0] for s in game.strategy_sets))

    def enumerate(self, game: AbstractGame) -> SupportScan:
        """All pairs of supports, in arrays of fixed shape: to be jitted and mapped."""
        self.check(game)
        n, k = (s.shape[0] for s in game.strategy_sets)
        return scan_supports(game, *map(jnp.asarray, support_pairs(n, k)))

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> SupportState:
        self.check(game)
        if start is None:
            start = tuple(s.center(dtype) for s in game.strategy_sets)
        gap = nash_gap(game, start)
        return SupportState(start, gap, jnp.zeros_like(gap, jnp.int32))

    def step(
        self, game: AbstractGame, state: SupportState, *, key: PRNGKeyArray | None
    ) -> SupportState:
        own, other = support_pairs(*(s.shape[0] for s in game.strategy_sets))
        number = state.pairs + jnp.arange(PAIRS_PER_STEP, dtype=jnp.int32)
        chosen = jnp.minimum(number, len(own) - 1)
        scan = scan_supports(game, jnp.asarray(own)[chosen], jnp.asarray(other)[chosen])
        gaps = jnp.where(scan.found, scan.gaps, jnp.inf)
        leader = jnp.argmin(gaps)
        better = gaps[leader] < state.gap
        profile = (scan.rows.strategy[leader], scan.columns.strategy[leader])
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), profile, state.best)
        pairs = jnp.minimum(state.pairs + PAIRS_PER_STEP, len(own))
        gap = jnp.where(better, gaps[leader], state.gap)
        return SupportState(best, gap, pairs)

    def profile(self, state: SupportState) -> Profile:
        return state.best

    def status(self, state: SupportState) -> RESULTS:
        """`stalled` once all pairs were tried."""
        n, k = (x.shape[-1] for x in state.best)
        more = state.pairs < count_pairs(n, k)
        return RESULTS.where(more, RESULTS.running, RESULTS.stalled)

    def stats(self, game: AbstractGame, state: SupportState) -> dict[str, Any]:
        """`num_pairs` of supports tried."""
        return {"num_pairs": state.pairs}


def count_pairs(n: int, k: int) -> int:
    """How many pairs of supports of equal size there are."""
    return math.comb(n + k, n) - 1


def require_few_pairs(n: int, k: int) -> None:
    """Refuse so many actions that the supports cannot be gone through."""
    if count_pairs(n, k) > MAX_SUPPORT_PAIRS:
        raise ValueError(
            f"There are {count_pairs(n, k)} pairs of supports of equal size, more than "
            f'{MAX_SUPPORT_PAIRS}; use method="lemke_howson" or a solver that finds one '
            "equilibrium."
        )


@functools.lru_cache(maxsize=16)
def support_pairs(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of supports of equal size as masks, `(pairs, n)` and `(pairs, k)`; small first."""
    return pairs_among(np.ones(n, bool), np.ones(k, bool))


def pairs_among(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `support_pairs`, of the actions that exist."""
    first, second = [], []
    for size in range(1, min(int(rows.sum()), int(columns.sum())) + 1):
        own, other = subsets(rows, size), subsets(columns, size)
        first.append(np.repeat(own, len(other), axis=0))
        second.append(np.tile(other, (len(own), 1)))
    return np.concatenate(first), np.concatenate(second)


def scan_supports(game: AbstractGame, row_supports: Array, column_supports: Array) -> SupportScan:
    """The strategies on pairs of supports, `(pairs, n)` and `(pairs, k)`, and what they are."""
    rows, columns = action_masks(game)
    a, b = unit_tables(game)
    y = indifference_on(a, row_supports, column_supports, rows)
    x = indifference_on(b, column_supports, row_supports, columns)
    exist = (rows[None, :] | ~row_supports).all(1) & (columns[None, :] | ~column_supports).all(1)
    gaps = jax.vmap(nash_gap, (None, 0))(game, (x.strategy, y.strategy))
    return SupportScan(x, y, gaps, x.valid & y.valid & exist)


def unit_tables(game: AbstractGame) -> tuple[Array, Array]:
    """Each player's payoffs in [0, 1], own actions in rows."""
    rows, columns = action_masks(game)
    exists = rows[:, None] & columns[None, :]
    payoffs = payoff_tensor(game)
    return normalize(payoffs[0], exists), normalize(payoffs[1], exists).T

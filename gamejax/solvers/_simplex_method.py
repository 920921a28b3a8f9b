"""The simplex method for two-player zero-sum games."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame, MatrixGame
from gamejax.games._normal_form import payoff_bounds
from gamejax.games._pure import action_masks, payoff_tensor
from gamejax.sets._checks import is_concrete
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._pivoting import (
    PIVOTS_PER_VARIABLE,
    Rules,
    exchange,
    leaving_row,
    perturbation,
    pivot_until_done,
    probabilities,
    product,
    restore,
    smallest,
    tolerances,
)

REFINED_FROM = 32
"""From so many actions on float64 strategies are refined too; float32 ones always are."""


class SimplexState(eqx.Module):
    """A basis and what its tableau says; the tableau itself is built anew when it is needed.

    Attributes:
        variables: the basic variables row by row, then the nonbasic ones column by column; the
            slack of row `i` is number `i`, the probability of column `j` number `n + j`.
        origin: row and column of the pure profile it began at.
        strategies: the two strategies of this basis.
        margin, condition: see `SimplexMethod`.
        running: whether some cost is negative.
        pivots: how many were done.
        left: how many may be done before the state is looked at again.
    """

    variables: Int[Array, " variables"]
    origin: Int[Array, "2"]
    strategies: tuple[Strategy, Strategy]
    margin: Scalar
    condition: Scalar
    running: Bool[Array, ""]
    pivots: Int[Array, ""]
    left: Int[Array, ""]


class _Tableau(eqx.Module):
    """`entries`: costs in the last row; values, exact and perturbed, in the last two columns."""

    entries: Float[Array, "rows columns"]
    variables: Int[Array, " variables"]
    origin: Int[Array, "2"]
    running: Bool[Array, ""]
    pivots: Int[Array, ""]
    left: Int[Array, ""]


class SimplexMethod(AbstractSolver):
    r"""The simplex method: an exact equilibrium of a two-player zero-sum game.

    Solves $\min_{y, v} v$ subject to $A y + s = v \mathbf 1$, $y \in \Delta$, $s \ge 0$ on a dense
    condensed tableau from the best pure column and its best reply; the costs of the slacks are the
    row player's strategy. One step is one pivot, of smallest cost; random games take about 5 for 8
    actions and 100 for 64. It always ends: tiny generic perturbations of the right-hand sides act
    as the lexicographic rule, so that no basis comes twice, and have no part in the strategies.
    Those of float32 and of larger games are refined once with the basis found, and the better pair
    kept. Unlike first-order methods it needs no tolerance: the gap is of the size of rounding
    errors. The strategies are a vertex of the set of equilibria.

    `stats` has `num_pivots`; `margin`, the smallest of the basic variables and the nonbasic costs,
    which is 0 where the equilibrium is degenerate or not unique; and `condition`, an estimate of
    how much the strategies may change with the payoffs (both as shares of their range), infinite
    where the margin is 0 up to rounding. Derivatives of the strategies exist where it is finite.

    References:
        dantzig1951, charnes1952.
    """

    def check(self, game: AbstractGame) -> None:
        """Refuse games that are not zero-sum or not on simplices."""
        if game.num_players != 2:
            raise ValueError(f"SimplexMethod needs two players, the game has {game.num_players}.")
        rows, columns = action_masks(game)
        if not isinstance(game, MatrixGame):
            check_constant_sum(payoff_tensor(game), rows[:, None] & columns[None, :])

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> SimplexState:
        self.check(game)
        matrix = _matrix(game)
        n, k = matrix.shape
        replies = lax.argmax(matrix, 0, jnp.int32)
        if start is None:
            best = jnp.take_along_axis(matrix, replies[None, :], 0)[0]
            _, column = smallest(best)
        else:
            column = lax.argmax(start[1], 0, jnp.int32)
        row = replies[column]
        place = jnp.arange(n + k, dtype=jnp.int32)
        swapped = jnp.where(place == n + column, row, place)
        variables = jnp.where(place == row, n + column, swapped)
        profile = (jax.nn.one_hot(row, n, dtype=dtype), jax.nn.one_hot(column, k, dtype=dtype))
        against = jnp.where(profile[0] > 0, jnp.inf, matrix[row, column] - matrix[:, column])
        facing = jnp.where(profile[1] > 0, jnp.inf, matrix[row] - matrix[row, column])
        margin = jnp.clip(jnp.minimum(smallest(against)[0], smallest(facing)[0]), 0, 1)
        condition = jnp.where(margin > _unique_from(dtype), 1, jnp.inf).astype(dtype)
        origin, zero = jnp.stack([row, column]), 0 * row
        return SimplexState(variables, origin, profile, margin, condition, zero == 0, zero, zero)

    def step(
        self, game: AbstractGame, state: SimplexState, *, key: PRNGKeyArray | None
    ) -> SimplexState:
        return self.advance(game, state, state.pivots, 1, key=key)

    def advance(
        self,
        game: AbstractGame,
        state: SimplexState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> SimplexState:
        """At most `count` pivots; see `AbstractSolver.advance`."""

        def go(state: SimplexState) -> SimplexState:
            left = 0 * state.left + jnp.asarray(count, jnp.int32)
            granted = eqx.tree_at(lambda s: s.left, state, left)
            ended = pivot_until_done(_RULES, (_matrix(game), _masks(game)), granted)
            return jax.tree.map(lambda new, old: jnp.where(state.running, new, old), ended, state)

        return lax.cond(jnp.asarray(count) > 0, go, lambda state: state, state)

    def profile(self, state: SimplexState) -> Profile:
        return state.strategies

    def status(self, state: SimplexState) -> RESULTS:
        """`stalled` at the last basis, the answer up to rounding; `cycled` after too many."""
        most = PIVOTS_PER_VARIABLE * state.variables.shape[0]
        ended = RESULTS.where(state.pivots < most, RESULTS.stalled, RESULTS.cycled)
        return RESULTS.where(state.running, RESULTS.running, ended)

    def stats(self, game: AbstractGame, state: SimplexState) -> dict[str, Any]:
        """`num_pivots`, `margin` and `condition`."""
        return {
            "num_pivots": state.pivots,
            "margin": state.margin,
            "condition": state.condition,
        }


def check_constant_sum(payoffs: Array, exists: Array) -> None:
    """Refuse two players' payoffs whose sum is not constant, unless they are traced."""
    if not is_concrete(payoffs, exists):
        return
    total = np.asarray(payoffs.sum(0))[np.asarray(exists)]
    scale = max(float(np.abs(np.asarray(payoffs)).max()), 1e-30)
    spread = float(total.max() - total.min())
    if spread > 100 * float(np.finfo(total.dtype).eps) * scale:
        raise ValueError(
            "The payoffs of the two players must sum to a constant for the game to have a value; "
            f"their sum varies by {spread:.3g}."
        )


def _matrix(game: AbstractGame) -> Float[Array, "rows columns"]:
    """What the row player gains, in [0, 1], with worse rows and columns that do not exist."""
    payoff = game.payoff if isinstance(game, MatrixGame) else payoff_tensor(game)[0]
    lowest, highest = payoff_bounds(payoff, game.strategy_sets)
    scaled = (payoff - lowest) / jnp.where(highest > lowest, highest - lowest, 1)
    masks = _masks(game)
    if masks is None:
        return scaled
    return jnp.where(masks[1][None, :], jnp.where(masks[0][:, None], scaled, -1), 2)


def _masks(game: AbstractGame) -> tuple[Array, Array] | None:
    """Which rows and columns exist; `None` for all of them."""
    if all(getattr(s, "mask", None) is None for s in game.strategy_sets):
        return None
    rows, columns = action_masks(game)
    return rows, columns


def _begin(data: tuple[Array, Any], state: SimplexState) -> _Tableau:
    """The tableau of the state's basis."""
    matrix, masks = data
    n, k = matrix.shape
    place = jnp.arange(n + k, dtype=jnp.int32)
    # Every basis is built up from that of the pure profile at which the state began.
    row, column = state.origin[0], state.origin[1]
    swapped = jnp.where(place == n + column, row, place)
    variables = jnp.where(place == row, n + column, swapped)
    entries = _first_tableau(matrix, row, column, masks)
    entries, variables = restore(
        entries, variables, state.variables, n, state.running & (state.pivots > 0)
    )
    return _Tableau(entries, variables, state.origin, state.running, state.pivots, state.left)


def _first_tableau(
    matrix: Array, row: Array, column: Array, masks: tuple[Array, Array] | None
) -> Array:
    r"""The tableau in which `column` and, its best reply, `row` are played.

    With $d_{ij} = A_{ij} - A_{ic}$: slack $s_i = (A_{rc} - A_{ic}) + s_r - \sum_j
    (d_{ij} - d_{rj}) y_j$, $y_c = 1 - \sum_j y_j$ and $v = A_{rc} + s_r + \sum_j d_{rj} y_j$.
    """
    n, k = matrix.shape
    dtype = matrix.dtype
    down = lax.dynamic_index_in_dim(matrix, column, 1, keepdims=False)
    change = matrix - down[:, None]
    costs = lax.dynamic_index_in_dim(change, row, 0, keepdims=False)
    is_row = jnp.arange(n, dtype=jnp.int32) == row
    is_column = jnp.arange(k, dtype=jnp.int32) == column
    body = jnp.where(is_column[None, :], -1, change - costs[None, :])
    body = jnp.where(is_row[:, None], (~is_column).astype(dtype)[None, :], body)
    values = jnp.where(is_row, 1, down[row] - down)
    costs = jnp.where(is_column, 1, costs)
    # Rows without entries never leave, columns of positive cost and no entries never enter.
    if masks is not None:
        body = jnp.where(masks[0][:, None] & masks[1][None, :], body, 0)
        values, costs = jnp.where(masks[0], values, 1), jnp.where(masks[1], costs, 1)
    moved = values + jnp.where(is_row, 0, jnp.asarray(perturbation(n, dtype)))
    top = jnp.concatenate([body, values[:, None], moved[:, None]], axis=1)
    bottom = jnp.concatenate([costs, jnp.stack([-down[row], -down[row]])])
    return jnp.concatenate([top, bottom[None, :]])


def _unfinished(tableau: _Tableau) -> Bool[Array, ""]:
    return tableau.running & (tableau.left > 0)


def _pivot(tableau: _Tableau) -> _Tableau:
    """One pivot, nothing where the tableau is not unfinished."""
    entries = tableau.entries
    n = entries.shape[0] - 1
    most = PIVOTS_PER_VARIABLE * tableau.variables.shape[0]
    least, column = smallest(entries[n, :-2])
    improves = least < -tolerances(entries.dtype)[0]
    down = lax.dynamic_index_in_dim(entries, column, 1, keepdims=False)
    row, found = leaving_row(down[:n], entries[:n, -1])
    better, awaited = improves & found, _unfinished(tableau)
    active = better & awaited
    entries, variables = exchange(entries, tableau.variables, n, row, column, active)
    one = active.astype(jnp.int32)
    pivots, left = tableau.pivots + one, tableau.left - one
    running = jnp.where(awaited, better & (pivots < most), tableau.running)
    return _Tableau(entries, variables, tableau.origin, running, pivots, left)


def _finish(data: tuple[Array, Any], tableau: _Tableau) -> SimplexState:
    """The state of the tableau's basis."""
    matrix, masks = data
    n, k = matrix.shape
    dtype = matrix.dtype
    exists = None if masks is None else jnp.concatenate(masks)
    basic, nonbasic = tableau.variables[:n], tableau.variables[n:]
    body, values, costs = tableau.entries[:n, :k], tableau.entries[:n, k], tableau.entries[n, :k]
    # Which row is which column's probability, and which column which row's slack.
    of_column = (basic[:, None] == n + jnp.arange(k, dtype=jnp.int32)[None, :]).astype(dtype)
    of_row = (nonbasic[:, None] == jnp.arange(n, dtype=jnp.int32)[None, :]).astype(dtype)
    strategies = (
        probabilities(product(costs, of_row)),
        probabilities(product(values, of_column)),
    )
    if dtype == jnp.float32 or n + k > REFINED_FROM:
        strategies = _refined(matrix, body, of_row, of_column, strategies)

    margin = jnp.minimum(_least(values, basic, exists), _least(costs, nonbasic, exists))
    inverse = jnp.where((basic >= n)[:, None] & (nonbasic < n)[None, :], jnp.abs(body), 0).max()
    condition = jnp.where(margin > _unique_from(dtype), jnp.maximum(inverse, 1), jnp.inf)
    return SimplexState(
        tableau.variables, tableau.origin, strategies, jnp.maximum(margin, 0), condition,
        tableau.running, tableau.pivots, tableau.left,
    )  # fmt: skip


def _refined(
    matrix: Array, body: Array, of_row: Array, of_column: Array, strategies: tuple[Array, Array]
) -> tuple[Array, Array]:
    r"""The strategies after a step of iterative refinement, where it makes the gap smaller.

    The tableau holds the inverse of the basis: with $H = -\partial y / \partial s$ and errors
    $r = v - A y$, $t = A^T x - v$ in what the played actions gain, the corrections are $H r$ and
    $-H^T t$.
    """
    x, y = strategies
    against, facing = product(matrix, y), product(x, matrix)
    value = product(x, against)
    behind, ahead = product(of_row, value - against), product(of_column, facing - value)
    finer_y = probabilities(y + product(product(body, behind), of_column))
    finer_x = probabilities(x - product(product(ahead, body), of_row))
    finer_gap = product(matrix, finer_y).max() - product(finer_x, matrix).min()
    better = finer_gap < against.max() - facing.min()
    return jnp.where(better, finer_x, x), jnp.where(better, finer_y, y)


def _least(values: Array, variables: Array, exists: Array | None) -> Array:
    """The smallest of the values whose variables belong to actions that exist."""
    if exists is None:
        return values.min()
    return jnp.min(values, where=exists[variables], initial=jnp.inf)


def _unique_from(dtype: Any) -> float:
    """The margin from which on an equilibrium counts as nondegenerate and alone."""
    return 2 * tolerances(dtype)[1]


_RULES = Rules(_begin, _pivot, _unfinished, _finish)

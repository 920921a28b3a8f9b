"""Complementary pivoting for bimatrix games."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._numerics import vary_like
from gamejax._solution import RESULTS
from gamejax._types import Profile, Strategy
from gamejax.games import AbstractGame
from gamejax.games._pure import action_masks, payoff_tensor
from gamejax.games._supports import normalize
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
)

REFINED_FROM = 32
"""From so many actions on float64 strategies are refined too; float32 ones always are."""


class LemkeHowsonState(eqx.Module):
    """Two bases and the strategies they stand for.

    Action `i` of the row player has number `i`, action `j` of the column player number `m + j`,
    with `m` the larger number of actions. A number names a probability in one tableau and the slack
    of the same action in the other.

    Attributes:
        variables: for the tableau in which the first variable enters, then for the other one: the
            basic variables row by row, then the nonbasic ones column by column.
        strategies: the two strategies.
        entering: the variable that enters next.
        running: whether the path goes on.
        ray: whether it ended on a ray.
        rounds: how many were done, each a pivot in one tableau and one in the other.
        left: how many may be done before the state is looked at again.
    """

    variables: Int[Array, "2 variables"]
    strategies: tuple[Strategy, Strategy]
    entering: Int[Array, ""]
    running: Bool[Array, ""]
    ray: Bool[Array, ""]
    rounds: Int[Array, ""]
    left: Int[Array, ""]


class _Tableaux(eqx.Module):
    """`entries`: values, exact and perturbed, in the last columns. The path ends at `goal`."""

    entries: Float[Array, "2 rows columns"]
    goal: Int[Array, ""]
    state: LemkeHowsonState


class LemkeHowson(AbstractSolver):
    r"""The Lemke-Howson algorithm: one exact equilibrium of a two-player game.

    With payoffs made positive, the polytopes $A y + r = \mathbf 1$ and $B^\top x + s = \mathbf 1$
    are walked from $x = y = 0$ along the edges on which every action but one, the `label`, is
    either not played or a best response; the walk ends where the label is as well. Pivots alternate
    between two dense condensed tableaux; one step is a pivot in each. Degenerate games do not
    cycle: tiny generic perturbations of the right-hand sides, removed when strategies are read off,
    act as the lexicographic rule. The number of pivots is small in random games and exponential in
    the worst ones. Different labels may lead to different equilibria, never to all there are: map
    the solver, `jax.vmap(lambda label: solve(game, LemkeHowson(label)))`, or ask
    `gamejax.equilibria(game, "lemke_howson")`.

    Args:
        label: which action to drop first: `i` for the row player's, `n + j` for the column
            player's. An action that does not exist ends on a ray.

    References:
        lemke1964; vonstengel2002.
    """

    label: int | Int[Array, ""] = 0

    def __check_init__(self) -> None:
        if is_concrete(self.label) and not (
            jnp.issubdtype(jnp.result_type(self.label), jnp.integer)
            and jnp.ndim(self.label) == 0
            and self.label >= 0
        ):
            raise ValueError(f"label must be an integer of at least 0, got {self.label!r}.")

    def check(self, game: AbstractGame) -> None:
        """Refuse games of other than two players on simplices, and labels beyond their actions."""
        if game.num_players != 2:
            raise ValueError(f"LemkeHowson needs two players, the game has {game.num_players}.")
        total = sum(mask.shape[0] for mask in action_masks(game))
        if is_concrete(self.label) and self.label >= total:
            raise ValueError(
                f"label must be below {total}, the number of actions, got {self.label}."
            )

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> LemkeHowsonState:
        self.check(game)
        n, k = (s.shape[0] for s in game.strategy_sets)
        m = max(n, k)
        label = jnp.asarray(self.label, jnp.int32)
        by_row = label < n
        entering = jnp.where(by_row, label, label - n + m)
        strategies = tuple(s.center(dtype) for s in game.strategy_sets) if start is None else start
        zero = 0 * entering
        return LemkeHowsonState(
            _slacks(m, by_row), strategies, entering, zero == 0, zero != 0, zero, zero
        )

    def step(
        self, game: AbstractGame, state: LemkeHowsonState, *, key: PRNGKeyArray | None
    ) -> LemkeHowsonState:
        return self.advance(game, state, state.rounds, 1, key=key)

    def advance(
        self,
        game: AbstractGame,
        state: LemkeHowsonState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> LemkeHowsonState:
        """At most `count` rounds; see `AbstractSolver.advance`."""
        label = jnp.asarray(self.label, jnp.int32)

        def go(state: LemkeHowsonState) -> LemkeHowsonState:
            left = 0 * state.left + jnp.asarray(count, jnp.int32)
            granted = eqx.tree_at(lambda s: s.left, state, left)
            tables = _tables(game, label)
            goal = vary_like(_goal(game, label), tables)
            ended = pivot_until_done(_RULES, (tables, goal), granted)
            return jax.tree.map(lambda new, old: jnp.where(state.running, new, old), ended, state)

        return lax.cond(jnp.asarray(count) > 0, go, lambda state: state, state)

    def profile(self, state: LemkeHowsonState) -> Profile:
        return state.strategies

    def status(self, state: LemkeHowsonState) -> RESULTS:
        """`stalled` at the end of the path, `ray` where there was none, `cycled` after too many."""
        most = _most_rounds(state)
        ended = RESULTS.where(state.rounds < most, RESULTS.stalled, RESULTS.cycled)
        ended = RESULTS.where(state.ray, RESULTS.ray, ended)
        return RESULTS.where(state.running, RESULTS.running, ended)

    def stats(self, game: AbstractGame, state: LemkeHowsonState) -> dict[str, Any]:
        """`num_rounds`, each of two pivots."""
        return {"num_rounds": state.rounds}


def _goal(game: AbstractGame, label: Array) -> Array:
    """The number of the label's variable."""
    n, k = (s.shape[0] for s in game.strategy_sets)
    return jnp.where(label < n, label, label - n + max(n, k))


def _tables(game: AbstractGame, label: Array) -> Float[Array, "2 m m"]:
    """Both players' payoffs in [1, 2] with the replier's actions in rows, in order of entering.

    Actions that do not exist have zeros.
    """
    rows, columns = action_masks(game)
    exists = rows[:, None] & columns[None, :]
    payoffs = payoff_tensor(game)
    n, k = exists.shape
    m = max(n, k)
    tables = [
        jnp.pad(jnp.where(exists, 1 + normalize(own, exists), 0), ((0, m - n), (0, m - k)))
        for own in payoffs
    ]
    first, second = tables[1].T, tables[0]
    return jnp.where(label < n, jnp.stack([first, second]), jnp.stack([second, first]))


def _begin(data: tuple[Array, Array], state: LemkeHowsonState) -> _Tableaux:
    """The tableaux of the state's bases."""
    tables, goal = data
    m, dtype = tables.shape[-1], tables.dtype
    ones = jnp.ones_like(tables[:, :, :1])
    noise = jnp.asarray(perturbation(2 * m, dtype).reshape(2, m, 1))
    entries = jnp.concatenate([tables, ones, ones + noise], axis=2)
    needed = state.running & (state.rounds > 0)
    rebuilt = [
        restore(own, start, wanted, m, needed)
        for own, start, wanted in zip(entries, _slacks(m, goal < m), state.variables, strict=True)
    ]
    entries, variables = (jnp.stack(parts) for parts in zip(*rebuilt, strict=True))
    return _Tableaux(entries, goal, eqx.tree_at(lambda s: s.variables, state, variables))


def _slacks(m: int, by_row: Array) -> Int[Array, "2 variables"]:
    """The variables of the two tableaux when all slacks are basic."""
    place = jnp.arange(2 * m, dtype=jnp.int32)
    other = (place + m) % (2 * m)
    return jnp.where(by_row, jnp.stack([other, place]), jnp.stack([place, other]))


def _unfinished(tableaux: _Tableaux) -> Bool[Array, ""]:
    return tableaux.state.running & (tableaux.state.left > 0)


def _round(tableaux: _Tableaux) -> _Tableaux:
    """A pivot in each tableau, nothing where they are not unfinished."""
    state, goal = tableaux.state, tableaux.goal
    allowed = _unfinished(tableaux)
    entries, variables, going, ray = [], [], allowed, state.ray
    entering = state.entering
    for own, names in zip(tableaux.entries, state.variables, strict=True):
        m = own.shape[0]
        column = lax.argmax(names[m:] == entering, 0, jnp.int32)
        down = lax.dynamic_index_in_dim(own, column, 1, keepdims=False)
        row, found = leaving_row(down, own[:, -1])
        active = going & found
        leaving = names[row]
        own, names = exchange(own, names, m, row, column, active)
        entries.append(own)
        variables.append(names)
        ray = ray | (going & ~found)
        entering = jnp.where(active, leaving, entering)
        going = active & (leaving != goal)
    one = allowed.astype(jnp.int32)
    rounds = state.rounds + one
    running = jnp.where(allowed, going & (rounds < _most_rounds(state)), state.running)
    moved = LemkeHowsonState(
        jnp.stack(variables), state.strategies, entering, running, ray, rounds, state.left - one
    )
    return _Tableaux(jnp.stack(entries), goal, moved)


def _most_rounds(state: LemkeHowsonState) -> int:
    return PIVOTS_PER_VARIABLE * state.variables.shape[-1]


def _finish(data: tuple[Array, Array], tableaux: _Tableaux) -> LemkeHowsonState:
    """The state of the tableaux' bases."""
    tables, goal = data
    state = tableaux.state
    m = tables.shape[-1]
    # In which tableau a player's probabilities are, and from which number on they count.
    by_row = goal < m
    offsets = jnp.where(by_row, jnp.array([0, m], jnp.int32), jnp.array([m, 0], jnp.int32))
    weights = jax.vmap(_weights)(tables, tableaux.entries, state.variables, offsets)
    row, column = jnp.where(by_row, weights, weights[::-1])
    # A path that has not left the origin stands for no strategies yet.
    strategies = tuple(
        jnp.where(weights.any(), probabilities(weights[: before.shape[0]]), before)
        for weights, before in zip((row, column), state.strategies, strict=True)
    )
    return eqx.tree_at(lambda s: s.strategies, state, strategies)


def _weights(table: Array, entries: Array, variables: Array, offset: Array) -> Array:
    """The probabilities of a basis before they are scaled to sum to one."""
    m, dtype = table.shape[0], table.dtype
    place = jnp.arange(m, dtype=jnp.int32)
    basic, nonbasic = variables[:m], variables[m:]
    of_weight = (basic[:, None] == (offset + place)[None, :]).astype(dtype)
    weights = product(entries[:, m], of_weight)
    if dtype == jnp.float32 or m > REFINED_FROM // 2:
        # Slack `i` of the nonbasic ones is the error of equation `i`; the tableau has the inverse.
        slack = (m - offset + place) % (2 * m)
        of_slack = (nonbasic[:, None] == slack[None, :]).astype(dtype)
        errors = product(of_slack, 1 - product(table, weights))
        weights = weights + product(product(entries[:, :m], errors), of_weight)
    return jnp.maximum(weights, 0)


_RULES = Rules(_begin, _round, _unfinished, _finish)

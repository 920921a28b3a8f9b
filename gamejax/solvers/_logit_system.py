r"""The equations of logit equilibria in logits, and their Newton systems.

Logits $z_i$, $x_i = \mathrm{softmax}(z_i)$, satisfy
$F_i(z, t) = z_i - b_i - t\,r_i\,(u_i(x) - \bar u_i) = 0$, where $\bar u_i$ is the mean over player
$i$'s actions, $r_i$ its precision at $t = 1$ and $b_i$ the logits of its prior (0: uniform).
Unlike probabilities, logits stay accurate and well scaled where strategies touch the boundary.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from gamejax._linalg import solve
from gamejax._numerics import HIGHEST, inner, safe_log
from gamejax._types import Scalar
from gamejax.games import AbstractGame, MatrixGame, NormalFormGame
from gamejax.games._normal_form import existing_profiles
from gamejax.sets import AbstractStrategySet, Simplex

Logits = tuple[Float[Array, "*blocks actions"], ...]


class Direction(eqx.Module):
    """A change of all logits and of the path's parameter, or a linear form of such changes."""

    logits: Logits
    time: Scalar


def require_simplices(game: AbstractGame, solver: Any) -> tuple[Simplex, ...]:
    """The strategy sets, if all of them are simplices.

    Raises:
        TypeError: a player chooses from some other set.
    """
    found = tuple(s for s in game.strategy_sets if isinstance(s, Simplex))
    if len(found) == game.num_players:
        return found
    other = next(s for s in game.strategy_sets if not isinstance(s, Simplex))
    raise TypeError(
        f"{type(solver).__name__} needs players on simplices, got a {type(other).__name__}; "
        "for other sets solve gamejax.games.regularized(game, strength)."
    )


def centered(sets: Sequence[AbstractStrategySet], vectors: Sequence[Array]) -> Logits:
    """Every block less its mean over the actions that exist; 0 at those that do not."""
    return tuple(_center(s, v) for s, v in zip(sets, vectors, strict=True))


def _center(strategies: AbstractStrategySet, vector: Array) -> Array:
    mask = getattr(strategies, "mask", None)
    if mask is None:
        return vector - vector.mean(-1, keepdims=True)
    exists = jnp.broadcast_to(mask, vector.shape)
    mean = jnp.mean(vector, -1, where=exists, keepdims=True)
    return jnp.where(exists, vector - mean, 0)


def strategies_of(sets: Sequence[Simplex], logits: Logits) -> tuple[Array, ...]:
    """Softmax, player by player."""
    return tuple(
        jax.nn.softmax(z if s.mask is None else jnp.where(s.mask, z, -jnp.inf), axis=-1)
        for s, z in zip(sets, logits, strict=True)
    )


def logits_of(sets: Sequence[Simplex], profile: Sequence[Array]) -> Logits:
    """The centered logarithms of strategies."""
    return centered(sets, [safe_log(x) for x in profile])


def spread(strategy: Array, vector: Array) -> Array:
    r"""$(\mathrm{diag}(x) - x x^\top) v$, block by block: the derivative of softmax."""
    return strategy * (vector - (strategy * vector).sum(-1, keepdims=True))


def without_offsets(game: AbstractGame) -> AbstractGame:
    """The game less what payoffs have in common, which decides nothing but costs digits.

    Payoff tensors lose the midpoint of a player's payoffs against each profile of the others,
    matrices theirs; other games stay as they are. Utilities change by a number for all actions of a
    player alike, and no derivative changes.
    """
    if isinstance(game, MatrixGame):
        return eqx.tree_at(lambda g: g.payoff, game, _less_midpoint(game, game.payoff, (0, 1)))
    if not isinstance(game, NormalFormGame):
        return game
    tables = [_less_midpoint(game, table, (i,)) for i, table in enumerate(game.payoffs)]
    return eqx.tree_at(lambda g: g.payoffs, game, jnp.stack(tables))


def _less_midpoint(game: AbstractGame, table: Array, axes: tuple[int, ...]) -> Array:
    exists, known = existing_profiles(game.strategy_sets), jax.lax.stop_gradient(table)
    highest = jnp.max(known, axes, where=exists, initial=-jnp.inf, keepdims=True)
    lowest = jnp.min(known, axes, where=exists, initial=jnp.inf, keepdims=True)
    middle = jnp.where(highest >= lowest, (highest + lowest) / 2, 0)
    return jnp.where(exists, table - middle, 0)


class System(eqx.Module):
    """The equations at one point: values, and how to solve for a direction."""

    game: AbstractGame
    sets: tuple[Simplex, ...]
    base: Logits
    rates: Float[Array, " players"]

    def utilities(self, strategies: tuple[Array, ...]) -> Logits:
        r"""$r_i (u_i - \bar u_i)$ of every player."""
        raw = centered(self.sets, self.game.utilities(strategies))
        return tuple(rate * u for rate, u in zip(self.rates, raw, strict=True))

    def equations(self, logits: Logits, time: Scalar) -> Logits:
        """$F(z, t)$."""
        gains = self.utilities(strategies_of(self.sets, logits))
        return tuple(z - b - time * g for z, b, g in zip(logits, self.base, gains, strict=True))

    def solve(
        self, logits: Logits, time: Scalar, row: Direction, right: Logits
    ) -> tuple[Direction, Direction]:
        r"""The Newton step and the tangent.

        Solves $F_z \dot z + F_t \dot t = c$, $\langle\text{row}, (\dot z, \dot t)\rangle = d$, for
        $(c, d) = (\text{right}, 0)$ and $(0, 1)$ by one factorization.
        """
        if isinstance(self.game, MatrixGame | NormalFormGame) and self.game.num_players == 2:
            return self._solve_two_players(logits, time, row, right)
        return self._solve_dense(logits, time, row, right)

    def _solve_dense(
        self, logits: Logits, time: Scalar, row: Direction, right: Logits
    ) -> tuple[Direction, Direction]:
        flat, unravel = ravel_pytree(logits)

        def equations(z: Array, t: Scalar) -> Array:
            return ravel_pytree(self.equations(unravel(z), t))[0]

        by_logits, by_time = jax.jacfwd(equations, argnums=(0, 1))(flat, time)
        last = jnp.append(ravel_pytree(row.logits)[0], row.time)
        matrix = jnp.concatenate([jnp.column_stack([by_logits, by_time]), last[None]])
        zeros = jnp.zeros_like(flat)
        step, tangent = solve_columns(
            matrix, [jnp.append(ravel_pytree(right)[0], 0 * time), jnp.append(zeros, 1 + 0 * time)]
        )
        return Direction(unravel(step[:-1]), step[-1]), Direction(
            unravel(tangent[:-1]), tangent[-1]
        )

    def _solve_two_players(
        self, logits: Logits, time: Scalar, row: Direction, right: Logits
    ) -> tuple[Direction, Direction]:
        """The player with more actions is eliminated, so that the system is the smaller one's."""
        first = 0 if logits[0].shape[0] <= logits[1].shape[0] else 1
        second = 1 - first
        strategies = strategies_of(self.sets, logits)
        gains = self.utilities(strategies)
        upper = self._influence(first, strategies, time)
        lower = self._influence(second, strategies, time)
        # z1 - upper z2 - g1 t = c1,  z2 - lower z1 - g2 t = c2,  w1 z1 + w2 z2 + w t = d
        n = logits[first].shape[0]
        w1, w2 = row.logits[first], row.logits[second]
        corner = jnp.eye(n, dtype=upper.dtype) - jnp.matmul(upper, lower, precision=HIGHEST)
        by_time = gains[first] + jnp.matmul(upper, gains[second], precision=HIGHEST)
        last = jnp.append(
            w1 + jnp.matmul(w2, lower, precision=HIGHEST),
            row.time + jnp.vdot(w2, gains[second], precision=HIGHEST),
        )
        matrix = jnp.concatenate([jnp.column_stack([corner, -by_time]), last[None]])
        c1, c2 = right[first], right[second]
        reduced = jnp.append(
            c1 + jnp.matmul(upper, c2, precision=HIGHEST), -jnp.vdot(w2, c2, precision=HIGHEST)
        )
        zeros = jnp.zeros_like(c1)
        found = solve_columns(matrix, [reduced, jnp.append(zeros, 1 + 0 * time)])
        directions = []
        for solution, extra in zip(found, (c2, jnp.zeros_like(c2)), strict=True):
            own, moved = solution[:-1], solution[-1]
            other = extra + jnp.matmul(lower, own, precision=HIGHEST) + gains[second] * moved
            pair = (own, other) if first == 0 else (other, own)
            directions.append(Direction(pair, moved))
        return directions[0], directions[1]

    def _influence(self, player: int, strategies: tuple[Array, ...], time: Scalar) -> Array:
        r"""$t\,r_i P B_{ij} D_j$: how one player's $t r_i (u_i - \bar u_i)$ moves with $z_j$."""
        if isinstance(self.game, MatrixGame):
            payoffs = self.game.payoff if player == 0 else -self.game.payoff.T
        elif isinstance(self.game, NormalFormGame):
            payoffs = self.game.payoffs[player]
            payoffs = payoffs if player == 0 else payoffs.T
        else:
            raise TypeError(f"no payoff matrices in a {type(self.game).__name__}")
        moved = spread(strategies[1 - player][None], payoffs)
        return time * self.rates[player] * _center(self.sets[player], moved.T).T


def solve_columns(matrix: Array, columns: Sequence[Array]) -> list[Array]:
    """The solutions of one dense linear system for several right-hand sides."""
    solution = solve(matrix, jnp.stack(columns, axis=1))
    return [solution[:, k] for k in range(len(columns))]


def payoff_scale(game: AbstractGame, dtype: Any) -> Scalar:
    """How far apart payoffs are: the largest range, or what utilities do near the center."""
    ranges = [game.utility_range(i) for i in range(game.num_players)]
    known = [r for r in ranges if r is not None]
    if len(known) < len(ranges):
        center = tuple(s.center(dtype) for s in game.strategy_sets)
        flat, unravel = ravel_pytree(center)

        def field(x: Array) -> Array:
            return ravel_pytree(centered(game.strategy_sets, game.utilities(unravel(x))))[0]

        known = [2 * jnp.abs(field(flat)).max(), 2 * jnp.abs(jax.jacfwd(field)(flat)).max()]
    scale = jnp.stack([jnp.asarray(r, dtype) for r in known]).max()
    return jnp.where(scale > 0, scale, 1)


def fisher(strategies: tuple[Array, ...], direction: Direction, time: Scalar) -> Direction:
    r"""The row of a direction: $(D_i \dot z_i, \dot t / t^2)$, `time` being $t$ moved off zero.

    Lengths in this metric are those of the paths of $2\sqrt{x_i}$ and $\ln t$, so that neither
    unlikely actions nor the unit of payoffs matter.
    """
    rows = tuple(spread(x, d) for x, d in zip(strategies, direction.logits, strict=True))
    return Direction(rows, direction.time / (time * time))


def apply(row: Direction, direction: Direction) -> Scalar:
    """The linear form `row` of a direction."""
    return inner((row.logits, row.time), (direction.logits, direction.time))


def hellinger(strategies: tuple[Array, ...], others: tuple[Array, ...]) -> Scalar:
    r"""The largest $\|\sqrt{x_i} - \sqrt{y_i}\|_2$ over players (and blocks)."""
    apart = [
        jnp.square(jnp.sqrt(x) - jnp.sqrt(y)).sum(-1).max()
        for x, y in zip(strategies, others, strict=True)
    ]
    return jnp.sqrt(jnp.stack(apart).max())

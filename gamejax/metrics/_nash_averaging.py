"""Nash averaging: ratings against the maximum-entropy equilibrium."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._interior_point import solve_matrix_game
from gamejax._linalg import solve
from gamejax._numerics import HIGHEST, safe_log
from gamejax._types import Scalar
from gamejax.games import AbstractGame
from gamejax.games._pure import action_masks, payoff_tensor

_NUM_STEPS = 64


class NashAverage(NamedTuple):
    """Ratings by Nash averaging.

    Attributes:
        profile: each player's maximum-entropy equilibrium strategy.
        ratings: each action's payoff against the other player's; of agents compared with each
            other, 0 for those that matter and negative for the rest. Padded actions hold payoffs
            of no meaning.
    """

    profile: tuple[Float[Array, " rows"], Float[Array, " columns"]]
    ratings: tuple[Float[Array, " rows"], Float[Array, " columns"]]


def nash_averaging(game: AbstractGame) -> NashAverage:
    r"""Rate actions by their payoff against the equilibrium of maximal entropy.

    For agents compared pairwise the game is antisymmetric, $A = -A^\top$ (log odds of winning),
    for agents against tasks it is any zero-sum game. The equilibrium strategies of a zero-sum game
    form one polytope per player; the point of maximal entropy in it is unique, so copies of an
    action share its probability and change no rating (invariance to redundancy).

    The polytope is read off a strictly complementary equilibrium (interior point), the entropy
    maximised inside it by Newton's method along a barrier path; accurate to about 1e-8 in float64.
    Where an equilibrium is nearly degenerate (a gap or a probability below about 1e-7 of the
    payoff range) a tie may be seen that is not there. No gradient passes through the profile;
    ratings differentiate with it held fixed.

    Args:
        game: a two-player zero-sum game whose players choose from simplices.

    References:
        balduzzi2018.
    """
    if game.num_players != 2:
        raise ValueError(f"Nash averaging is for two-player games, got {game.num_players} players.")
    rows, columns = action_masks(game)
    payoff = payoff_tensor(game)[0]
    matrix = _unit(payoff, rows[:, None] & columns[None, :])
    saddle = solve_matrix_game(matrix, rows, columns)
    used = rows & (saddle.row > saddle.row_slack)
    tight = columns & (saddle.column > saddle.column_slack)
    value = jnp.matmul(saddle.row, jnp.matmul(matrix, saddle.column, precision=HIGHEST))
    x = _most_entropic(saddle.row, matrix, value, used, tight, columns)
    y = _most_entropic(saddle.column, -matrix.T, -value, tight, used, rows)
    ratings = (
        jnp.matmul(payoff, y, precision=HIGHEST),
        -jnp.matmul(x, payoff, precision=HIGHEST),
    )
    return NashAverage((x, y), ratings)


def _unit(payoff: Array, exists: Array) -> Array:
    """Payoffs divided by their largest size; 0 where they do not exist."""
    known = jax.lax.stop_gradient(jnp.where(exists, payoff, 0))
    largest = jnp.abs(known).max()
    return known / jnp.where(largest > 0, largest, 1)


def _most_entropic(
    start: Float[Array, " n"],
    matrix: Float[Array, "n k"],
    value: Scalar,
    used: Array,
    tight: Array,
    columns: Array,
) -> Float[Array, " n"]:
    r"""The strategy of maximal entropy on the face that `start` is an inner point of.

    The face: zero outside `used`, $(A^\top x)_j = v$ on `tight` columns and at least $v$ on the
    others. Minimises $\sum_a x_a \ln x_a - \mu (\sum_j \ln s_j + \sum_a \ln x_a)$ for $\mu \to 0$
    in the directions that the equations leave free; at $\mu = \infty$ its solution is the center
    of the face, close to where the interior-point method ended.
    """
    dtype = matrix.dtype
    tol = jnp.finfo(dtype).eps ** 0.6
    loose = columns & ~tight
    equations = jnp.concatenate(
        [
            jnp.where(tight[:, None], matrix.T, 0),
            jnp.ones_like(matrix[:, :1]).T,
            jnp.diag((~used).astype(dtype)),
        ]
    )
    _, values, basis = jnp.linalg.svd(equations, full_matrices=False)
    free = values <= tol * values[0]
    directions = jnp.where(free[:, None], basis, 0) * used.astype(dtype)[None, :]
    fixed = jnp.diag((~free).astype(dtype))
    x = jnp.where(used, start, 0)

    def step(x: Array, mu: Array) -> tuple[Array, None]:
        slack = jnp.where(loose, jnp.matmul(x, matrix, precision=HIGHEST) - value, 1)
        weight = jnp.where(loose, 1 / slack, 0)
        inverse = jnp.where(used, 1 / jnp.where(used, x, 1), 0)
        pull = jnp.matmul(matrix, weight, precision=HIGHEST)
        gradient = jnp.where(used, safe_log(x) + 1, 0) - mu * (inverse + pull)
        scaled = matrix * weight[None, :]
        hessian = jnp.diag(inverse + mu * inverse**2)
        hessian = hessian + mu * jnp.matmul(scaled, scaled.T, precision=HIGHEST)
        reduced = jnp.matmul(
            directions, jnp.matmul(hessian, directions.T, precision=HIGHEST), precision=HIGHEST
        )
        right = jnp.matmul(directions, gradient, precision=HIGHEST)
        move = -jnp.matmul(
            solve(reduced + fixed, right[:, None])[:, 0], directions, precision=HIGHEST
        )
        drift = jnp.where(loose, jnp.matmul(move, matrix, precision=HIGHEST), 0)
        limit = jnp.minimum(_room(x, move), _room(slack, drift))
        return x + jnp.minimum(1, 0.9 * limit) * move, None

    smallest = 10 * float(jnp.finfo(dtype).eps)
    path = jnp.geomspace(10.0, smallest, _NUM_STEPS, dtype=dtype)
    path = jnp.concatenate([path, jnp.full((8,), smallest, dtype)])
    x, _ = jax.lax.scan(step, x, path)
    x = jnp.where(used, x, 0)
    return x / x.sum()


def _room(values: Array, steps: Array) -> Scalar:
    """How often `steps` fits before some value reaches zero."""
    blocked = steps < 0
    return jnp.where(blocked, values / jnp.where(blocked, -steps, 1), jnp.inf).min()

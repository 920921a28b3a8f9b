"""Iterated elimination of dominated actions."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gamejax._interior_point import solve_matrix_game
from gamejax.games._base import AbstractGame
from gamejax.games._pure import action_masks, payoff_tensor


class Dominance(NamedTuple):
    """What iterated elimination leaves.

    Attributes:
        surviving: the actions left to each player.
        rounds: what went in each round: pairs `(player, action)`, eliminated at the same time.
    """

    surviving: tuple[tuple[int, ...], ...]
    rounds: tuple[tuple[tuple[int, int], ...], ...]


def iterated_dominance(game: AbstractGame, strict: bool = True, mixed: bool = False) -> Dominance:
    r"""Eliminate dominated actions, all at the same time in each round, until none is left.

    Action $a$ is strictly dominated if some other strategy is better against every profile of the
    opponents' surviving actions, weakly if it is never worse and somewhere better. The result of
    strict elimination does not depend on the order and keeps every Nash equilibrium; the weak one
    does depend on it (this order is the maximal one) and may lose equilibria.

    With `mixed=True` dominance by mixed strategies counts too. That is a zero-sum game: $a$ is
    strictly dominated if and only if the game $D[b, s] = U_i(b, s) - U_i(a, s)$ has a positive
    value, and weakly if and only if its value is not negative and a relative-interior solution
    leaves slack at some $s$; it is solved to rounding and compared at 1e-9 (float32: 1e-4) of the
    payoff range. A host function.

    Args:
        game: a game whose players choose from simplices.
        strict: whether dominance must be strict.
        mixed: whether mixed strategies may dominate.

    References:
        luce1957; pearce1984 (dominance and best responses).
    """
    payoffs = payoff_tensor(game)
    tables = [
        jnp.moveaxis(payoffs[i], i, 0).reshape(payoffs.shape[1 + i], -1)
        for i in range(len(payoffs))
    ]
    alive = [np.array(mask) for mask in action_masks(game)]
    rounds = []
    while True:
        gone = []
        for player, table in enumerate(tables):
            columns = _profiles(alive[:player] + alive[player + 1 :])
            if mixed:
                found = np.asarray(
                    _mixed_dominated(table, jnp.asarray(alive[player]), jnp.asarray(columns), strict)
                )
            else:
                found = _pure_dominated(np.asarray(table), alive[player], columns, strict)
            gone += [(player, int(action)) for action in np.flatnonzero(found)]
        if not gone:
            break
        for player, action in gone:
            alive[player][action] = False
        rounds.append(tuple(gone))
    surviving = tuple(tuple(int(a) for a in np.flatnonzero(mask)) for mask in alive)
    return Dominance(surviving, tuple(rounds))


def _profiles(masks: list[np.ndarray]) -> np.ndarray:
    """Which of the opponents' profiles, flattened, consist of surviving actions."""
    exists = np.ones(1, bool)
    for mask in masks:
        exists = np.logical_and.outer(exists, mask).reshape(-1)
    return exists


def _pure_dominated(
    table: np.ndarray, alive: np.ndarray, columns: np.ndarray, strict: bool
) -> np.ndarray:
    table = table[:, columns]
    found = np.zeros(len(table), bool)
    for action in np.flatnonzero(alive):
        better = table[action] - table
        if strict:
            found |= (better > 0).all(1)
        else:
            found |= (better >= 0).all(1) & (better > 0).any(1)
    return found & alive


@eqx.filter_jit
def _mixed_dominated(table: Array, alive: Array, columns: Array, strict: bool) -> Array:
    tol = 1e-9 if table.dtype == jnp.float64 else 1e-4
    exists = alive[:, None] & columns[None, :]
    highest = jnp.max(table, where=exists, initial=-jnp.inf)
    scale = highest - jnp.min(table, where=exists, initial=jnp.inf)

    def dominated(own: Array) -> Array:
        differences = table - own[None, :]
        saddle = solve_matrix_game(differences, alive, columns)
        ahead = jnp.matmul(saddle.row, differences, precision=jax.lax.Precision.HIGHEST)
        least = jnp.min(ahead, where=columns, initial=jnp.inf)
        if strict:
            return least > tol * scale
        most = jnp.max(ahead, where=columns, initial=-jnp.inf)
        return (least >= -tol * scale) & (most > tol**0.5 * scale)

    return jax.vmap(dominated)(table) & alive

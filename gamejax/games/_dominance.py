"""Iterated elimination of dominated actions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gamejax._interior_point import solve_matrix_game
from gamejax._numerics import HIGHEST
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
    payoffs = np.asarray(payoff_tensor(game))
    tables = [
        np.moveaxis(payoffs[i], i, 0).reshape(payoffs.shape[1 + i], -1) for i in range(len(payoffs))
    ]
    # One size for all players' tables: one program decides dominance by mixtures.
    size = tuple(max(table.shape[k] for table in tables) for k in range(2))
    alive = [np.array(mask) for mask in action_masks(game)]
    rounds = []
    while True:
        gone = []
        for player, table in enumerate(tables):
            columns = _profiles(alive[:player] + alive[player + 1 :])
            decide = _dominated_by_mixtures if mixed else _dominated_by_actions
            found = decide(table, alive[player], columns, strict, size)
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


def _dominated_by_actions(
    table: np.ndarray,
    alive: np.ndarray,
    columns: np.ndarray,
    strict: bool,
    size: tuple[int, ...],
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


def _dominated_by_mixtures(
    table: np.ndarray,
    alive: np.ndarray,
    columns: np.ndarray,
    strict: bool,
    size: tuple[int, ...],
) -> np.ndarray:
    missing = [most - n for most, n in zip(size, table.shape, strict=True)]
    least, most = _best_mixtures(
        jnp.asarray(np.pad(table, [(0, missing[0]), (0, missing[1])])),
        jnp.asarray(np.pad(alive, (0, missing[0]))),
        jnp.asarray(np.pad(columns, (0, missing[1]))),
    )
    least, most = np.asarray(least)[: len(alive)], np.asarray(most)[: len(alive)]
    tol = 1e-9 if table.dtype == np.float64 else 1e-4
    scale = np.ptp(table[alive][:, columns])
    if strict:
        return alive & (least > tol * scale)
    return alive & (least >= -tol * scale) & (most > tol**0.5 * scale)


@jax.jit
def _best_mixtures(table: Array, alive: Array, columns: Array) -> tuple[Array, Array]:
    """The least and the most that the best mixture against each action gains on it."""

    def best(own: Array) -> tuple[Array, Array]:
        differences = table - own[None, :]
        saddle = solve_matrix_game(differences, alive, columns)
        ahead = jnp.matmul(saddle.row, differences, precision=HIGHEST)
        least = jnp.min(ahead, where=columns, initial=jnp.inf)
        return least, jnp.max(ahead, where=columns, initial=-jnp.inf)

    return jax.vmap(best)(table)

"""Front doors: several or all equilibria of a game, and the value of a zero-sum one."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gamejax._interior_point import solve_matrix_game
from gamejax._numerics import HIGHEST
from gamejax._types import Scalar
from gamejax.games import AbstractGame, MatrixGame
from gamejax.games._pure import action_masks, payoff_tensor
from gamejax.games._supports import (
    Equilibria,
    Indifference,
    any_continuum,
    distinct,
    indifference_on,
    normalize,
    subsets,
)
from gamejax.games.analysis import pure_gains
from gamejax.metrics import nash_gap
from gamejax.sets._checks import is_concrete

MAX_SUPPORT_PAIRS = 200_000
"""Support enumeration refuses more pairs than this: minutes of work and no end in sight."""


def equilibria(game: AbstractGame, method: Literal["pure", "supports"] | None = None) -> Equilibria:
    r"""Several or all Nash equilibria of a game, each with its recomputed gap.

    `"pure"` scans all pure profiles: the list holds every pure equilibrium, and `complete` is
    `False` because mixed ones are not looked for. `"supports"` (two players) solves the
    indifference conditions on every pair of supports of equal size, $\binom{n + k}{n} - 1$ pairs in
    batches; in a non-degenerate game these are all equilibria and `complete` is `True`. A game is
    degenerate if some strategy has more best responses than actions it plays, which is checked (up
    to rounding); then there may be further, even infinitely many, equilibria, and `complete` is
    `False`. A host function.

    Args:
        game: a game whose players choose from simplices.
        method: `"pure"`, `"supports"`, or `None` for `"supports"` with two players of few enough
            actions and `"pure"` otherwise.

    Raises:
        ValueError: the method is unknown or does not apply, or there are too many supports.

    References:
        dickhaut1991; vonstengel2002 (degeneracy).
    """
    if method not in ("pure", "supports", None):
        raise ValueError(f'method must be "pure", "supports" or None, got {method!r}.')
    masks = [np.asarray(mask) for mask in action_masks(game)]
    pairs = math.comb(sum(int(mask.sum()) for mask in masks), int(masks[0].sum())) - 1
    if method is None:
        method = "supports" if len(masks) == 2 and pairs <= MAX_SUPPORT_PAIRS else "pure"
    if method == "pure":
        return _pure(game)
    if len(masks) != 2:
        raise ValueError(f'method="supports" is for two players, the game has {len(masks)}.')
    if pairs > MAX_SUPPORT_PAIRS:
        raise ValueError(
            f"There are {pairs} pairs of supports of equal size, more than {MAX_SUPPORT_PAIRS}; "
            'use method="pure" or a solver that finds one equilibrium.'
        )
    return _by_supports(game, masks[0], masks[1])


def _pure(game: AbstractGame) -> Equilibria:
    gains = np.asarray(pure_gains(game).max(0))
    found = np.argwhere(gains <= 0)
    profiles = tuple(
        jax.nn.one_hot(jnp.asarray(found[:, i], jnp.int32), n, dtype=game.dtype)
        for i, n in enumerate(gains.shape)
    )
    gaps = jnp.asarray(gains[tuple(found.T)], game.dtype)
    return Equilibria(profiles, gaps, len(found), False)


def _by_supports(game: AbstractGame, rows: np.ndarray, columns: np.ndarray) -> Equilibria:
    first, second = [], []
    for size in range(1, min(int(rows.sum()), int(columns.sum())) + 1):
        own, other = subsets(rows, size), subsets(columns, size)
        first.append(np.repeat(own, len(other), axis=0))
        second.append(np.tile(other, (len(own), 1)))
    row_supports = jnp.asarray(np.concatenate(first))
    column_supports = jnp.asarray(np.concatenate(second))
    x, y, gaps = _solve_supports(game, row_supports, column_supports)

    both = np.flatnonzero(np.asarray(x.valid & y.valid))
    kept = both[distinct([np.asarray(x.strategy)[both], np.asarray(y.strategy)[both]])]
    profiles = (x.strategy[kept], y.strategy[kept])
    a, b = _tables(game)
    degenerate = (
        bool((x.crowded | y.crowded).any())
        or any_continuum(a, y, row_supports, column_supports, jnp.asarray(rows))
        or any_continuum(b, x, column_supports, row_supports, jnp.asarray(columns))
    )
    return Equilibria(profiles, gaps[kept], len(kept), not degenerate)


def _tables(game: AbstractGame) -> tuple[jax.Array, jax.Array]:
    """Each player's payoffs in [0, 1], own actions in rows."""
    rows, columns = action_masks(game)
    exists = rows[:, None] & columns[None, :]
    payoffs = payoff_tensor(game)
    return normalize(payoffs[0], exists), normalize(payoffs[1], exists).T


@eqx.filter_jit
def _solve_supports(
    game: AbstractGame, row_supports: jax.Array, column_supports: jax.Array
) -> tuple[Indifference, Indifference, jax.Array]:
    rows, columns = action_masks(game)
    a, b = _tables(game)
    y = indifference_on(a, row_supports, column_supports, rows)
    x = indifference_on(b, column_supports, row_supports, columns)
    return x, y, jax.vmap(nash_gap, (None, 0))(game, (x.strategy, y.strategy))


def value(game: AbstractGame) -> Scalar:
    r"""The value of a two-player zero-sum game: what the first player can be sure to gain.

    $\max_x \min_y x^\top A y$, correct to rounding (about 1e-13 of the payoff range in float64,
    1e-5 in float32, at 64 by 64 actions) by an interior-point method. Constant-sum games count:
    the value is the first player's payoff. Jittable, mappable, and differentiable once: the
    gradient with respect to the payoffs is $x y^\top$ (one of them, where equilibria are many).

    Args:
        game: a two-player zero-sum or constant-sum game whose players choose from simplices.

    Raises:
        ValueError: the game has other than two players, or its payoffs do not sum to a constant
            (checked unless they are traced).

    References:
        vonneumann1928; mehrotra1992.
    """
    if game.num_players != 2:
        raise ValueError(f"Only two-player games have a value, got {game.num_players} players.")
    rows, columns = action_masks(game)
    payoffs = payoff_tensor(game)
    if not isinstance(game, MatrixGame):
        _check_constant_sum(payoffs, rows[:, None] & columns[None, :])
    saddle = solve_matrix_game(payoffs[0], rows, columns)
    against = jnp.matmul(payoffs[0], saddle.column, precision=HIGHEST)
    return jnp.vdot(saddle.row, against, precision=HIGHEST)


def _check_constant_sum(payoffs: jax.Array, exists: jax.Array) -> None:
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

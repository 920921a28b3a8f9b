"""Front doors: several or all equilibria of a game, and the value of a zero-sum one."""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gamejax._interior_point import solve_matrix_game
from gamejax._numerics import HIGHEST
from gamejax._types import Scalar
from gamejax.games import AbstractGame, MatrixGame
from gamejax.games._pure import action_masks, payoff_tensor
from gamejax.games._supports import Equilibria, any_continuum, distinct
from gamejax.games.analysis import pure_gains
from gamejax.metrics import nash_gap
from gamejax.solvers import LemkeHowson
from gamejax.solvers._simplex_method import check_constant_sum
from gamejax.solvers._support_enumeration import (
    MAX_SUPPORT_PAIRS,
    count_pairs,
    pairs_among,
    require_few_pairs,
    scan_supports,
    unit_tables,
)

MOST_ROUNDS = 2**30
Method = Literal["pure", "supports", "lemke_howson"]


def equilibria(game: AbstractGame, method: Method | None = None) -> Equilibria:
    r"""Several or all Nash equilibria of a game, each with its recomputed gap.

    `"pure"` scans all pure profiles: the list holds every pure equilibrium, and `complete` is
    `False` because mixed ones are not looked for. `"supports"` (two players) solves the
    indifference conditions on every pair of supports of equal size, $\binom{n + k}{n} - 1$ pairs in
    batches; in a non-degenerate game these are all equilibria and `complete` is `True`. A game is
    degenerate if some strategy has more best responses than actions it plays, which is checked (up
    to rounding); then there may be further, even infinitely many, equilibria, and `complete` is
    `False`. `"lemke_howson"` (two players) follows the path of every action as a label, all at
    once, and gives the different ends: at least one equilibrium, of games of any size, and
    `complete` is `False`. A host function.

    Args:
        game: a game whose players choose from simplices.
        method: `"pure"`, `"supports"`, `"lemke_howson"`, or `None`: with two players `"supports"`
            if they have few enough actions and `"lemke_howson"` if not, with more players `"pure"`.

    Raises:
        ValueError: the method is unknown or does not apply, or there are too many supports.

    References:
        dickhaut1991, lemke1964; vonstengel2002 (degeneracy).
    """
    game.check()
    if method not in (*get_args(Method), None):
        raise ValueError(f"method must be one of {get_args(Method)} or None, got {method!r}.")
    masks = [np.asarray(mask) for mask in action_masks(game)]
    counts = [int(mask.sum()) for mask in masks]
    if method is None and len(masks) == 2:
        few = count_pairs(*counts) <= MAX_SUPPORT_PAIRS
        method = "supports" if few else "lemke_howson"
    if method in ("pure", None):
        return _pure(game)
    if len(masks) != 2:
        raise ValueError(f"method={method!r} is for two players, the game has {len(masks)}.")
    if method == "lemke_howson":
        return _by_labels(game, *masks)
    require_few_pairs(*counts)
    return _by_supports(game, *masks)


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
    supports = [jnp.asarray(side) for side in pairs_among(rows, columns)]
    scan = _scan(game, *supports)
    found = np.flatnonzero(np.asarray(scan.found))
    x, y = np.asarray(scan.rows.strategy), np.asarray(scan.columns.strategy)
    kept = found[distinct([x[found], y[found]])]
    a, b = unit_tables(game)
    degenerate = (
        bool((scan.rows.crowded | scan.columns.crowded).any())
        or any_continuum(a, scan.columns, supports[0], supports[1], jnp.asarray(rows))
        or any_continuum(b, scan.rows, supports[1], supports[0], jnp.asarray(columns))
    )
    profiles = (scan.rows.strategy[kept], scan.columns.strategy[kept])
    return Equilibria(profiles, scan.gaps[kept], len(kept), not degenerate)


_scan = eqx.filter_jit(scan_supports)


def _by_labels(game: AbstractGame, rows: np.ndarray, columns: np.ndarray) -> Equilibria:
    labels = jnp.asarray(np.flatnonzero(np.concatenate([rows, columns])), jnp.int32)
    profiles, gaps = _follow(game, labels)
    tol = float(jnp.finfo(game.dtype).eps) ** 0.6 * max(
        float(jnp.ptp(payoffs)) for payoffs in payoff_tensor(game)
    )
    found = np.flatnonzero(np.asarray(gaps) <= tol)
    kept = found[distinct([np.asarray(x)[found] for x in profiles])]
    return Equilibria(tuple(x[kept] for x in profiles), gaps[kept], len(kept), False)


@eqx.filter_jit
def _follow(game: AbstractGame, labels: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """Where the paths of all labels end."""

    def follow(label: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
        solver = LemkeHowson(label)
        state = solver.init(game, key=None, dtype=game.dtype)
        ended = solver.advance(game, state, jnp.int32(0), MOST_ROUNDS, key=None)
        return ended.strategies, nash_gap(game, ended.strategies)

    return jax.vmap(follow)(labels)


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
    game.check()
    if game.num_players != 2:
        raise ValueError(f"Only two-player games have a value, got {game.num_players} players.")
    rows, columns = action_masks(game)
    payoffs = payoff_tensor(game)
    if not isinstance(game, MatrixGame):
        check_constant_sum(payoffs, rows[:, None] & columns[None, :])
    saddle = solve_matrix_game(payoffs[0], rows, columns)
    against = jnp.matmul(payoffs[0], saddle.column, precision=HIGHEST)
    return jnp.vdot(saddle.row, against, precision=HIGHEST)

"""Games made from games: smoothed, normalized, written out, padded to one shape."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gamejax._numerics import require_memory, safe_divide
from gamejax.games._base import AbstractGame
from gamejax.games._matrix import MatrixGame
from gamejax.games._normal_form import NormalFormGame, payoff_bounds
from gamejax.games._symmetric import SymmetricGame
from gamejax.sets import AbstractStrategySet, CappedSimplex, Simplex
from gamejax.sets._checks import is_concrete

Game = TypeVar("Game", bound=AbstractGame)
Finite = TypeVar("Finite", MatrixGame, NormalFormGame)


def smoothed(
    game: Game,
    cap: ArrayLike | Sequence[ArrayLike] | None = None,
    sigma: ArrayLike | Sequence[ArrayLike] | None = None,
) -> Game:
    r"""The same game, its players restricted to smooth strategies: no probability above a cap.

    On capped simplices the Nash gap is the strong smooth gap, and the equilibria of the result are
    the strong $\sigma$-smooth equilibria of the game. Exactly one of `cap` and `sigma` is given;
    either may be traced, mapped or differentiated.

    Args:
        game: a game on simplices; for a stack of games map this function with `jax.vmap`.
        cap: the largest probability of an action, in $[1/n, 1]$; one number or one per player.
        sigma: the smoothness, in $[1/n, 1]$, for a cap of $1/(\sigma n_i)$; one number or one per
            player. 1 leaves the uniform strategy only, $1/n$ the whole simplex. Padded actions do
            not count in $n_i$.

    Raises:
        TypeError: a player's set is no simplex.
        ValueError: both or neither given, not one per player, or out of range.

    A trap: some papers call a strategy $\sigma$-smooth when each probability is at most $\sigma$.
    Their $\sigma$ is the `cap` here, in which larger means freer; in the `sigma` here, as in
    daskalakis2024, larger means closer to uniform.

    References:
        daskalakis2024.
    """
    if (cap is None) == (sigma is None):
        raise ValueError("Give exactly one of cap and sigma.")
    name, given = ("cap", cap) if sigma is None else ("sigma", sigma)
    values = _one_per_player(given, name, game)
    sets = []
    for player, (old, value) in enumerate(zip(game.strategy_sets, values, strict=True)):
        if not isinstance(old, Simplex | CappedSimplex):
            raise TypeError(
                f"smoothed needs players on simplices, player {player} has a {type(old).__name__}."
            )
        count = old.shape[-1] if old.mask is None else old.mask.sum(-1)
        _check_range(value, count, name, player)
        if isinstance(count, Array):
            count = count.astype(game.dtype)
        limit = value if sigma is None else 1 / (value * count)
        sets.append(CappedSimplex(old.shape, limit, old.mask))
    return eqx.tree_at(lambda g: g.strategy_sets, game, tuple(sets))


def normalized(game: Game) -> Game:
    r"""The game with every player's payoffs mapped to $[0, 1]$ by one increasing affine map each.

    Equilibria of all kinds stay; a player's gaps and regrets are divided by the range of its
    payoffs. Constant payoffs become 0, with gap 0 before and after. Padded actions take no part.

    A `MatrixGame` stays zero-sum: its matrix is mapped to $[0, 1]$, so that the column player's
    payoffs fill $[-1, 0]$, and both gaps are divided by the same range.

    Raises:
        TypeError: the game holds no table of payoffs; write it out by `to_normal_form` first.
    """
    if isinstance(game, MatrixGame):
        return _with_payoffs(game, _to_unit(game.payoff, game.strategy_sets))
    if isinstance(game, NormalFormGame):
        each = [_to_unit(payoffs, game.strategy_sets) for payoffs in game.payoffs]
        return _with_payoffs(game, jnp.stack(each))
    if isinstance(game, SymmetricGame):
        return _with_payoffs(game, _to_unit(game.payoffs, ()))
    raise TypeError(
        f"normalized knows no payoff table of a {type(game).__name__}; "
        "pass games.to_normal_form(game)."
    )


def to_normal_form(game: AbstractGame) -> NormalFormGame:
    """The game with its payoff tensors written out, the utilities at every pure profile.

    Raises:
        TypeError: some player has other strategies than a vector of action probabilities.
        ValueError: the tensors would not fit into memory; the message says how many bytes.
    """
    if isinstance(game, NormalFormGame):
        return game
    simplices = [s for s in game.strategy_sets if isinstance(s, Simplex | CappedSimplex)]
    if len(simplices) < game.num_players or any(len(s.shape) > 1 for s in simplices):
        raise TypeError("to_normal_form needs players who mix over one list of actions each.")
    shape = tuple(s.shape[0] for s in game.strategy_sets)
    size = game.num_players * math.prod(shape) * jnp.dtype(game.dtype).itemsize
    require_memory(size, f"A payoff tensor of shape {(game.num_players, *shape)}")
    tensors = [_tensor(game, player, shape) for player in range(game.num_players)]
    return NormalFormGame(tensors, game.strategy_sets, labels=game.labels)


def pad_games(games: Sequence[Finite], shape: Sequence[int] | None = None) -> Finite:
    """Games of different sizes as one stacked game, a leading axis on every leaf, for `jax.vmap`.

    Missing actions are padded with payoff 0 and masked out of the strategy sets, where they have
    probability exactly 0; gaps, ranges and equilibria are those of the games. Labels are dropped.

    Args:
        games: all `MatrixGame` or all `NormalFormGame`, of equally many players and one dtype.
        shape: numbers of actions to pad to; default the largest of each player.

    Raises:
        TypeError: the games are of different or other kinds, or on sets other than simplices.
        ValueError: no games, players or dtypes that differ, or a `shape` that is too small.
    """
    games = list(games)
    if not games:
        raise ValueError("games must hold at least one game, got none.")
    kinds = {type(g) for g in games}
    if len(kinds) > 1 or not kinds <= {MatrixGame, NormalFormGame}:
        raise TypeError(
            "games must be all MatrixGame or all NormalFormGame, got "
            f"{sorted(k.__name__ for k in kinds)}."
        )
    counts = [tuple(s.shape[-1] for s in g.strategy_sets) for g in games]
    dtypes = {str(g.dtype) for g in games}
    if len({len(c) for c in counts}) > 1 or len(dtypes) > 1:
        raise ValueError(
            "games must have equally many players and one dtype, got action counts "
            f"{sorted(set(counts))} and dtypes {sorted(dtypes)}."
        )
    target = tuple(max(c) for c in zip(*counts, strict=True)) if shape is None else tuple(shape)
    if len(target) != len(counts[0]) or any(
        n > most for c in counts for n, most in zip(c, target, strict=True)
    ):
        raise ValueError(
            f"shape must hold games of action counts {sorted(set(counts))}, got {target}."
        )
    padded = [_pad_game(g, c, target) for g, c in zip(games, counts, strict=True)]
    if len({jax.tree.structure(p) for p in padded}) > 1:
        raise TypeError("games must give each player the same kind of strategy set.")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *padded)


def _one_per_player(given: Any, name: str, game: AbstractGame) -> list[Any]:
    """One number per player: Python's, which stay weakly typed, or of the game's type."""
    if isinstance(given, list | tuple) or jnp.ndim(given):
        values = list(given)
    else:
        values = [given] * game.num_players
    if len(values) != game.num_players:
        raise ValueError(
            f"{name} must be one number or one per player ({game.num_players}), got {len(values)}."
        )
    return [v.astype(game.dtype) if isinstance(v, Array) else float(v) for v in values]


def _check_range(value: ArrayLike, count: int | Array, name: str, player: int) -> None:
    if not (is_concrete(value) and is_concrete(count)):
        return
    number, least = np.asarray(value, float), 1 / np.asarray(count, float)
    if not np.all((number >= least * (1 - 1e-6)) & (number <= 1 + 1e-6)):
        raise ValueError(
            f"{name} must lie between 1/n = {np.min(least):.6g} and 1 for player {player}, "
            f"got {value}."
        )


def _to_unit(payoffs: Array, sets: Sequence[AbstractStrategySet]) -> Array:
    if sets:
        lowest, highest = payoff_bounds(payoffs, sets)
    else:
        lowest, highest = jnp.min(payoffs), jnp.max(payoffs)
    return safe_divide(payoffs - lowest, highest - lowest)


def _with_payoffs(game: Game, payoffs: Array) -> Game:
    where: Callable[[Any], Array] = lambda g: g.payoff if isinstance(g, MatrixGame) else g.payoffs  # noqa: E731
    return eqx.tree_at(where, game, payoffs)


def _tensor(game: AbstractGame, player: int, shape: tuple[int, ...]) -> Array:
    """One player's payoff at every pure profile, one utility per profile of its opponents."""
    others = [n for j, n in enumerate(shape) if j != player]

    def row(index: Array) -> Array:
        plays = list(jnp.unravel_index(index, others))
        plays.insert(player, jnp.zeros_like(index))
        pure = (jax.nn.one_hot(a, n, dtype=game.dtype) for a, n in zip(plays, shape, strict=True))
        return game.utility(player, tuple(pure))

    rows = jax.vmap(row)(jnp.arange(math.prod(others), dtype=jnp.int32))
    return jnp.moveaxis(rows.reshape(*others, shape[player]), -1, player)


def _pad_game(game: Finite, counts: tuple[int, ...], target: tuple[int, ...]) -> Finite:
    widths = [(0, most - n) for n, most in zip(counts, target, strict=True)]
    sets = [_pad_set(s, n) for s, n in zip(game.strategy_sets, target, strict=True)]
    if isinstance(game, MatrixGame):
        return MatrixGame(jnp.pad(game.payoff, widths), sets)
    return NormalFormGame(jnp.pad(game.payoffs, [(0, 0), *widths]), sets)


def _pad_set(old: AbstractStrategySet, num_actions: int) -> AbstractStrategySet:
    if not isinstance(old, Simplex | CappedSimplex):
        raise TypeError(f"pad_games needs players on simplices, got a {type(old).__name__}.")
    mask = jnp.ones(old.shape, bool) if old.mask is None else old.mask
    mask = jnp.pad(mask, (0, num_actions - old.shape[0]))
    if isinstance(old, CappedSimplex):
        return CappedSimplex((num_actions,), jnp.asarray(old.cap), mask)
    return Simplex((num_actions,), mask)

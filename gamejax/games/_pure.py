"""Payoffs at pure action profiles, and the pure equilibria among them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gamejax.games._base import AbstractGame
from gamejax.games._matrix import MatrixGame
from gamejax.games._normal_form import existing_profiles
from gamejax.games._transform import to_normal_form
from gamejax.sets import Simplex, Treeplex


def action_masks(game: AbstractGame) -> tuple[Bool[Array, " actions"], ...]:
    """Which actions of each player exist.

    Raises:
        TypeError: a player's set is not a simplex of single actions, so that pure profiles are
            not its vertices.
    """
    masks = []
    tree = ", which gamejax.extensive.reduced_normal_form(game) makes of a tree."
    for player, strategies in enumerate(game.strategy_sets):
        if not (isinstance(strategies, Simplex) and len(strategies.shape) == 1):
            raise TypeError(
                f"strategy_sets[{player}] is {type(strategies).__name__} of shape "
                f"{strategies.shape}; pure profiles need a Simplex(n) for every player"
                + (tree if isinstance(strategies, Treeplex) else ".")
            )
        mask = strategies.mask
        masks.append(jnp.ones(strategies.shape, bool) if mask is None else jnp.asarray(mask))
    return tuple(masks)


def profile_mask(game: AbstractGame) -> Bool[Array, "..."]:
    """Which pure action profiles exist, shape `(n_1, ..., n_m)`."""
    action_masks(game)  # refuses sets whose vertices are not pure actions
    return existing_profiles(game.strategy_sets)


def payoff_tensor(game: AbstractGame) -> Float[Array, "players ..."]:
    """Every player's payoff at every pure action profile, shape `(m, n_1, ..., n_m)`."""
    if isinstance(game, MatrixGame):
        return jnp.stack([game.payoff, -game.payoff])
    return to_normal_form(game).payoffs


def pure_gains(game: AbstractGame) -> Float[Array, "players ..."]:
    r"""What each player gains by its best deviation from every pure profile.

    $g_i(a) = \max_b U_i(b, a_{-i}) - U_i(a)$, shape `(m, n_1, ..., n_m)`; a profile is a pure
    equilibrium where all of them are 0. Profiles with padded actions hold infinity. Jittable.
    """
    payoffs, exists = payoff_tensor(game), profile_mask(game)
    gains = [
        jnp.max(payoffs[i], axis=i, keepdims=True, where=exists, initial=-jnp.inf) - payoffs[i]
        for i in range(exists.ndim)
    ]
    return jnp.where(exists[None], jnp.stack(gains), jnp.inf)


def pure_equilibria(game: AbstractGame, tol: float = 0.0) -> list[tuple[int, ...]]:
    """Every pure equilibrium, as tuples of actions in lexicographic order.

    A host function: the number of equilibria is data. `pure_gains` is its jittable half.

    Args:
        game: a game whose players choose from simplices.
        tol: the largest gain, in payoff units, that still counts as none.

    References:
        nash1951.
    """
    stable = np.asarray(jnp.max(pure_gains(game), axis=0) <= tol)
    return [tuple(int(a) for a in actions) for actions in np.argwhere(stable)]

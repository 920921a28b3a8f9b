"""Potential games: the test and the potential."""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._types import Scalar
from gamejax.games._base import AbstractGame
from gamejax.games._pure import payoff_tensor, profile_mask


class Potential(NamedTuple):
    """A potential and how well it explains the game.

    Attributes:
        values: the potential at every pure profile, shape `(n_1, ..., n_m)`, mean 0.
        defect: the largest difference, over players and unilateral deviations, between the change
            of the player's payoff and (its weight times) that of the potential. The game is a
            potential game exactly if this is 0.
    """

    values: Float[Array, "..."]
    defect: Scalar


def potential(game: AbstractGame, weights: ArrayLike | None = None) -> Potential:
    r"""The potential nearest to a game, and the defect that remains.

    An exact potential satisfies $U_i(b, a_{-i}) - U_i(a) = w_i (\phi(b, a_{-i}) - \phi(a))$ for all
    players and deviations. The returned $\phi$ minimises the sum of squared violations averaged
    over each player's own actions; it is the potential when there is one. In closed form: split
    $U_i / w_i$ into its parts $U_i^R$ that depend exactly on the actions of the players in $R$
    (means removed along every axis of $R$, taken along the others); then
    $\phi^R = \frac{1}{|R|} \sum_{i \in R} U_i^R / w_i$. Cost $O(m^2 2^m \prod_j n_j)$. Jittable and
    differentiable.

    Args:
        game: a game whose players choose from simplices.
        weights: positive weights $w_i$, shape `(m,)`; default 1, an exact potential.

    References:
        monderer1996 (definition); candogan2011 (projection onto potential games).
    """
    payoffs, exists = payoff_tensor(game), profile_mask(game)
    num_players = exists.ndim
    weight = jnp.ones(num_players, payoffs.dtype)
    if weights is not None:
        weight = jnp.asarray(weights, payoffs.dtype)
        if weight.shape != (num_players,):
            raise ValueError(
                f"weights must have shape ({num_players},), one per player, got {weight.shape}."
            )
    column = jnp.expand_dims(weight, tuple(range(1, num_players + 1)))
    scaled = jnp.where(exists[None], payoffs / column, 0)

    values = jnp.zeros_like(scaled[0])
    for size in range(1, num_players + 1):
        for players in itertools.combinations(range(num_players), size):
            part = scaled[jnp.array(players)].sum(0) / size
            values = values + _component(part, exists, players)
    values = jnp.where(exists, values, 0)

    defects = []
    for i in range(num_players):
        rest = scaled[i] - values
        highest = jnp.max(rest, axis=i, where=exists, initial=-jnp.inf)
        lowest = jnp.min(rest, axis=i, where=exists, initial=jnp.inf)
        defects.append(weight[i] * jnp.max(highest - lowest))
    return Potential(values, jnp.stack(defects).max())


def _component(table: Array, exists: Array, players: tuple[int, ...]) -> Array:
    """The part of a table that depends on the actions of exactly these players."""
    for axis in range(table.ndim):
        count = jnp.maximum(exists.sum(axis, keepdims=True, dtype=table.dtype), 1)
        mean = jnp.sum(table, axis, keepdims=True, where=exists) / count
        if axis in players:
            table = jnp.where(exists, table - mean, 0)
        else:
            table = jnp.where(exists, jnp.broadcast_to(mean, table.shape), 0)
    return table

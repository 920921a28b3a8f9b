r"""Products with the Jacobian of a smooth game's payoff gradients, without building it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._numerics import inner
from gamejax._types import PyTree, Strategy, Utility
from gamejax.games import AbstractGame

Field = tuple[Utility, ...]


def plus(x: PyTree[Array], factor: Any, y: PyTree[Array]) -> Any:
    """`x + factor * y`, tree by tree, in the dtype of `x`."""
    return jax.tree.map(lambda a, b: a + jnp.asarray(factor, a.dtype) * b, x, y)


def transposed(
    game: AbstractGame, profile: tuple[Strategy, ...]
) -> tuple[Field, Callable[[Field], Field]]:
    r"""The payoff gradients $u$ and the map $v \mapsto J^\top v$."""
    utilities, pull = jax.vjp(game.utilities, profile)
    return utilities, lambda direction: pull(direction)[0]


def others_response(game: AbstractGame, profile: tuple[Strategy, ...], direction: Field) -> Field:
    r"""$J_o v$: how each player's gradient changes when all the others move along $v$."""

    def one(player: int) -> Utility:
        still = jax.tree.map(jnp.zeros_like, direction[player])
        moved = (*direction[:player], still, *direction[player + 1 :])
        return jax.jvp(lambda x: game.utility(player, x), (profile,), (moved,))[1]

    return tuple(one(i) for i in range(game.num_players))


def payoff_gradient(game: AbstractGame, player: int, profile: tuple[Strategy, ...]) -> Field:
    r"""$\nabla_x f_i$: one player's payoff, differentiated in every player's strategy."""
    return jax.grad(lambda x: game.expected_payoffs(x)[player])(profile)


def shaping(game: AbstractGame, profile: tuple[Strategy, ...]) -> Field:
    r"""$\sum_{j \ne i} (\partial_{x_i} u_j)^\top \nabla_{x_j} f_i$, others' steps bent."""

    def one(player: int) -> Utility:
        gradient = payoff_gradient(game, player, profile)

        def bent(own: Strategy) -> Array:
            utilities = game.utilities((*profile[:player], own, *profile[player + 1 :]))
            others = [j for j in range(game.num_players) if j != player]
            return inner([utilities[j] for j in others], [gradient[j] for j in others])

        return jax.grad(bent)(profile[player])

    return tuple(one(i) for i in range(game.num_players))

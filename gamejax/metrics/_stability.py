"""Local tests for smooth games: the Jacobian of all payoff gradients and what it says."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float

from gamejax._export import AbstractResult
from gamejax._types import Strategy
from gamejax.games import AbstractGame


class Stability(AbstractResult):
    r"""What a game's Jacobian says about a profile.

    Attributes:
        eigenvalues: of the Jacobian $J$; a first-order point where all have negative real part
            attracts simultaneous gradient ascent with small steps, one where some has a positive
            real part repels it.
        curvature: the largest eigenvalue of each player's own Hessian $\nabla^2_{ii} f_i$. At an
            interior first-order point all of them must be $\le 0$ at a local Nash equilibrium, and
            all $< 0$ suffice.
    """

    eigenvalues: Complex[Array, " dim"]
    curvature: Float[Array, " players"]


def game_jacobian(game: AbstractGame, profile: tuple[Strategy, ...]) -> Float[Array, "dim dim"]:
    r"""The Jacobian $J = \partial u / \partial x$ of all players' payoff gradients.

    Players' strategies are raveled one after another; block $(i, j)$ is $\nabla^2_{ij} f_i$. A
    potential game has a symmetric $J$, a Hamiltonian game an antisymmetric one.

    References:
        balduzzi2018b.
    """
    flat, unravel = ravel_pytree(profile)
    return jax.jacfwd(lambda x: ravel_pytree(game.utilities(unravel(x)))[0])(flat)


def stability(game: AbstractGame, profile: tuple[Strategy, ...]) -> Stability:
    """Eigenvalues of the game's Jacobian and every player's own curvature at a profile.

    Dense in the number of all players' parameters, so for games of up to a few thousand.

    References:
        balduzzi2018b; ratliff2016, for the second-order test.
    """
    jacobian = game_jacobian(game, profile)
    largest, start = [], 0
    for strategy in profile:
        end = start + sum(leaf.size for leaf in jax.tree.leaves(strategy))
        own = jacobian[start:end, start:end]
        largest.append(jnp.linalg.eigvalsh((own + own.T) / 2)[-1])
        start = end
    return Stability(jnp.linalg.eigvals(jacobian), jnp.stack(largest))

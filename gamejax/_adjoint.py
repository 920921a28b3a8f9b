"""How gradients pass through a solve: not at all, through the steps, or implicitly."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, PyTree

from gamejax._joint import Joint
from gamejax._types import Profile
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver


class Unrolled(eqx.Module):
    """Differentiate through every step; memory grows with the number of checkpoints only.

    The run takes `max_steps` steps whatever the tolerance, a game that is done being frozen, so
    choose a small budget. Forward and reverse mode.

    Args:
        checkpoints: how many solver states to keep for the backward pass; the steps between are
            computed again. `None` balances time and memory, about the square root of the run.
    """

    checkpoints: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.checkpoints is not None and self.checkpoints < 1:
            raise ValueError(f"checkpoints must be at least 1 or None, got {self.checkpoints}.")


class Implicit(eqx.Module):
    r"""Differentiate the equation that the solution satisfies, by one linear solve.

    With the solver's residual $F(x, \theta) = 0$ this is
    $\partial x = -(\partial_x F)^{-1} \partial_\theta F$.
    No gradient enters the forward solve, whose accuracy therefore bounds that of the gradient; at
    degenerate or non-unique equilibria the linear system is singular and the gradient not finite.

    Args:
        linear_solver: a lineax solver for the (square, in general nonsymmetric) Jacobian.

    References:
        blondel2022.
    """

    linear_solver: lx.AbstractLinearSolver = lx.LU()


def implicit(
    solver: AbstractSolver,
    game: AbstractGame,
    profile: Profile,
    linear_solver: lx.AbstractLinearSolver,
) -> Profile:
    """`profile`, with derivatives in the game and the solver through the residual."""
    dynamic, static = eqx.partition((solver, game), eqx.is_inexact_array)

    def residual(x: Profile, parameters: PyTree[Array]) -> Profile:
        own_solver, own_game = eqx.combine(parameters, static)
        return own_solver.residual(own_game, x)

    # A solver without a residual says so now, not only once somebody differentiates.
    jax.eval_shape(residual, profile, dynamic)

    @jax.custom_jvp
    def solution(x: Profile, parameters: PyTree[Array]) -> Profile:
        return x

    @solution.defjvp
    def _(primals: Any, tangents: Any) -> tuple[Profile, Profile]:
        x, parameters = primals
        root = solution(x, parameters)
        _, change = jax.jvp(lambda p: residual(root, p), (parameters,), (tangents[1],))
        jacobian = lx.JacobianLinearOperator(lambda z, p: residual(z, p), root, parameters)
        moved = lx.linear_solve(jacobian, change, linear_solver, throw=False).value
        return root, jax.tree.map(jnp.negative, moved)

    return solution(profile, dynamic)


def forbid(profile: Profile, game: AbstractGame) -> Profile:
    """`profile`, its derivative in the game an error in reverse mode and NaN in forward mode."""
    leaves = [x for x in jax.tree.leaves(game) if eqx.is_inexact_array(x)]
    if not leaves:
        return profile

    @jax.custom_jvp
    def blocked(x: Profile, parameters: list[Array]) -> Profile:
        return x

    @blocked.defjvp
    def _(primals: Any, tangents: Any) -> tuple[Profile, Profile]:
        x, parameters = primals
        moved = jax.custom_derivatives.linear_call(_nan_like, _refuse, x, tangents[1])
        return blocked(x, parameters), moved

    return blocked(profile, leaves)


def _nan_like(profile: Profile, tangents: list[Array]) -> Profile:
    return jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), profile)


def _refuse(profile: Profile, cotangents: Profile) -> list[Array]:
    kind = "joint distribution" if isinstance(profile, Joint) else "profile"
    raise ValueError(
        f"The {kind} of this Solution has no derivative: solve(...) was called with adjoint=None, "
        "which differentiates the gap only. Pass adjoint=gamejax.Implicit() to differentiate "
        "the equilibrium, or adjoint=gamejax.Unrolled() to differentiate the steps."
    )

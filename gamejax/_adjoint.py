"""How gradients pass through a solve: not at all, through the steps, or implicitly."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Bool

from gamejax._joint import Joint
from gamejax._numerics import inner
from gamejax._types import Profile, PyTree, Scalar
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver
from gamejax.solvers._condition import examine, factorized, irregular

MAX_CHANGE = 0.1
"""By how much, relatively, the smallest derivative may change within the solution's error."""


class Unrolled(eqx.Module):
    """Differentiate through every step; memory grows with the number of checkpoints only.

    The run takes `max_steps` steps whatever the tolerance, a game that is done being frozen, so
    choose a small budget. Forward and reverse mode.

    Args:
        checkpoints: how many solver states to keep for the backward pass; the steps between are
            computed again. `None` balances time and memory, about the square root of the run.
    """

    checkpoints: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.checkpoints is not None and self.checkpoints < 1:
            raise ValueError(f"checkpoints must be at least 1 or None, got {self.checkpoints}.")


class Implicit(eqx.Module):
    r"""Differentiate the equation that the solution satisfies, by one linear solve.

    With the solver's residual $F(x, \theta) = 0$ this is
    $\partial x = -(\partial_x F)^{-1} \partial_\theta F$, to any order, forward and reverse.
    No gradient enters the forward solve. Its remaining error is corrected by one Newton step
    before the equation is differentiated, so that gradients are as accurate as its square.

    `Solution.stats["condition"]` estimates the smallest singular value of $\partial_x F$. Where no
    derivative can be trusted, all of them are NaN: where the solve was not successful, and where it
    was but the equilibrium is degenerate, not isolated or close to a fold. That is tested by
    moving the solution by its estimated error, and a little (the root of the rounding error) to and
    fro: the derivative is refused, and the result becomes `RESULTS.ill_conditioned`, if
    $\partial_x F$ then changes by more than a tenth of its smallest singular value, or if it is
    singular up to rounding.

    Args:
        linear_solver: a lineax solver for the (square, in general nonsymmetric) Jacobian.

    References:
        blondel2022.
    """

    linear_solver: lx.AbstractLinearSolver[Any] = eqx.field(static=True, default=lx.LU())


class Differentiable(NamedTuple):
    """A profile that can be differentiated, and whether its derivatives can be trusted."""

    profile: Profile
    condition: Scalar
    reliable: Bool[Array, ""]


def implicit(
    solver: AbstractSolver,
    game: AbstractGame,
    profile: Profile,
    linear_solver: lx.AbstractLinearSolver[Any],
    successful: Bool[Array, ""],
) -> Differentiable:
    """`profile`, with derivatives in the game and the solver through the residual."""
    dynamic, static = eqx.partition((solver, game), eqx.is_inexact_array)

    def residual(x: Profile, parameters: PyTree[Array]) -> Profile:
        own_solver, own_game = eqx.combine(parameters, static)
        return own_solver.residual(own_game, x)

    # A solver without a residual says so now, not only once somebody differentiates.
    jax.eval_shape(residual, profile, dynamic)
    fixed = jax.lax.stop_gradient((profile, dynamic, successful))
    found = _inspect(residual, *fixed, linear_solver)
    refined, condition, reliable = jax.lax.stop_gradient(found)

    @jax.custom_jvp
    def solution(x: Profile, trusted: Array, parameters: PyTree[Array]) -> Profile:
        return x

    @solution.defjvp
    def _(primals: Any, tangents: Any) -> tuple[Profile, Profile]:
        x, trusted, parameters = primals
        root = solution(x, trusted, parameters)
        _, change = jax.jvp(lambda p: residual(root, p), (parameters,), (tangents[2],))

        def derivative(v: Profile) -> Profile:
            return jax.jvp(lambda z: residual(z, parameters), (root,), (v,))[1]

        moved = _solve_linear(derivative, change, linear_solver)
        return root, jax.tree.map(
            lambda d: d * jnp.where(trusted, -1, jnp.nan).astype(d.dtype), moved
        )

    moving = solution(refined, reliable, dynamic)
    still = jax.lax.stop_gradient(moving)
    shown = jax.tree.map(lambda x, m, s: x + (m - s), fixed[0], moving, still)
    return Differentiable(shown, condition, reliable)


def _solve_linear(
    function: Callable[[Profile], Profile],
    right: Profile,
    linear_solver: lx.AbstractLinearSolver[Any],
) -> Profile:
    """Solve with a linear function, differentiably; non-finite numbers pass, none raises."""

    def solve(linear: Callable[[Profile], Profile], b: Profile) -> Profile:
        return factorized(linear, b, linear_solver)[0](b)

    # Reverse mode wants every part of the right-hand side to depend on the tangents.
    total = jnp.stack([jnp.sum(leaf) for leaf in jax.tree.leaves(right)]).sum()
    right = jax.tree.map(lambda leaf: leaf + jnp.zeros_like(leaf) * total, right)
    return jax.lax.custom_linear_solve(function, right, solve, solve)


def _inspect(
    residual: Callable[[Profile, PyTree[Array]], Profile],
    profile: Profile,
    parameters: PyTree[Array],
    successful: Array,
    linear_solver: lx.AbstractLinearSolver[Any],
) -> tuple[Profile, Scalar, Array]:
    """One Newton step from the profile, the condition there, and whether it is to be trusted."""
    error, derivative = jax.linearize(lambda x: residual(x, parameters), profile)
    found = examine(derivative, error, linear_solver)
    refined = jax.tree.map(jnp.subtract, profile, found.solution)

    eps = jnp.finfo(found.smallest.dtype).eps
    rounding = 4 * eps / jnp.where(found.smallest > 0, found.smallest, 1)
    probe = irregular(profile)
    nearby = [
        jax.tree.map(lambda x, d, k=size: x + k * d, refined, way)
        for way, size in ((found.direction, rounding), (probe, eps**0.5), (probe, -(eps**0.5)))
    ]
    changes = []
    for point in nearby:
        _, other = jax.linearize(lambda x: residual(x, parameters), point)
        for way in (found.direction, probe):
            change = jax.tree.map(jnp.subtract, other(way), derivative(way))
            changes.append(inner(change, change))
    steady = jnp.stack(changes).max() < (MAX_CHANGE * found.smallest) ** 2
    regular = found.smallest > eps**0.75
    reliable = successful & steady & regular
    refined = jax.tree.map(lambda new, old: jnp.where(reliable, new, old), refined, profile)
    return refined, found.smallest, reliable


def forbid(profile: Profile, game: AbstractGame) -> Profile:
    """`profile`, its derivative in the game an error in reverse mode and NaN in forward mode."""
    leaves = [x for x in jax.tree.leaves(game) if eqx.is_inexact_array(x)]
    if not leaves:
        return profile
    kind = "joint distribution" if isinstance(profile, Joint) else "profile"

    @jax.custom_jvp
    def blocked(x: Profile, parameters: list[Array]) -> Profile:
        return x

    @blocked.defjvp
    def _(primals: Any, tangents: Any) -> tuple[Profile, Profile]:
        x, parameters = primals
        total = jnp.stack([jnp.sum(tangent) for tangent in tangents[1]]).sum()
        moved = jax.tree.map(lambda y: _unknown.bind(jnp.zeros_like(y) + total, kind=kind), x)
        return blocked(x, parameters), moved

    movable, actions = eqx.partition(profile, eqx.is_inexact_array)
    return eqx.combine(blocked(movable, leaves), actions)


def _nan(x: Array, *, kind: str) -> Array:
    return jnp.full_like(x, jnp.nan)


def _refuse(cotangent: Any, x: Any, *, kind: str) -> Any:
    raise ValueError(
        f"The {kind} of this Solution has no derivative: solve(...) was called with adjoint=None, "
        "which differentiates the gap only. Pass adjoint=gamejax.Implicit() to differentiate "
        "the equilibrium, or adjoint=gamejax.Unrolled() to differentiate the steps."
    )


# NaN as a linear operation whose transpose, which reverse mode alone asks for, is an error. A
# primitive, because `jax.custom_derivatives.linear_call` cannot be mapped.
_unknown = Primitive("unknown_derivative")
_unknown.def_impl(_nan)
_unknown.def_abstract_eval(lambda x, *, kind: x)
mlir.register_lowering(_unknown, mlir.lower_fun(_nan, multiple_results=False))
batching.defvectorized(_unknown)
ad.deflinear2(_unknown, _refuse)

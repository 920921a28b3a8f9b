"""How close a system of equations is to being singular at a solution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, PyTree

from gamejax._numerics import inner, safe_divide
from gamejax._types import Scalar

NUM_ROUNDS = 3
"""Rounds of inverse iteration; each squares the ratio of the two smallest singular values."""


class Condition(NamedTuple):
    r"""What a linear system says about its own solutions.

    Attributes:
        smallest: an estimate of the smallest singular value, from above.
        direction: the unit vector that the system shrinks to that length.
        solution: the solution for the right-hand side given.
    """

    smallest: Scalar
    direction: PyTree[Array]
    solution: PyTree[Array]


def examine(
    operator: lx.AbstractLinearOperator,
    right: PyTree[Array],
    linear_solver: lx.AbstractLinearSolver[Any],
) -> Condition:
    """Solve a square system and estimate its smallest singular value, by one factorization.

    Inverse iteration with the system and its transpose. 0 where the system is singular.
    """
    state = linear_solver.init(operator, {})
    transposed, options = linear_solver.transpose(state, {})
    adjoint = operator.transpose()

    def solve(vector: PyTree[Array]) -> PyTree[Array]:
        return lx.linear_solve(operator, vector, linear_solver, state=state, throw=False).value

    def solve_adjoint(vector: PyTree[Array]) -> PyTree[Array]:
        return lx.linear_solve(
            adjoint, vector, linear_solver, state=transposed, options=options, throw=False
        ).value

    vector = _normalized(jax.tree.map(_irregular, right))
    for _ in range(NUM_ROUNDS):
        vector = _normalized(solve_adjoint(_normalized(solve(vector))))
    direction = solve(vector)
    growth = jnp.sqrt(inner(direction, direction))
    finite = jnp.isfinite(growth)
    smallest = jnp.where(finite, safe_divide(1, growth, jnp.inf), 0)
    return Condition(smallest, _normalized(direction), solve(right))


def smallest_singular_value(
    function: Callable[[PyTree[Array]], PyTree[Array]], point: PyTree[Array]
) -> Scalar:
    """Of a function's Jacobian at a point, estimated; no gradient passes."""
    point = jax.lax.stop_gradient(point)
    operator = lx.JacobianLinearOperator(lambda x, _: function(x), point)
    return jax.lax.stop_gradient(examine(operator, point, lx.LU()).smallest)


def _normalized(tree: PyTree[Array]) -> PyTree[Array]:
    length = jnp.sqrt(inner(tree, tree))
    return jax.tree.map(lambda x: x / jnp.where(length > 0, length, 1), tree)


def _irregular(leaf: Array) -> Array:
    """Numbers that no structured vector is orthogonal to."""
    index = jnp.arange(1, leaf.size + 1, dtype=leaf.dtype).reshape(leaf.shape)
    return 1 + jnp.sin(index * index) + jnp.zeros_like(leaf)

"""How close a system of equations is to being singular at a solution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from gamejax._linalg import lu_factor, lu_solve
from gamejax._numerics import inner, safe_divide
from gamejax._types import PyTree, Scalar

Linear = Callable[[PyTree[Array]], PyTree[Array]]

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


def factorized(
    function: Linear, like: PyTree[Array], linear_solver: lx.AbstractLinearSolver[Any]
) -> tuple[Linear, Linear]:
    """How to solve with a square linear function, and with its transpose; nothing raises.

    With lineax's `LU` the factorization is JAX's own: the same speed, and it works inside
    `shard_map`, where lineax refuses operators and vectors that differ in sharding.
    """
    if isinstance(linear_solver, lx.LU):
        flat, unravel = ravel_pytree(like)
        basis = jnp.eye(flat.size, dtype=flat.dtype) + jnp.zeros_like(flat)[None]
        columns = jax.vmap(lambda e: ravel_pytree(function(unravel(e)))[0])(basis)
        factors = lu_factor(columns.T)

        def dense(transposed: int) -> Linear:
            return lambda b: unravel(lu_solve(factors, ravel_pytree(b)[0], trans=transposed))

        return dense(0), dense(1)
    operator = lx.FunctionLinearOperator(function, jax.eval_shape(lambda: like))
    state = linear_solver.init(operator, {})
    turned, options = linear_solver.transpose(state, {})

    def solve(b: PyTree[Array]) -> PyTree[Array]:
        return lx.linear_solve(operator, b, linear_solver, state=state, throw=False).value

    def solve_transposed(b: PyTree[Array]) -> PyTree[Array]:
        return lx.linear_solve(
            operator.transpose(), b, linear_solver, options=options, state=turned, throw=False
        ).value

    return solve, solve_transposed


def examine(
    function: Linear, right: PyTree[Array], linear_solver: lx.AbstractLinearSolver[Any]
) -> Condition:
    """Solve a square system and estimate its smallest singular value, by one factorization.

    Inverse iteration with the system and its transpose. 0 where the system is singular.
    """
    solve, solve_transposed = factorized(function, right, linear_solver)
    solution = solve(right)
    vector = irregular(right)
    for _ in range(NUM_ROUNDS):
        vector = _normalized(solve_transposed(_normalized(solve(vector))))
    direction = solve(vector)
    growth = jnp.sqrt(inner(direction, direction))
    finite = jnp.isfinite(growth)
    smallest = jnp.where(finite, safe_divide(jnp.ones_like(growth), growth, jnp.inf), 0)
    return Condition(smallest, _normalized(direction), solution)


def smallest_singular_value(
    function: Callable[[PyTree[Array]], PyTree[Array]], point: PyTree[Array]
) -> Scalar:
    """Of a function's Jacobian at a point, estimated; no gradient passes."""
    point = jax.lax.stop_gradient(point)
    value, derivative = jax.linearize(function, point)
    return jax.lax.stop_gradient(examine(derivative, value, lx.LU()).smallest)


def _normalized(tree: PyTree[Array]) -> PyTree[Array]:
    length = jnp.sqrt(inner(tree, tree))
    return jax.tree.map(lambda x: x / jnp.where(length > 0, length, 1), tree)


def irregular(like: PyTree[Array]) -> PyTree[Array]:
    """A unit vector of numbers that no structured vector is orthogonal to."""

    def numbers(leaf: Array) -> Array:
        index = jnp.arange(1, leaf.size + 1, dtype=leaf.dtype).reshape(leaf.shape)
        return 1 + jnp.sin(index * index) + jnp.zeros_like(leaf)

    return _normalized(jax.tree.map(numbers, like))

"""Linear programs of few rows and many columns, by an interior-point method."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gamejax._linalg import cho_solve, cholesky
from gamejax._numerics import HIGHEST


class AbstractRows(eqx.Module):
    """The rows of a linear program's constraint matrix $A$, as products with it."""

    @abc.abstractmethod
    def dot(self, x: Float[Array, " columns"]) -> Float[Array, " rows"]:
        """$A x$."""

    @abc.abstractmethod
    def transpose_dot(self, y: Float[Array, " rows"]) -> Float[Array, " columns"]:
        r"""$A^\top y$."""

    @abc.abstractmethod
    def gram(self, weights: Float[Array, " columns"]) -> Float[Array, "rows rows"]:
        r"""$A \operatorname{diag}(w) A^\top$."""


class DenseRows(AbstractRows):
    """A constraint matrix that is written out."""

    matrix: Float[Array, "rows columns"]

    def dot(self, x: Float[Array, " columns"]) -> Float[Array, " rows"]:
        return jnp.matmul(self.matrix, x, precision=HIGHEST)

    def transpose_dot(self, y: Float[Array, " rows"]) -> Float[Array, " columns"]:
        return jnp.matmul(y, self.matrix, precision=HIGHEST)

    def gram(self, weights: Float[Array, " columns"]) -> Float[Array, "rows rows"]:
        return jnp.matmul(self.matrix * weights[None, :], self.matrix.T, precision=HIGHEST)


class LinearProgram(eqx.Module):
    r"""$\min c^\top x$ subject to $A x = b$, $x \ge 0$, with numbers of about unit size.

    Attributes:
        cost: $c$.
        rows: $A$, few rows and any number of columns; rows of zeros with $b_i = 0$ do no harm.
        bound: $b$.
        exists: which columns exist; the others are 0.
    """

    cost: Float[Array, " columns"]
    rows: AbstractRows
    bound: Float[Array, " rows"]
    exists: Bool[Array, " columns"]


class Embedded(eqx.Module):
    r"""A point of the homogeneous self-dual embedding; $x / \tau$ and $y / \tau$ are the answers.

    Attributes:
        x, y, z: columns, multipliers of the rows, reduced costs $c - A^\top y$; all times $\tau$.
        tau, kappa: the embedding's own pair, of which only `tau` stays positive.
    """

    x: Float[Array, " columns"]
    y: Float[Array, " rows"]
    z: Float[Array, " columns"]
    tau: Float[Array, ""]
    kappa: Float[Array, ""]


class LinearProgramState(eqx.Module):
    """Where the method stands.

    Attributes:
        point: the iterate.
        residuals: of the rows, of the reduced costs and of the duality gap at `point`.
        best: the iterate of smallest `error` so far.
        error: its largest residual: of the rows, of the reduced costs, of the duality gap.
        num_steps: steps taken.
        stale: how many of them since `best`.
    """

    point: Embedded
    residuals: tuple[Array, Array, Array]
    best: Embedded
    error: Float[Array, ""]
    num_steps: Int[Array, ""]
    stale: Int[Array, ""]

    def ended(self, accuracy: Array | float) -> Bool[Array, ""]:
        """Whether the error is at most `accuracy`, or rounding lets it fall no further."""
        least = 4 * jnp.finfo(self.error.dtype).eps
        return (self.error <= jnp.maximum(accuracy, least)) | (self.stale >= 4)


def start_program(program: LinearProgram) -> LinearProgramState:
    """The state before the first step."""
    ones = jnp.ones_like(program.cost)
    x = jnp.where(program.exists, ones, 0)
    one = jnp.ones_like(ones[0])
    point = Embedded(x, jnp.zeros_like(program.bound), ones, one, one)
    zero = jnp.zeros_like(program.exists[0], dtype=jnp.int32)
    residuals = _residuals(program, point)
    return LinearProgramState(point, residuals, point, jnp.full_like(one, jnp.inf), zero, zero)


def step_program(program: LinearProgram, state: LinearProgramState) -> LinearProgramState:
    r"""One predictor-corrector step in the homogeneous self-dual embedding of a linear program.

    Needs neither a feasible start nor that the feasible set has an interior, which sets of
    equilibria often lack. One Cholesky factorization of $A X Z^{-1} A^\top$ and three solves; 6 to
    20 steps lead to rounding. The limit is in the relative interior of the optimal face and
    strictly complementary. Programs are taken to be feasible and bounded.

    References:
        xu1996, mehrotra1992.
    """
    point = state.point
    direction = _directions(program, point, state.residuals)
    mean = _mean(program, point)
    affine = direction(1.0, -point.x * point.z, -point.tau * point.kappa)
    centering = (1 - jnp.minimum(1, _room(point, affine))) ** 3
    newton = direction(
        1 - centering,
        centering * mean - point.x * point.z - affine.x * affine.z,
        centering * mean - point.tau * point.kappa - affine.tau * affine.kappa,
    )
    length = jnp.minimum(1, 0.995 * _room(point, newton))
    moved = jax.tree.map(lambda value, step: value + length * step, point, newton)
    finite = jnp.isfinite(_mean(program, moved)) & (moved.tau > 0)
    moved = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, point)
    residuals = _residuals(program, moved)
    error = jnp.where(finite, _error(moved, residuals), jnp.inf)
    better = error < state.error
    return LinearProgramState(
        point=moved,
        residuals=residuals,
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), moved, state.best),
        error=jnp.where(better, error, state.error),
        num_steps=state.num_steps + 1,
        stale=jnp.where(better, 0, state.stale + 1),
    )


def _residuals(program: LinearProgram, point: Embedded) -> tuple[Array, Array, Array]:
    """How far a point is from the embedding's three sets of equations."""
    reduced = program.cost * point.tau - program.rows.transpose_dot(point.y) - point.z
    gap = jnp.vdot(program.cost, point.x, precision=HIGHEST) - jnp.vdot(
        program.bound, point.y, precision=HIGHEST
    )
    return (
        program.bound * point.tau - program.rows.dot(point.x),
        jnp.where(program.exists, reduced, 0),
        point.kappa + gap,
    )


def _error(point: Embedded, residuals: tuple[Array, Array, Array]) -> Array:
    primal, dual, gap = residuals
    parts = [jnp.abs(primal).max(), jnp.abs(dual).max(), jnp.abs(gap - point.kappa)]
    return jnp.stack(parts).max() / point.tau


def _mean(program: LinearProgram, point: Embedded) -> Array:
    """The mean complementarity product."""
    total = jnp.vdot(point.x, point.z, precision=HIGHEST) + point.tau * point.kappa
    return total / (program.exists.sum(dtype=total.dtype) + 1)


def _room(point: Embedded, step: Embedded) -> Array:
    """How many times `step` fits before a sign changes."""

    def room(value: Array, change: Array) -> Array:
        blocked = change < 0
        return jnp.where(blocked, value / jnp.where(blocked, -change, 1), jnp.inf).min()

    names = ("x", "z", "tau", "kappa")
    return jnp.stack([room(getattr(point, n), getattr(step, n)) for n in names]).min()


def _directions(
    program: LinearProgram, point: Embedded, residuals: tuple[Array, Array, Array]
) -> Callable[[Array | float, Array, Array], Embedded]:
    """Newton directions at `point` from one factorization.

    For the part `share` of the residuals to be removed, and the changes aimed at in the products
    `x z` and `tau kappa`.
    """
    rows, cost, bound = program.rows, program.cost, program.bound
    primal, dual, gap = residuals
    inverse = jnp.where(program.exists, 1 / jnp.where(program.exists, point.x, 1), 0)
    weights = point.x / point.z
    solve = factor_positive(rows.gram(weights))
    along = solve(bound + rows.dot(weights * cost))
    unit = weights * (rows.transpose_dot(along) - cost)
    slope = (
        jnp.vdot(bound, along, precision=HIGHEST)
        - jnp.vdot(cost, unit, precision=HIGHEST)
        + point.kappa / point.tau
    )

    def direction(share: Array | float, products: Array, product: Array) -> Embedded:
        known = jnp.where(program.exists, share * dual, 0) - inverse * products
        y = solve(share * primal + rows.dot(weights * known))
        x = weights * (rows.transpose_dot(y) - known)
        missing = (
            share * gap
            + jnp.vdot(cost, x, precision=HIGHEST)
            - jnp.vdot(bound, y, precision=HIGHEST)
            + product / point.tau
        )
        tau = missing / slope
        x, y = x + unit * tau, y + along * tau
        z = inverse * (products - point.z * x)
        return Embedded(x, y, z, tau, (product - point.kappa * tau) / point.tau)

    return direction


def factor_positive(matrix: Float[Array, "n n"]) -> Callable[[Array], Array]:
    """Solves with a positive semidefinite matrix, scaled to a unit diagonal and refined once.

    Unknowns whose row is zero are left alone: they come back as their right-hand side.
    """
    diagonal = jnp.diagonal(matrix)
    known = diagonal > 0
    scale = jnp.where(known, 1 / jnp.sqrt(jnp.where(known, diagonal, 1)), 1)
    scaled = matrix * scale[:, None] * scale[None, :]
    ridge = jnp.where(known, 4 * jnp.finfo(matrix.dtype).eps, 1)
    factor = cholesky(scaled + jnp.diag(ridge))

    def once(right: Array) -> Array:
        return scale * cho_solve(factor, scale * right)

    def solve(right: Array) -> Array:
        first = once(right)
        return first + once(right - jnp.matmul(matrix, first, precision=HIGHEST))

    return solve

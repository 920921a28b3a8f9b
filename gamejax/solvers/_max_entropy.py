"""Distributions of maximum entropy under linear inequalities, through their dual."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gamejax._linear_program import AbstractRows, factor_positive
from gamejax._numerics import HIGHEST
from gamejax._types import Scalar

LONGEST_STAY = 25
"""So many steps are taken with one barrier at most."""


class MaxEntropyState(eqx.Module):
    """Where the method stands.

    Attributes:
        multipliers: of the inequalities.
        slacks: what the inequalities leave, as the method sees it.
        barrier: the complementarity product that is aimed at.
        num_steps: steps taken.
        stay: how many of them with the present barrier.
        ended: whether the smallest barrier's point is reached.
    """

    multipliers: Float[Array, " rows"]
    slacks: Float[Array, " rows"]
    barrier: Scalar
    num_steps: Int[Array, ""]
    stay: Int[Array, ""]
    ended: Bool[Array, ""]


def allowance(dtype: jnp.dtype) -> float:
    """How far the inequalities are relaxed: it gives sets without an interior one.

    Then the multipliers stay of the size of the logarithm of this number. Certificates sum it over
    the actions of a player, so that float32 has less to give away.
    """
    numbers = jnp.finfo(dtype)
    return float(numbers.eps) ** (0.7 if numbers.bits > 32 else 0.8)


def start_max_entropy(exists: Bool[Array, " rows"], dtype: jnp.dtype) -> MaxEntropyState:
    """The state before the first step; `exists` says which inequalities there are."""
    ones = jnp.ones_like(exists, dtype=dtype)
    zero = jnp.zeros((), jnp.int32)
    barrier = jnp.full((), 0.1, dtype)
    return MaxEntropyState(0.1 * ones, ones, barrier, zero, zero, jnp.zeros((), bool))


def distribution(
    rows: AbstractRows, columns: Bool[Array, " columns"], multipliers: Float[Array, " rows"]
) -> Float[Array, " columns"]:
    r"""$x \propto \exp(-A^\top \lambda)$, which maximizes $H(x) - \lambda^\top A x$."""
    return jax.nn.softmax(jnp.where(columns, -rows.transpose_dot(multipliers), -jnp.inf))


def step_max_entropy(
    rows: AbstractRows,
    columns: Bool[Array, " columns"],
    exists: Bool[Array, " rows"],
    state: MaxEntropyState,
    least: Scalar | float,
) -> MaxEntropyState:
    r"""One damped primal-dual Newton step on $A x(\lambda) + s = \varepsilon, \lambda s = \mu$.

    Its direction descends on the barrier function of the dual,
    $\ln \sum_j e^{-(A^\top \lambda)_j} + \varepsilon \sum_i \lambda_i - \mu \sum_i \ln \lambda_i$,
    which a line search sees to. The barrier $\mu$ falls, down to `least`, where steps are short.
    The allowance is $\varepsilon = \varepsilon_0 + \mu$, so that multipliers stay of unit size
    also along directions in which they do nothing.
    """
    multipliers, slacks, barrier = state.multipliers, state.slacks, state.barrier
    epsilon = allowance(multipliers.dtype) + barrier
    x = distribution(rows, columns, multipliers)
    values = rows.dot(x)
    ratio = jnp.where(exists, slacks / multipliers, 1)
    curvature = rows.gram(x) - values[:, None] * values[None, :] + jnp.diag(ratio)
    downhill = jnp.where(exists, values - epsilon + barrier / multipliers, 0)
    change = factor_positive(curvature)(downhill)
    decrement = jnp.vdot(change, downhill, precision=HIGHEST)
    length, full = _line_search(rows, columns, exists, state, change, decrement)
    moved = jnp.where(exists, barrier / multipliers - slacks - ratio * change, 0)
    room = jnp.minimum(length, 0.995 * _room(slacks, moved))
    finite = jnp.isfinite(decrement)
    # Rounding may hide that a point is close to the path: then the barrier falls all the same.
    near = (full & (decrement <= 0.3 * barrier)) | (state.stay >= LONGEST_STAY) | ~finite
    smaller = jnp.maximum(jnp.minimum(0.1 * barrier, barrier**1.5), least)
    return MaxEntropyState(
        multipliers=jnp.where(finite, multipliers + length * change, multipliers),
        slacks=jnp.where(finite, slacks + room * moved, slacks),
        barrier=jnp.where(near, smaller, barrier),
        num_steps=state.num_steps + 1,
        stay=jnp.where(near, 0, state.stay + 1),
        ended=(near & (barrier <= least)) | ~finite,
    )


def _line_search(
    rows: AbstractRows,
    columns: Array,
    exists: Array,
    state: MaxEntropyState,
    change: Array,
    decrement: Scalar,
) -> tuple[Scalar, Bool[Array, ""]]:
    """The longest of some halvings that decreases the barrier function, and if it is the first."""
    multipliers, dtype = state.multipliers, state.multipliers.dtype
    epsilon = allowance(dtype) + state.barrier
    longest = jnp.minimum(1, 0.995 * _room(multipliers, change))
    lengths = longest * 0.5 ** jnp.arange(16, dtype=dtype)
    here, there = rows.transpose_dot(multipliers), rows.transpose_dot(change)

    def barrier_function(length: Scalar) -> Scalar:
        point = jnp.where(exists, multipliers + length * change, 1)
        exponents = jnp.where(columns, -here - length * there, -jnp.inf)
        linear = jnp.where(exists, epsilon * point, 0)
        return jax.nn.logsumexp(exponents) + (linear - state.barrier * jnp.log(point)).sum()

    values = jax.vmap(barrier_function)(jnp.concatenate([jnp.zeros_like(lengths[:1]), lengths]))
    rounding = 16 * jnp.finfo(dtype).eps * (1 + jnp.abs(values[0]))
    falls = values[1:] <= values[0] - 1e-4 * lengths * decrement + rounding
    chosen = jnp.argmax(falls)
    length = jnp.where(falls.any(), lengths[chosen], 0)
    return length, (chosen == 0) & (longest >= 1)


def _room(values: Array, change: Array) -> Scalar:
    blocked = change < 0
    return jnp.where(blocked, values / jnp.where(blocked, -change, 1), jnp.inf).min()

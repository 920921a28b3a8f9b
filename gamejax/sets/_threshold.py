r"""Water-filling: one threshold per block, behind every projection and mirror map of simplices.

The maximizer of $\langle\theta, x\rangle - R(x)$ over $\{0 \le x \le c, \sum_a x_a = 1\}$ is
$x_a = \mathrm{clip}(\phi(\theta_a - \lambda), 0, c)$ with $\phi = (r')^{-1}$ and the one number
$\lambda$ that makes it sum to 1. Coordinates of $\theta$ that are $-\infty$ do not exist: they get
exactly 0.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gamejax._numerics import safe_divide
from gamejax.regularizers import AbstractRegularizer

PATIENCE = 6
"""Ordinary capped searches end within this many Newton steps."""

MAX_STEPS = 200
"""More than bisection needs to cross the range of float64 payoffs; a handful is usual."""


def waterfill(
    dual: Float[Array, "*blocks actions"],
    regularizer: AbstractRegularizer,
    cap: Float[Array, ""] | None = None,
) -> Float[Array, "*blocks actions"]:
    r"""The mirror map of the (capped) simplex along the last axis.

    First and second derivatives, forward and reverse, in `dual`, `cap` and the regularizer's own
    numbers come from the implicit function theorem, never from the search.
    """
    shifted = dual - jax.lax.stop_gradient(jnp.max(dual, axis=-1, keepdims=True))
    if cap is not None:
        # With binding caps the threshold may lie far below the top: search, then move the origin
        # there and search again, so that the coordinates that matter keep all their digits.
        shifted = shifted - _search(*jax.lax.stop_gradient((shifted, cap, regularizer)))
    return _fill(shifted - _threshold(shifted, cap, regularizer), cap, regularizer)


def _fill(z: Array, cap: Array | None, regularizer: AbstractRegularizer) -> Array:
    r"""$\mathrm{clip}(\phi(z), 0, c)$, with one-sided derivatives at the kinks."""
    # Comparisons are phrased so that a NaN stays a NaN instead of passing for a bound.
    free = exists = z != -jnp.inf
    if cap is not None:
        free = exists & ~(z >= regularizer.gradient(cap))
    x = jnp.where(free, regularizer.inverse_gradient(jnp.where(free, z, -1)), 0)
    x = jnp.where(x <= 0, 0, x)
    if cap is None:
        return x
    free = free & ~(x >= cap)
    # With every coordinate at a bound the caps add up to 1 by themselves and nothing can move.
    moving = jnp.any(free & (x > 0), axis=-1, keepdims=True)
    top = jnp.where(moving, cap, jax.lax.stop_gradient(cap))
    return jnp.where(free, x, jnp.where(exists, top, 0))


def _fill_and_slope(z: Array, cap: Array | None, regularizer: AbstractRegularizer):
    fill = partial(_fill, cap=cap, regularizer=regularizer)
    return jax.jvp(fill, (z,), (jnp.ones_like(z),))


@jax.custom_jvp
def _threshold(dual: Array, cap: Array | None, regularizer: AbstractRegularizer) -> Array:
    near = None if cap is None else jnp.zeros_like(dual[..., :1])
    return _search(dual, cap, regularizer, near)


@_threshold.defjvp
def _threshold_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    dual, cap, regularizer = primals
    level = _threshold(dual, cap, regularizer)
    _, push = jax.jvp(lambda d, c, r: _fill(d - level, c, r), primals, tangents)
    _, slope = _fill_and_slope(dual - level, cap, regularizer)
    return level, safe_divide(push.sum(-1, keepdims=True), slope.sum(-1, keepdims=True))


class _Search(NamedTuple):
    level: Float[Array, "*blocks 1"]
    low: Float[Array, "*blocks 1"]
    high: Float[Array, "*blocks 1"]
    done: Bool[Array, "*blocks 1"]
    steps: Array


def _search(
    dual: Array, cap: Array | None, regularizer: AbstractRegularizer, near: Array | None = None
) -> Array:
    r"""$\lambda$ by Newton steps kept inside a shrinking bracket, from `near` if given.

    Without a cap every step moves right and none overshoots: the transformed mass of
    `threshold_step` is concave in $\lambda$ and the start is left of the root.
    """
    exists = dual != -jnp.inf
    top = jnp.max(dual, axis=-1, keepdims=True)
    count = exists.sum(-1, keepdims=True, dtype=dual.dtype)
    high = top - regularizer.gradient(1 / count)
    start = low = top - regularizer.gradient(jnp.ones_like(top))
    if cap is not None:
        bottom = jnp.min(dual, axis=-1, keepdims=True, where=exists, initial=jnp.inf)
        low = jnp.minimum(low, bottom - regularizer.gradient(cap))
    if near is not None:
        start = jnp.clip(near, low, high)
    eps = jnp.finfo(dual.dtype).eps

    def body(s: _Search) -> _Search:
        x, slope = _fill_and_slope(dual - s.level, cap, regularizer)
        slope = slope.sum(-1, keepdims=True)
        # Summed apart: next to the caps a small free mass would lose its digits.
        at_cap = jnp.zeros_like(x) if cap is None else jnp.where(x >= cap, cap, 0)
        capped = at_cap.sum(-1, keepdims=True)
        free = (x - at_cap).sum(-1, keepdims=True)
        total = capped + free
        low = jnp.where(total >= 1, s.level, s.low)
        high = jnp.where(total <= 1, s.level, s.high)
        newton = s.level + regularizer.threshold_step(free, slope, 1 - capped)
        inside = (newton > low) & (newton < high)
        if cap is not None:
            # Far from the caps' kinks Newton may find them one by one: then halve every other time.
            inside = inside & ((s.steps < PATIENCE) | (s.steps % 2 == 0))
        level = jnp.where(inside, newton, low + (high - low) / 2)
        # Ends also where the step is lost in rounding and, by `~(>)`, where a number is NaN.
        fine = (free > 0) & (jnp.abs(newton - s.level) <= eps * jnp.abs(s.level))
        done = s.done | ~(jnp.abs(total - 1) > 4 * eps) | fine | (level == s.level)
        return _Search(jnp.where(done, s.level, level), low, high, done, s.steps + 1)

    def unfinished(s: _Search) -> Array:
        return (s.steps < MAX_STEPS) & ~jnp.all(s.done)

    first = _Search(start, low, high, jnp.isnan(start), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(unfinished, body, first).level

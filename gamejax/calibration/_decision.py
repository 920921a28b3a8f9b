"""What miscalibration costs those who act on forecasts: regret for every proper loss at once."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import (
    Sample,
    as_forecasts,
    as_sample,
    by_score,
    level_of,
    runs,
    total,
)


def u_calibration(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""U-calibration error: the largest regret to a constant forecast, over all proper losses.

    $$\sup_{\ell\ \text{proper},\ |\ell| \le 1}\ \sum_t w_t \ell(p_t, x_t) -
    \min_b \sum_t w_t \ell(b, x_t), \qquad \textstyle\sum_t w_t = 1.$$

    Exact. A proper loss is a mixture, with weights $\mu(v)$, of the V-shaped losses of
    `v_calibration`, and so is its regret; $|\ell| \le 1$ means that $\int v\,d\mu$ and
    $\int (1 - v)\,d\mu$ are at most 1 (in units of V-shaped losses). The best of such mixtures is
    twice the concave envelope of the regrets at $v = 1/2$. Between `v_calibration` and twice it.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        num_levels: look at the thresholds $k/L$ alone, without sorting: no more than the error.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that losses are summed and
            not averaged.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        kleinberg2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    return _external(scores, labels, weights, num_levels, True, bool(normalize))


def v_calibration(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""V-calibration error: `u_calibration` for the V-shaped losses alone.

    The losses $\ell_v(p, x) = -\mathrm{sign}(p - v)(x - v)$, $v \in [0, 1]$, are those of someone
    who acts if the forecast exceeds $v$. The regret to the best constant forecast is
    $-\sum_t w_t\,\mathrm{sign}(p_t - v)(x_t - v) + |\sum_t w_t (x_t - v)|$, convex in $v$ between
    forecasts: the supremum lies at a forecast, approached from one side. Args and errors as in
    `u_calibration`.

    References:
        kleinberg2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    return _external(scores, labels, weights, num_levels, False, bool(normalize))


def swap_calibration(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Calibration decision loss: the largest swap regret, over all proper losses.

    As `u_calibration`, but to the best forecast for each level by itself, in hindsight: the mean
    outcome of the level. Of the V-shaped loss at $\theta$ a level $v$ with mean $\bar x$ costs
    $2 n_v |\bar x - \theta|$ if $\theta$ lies between $v$ and $\bar x$, else nothing. What anyone
    with payoffs in $[-1, 1]$ loses by taking forecasts at face value is at most this. Exact.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        num_levels: forecasts replaced by the middle of their bin out of $L$; `None`: as they are.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that losses are summed and
            not averaged.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        hu2024.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    return _swap(scores, labels, weights, num_levels, bool(normalize))


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _external(
    scores: Array,
    labels: Array,
    weights: Array | None,
    num_levels: int | None,
    proper: bool,
    normalize: bool,
) -> Scalar:
    sample = as_sample(scores, labels, weights, normalize)
    if num_levels is None:
        thresholds, regrets = _at_forecasts(by_score(sample))
    else:
        thresholds, regrets = _at_grid(sample, num_levels)
    return 2 * envelope_at_half(thresholds, regrets) if proper else regrets.max()


def _at_forecasts(sample: Sample) -> tuple[Array, Array]:
    """Thresholds at the sorted forecasts, both sides of them, and the regrets there."""
    edges = jnp.pad(sample.scores, (1, 1), constant_values=(0, 1))
    below = jnp.pad(jnp.cumsum(sample.weights * sample.labels), (1, 0))
    mass = jnp.pad(jnp.cumsum(sample.weights), (1, 0))
    # A cut among equal forecasts is none.
    is_cut = jnp.pad(jnp.diff(sample.scores) > 0, (1, 1), constant_values=True)
    thresholds = jnp.stack([edges[:-1], edges[1:]])
    regrets = jax.vmap(_regret, (None, None, 0))(below, mass, thresholds)
    return thresholds.ravel(), jnp.where(is_cut[None], regrets, 0).ravel()


def _at_grid(sample: Sample, num_levels: int) -> tuple[Array, Array]:
    level = level_of(sample.scores, num_levels)
    below = jnp.cumsum(total(sample.weights * sample.labels, level, num_levels))
    mass = jnp.cumsum(total(sample.weights, level, num_levels))
    thresholds = jnp.linspace(0, 1, num_levels + 1, dtype=mass.dtype)
    return thresholds, _regret(jnp.pad(below, (1, 0)), jnp.pad(mass, (1, 0)), thresholds)


def _regret(below: Array, mass: Array, thresholds: Array) -> Array:
    """Regret of the V-shaped losses, from sums of outcomes and weights below each threshold."""
    outcomes, weight = below[-1], mass[-1]
    acted = (2 * below - outcomes) - thresholds * (2 * mass - weight)
    return acted + jnp.abs(outcomes - thresholds * weight)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _swap(
    scores: Array, labels: Array, weights: Array | None, num_levels: int | None, normalize: bool
) -> Scalar:
    sample = as_sample(scores, labels, weights, normalize)
    if num_levels is None:
        sample = by_score(sample)
        level, size = runs(sample.scores), sample.scores.shape[0]
        values = jnp.zeros_like(sample.scores).at[level].set(sample.scores)
    else:
        level, size = level_of(sample.scores, num_levels), num_levels
        values = (jnp.arange(size, dtype=sample.scores.dtype) + 0.5) / size
    mass = total(sample.weights, level, size)
    outcomes = total(sample.weights * sample.labels, level, size)
    means = safe_divide(outcomes, mass)
    means = jnp.where(mass > 0, means, values)
    sign = jnp.where(means >= values, 2, -2).astype(mass.dtype)
    half = jnp.full_like(means[:1], 0.5)
    thresholds = jnp.concatenate([values, means, half, 0 * half, 2 * half])
    started = _sums_up_to(jnp.minimum(values, means), sign, outcomes, mass, thresholds, "right")
    ended = _sums_up_to(jnp.maximum(values, means), sign, outcomes, mass, thresholds, "left")
    return 2 * envelope_at_half(thresholds, started - ended)


def _sums_up_to(
    keys: Array, sign: Array, outcomes: Array, mass: Array, thresholds: Array, side: str
) -> Array:
    """Sum of `sign * (outcomes - threshold * mass)` over levels of keys below each threshold."""
    keys, outcomes, mass = jax.lax.sort((keys, sign * outcomes, sign * mass), num_keys=1)
    count = jnp.searchsorted(keys, thresholds, side=side)
    outcomes = jnp.pad(jnp.cumsum(outcomes), (1, 0))[count]
    return outcomes - thresholds * jnp.pad(jnp.cumsum(mass), (1, 0))[count]


def envelope_at_half(places: Float[Array, " n"], heights: Float[Array, " n"]) -> Scalar:
    r"""The least concave function above points of $[0, 1] \times [0, \infty)$, at 1/2.

    The highest chord over 1/2, $(h_a/\alpha_a + h_b/\beta_b)/(1/\alpha_a + 1/\beta_b)$ for points
    at distances $\alpha_a$ to the left and $\beta_b$ to the right: a ratio, maximized by
    Dinkelbach's iteration, which ends after a few steps.

    References:
        dinkelbach1967.
    """
    fixed_places, fixed = jax.lax.stop_gradient((places, heights))
    distance = jnp.abs(fixed_places - 0.5)
    scale = jnp.where(distance > 0, 1 / jnp.where(distance > 0, distance, 1), 0)
    left, right = fixed_places < 0.5, fixed_places > 0.5
    top = jnp.argmax(jnp.where(distance == 0, fixed, -1))

    def best(level: Array) -> tuple[Array, Array]:
        gain = (fixed - level) * scale
        a = jnp.argmax(jnp.where(left, gain, -jnp.inf))
        b = jnp.argmax(jnp.where(right, gain, -jnp.inf))
        return a, b

    def improve(_: int, level: Array) -> Array:
        a, b = best(level)
        return jnp.maximum(level, _chord(fixed_places, fixed, a, b))

    start = jnp.where(distance[top] == 0, jnp.maximum(fixed[top], 0), 0)
    a, b = best(jax.lax.fori_loop(0, 24, improve, start))
    chord = _chord(places, heights, a, b)
    return jnp.where(distance[top] == 0, jnp.maximum(chord, heights[top]), chord)


def _chord(places: Array, heights: Array, a: Array, b: Array) -> Array:
    """The height at 1/2 of the line through two points."""
    left, right = 0.5 - places[a], places[b] - 0.5
    return safe_divide(heights[a] * right + heights[b] * left, left + right)

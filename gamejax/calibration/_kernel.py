"""Quadratic measures: a kernel's, and two bins at a random threshold."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import (
    as_forecasts,
    as_sample,
    by_score,
    level_of,
    total,
)


def laplace_kernel_ce(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    pairs: bool = False,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Laplace-kernel calibration error: the correlation of residuals at nearby forecasts.

    $$\Bigl(\sum_{s,t} r_s r_t e^{-|p_s - p_t|}\Bigr)^{1/2}, \qquad r_t = w_t (x_t - p_t),
    \quad \textstyle\sum_t w_t = 1.$$

    In sorted order the sum is $2\sum_t r_t e^{-p_t} \sum_{s \le t} r_s e^{p_s} - \sum_t r_t^2$:
    $O(T \log T)$. With `num_levels` $B$ pairs in different bins are summed exactly and those in
    one bin as if their forecasts agreed (to second order): the square is off by at most
    $\sum_b (\sum_{t \in b} |r_t|)^2/B$, about $1/B^2$, in $O(T)$ and without sorting.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        num_levels: $B$; `None` for exact.
        pairs: sum over all pairs, $O(T^2)$ time and memory: a smooth graph without sorting, for
            gradients of higher order.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that residuals are summed
            and not averaged.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        kumar2018; blasiok2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    if pairs and num_levels is not None:
        raise ValueError("pairs=True sums over forecasts as they are: leave num_levels out.")
    return _laplace(scores, labels, weights, num_levels, bool(pairs), bool(normalize))


def two_bin_error(
    scores: Numbers,
    labels: Numbers,
    *,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Averaged two-bin error: squared residuals of two bins, parted at a random threshold.

    $$\int_0^1 \Bigl(\sum_{p_t < \tau} r_t\Bigr)^2 + \Bigl(\sum_{p_t \ge \tau} r_t\Bigr)^2 d\tau,
    \qquad r_t = w_t (x_t - p_t), \quad \textstyle\sum_t w_t = 1.$$

    The expectation of a squared sum of independent residuals is the sum of their variances, plus
    the square of what bias adds: honest forecasts pay the variance alone, and every other forecast
    fixed in advance pays more. In units of a squared error, unlike other measures.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        hartline2025 (the idea; this normalization is ours).
    """
    scores, labels, weights = as_forecasts(scores, labels, weights)
    return _two_bin_error(scores, labels, weights, bool(normalize))


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _laplace(
    scores: Array,
    labels: Array,
    weights: Array | None,
    num_levels: int | None,
    pairs: bool,
    normalize: bool,
) -> Scalar:
    sample = as_sample(scores, labels, weights, normalize)
    if pairs:
        residuals = sample.residuals
        kernel = jnp.exp(-jnp.abs(sample.scores[:, None] - sample.scores[None, :]))
        square = jnp.vdot(residuals, jnp.matmul(kernel, residuals, precision=HIGHEST))
    elif num_levels is None:
        sample = by_score(sample)
        residuals = sample.residuals
        before = jnp.cumsum(residuals * jnp.exp(sample.scores))
        square = residuals * (2 * jnp.exp(-sample.scores) * before - residuals)
    else:
        level = level_of(sample.scores, num_levels)
        grown = total(sample.residuals * jnp.exp(sample.scores), level, num_levels)
        shrunk = total(sample.residuals * jnp.exp(-sample.scores), level, num_levels)
        square = shrunk * (2 * jnp.cumsum(grown) - grown)
    square = square.sum()
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


@functools.partial(jax.jit, static_argnums=(3,))
def _two_bin_error(scores: Array, labels: Array, weights: Array | None, normalize: bool) -> Scalar:
    sample = by_score(as_sample(scores, labels, weights, normalize))
    sums = jnp.pad(jnp.cumsum(sample.residuals), (1, 0))
    widths = jnp.diff(jnp.pad(sample.scores, (1, 1), constant_values=(0, 1)))
    return (widths * (sums**2 + (sums[-1] - sums) ** 2)).sum()

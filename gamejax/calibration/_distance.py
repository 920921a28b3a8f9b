"""How far forecasts are from the nearest calibrated ones; and by intervals of forecasts."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import (
    Sample,
    as_forecasts,
    as_sample,
    binary_digits,
    by_score,
    level_of,
    total,
)
from gamejax.calibration._smooth import path_of
from gamejax.calibration._transport import largest_correlation

EXACT_UP_TO = 10
"""Up to so many forecasts the distance to calibration is exact."""

_MOST_CUTS = 2**15


class _Path(NamedTuple):
    """Points or cells in ascending order, and where intervals may begin and end."""

    low: Float[Array, " cells"]
    high: Float[Array, " cells"]
    residuals: Float[Array, " cells"]
    mass: Float[Array, " cells"]
    begins: Bool[Array, " cells"]
    ends: Bool[Array, " cells"]


def interval_ce(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Interval calibration error: bins chosen in hindsight, and charged for their width.

    $$\inf_{\text{partitions of } [0, 1] \text{ into intervals}} \sum_I
    \Bigl(\bigl|\sum_{p_t \in I} w_t(x_t - p_t)\bigr| + \mathrm{width}(I) \sum_{p_t \in I} w_t
    \Bigr), \qquad \textstyle\sum_t w_t = 1.$$

    Exact by dynamic programming over the sorted forecasts, $O(T^2)$ time. Between the distance to
    calibration and `ece`.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        num_levels: cut at $k/L$ only, $O(T + L^2)$: no less than the error.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that residuals are summed
            and not averaged.

    Raises:
        ValueError: an argument is unusable, or more than 32,768 forecasts without `num_levels`.

    References:
        blasiok2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    if max(num_levels or 0, 0 if num_levels else scores.shape[0]) > _MOST_CUTS:
        raise ValueError(
            f"interval_ce compares all pairs of cuts, {_MOST_CUTS} of them at most: give "
            f"num_levels, 1024 say, for {scores.shape[0]} forecasts."
        )
    return _interval(scores, labels, weights, num_levels, bool(normalize))


def distance_to_calibration(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar | tuple[Scalar, Scalar]:
    r"""Distance to calibration: how far the nearest perfectly calibrated forecasts are.

    $$\min_{q :\ \mathrm{ECE}(x, q) = 0}\ \sum_t w_t |p_t - q_t|, \qquad
    \textstyle\sum_t w_t = 1.$$

    Of up to 10 forecasts exactly, the best of all partitions into level sets of $q$. Beyond, a
    pair `(lower, upper)`: `smooth_ce` / 2, and the distance to the best calibrated $q$ whose level
    sets are unions of intervals, found as in `interval_ce` and no farther than that.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        num_levels: of the bounds: cells of a grid for both; `None`: the forecasts themselves up to
            4096 of them, else 1024 cells.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that distances are summed
            and not averaged.

    Returns:
        The distance, or `(lower, upper)` for more than 10 forecasts.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        blasiok2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    if scores.shape[0] <= EXACT_UP_TO:
        return _exact_distance(scores, labels, weights, bool(normalize))
    if num_levels is None and scores.shape[0] > 4096:
        num_levels = 1024
    return _distance_bounds(scores, labels, weights, num_levels, bool(normalize))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _interval(
    scores: Array, labels: Array, weights: Array | None, num_levels: int | None, normalize: bool
) -> Scalar:
    path = _cells(as_sample(scores, labels, weights, normalize), num_levels)
    size = path.low.shape[0]
    interval = _best_intervals(path)
    low = jnp.full_like(path.low, jnp.inf).at[interval].min(path.low)
    high = jnp.full_like(path.low, -jnp.inf).at[interval].max(path.high)
    mass = total(path.mass, interval, size)
    width = jnp.where(jnp.isfinite(high - low), high - low, 0)
    return (jnp.abs(total(path.residuals, interval, size)) + width * mass).sum()


@functools.partial(jax.jit, static_argnums=(3, 4))
def _distance_bounds(
    scores: Array, labels: Array, weights: Array | None, num_levels: int | None, normalize: bool
) -> tuple[Scalar, Scalar]:
    sample = as_sample(scores, labels, weights, normalize)
    places, masses, _ = path_of(sample, num_levels)
    lower = largest_correlation(masses, jnp.diff(places)) / 2
    path = _cells(sample, num_levels)
    interval = _best_intervals(path)
    if num_levels is None:
        sample = by_score(sample)
    else:
        interval = interval[level_of(sample.scores, num_levels)]
    size = path.low.shape[0]
    outcomes = total(sample.weights * sample.labels, interval, size)
    means = safe_divide(outcomes, total(sample.weights, interval, size))
    return lower, (sample.weights * jnp.abs(sample.scores - means[interval])).sum()


def _cells(sample: Sample, num_levels: int | None) -> _Path:
    if num_levels is None:
        sample = by_score(sample)
        cut = jnp.pad(jnp.diff(sample.scores) > 0, (1, 1), constant_values=True)
        places, mass = sample.scores, sample.weights
        return _Path(places, places, sample.residuals, mass, cut[:-1], cut[1:])
    level = level_of(sample.scores, num_levels)
    edges = jnp.linspace(0, 1, num_levels + 1, dtype=sample.scores.dtype)
    residuals = total(sample.residuals, level, num_levels)
    mass = total(sample.weights, level, num_levels)
    anywhere = jnp.ones_like(mass, bool)
    return _Path(edges[:-1], edges[1:], residuals, mass, anywhere, anywhere)


def _best_intervals(path: _Path) -> Int[Array, " cells"]:
    """The interval of each cell in the cheapest partition, intervals named by their first cell."""
    path = jax.lax.stop_gradient(path)
    residuals = jnp.pad(jnp.cumsum(path.residuals), (1, 0))
    mass = jnp.pad(jnp.cumsum(path.mass), (1, 0))
    size = path.low.shape[0]
    places = jnp.arange(size, dtype=jnp.int32)

    def close(costs: Array, last: Array) -> tuple[Array, Array]:
        bias = jnp.abs(residuals[last + 1] - residuals[:-1])
        width = jnp.maximum(path.high[last] - path.low, 0)
        cost = costs[:-1] + bias + width * (mass[last + 1] - mass[:-1])
        cost = jnp.where(path.begins & (places <= last), cost, jnp.inf)
        first = jnp.argmin(cost).astype(jnp.int32)
        least = jnp.where(path.ends[last], cost[first], jnp.inf)
        return costs.at[last + 1].set(least), first

    def back(first: Array, cell: Array) -> tuple[Array, Array]:
        # `first` begins the interval of the cell to the right; a new one ends just before it.
        own = jnp.where(cell < first, firsts[cell], first)
        return own, own

    start = jnp.full_like(residuals, jnp.inf).at[0].set(0)
    _, firsts = jax.lax.scan(close, start, places)
    _, interval = jax.lax.scan(back, jnp.full_like(firsts[0], size), places, reverse=True)
    return interval


@functools.partial(jax.jit, static_argnums=(3,))
def _exact_distance(scores: Array, labels: Array, weights: Array | None, normalize: bool) -> Scalar:
    """The cheapest partition: of each set, the block of its first member and the best of the rest.

    Sets are numbers whose binary digits say who is in.
    """
    sample = as_sample(scores, labels, weights, normalize)
    size = scores.shape[0]
    sets = jnp.arange(2**size, dtype=jnp.int32)
    shares = binary_digits(sets, size).astype(scores.dtype) * sample.weights[None]
    means = safe_divide((shares * sample.labels[None]).sum(1), shares.sum(1))
    block_costs = (shares * jnp.abs(sample.scores[None] - means[:, None])).sum(1)

    def cover(costs: Array, whole: Array) -> tuple[Array, None]:
        inside = ((sets & whole) == sets) & ((sets & whole & -whole) != 0)
        cost = jnp.where(inside, block_costs + costs[whole & ~sets], jnp.inf)
        return costs.at[whole].set(cost.min()), None

    costs, _ = jax.lax.scan(cover, jnp.zeros_like(block_costs), sets[1:])
    return costs[-1]

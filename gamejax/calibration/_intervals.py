"""Residuals over intervals of rounds, for adaptive calibration."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar


class IntervalResiduals(NamedTuple):
    r"""$\|G_i\|_\infty$ of intervals $[s, t]$ and bins $i$, in four scales.

    Attributes:
        raw: $\|\sum_{\tau = s}^t w_i(p_\tau)(h_\tau - p_\tau)\|_\infty$, `(intervals, bins)`.
        per_round: that over $t$.
        per_length: over $t - s + 1$.
        per_mass: over $N_i = \sum w_i(p_\tau)$; 0 for an empty bin.
    """

    raw: Float[Array, "intervals bins"]
    per_round: Float[Array, "intervals bins"]
    per_length: Float[Array, "intervals bins"]
    per_mass: Float[Array, "intervals bins"]


def interval_residuals(
    forecasts: Numbers,
    outcomes: Numbers,
    starts: Numbers,
    stops: Numbers,
    *,
    bins: Numbers | None = None,
) -> IntervalResiduals:
    """How far outcomes were from forecasts on intervals of rounds, bin by bin.

    Args:
        forecasts: shape `(rounds,)` or `(rounds, classes)`.
        outcomes: of the same shape.
        starts: first rounds of the intervals, counted from 1.
        stops: their last rounds.
        bins: the binning functions at the forecasts, `(rounds, bins)`; default one bin.

    Raises:
        ValueError: the shapes do not fit.

    References:
        haghtalab2023b.
    """
    residuals, values = _binned(forecasts, outcomes, bins)
    first, last = (jnp.asarray(x).astype(jnp.int32) for x in (starts, stops))
    return _over(residuals, values, first, last)


@jax.jit
def _over(residuals: Array, values: Array, first: Array, last: Array) -> IntervalResiduals:
    sums, mass = _from_zero(residuals), _from_zero(values)
    raw = jnp.abs(sums[last] - sums[first - 1]).max(-1)
    count = mass[last] - mass[first - 1]
    length = (last - first + 1).astype(raw.dtype)[:, None]
    return IntervalResiduals(
        raw, raw / last.astype(raw.dtype)[:, None], raw / length, safe_divide(raw, count)
    )


def adaptive_error(forecasts: Numbers, outcomes: Numbers, *, bins: Numbers | None = None) -> Scalar:
    r"""The largest $\|G_i\|_\infty$ over all intervals of rounds and all bins.

    In one pass: the sum over an interval is the difference of two cumulative sums, so the largest
    is their range.

    Args:
        forecasts: shape `(rounds,)` or `(rounds, classes)`.
        outcomes: of the same shape.
        bins: the binning functions at the forecasts, `(rounds, bins)`; default one bin.

    References:
        haghtalab2023b.
    """
    sums = _from_zero(_binned(forecasts, outcomes, bins)[0])
    return (sums.max(0) - sums.min(0)).max()


def _binned(forecasts: Numbers, outcomes: Numbers, bins: Numbers | None) -> tuple[Array, Array]:
    """Residuals in each bin `(rounds, bins, classes)`, and the bins' values."""
    p, h = jnp.asarray(forecasts), jnp.asarray(outcomes)
    if p.shape != h.shape or p.ndim not in (1, 2):
        raise ValueError(
            "forecasts and outcomes must have one shape, (rounds,) or (rounds, classes), got "
            f"{p.shape} and {h.shape}."
        )
    values = jnp.ones((len(p), 1), p.dtype) if bins is None else jnp.asarray(bins).astype(p.dtype)
    if values.ndim != 2 or len(values) != len(p):
        raise ValueError(f"bins must have shape ({len(p)}, bins), got {values.shape}.")
    residuals = (h.astype(p.dtype) - p).reshape(len(p), 1, -1)
    return values[:, :, None] * residuals, values


def _from_zero(terms: Array) -> Array:
    """Cumulative sums, with the empty one first."""
    return jnp.concatenate([jnp.zeros_like(terms[:1]), jnp.cumsum(terms, axis=0)])

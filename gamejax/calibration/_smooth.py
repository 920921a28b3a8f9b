"""The smooth calibration error, with the function that attains it and a certificate."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._export import AbstractResult
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import (
    Sample,
    as_forecasts,
    as_sample,
    by_score,
    on_grid,
)
from gamejax.calibration._transport import largest_correlation, path_transport


class SmoothCE(AbstractResult):
    r"""A certified smooth calibration error.

    Attributes:
        lower: the correlation of the residuals with the witness: no more than the error.
        upper: the cost of a transport of the residuals (plus what the grid can hide): no less.
        points: where the witness is given: the sorted forecasts, or the grid.
        witness: $f$ there; linear in between. Where $f > 0$ forecasts are too low.
    """

    lower: Scalar
    upper: Scalar
    points: Float[Array, " points"]
    witness: Float[Array, " points"]

    def __call__(self, scores: Numbers) -> Float[Array, "..."]:
        """The witness at any forecasts."""
        return jnp.interp(jnp.asarray(scores, self.points.dtype), self.points, self.witness)


def smooth_ce(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Smooth calibration error: the largest correlation of residuals with a Lipschitz function.

    $$\mathrm{smCE} = \sup_{f : [0, 1] \to [-1, 1],\ \text{1-Lipschitz}}
    \sum_t w_t f(p_t)(x_t - p_t), \qquad \textstyle\sum_t w_t = 1.$$

    Exact, in $O(T \log T)$: the dual, a transport of residuals along the line, is an isotonic
    regression. With `num_levels` $B$ the supremum is over functions linear between
    $0, 1/B, \ldots, 1$, in $O(T + B \log B)$ and without sorting the forecasts: from a few ten
    thousand forecasts on, use 1024 or more. That is less by at most $\sum_t w_t|x_t - p_t|/(2B)$,
    in practice by far less; `smooth_ce_bounds` says by how much at most. At most `ece`, at most
    twice the distance to calibration. Not truthful: see `truthfulness`.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        num_levels: $B$ cells of a grid; `None` for exact.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that residuals are summed
            and not averaged.

    Returns:
        The error. Its gradients are the maximizer $f$ (in the masses) and the transport (in the
        places), where they are unique.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        foster2018; blasiok2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    return _smooth_ce(scores, labels, weights, num_levels, bool(normalize))


def smooth_ce_bounds(
    scores: Numbers,
    labels: Numbers,
    *,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> SmoothCE:
    """`smooth_ce` with its maximizer, and an upper bound from the dual that proves it.

    The bounds agree to rounding where `num_levels` is `None`. Args and errors as in `smooth_ce`.

    References:
        blasiok2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    return _bounds(scores, labels, weights, num_levels, bool(normalize))


def path_of(
    sample: Sample, num_levels: int | None
) -> tuple[Array, Array, Scalar | Float[Array, ""]]:
    """Places and masses on a path, and the most that moving them there can hide."""
    if num_levels is None:
        sample = by_score(sample)
        return sample.scores, sample.residuals, jnp.zeros_like(sample.scores[0])
    nodes, reach = on_grid(sample.scores, sample.residuals, num_levels)
    return jnp.linspace(0, 1, num_levels + 1, dtype=nodes.dtype), nodes, reach


@functools.partial(jax.jit, static_argnums=(3, 4))
def _smooth_ce(
    scores: Array, labels: Array, weights: Array | None, num_levels: int | None, normalize: bool
) -> Scalar:
    sample = as_sample(scores, labels, weights, normalize)
    places, masses, _ = path_of(sample, num_levels)
    return largest_correlation(masses, jnp.diff(places))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _bounds(
    scores: Array, labels: Array, weights: Array | None, num_levels: int | None, normalize: bool
) -> SmoothCE:
    sample = as_sample(scores, labels, weights, normalize)
    places, masses, reach = path_of(sample, num_levels)
    best = path_transport(masses, jnp.diff(places))
    return SmoothCE(best.lower, best.upper + reach, places, best.witness)

"""The subsampled smooth calibration error: the one that truthful forecasts nearly minimize."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._checks import check_key
from gamejax._export import AbstractResult
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import (
    Sample,
    as_forecasts,
    as_sample,
    binary_digits,
    by_score,
    map_in_batches,
    on_grid,
)
from gamejax.calibration._transport import largest_correlation

EXACT_UP_TO = 12
"""Up to so many forecasts all subsets are looked at."""


class SSCE(AbstractResult):
    """An estimate of the subsampled smooth calibration error.

    Attributes:
        value: the mean over subsets.
        standard_error: of the mean; 0 where all subsets were looked at.
    """

    value: Scalar
    standard_error: Scalar


def ssce(
    scores: Numbers,
    labels: Numbers,
    *,
    key: PRNGKeyArray | None = None,
    num_subsets: int = 256,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Subsampled smooth calibration error: the mean `smooth_ce` of a random half of the rounds.

    $$\mathrm{SSCE} = \mathbb E_{S}\,\sup_{f} \sum_{t \in S} w_t f(p_t)(x_t - p_t),$$

    every round in $S$ by a fair coin. Complete, sound, and truthful up to a constant factor: no
    forecaster pays less than a constant share of what honest probabilities pay. At least half of
    `smooth_ce`. Up to 12 rounds all subsets are looked at; beyond, `num_subsets` are drawn, each
    with its complement.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        key: the random key; may be left out up to 12 rounds.
        num_subsets: how many subsets to draw, an even number; 256 gives about 3% of standard
            error, `ssce_estimate` says how much.
        num_levels: cells of a grid, as in `smooth_ce`; `None` for the forecasts themselves.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that residuals are summed
            and not averaged, as in the paper.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        haghtalab2024.
    """
    return ssce_estimate(
        scores,
        labels,
        key=key,
        num_subsets=num_subsets,
        num_levels=num_levels,
        weights=weights,
        normalize=normalize,
    ).value


def ssce_estimate(
    scores: Numbers,
    labels: Numbers,
    *,
    key: PRNGKeyArray | None = None,
    num_subsets: int = 256,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> SSCE:
    """`ssce` with its standard error. Args and errors as there.

    References:
        haghtalab2024.
    """
    check_key(key)
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    if not isinstance(num_subsets, int) or num_subsets < 4 or num_subsets % 2:
        raise ValueError(f"num_subsets must be an even number of at least 4, got {num_subsets!r}.")
    if scores.shape[0] <= EXACT_UP_TO:
        key = None
    elif key is None:
        raise ValueError(
            f"ssce of more than {EXACT_UP_TO} forecasts draws subsets at random: it needs key=."
        )
    return _ssce(scores, labels, weights, key, num_subsets, num_levels, bool(normalize))


@functools.partial(jax.jit, static_argnums=(4, 5, 6))
def _ssce(
    scores: Array,
    labels: Array,
    weights: Array | None,
    key: PRNGKeyArray | None,
    num_subsets: int,
    num_levels: int | None,
    normalize: bool,
) -> SSCE:
    sample = as_sample(scores, labels, weights, normalize)
    if num_levels is None:
        sample = by_score(sample)
    if key is None:
        number = jnp.arange(2 ** scores.shape[0], dtype=jnp.int32)
        kept = binary_digits(number, scores.shape[0])
        errors = jax.vmap(lambda k: _subset_error(sample, k, num_levels))(kept)
        return SSCE(errors.mean(), jnp.zeros_like(errors[0]))

    def pair(number: Array) -> Array:
        kept = jax.random.bernoulli(jax.random.fold_in(key, number), shape=scores.shape)
        first = _subset_error(sample, kept, num_levels)
        return (first + _subset_error(sample, ~kept, num_levels)) / 2

    num_pairs = num_subsets // 2
    errors = map_in_batches(pair, jnp.arange(num_pairs, dtype=jnp.int32), scores.shape[0])
    return SSCE(errors.mean(), errors.std(ddof=1) / num_pairs**0.5)


def _subset_error(sample: Sample, kept: Array, num_levels: int | None) -> Float[Array, ""]:
    masses = jnp.where(kept.astype(bool), sample.residuals, 0)
    if num_levels is None:
        return largest_correlation(masses, jnp.diff(sample.scores))
    nodes, _ = on_grid(sample.scores, masses, num_levels)
    return largest_correlation(nodes, jnp.full_like(nodes[1:], 1 / num_levels))

"""The expected calibration error: residuals summed over equal, or nearly equal, forecasts."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import (
    as_forecasts,
    as_sample,
    by_score,
    level_of,
    runs,
    total,
)


def ece(
    scores: Numbers,
    labels: Numbers,
    *,
    norm: float = 1,
    num_levels: int | None = None,
    weights: Numbers | None = None,
    normalize: bool = True,
) -> Scalar:
    r"""Expected calibration error: how far outcomes are from forecasts, forecast by forecast.

    With weights $w_t$ of sum 1 and, for each level $v$, $c_v = \sum_{t \in v} w_t (x_t - p_t)$ and
    $n_v = \sum_{t \in v} w_t$:

    - `norm=1`: $\sum_v |c_v|$, the usual one;
    - `norm=2`: $\sum_v c_v^2 / n_v$, the mean square of the bias;
    - `norm=math.inf`: $\max_v |c_v|$.

    A level is a forecast: forecasts that differ in the last bit belong to two of them. So the
    error jumps when forecasts move a little; `smooth_ce` does not. With `num_levels` a level is a
    bin. Sorting takes $O(T \log T)$, bins $O(T)$. Not truthful: see `truthfulness`.

    Args:
        scores: forecasts $p_t \in [0, 1]$ of label 1, `(T,)`.
        labels: outcomes $x_t$, 0 or 1 (or means in between), `(T,)`.
        norm: 1, 2 or `math.inf`.
        num_levels: $L$ bins $[k/L, (k+1)/L)$, the last closed; `None`: the distinct forecasts.
        weights: $w_t \ge 0$, scaled to sum 1; default alike. Points of weight 0 do not exist.
        normalize: False: weights as they are, 1 each by default, so that residuals are summed
            and not averaged.

    Returns:
        The error; differentiable where no $c_v$ is 0 and no forecast on the border of a level.

    Raises:
        ValueError: an argument is unusable; the message names it.

    References:
        naeini2015; foster1998.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights, num_levels)
    if norm not in (1, 2, math.inf):
        raise ValueError(f"norm must be 1, 2 or math.inf, got {norm!r}.")
    return _ece(scores, labels, weights, float(norm), num_levels, bool(normalize))


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _ece(
    scores: Array,
    labels: Array,
    weights: Array | None,
    norm: float,
    num_levels: int | None,
    normalize: bool,
) -> Scalar:
    sample = as_sample(scores, labels, weights, normalize)
    if num_levels is None:
        sample = by_score(sample)
        level, num_levels = runs(sample.scores), sample.scores.shape[0]
    else:
        level = level_of(sample.scores, num_levels)
    biases = total(sample.residuals, level, num_levels)
    if norm == 1:
        return jnp.abs(biases).sum()
    if norm == 2:
        return safe_divide(biases**2, total(sample.weights, level, num_levels)).sum()
    return jnp.abs(biases).max()

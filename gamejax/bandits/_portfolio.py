"""How good is the shortlist that an off-policy estimator proposes? SharpeRatio@k and companions."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._export import AbstractResult
from gamejax._numerics import safe_divide
from gamejax._types import Scalar


class PortfolioMetrics(AbstractResult):
    r"""What the $k$ policies of largest estimated value are worth, for every $k = 1, \dots, n$.

    Entry $k - 1$ of each array is about the portfolio $\Pi_k$ of size $k$.

    Attributes:
        order: the candidates from the largest estimate to the smallest; index $n$ is the baseline
            where it takes part.
        best, worst, mean, std: of the true values $J$ in $\Pi_k$.
        sharpe_ratio: $(\max_{\Pi_k} J - J_b) / \mathrm{std}_k$.
        violation_rate: the share of $\Pi_k$ with $J$ below the safety threshold.
        regret: $\max J$ over all candidates minus the best of $\Pi_k$.
    """

    order: Array
    best: Float[Array, "*batch n"]
    worst: Float[Array, "*batch n"]
    mean: Float[Array, "*batch n"]
    std: Float[Array, "*batch n"]
    sharpe_ratio: Float[Array, "*batch n"]
    violation_rate: Float[Array, "*batch n"]
    regret: Float[Array, "*batch n"]


def portfolio_metrics(
    values: Float[ArrayLike, "*batch n"],
    estimates: Float[ArrayLike, "*batch n"],
    baseline: Any,
    *,
    baseline_estimate: Any = None,
    threshold: Any = None,
    ddof: int = 0,
    clip: float | Scalar | None = None,
) -> PortfolioMetrics:
    r"""SharpeRatio@k and its companions of a list of candidate policies, for every $k$ at once.

    An estimator proposes $\Pi_k$, the $k$ candidates of largest estimate $\hat J$; all are then
    deployed, and the best is kept. With $J_b$ the value of the policy that is in place,
    $$\mathrm{SR@}k = \frac{\max_{\Pi_k} J - J_b}{\sqrt{\frac1k\sum_{\Pi_k}(J - \bar J_k)^2}}$$
    weighs the gain against the risk of deploying the others. Where all values of $\Pi_k$ are equal
    (always at $k = 1$) it is 0 if they equal $J_b$, else infinite with the sign of the gain.
    Ties of the estimates go to the earlier candidate. Leading axes are a batch.

    Args:
        values: $J$, the true values of the candidates, shape `(..., n)`.
        estimates: $\hat J$, their estimated values, shaped as `values`.
        baseline: $J_b$, a number or shape `(...)`.
        baseline_estimate: $\hat J_b$; given, the baseline is one of the candidates, as in the
            paper, and arrays have $n + 1$ entries. `None`: it is not.
        threshold: $J$ below it is unsafe; `None` for $J_b$.
        ddof: 0 divides by $k$ as in the paper, 1 by $k - 1$ as the authors' package does.
        clip: keep the ratio in $[0, c]$; `None` for no limits. The authors' package has 100.

    Raises:
        ValueError: shapes disagree, or `ddof` is neither 0 nor 1.

    References:
        kiyohara2024 (Section 3).
    """
    values, estimates = jnp.asarray(values), jnp.asarray(estimates)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(float)
    estimates = estimates.astype(values.dtype)
    if values.ndim == 0 or values.shape != estimates.shape or values.shape[-1] == 0:
        raise ValueError(
            "values and estimates must have one shape (..., n) with n >= 1, got "
            f"{values.shape} and {estimates.shape}."
        )
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, got {ddof!r}.")
    baseline = _column("baseline", baseline, values)
    if baseline_estimate is not None:
        estimated = _column("baseline_estimate", baseline_estimate, values)
        values = jnp.concatenate([values, baseline], axis=-1)
        estimates = jnp.concatenate([estimates, estimated], axis=-1)
    unsafe_below = baseline if threshold is None else _column("threshold", threshold, values)
    n, dtype = values.shape[-1], values.dtype
    _, order = jax.lax.top_k(estimates, n)
    ranked = jnp.take_along_axis(values, order, axis=-1)
    sizes = jnp.broadcast_to(jnp.arange(1, n + 1, dtype=dtype), ranked.shape)
    axis = ranked.ndim - 1
    best = jax.lax.cummax(ranked, axis=axis)
    mean = jnp.cumsum(ranked, axis=-1) / sizes
    std = _running_std(ranked, mean, sizes, ddof)
    unsafe = jnp.cumsum((ranked < unsafe_below).astype(dtype), axis=-1) / sizes
    return PortfolioMetrics(
        order=order,
        best=best,
        worst=jax.lax.cummin(ranked, axis=axis),
        mean=mean,
        std=std,
        sharpe_ratio=_ratio(best - baseline, std, clip),
        violation_rate=unsafe,
        regret=values.max(-1, keepdims=True) - best,
    )


def _column(name: str, value: Any, like: Array) -> Float[Array, "*batch 1"]:
    array = jnp.asarray(value, like.dtype)
    batch = like.shape[:-1]
    if array.ndim and array.shape != batch:
        raise ValueError(f"{name} must be a number or have shape {batch}, got {array.shape}.")
    return jnp.broadcast_to(array, batch)[..., None]


def _running_std(ranked: Array, mean: Array, sizes: Array, ddof: int) -> Array:
    """The standard deviation of each prefix, in two passes: small spreads keep their digits."""
    n = ranked.shape[-1]
    inside = jnp.tril(jnp.ones((n, n), ranked.dtype))
    deviations = ranked[..., None, :] - mean[..., :, None]
    squares = (jnp.broadcast_to(inside, deviations.shape) * deviations**2).sum(-1)
    # Equal values have no spread, although their mean may be off by one rounding.
    same = jax.lax.cummax(ranked, axis=ranked.ndim - 1) == jax.lax.cummin(
        ranked, axis=ranked.ndim - 1
    )
    variance = jnp.where(same, 0, squares / jnp.maximum(sizes - ddof, 1))
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)


def _ratio(gain: Array, std: Array, clip: float | Scalar | None) -> Array:
    limit = jnp.where(gain == 0, 0, jnp.sign(gain) * jnp.inf)
    ratio = jnp.where(std == 0, limit, safe_divide(gain, std))
    return ratio if clip is None else jnp.clip(ratio, 0, jnp.asarray(clip, ratio.dtype))

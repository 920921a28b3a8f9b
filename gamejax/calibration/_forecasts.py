"""What all measures take in: forecasts, outcomes, weights; and how they are sorted or binned."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from gamejax._numerics import safe_divide
from gamejax._types import Numbers, PyTree, Scalar


class Sample(NamedTuple):
    """Forecasts and outcomes as the measures use them; all arrays `(T,)`.

    Attributes:
        scores: forecasts $p_t$; 0 where the weight is 0.
        labels: outcomes $x_t$; 0 where the weight is 0.
        weights: $w_t$, of sum 1 unless the caller asked for sums.
    """

    scores: Float[Array, " points"]
    labels: Float[Array, " points"]
    weights: Float[Array, " points"]

    @property
    def residuals(self) -> Float[Array, " points"]:
        r"""$r_t = w_t (x_t - p_t)$."""
        return self.weights * (self.labels - self.scores)


def as_probabilities(scores: Numbers) -> Float[Array, "..."]:
    """Forecasts as a floating-point array `(T,)` or `(T, k)` of probabilities."""
    scores = jnp.asarray(scores)
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        scores = scores.astype(jnp.result_type(float))
    if scores.ndim not in (1, 2) or 0 in scores.shape:
        raise ValueError(
            "scores must be probabilities of shape (T,) or (T, k), at least one of them, got "
            f"shape {scores.shape}; map over a batch with jax.vmap."
        )
    return scores


def check_labels(labels: Numbers, scores: Array) -> Array:
    """Outcomes as an array with one entry per forecast."""
    labels = jnp.asarray(labels)
    if labels.shape != scores.shape[:1]:
        raise ValueError(
            f"labels must have one entry for each of {scores.shape[0]} forecasts, got shape "
            f"{labels.shape}."
        )
    return labels


def as_forecasts(
    scores: Numbers, labels: Numbers, weights: Numbers | None, num_levels: Any = None
) -> tuple[Array, Array, Array | None]:
    """Binary forecasts, outcomes and weights as arrays of one floating-point type, checked.

    Raises:
        ValueError: shapes that differ; values outside [0, 1] or negative weights, unless traced;
            `num_levels` that is neither `None` nor a count.
    """
    scores = as_probabilities(scores)
    if scores.ndim != 1:
        raise ValueError(
            f"scores must be probabilities of label 1, shape (T,), got shape {scores.shape}; of "
            "several classes measure one column at a time."
        )
    labels = check_labels(labels, scores).astype(scores.dtype)
    if weights is not None:
        weights = jnp.asarray(weights)
        if weights.shape != scores.shape:
            raise ValueError(
                f"weights must have shape {scores.shape} as the scores have, got {weights.shape}."
            )
        weights = weights.astype(scores.dtype)
    if not any(isinstance(x, Tracer) for x in (scores, labels, weights)):
        _check_values(scores, labels, weights)
    _check_num_levels(num_levels)
    return scores, labels, weights


def _check_num_levels(num_levels: Any) -> None:
    if num_levels is not None and (
        isinstance(num_levels, bool) or not isinstance(num_levels, int) or num_levels < 1
    ):
        raise ValueError(f"num_levels must be None or an integer of at least 1, got {num_levels}.")


def _check_values(scores: Array, labels: Array, weights: Array | None) -> None:
    scores_fit, labels_fit, weights_fit = _fits(scores, labels, weights)
    if not scores_fit:
        raise ValueError(
            "scores must be probabilities in [0, 1], got numbers outside (or NaN); logits become "
            "probabilities with jax.nn.sigmoid."
        )
    if not labels_fit:
        raise ValueError("labels must lie in [0, 1], got numbers outside (or NaN).")
    if not weights_fit:
        raise ValueError("weights must be finite and >= 0, not all 0.")


@jax.jit
def _fits(scores: Array, labels: Array, weights: Array | None) -> tuple[Bool[Array, ""], ...]:
    counts = jnp.ones_like(scores, bool) if weights is None else weights > 0

    def inside(x: Array) -> Array:
        return (((x >= 0) & (x <= 1)) | ~counts).all()

    weights_fit = jnp.ones_like(counts[0])
    if weights is not None:
        weights_fit = (weights >= 0).all() & jnp.isfinite(weights).all() & counts.any()
    return inside(scores), inside(labels), weights_fit


def as_sample(scores: Array, labels: Array, weights: Array | None, normalize: bool) -> Sample:
    """The sample, with weights of sum 1 if `normalize`, else 1 each or those given."""
    if weights is None:
        each = 1 / scores.shape[0] if normalize else 1.0
        return Sample(scores, labels, jnp.full_like(scores, each))
    counts = weights > 0
    weights = jnp.where(counts, weights, 0)
    if normalize:
        weights = safe_divide(weights, weights.sum())
    return Sample(jnp.where(counts, scores, 0), jnp.where(counts, labels, 0), weights)


def by_score(sample: Sample) -> Sample:
    """The sample in ascending order of forecasts."""
    return Sample(*jax.lax.sort(tuple(sample), num_keys=1))


def level_of(scores: Float[Array, " points"], num_levels: int) -> Int[Array, " points"]:
    r"""Which of `num_levels` bins $[k/L, (k+1)/L)$ a forecast lies in; 1 lies in the last."""
    return jnp.clip((scores * num_levels).astype(jnp.int32), 0, num_levels - 1)


def runs(scores: Float[Array, " points"]) -> Int[Array, " points"]:
    """Of ascending forecasts: the index of each one's run of equal forecasts."""
    return jnp.cumsum((scores != jnp.roll(scores, 1)).at[0].set(False), dtype=jnp.int32)


def total(values: Array, index: Int[Array, " points"], size: int) -> Float[Array, " size"]:
    """Sums of the values by index, in linear time and without a matrix."""
    return jnp.zeros((size,), values.dtype).at[index].add(values, mode="promise_in_bounds")


def binary_digits(numbers: Int[Array, " n"], count: int) -> Int[Array, "n count"]:
    """The lowest digits, lowest first: numbers as subsets, or as sequences of outcomes."""
    return (numbers[:, None] >> jnp.arange(count, dtype=jnp.int32)[None]) & 1


def on_grid(scores: Array, masses: Array, num_cells: int) -> tuple[Float[Array, " nodes"], Scalar]:
    r"""Masses moved to the two grid points around them, in proportion, and what that can change.

    The points are $0, 1/B, \ldots, 1$. For a piecewise linear $f$ with those nodes,
    $\sum_b c_b f(b/B) = \sum_t m_t f(p_t)$ exactly; any 1-Lipschitz $f$ differs from its
    interpolation at $p_t$ by at most $2\lambda_t(1-\lambda_t)/B$, $\lambda_t$ the position of
    $p_t$ in its cell, and the second result is $\sum_t |m_t|\,2\lambda_t(1-\lambda_t)/B$.
    """
    cell = level_of(scores, num_cells)
    position = scores * num_cells - cell.astype(scores.dtype)
    whole = total(masses, cell, num_cells)
    right = total(masses * position, cell, num_cells)
    nodes = jnp.pad(whole - right, (0, 1)) + jnp.pad(right, (1, 0))
    reach = (jnp.abs(masses) * (2 * position * (1 - position))).sum() / num_cells
    return nodes, reach


def map_in_batches(
    function: Callable[..., Any], inputs: PyTree[Array], numbers_each: int, at_once: int = 2**22
) -> Any:
    """`jax.vmap` over the leading axis, in turns where memory for all at once would be much.

    Args:
        function: takes one slice of the inputs.
        inputs: with a common leading axis.
        numbers_each: how many numbers one call works with.
        at_once: how many numbers may be worked with at a time.
    """
    count = len(jax.tree.leaves(inputs)[0])
    batch = max(1, at_once // numbers_each)
    if count <= batch:
        return jax.vmap(function)(inputs)
    return jax.lax.map(function, inputs, batch_size=batch)

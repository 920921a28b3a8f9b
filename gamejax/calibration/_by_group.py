"""Any measure for every group of points."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import as_forecasts, map_in_batches

_EXPONENTS = {"group": 0.0, "sqrt": 0.5, "points": 1.0}


def by_group(
    measure: Callable[..., Scalar],
    scores: Numbers,
    labels: Numbers,
    groups: Numbers,
    *,
    normalization: str = "group",
    weights: Numbers | None = None,
    **options: Any,
) -> Float[Array, " groups"]:
    r"""A measure of calibration for every group, in one of three scales.

    The error of a group by itself, $e_g$, its points weighted by $w_t g_t$, times $m_g^\alpha$
    with $m_g = \sum_t w_t g_t / \sum_t w_t$ its share of all points:

    - `"group"`, $\alpha = 0$: the conditional error. Small groups are noisy.
    - `"points"`, $\alpha = 1$: what the group adds to an error over all points.
    - `"sqrt"`, $\alpha = 1/2$: in between, where chance alone makes groups of all sizes
      err alike. Multicalibration algorithms with square-root guarantees control it.

    Args:
        measure: any of this package that takes `weights`: `ece`, `smooth_ce`, ...
        scores: forecasts of label 1, `(T,)`.
        labels: outcomes, `(T,)`.
        groups: booleans or weights $g_t \ge 0$, `(T, groups)`; groups may overlap.
        normalization: `"group"`, `"sqrt"` or `"points"`.
        weights: $w_t$, default alike.
        options: of the measure.

    Returns:
        One error per group; 0 for groups without points.

    Raises:
        ValueError: groups of another shape, an unknown normalization.

    References:
        haghtalab2023.
    """
    scores, labels, weights = as_forecasts(scores, labels, weights)
    matrix = jnp.asarray(groups)
    if matrix.ndim != 2 or matrix.shape[0] != scores.shape[0]:
        raise ValueError(
            f"groups must be a matrix with one row for each of {scores.shape[0]} points and a "
            f"column for each group, got shape {matrix.shape}."
        )
    if normalization not in _EXPONENTS:
        raise ValueError(
            f'normalization must be "group", "sqrt" or "points", got {normalization!r}.'
        )
    exponent = jnp.asarray(_EXPONENTS[normalization], scores.dtype)
    return _by_group(measure, scores, labels, matrix, weights, exponent, options)


@eqx.filter_jit
def _by_group(
    measure: Callable[..., Scalar],
    scores: Array,
    labels: Array,
    matrix: Array,
    weights: Array | None,
    exponent: Scalar,
    options: dict[str, Any],
) -> Float[Array, " groups"]:
    def error(share: Array) -> Array:
        return measure(scores, labels, weights=share, **options)

    weights = jnp.ones_like(scores) if weights is None else weights
    shares = matrix.T.astype(scores.dtype) * weights[None]
    mass = shares.sum(1) / weights.sum()
    found = map_in_batches(error, shares, scores.shape[0])
    empty = mass == 0
    return jnp.where(empty, 0, found * jnp.where(empty, 1, mass) ** exponent)

"""Step calibration: residuals over thresholds of the forecast and of hypotheses, per group."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import as_forecasts
from gamejax.calibration._multicalibration_error import Normalization, checked_normalization


class WorstStep(NamedTuple):
    r"""The step with the largest residual: the certificate of a step calibration error.

    Attributes:
        error: $|E[g\,1[u \le v](y - p)]|$ of it.
        group: the number of $g$.
        hypothesis: the number of the hypothesis $u$; -1 where $u$ is the forecast itself.
        threshold: $v$.
        sign: 1 where outcomes exceed forecasts there, else -1.
    """

    error: Scalar
    group: Int[Array, ""]
    hypothesis: Int[Array, ""]
    threshold: Scalar
    sign: Scalar


class Data(NamedTuple):
    """Points as the audit takes them.

    Attributes:
        labels: outcomes, `(points,)`.
        weights: of sum 1, `(points,)`.
        groups: `(groups, points)`.
        hypotheses: `(hypotheses, points)`, each sorted.
        orders: the points' numbers in that order.
    """

    labels: Float[Array, " points"]
    weights: Float[Array, " points"]
    groups: Float[Array, "groups points"]
    hypotheses: Float[Array, "hypotheses points"]
    orders: Int[Array, "hypotheses points"]


def step_calibration_error(
    scores: Numbers,
    labels: Numbers,
    groups: Numbers | None = None,
    hypotheses: Numbers | None = None,
    *,
    normalization: Normalization = "points",
    weights: Numbers | None = None,
) -> Scalar:
    r"""The largest residual over steps of the forecast and of hypotheses, within groups.

    $$\mathrm{StepCal} = \max\Big(\max_{g, v} \big|E[g(x)\,1[p \le v](y - p)]\big|,\
    \max_{g, h, v} \big|E[g(x)\,1[h(x) \le v](y - p)]\big|\Big),$$
    expectations over the points given, divided by $w_g$, a function of the mass of the group, where
    `normalization` asks for it. Thresholds are a one-parameter family, yet they bound the
    regret of every loss at once (`panprediction_regret`). Exact: one sort for the forecast and one
    for each hypothesis, one cumulative sum for each group; $O(n \log n)$ time and $O(n)$ memory
    for each. Differentiable in `scores` wherever no two points change places.

    This is the form that the reduction needs, derived here; the exact definition in the paper was
    not read.

    Args:
        scores: forecasts $p$ of label 1, shape `(points,)`.
        labels: outcomes $y$ in $[0, 1]$, shape `(points,)`.
        groups: booleans or weights in $[0, 1]$, `(points, groups)`; default one group of everyone.
        hypotheses: ordered values, such as numbers of actions, `(points, hypotheses)`; default
            none.
        normalization: $w_g$ is 1 for `"points"`, the mass of the group for `"group"`, its square
            root for `"sqrt"`.
        weights: of the points; default equal.

    Raises:
        ValueError: the shapes do not fit, or a value is out of range.

    References:
        balakrishnan2026.
    """
    return worst_step(
        scores, labels, groups, hypotheses, normalization=normalization, weights=weights
    ).error


def worst_step(
    scores: Numbers,
    labels: Numbers,
    groups: Numbers | None = None,
    hypotheses: Numbers | None = None,
    *,
    normalization: Normalization = "points",
    weights: Numbers | None = None,
) -> WorstStep:
    """The step at which `step_calibration_error` is attained; same arguments.

    References:
        balakrishnan2026.
    """
    p, data = as_data(scores, labels, groups, hypotheses, weights)
    return _worst_step(p, data, checked_normalization(normalization))


def as_data(
    scores: Numbers,
    labels: Numbers,
    groups: Numbers | None,
    hypotheses: Numbers | None,
    weights: Numbers | None,
) -> tuple[Float[Array, " points"], Data]:
    """Forecasts and everything else, checked, hypotheses sorted."""
    p, y, w = as_forecasts(scores, labels, weights)
    w = jnp.ones_like(p) if w is None else w
    g = as_columns(groups, "groups", len(p), p.dtype)
    g = jnp.ones((1, len(p)), p.dtype) if g is None else g
    h = as_columns(hypotheses, "hypotheses", len(p), p.dtype)
    h = jnp.zeros((0, len(p)), p.dtype) if h is None else h
    orders = jnp.argsort(h, axis=1).astype(jnp.int32)
    ordered = jnp.take_along_axis(h, orders, axis=1)
    return p, Data(y, w / w.sum(), g, ordered, orders)


def as_columns(
    values: Numbers | None, name: str, num_points: int, dtype: jnp.dtype
) -> Array | None:
    """A matrix `(points, columns)`, transposed.

    Raises:
        ValueError: it has another shape.
    """
    if values is None:
        return None
    matrix = jnp.asarray(values)
    if matrix.ndim != 2 or len(matrix) != num_points:
        raise ValueError(f"{name} must have shape ({num_points}, {name}), got {matrix.shape}.")
    return matrix.astype(dtype).T


@functools.partial(jax.jit, static_argnums=2)
def _worst_step(p: Float[Array, " points"], data: Data, normalization: Normalization) -> WorstStep:
    return find_worst(p, data, normalization)


def find_worst(
    p: Float[Array, " points"], data: Data, normalization: Normalization = "points"
) -> WorstStep:
    """The worst step of forecasts `p`: of the forecast itself, then of the hypotheses."""
    mass = (data.groups * data.weights[None]).sum(1)
    sizes = {"points": jnp.ones_like(mass), "group": mass, "sqrt": jnp.sqrt(mass)}[normalization]
    order = jnp.argsort(p).astype(jnp.int32)
    own = _of_variable(p, data, sizes, order, p[order], -1)
    if data.hypotheses.shape[0] == 0:
        return own
    numbers = jnp.arange(data.hypotheses.shape[0], dtype=jnp.int32)
    others = jax.lax.map(
        lambda part: _of_variable(p, data, sizes, part[0], part[1], part[2]),
        (data.orders, data.hypotheses, numbers),
    )
    every = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), own, others)
    best = jnp.argmax(every.error)
    return jax.tree.map(lambda leaf: leaf[best], every)


def _of_variable(
    p: Array, data: Data, group_sizes: Array, order: Array, ordered: Array, number: Array | int
) -> WorstStep:
    """The worst step of one variable, its values in rising `order` given."""
    residuals = (data.weights * (data.labels - p))[order]
    # A threshold takes all points of equal value or none.
    complete = jnp.append(ordered[1:] > ordered[:-1], True)

    def of_group(group: Array) -> tuple[Array, Array, Array]:
        sums = jnp.cumsum(group[order] * residuals)
        sizes = jnp.where(complete, jnp.abs(sums), 0)
        place = jnp.argmax(sizes)
        return sizes[place], ordered[place], jnp.where(sums[place] < 0, -1, 1).astype(p.dtype)

    errors, thresholds, signs = jax.lax.map(of_group, data.groups)
    errors = safe_divide(errors, group_sizes)
    group = jnp.argmax(errors)
    return WorstStep(
        errors[group],
        group.astype(jnp.int32),
        jnp.asarray(number, jnp.int32),
        thresholds[group],
        signs[group],
    )

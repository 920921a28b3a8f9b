"""Multicalibration error: the worst bias of a prediction on any group and level set."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int

from gamejax._export import AbstractResult
from gamejax._numerics import safe_divide
from gamejax._types import Scalar
from gamejax.calibration._groups import Membership
from gamejax.calibration._level_sets import Levels, coordinates

Normalization = Literal["points", "group", "sqrt"]


class Violation(AbstractResult):
    r"""How far from multicalibrated predictions are, and where.

    Attributes:
        error: the largest $|R_{S,v,j}|/w_S$.
        group, level, label: where it is attained (the first such place); `label` is the class $j$.
        sign: $+1$ where the class is predicted too often, $-1$ where too rarely.
        violations: all $R_{S,v,j}/w_S$, shape `(groups, levels, coordinates)`.
    """

    error: Scalar
    group: Int[Array, ""]
    level: Int[Array, ""]
    label: Int[Array, ""]
    sign: Scalar
    violations: Float[Array, "groups levels coordinates"]

    def __float__(self) -> float:
        return float(self.error)


def multicalibration_error(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    num_levels: int = 10,
    *,
    levels: Literal["joint", "coordinate", "none"] = "joint",
    normalization: Normalization = "points",
    weights: ArrayLike | None = None,
) -> Violation:
    r"""The largest bias of predictions on any group $S$, level set $v$ and class $j$.

    $$R_{S,v,j} = \sum_x w(x)\, S(x)\, 1[h(x) \in v]\,(h(x)_j - y_j), \qquad
    \mathrm{MC} = \max_{S,v,j} |R_{S,v,j}| / w_S,$$
    with weights of points that sum to one and shares $S(x) \in [0, 1]$. Zero where labels are
    predicted exactly; the Bayes predictor's is of the order of sampling noise. Of two classes the
    second alone is looked at. Differentiable in the scores between the borders of level sets.

    Args:
        scores: probabilities `(points, classes)`, or of class 1 alone, `(points,)`.
        labels: classes `(points,)` as integers (or booleans), or a distribution for each point,
            `(points, classes)`.
        groups: booleans or weights in [0, 1], `(points, groups)`.
        num_levels: into how many intervals each coordinate is cut.
        levels: `"joint"`, `"coordinate"` or `"none"` (multiaccuracy), see `Levels`.
        normalization: $w_S$ is 1 for `"points"`, the mass of the group for `"group"`, its square
            root for `"sqrt"`.
        weights: of the points; default all alike.

    Returns:
        A `Violation`.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.

    References:
        hebertjohnson2018; haghtalab2023.
    """
    found = as_scores(scores)
    targets = as_targets(labels, found.shape[0], found.shape[1], found.dtype)
    membership = Membership.of(checked_groups(groups, found.shape[0]), found.dtype)
    return _violation(
        found, targets, membership, as_weights(weights, found.shape[0], found.dtype),
        Levels(num_levels, levels), checked_normalization(normalization),
    )  # fmt: skip


def multiaccuracy_error(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    normalization: Normalization = "points",
    weights: ArrayLike | None = None,
) -> Violation:
    r"""The largest bias on any group: `multicalibration_error` without level sets.

    References:
        kim2019.
    """
    return multicalibration_error(
        scores, labels, groups, 1, levels="none", normalization=normalization, weights=weights
    )


def violation(
    scores: Float[Array, "points classes"],
    targets: Float[Array, "points classes"],
    groups: Membership,
    weights: Float[Array, " points"],
    levels: Levels,
    normalization: Normalization,
) -> Violation:
    """`multicalibration_error` of what has been checked already."""
    num_levels = levels.count(scores.shape[-1])
    residuals = coordinates(scores - targets) * weights[:, None]
    sums = groups.sums(residuals, levels.codes(scores), num_levels)
    biases = sums * scale_of(groups.mass(weights), normalization)[:, None, None]
    flat = biases.reshape(-1)
    worst = jnp.argmax(jnp.abs(flat)).astype(jnp.int32)
    width = biases.shape[-1]
    place, coordinate = worst // width, worst % width
    return Violation(
        error=jnp.abs(flat[worst]),
        group=place // num_levels,
        level=place % num_levels,
        label=coordinate + (scores.shape[-1] - width),
        sign=jnp.sign(flat[worst]),
        violations=biases,
    )


_violation = jax.jit(violation, static_argnames=("levels", "normalization"))


def scale_of(mass: Float[Array, " groups"], normalization: Normalization) -> Array:
    """$1/w_S$, and 0 for groups of no mass."""
    if normalization == "points":
        return jnp.ones_like(mass)
    mass = jnp.where(mass > 0, mass, 0)
    root = jnp.sqrt(jnp.where(mass > 0, mass, 1)) if normalization == "sqrt" else mass
    return jnp.where(mass > 0, safe_divide(jnp.ones_like(mass), root), 0)


def as_scores(scores: ArrayLike, name: str = "scores") -> Float[Array, "points classes"]:
    """Probabilities of every class."""
    found = jnp.asarray(scores)
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise TypeError(f"{name} must be floating-point numbers, got {found.dtype}.")
    if found.ndim == 1:
        return jnp.stack([1 - found, found], axis=-1)
    if found.ndim != 2 or found.shape[1] < 2:
        raise ValueError(
            f"{name} must have shape (points,) or (points, classes) with at least 2 classes, got "
            f"{found.shape}."
        )
    return found


def as_targets(
    labels: ArrayLike, num_points: int, num_classes: int, dtype: Any
) -> Float[Array, "points classes"]:
    """Labels as distributions."""
    given = labels if isinstance(labels, Tracer) else np.asarray(labels)
    if given.shape == (num_points, num_classes):
        return jnp.asarray(given, dtype)
    if given.shape != (num_points,):
        raise ValueError(
            f"labels must have shape ({num_points},) or ({num_points}, {num_classes}), got "
            f"{given.shape}."
        )
    if not isinstance(given, Tracer):
        values = np.unique(given)
        whole = np.issubdtype(given.dtype, np.number) or given.dtype == bool
        if not whole or (len(values) and not np.isin(values, np.arange(num_classes)).all()):
            raise ValueError(
                f"labels must be classes 0 to {num_classes - 1}, got {values[:5].tolist()}."
            )
    return jax.nn.one_hot(jnp.asarray(given).astype(jnp.int32), num_classes, dtype=dtype)


def as_weights(weights: ArrayLike | None, num_points: int, dtype: Any) -> Array:
    """Weights that sum to one."""
    if weights is None:
        return jnp.full(num_points, 1 / max(num_points, 1), dtype)
    found = jnp.asarray(weights).astype(dtype)
    if found.shape != (num_points,):
        raise ValueError(f"weights must have shape ({num_points},), got {found.shape}.")
    if not isinstance(found, Tracer) and not (float(found.min()) >= 0 and float(found.sum()) > 0):
        raise ValueError("weights must be at least 0 and not all 0.")
    return found / found.sum()


def checked_groups(groups: ArrayLike, num_points: int) -> ArrayLike:
    """The groups, if they are a matrix with a row per point and at least one column."""
    found = groups if isinstance(groups, jax.Array) else np.asarray(groups)
    if found.ndim != 2 or found.shape[0] != num_points or found.shape[1] < 1:
        raise ValueError(
            f"groups must be a matrix of shape ({num_points}, groups), got {found.shape}; "
            "categorical columns become one with gamejax.calibration.group_matrix."
        )
    if not isinstance(found, Tracer) and found.dtype != bool:
        lowest, highest = float(np.min(found)), float(np.max(found))
        if not (lowest >= 0 and highest <= 1):
            raise ValueError(
                f"groups must be booleans or weights in [0, 1], got values from {lowest:g} to "
                f"{highest:g}."
            )
    return found


def checked_normalization(normalization: Any) -> Normalization:
    """One of the three ways to weigh groups."""
    if normalization not in ("points", "group", "sqrt"):
        raise ValueError(
            f'normalization must be "points", "group" or "sqrt", got {normalization!r}.'
        )
    return normalization

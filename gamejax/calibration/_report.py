"""A report of multicalibration: several scales, before and after, and what chance would give."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from gamejax._checks import check_key
from gamejax._export import AbstractResult, table
from gamejax._numerics import safe_divide, safe_log
from gamejax.calibration._groups import Membership
from gamejax.calibration._level_sets import Levels, coordinates
from gamejax.calibration._multicalibration_error import (
    as_scores,
    as_targets,
    as_weights,
    checked_groups,
    violation,
)
from gamejax.calibration._significance import calibration_test

_SCALES = ("of all points", "by root of group size", "worst group ECE")


class MulticalibrationReport(AbstractResult):
    r"""Errors of predictions on groups, in several scales; print it for a table.

    Attributes:
        errors: `(models, 3)`: the largest $|R_{S,v,j}|$ (see `multicalibration_error`); the largest
            $|R_{S,v,j}|/\sqrt{P(S)}$; the largest sum over levels of $|R_{S,v,j}|/P(S)$, of
            groups of at least `least` points.
        chance: what a perfectly calibrated model with the same predictions would have on average.
        p_values: the share of such models, with labels redrawn, whose error is as large.
        log_loss, brier: `(models,)`.
        names: of the models.
    """

    errors: Float[Array, "models 3"]
    chance: Float[Array, "models 3"]
    p_values: Float[Array, "models 3"]
    log_loss: Float[Array, " models"]
    brier: Float[Array, " models"]
    names: tuple[str, ...] = eqx.field(static=True)

    def _columns(self) -> dict[str, Any]:
        """A row for each model and scale of error."""
        values = {"error": self.errors, "chance": self.chance, "p_value": self.p_values}
        losses = {"log_loss": self.log_loss[:, None], "brier": self.brier[:, None]}
        both = {name: np.broadcast_to(v, self.errors.shape) for name, v in losses.items()}
        index = {"model": self.names, "scale": _SCALES}
        return table(index, {**values, **both}, self.errors.shape)

    def __str__(self) -> str:
        lines = [f"{'':8}{'log loss':>10}{'Brier':>8}" + "".join(f"{s:>32}" for s in _SCALES)]
        for i, name in enumerate(self.names):
            cells = [
                f"{error:.4f} (chance {chance:.4f}, p {p:.3f})"
                for error, chance, p in zip(
                    self.errors[i], self.chance[i], self.p_values[i], strict=True
                )
            ]
            line = f"{name:8}{self.log_loss[i]:>10.4f}{self.brier[i]:>8.4f}"
            lines.append(line + "".join(f"{cell:>32}" for cell in cells))
        return "\n".join(lines)


class GroupErrors(eqx.Module):
    """The three errors of `MulticalibrationReport`, a function of scores and labels."""

    groups: Membership
    num_levels: int = eqx.field(static=True)
    least: int = eqx.field(static=True)

    def __call__(self, scores: Array, labels: Array) -> Float[Array, "3"]:
        found = as_scores(scores)
        targets = jax.nn.one_hot(labels.astype(jnp.int32), found.shape[1], dtype=found.dtype)
        weights = as_weights(None, found.shape[0], found.dtype)
        levels = Levels(self.num_levels, "coordinate")
        biases = violation(found, targets, self.groups, weights, levels, "points").violations
        biases, mass = jnp.abs(biases), self.groups.mass(weights)[:, None]
        large = mass * found.shape[0] >= self.least
        by_root = safe_divide(biases.max(1), jnp.sqrt(mass))
        own = jnp.where(large, safe_divide(biases.sum(1), mass), 0)
        return jnp.stack([biases.max(), by_root.max(), own.max()])


def report(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    key: PRNGKeyArray,
    before: ArrayLike | None = None,
    num_levels: int = 10,
    least: int = 30,
    num_draws: int = 199,
) -> MulticalibrationReport:
    """A `MulticalibrationReport` of predictions, and of those before them.

    Args:
        scores: probabilities `(points,)` or `(points, classes)`.
        labels: classes.
        groups: booleans or weights, `(points, groups)`.
        key: for the labels redrawn.
        before: the predictions to compare with.
        num_levels: level sets per coordinate.
        least: the fewest points of a group whose own ECE is looked at.
        num_draws: how often labels are redrawn.
    """
    check_key(key)
    models = {"after": scores} if before is None else {"before": before, "after": scores}
    rows: list[Any] = []
    for given in models.values():
        found = as_scores(given)
        membership = Membership.of(checked_groups(groups, found.shape[0]), found.dtype)
        statistic = GroupErrors(membership, num_levels, least)
        tested = calibration_test(statistic, found, labels, key=key, num_draws=num_draws)
        targets = as_targets(labels, found.shape[0], found.shape[1], found.dtype)
        loss = -(targets * safe_log(found)).sum(1).mean()
        brier = (coordinates(found - targets) ** 2).sum(1).mean()
        rows.append((tested.statistic, tested.null_mean, tested.p_value, loss, brier))
    errors, chance, p_values, loss, brier = (jnp.stack(c) for c in zip(*rows, strict=True))
    return MulticalibrationReport(errors, chance, p_values, loss, brier, names=tuple(models))

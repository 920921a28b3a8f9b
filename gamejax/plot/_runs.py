"""Pictures of runs: gaps over time, branches of equilibria."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes

from gamejax._solution import Trajectory
from gamejax.plot._base import cycle, new_axes, tidy
from gamejax.solvers import BranchPoint


def gaps(
    curves: Mapping[str, Trajectory | tuple[ArrayLike, ArrayLike]],
    ax: Axes | None = None,
    *,
    rates: Sequence[float] = (0.5, 1.0),
    ylabel: str = "gap",
) -> Axes:
    r"""Gaps against steps on log-log axes, with proved rates $T^{-p}$ as dashed guides.

    Args:
        curves: by name, a `Trajectory` or a pair `(steps, gaps)`. Gaps of shape `(games, records)`
            are drawn as the median over games with the band between the quartiles. Gaps of 0 are
            drawn at half the smallest gap of their curve.
        ax: where to draw; default a new figure.
        rates: the exponents $p$ of the guides, each anchored at the highest first gap.
        ylabel: what the gap is.
    """
    ax = new_axes(ax, (7.0, 4.6))
    first, ends = [], []
    for (name, curve), color in zip(curves.items(), cycle(len(curves)), strict=True):
        pair = (curve.steps, curve.gaps) if isinstance(curve, Trajectory) else curve
        steps, values = (np.asarray(x, dtype=float) for x in pair)
        steps = steps[0] if steps.ndim == 2 else steps
        values = np.atleast_2d(values)
        least = np.min(values, where=values > 0, initial=np.inf)
        values = np.maximum(values, least / 2 if np.isfinite(least) else np.finfo(float).tiny)
        middle = np.median(values, axis=0)
        ax.plot(steps, middle, color=color, lw=1.8, label=name)
        if len(values) > 1:
            low, high = np.quantile(values, [0.25, 0.75], axis=0)
            ax.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
        first.append(middle[0])
        ends.append((steps[0], steps[-1]))
    left, right = min(e[0] for e in ends), max(e[1] for e in ends)
    grid = np.geomspace(left, right, 50)
    for power in rates:
        ax.plot(grid, 1.6 * max(first) * (grid / left) ** -power, color="0.55", lw=1, ls="--")
        text = r"$T^{-1/2}$" if power == 0.5 else rf"$T^{{-{power:g}}}$"
        end = 1.6 * max(first) * (right / left) ** -power
        ax.annotate(
            text, (right, end), textcoords="offset points", xytext=(4, 0), va="center",
            color="0.4", fontsize=9,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=ylabel)
    tidy(ax)
    ax.legend(frameon=False, fontsize=9)
    return ax


def branch(
    records: Trajectory | BranchPoint,
    axes: Sequence[Axes] | None = None,
    *,
    actions: Sequence[Sequence[str]] | None = None,
) -> list[Axes]:
    r"""A branch of logit equilibria: every player's strategy, and the Nash gap, over the precision.

    Args:
        records: the points, as `play(game, LogitHomotopy(), n, record=branch_point)` returns them.
        axes: where to draw, one per player and one for the gap; default a new figure.
        actions: names of each player's actions, for the legends.
    """
    points = records.records if isinstance(records, Trajectory) else records
    if not isinstance(points, BranchPoint):
        raise TypeError(
            "records must hold points of a branch: play(game, LogitHomotopy(), n, "
            "record=gamejax.solvers.branch_point)."
        )
    precision = np.asarray(points.precision, dtype=float)
    moving = np.append(True, np.diff(precision) != 0) & (precision > 0)
    number = len(points.strategies)
    if axes is None:
        _, grid = plt.subplots(
            1, number + 1, figsize=(3.6 * (number + 1), 3.4), layout="constrained"
        )
        axes = list(grid)
    for player, (ax, path) in enumerate(zip(axes, points.strategies, strict=False)):
        values = np.asarray(path, dtype=float).reshape(len(precision), -1)
        names = [str(a + 1) for a in range(values.shape[1])]
        names = list(actions[player]) if actions is not None else names
        for name, curve, color in zip(names, values.T, cycle(len(names)), strict=True):
            ax.plot(precision[moving], curve[moving], color=color, lw=1.6, label=name)
        ax.set(xscale="log", xlabel=r"precision $\lambda$", ylim=(-0.03, 1.03))
        ax.set_title(f"player {player + 1}", fontsize=10)
        if len(names) <= 8:
            ax.legend(frameon=False, fontsize=8)
    gap = np.maximum(np.asarray(points.gap, dtype=float), 1e-17)
    axes[number].plot(precision[moving], gap[moving], color="0.2", lw=1.6)
    axes[number].set(xscale="log", yscale="log", xlabel=r"precision $\lambda$")
    axes[number].set_ylim(max(gap.min() / 3, 1e-16), 3 * gap.max())
    axes[number].set_title("Nash gap", fontsize=10)
    for ax in axes:
        tidy(ax)
    return list(axes)

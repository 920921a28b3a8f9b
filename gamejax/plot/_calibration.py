"""Pictures of calibration: reliability by group, and which measures reward lying."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, PercentFormatter

from gamejax._types import Numbers
from gamejax.calibration import Payment, smooth_ce
from gamejax.plot._base import COLORS, cycle, new_axes, plt, tidy

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class _Curve(NamedTuple):
    """Observed frequencies by mean forecast, with an interval, one entry per bin."""

    forecast: np.ndarray
    frequency: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability(
    scores: Numbers | Mapping[str, Numbers],
    labels: Numbers,
    *,
    groups: Numbers | None = None,
    names: Sequence[str] | None = None,
    num_bins: int = 12,
    level: float = 0.95,
    columns: int = 4,
    figure: Any = None,
) -> list[Axes]:
    """Reliability diagrams: observed frequencies against forecasts, a panel for each group.

    Bins hold equally many points each, unless that makes them too narrow to see. Bands are Wilson
    intervals of the frequency in the bin; underneath is how often which forecasts are made. Each
    panel says the smooth calibration error, which knows of no bins.

    Args:
        scores: forecasts of label 1, `(T,)`, or several of them by name, such as
            `{"before": p, "after": q}`.
        labels: outcomes, `(T,)`.
        groups: booleans or weights, `(T, groups)`, a panel for each; default one panel for all.
        names: of the groups.
        num_bins: how many points a curve has at most.
        level: coverage of the bands, each bin by itself.
        columns: the most panels side by side.
        figure: a matplotlib figure or subfigure to draw into; default a new one.

    Returns:
        The axes of the diagrams, one for each group.

    Raises:
        ValueError: shapes that do not fit, a level outside (0, 1).

    References:
        brocker2007.
    """
    forecasts = scores if isinstance(scores, Mapping) else {"": scores}
    curves = {name: np.asarray(values, float) for name, values in forecasts.items()}
    outcomes = np.asarray(labels, float)
    shares = np.ones((len(outcomes), 1)) if groups is None else np.asarray(groups, float)
    _check(curves, outcomes, shares, names, level)
    if names is None:
        names = [""] if groups is None else [f"group {i}" for i in range(shares.shape[1])]
    wide = min(columns, shares.shape[1])
    high = math.ceil(shares.shape[1] / wide)
    if figure is None:
        size = (2.6 * wide + 0.5, 3.75 * high + 0.3)
        figure = plt.figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(2 * high, wide, height_ratios=[4, 1] * high)
    panels = []
    for i, name in enumerate(names):
        row, column = divmod(i, wide)
        ax = figure.add_subplot(grid[2 * row, column])
        below = figure.add_subplot(grid[2 * row + 1, column], sharex=ax)
        inside = shares[:, i] > 0
        part = {key: values[inside] for key, values in curves.items()}
        _panel(ax, part, outcomes[inside], shares[inside, i], num_bins, level)
        if inside.any():
            _errors(ax, curves, outcomes, shares[:, i])
        _histogram(below, part, shares[inside, i])
        ax.set_title(name, fontsize="medium")
        below.set_title(f"n = {inside.sum():,}", fontsize="small", color="0.3", pad=3)
        if column == 0:
            ax.set_ylabel("observed frequency")
            below.set_ylabel("share")
        below.set_xlabel("forecast")
        panels.append(ax)
    if len(curves) > 1:
        panels[0].legend(loc="upper left", frameon=False, handlelength=1.6, fontsize="small")
    return panels


def truthfulness(
    payments: Mapping[str, Payment], ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """What a strategy pays under each measure, as a share of what honesty pays, with 95% intervals.

    Bars short of the line at 100% belong to measures that reward the lie, on this law. The arrow
    says that the bar is longer than shown.

    Args:
        payments: of `gamejax.calibration.truthfulness`, by the names of the measures.
        ax: where to draw.
        title: of the axes.
    """
    ax = new_axes(ax, (4.6, 0.3 * len(payments) + 1.2))
    names = list(payments)
    shares = np.asarray([float(payment.share) for payment in payments.values()])
    free = np.asarray([float(p.truth) == float(p.strategy) == 0 for p in payments.values()])
    errors = 1.96 * np.asarray([float(payment.share_error) for payment in payments.values()])
    places = np.arange(len(names))[::-1]
    longest = 1.3
    colors = [COLORS[0] if name == "ssce" else COLORS[1] for name in names]
    shares = np.where(free, 0, shares)
    ax.barh(places, np.minimum(shares, longest), color=colors, height=0.62, zorder=2)
    for place, share, error, both in zip(places, shares, errors, free, strict=True):
        text = "both pay 0" if both else f"{100 * share:.0f}%" + (" →" if share > longest else "")
        ax.text(min(share, longest) + 0.02 + error, place, text, va="center", fontsize="small")
        if error > 0 and share <= longest:
            ax.plot([share - error, share + error], [place, place], color="0.25", lw=1, zorder=3)
    ax.axvline(1, color="0.35", lw=1, ls="--", zorder=1)
    ax.set_yticks(places, [_spelled(name) for name in names])
    ax.set_xlim(0, longest + 0.25)
    ax.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("error of the strategy / error of the truth")
    ax.set_title(title, fontsize="medium")
    tidy(ax).grid(axis="y", visible=False)
    return ax


def _spelled(name: str) -> str:
    """The name of a measure as people write it."""
    words = name.replace("_", " ").split(" ")
    return " ".join(word.upper() if word in ("ece", "ssce", "ce", "u") else word for word in words)


def _panel(
    ax: Axes,
    curves: Mapping[str, np.ndarray],
    outcomes: np.ndarray,
    weights: np.ndarray,
    num_bins: int,
    level: float,
) -> None:
    ax.plot([0, 1], [0, 1], color="0.5", lw=0.9, ls=(0, (4, 3)), zorder=1)
    looks = zip(cycle(len(curves)), itertools.cycle(_MARKERS), curves.items(), strict=False)
    for color, marker, (name, values) in looks:
        curve = _curve(values, outcomes, weights, num_bins, level)
        ax.fill_between(curve.forecast, curve.low, curve.high, color=color, alpha=0.22, lw=0)
        ax.plot(
            *(curve.forecast, curve.frequency), color=color, lw=1.4, marker=marker, ms=3.6,
            markeredgecolor="white", markeredgewidth=0.5, label=name, zorder=3,
        )  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.tick_params(labelbottom=False)
    tidy(ax)


def _errors(
    ax: Axes, curves: Mapping[str, np.ndarray], outcomes: np.ndarray, weights: np.ndarray
) -> None:
    """The smooth calibration errors of a group, given by weights so that one program does all."""
    lines = [("smooth CE", "0.3")]
    num_levels = 4096 if len(outcomes) > 20_000 else None
    for color, values in zip(cycle(len(curves)), curves.values(), strict=True):
        error = smooth_ce(values, outcomes, weights=weights, num_levels=num_levels)
        lines.append((f"{float(error):.3f}", color))
    for i, (text, color) in enumerate(lines[::-1]):
        ax.text(0.97, 0.04 + 0.085 * i, text, color=color, ha="right", fontsize="small")


def _histogram(ax: Axes, curves: Mapping[str, np.ndarray], weights: np.ndarray) -> None:
    edges = np.linspace(0, 1, 26).tolist()
    for i, (color, values) in enumerate(zip(cycle(len(curves)), curves.values(), strict=True)):
        share = weights / max(weights.sum(), np.finfo(float).tiny)
        style: dict[str, Any] = (
            {"histtype": "stepfilled", "alpha": 0.35} if i == 0 else {"histtype": "step"}
        )
        ax.hist(values, edges, weights=share, color=color, lw=1.2, **style)
    ax.set(yticks=[], box_aspect=0.22)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    tidy(ax).spines["left"].set_visible(False)


def _curve(
    scores: np.ndarray, outcomes: np.ndarray, weights: np.ndarray, num_bins: int, level: float
) -> _Curve:
    """Bins of equal mass and some width, equal forecasts together, with Wilson intervals."""
    order = np.argsort(scores, kind="stable")
    scores, outcomes, weights = scores[order], outcomes[order], weights[order]
    if not len(scores):
        return _Curve(*(np.zeros(0) for _ in range(4)))
    _, first = np.unique(scores, return_index=True)
    middle = np.cumsum(weights) - weights / 2
    bins = (num_bins * middle / weights.sum()).astype(int).clip(0, num_bins - 1)
    bins, left = bins[first], scores[first[0]]
    for i in range(1, len(first)):  # a bin too narrow to see joins the next
        if bins[i] != bins[i - 1] and scores[first[i]] - left < 0.4 / num_bins:
            bins[bins == bins[i]] = bins[i - 1]
        elif bins[i] != bins[i - 1]:
            left = scores[first[i]]
    bins = np.repeat(bins, np.diff([*first, len(scores)]))
    _, bins = np.unique(bins, return_inverse=True)
    mass = np.bincount(bins, weights)
    forecast = np.bincount(bins, weights * scores) / mass
    frequency = np.bincount(bins, weights * outcomes) / mass
    size = mass**2 / np.bincount(bins, weights**2)
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    center = (frequency + z**2 / (2 * size)) / (1 + z**2 / size)
    spread = np.sqrt(frequency * (1 - frequency) / size + z**2 / (4 * size**2))
    spread = z * spread / (1 + z**2 / size)
    return _Curve(forecast, frequency, center - spread, center + spread)


def _check(
    curves: Mapping[str, np.ndarray],
    outcomes: np.ndarray,
    shares: np.ndarray,
    names: Sequence[str] | None,
    level: float,
) -> None:
    for name, values in curves.items():
        if values.shape != outcomes.shape or values.ndim != 1:
            raise ValueError(
                f"scores {name!r} and labels must have one shape (T,), got {values.shape} and "
                f"{outcomes.shape}."
            )
    if shares.ndim != 2 or len(shares) != len(outcomes):
        raise ValueError(f"groups must have shape ({len(outcomes)}, groups), got {shares.shape}.")
    if names is not None and len(names) != shares.shape[1]:
        raise ValueError(f"names must have one entry for each of {shares.shape[1]} groups.")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")

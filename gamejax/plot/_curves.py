"""Pictures of cost and accuracy: regret over time, worst loss over samples or rounds."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes

from gamejax.bandits import BanditResult
from gamejax.calibration import OnlineForecast
from gamejax.multidistribution import OnDemandResult
from gamejax.plot._base import cycle, new_axes, tidy

_MARKERS = "os^DvPX"


def regret(
    runs: Mapping[str, BanditResult | OnlineForecast | tuple[ArrayLike, ArrayLike]],
    ax: Axes | None = None,
    *,
    quantiles: tuple[float, float] = (0.05, 0.95),
    bounds: Mapping[str, ArrayLike] | None = None,
    log: bool = False,
    ylabel: str = "regret",
) -> Axes:
    """Regret against rounds: the mean of all replications, and the band between two quantiles.

    Args:
        runs: by name, a simulation of bandits, an online forecast (its errors are drawn), or a pair
            `(times, values)` with values of shape `(replications, records)`.
        ax: where to draw; default a new figure.
        quantiles: the ends of the band.
        bounds: dashed curves by name, one value for each time of the first run.
        log: whether both axes are logarithmic.
        ylabel: what the regret is.

    Raises:
        ValueError: a run is a batch of simulations, or has fewer than two records.
    """
    ax = new_axes(ax, (7.0, 4.6))
    first = np.zeros(0)
    for (name, run), color in zip(runs.items(), cycle(len(runs)), strict=True):
        times, values = _over_time(run)
        if values.ndim != 2 or values.shape[1] < 2:
            raise ValueError(
                f"runs[{name!r}] must have shape (replications, records) with two records or more, "
                f"got {values.shape}; take records with record_every below the horizon."
            )
        first = first if first.size else times
        low, high = np.quantile(values, quantiles, axis=0)
        ax.plot(times, values.mean(0), color=color, lw=1.8, label=name)
        ax.fill_between(times, low, high, color=color, alpha=0.15, lw=0)
    for name, bound in (bounds or {}).items():
        ax.plot(first, np.asarray(bound), color="0.45", lw=1.1, ls="--")
        end = (first[-1], float(np.asarray(bound)[-1]))
        ax.annotate(
            name, end, textcoords="offset points", xytext=(-2, 4), ha="right", color="0.35",
            fontsize=9,
        )  # fmt: skip
    if log:
        ax.set(xscale="log", yscale="log")
    ax.set(xlabel="rounds", ylabel=ylabel)
    ax.legend(frameon=False, fontsize=9)
    return tidy(ax)


def samples(
    runs: Mapping[str, OnDemandResult | Sequence[OnDemandResult]],
    ax: Axes | None = None,
    *,
    against: Literal["samples", "rounds"] = "samples",
    best: float | None = None,
) -> Axes:
    """The worst loss over all distributions against what it cost, with confidence intervals.

    Args:
        runs: by name, results of one method at several budgets: a sequence, or one batch of runs.
        ax: where to draw; default a new figure.
        against: the horizontal axis: all samples drawn, or rounds of sampling.
        best: the smallest worst loss there is, drawn as a dashed line.

    Raises:
        ValueError: `against` is something else.
    """
    if against not in ("samples", "rounds"):
        raise ValueError(f"against must be 'samples' or 'rounds', got {against!r}.")
    ax = new_axes(ax, (7.0, 4.6))
    looks = zip(runs.items(), cycle(len(runs)), _MARKERS * len(runs), strict=False)
    for (name, given), color, marker in looks:
        results = [given] if isinstance(given, OnDemandResult) else list(given)
        costs = [r.num_samples if against == "samples" else r.rounds for r in results]
        cost = np.concatenate([np.ravel(c) for c in costs])
        order = np.argsort(cost, kind="stable")
        worst = np.concatenate([np.ravel(r.losses.worst) for r in results])[order]
        low, high = (
            np.concatenate([np.ravel(r.losses.interval[end]) for r in results])[order]
            for end in (0, 1)
        )
        ax.errorbar(
            cost[order], worst, yerr=[worst - low, high - worst], color=color, marker=marker,
            ms=4.5, lw=1.5, elinewidth=0.9, capsize=2, label=name,
        )  # fmt: skip
    if best is not None:
        ax.axhline(best, color="0.45", lw=1.1, ls="--")
        ax.annotate(
            "the best there is", (0.99, best), xycoords=("axes fraction", "data"), ha="right",
            textcoords="offset points", xytext=(0, -11), color="0.35", fontsize=9,
        )  # fmt: skip
    ax.set(xscale="log", ylabel="worst loss")
    ax.set_xlabel("samples of all distributions" if against == "samples" else "rounds of sampling")
    ax.legend(frameon=False, fontsize=9)
    return tidy(ax)


def _over_time(
    run: BanditResult | OnlineForecast | tuple[ArrayLike, ArrayLike],
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(run, BanditResult):
        return np.asarray(run.times), np.asarray(run.regret)
    if isinstance(run, OnlineForecast):
        return np.asarray(run.times), np.asarray(run.errors)
    times, values = run
    return np.asarray(times), np.atleast_2d(np.asarray(values))

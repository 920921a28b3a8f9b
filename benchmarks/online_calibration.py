"""How fast do online forecasters become calibrated, and how many rounds do they play per second?

Part `rates`: the largest residual over groups and levels after T rounds (mean over replications,
its standard error, `of_bound` the worst one over the bound that holds with probability 0.98), for
one group of everyone against a fair coin, an adversary who answers the law, and a drift; and for
two subpopulations whose groups are known. Part `clusters`: subpopulations that must be found, by a
cover of distinguishers after sqrt(T) rounds or by clusters after T^(2/3) rounds; meanwhile both
forecast a constant that is wrong. `slope` is that of the fit of log error to log T.

Part `speed`: rounds x replications per second of the same forecaster written by hand, on one core:
in NumPy with all replications side by side, in numba one after the other. Both compute all scores
in each round, as the algorithm is written; `numba, bisection` searches as gamejax does.
"""

import functools
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from benchmarks import pictures
from benchmarks.devices import count_cores
from benchmarks.report import Goal, Picture, Run
from benchmarks.timing import compare
from gamejax import calibration as cal
from gamejax.plot import COLORS
from gamejax.plot._base import tidy

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "horizons": (60, 120),
        "replications": 4,
        "draws": 2,
        "speed": ((60, 4),),
        "sequences": ("contrarian",),
    },
    "fast": {"horizons": (500, 2000), "replications": 16, "draws": 8, "speed": ((1000, 256),)},
    "full": {
        "horizons": (1000, 2000, 4000, 8000, 16000),
        "replications": 64,
        "draws": 16,
        "speed": ((1000, 1), (1000, 1000), (4000, 1000)),
    },
}
MIXTURE = cal.gaussian_mixture([0.5, 0.5], [-1.0, 1.0])
PEOPLE = cal.Subpopulations(MIXTURE, [0.2, 0.7])
RATES = {"cover": 1 / 2, "cluster": 2 / 3}
"""The exponents that are proved."""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """Errors by adversary and horizon, with the slopes; then speeds."""
    sizes = PROFILES[profile]
    every = {**ADVERSARIES, **METHODS}
    for name in sizes.get("sequences", every):
        found = [
            row(name, horizon, *every[name](horizon, sizes["replications"], sizes["draws"]))
            for horizon in sizes["horizons"]
        ]
        times, errors = (np.log([r[column] for r in found]) for column in ("T", "error"))
        slope = float(np.polyfit(times, errors, 1)[0])
        yield from (r | {"slope": slope} for r in found)
    for horizon, replications in sizes["speed"]:
        yield from speeds(horizon, replications, 0.0 if profile == "tiny" else 1.0)


def row(name: str, horizon: int, errors: Any, bound: float | None) -> dict[str, Any]:
    """The errors of one horizon."""
    found = np.asarray(errors, np.float64)
    return {
        "part": "clusters" if name in METHODS else "rates",
        "sequence": name,
        "T": horizon,
        "replications": len(found),
        "error": float(found.mean()),
        "error_se": float(found.std(ddof=1) / math.sqrt(len(found))),
        "of_bound": None if bound is None else float(found.max() / bound),
    }


def ungrouped(
    sequence: cal.AbstractSequence, horizon: int, replications: int, draws: int
) -> tuple[Any, float]:
    """Errors against a sequence without contexts."""
    levels = round(math.sqrt(horizon))
    forecaster = cal.MulticalibratedForecaster(levels, 1, cal.online_rate(horizon, 2 * levels))
    result = cal.forecast_online(
        forecaster, sequence, horizon, key=jax.random.key(0), num_replications=replications,
        dtype=jnp.float32,
    )  # fmt: skip
    return result.errors[:, -1], forecaster.bound(horizon, 0.02)


def drifting(horizon: int, replications: int, draws: int) -> tuple[Any, float]:
    """A coin that moves from .1 to .9 and back, twice."""
    return ungrouped(cal.Coins(0.1, 0.9, jnp.float32(horizon / 2)), horizon, replications, draws)


def known_groups(form: str, horizon: int, replications: int, draws: int) -> tuple[Any, float]:
    """Errors over two subpopulations whose discriminants or likelihoods are known."""
    levels = round(math.sqrt(horizon))
    bank = cal.Bank(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], MIXTURE), form)
    inner = cal.MulticalibratedForecaster(levels, 2, cal.online_rate(horizon, 4 * levels))
    result = cal.forecast_online(
        cal.OnFeatures(bank, inner), PEOPLE, horizon, key=jax.random.key(1),
        num_replications=replications,
    )  # fmt: skip
    errors = result.group_errors
    own = errors[:, :2] if form == "discriminant" else errors[:, 2:]
    return own.max(1), inner.bound(horizon, 0.02)


def found_groups(method: Any, horizon: int, replications: int, draws: int) -> tuple[Any, None]:
    """Discriminant errors where subpopulations must be found first."""
    wrong = cal.ConstantForecaster(math.isqrt(horizon), 0.0)
    result = cal.forecast_subpopulations(
        PEOPLE, horizon, cal.Gaussian(), 2, key=jax.random.key(2), method=method,
        form="discriminant", num_draws=draws, num_replications=replications,
        exploring=cal.OnFeatures(None, wrong),
    )  # fmt: skip
    return result.discriminant_error, None


Errors = Callable[[int, int, int], tuple[Any, float | None]]
ADVERSARIES: dict[str, Errors] = {
    "fair coin": functools.partial(ungrouped, cal.Coins()),
    "contrarian": functools.partial(ungrouped, cal.Contrarian()),
    "drift": drifting,
    "known discriminants": functools.partial(known_groups, "discriminant"),
    "known likelihoods": functools.partial(known_groups, "likelihood"),
}
METHODS: dict[str, Errors] = {
    method: functools.partial(found_groups, method) for method in ("cover", "cluster")
}


def speeds(horizon: int, replications: int, budget_s: float) -> Iterator[dict[str, Any]]:
    """The contrarian played by every implementation, in turn."""
    levels = round(math.sqrt(horizon))
    plays = {"NumPy": numpy_play, "gamejax float32": gamejax_play}
    if importlib.util.find_spec("numba") is not None and budget_s > 0:
        plays["numba"] = functools.partial(numba_play, False)
        plays["numba, bisection"] = functools.partial(numba_play, True)
    found = compare(
        {n: functools.partial(play, horizon, levels, replications) for n, play in plays.items()},
        budget_s=budget_s,
    )
    per_s = {name: horizon * replications / timing.median_s for name, timing in found.items()}
    for name, timing in found.items():
        errors = np.asarray(timing.result)
        yield {
            "part": "speed",
            "sequence": "contrarian",
            "T": horizon,
            "replications": replications,
            "implementation": name,
            "ours": name.startswith("gamejax"),
            "error": float(errors.mean()),
            "per_s": per_s[name],
            "x_ours": per_s["gamejax float32"] / per_s[name],
            "within": None,
            "cores": count_cores(),
            **timing.row(),
        }


def gamejax_play(horizon: int, levels: int, replications: int) -> Any:
    """The library."""
    forecaster = cal.MulticalibratedForecaster(levels, 1, cal.online_rate(horizon, 2 * levels))
    return cal.forecast_online(
        forecaster, cal.Contrarian(), horizon, key=jax.random.key(3),
        num_replications=replications, dtype=jnp.float32,
    ).errors[:, -1]  # fmt: skip


def numpy_play(horizon: int, levels: int, replications: int) -> np.ndarray:
    """All scores of all replications in each round, as the textbook has it."""
    rng, rate = np.random.default_rng(0), cal.online_rate(horizon, 2 * levels)
    values = (np.arange(levels) + 0.5) / levels
    sums, each = np.zeros((replications, levels)), np.arange(replications)
    for _ in range(horizon):
        score = np.sinh(np.minimum(np.maximum(rate * sums, -300), 300))
        falls = (score[:, :-1] > 0) & (score[:, 1:] <= 0)
        below = falls.argmax(1)
        low, high = score[each, below], score[each, below + 1]
        with np.errstate(invalid="ignore"):
            weight = np.where(falls[each, below], -high / (low - high), 0)
        lowest, highest = score[:, 0] <= 0, (score[:, 0] > 0) & (score[:, -1] >= 0)
        below = np.where(lowest, 0, np.where(highest, levels - 1, below))
        ends = lowest | highest
        above = np.where(ends, below, below + 1)
        mean = np.where(ends, values[below], weight * values[below] + (1 - weight) * values[above])
        level = np.where(~ends & (rng.random(replications) >= weight), above, below)
        sums[each, level] += (mean < 0.5) - values[level]
    return np.abs(sums).max(1)


@functools.cache
def _compiled() -> Any:
    numba: Any = importlib.import_module("numba")

    @numba.njit
    def score_of(total: float) -> float:
        return math.sinh(min(max(total, -300.0), 300.0))

    @numba.njit
    def play(horizon: int, levels: int, replications: int, rate: float, bisect: bool) -> np.ndarray:
        errors = np.zeros(replications)
        for r in range(replications):
            sums, score = np.zeros(levels), np.zeros(levels)
            for _ in range(horizon):
                for v in range(0 if bisect else levels):
                    score[v] = score_of(rate * sums[v])
                below, above, weight = 0, 0, 1.0
                if sums[0] > 0 and sums[-1] >= 0:
                    below = above = levels - 1
                elif sums[0] > 0:
                    above = levels - 1
                    while bisect and above - below > 1:
                        middle = (below + above) // 2
                        if score_of(rate * sums[middle]) > 0:
                            below = middle
                        else:
                            above = middle
                    if bisect:
                        score[below] = score_of(rate * sums[below])
                        score[above] = score_of(rate * sums[above])
                    while not bisect and score[below + 1] > 0:
                        below += 1
                    above = below + 1
                    weight = -score[above] / (score[below] - score[above])
                low, high = (below + 0.5) / levels, (above + 0.5) / levels
                outcome = 1.0 if weight * low + (1 - weight) * high < 0.5 else 0.0
                level = below if np.random.random() < weight else above  # noqa: NPY002
                sums[level] += outcome - (level + 0.5) / levels
            errors[r] = np.abs(sums).max()
        return errors

    return play


def numba_play(bisect: bool, horizon: int, levels: int, replications: int) -> np.ndarray:
    """The same loop, compiled, one replication after the other."""
    rate = cal.online_rate(horizon, 2 * levels)
    return _compiled()(horizon, levels, replications, rate, bisect)


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Rates like the proved ones, errors below the bounds, more rounds than a NumPy loop."""
    slopes = {r["sequence"]: r["slope"] for r in rows if r["part"] != "speed"}
    known = [slopes[name] for name in ADVERSARIES if name in slopes]
    bounds = [r["of_bound"] for r in rows if r.get("of_bound") is not None]
    numpy = [
        r["x_ours"] for r in rows if r.get("implementation") == "NumPy" and r["replications"] > 1
    ]
    both = {"cover", "cluster"} <= set(slopes)
    gap = slopes["cluster"] - slopes["cover"] if both else None
    return [
        Goal("0.6 over the largest slope of known groups", 1.0, 0.6 / max(known)),
        Goal("slope of clusters less that of the cover (1/6 is proved)", 0.1, gap),
        Goal("the bound over the worst error", 1.0, 1 / max(bounds) if bounds else None),
        Goal("rounds/s over NumPy's, many replications, the least", 1.0, min(numpy, default=None)),
    ]


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Errors over horizons on log-log axes with the proved rates, and speeds."""
    found = runs[0][1]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained", sharey=True)
    for ax, part, title in zip(
        axes, ("rates", "clusters"), ("groups known", "groups to be found"), strict=True
    ):
        chosen = [r for r in found if r["part"] == part]
        for k, name in enumerate(dict.fromkeys(r["sequence"] for r in chosen)):
            mine = [r for r in chosen if r["sequence"] == name]
            times, errors = (np.array([r[c] for r in mine], float) for c in ("T", "error"))
            spread = 2 * np.array([r["error_se"] for r in mine])
            text = f"{name}: {mine[0]['slope']:.2f}"
            ax.errorbar(times, errors, spread, fmt="o-", ms=4, color=COLORS[k], label=text)
            proved = RATES.get(name, 0.5)
            if part == "clusters" or k == 0:
                guide = 1.3 * errors[0] * (times / times[0]) ** proved
                ax.plot(times, guide, ls="--", lw=1, color="0.55")
                note = r"$T^{1/2}$" if proved == 0.5 else r"$T^{2/3}$"
                ax.annotate(note, (times[-1], guide[-1]), color="0.4", fontsize=9)
        ax.set(xscale="log", yscale="log", xlabel="rounds T")
        ax.set_title(title, fontsize=10)
        if chosen:
            tidy(ax).legend(frameon=False, fontsize=8, title="fitted slope", title_fontsize=8)
    axes[0].set_ylabel("largest residual over groups and levels")
    caption = "Errors grow like the proved rates (dashed); bars are two standard errors."
    rates = pictures.save(figure, folder / f"{label}-rates.png", caption)
    timed = [(facts, [r for r in rows if r["part"] == "speed"]) for facts, rows in runs]
    caption = "Rounds per second of all replications together, gamejax in blue."
    path = folder / f"{label}-speed.png"
    return [rates, pictures.speeds(timed, path, caption, by=("T", "replications"))]

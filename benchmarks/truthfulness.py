"""Which measures of calibration reward lying?

What two strategies pay under each measure, as a share of what honest probabilities pay (`share`,
`share_error` its standard error): below 1 the lie pays off. On fair coins followed by sure
outcomes, lying about the sure ones balances the books; on probabilities that all differ a little,
always saying 1/2 lumps all rounds into one level. Only the subsampled measure (SSCE) stays within a
constant factor on both, as its theorem says. `optimal` is what the best forecaster on a grid of
forecasts pays, by backward induction over a few rounds.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Goal, Picture, Run
from gamejax import calibration

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"coins": (1,), "horizon": 4, "samples": 8, "rounds": 2, "grid": 3},
    "fast": {"coins": (1, 16), "horizon": 48, "samples": 64, "rounds": 3, "grid": 5},
    "full": {"coins": (1, 4, 16, 64), "horizon": 192, "samples": 1024, "rounds": 5, "grid": 5},
}
KEY = jax.random.key(0)


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One row per law, strategy and measure."""
    options = PROFILES[profile]
    for coins in options["coins"]:
        law = calibration.coin_then_sure(coins, coins, coins)
        yield from table("coins, then sure", coins, law, calibration.BalancedBooks(), options)
    horizon = options["horizon"]
    law = calibration.many_probabilities(horizon)
    yield from table(
        "distinct probabilities", horizon, law, calibration.ConstantForecast(0.5), options
    )
    yield from optima(options)


def table(
    name: str,
    size: int,
    law: calibration.AbstractLaw,
    strategy: calibration.AbstractInformedForecaster,
    options: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """One law and strategy under all measures."""
    key = KEY if law.horizon > 12 else None
    found = calibration.truthfulness(law, strategy, key=key, num_samples=options["samples"])
    for measure, paid in found.items():
        truth, other = float(paid.truth), float(paid.strategy)
        yield {
            "law": name,
            "size": size,
            "measure": measure,
            "truth": truth,
            "strategy": other,
            "optimal": None,
            "share": float(paid.share),
            "truth_error": float(paid.truth_error),
            "strategy_error": float(paid.strategy_error),
            "share_error": float(paid.share_error),
        }


def optima(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The least that any forecaster on a grid pays on a coin and sure outcomes."""
    rounds, grid = options["rounds"], jnp.linspace(0, 1, options["grid"])
    ones = (rounds - 1) // 2
    law = calibration.coin_then_sure(1, rounds - 1 - ones, ones)
    measures = calibration.paper_measures(rounds)
    truth = calibration.truthfulness(law, calibration.Truthful(), measures)
    for name, measure in measures.items():
        best = float(calibration.optimal_forecasts(measure, law, grid).error)
        honest = float(truth[name].truth)
        yield {
            "law": "one coin, then sure",
            "size": rounds,
            "measure": name,
            "truth": honest,
            "strategy": None,
            "optimal": best,
            "share": best / honest if honest else 1.0,
        }


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """SSCE never rewards a strategy by more than half of what honesty pays; others do."""
    played = [r for r in rows if r["strategy"] is not None]
    subsampled = [r["share"] for r in played if r["measure"] == "ssce"]
    rest = {r["measure"] for r in played} - {"ssce", "u_calibration"}
    worst = [min(r["share"] for r in played if r["measure"] == name) for name in rest]
    return [
        Goal("SSCE: the least share that a strategy pays", 0.5, min(subsampled, default=None)),
        Goal("other measures that some strategy halves", 6, sum(share < 0.5 for share in worst)),
    ]


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Shares on both laws, and how errors grow with the number of coins."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    from gamejax import plot

    rows = runs[0][1]
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.7), layout="constrained")
    titles = {
        "coins, then sure": "{} coins, then sure outcomes:\nlies that balance the books",
        "distinct probabilities": "{} probabilities near 1/2:\nalways saying 1/2",
    }
    for ax, (law, title) in zip(axes, titles.items(), strict=False):
        size = max(r["size"] for r in rows if r["law"] == law)
        plot.truthfulness(payments(rows, law, size), ax, title=title.format(size))
    growth(axes[2])
    path = folder / f"{label}.png"
    figure.savefig(path, dpi=130)
    plt.close(figure)
    caption = (
        "What a lie costs for each unit that the truth costs, under each measure (left, middle); "
        "expected errors as the number of coins grows, exact (right). Only SSCE, blue, keeps "
        "liars within a constant factor of the truth on both laws."
    )
    return [Picture(path, caption)]


def payments(rows: Sequence[dict[str, Any]], law: str, size: int) -> dict[str, calibration.Payment]:
    """Rows of one law as the records that they were."""
    fields = ("truth", "strategy", "truth_error", "strategy_error", "share_error")
    return {
        r["measure"]: calibration.Payment(*(jnp.asarray(r[field]) for field in fields))
        for r in rows
        if (r["law"], r["size"]) == (law, size)
    }


def growth(ax: Any) -> None:
    """Exact expected errors on coins that sure outcomes follow."""
    from gamejax import plot

    coins = np.unique(np.geomspace(1, 512, 19).astype(int))
    found = [calibration.balanced_books_errors(int(a)) for a in coins]
    blue, red = plot.COLORS[:2]
    for values, style, text in (
        ([f.truth_smooth_ce for f in found], {"color": red}, "truth, smooth CE"),
        ([f.truth_ssce for f in found], {"color": blue}, "truth, SSCE"),
        ([f.strategy_ssce for f in found], {"color": blue, "ls": "--"}, "lie, SSCE"),
        ([0.0 for _ in found], {"color": red, "ls": "--"}, "lie, smooth CE"),
    ):
        ax.plot(coins, [float(v) for v in values], lw=1.8, label=text, **style)
    ax.set(xlabel="fair coins", ylabel="expected error, summed over rounds")
    ax.set_title("balancing the books\npays more with every coin", fontsize="medium")
    ax.legend(frameon=False, fontsize="small")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)

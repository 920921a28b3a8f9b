"""The pictures of the reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.report import Picture, Run, text

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

from gamejax.plot import COLORS

OURS, OTHERS = COLORS[0], COLORS[6]


def speeds(runs: Sequence[Run], path: Path, caption: str, by: Sequence[str] = ()) -> Picture:
    """Horizontal bars on a log scale, a panel per value of `by` and run, gamejax in blue."""
    panels = []
    for environment, rows in runs:
        measured = [row for row in rows if row.get("per_s")]
        for key in dict.fromkeys(tuple(row[name] for name in by) for row in measured):
            chosen = [r for r in measured if tuple(r[name] for name in by) == key]
            names = [f"{name} {text(v)}" for name, v in zip(by, key, strict=True)]
            panels.append((", ".join([*names, f"{environment['cores']} core(s)"]), chosen))
    columns = min(2, len(panels))
    height = 0.7 + 0.3 * max(len(rows) for _, rows in panels)
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(5.6 * columns, height * lines), layout="constrained",
        squeeze=False, sharex=True,
    )  # fmt: skip
    for ax, (title, rows) in zip(axes.flat, panels, strict=False):
        rows = sorted(rows, key=lambda row: row["per_s"])
        colors = [OURS if row["ours"] else OTHERS for row in rows]
        speed = [row["per_s"] for row in rows]
        bars = ax.barh([row["implementation"] for row in rows], speed, color=colors, log=True)
        ax.bar_label(bars, [label(row) for row in rows], padding=3, fontsize=8)
        ax.set_title(title, fontsize=10)
        ax.margins(x=0.25)
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in list(axes.flat)[len(panels) :]:
        ax.axis("off")
    return save(figure, path, caption)


def label(row: dict[str, Any]) -> str:
    """The speed beside a bar, and the share of games that a rival leaves unsolved."""
    unsolved = "" if row["within"] is None or row["within"] >= 0.999 else "*"
    return thousands(row["per_s"]) + unsolved


def thousands(value: float) -> str:
    """Three digits, with separators: 522,000."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else text(value)


def lines(
    rows: Sequence[dict[str, Any]],
    path: Path,
    caption: str,
    *,
    panel: str,
    x: str,
    y: str,
    ylabel: str,
    series: str = "implementation",
) -> Picture:
    """Log-log curves, a panel per value of one column, a curve per value of another."""
    rows = [row for row in rows if row.get(y)]
    panels = list(dict.fromkeys(row[panel] for row in rows))
    names = list(dict.fromkeys(row[series] for row in rows))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.6 * len(panels) + 0.6, 3.4), layout="constrained",
        squeeze=False, sharey=True,
    )  # fmt: skip
    for ax, value in zip(axes.flat, panels, strict=True):
        for k, name in enumerate(names):
            points = [(r[x], r[y]) for r in rows if r[panel] == value and r[series] == name]
            if points:
                color = COLORS[k % len(COLORS)]
                ax.plot(
                    *zip(*sorted(points), strict=True), "o-", ms=4, color=color, label=str(name)
                )
        ax.set(xscale="log", yscale="log", xlabel=x, title=str(value))
        ticks = sorted({row[x] for row in rows if row[panel] == value})
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    axes.flat[0].set_ylabel(ylabel)
    axes.flat[0].legend(frameon=False, fontsize=8)
    return save(figure, path, caption)


def ratios(cells: dict[tuple[int, int], tuple[float, str]], path: Path, caption: str) -> Picture:
    """A grid of actions by games: how much faster gamejax is than the fastest peer, and which."""
    sizes = sorted({n for n, _ in cells})
    batches = sorted({b for _, b in cells})
    values = np.full((len(sizes), len(batches)), np.nan)
    for (n, b), (ratio, _) in cells.items():
        values[sizes.index(n), batches.index(b)] = ratio
    figure, ax = plt.subplots(
        figsize=(1.5 * len(batches) + 2, 0.75 * len(sizes) + 1.2), layout="constrained"
    )
    norm = LogNorm(0.1, 10)
    image = ax.imshow(values, cmap="RdBu", norm=norm, aspect="auto")
    for (n, b), (ratio, name) in cells.items():
        dark = not 0.25 < ratio < 4
        ax.annotate(
            f"{text(ratio)}\n{name}", (batches.index(b), sizes.index(n)), ha="center", va="center",
            fontsize=8, color="white" if dark else "black",
        )  # fmt: skip
    ax.set_xticks(range(len(batches)), [str(b) for b in batches])
    ax.set_yticks(range(len(sizes)), [str(n) for n in sizes])
    ax.set(xlabel="games", ylabel="actions")
    bar = figure.colorbar(image, ax=ax, ticks=[0.1, 0.3, 1, 3, 10], extend="both", fraction=0.05)
    bar.ax.set_yticklabels(["0.1", "0.3", "1", "3", "10"])
    bar.ax.minorticks_off()
    bar.set_label("speed over the fastest peer")
    return save(figure, path, caption)


def save(figure: Any, path: Path, caption: str) -> Picture:
    """Write the picture."""
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return Picture(path, caption)

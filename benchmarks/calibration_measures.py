"""How fast are measures of calibration, and do the values agree?

`per_s` is predictions per second. `certificate` is the distance of the value from a reference in
float64: NumPy's for ECE, a linear program or the exact measure for smooth calibration, the sum over
all pairs where there are few. relplot's `smECE` smooths residuals with a kernel: another smooth
measure of the same data, within a constant factor, so it has a value and no certificate.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contest import Rival, missing, over, race, version
from benchmarks.devices import count_cores
from benchmarks.report import Goal
from gamejax import calibration

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"sizes": (500,), "naive": 100, "subsets": 8, "budget_s": 0.0},
    "fast": {"sizes": (100_000,), "naive": 500, "subsets": 64, "budget_s": 0.3},
    "full": {"sizes": (1_000_000, 10_000_000), "naive": 2_000, "subsets": 256, "budget_s": 2.0},
}
BINS, CELLS, TOL = 15, 4096, 1e-4
Task = tuple[str, int, Callable[[Any], list[Rival]], float | None]


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One row per measure, number of predictions and implementation."""
    options = PROFILES[profile]
    for size in (*options["sizes"], options["naive"]):
        scores, labels = predictions(size)
        for measure in ("ECE", "smooth CE", "Laplace", "SSCE"):
            if measure == "SSCE" and size > 1_000_000:
                continue
            few = size == options["naive"]
            yield from contest(measure, scores, labels, few, options)


def contest(
    measure: str, scores: np.ndarray, labels: np.ndarray, few: bool, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """All implementations of one measure on the same predictions."""
    rivals, reference = TASKS[measure](scores, labels, few, options)
    values: dict[str, float] = {}

    def answer(name: str, result: Any) -> np.ndarray:
        values[name] = float(result)
        return np.asarray([values[name]])

    rivals = [
        Rival(
            rival.name,
            rival.call,
            len(scores),
            functools.partial(answer, rival.name),
            ours=rival.ours,
            dtype=rival.dtype,
            version=rival.version,
            note=rival.note,
        )
        for rival in rivals
    ]
    found = race(
        {"measure": measure, "predictions": len(scores)},
        rivals,
        lambda value: np.abs(value - reference),
        tol=TOL if measure != "SSCE" else 0.05 * reference,
        cores=count_cores(),
        budget_s=options["budget_s"],
    )
    for row in found:
        row["value"] = values.get(row["implementation"])
        if "smECE" in row["implementation"]:
            row |= {"certificate": None, "within": None}
    return found


def predictions(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts that are somewhat too high, and outcomes."""
    rng = np.random.default_rng(0)
    scores = rng.random(size)
    return scores, (rng.random(size) < scores**1.2).astype(float)


def ece(
    scores: np.ndarray, labels: np.ndarray, few: bool, options: dict[str, Any]
) -> tuple[list[Rival], float]:
    """Fifteen bins."""

    def bincount() -> float:
        bins = (scores * BINS).astype(int).clip(max=BINS - 1)
        return float(np.abs(np.bincount(bins, labels - scores, BINS)).sum() / len(scores))

    measure = functools.partial(calibration.ece, num_levels=BINS)
    return [*ours("bins", measure, scores, labels), Rival("NumPy bincount", bincount)], bincount()


def smooth_ce(
    scores: np.ndarray, labels: np.ndarray, few: bool, options: dict[str, Any]
) -> tuple[list[Rival], float]:
    """On a grid and exact; relplot's kernel; a linear program where it is small."""
    exact = calibration.smooth_ce_bounds(scores, labels)
    grid = functools.partial(calibration.smooth_ce, num_levels=CELLS)
    found = ours(f"{CELLS} cells", grid, scores, labels)
    if len(scores) <= 1_000_000:
        found += ours("exact", calibration.smooth_ce, scores, labels)[1:]
    found.append(relplot(scores, labels))
    if few:
        found.append(Rival("SciPy linprog", lambda: program(scores, labels)))
    return found, program(scores, labels) if few else float(exact.upper)


def laplace(
    scores: np.ndarray, labels: np.ndarray, few: bool, options: dict[str, Any]
) -> tuple[list[Rival], float]:
    """Sorted, on a grid, and naively over all pairs where there are few."""

    def naive() -> float:
        kernel = np.exp(-np.abs(scores[:, None] - scores[None, :]))
        return float(np.sqrt((labels - scores) @ kernel @ (labels - scores)) / len(scores))

    grid = functools.partial(calibration.laplace_kernel_ce, num_levels=CELLS)
    found = ours(f"{CELLS} cells", grid, scores, labels)
    if len(scores) <= 1_000_000:
        found += ours("exact", calibration.laplace_kernel_ce, scores, labels)[1:]
    if few:
        return [*found, Rival("NumPy, all pairs", naive)], naive()
    return found, float(grid(jnp.asarray(scores), jnp.asarray(labels)))


def ssce(
    scores: np.ndarray, labels: np.ndarray, few: bool, options: dict[str, Any]
) -> tuple[list[Rival], float]:
    """On a coarse grid: the same subsets everywhere, a linear program for each where few."""
    subsets = options["subsets"] if few else 8
    cells = 256
    measure = functools.partial(
        calibration.ssce, key=jax.random.key(0), num_subsets=subsets, num_levels=cells
    )
    found = ours(f"{subsets} subsets, {cells} cells", measure, scores, labels)
    reference = float(measure(jnp.asarray(scores), jnp.asarray(labels)))
    if few:

        def naive() -> float:
            rng = np.random.default_rng(1)
            kept = rng.random((8, len(scores))) < 0.5
            return float(np.mean([program(scores, labels, k) for k in kept]))

        found.append(Rival("SciPy linprog", naive, note="8 subsets"))
    return found, reference


def ours(
    name: str, measure: Callable[..., Any], scores: np.ndarray, labels: np.ndarray
) -> list[Rival]:
    """The measure in both precisions, on arrays that are there already."""
    found = []
    for dtype in ("float32", "float64"):
        arrays = jnp.asarray(scores, dtype), jnp.asarray(labels, dtype)
        call = functools.partial(measure, *arrays)
        found.append(Rival(f"gamejax {dtype}, {name}", call, ours=True, dtype=dtype))
    return found


def relplot(scores: np.ndarray, labels: np.ndarray) -> Rival:
    """The package relplot."""
    note = missing(["relplot"])
    if note is not None:
        return Rival("relplot smECE", note=note)
    from relplot import smECE  # pyright: ignore[reportMissingImports]

    call = functools.partial(smECE, scores, labels)
    note = "another smooth measure"
    return Rival("relplot smECE", call, version=version("relplot"), note=note)


def program(scores: np.ndarray, labels: np.ndarray, kept: np.ndarray | None = None) -> float:
    """The smooth calibration error as a linear program."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, vstack

    order = np.argsort(scores)
    masses = (labels - scores)[order] / len(scores)
    if kept is not None:
        masses = masses * kept[order]
    size = len(scores)
    step = eye_array(size - 1, size, k=1) - eye_array(size - 1, size)
    gaps = np.diff(scores[order])
    constraints, bounds = vstack([step, -step]), np.concatenate([gaps, gaps])
    return -linprog(-masses, constraints, bounds, bounds=(-1, 1)).fun


TASKS: dict[str, Callable[..., tuple[list[Rival], float]]] = {
    "ECE": ece,
    "smooth CE": smooth_ce,
    "Laplace": laplace,
    "SSCE": ssce,
}


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Ten times relplot, as fast as NumPy, at the largest size that all of them did."""
    size = max((r["predictions"] for r in rows if r["predictions"] <= 1_000_000), default=0)

    def pick(measure: str, part: str) -> dict[str, Any] | None:
        found = (r for r in rows if (r["measure"], r["predictions"]) == (measure, size))
        return next((r for r in found if part in r["implementation"]), None)

    smooth, binned = pick("smooth CE", "float32"), pick("ECE", "float32")
    values = [r for r in rows if r["ours"] and r["within"] is not None]
    return [
        Goal(f"smooth CE, {size:,}, over relplot", 10, over(smooth, pick("smooth CE", "relplot"))),
        Goal(f"ECE, {size:,}, over NumPy", 1, over(binned, pick("ECE", "NumPy"))),
        Goal(
            "our values within their tolerance", 1, min((r["within"] for r in values), default=None)
        ),
    ]

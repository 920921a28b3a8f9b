"""How do time and memory grow with games, rounds, actions, players and devices?

Alternating PRM+ for a fixed number of rounds, `jax.vmap(solve)` in one program, float32. `bytes` is
what the compiled program holds on a device: arguments, results and temporaries.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import gamejax
from benchmarks import pictures, roofline, timing
from benchmarks.devices import count_cores, over_devices, place
from benchmarks.instances import instances
from benchmarks.ours import REGRET_MATCHING
from benchmarks.report import Goal, Picture, Run
from gamejax.games import AbstractGame

ASKS = __doc__ or ""
AXES = ("B", "T", "n", "players", "devices")
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "base": {"B": 64, "T": 10, "n": 2, "players": 2},
        "B": (64, 128),
        "budget_s": 0.0,
    },
    "fast": {
        "base": {"B": 1024, "T": 200, "n": 8, "players": 2},
        "B": (256, 1024, 4096),
        "T": (100, 200, 400),
        "budget_s": 0.3,
    },
    "full": {
        "base": {"B": 4096, "T": 400, "n": 8, "players": 2},
        "B": (256, 512, 1024, 2048, 4096, 8192, 16384),
        "T": (100, 200, 400, 800, 1600, 3200),
        "n": (2, 4, 8, 16, 32, 64),
        "players": (2, 3, 4, 5),
        "budget_s": 2.0,
    },
}


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One axis after another, on all cores but where their number varies."""
    sizes, cores = PROFILES[profile], count_cores()
    for axis in AXES:
        values = sizes.get(axis, ())
        if axis == "devices" and cores > 1:
            values = tuple(range(1, cores + 1))
        for value in values:
            yield measured(
                axis, {**sizes["base"], "devices": cores, axis: value}, sizes["budget_s"]
            )


def measured(axis: str, point: dict[str, int], budget_s: float) -> dict[str, Any]:
    """Time and memory at one point. With the number of players, each has 4 actions at most."""
    players = point["players"]
    n = point["n"] if players == 2 and axis != "players" else min(4, point["n"])
    family = "zero_sum" if players == 2 and axis != "players" else "general_sum"
    name = f"{family}-{'x'.join([str(n)] * players)}"
    games = place(instances(name, point["B"]), point["devices"])

    def one(game: AbstractGame, steps: jax.Array) -> Any:
        solution = gamejax.solve(game, REGRET_MATCHING, tol=0.0, max_steps=steps, check_every=steps)
        return solution.profile, solution.gap

    steps = place(np.full(point["B"], point["T"], np.int32), point["devices"])
    begin = time.perf_counter()
    program = over_devices(jax.vmap(one), point["devices"]).lower(games, steps).compile()
    compile_s = time.perf_counter() - begin
    found = timing.measure(lambda: program(games, steps), budget_s=budget_s)
    memory = program.memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    held = None if memory is None else sum(getattr(memory, part) for part in parts)
    rounds = point["B"] * point["T"]
    flops = 4.0 * n * n * rounds if family == "zero_sum" else None
    return {
        "axis": axis,
        **point,
        "n": n,
        "value": point[axis],
        "instances": f"{name}-0..{point['B'] - 1}",
        "per_s": rounds / found.median_s / 1e6,
        "unit": "million game-iterations/s",
        "bytes": held,
        "roofline": flops and roofline.share(flops / found.median_s, "float32", point["devices"]),
        **found.row(),
        "compile_s": compile_s,
    }


def straightness(x: np.ndarray, y: np.ndarray) -> float:
    """The share of the variance of y that a line in x explains."""
    if len(x) < 3:
        return float("nan")
    line = np.polyval(np.polyfit(x, y, 1), x)
    return float(1 - np.sum((y - line) ** 2) / np.sum((y - np.mean(y)) ** 2))


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """How well a line fits time and memory against games, and time against rounds."""
    found = []
    for axis, column in (("B", "median_s"), ("B", "bytes"), ("T", "median_s")):
        points = [(r["value"], r[column]) for r in rows if r["axis"] == axis and r[column]]
        fit = straightness(*np.transpose(points)) if len(points) > 2 else None
        what = "time" if column == "median_s" else "memory"
        found.append(Goal(f"{what} is linear in {axis}: R^2 of a line", 0.99, fit))
    devices = {r["value"]: r["median_s"] for r in rows if r["axis"] == "devices"}
    gain = devices[1] / devices[max(devices)] if len(devices) > 1 else None
    found.append(Goal("speed of two devices over one", 1.8, gain))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Time and memory along every axis, one picture each per run."""
    found = []
    for environment, rows in runs:
        cores = environment["cores"]
        for column, what in (("median_s", "Seconds"), ("bytes", "Bytes")):
            path = folder / f"{label}-{cores}-{column}.png"
            caption = f"{what} along every axis, {cores} core(s)"
            chosen = [row | {"implementation": "gamejax PRM+"} for row in rows]
            found.append(
                pictures.lines(
                    chosen, path, caption, panel="axis", x="value", y=column, ylabel=what.lower()
                )
            )
    return found

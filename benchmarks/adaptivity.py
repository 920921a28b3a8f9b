"""What do fewer sampling rounds cost, and how fast is a batch of LazyHedge runs?

Three parts. `realizable`: boosting over k distributions in r rounds on a threshold class; `train`
is the smallest number of training samples in all rounds (r m, over powers m of sqrt(2)) with which
the majority vote errs by at most eps on every distribution in 90% of the runs; `theorem` is r m of
the paper's constants, `tests` the samples that judged the learners, `k_2_r` the paper's k^(2/r),
`k_1_r` the lower bound's k^(1/r), both scaled to agree with `train` at the last r. `agnostic`:
sampling rounds of LazyHedge with boxes and ellipsoids; on the hard instance of the lower bound with
sqrt(k) secrets from a uniform start, on the same with k - 1 secrets from a start that is
concentrated on one coordinate, and on games with random loss tables. `speed`: LazyHedge steps per
second of many instances in one program against a plain NumPy loop, and against NumPy with all
instances in one array.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gamejax
from benchmarks import pictures
from benchmarks.report import Goal, Picture, Run
from benchmarks.timing import compare
from gamejax import multidistribution as md

ASKS = __doc__ or ""
EPS, SHARE, DELTA, TESTS = 0.1, 0.9, 0.05, 60
"""Error wanted, share of runs that must reach it, confidence, samples of a test."""
RHO = 0.25
"""The weight of a distribution's own point."""
LOWEST = 1e-8
"""What the concentrated start leaves to the other coordinates in all."""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "realizable": (8,), "most": 6, "runs": 4, "agnostic": (8,), "tables": 2,
        "batches": (2,), "steps": 50, "budget_s": 0.0,
    },
    "fast": {
        "realizable": (32,), "most": 11, "runs": 16, "agnostic": (16, 64), "tables": 8,
        "batches": (1, 64), "steps": 500, "budget_s": 0.3,
    },
    "full": {
        "realizable": (64, 256), "most": 15, "runs": 24, "agnostic": (16, 64, 256, 1024),
        "tables": 64, "batches": (1, 64, 1024), "steps": 2000, "budget_s": 3.0,
    },
}  # fmt: skip


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """The three parts, one after another."""
    sizes = PROFILES[profile]
    for k in sizes["realizable"]:
        yield from realizable(k, sizes["most"], sizes["runs"])
    for k in sizes["agnostic"]:
        yield from agnostic(k, sizes["tables"], profile)
    for batch in sizes["batches"]:
        yield from speed(batch, sizes["steps"], sizes["budget_s"])


def threshold_problem(k: int) -> md.DiscreteLosses:
    """Distribution i: an easy example, or with probability RHO point i labelled by a threshold."""
    points, cut = np.arange(k), (5 * k) // 8
    wrong = (points[:, None] >= np.arange(k + 1)[None]) != (points >= cut)[:, None]
    losses = np.concatenate([np.zeros((1, k + 1)), wrong]).astype(np.float32)
    chances = np.concatenate([np.full((k, 1), 1 - RHO), RHO * np.eye(k)], 1).astype(np.float32)
    return md.DiscreteLosses(losses, chances)


@functools.partial(jax.jit, static_argnums=4)
def worst_majority(
    problem: md.DiscreteLosses, num_rounds: jax.Array, train: jax.Array, key: jax.Array, runs: int
) -> jax.Array:
    """The majority votes' exact worst losses in several runs."""

    def one(key: jax.Array) -> jax.Array:
        found = md.rounds(
            problem, "boosting", eps=EPS, delta=DELTA, num_rounds=num_rounds, train_size=train,
            test_size=jnp.float32(TESTS), num_fresh=1, key=key,
        )  # fmt: skip
        return problem.majority_losses(found.predictor).max()

    return jax.vmap(one)(jax.random.split(key, runs))


def realizable(k: int, most: int, runs: int) -> Iterator[dict[str, Any]]:
    """Training samples that suffice, for r = 1, 2, ..., log2 k rounds."""
    problem, found = threshold_problem(k), []
    for r in range(1, round(math.log2(k)) + 1):
        for exponent in range(2 * most + 1):
            size = jnp.float32(math.ceil(2 ** (exponent / 2)))
            key = jax.random.fold_in(jax.random.key(r), exponent)
            worst = np.asarray(worst_majority(problem, jnp.int32(r), size, key, runs))
            if (worst <= EPS).mean() >= SHARE:
                found.append((r, r * int(size)))
                break
    if not found:
        return
    last, reached = found[-1]
    for r, train in found:
        plan = md.boosting_plan(k, r, EPS, DELTA, math.log(k + 1))
        yield {
            "part": "realizable",
            "k": k,
            "rounds": r,
            "train": train,
            "tests": r * k * TESTS,
            "k_2_r": reached * k ** (2 / r - 2 / last),
            "k_1_r": reached * k ** (1 / r - 1 / last),
            "theorem": r * float(plan.num_train),
            "runs": runs,
        }


def agnostic(k: int, tables: int, profile: str) -> Iterator[dict[str, Any]]:
    """Rounds of boxes and ellipsoids on the families."""
    shapes = jnp.array([False, True])
    start = np.full(k, LOWEST / k, np.float32)
    start[-1] = 1 - LOWEST
    tiny = profile == "tiny"
    families: dict[str, tuple[int, int, float, Any]] = {
        "sqrt(k) secrets": (math.isqrt(k), 200 if tiny else 20_000, 0.01, None),
        "concentrated start": (
            k - 1, 200 if tiny else int(1.5 * k * math.log(1 / LOWEST) / 0.5) + 2000, 0.5, start,
        ),
    }  # fmt: skip
    for name, (secrets, steps, rate, first) in families.items():
        instance = md.HiddenCoordinates(k, np.arange(secrets), jnp.float32)

        def run(
            shape: Any, instance: Any = instance, steps: int = steps, rate: float = rate,
            first: Any = first,
        ) -> Any:  # fmt: skip
            return md.maximize_on_demand(
                instance, steps, learning_rate=rate, geometry=shape,
                start=None if first is None else jnp.asarray(first),
            )  # fmt: skip

        caps = jax.jit(jax.vmap(run))(shapes).caps
        yield from (
            agnostic_row(k, name, bool(shape), float(n), float(c), steps, 1)
            for shape, n, c in zip(shapes, caps.num_rounds, caps.overhead, strict=True)
        )
    means = jax.random.uniform(jax.random.key(k), (tables, 32, k))
    steps = 50 if tiny else math.ceil(4 * math.log(k) / EPS**2)

    @jax.jit
    def play(shape: jax.Array) -> Any:
        def one(table: jax.Array) -> Any:
            game = md.MultiDistributionGame(md.BernoulliLosses(table))
            solver = md.LazyHedge(
                EPS / 4, train_size=100.0, test_size=k, margin=2.0, ellipsoid=shape, exact=True
            )
            found = gamejax.solve(game, solver, tol=0.0, max_steps=steps, check_every=steps)
            return found.state.caps

        return jax.vmap(one)(means)

    for shape in shapes:
        caps = play(shape)
        rounds, overhead = caps.num_rounds, caps.overhead
        yield agnostic_row(
            k, "random tables", bool(shape), float(jnp.mean(rounds.astype(jnp.float32))),
            float(overhead.mean()), steps, tables,
        )  # fmt: skip


def agnostic_row(
    k: int, family: str, ellipsoid: bool, rounds: float, overhead: float, steps: int, runs: int
) -> dict[str, Any]:
    """One row of the second part."""
    geometry = "ellipsoid" if ellipsoid else "box"
    return {
        "part": "agnostic", "k": k, "family": family, "geometry": geometry, "rounds": rounds,
        "overhead": overhead, "steps": steps, "runs": runs,
    }  # fmt: skip


SPEED_K, SPEED_M, RATE, MARGIN = 64, 8, 0.01, 2.0


def speed(batch: int, steps: int, budget_s: float) -> Iterator[dict[str, Any]]:
    """One task, done by a loop, by NumPy on all instances, and by one compiled program."""
    rng = np.random.default_rng(batch)
    indices = np.stack([rng.permutation(SPEED_K)[:SPEED_M] for _ in range(batch)])
    few = min(batch, 4)

    @jax.jit
    def ours(indices: jax.Array) -> Any:
        def one(index: jax.Array) -> Any:
            instance = md.HiddenCoordinates(SPEED_K, index, jnp.float32)
            return md.maximize_on_demand(instance, steps, learning_rate=RATE, margin=MARGIN)

        return jax.vmap(one)(indices).caps.num_rounds

    calls: dict[str, tuple[int, Callable[[], Any]]] = {
        "NumPy, one by one": (few, lambda: loop(indices[:few], steps)),
        "NumPy, all in one array": (batch, lambda: loop_together(indices, steps)),
        "gamejax float32": (batch, functools.partial(ours, jnp.asarray(indices))),
    }
    found = compare({name: call for name, (_, call) in calls.items()}, budget_s=budget_s)
    speeds = {name: calls[name][0] * steps / timing.median_s for name, timing in found.items()}
    for name, timing in found.items():
        mine = name.startswith("gamejax")
        yield {
            "part": "speed",
            "k": SPEED_K,
            "instances": batch,
            "implementation": name,
            "ours": mine,
            "per_s": speeds[name],
            "x_ours": speeds["gamejax float32"] / speeds[name],
            "rounds": float(np.mean(np.asarray(timing.result))),
            **timing.row(),
        }


def loop(indices: np.ndarray, steps: int) -> np.ndarray:
    """Rounds of LazyHedge with boxes, an instance at a time."""
    shifts = np.arange(1, SPEED_M + 1) / SPEED_M**2
    counts = []
    for index in indices:
        scores, average = np.zeros(SPEED_K), np.zeros(SPEED_K)
        peak, cap, rounds = np.zeros(SPEED_K), np.zeros(SPEED_K), 0
        for _ in range(steps):
            point = np.exp(scores - scores.max())
            point /= point.sum()
            np.maximum(peak, point, out=peak)
            if (point > cap).any():
                cap, rounds = MARGIN * peak, rounds + 1
            scores[index[np.argmin(point[index] + shifts)]] += RATE
            average += point
        counts.append(rounds)
    return np.asarray(counts)


def loop_together(indices: np.ndarray, steps: int) -> np.ndarray:
    """The same with all instances in one array."""
    shifts, every = np.arange(1, SPEED_M + 1) / SPEED_M**2, np.arange(len(indices))
    scores = np.zeros((len(indices), SPEED_K), np.float32)
    average, peak, cap = (np.zeros_like(scores) for _ in range(3))
    rounds = np.zeros(len(indices), int)
    for _ in range(steps):
        point = np.exp(scores - scores.max(1, keepdims=True))
        point /= point.sum(1, keepdims=True)
        np.maximum(peak, point, out=peak)
        outside = (point > cap).any(1)
        cap[outside] = MARGIN * peak[outside]
        rounds += outside
        lowest = np.argmin(np.take_along_axis(point, indices, 1) + shifts, 1)
        scores[every, indices[every, lowest]] += RATE
        average += point
    return rounds


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """The claims, with the numbers that came."""
    found = []
    trade = [r for r in rows if r["part"] == "realizable"]
    k = max((r["k"] for r in trade), default=0)
    by_rounds = {r["rounds"]: r["train"] for r in trade if r["k"] == k}
    saved = by_rounds[2] / by_rounds[max(by_rounds)] if 2 in by_rounds else None
    found.append(Goal("training samples of boosting in 2 rounds over log2 k rounds", 4.0, saved))
    box, ellipsoid = (slope(rows, shape) for shape in ("box", "ellipsoid"))
    apart = None if box is None or ellipsoid is None else box - ellipsoid
    found.append(
        Goal("exponent of k in the rounds, concentrated start, box minus ellipsoid", 0.25, apart)
    )
    rivals = [r["x_ours"] for r in rows if r["part"] == "speed" and not r["ours"]]
    singles = [
        r["x_ours"]
        for r in rows
        if r["part"] == "speed" and r["implementation"] == "NumPy, one by one"
    ]
    found.append(
        Goal("speed over a NumPy loop, largest batch", 10.0, singles[-1] if rivals else None)
    )
    return found


def slope(
    rows: Sequence[dict[str, Any]], geometry: str, family: str = "concentrated start"
) -> float | None:
    """The exponent of k in the number of rounds, by least squares; `None` of fewer than two."""
    points = [
        (math.log(r["k"]), math.log(r["rounds"]))
        for r in rows
        if r["part"] == "agnostic" and r["family"] == family and r["geometry"] == geometry
    ]
    if len(points) < 2:
        return None
    sizes, counts = np.asarray(points).T
    return float(np.polyfit(sizes, counts, 1)[0])


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Samples against rounds; rounds against the number of distributions; speed."""
    rows = runs[0][1]
    made = [
        trade_picture(
            [r for r in rows if r["part"] == "realizable"], folder / f"{label}-trade.png"
        ),
        rounds_picture(
            [r for r in rows if r["part"] == "agnostic"], folder / f"{label}-rounds.png"
        ),
    ]
    lines = [
        {**r, "task": "LazyHedge, k = 64", "steps/s": r["per_s"]}
        for r in rows
        if r["part"] == "speed"
    ]
    speeds = pictures.lines(
        lines, folder / f"{label}-speed.png",
        "Steps of LazyHedge per second, of all instances together.",
        panel="task", x="instances", y="steps/s", ylabel="steps per second",
    )  # fmt: skip
    return [*made, speeds]


def trade_picture(rows: Sequence[dict[str, Any]], path: Path) -> Picture:
    """Training samples against rounds, measured and by theory."""
    sizes = list(dict.fromkeys(r["k"] for r in rows)) or [0]
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(4.4 * len(sizes), 3.4), layout="constrained", squeeze=False,
        sharey=True,
    )  # fmt: skip
    for ax, k in zip(axes.flat, sizes, strict=True):
        mine = [r for r in rows if r["k"] == k]
        x = [r["rounds"] for r in mine]
        for column, style, name in (
            ("train", "o-", "measured"),
            ("k_2_r", "--", "$k^{2/r}$ (upper bound)"),
            ("k_1_r", ":", "$k^{1/r}$ (lower bound)"),
        ):
            color = pictures.COLORS[0 if column == "train" else 1 if column == "k_2_r" else 2]
            ax.plot(x, [r[column] for r in mine], style, ms=4, color=color, label=name)
        ax.set(yscale="log", xlabel="rounds r", title=f"{k} distributions")
        ax.set_xticks(x, [str(r) for r in x])
        ax.set_ylim(top=20 * max((r["train"] for r in mine), default=1))
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    axes.flat[0].set_ylabel("training samples")
    axes.flat[0].legend(frameon=False, fontsize=8)
    return pictures.save(
        figure, path,
        f"Training samples that bring the majority vote to error {EPS} on every distribution. "
        "With 2 rounds both learners must be right, with 3 or 4 one may fail, with 5 or 6 two.",
    )  # fmt: skip


def rounds_picture(rows: Sequence[dict[str, Any]], path: Path) -> Picture:
    """Rounds of boxes and ellipsoids against k, a panel per family, with k and sqrt(k)."""
    families = list(dict.fromkeys(r["family"] for r in rows))
    figure, axes = plt.subplots(
        1, len(families), figsize=(3.8 * len(families), 3.4), layout="constrained", squeeze=False,
        sharey=True,
    )  # fmt: skip
    for ax, family in zip(axes.flat, families, strict=True):
        for color, shape in zip(pictures.COLORS, ("box", "ellipsoid"), strict=False):
            points = [
                (r["k"], r["rounds"])
                for r in rows
                if (r["family"], r["geometry"]) == (family, shape)
            ]
            ax.plot(*zip(*points, strict=True), "o-", ms=4, color=color, label=shape)
        k = np.asarray(sorted({r["k"] for r in rows}))
        ax.plot(k, k, ":", color="gray", label="k")
        ax.plot(k, np.sqrt(k), "--", color="gray", label="$\\sqrt{k}$")
        ax.set(xscale="log", yscale="log", xlabel="distributions k", title=family)
        ax.set_xticks(k, [str(number) for number in k])
        ax.minorticks_off()
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    axes.flat[0].set_ylabel("sampling rounds")
    axes.flat[0].legend(frameon=False, fontsize=8)
    return pictures.save(
        figure, path, "Sampling rounds of LazyHedge (margin 2) with boxes and with ellipsoids."
    )

"""How many million game-iterations per second of Hedge, RM+ and PRM+, on many games at once?

One game-iteration is one simultaneous round of a zero-sum game: two payoff products, two learners
and the uniform average, in float32. `certificate` is the largest nash_conv of the averages. NumPy
and numba take fewer steps, as many as the note says: their speed does not depend on it. `roofline`
counts the two payoff products alone.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import c_kernels, peers, pictures
from benchmarks.contest import Rival, fastest, missing, over, race, version
from benchmarks.devices import count_cores
from benchmarks.instances import instances, nash_conv, payoffs_of
from benchmarks.ours import batch, mapped
from benchmarks.report import Goal, Picture, Run
from gamejax.learners import Hedge, PredictiveRegretMatchingPlus, RegretMatchingPlus
from gamejax.solvers import SelfPlay, Uniform

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "sizes": (4,),
        "batches": (64,),
        "budget_s": 0.0,
        "flops": 1e5,
        "share": 1,
        "learners": ("RM+",),
    },
    "fast": {"sizes": (4, 16), "batches": (1024,), "budget_s": 0.3, "flops": 1e9, "share": 20},
    "full": {
        "sizes": (4, 8, 16, 64),
        "batches": (1024, 4096),
        "budget_s": 1.0,
        "flops": 5e9,
        "share": 50,
    },
}
RATE = 0.1
TRIED = """
Both entries of gamejax run the same kernels: up to 16 actions a batch-last program whose arrays
are spelled out entry by entry, in chunks of games that stay in the cache; beyond, batched products.
`solve_batch` adds its bookkeeping on the host, `vmap(solve)` is one program. The C kernel has one
SIMD lane per game, blocks of eight rows, all lengths known when it is compiled. NumPy's products
are `einsum` on stacked games; its threads and numba's split the games between cores.
"""
LEARNERS = {
    "Hedge": Hedge(RATE),
    "RM+": RegretMatchingPlus(),
    "PRM+": PredictiveRegretMatchingPlus(),
}


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One race per learner, number of actions and number of games."""
    sizes = PROFILES[profile]
    for n in sizes["sizes"]:
        for count in sizes["batches"]:
            for learner in sizes.get("learners", LEARNERS):
                yield from cell(learner, n, count, sizes)


def cell(learner: str, n: int, count: int, sizes: dict[str, Any]) -> list[dict[str, Any]]:
    """One race; the number of rounds is such that the products take `work` operations or so."""
    name, cores = f"zero_sum-{n}x{n}", count_cores()
    games = instances(name, count)
    payoffs = payoffs_of(games).astype(np.float32)
    steps = max(20, int(sizes["flops"] / (4 * n * n * count)))
    fewer = max(20, steps // sizes["share"])
    slow = [numpy_einsum(learner, payoffs, fewer, cores)]
    slow += [numba(learner, payoffs, fewer, cores)] if sizes["share"] > 1 else []
    if fewer < steps:
        slow = [dataclasses.replace(r, answer=None, note=f"{fewer} steps") for r in slow]
    rivals = [*ours(learner, games, steps, cores), *slow, c_kernel(learner, payoffs, steps, cores)]
    per_step = 4e6 * n * n  # of a million game-iterations
    rivals = [dataclasses.replace(r, flops=per_step * r.amount) for r in rivals]

    def certify(answer: np.ndarray) -> np.ndarray:
        return nash_conv(payoffs.astype(np.float64), answer)

    facts = {"learner": learner, "instances": f"{name}-0..{count - 1}", "n": n, "B": count}
    facts |= {"steps": steps, "unit": "million game-iterations/s"}
    return race(facts, rivals, certify, tol=None, cores=cores, budget_s=sizes["budget_s"])


def ours(learner: str, games: Any, steps: int, cores: int) -> list[Rival]:
    """gamejax, for a fixed number of steps: `solve_batch` and `jax.vmap(solve)`."""
    solver = SelfPlay(LEARNERS[learner], averaging=Uniform())
    options: dict[str, Any] = {"max_steps": steps, "check_every": steps, "gap": None}
    options["dtype"] = "float32"
    both = (("gamejax", batch), ("gamejax, vmap(solve)", mapped))
    found = [entry(name, games, solver, 0.0, cores, **options) for name, entry in both]
    return [dataclasses.replace(r, amount=r.amount * steps / 1e6) for r in found]


def c_kernel(learner: Any, payoffs: np.ndarray, steps: int, cores: int) -> Rival:
    """Self-play by hand in C, a SIMD lane per game."""
    if not c_kernels.available():
        return Rival("C kernel", note="not installed: gcc")
    amount = len(payoffs) * steps / 1e6
    return Rival(
        "C kernel",
        lambda: c_kernels.self_play(payoffs, learner, steps, learning_rate=RATE, cores=cores),
        amount=amount,
        dtype="float32",
        version=peers.gcc(),
    )


def numba(learner: str, payoffs: np.ndarray, steps: int, cores: int) -> Rival:
    """Self-play by hand in numba, one game after another in each thread."""
    absent = missing(("numba", "quantecon"))
    if absent is not None:
        return Rival("numba", note=absent)
    from benchmarks import peer_numba

    code = c_kernels.LEARNERS[learner]
    return Rival(
        "numba",
        lambda: peer_numba.self_play(payoffs, code, steps, RATE),
        amount=len(payoffs) * steps / 1e6,
        dtype="float32",
        version=version("numba"),
        warm_up=lambda: peer_numba.self_play(payoffs[:2], code, 2, RATE),
    )


def numpy_einsum(learner: str, payoffs: np.ndarray, steps: int, cores: int) -> Rival:
    """Self-play on stacked arrays in NumPy, in threads where there are several cores."""
    games = len(payoffs)

    def call() -> np.ndarray:
        averages = np.empty((games, 2, payoffs.shape[1]), payoffs.dtype)

        def part(first: int, last: int) -> None:
            averages[first:last] = numpy_self_play(payoffs[first:last], learner, steps)

        c_kernels.in_threads(part, games, cores)
        return averages

    return Rival(
        "NumPy einsum",
        call,
        amount=games * steps / 1e6,
        dtype="float32",
        version=version("numpy"),
    )


def numpy_self_play(payoffs: np.ndarray, learner: str, steps: int) -> np.ndarray:
    """Uniform averages of simultaneous self-play, `(games, 2, n)`."""
    games, n, _ = payoffs.shape
    strategies = np.full((2, games, n), 1 / n, payoffs.dtype)
    memories, total = np.zeros_like(strategies), np.zeros_like(strategies)
    for _ in range(steps):
        total += strategies
        x, y = strategies
        utilities = np.stack(
            [np.einsum("gij,gj->gi", payoffs, y), -np.einsum("gij,gi->gj", payoffs, x)]
        )
        if learner == "Hedge":
            memories += utilities
            strategies = np.exp(RATE * (memories - memories.max(-1, keepdims=True)))
        else:
            value = np.einsum("pgi,pgi->pg", strategies, utilities)
            regrets = utilities - value[..., None]
            memories = np.maximum(memories + regrets, 0)
            ahead = memories + regrets if learner == "PRM+" else memories
            strategies = np.maximum(ahead, 0)
        norms = strategies.sum(-1, keepdims=True)
        strategies = np.where(norms > 0, strategies / np.where(norms > 0, norms, 1), 1 / n)
        strategies = strategies.astype(payoffs.dtype)
    return (total / steps).swapaxes(0, 1)


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Gamejax over C in every race of the goal's sizes."""
    found = []
    for key in dict.fromkeys((r["learner"], r["n"], r["B"]) for r in rows):
        learner, n, count = key
        race_rows = [r for r in rows if (r["learner"], r["n"], r["B"]) == key]
        ratio = over(
            fastest(race_rows, ours=True),
            next((r for r in race_rows if r["implementation"] == "C kernel"), None),
        )
        found.append(Goal(f"{learner}, n = {n}, B = {count}: speed over C", 0.8, ratio))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Speed against the number of actions at the largest batch, one picture per run."""
    found = []
    for environment, rows in runs:
        count, cores = max(row["B"] for row in rows), environment["cores"]
        path = folder / f"{label}-{cores}.png"
        caption = f"Million game-iterations per second, {count} games, {cores} core(s)"
        chosen = [row for row in rows if row["B"] == count]
        found.append(
            pictures.lines(
                chosen,
                path,
                caption,
                panel="learner",
                x="n",
                y="per_s",
                ylabel="million per second",
            )
        )
    return found

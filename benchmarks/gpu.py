"""How much faster is a GPU than one core of C, and kernels that stay on it than a scan?

Rows appear only where JAX has an accelerator. `scan` is the same program step by step
(`jax.vmap(play)`), the other entry lets the solver choose its kernels. Rivals in C run on
one core of the same machine, on as many games as they do in a second.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

import gamejax
from benchmarks import c_kernels, ours, peers
from benchmarks.contest import Rival, fastest, over, race
from benchmarks.instances import instances, nash_conv, payoffs_of
from benchmarks.report import Goal
from gamejax.solvers import SimplexMethod

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"play": ((4, 64),), "solve": ((8, 64),), "steps": 100, "budget_s": 0.0},
    "fast": {"play": ((8, 4096),), "solve": ((8, 4096),), "steps": 1000, "budget_s": 1.0},
    "full": {
        "play": ((4, 65536), (8, 65536), (16, 16384), (64, 4096)),
        "solve": ((8, 65536), (64, 4096)),
        "steps": 1000,
        "budget_s": 3.0,
    },
}
TOL = 1e-3


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """Nothing without an accelerator; self-play for a number of steps, then games solved."""
    if jax.default_backend() == "cpu":
        return
    sizes = PROFILES[profile]
    for n, count in sizes["play"]:
        yield from playing(n, count, sizes["steps"], sizes["budget_s"])
    for n, count in sizes["solve"]:
        yield from solving(n, count, sizes["budget_s"])


def playing(n: int, count: int, steps: int, budget_s: float) -> list[dict[str, Any]]:
    """Alternating PRM+ for a fixed number of steps: kernels, the scan, C."""
    name, solver = f"zero_sum-{n}x{n}", ours.REGRET_MATCHING
    games = instances(name, count)
    payoffs = payoffs_of(games)
    few = payoffs[: max(64, int(2e9 / (4 * n * n * steps)))].astype(np.float32)
    options: dict[str, Any] = {"max_steps": steps, "check_every": steps, "gap": None}
    kernel = ours.mapped("gamejax", games, solver, 0.0, 1, dtype="float32", **options)
    scan = jax.jit(
        jax.vmap(lambda game: gamejax.play(game, solver, steps, record=steps).solution.profile)
    )
    rivals = [
        kernel,
        dataclasses.replace(
            kernel,
            name="gamejax, scan",
            call=lambda: scan(games),
            answer=lambda profile: np.stack([np.asarray(x) for x in profile], 1),
        ),
        Rival(
            "C kernel",
            lambda: c_kernels.self_play(few, "PRM+", steps, alternating=True, power=2),
            amount=len(few),
            dtype="float32",
            version=peers.gcc(),
        )
        if c_kernels.available()
        else Rival("C kernel", note="not installed: gcc"),
    ]
    scale = steps / 1e6
    rivals = [
        dataclasses.replace(r, amount=r.amount * scale, flops=4.0 * n * n * r.amount * steps)
        for r in rivals
    ]
    facts = {"task": "play", "instances": f"{name}-0..{count - 1}", "n": n, "B": count}
    return race(
        facts | {"steps": steps, "unit": "million game-iterations/s"},
        rivals,
        lambda answer: nash_conv(payoffs[: len(answer)], answer),
        tol=None,
        cores=1,
        budget_s=budget_s,
    )


def solving(n: int, count: int, budget_s: float) -> list[dict[str, Any]]:
    """Games solved to 1e-3, exactly by the simplex methods."""
    name = f"zero_sum-{n}x{n}"
    games = instances(name, count)
    payoffs = payoffs_of(games)
    play: dict[str, Any] = {"dtype": "float32", "check_every": 50}
    rivals = [
        ours.batch("gamejax SimplexMethod", games, SimplexMethod(), TOL, 1, dtype="float64"),
        ours.batch("gamejax PRM+", games, ours.REGRET_MATCHING, TOL, 1, **play),
        ours.mapped("gamejax PRM+, vmap(solve)", games, ours.REGRET_MATCHING, TOL, 1, **play),
        peers.c_simplex(payoffs, 1, 1.0),
        peers.c_regret_matching(payoffs[:512], TOL, 1, max_steps=100_000, check_every=50),
    ]
    facts = {"task": "solve", "instances": f"{name}-0..{count - 1}", "n": n, "B": count}
    return race(
        facts | {"unit": "games/s"},
        rivals,
        lambda answer: nash_conv(payoffs[: len(answer)], answer),
        tol=TOL,
        cores=1,
        budget_s=budget_s,
    )


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """The kernels over the scan, the accelerator over one core of C."""
    found = []
    for n in (4, 8, 16):
        play = {r["implementation"]: r for r in rows if r["task"] == "play" and r["n"] == n}
        ratio = over(play.get("gamejax"), play.get("gamejax, scan"))
        found.append(Goal(f"n = {n}: kernels over the scan", 10.0, ratio))
    for n, rival, wanted in ((8, "C simplex", 20.0), (64, "C PRM+", 50.0)):
        solved = [r for r in rows if r["task"] == "solve" and r["n"] == n]
        peer = next((r for r in solved if r["implementation"] == rival), None)
        ratio = over(fastest(solved, ours=True), peer)
        found.append(Goal(f"{n} x {n}: games per second over one core of {rival}", wanted, ratio))
    return found

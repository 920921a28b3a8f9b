"""How fast are coarse correlated equilibria of 256 games of three players, 8 x 8 x 8, found?

Two tasks: any coarse correlated equilibrium, and the one of largest welfare, for which the
certificate is the larger of the gap and of what the welfare falls short of the optimum.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ours, peer_loops, peers, pictures
from benchmarks.contest import Rival, fastest, over, race
from benchmarks.devices import count_cores
from benchmarks.instances import coarse_correlated_gap, instances, payoffs_of, welfare
from benchmarks.report import Goal, Picture, Run
from gamejax.learners import PredictiveRegretMatchingPlus
from gamejax.solvers import CorrelatedEquilibrium, SelfPlay, Uniform

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"n": 2, "games": 64, "budget_s": 0.0, "limit_s": 0.01, "peers": False},
    "fast": {"n": 8, "games": 64, "budget_s": 0.3, "limit_s": 0.3, "peers": True},
    "full": {"n": 8, "games": 256, "budget_s": 8.0, "limit_s": 4.0, "peers": True},
}
EXACT, ROUGH = 1e-7, 1e-3
TRIED = """
HiGHS gets the linear program with one variable per pure profile and one row per player and action,
assembled by NumPy from the payoffs; it is the same for both tolerances, as its answers are exact.
For the first task its objective is zero.
"""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """Both tasks at both tolerances."""
    sizes, cores = PROFILES[profile], count_cores()
    n, count = sizes["n"], sizes["games"]
    name = f"general_sum-{n}x{n}x{n}"
    games = instances(name, count)
    payoffs = payoffs_of(games)
    for task, tol in (("any", ROUGH), ("welfare", ROUGH), ("welfare", EXACT)):
        facts = {"task": task, "instances": f"{name}-0..{count - 1}", "n": n, "B": count}
        rivals = gamejax_rivals(task, games, tol, cores)
        if sizes["peers"]:
            loop = peer_loops.coarse_welfare if task == "welfare" else peer_loops.coarse_any
            rivals.append(peers.rival(highs(loop), payoffs, cores, sizes["limit_s"]))
        yield from race(
            facts | {"unit": "games/s"},
            rivals,
            certificate(task, payoffs),
            tol=tol,
            cores=cores,
            budget_s=sizes["budget_s"],
        )


def highs(loop: peer_loops.Loop) -> peers.Peer:
    """HiGHS on this linear program."""
    solve = peers.in_loop(loop)
    return peers.Peer("scipy HiGHS", ("scipy",), "scipy", solve, slow=True)


def gamejax_rivals(task: str, games: Any, tol: float, cores: int) -> list[Rival]:
    """Self-play where any equilibrium will do, the interior-point method for both tasks."""
    dtype = "float32" if tol == ROUGH else "float64"
    options: dict[str, Any] = {"gap": None, "answer": joints, "dtype": dtype, "check_every": 4}
    solver = CorrelatedEquilibrium(coarse=True, accuracy=tol / 10)
    found = [ours.batch("gamejax CorrelatedEquilibrium", games, solver, tol, cores, **options)]
    if task == "any":
        options["check_every"] = 50
        play = SelfPlay(PredictiveRegretMatchingPlus(), averaging=Uniform(), output="joint")
        found.append(ours.batch("gamejax PRM+, joint", games, play, tol, cores, **options))
    return found


def joints(solution: Any) -> np.ndarray:
    """The joint distributions of a stacked solution."""
    return np.asarray(solution.profile.probabilities, np.float64)


def certificate(task: str, payoffs: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The gap; for the second task also what is missing of the welfare that HiGHS finds."""
    if task == "any":
        return lambda answer: coarse_correlated_gap(payoffs[: len(answer)], answer)
    best = welfare(payoffs, peer_loops.coarse_welfare(payoffs))

    def certify(answer: np.ndarray) -> np.ndarray:
        games = payoffs[: len(answer)]
        short = best[: len(answer)] - welfare(games, answer)
        return np.maximum(coarse_correlated_gap(games, answer), short)

    return certify


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """The speed of gamejax over HiGHS at 1e-3."""
    found = []
    for task in ("any", "welfare"):
        race_rows = [r for r in rows if r["task"] == task and r["tol"] == ROUGH]
        peer = next((r for r in race_rows if r["implementation"] == "scipy HiGHS"), None)
        ratio = over(fastest(race_rows, ours=True), peer)
        found.append(Goal(f"{task}: speed over HiGHS at 1e-3", 20.0, ratio))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """A bar per rival, task and run."""
    return [pictures.speeds(runs, folder / f"{label}.png", "Games per second", by=("task", "tol"))]

"""How fast are thousands of 8 x 8 zero-sum games solved, to 1e-3 and exactly?"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ours, peers, pictures
from benchmarks.contest import Rival, fastest, over, race
from benchmarks.devices import count_cores
from benchmarks.instances import instances, nash_conv, payoffs_of
from benchmarks.report import Goal, Picture, Run
from gamejax.solvers import SimplexMethod

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"n": 3, "games": 64, "budget_s": 0.0, "limit_s": 0.01, "all": False},
    "fast": {"n": 8, "games": 1024, "budget_s": 0.3, "limit_s": 0.3, "all": True},
    "full": {"n": 8, "games": 4096, "budget_s": 6.0, "limit_s": 1.0, "all": True},
}
EXACT, ROUGH = 1e-9, 1e-3
TRIED = """
The rivals have their fastest settings that solve the games: quantecon's `minmax` stands in one
compiled `prange` loop over all games; HiGHS solves one linear program per game and reads the other
strategy off its multipliers; MPAX is mapped over the games in float32 at a tenth of the tolerance
(at the tolerance itself one game in a thousand stays above it); Python loops run in one process
per core, on as many games as the note says. The C simplex keeps the nonbasic columns only; C PRM+
drops 16 games at a time once all of them are within the tolerance. OpenSpiel's linear program
imports cvxpy, which OpenSpiel does not install. `solve_batch` drops finished games and pays for
it with work on the host; `vmap(solve)` is one program, which on a CPU takes 64 games at a time and
runs to the slowest of these (2.5 times faster, PRM+, than running to the slowest of all).
"""
FAR_BEHIND = ("scipy HiGHS", "nashpy", "pygambit lp_solve", "OpenSpiel LP", "MPAX raPDHG, vmapped")


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """All rivals at both tolerances; an exact answer is within 1e-3 too."""
    sizes, cores = PROFILES[profile], count_cores()
    n, count = sizes["n"], sizes["games"]
    name = f"zero_sum-{n}x{n}"
    games = instances(name, count)
    payoffs = payoffs_of(games)
    facts = {"instances": f"{name}-0..{count - 1}", "n": n, "B": count, "unit": "games/s"}

    def certify(answer: Any) -> Any:
        return nash_conv(payoffs[: len(answer)], answer)

    for tol in (EXACT, ROUGH):
        rivals = [
            *gamejax_rivals(games, n, tol, cores, sizes["all"]),
            *others(payoffs, tol, cores, sizes),
        ]
        yield from race(facts, rivals, certify, tol=tol, cores=cores, budget_s=sizes["budget_s"])


def gamejax_rivals(games: Any, n: int, tol: float, cores: int, both: bool) -> list[Rival]:
    """Entries through `solve_batch` and, where `both`, through `vmap(solve)`."""
    entries = (("", ours.batch), (", vmap(solve)", ours.mapped))[: 1 + both]
    found = [
        entry(f"gamejax SimplexMethod{how}", games, SimplexMethod(), tol, cores, dtype="float64")
        for how, entry in entries
    ]
    if tol == EXACT:
        return found
    options: dict[str, Any] = {"dtype": "float32", "check_every": 50}
    found += [
        entry(f"gamejax PRM+{how}", games, ours.REGRET_MATCHING, tol, cores, **options)
        for how, entry in entries
    ]
    counted = dataclasses.replace(found[-len(entries)], flops=ours.product_flops(n))
    return [*found[: -len(entries)], counted, *found[len(found) + 1 - len(entries) :]]


def others(payoffs: Any, tol: float, cores: int, sizes: dict[str, Any]) -> list[Rival]:
    """The peers for this tolerance."""
    limit = sizes["limit_s"]
    slow = peers.ZERO_SUM if sizes["all"] else peers.ZERO_SUM[:0]
    found = [peers.c_simplex(payoffs, cores, limit), *peers.rivals(slow, payoffs, cores, limit)]
    if tol == ROUGH:
        found.append(
            peers.c_regret_matching(payoffs, tol, cores, max_steps=100_000, check_every=50)
        )
        found += [peers.mpax(payoffs, tol, cores, limit)] if sizes["all"] else []
    return found


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """The speed of gamejax over each rival's."""
    exact = {r["implementation"]: r for r in rows if r["tol"] == EXACT}
    rough = {r["implementation"]: r for r in rows if r["tol"] == ROUGH}
    best = fastest(list(exact.values()), ours=True)
    found = [
        Goal("exact: speed over quantecon", 2.0, over(best, exact.get("quantecon minmax"))),
        Goal("exact: speed over the C simplex", 1 / 3, over(best, exact.get("C simplex"))),
    ]
    for name in FAR_BEHIND:
        row = (rough if name.startswith("MPAX") else exact).get(name)
        found.append(Goal(f"speed over {name}", 100.0, over(best, row)))
    plays = [row for name, row in rough.items() if "PRM+" in name]
    found.append(
        Goal(
            "PRM+ to 1e-3: speed over C", 0.8, over(fastest(plays, ours=True), rough.get("C PRM+"))
        )
    )
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """A bar per rival, tolerance and run."""
    return [pictures.speeds(runs, folder / f"{label}.png", "Games per second", by=("tol",))]

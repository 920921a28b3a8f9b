"""Who is fastest at solving B zero-sum games of n actions to a tolerance, over the whole map?

Exact methods count for both tolerances. Calls that are predicted to take too long or games that
take too much memory are left out, and said so in the JSON file. Packages that loop over games in
Python are timed once per n, on a few games: their speed per game does not depend on B.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ours, peers, pictures
from benchmarks.contest import Rival, compared, fastest, race
from benchmarks.devices import count_cores
from benchmarks.instances import instances, nash_conv, payoffs_of
from benchmarks.report import Goal, Picture, Run
from gamejax.solvers import Polished, SimplexMethod

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"sizes": (2,), "batches": (64,), "budget_s": 0.0, "cap_s": 1.0, "slow": False},
    "fast": {"sizes": (3, 16), "batches": (1, 256), "budget_s": 0.1, "cap_s": 1.0, "slow": True},
    "full": {
        "sizes": (2, 3, 16, 64, 256, 1024),
        "batches": (1, 16, 64, 256, 1024, 4096, 16384),
        "budget_s": 0.25,
        "cap_s": 1.0,
        "slow": True,
    },
}
ROUGH, FINE = 1e-3, 1e-6
TRIED = """
gamejax takes part with `SimplexMethod` in float64 (through `vmap(solve)`, which has the least work
on the host), with alternating PRM+ in float32 for 1e-3 and with polished PRM+ in float64 for 1e-6.
A call of a JAX program costs a good part of a millisecond before the first game is touched, so
that cells of few small games belong to compiled loops; cells with B < 64 are no goal. Where games
have 2 or 3 actions a pivot is a few nanoseconds of scalar code, and an answer of ours holds more:
the certificate, payoffs and regrets of every game are computed again from the strategies. From 16
actions on what is missing is that all games of a part pivot until its last is done, and, for PRM+,
that XLA's batched products pass twice over a game that C keeps in registers and in the first cache.
"""
MOST_BYTES = 600e6
GROWTH = 3.0
"""Seconds per game grow about with this power of n: to predict the first call of a size."""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """All cells; with several cores only those where there is something to spread."""
    sizes, cores, known = PROFILES[profile], count_cores(), Speeds(PROFILES[profile]["cap_s"])
    for n in sizes["sizes"]:
        loops: list[dict[str, Any]] = []
        for count in sizes["batches"]:
            if count * n * n * 8 > MOST_BYTES or (count < 64 and cores > 1):
                continue
            name = f"zero_sum-{n}x{n}"
            games = instances(name, count)
            payoffs = payoffs_of(games)
            facts = {"instances": f"{name}-0..{count - 1}", "n": n, "B": count, "unit": "games/s"}
            if sizes["slow"] and not loops:
                loops = slow_rows(payoffs, cores, known)
            found = cell(games, payoffs, facts, cores, known, sizes["budget_s"])
            found += [row | facts | {"note": row["note"]} for row in loops]
            yield from at_both_tolerances(found)


@dataclasses.dataclass
class Speeds:
    """Seconds that calls took, to predict those of the next cell; short ones predict nothing.

    Attributes:
        cap_s: what a call may take.
        found: by rival and number of actions, number of games and seconds of each call.
    """

    cap_s: float
    found: dict[tuple[str, int], list[tuple[int, float]]] = dataclasses.field(default_factory=dict)

    def note(self, row: dict[str, Any]) -> None:
        """Remember a row, as if it had done all games of its cell."""
        if row.get("per_s"):
            calls = self.found.setdefault((row["implementation"], row["n"]), [])
            calls.append((row["B"], row["B"] / row["per_s"]))

    def expected(self, name: str, n: int, count: int) -> float:
        """Seconds of a call, 0 where it is worth a try."""
        if (name, n) in self.found:
            batch, seconds = self.found[name, n][-1]
            return 0.0 if seconds < self.cap_s / 20 else seconds * count / batch
        size = max((size for who, size in self.found if who == name), default=None)
        if size is None:
            return 0.0
        batch, seconds = self.found[name, size][0]
        if seconds < self.cap_s / 50:
            return 0.0
        return seconds * (n / size) ** GROWTH * max(1.0, count / batch)

    def admit(self, rival: Rival, n: int, count: int) -> Rival:
        """The rival, or a line in its place that says why it is left out."""
        seconds = self.expected(rival.name, n, count)
        if rival.call is None or seconds <= self.cap_s:
            return rival
        return dataclasses.replace(rival, call=None, note=f"left out: about {seconds:.0f} s")


def cell(
    games: Any,
    payoffs: np.ndarray,
    facts: dict[str, Any],
    cores: int,
    known: Speeds,
    budget_s: float,
) -> list[dict[str, Any]]:
    """gamejax, quantecon and C on all games of a cell."""
    n, count = facts["n"], facts["B"]
    steps = {ROUGH: 20_000, FINE: 20_000}
    simplex = ours.mapped(
        "gamejax SimplexMethod", games, SimplexMethod(), FINE, cores, dtype="float64"
    )
    play = ours.batch(
        "gamejax PRM+", games, ours.REGRET_MATCHING, ROUGH, cores, dtype="float32",
        check_every=50, max_steps=steps[ROUGH],
    )  # fmt: skip
    polished = ours.batch(
        "gamejax PRM+, polished", games, Polished(ours.REGRET_MATCHING), FINE, cores,
        dtype="float64", check_every=100, max_steps=steps[FINE],
    )  # fmt: skip
    rivals = [
        dataclasses.replace(simplex, tol=FINE),
        dataclasses.replace(play, tol=ROUGH),
        dataclasses.replace(polished, tol=FINE),
    ]
    for tol in (ROUGH, FINE):
        played = peers.c_regret_matching(payoffs, tol, cores, max_steps=steps[tol], check_every=50)
        rivals.append(dataclasses.replace(played, name=f"C PRM+ to {tol:g}", tol=tol))
    limit = known.cap_s / 4
    for name, build in (
        ("C simplex", lambda: peers.c_simplex(payoffs, cores, limit)),
        ("quantecon minmax", lambda: peers.rival(peers.ZERO_SUM[0], payoffs, cores, limit)),
    ):
        # Even one game may take too long, and choosing how many are timed solves one.
        alone = known.expected(name, n, cores)
        rivals.append(
            dataclasses.replace(build(), tol=FINE)
            if alone <= known.cap_s
            else Rival(name, tol=FINE, note=f"left out: about {alone:.0f} s for a game")
        )
    admitted = [r if r.name in LOOPS else known.admit(r, n, count) for r in rivals]
    found = race(
        facts,
        admitted,
        lambda answer: nash_conv(payoffs[: len(answer)], answer),
        tol=FINE,
        cores=cores,
        budget_s=budget_s,
        max_calls=5,
    )
    for row in found:
        known.note(row)
    return found


LOOPS = ("C simplex", "quantecon minmax")


def slow_rows(payoffs: np.ndarray, cores: int, known: Speeds) -> list[dict[str, Any]]:
    """The packages whose speed per game does not depend on how many there are, on a few games."""
    n = payoffs.shape[-1]
    few = payoffs if len(payoffs) > 1 else payoffs_of(instances(f"zero_sum-{n}x{n}", 64))
    certify = lambda answer: nash_conv(few[: len(answer)], answer)  # noqa: E731
    found = []
    for peer in peers.ZERO_SUM[1:]:
        alone = known.expected(peer.name, n, 1)
        if alone > known.cap_s / 2:
            rivals = [Rival(peer.name, tol=FINE, note=f"left out: about {alone:.0f} s for a game")]
        else:
            rivals = [dataclasses.replace(peers.rival(peer, few, cores, 0.2), tol=FINE)]
        found += race({"n": n, "B": 1}, rivals, certify, tol=FINE, cores=cores, budget_s=0.0)
    for tol in (ROUGH, FINE):
        name = f"MPAX raPDHG to {tol:g}"
        if known.expected(name, n, 64) > known.cap_s:
            rivals = [Rival(name, tol=tol, note="left out: too long")]
        else:
            rivals = [dataclasses.replace(peers.mpax(few, tol, cores, 0.2), name=name, tol=tol)]
        found += race({"n": n, "B": 64}, rivals, certify, tol=tol, cores=cores, budget_s=0.0)
    for row in found:
        known.note(row)
    return found


def at_both_tolerances(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of one cell at 1e-3 (exact methods too) and at 1e-6, compared within each."""
    only_rough = [row for row in rows if row["tol"] == ROUGH]
    fine = [row for row in rows if row["tol"] == FINE]
    exact = [row | {"tol": ROUGH} for row in fine if is_exact(row["implementation"])]
    yield from compared(only_rough + exact)
    yield from compared(fine)


def is_exact(name: str) -> bool:
    """Whether the method knows no tolerance."""
    return "PRM+" not in name and "MPAX" not in name


def digest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per cell: gamejax's fastest, the fastest of the others, who is first."""
    found = []
    for key in dict.fromkeys((row["tol"], row["n"], row["B"]) for row in rows):
        inside = [row for row in rows if (row["tol"], row["n"], row["B"]) == key]
        best, peer = fastest(inside, ours=True), fastest(inside, ours=False)
        line = dict(zip(("tol", "n", "B"), key, strict=True))
        line |= {
            "gamejax": best and best["implementation"],
            "games/s": best and best["per_s"],
            "fastest peer": peer and peer["implementation"],
            "its games/s": peer and peer["per_s"],
            "speed over it": best["per_s"] / peer["per_s"] if best and peer else None,
            "certificate": best and best["certificate"],
            "its certificate": peer and peer["certificate"],
        }
        found.append(line)
    return found


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """In how many cells gamejax is first."""
    found = []
    for tol in (ROUGH, FINE):
        cells = [line for line in digest(rows) if line["tol"] == tol and line["B"] >= 64]
        first = [line for line in cells if (line["speed over it"] or 0) >= 1]
        share = len(first) / len(cells) if cells else None
        found.append(Goal(f"to {tol:g}: share of the cells with B >= 64 led", 1.0, share))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """A map per tolerance and run."""
    found = []
    for environment, rows in runs:
        for tol in (ROUGH, FINE):
            cells = {
                (line["n"], line["B"]): (line["speed over it"], short(line["fastest peer"]))
                for line in digest(rows)
                if line["tol"] == tol and line["speed over it"]
            }
            cores = environment["cores"]
            path = folder / f"{label}-{cores}-{tol:g}.png"
            caption = f"Speed over the fastest peer (named) to {tol:g}, {cores} core(s)"
            found.append(pictures.ratios(cells, path, caption))
    return found


def short(name: str) -> str:
    """The name that fits into a cell."""
    return name.replace("quantecon minmax", "quantecon").split(" to ")[0]

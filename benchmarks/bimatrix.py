"""How fast is one exact Nash equilibrium of each of thousands of 8 x 8 bimatrix games found?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ours, peers, pictures
from benchmarks.contest import fastest, over, race
from benchmarks.devices import count_cores
from benchmarks.instances import instances, nash_conv, payoffs_of
from benchmarks.report import Goal, Picture, Run
from gamejax.solvers import LemkeHowson

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"n": 3, "games": 64, "budget_s": 0.0, "limit_s": 0.01, "slow": False},
    "fast": {"n": 8, "games": 1024, "budget_s": 0.3, "limit_s": 0.3, "slow": True},
    "full": {"n": 8, "games": 4096, "budget_s": 6.0, "limit_s": 1.0, "slow": True},
}
EXACT = 1e-9
TRIED = """
quantecon's solver stands here twice: as it is called, and, as its authors could not, in one
compiled `prange` loop over all games around its inner functions, without the Python objects that
the public call builds per game. All rivals start from the first label. A pivot of ours costs about
as much as one of that loop's for each of 256 games side by side, but all of them pivot until the
last has arrived, and a row is picked by a pass over all rows.
"""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """All rivals on the same games."""
    sizes, cores = PROFILES[profile], count_cores()
    n, count = sizes["n"], sizes["games"]
    name = f"general_sum-{n}x{n}"
    games = instances(name, count)
    payoffs = payoffs_of(games)
    rivals = [
        ours.batch("gamejax LemkeHowson", games, LemkeHowson(), EXACT, cores, dtype="float64"),
        ours.mapped(
            "gamejax LemkeHowson, vmap(solve)", games, LemkeHowson(), EXACT, cores, dtype="float64"
        ),
    ]
    if sizes["slow"]:
        rivals += peers.rivals(peers.BIMATRIX, payoffs, cores, sizes["limit_s"])
    facts = {"instances": f"{name}-0..{count - 1}", "n": n, "B": count, "unit": "games/s"}
    yield from race(
        facts,
        rivals,
        lambda answer: nash_conv(payoffs[: len(answer)], answer),
        tol=EXACT,
        cores=cores,
        budget_s=sizes["budget_s"],
    )


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """The speed of gamejax over quantecon's, as it is called and as a compiled loop."""
    ours_, found = fastest(rows, ours=True), []
    for how in (", public call", ""):
        name = f"quantecon lemke_howson{how}"
        peer = next((r for r in rows if r["implementation"] == name), None)
        found.append(Goal(f"speed over {name}", 3.0, over(ours_, peer)))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """A bar per rival and run."""
    return [pictures.speeds(runs, folder / f"{label}.png", "Games per second, exact Nash")]

"""How many iterations of CFR+ per second on a tree, how soon is it solved, and how many at once?

Task "iterations": as many iterations of CFR+ as `iterations` says, players moving in turn, linear
averages. `per_s` is iterations per second; OpenSpiel averages the strategies before an update, the
others those after it, so that certificates differ a little at equal numbers of iterations. gamejax
plays in float32 through `solve`, whose certificates are in the time.

Task "to TOL": seconds until the exploitability is at most that; `per_s` is its inverse. Rivals
without a certificate of their own play as many iterations as gamejax's CFR+ needs.

Task "variations": a thousand games on one tree, payoffs times 1 + 0.2 N(0, 1), with `solve_batch`
and `jax.vmap(solve)`; `per_s` is games times iterations per second, certificates of 16 of them.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gamejax
from benchmarks import pictures
from benchmarks.contest import Rival, fastest, over, race
from benchmarks.devices import count_cores, mesh, over_devices, place
from benchmarks.report import Goal, Picture, Run
from benchmarks.tree_peers import Certificate, in_history, lite_efg, open_spiel, tree
from gamejax import extensive, metrics
from gamejax.extensive import SequenceFormGame, library
from gamejax.solvers import AbstractSolver

ASKS = __doc__ or ""
PEERS = {"C++": 0, "LiteEFG": 0}
"""Peers that play; 0 iterations are as many as gamejax plays."""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "iterations": {"Kuhn": PEERS | {"gamejax": 50}},
        "to": {"Kuhn": 1e-2},
        "variations": {"Kuhn": (16, 50)},
        "repeats": 1,
    },
    "fast": {
        "iterations": {
            "Kuhn": PEERS | {"gamejax": 5_000},
            "Leduc": PEERS | {"gamejax": 20},
        },
        "to": {"Kuhn": 1e-3},
        "variations": {"Kuhn": (1024, 1000)},
        "repeats": 3,
    },
    "full": {
        "iterations": {
            "Kuhn": PEERS | {"gamejax": 50_000, "JAX": 5_000, "Python": 300},
            "Leduc": PEERS | {"gamejax": 1000, "JAX": 1000, "Python": 3},
            "Goofspiel 4": PEERS | {"gamejax": 1000, "JAX": 1000, "Python": 20},
            "Liar's dice": PEERS | {"gamejax": 40},
        },
        "to": {"Kuhn": 1e-4, "Leduc": 2e-3},
        "variations": {"Kuhn": (1024, 10_000), "Leduc": (1024, 1000)},
        "repeats": 5,
    },
}  # fmt: skip
SOLVERS: dict[str, Callable[[], AbstractSolver]] = {
    "CFR+": extensive.cfr_plus,
    "DCFR": extensive.discounted_cfr,
    "PCFR+": extensive.predictive_cfr_plus,
}
NOISE, CERTIFIED = 0.2, 16
TRIED = """
What makes an iteration fast, and what did not (float32, one core of a loaded machine, CPU time):

- payoffs as rows of sequences, gathered and added; rows of similar length in one block, the terms
  of a block spelled out, the sums put in order by a gather. Against one table padded to the longest
  row: Leduc with suits 30,000 to 38,000 iterations/s (18,000 without a compiler option that keeps
  sums out of a library, which now changes nothing), a thousand ranks-only Leducs 0.31 M to 0.46 M;
- a single block that needs no order, and hence no gather, halves the speed of a thousand Kuhns: XLA
  then computes the sums again in every kernel that reads them, and a barrier does not stop it;
- under `jax.vmap` the loop is run with the batch in the last axis, part by part (2 MiB, at most 256
  games): `jax.vmap` alone moves it to the front at every gather, and is six times slower;
- one kernel for a whole iteration, the form that is fastest for small matrix games, is far too long
  for a tree;
- not tried: one width per level. In Liar's dice six of seven behaviors are padding; the prototype's
  factor of 50 was measured against 2.6 to 3.2 iterations/s of OpenSpiel, which plays 7 here;
- a thousand Kuhns: 19 to 20 M in steps alone, parts of 256; the rest goes into certificates and
  into turning the batch every 128 iterations; `jax.vmap(solve)` takes 64 games at a time.
"""
WANTED = {"Kuhn": 5.0, "Leduc": 70.0, "Goofspiel 4": 5.0, "Liar's dice": 50.0}
"""Times the best peer, from prototypes."""
AT_ONCE = {"Kuhn": 19e6, "Leduc": 0.25e6}
"""Games times iterations per second and core, from prototypes."""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """All tasks, game by game."""
    sizes = PROFILES[profile]
    for name, counts in sizes["iterations"].items():
        yield from iterations(name, counts, sizes["repeats"])
    for name, tol in sizes["to"].items():
        yield from solved(name, tol, sizes["repeats"])
    for name, (count, steps) in sizes["variations"].items():
        yield from variations(name, count, steps)


def iterations(name: str, counts: dict[str, int], repeats: int) -> Iterator[dict[str, Any]]:
    """A number of iterations of CFR+ on one game."""
    game, steps = tree(name), counts["gamejax"]
    counts = {key: count or steps for key, count in counts.items()}
    rivals = [mine("gamejax CFR+", game, extensive.cfr_plus(), steps, repeats)]
    if game.merged is not None:
        plain = extensive.cfr_plus(merge=False)
        rivals.append(mine("gamejax CFR+, nothing merged", game, plain, steps, repeats))
    for how in ("C++", "JAX", "Python"):
        rivals += [open_spiel(name, how, counts[how], game)] if how in counts else []
    rivals.append(lite_efg(name, counts["LiteEFG"], game))
    facts = {"task": "iterations", "game": name, "nodes": len(game.form.history.parent)}
    for row in once(facts, rivals, Certificate(game), None):
        played = [n for key, n in counts.items() if key in row["implementation"]]
        yield row | {"iterations": played[0] if played else None}


def solved(name: str, tol: float, repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds to an exploitability."""
    game = tree(name)
    rivals, needed = [], 0
    for label, make in SOLVERS.items():
        rival = mine(f"gamejax {label}", game, make(), 100_000, repeats, tol=tol, every=25)
        rivals.append(rival)
        if label == "CFR+" and rival.call is not None:
            needed = int(rival.call().stats["num_steps"])
    peers = [open_spiel(name, "C++", needed, game), lite_efg(name, needed, game)]
    rivals += [dataclasses.replace(peer, amount=1.0) for peer in peers]
    facts = {"task": f"to {tol:g}", "game": name, "nodes": len(game.form.history.parent)}
    yield from once(facts, rivals, Certificate(game), tol)


def variations(name: str, count: int, steps: int) -> Iterator[dict[str, Any]]:
    """Many games on one tree at once."""
    cores = count_cores()
    game = library.leduc(suits_seen=False) if name == "Leduc" else library.kuhn()
    # Leaves of one payoff entry vary together: the game stays as small as it is.
    noise = np.random.default_rng(0).standard_normal((count, game.form.num_entries))
    factors = (1 + NOISE * noise)[:, game.form.leaf_entry]
    games = single(game).variations(single(np.asarray(game.payoffs) * factors[:, None]))
    solver = extensive.cfr_plus()
    chosen = np.linspace(0, count - 1, min(count, CERTIFIED)).astype(int)
    limits: dict[str, Any] = {"tol": 0.0, "max_steps": steps, "check_every": steps}

    def batch() -> Any:
        return gamejax.solve_batch(games, solver, mesh=mesh(cores), **limits).profile

    mapped = over_devices(jax.vmap(lambda own: gamejax.solve(own, solver, **limits).profile), cores)
    spread = place(games, cores)

    def certify(profiles: Any) -> np.ndarray:
        found = []
        for k in chosen:
            own = game.with_payoffs(np.asarray(games.payoffs[k], np.float64))
            plans = [jnp.asarray(np.asarray(x[k], np.float64)) for x in profiles]
            found.append(Certificate(own)(in_history(own, plans)))
        return np.concatenate(found)

    calls = {"solve_batch": batch, "vmap(solve)": lambda: mapped(spread)}
    rivals = [
        Rival(f"gamejax CFR+, {how}", call, count * steps, _as_is, ours=True, dtype="float32")
        for how, call in calls.items()
    ]
    facts = {"task": "variations", "game": name, "nodes": len(game.form.history.parent)}
    found = race(facts, rivals, certify, tol=None, cores=cores, budget_s=3.0, max_calls=3)
    yield from (row | {"iterations": steps, "games": count} for row in found)


def mine(
    label: str,
    game: SequenceFormGame,
    solver: AbstractSolver,
    steps: int,
    repeats: int,
    *,
    tol: float = 0.0,
    every: int | None = None,
) -> Rival:
    """`gamejax.solve`, several times over."""
    small = single(game)

    def one() -> Any:
        return gamejax.solve(
            small,
            solver,
            gap=metrics.exploitability,
            tol=tol,
            max_steps=steps,
            check_every=every or steps,
        )

    def call() -> Any:
        for _ in range(repeats - 1):
            jax.block_until_ready(one())
        return one()

    amount = repeats * (1 if tol else steps)

    def answer(solution: Any) -> Any:
        return in_history(game, solution.profile)

    return Rival(label, call, amount, answer, ours=True, dtype="float32")


def once(
    facts: dict[str, Any],
    rivals: Sequence[Rival],
    certify: Certificate,
    tol: float | None,
) -> Iterator[dict[str, Any]]:
    """The rivals, each called once: most cannot start anew."""
    yield from race(facts, rivals, certify, tol=tol, cores=1, budget_s=0.0, max_calls=1)  # pyright: ignore[reportArgumentType]


def single(tree: Any) -> Any:
    """All numbers in float32."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


def _as_is(answer: Any) -> Any:
    return answer


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Over the best peer, game by game; games at once."""
    found = []
    for name, wanted in WANTED.items():
        own = [r for r in rows if r["task"] == "iterations" and r["game"] == name]
        ratio = over(fastest(own, ours=True), fastest(own, ours=False))
        found.append(Goal(f"{name}, iterations over the best peer's", wanted, ratio))
    for name, wanted in AT_ONCE.items():
        own = [r for r in rows if r["task"] == "variations" and r["game"] == name]
        best = fastest(own, ours=True)
        per_core = None if best is None else best["per_s"] / best["cores"]
        found.append(Goal(f"{name}, games times iterations per second and core", wanted, per_core))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Iterations per second on one game."""
    single_games = [(facts, [r for r in rows if r["task"] == "iterations"]) for facts, rows in runs]
    caption = "Iterations of CFR+ per second on one game, gamejax in blue."
    return [pictures.speeds(single_games, folder / f"{label}.png", caption, by=("game",))]

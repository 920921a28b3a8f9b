"""What does a sampled iteration of CFR cost, and what is it worth, beside a whole one?

Every rival plays `iterations` iterations of counterfactual regret minimization with uniform
averages; `per_s` is iterations per second, `certificate` the exploitability that came of them.
`leaves` is how many payoffs an iteration reads, on average at most: all of them without sampling.
OpenSpiel's C++ averages in its own way (stochastically, along what it visits). Float64.
"""

import importlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

import gamejax
from benchmarks.contest import Rival, missing, over, race, version
from benchmarks.report import Goal
from benchmarks.tree_peers import SPIEL, Certificate, in_history, tree
from gamejax import extensive
from gamejax.extensive import SequenceFormGame
from gamejax.extensive._descent import descent

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, int]] = {
    "tiny": {"Kuhn": 50},
    "fast": {"Kuhn": 5_000},
    "full": {"Kuhn": 50_000, "Leduc": 10_000, "Liar's dice": 100},
}
KINDS = ("external", "outcome", "chance")
SPIELS = {"external": "ExternalSamplingMCCFRSolver", "outcome": "OutcomeSamplingMCCFRSolver"}
TRIED = """
A walk down the tree costs a few numbers per level, but the learners of all information sets move in
every iteration, as they do without sampling: arrays of fixed shape have no cheap "the others stay".
So an iteration never costs less than a pass over the sets, and what is gained is at most what the
payoffs cost. Programs that touch only what they visit win by far where a tree has many sets.
"""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One race per game."""
    for name, iterations in PROFILES[profile].items():
        game = tree(name)
        rivals = [mine("gamejax, whole", game, game, iterations)]
        reads = {"gamejax, whole": game.payoffs.size}
        for kind in KINDS:
            drawn = extensive.sampled(game, kind)
            label = f"gamejax, {kind}"
            rivals.append(mine(label, game, drawn, iterations))
            reads[label] = sum(
                len(depth.ends)
                for player in range(game.num_players)
                for depth in descent(game.form, drawn.followed(player)).depths
            )
        rivals += [open_spiel(name, kind, iterations, game) for kind in SPIELS]
        facts = {"game": name, "nodes": len(game.form.history.parent), "iterations": iterations}
        certify = Certificate(game)
        found = race(facts, rivals, certify, tol=None, cores=1, budget_s=0.0, max_calls=1)  # pyright: ignore[reportArgumentType]
        yield from (row | {"leaves": reads.get(row["implementation"])} for row in found)


def mine(label: str, game: SequenceFormGame, played: Any, iterations: int) -> Rival:
    """`gamejax.solve`."""
    limits: dict[str, Any] = {"tol": 0.0, "max_steps": iterations, "check_every": iterations}

    def call() -> Any:
        key = jax.random.key(0)
        found = gamejax.solve(played, extensive.cfr(), key=key, **limits)
        return jax.block_until_ready(found.profile)

    behaviors: Any = lambda plans: in_history(game, plans)  # noqa: E731
    return Rival(label, call, iterations, behaviors, ours=True)


def open_spiel(name: str, kind: str, iterations: int, game: SequenceFormGame) -> Rival:
    """OpenSpiel's C++, timed once."""
    label = f"OpenSpiel C++, {kind}"
    if (note := missing(["pyspiel"])) is not None:
        return Rival(label, note=note)
    pyspiel: Any = importlib.import_module("pyspiel")
    theirs = pyspiel.load_game(SPIEL[name])
    solver = getattr(pyspiel, SPIELS[kind])(theirs, seed=0)

    def call() -> Any:
        for _ in range(iterations):
            solver.run_iteration()
        return solver

    return Rival(
        label,
        call,
        iterations,
        lambda found: _averages(game, _states(theirs.new_initial_state()), found.average_policy()),
        version=version("open_spiel"),
        warm_up=lambda: None,
    )


def _averages(game: SequenceFormGame, states: dict[Hashable, Any], policy: Any) -> Any:
    """OpenSpiel's averages; uniform where it never was."""
    found = []
    for sets, own_tree in zip(game.form.history.information_sets, game.form.trees, strict=True):
        behaviors = np.zeros((len(sets), own_tree.width))
        for row, own in zip(behaviors, sets, strict=True):
            odds = [p for _, p in sorted(policy.get_state_policy(states[own.key]))]
            row[: len(odds)] = odds
        found.append(behaviors)
    return tuple(found)


def _states(root: Any) -> dict[Hashable, Any]:
    """A state for each information state; what was never visited is known by no other name."""
    found: dict[Hashable, Any] = {}
    stack = [root]
    while stack:
        state = stack.pop()
        if state.is_player_node():
            found.setdefault(state.information_state_string(), state)
        if not state.is_terminal():
            stack.extend(state.child(action) for action in state.legal_actions())
    return found


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Over OpenSpiel's C++, in iterations per second of the same kind."""
    found = []
    for name in dict.fromkeys(row["game"] for row in rows):
        own = {row["implementation"]: row for row in rows if row["game"] == name}
        for kind in SPIELS:
            ratio = over(own[f"gamejax, {kind}"], own[f"OpenSpiel C++, {kind}"])
            found.append(Goal(f"{name}: {kind} sampling over OpenSpiel's", 1.0, ratio))
    return found

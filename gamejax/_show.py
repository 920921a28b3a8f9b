"""How results print."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gamejax._export import table
from gamejax._joint import Joint, Sparse
from gamejax._reasons import RESULTS, result_name, result_names
from gamejax._solution import Solution, Trajectory
from gamejax._types import Profile
from gamejax.games import Labels
from gamejax.games._base import Part

MOST = 12
"""How many parts of a strategy are printed."""


def names_of(labels: Any, shapes: list[int]) -> tuple[list[str], list[list[str]]]:
    """Names of players and of their actions: those of the labels, else numbers from 1."""
    players = list(labels.players) if labels and labels.players else []
    actions = [list(a) for a in labels.actions] if labels and labels.actions else []
    players = players or [f"player {i + 1}" for i in range(len(shapes))]
    return players, actions or [[str(a + 1) for a in range(n)] for n in shapes]


def describe(solution: Solution) -> str:
    """A few lines for people: result, gap, and each player's strategy by name."""
    if isinstance(solution.gap, Tracer):
        return repr(solution)
    if np.ndim(solution.gap):
        return _describe_batch(solution)
    head = (
        f"{result_name(solution.result)}: gap {float(solution.gap):.3g} "
        f"after {int(solution.stats['num_steps'])} steps"
    )
    lines = [head, *profile_lines(solution)]
    if not bool(solution.result == RESULTS.successful):
        lines.append(f"  {RESULTS[solution.result]}")
    return "\n".join(lines)


def _describe_batch(solution: Solution) -> str:
    """How many games of a batch ended how, the worst of them, and advice where some failed."""
    gaps, steps = np.asarray(solution.gap), np.asarray(solution.stats["num_steps"])
    names, counts = np.unique(result_names(solution.result), return_counts=True)
    ends = ", ".join(f"{n:,} {name}" for n, name in zip(counts, names, strict=True))
    head = f"{gaps.size:,} games: {ends or 'none'}"
    if not gaps.size:
        return head
    worst = np.unravel_index(np.argmax(np.where(np.isnan(gaps), np.inf, gaps)), gaps.shape)
    place = ", ".join(str(int(k)) for k in worst)
    lines = [
        f"{head}; {steps.mean():.4g} steps on average",
        f"  largest gap {gaps[worst]:.3g}, of game {place}",
    ]
    failed = (name for name in names if name != "successful")
    return "\n".join(lines + [f"  {name}: {RESULTS[getattr(RESULTS, name)]}" for name in failed])


def describe_run(run: Trajectory) -> str:
    """How the gap went, and what was played at the end."""
    if np.ndim(run.solution.gap) or not run.gaps.size or isinstance(run.gaps, Tracer):
        return repr(run)
    steps = int(run.solution.stats["num_steps"])
    first, last = float(run.gaps[0]), float(run.solution.gap)
    head = f"{steps:,} steps, {run.gaps.size:,} records: gap from {first:.3g} to {last:.3g}"
    return "\n".join([head, *profile_lines(run.solution)])


def profile_lines(solution: Solution, limit: int = 8) -> list[str]:
    """A line per player, or per likely action profile of a `Joint`; likeliest actions first."""
    profile = solution.profile
    if isinstance(profile, Joint):
        table = np.asarray(profile.probabilities)
        _, actions = names_of(solution.labels, list(table.shape))
        order = [i for i in np.argsort(-table.ravel(), kind="stable") if table.ravel()[i] > 5e-5]
        lines = [
            f"  {table.ravel()[i]:.4f}  "
            + ", ".join(actions[p][a] for p, a in enumerate(np.unravel_index(i, table.shape)))
            for i in order[:limit]
        ]
        return lines + ([f"  ... and {len(order) - limit} more"] if len(order) > limit else [])
    parts = parts_of(solution)
    if parts is not None:
        return _part_lines(solution, parts, limit)
    sparse = all(isinstance(x, Sparse) for x in profile)
    arrays = [x.probabilities if isinstance(x, Sparse) else x for x in profile]
    if not all(isinstance(x, jax.Array | np.ndarray) and x.ndim == 1 for x in arrays):
        return [f"  {x}" for x in profile]
    arrays = [np.asarray(x) for x in arrays]
    players, actions = names_of(solution.labels, [len(x) for x in arrays])
    if sparse:
        actions = [[f"[{a}]" for a in np.asarray(x.actions)] for x in profile]
    lines = []
    for player, strategy, own, payoff in zip(
        players, arrays, actions, np.asarray(solution.stats["payoffs"]), strict=True
    ):
        lines.append(f"  {player} (payoff {payoff:.4g}): {_played(own, strategy, limit)}")
    return lines


def _played(names: Sequence[str], strategy: np.ndarray, limit: int) -> str:
    """The actions that are played, likeliest first."""
    played = [a for a in np.argsort(-strategy, kind="stable") if strategy[a] > 5e-5]
    words = [f"{names[a]} {strategy[a]:.4f}" for a in played[:limit]]
    return ", ".join([*words, f"and {len(played) - limit} more"] if played[limit:] else words)


def parts_of(solution: Solution) -> list[list[Part]] | None:
    """Each player's strategy in its parts, where strategies have some."""
    if not isinstance(solution.labels, Labels) or isinstance(solution.profile, Joint):
        return None
    found = [solution.labels.parts(i, x) for i, x in enumerate(solution.profile)]
    return [own for own in found if own is not None] if None not in found else None


def _part_lines(solution: Solution, parts: list[list[Part]], limit: int) -> list[str]:
    """A line per player and one for each of the first parts that its strategy gets to."""
    players, _ = names_of(solution.labels, [0] * len(parts))
    lines = []
    payoffs = np.asarray(solution.stats["payoffs"])
    for player, own, payoff in zip(players, parts, payoffs, strict=True):
        lines.append(f"  {player} (payoff {payoff:.4g}):" + ("" if own else " never moves"))
        reached = [p for p in own if p.reach > 5e-5]
        shown = reached[:MOST]
        lines += [f"    {p.title}: {_played(p.actions, p.probabilities, limit)}" for p in shown]
        lines += [f"    ... and {len(reached) - MOST} more"] if len(reached) > MOST else []
    return lines


def entries(solution: Solution) -> dict[str, Any]:
    """What a solution exports: names, result, certificate, statistics, strategies."""
    profile, found = solution.profile, {}
    if np.ndim(solution.gap) == 0:
        found = {"title": solution.labels.title if solution.labels else ""}
        shapes = [own.shape[-1] for own in marginals(profile) if is_vector(own)]
        parts = parts_of(solution)
        if parts is not None:
            found["players"], _ = names_of(solution.labels, shapes)
            found["behaviors"] = parts
        elif len(shapes) == len(marginals(profile)):
            found["players"], found["actions"] = names_of(solution.labels, shapes)
    found["result"] = solution.result
    if np.ndim(solution.gap) == 0:
        found["message"] = RESULTS[solution.result]
    found |= {"gap": solution.gap, **solution.stats}
    if isinstance(profile, Joint):
        return {**found, "joint": profile.probabilities}
    return {**found, "profile": profile}


def columns(solution: Solution) -> dict[str, Any]:
    """A solution as a table: one row per action, per action profile, or per game of a batch."""
    profile, shape = solution.profile, np.shape(solution.gap)
    if shape:
        numbers = {n: v for n, v in solution.stats.items() if np.shape(v)[: len(shape)] == shape}
        index = {"game" if len(shape) == 1 else f"game_{i}": None for i in range(len(shape))}
        names = {"result": np.asarray(result_names(solution.result))}
        return table(index, {**names, "gap": solution.gap, **numbers}, shape)
    own = marginals(profile)
    players, actions = names_of(
        solution.labels, [np.shape(x)[-1] if is_vector(x) else 1 for x in own]
    )
    parts = parts_of(solution)
    if parts is not None:
        rows = [
            (player, part.title, action, probability)
            for player, own in zip(players, parts, strict=True)
            for part in own
            for action, probability in zip(part.actions, part.probabilities.tolist(), strict=True)
        ]
        names = ("player", "information_set", "action", "probability")
        return dict(zip(names, map(np.asarray, zip(*rows, strict=True)), strict=True))
    if isinstance(profile, Joint):
        index = dict(zip(players, actions, strict=True))
        return table(index, {"probability": profile.probabilities}, profile.probabilities.shape)
    pieces = []
    for player, strategy, names in zip(players, profile, actions, strict=True):
        if isinstance(strategy, Sparse):
            pieces.append((player, np.asarray(strategy.actions), strategy.probabilities))
        elif is_vector(strategy):
            pieces.append((player, names, strategy))
        else:
            flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(strategy)])
            pieces.append((player, np.arange(len(flat)), flat))
    return {
        "player": np.repeat(players, [len(values) for *_, values in pieces]),
        "action": np.concatenate([np.asarray(names) for _, names, _ in pieces]),
        "probability": np.concatenate([np.asarray(values) for *_, values in pieces]),
    }


def marginals(profile: Profile) -> tuple[Any, ...]:
    """Each player's own strategy."""
    return profile.marginals if isinstance(profile, Joint) else tuple(profile)


def is_vector(strategy: Any) -> bool:
    """Whether a strategy is one distribution over actions."""
    return isinstance(strategy, jax.Array | np.ndarray) and strategy.ndim == 1

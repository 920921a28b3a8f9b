"""How results print."""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gamejax._joint import Joint, Sparse
from gamejax._solution import RESULTS, Solution, result_name


def names_of(labels: Any, shapes: list[int]) -> tuple[list[str], list[list[str]]]:
    """Names of players and of their actions: those of the labels, else numbers from 1."""
    players = list(labels.players) if labels and labels.players else []
    actions = [list(a) for a in labels.actions] if labels and labels.actions else []
    players = players or [f"player {i + 1}" for i in range(len(shapes))]
    return players, actions or [[str(a + 1) for a in range(n)] for n in shapes]


def describe(solution: Solution) -> str:
    """A few lines for people: result, gap, and each player's strategy by name."""
    if np.ndim(solution.gap) or isinstance(solution.gap, Tracer):
        return repr(solution)
    head = (
        f"{result_name(solution.result)}: gap {float(solution.gap):.3g} "
        f"after {int(solution.stats['num_steps'])} steps"
    )
    return "\n".join([head, *profile_lines(solution)])


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
        played = [a for a in np.argsort(-strategy, kind="stable") if strategy[a] > 5e-5]
        parts = [f"{own[a]} {strategy[a]:.4f}" for a in played[:limit]]
        parts += [f"and {len(played) - limit} more"] if len(played) > limit else []
        lines.append(f"  {player} (payoff {payoff:.4g}): " + ", ".join(parts))
    return lines


def as_dict(solution: Solution) -> dict[str, Any]:
    """A solution of one game as plain Python data, ready for JSON."""
    profile = solution.profile
    arrays = (profile.probabilities,) if isinstance(profile, Joint) else profile
    shapes = arrays[0].shape if isinstance(profile, Joint) else [x.shape[-1] for x in arrays]
    players, actions = names_of(solution.labels, list(shapes))
    key = "joint" if isinstance(profile, Joint) else "profile"
    stats = {name: np.asarray(value).tolist() for name, value in solution.stats.items()}
    return {
        "title": solution.labels.title if solution.labels else "",
        "players": players,
        "actions": actions,
        "result": result_name(solution.result),
        "message": RESULTS[solution.result],
        "gap": float(solution.gap),
        **stats,
        key: np.asarray(arrays[0]).tolist() if key == "joint" else [x.tolist() for x in arrays],
    }

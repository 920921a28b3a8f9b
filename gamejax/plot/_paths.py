"""Pictures of play: paths of strategies in the triangle and in the square."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from gamejax._solution import Trajectory
from gamejax.plot._base import new_axes, tidy

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
"""Where the three actions sit in the picture of a simplex."""

Paths = Trajectory | ArrayLike | Sequence[ArrayLike]


def simplex(
    paths: Paths,
    ax: Axes | None = None,
    *,
    player: int = 0,
    actions: Sequence[str] = ("1", "2", "3"),
    title: str = "",
    cmap: str = "viridis",
) -> Axes:
    """Trajectories of a three-action strategy in the triangle, colored from first to last step.

    Args:
        paths: a `Trajectory` that recorded strategies (`play(..., record=lambda s: s.strategies)`),
            one path of shape `(records, 3)`, or several.
        ax: where to draw; default a new figure.
        player: whose strategies, of a `Trajectory`.
        actions: what to write at the corners.
        title: what to write above.
        cmap: a matplotlib colormap, from the first record to the last.

    Raises:
        ValueError: a path does not have three actions.
        TypeError: a `Trajectory` without strategies.
    """
    ax = new_axes(ax, (4.2, 4.0))
    ax.fill(*CORNERS.T, facecolor="0.97", edgecolor="0.35", lw=1.2, zorder=0)
    for path in _several(paths, player):
        points = np.asarray(path, dtype=float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"paths must have shape (records, 3), got {points.shape}.")
        _draw(ax, points @ CORNERS, cmap)
    offsets = ((-6, -12), (6, -12), (0, 6))
    for corner, name, offset in zip(CORNERS, actions, offsets, strict=True):
        ax.annotate(
            name, corner, textcoords="offset points", xytext=offset, ha="center", fontsize=9
        )
    ax.set(xlim=(-0.12, 1.12), ylim=(-0.14, 1.0), aspect="equal")
    ax.set_title(title, fontsize=10, pad=4)
    ax.axis("off")
    return ax


def square(
    paths: Any,
    ax: Axes | None = None,
    *,
    labels: Sequence[str] = ("player 1: first action", "player 2: first action"),
    title: str = "",
    cmap: str = "viridis",
) -> Axes:
    """Play of a game of two players with two actions each, in the square of their probabilities.

    Args:
        paths: a `Trajectory` that recorded strategies (`play(..., record=lambda s: s.strategies)`),
            a pair of arrays `(records, 2)`, one per player, or several such pairs.
        ax: where to draw; default a new figure.
        labels: of the axes.
        title: what to write above.
        cmap: a matplotlib colormap, from the first record to the last.

    Raises:
        ValueError: the players do not have two actions each.
        TypeError: a `Trajectory` without strategies.
    """
    if isinstance(paths, Trajectory):
        pairs = [_recorded(paths)]
    else:
        pairs = [paths] if np.ndim(paths[0]) == 2 else list(paths)
    ax = new_axes(ax, (4.2, 4.2))
    for pair in pairs:
        shapes = [np.shape(path) for path in pair]
        if len(shapes) != 2 or shapes[0] != shapes[1] or shapes[0][1:] != (2,):
            raise ValueError(
                f"paths must be pairs of one array (records, 2) per player, got shapes {shapes}."
            )
        points = np.stack([np.asarray(path, dtype=float)[:, 0] for path in pair], axis=1)
        _draw(ax, points, cmap)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.set_title(title, fontsize=10, pad=4)
    return tidy(ax)


def _several(paths: Paths, player: int) -> list[Any]:
    if isinstance(paths, Trajectory):
        return [_recorded(paths)[player]]
    whole = isinstance(paths, np.ndarray) or hasattr(paths, "ndim")
    return [paths] if whole and np.ndim(paths) == 2 else list(paths)  # pyright: ignore[reportArgumentType]


def _recorded(trajectory: Trajectory) -> tuple[Any, ...]:
    """The strategies that a trajectory recorded, one array per player."""
    records = trajectory.records
    if not isinstance(records, tuple) or not all(np.ndim(path) == 2 for path in records):
        raise TypeError(
            "the trajectory must have recorded strategies: play(game, solver, num_steps, "
            "record=lambda state: state.strategies)."
        )
    return records


def _draw(ax: Axes, points: np.ndarray, cmap: str) -> None:
    """A path colored by time, a circle where it begins and a dot where it ends."""
    pieces = list(np.stack([points[:-1], points[1:]], axis=1))
    lines = LineCollection(pieces, cmap=cmap, lw=1.3, capstyle="round")
    lines.set_array(np.linspace(0, 1, len(pieces)))
    ax.add_collection(lines)
    ax.plot(*points[0], "o", color="white", mec="0.2", ms=5, zorder=3)
    ax.plot(*points[-1], "o", color="0.1", ms=4, zorder=3)

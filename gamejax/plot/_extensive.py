"""Pictures of game trees."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from gamejax.extensive import SequenceFormGame, node_probabilities
from gamejax.extensive._history import LEAF, NATURE
from gamejax.plot._base import COLORS, new_axes

MOST_NODES = 200
"""Trees larger than that are refused: nobody could read them."""

CHANCE = "0.45"
"""The color of nature."""


class _Drawn(NamedTuple):
    """What is drawn of a tree: its nodes, their places, and how likely each branch is."""

    nodes: np.ndarray
    across: np.ndarray
    down: np.ndarray
    likely: np.ndarray | None


def game_tree(
    game: SequenceFormGame,
    profile: Sequence[ArrayLike] | None = None,
    ax: Axes | None = None,
    *,
    path: Sequence[str] = (),
    names: bool = True,
) -> Axes:
    r"""A game tree from left to right, with information sets and what is played there.

    Decision nodes have the color of their player, chance is gray, dashed lines join the nodes that
    a player cannot tell apart, and numbers at the ends are the payoffs. With a profile every branch
    says how likely it is to be taken, and its width shows it.

    Args:
        game: the tree.
        profile: realization plans, such as `solution.profile`; `None` draws the bare tree.
        ax: where to draw; default a new figure, as high as the tree has ends.
        path: names of the branches from the root to the subtree to be drawn, such as `("JQ",)`;
            default all of it.
        names: write what is known beside each information set.

    Raises:
        ValueError: the tree has more than 200 nodes, or `path` names no branch.
    """
    history = game.form.history
    root = _follow(game, path)
    drawn = _placed(game, root, profile)
    ends = int((history.player[drawn.nodes] == LEAF).sum())
    depth = int(drawn.across.max())
    ax = new_axes(ax, (1.9 * depth + 2.2, 0.3 * ends + 0.9))
    place = {int(n): k for k, n in enumerate(drawn.nodes)}
    for k, node in enumerate(drawn.nodes):
        if node != root:
            _branch(ax, game, drawn, place[int(history.parent[node])], k)
    _information_sets(ax, game, drawn, names)
    for k, node in enumerate(drawn.nodes):
        _node(ax, game, drawn, k, int(node))
    _legend(ax, game, drawn)
    ax.set(xlim=(-0.25, depth + 0.45), ylim=(ends - 0.4, -0.6))
    ax.axis("off")
    return ax


def _follow(game: SequenceFormGame, path: Sequence[str]) -> int:
    """The node that is reached by branches of these names."""
    if isinstance(path, str):
        raise TypeError(f"path must be a sequence of names of branches, got {path!r}.")
    history, node = game.form.history, 0
    for name in path:
        known = _branch_names(game, node)
        if name not in known:
            raise ValueError(f"path: no branch {name!r} here, only {', '.join(known) or 'none'}.")
        found = (history.parent == node) & (history.branch == known.index(name))
        node = int(np.flatnonzero(found & (np.arange(len(found)) > 0))[0])
    return node


def _branch_names(game: SequenceFormGame, node: int) -> tuple[str, ...]:
    history = game.form.history
    mover, number = int(history.player[node]), int(history.information[node])
    if mover == LEAF:
        return ()
    if mover == NATURE:
        return history.chance_labels[number]
    return history.information_sets[mover][number].actions


def _placed(game: SequenceFormGame, root: int, profile: Sequence[ArrayLike] | None) -> _Drawn:
    """The subtree: leaves evenly spaced, every other node in the middle of those below it."""
    history = game.form.history
    inside = np.zeros(len(history.parent), bool)
    across = np.zeros(len(history.parent))
    inside[root] = True
    for node in range(root + 1, len(inside)):  # depth first: parents stand before children
        above = history.parent[node]
        inside[node], across[node] = inside[above], across[above] + 1
    nodes = np.flatnonzero(inside)
    if len(nodes) > MOST_NODES:
        raise ValueError(
            f"the tree has {len(nodes)} nodes, more than the {MOST_NODES} that can be read; draw a "
            "part of it, such as path=(first branch, second branch)."
        )
    down = np.zeros(len(inside))
    leaves = nodes[history.player[nodes] == LEAF]
    down[leaves] = np.arange(len(leaves))
    for node in nodes[::-1]:
        if history.player[node] != LEAF:
            below = nodes[(history.parent[nodes] == node) & (nodes != node)]
            down[node] = (down[below[0]] + down[below[-1]]) / 2
    likely = _likely(game, profile)
    return _Drawn(nodes, across[nodes], down[nodes], None if likely is None else likely[nodes])


def _likely(game: SequenceFormGame, profile: Sequence[ArrayLike] | None) -> np.ndarray | None:
    """How likely the branch to each node is to be taken once its beginning is reached."""
    form, history = game.form, game.form.history
    centers = tuple(s.center(game.dtype) for s in game.strategy_sets)
    passed = np.asarray(node_probabilities(game, centers), float)
    above = passed[history.parent]
    likely = passed / np.where(above > 0, above, 1)
    if profile is None:
        return np.where(history.player[history.parent] == NATURE, likely, np.nan)
    for player, (strategies, plan) in enumerate(zip(game.strategy_sets, profile, strict=True)):
        if strategies.tree.num_sets:
            behaviors = np.asarray(strategies.behaviors(jnp.asarray(plan)), float)
            place = np.argsort(form.order[player])
            moved = (history.player[history.parent] == player) & (np.arange(len(likely)) > 0)
            sets = place[history.information[history.parent[moved]]]
            likely[moved] = behaviors[sets, history.branch[moved]]
    return likely


def _color(player: int) -> str:
    return CHANCE if player < 0 else COLORS[player % len(COLORS)]


def _branch(ax: Axes, game: SequenceFormGame, drawn: _Drawn, start: int, end: int) -> None:
    """A line with the name of the branch and its probability."""
    history, node = game.form.history, drawn.nodes[end]
    parent = int(history.parent[node])
    likely = np.nan if drawn.likely is None else drawn.likely[end]
    mover = int(history.player[parent])
    known = not np.isnan(likely)
    width = 0.6 + 2.2 * likely if known and mover >= 0 else 1.0
    faint = known and mover >= 0 and likely < 5e-4
    x, y = drawn.across[[start, end]], drawn.down[[start, end]]
    ax.plot(x, y, color="0.8" if faint else _color(mover), lw=width, zorder=1)
    text = _branch_names(game, parent)[int(history.branch[node])]
    if known:
        text += f"  {_probability(likely, mover)}"
    at = 0.5
    ax.text(
        x[0] + at * (x[1] - x[0]), y[0] + at * (y[1] - y[0]), text, ha="center", va="center",
        fontsize=6.5, color="0.6" if faint else "0.15", zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )  # fmt: skip


def _probability(value: float, mover: int) -> str:
    """Of chance a fraction where it is a simple one; of players three digits."""
    simple = Fraction(value).limit_denominator(99)
    if mover == NATURE and abs(value - simple) < 1e-6:
        return str(simple)
    return f"{value:.3f}".removeprefix("0") if 5e-4 <= value < 0.9995 else f"{value:.0f}"


def _information_sets(ax: Axes, game: SequenceFormGame, drawn: _Drawn, names: bool) -> None:
    """Dashed lines between nodes of one set, and what is known there."""
    history = game.form.history
    mover, number = history.player[drawn.nodes], history.information[drawn.nodes]
    lines = []
    for player in range(history.num_players):
        for j, about in enumerate(history.information_sets[player]):
            own = np.flatnonzero((mover == player) & (number == j))
            lines += [(player, a, b) for a, b in itertools.pairwise(own)]
            for k in own if names and about.title else ():
                ax.annotate(
                    about.title, (drawn.across[k], drawn.down[k]), textcoords="offset points",
                    xytext=(0, 4.5), ha="center", va="bottom", fontsize=6.5, color=_color(player),
                    zorder=5, path_effects=[withStroke(linewidth=2, foreground="white")],
                )  # fmt: skip
    pairs = [(a, b) for _, a, b in lines]
    for (player, a, b), bulge in zip(lines, _bulges(drawn, pairs), strict=True):
        (x, y), (u, v) = ((drawn.across[k], drawn.down[k]) for k in (a, b))
        bent = [(x, y), (x - bulge, y + 0.2 * (v - y)), (u - bulge, v - 0.2 * (v - y)), (u, v)]
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        curve = PathPatch(
            Path(bent, codes), fill=False, ls=(0, (4, 3)), lw=1.0, color=_color(player), alpha=0.85,
            zorder=2,
        )  # fmt: skip
        ax.add_patch(curve)


def _bulges(drawn: _Drawn, pairs: list[tuple[int, int]]) -> list[float]:
    """How far each line between two nodes bulges to the left, so that lines stay apart.

    Not at all where nothing of the same depth lies between the nodes.
    """
    found = {}
    spans = [(drawn.across[a], drawn.down[a], drawn.down[b]) for a, b in pairs]
    for k in sorted(range(len(pairs)), key=lambda k: spans[k][2] - spans[k][1]):
        depth, low, high = spans[k]
        column = (drawn.across == depth) & (drawn.down > low) & (drawn.down < high)
        if drawn.across[pairs[k][1]] != depth or not column.any():
            found[k] = 0
            continue
        taken = {
            lane
            for other, lane in found.items()
            if spans[other][0] == depth and spans[other][1] < high and spans[other][2] > low
        }
        found[k] = next(lane for lane in itertools.count(1) if lane not in taken)
    return [0.065 * found[k] for k in range(len(pairs))]


def _node(ax: Axes, game: SequenceFormGame, drawn: _Drawn, k: int, node: int) -> None:
    history = game.form.history
    mover = int(history.player[node])
    x, y = drawn.across[k], drawn.down[k]
    if mover != LEAF:
        marker = "s" if mover == NATURE else "o"
        ax.plot([x], [y], marker, color=_color(mover), ms=5, zorder=6)
        return
    payoffs = np.asarray(game.payoffs)[:, history.information[node]]
    text = ", ".join(f"{p:.3g}".replace("-", "\N{MINUS SIGN}") for p in payoffs)
    ax.annotate(
        text, (x, y), textcoords="offset points", xytext=(3, 0), va="center", fontsize=7
    )  # fmt: skip


def _legend(ax: Axes, game: SequenceFormGame, drawn: _Drawn) -> None:
    labels = game.labels.players if game.labels is not None else ()
    movers = sorted({int(p) for p in game.form.history.player[drawn.nodes] if p != LEAF})
    handles = []
    for mover in movers:
        name = "chance" if mover == NATURE else f"player {mover + 1}"
        name = labels[mover] if 0 <= mover < len(labels) else name
        marker = "s" if mover == NATURE else "o"
        handles.append(Line2D([], [], marker=marker, ls="", color=_color(mover), label=name))
    ax.legend(
        handles=handles, frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0),
        ncols=len(handles), borderaxespad=0, handletextpad=0.2,
    )  # fmt: skip

"""Pictures of trees: every branch, information set and payoff is on them."""

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.patches import PathPatch

from gamejax import plot
from gamejax.extensive import library


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def uniform(game):
    return tuple(s.center(game.dtype) for s in game.strategy_sets)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_tree_with_what_is_played():
    game = library.kuhn()
    ax = plot.game_tree(game, uniform(game))
    shown = texts(ax)
    assert shown.count("JQ  1/6") == 1
    assert shown.count("check  .500") == 12
    assert shown.count("call  .500") == 12
    assert shown.count("J pb") == 2
    assert shown.count("2, \N{MINUS SIGN}2") + shown.count("\N{MINUS SIGN}2, 2") == 12
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["chance", "player 1", "player 2"]
    dashed = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    assert len(dashed) == 12
    ax.figure.canvas.draw()


def test_lines_of_information_sets_stay_apart():
    ax = plot.game_tree(library.kuhn())
    second = [p.get_path().vertices for p in ax.patches if p.get_path().vertices[0, 0] == 2]
    assert len(second) == 6
    assert len({round(2 - v[1, 0], 6) for v in second}) >= 5
    assert all(v[1, 0] < 2 for v in second)
    first = [p.get_path().vertices for p in ax.patches if p.get_path().vertices[0, 0] == 1]
    assert [v[1, 0] for v in first] == [1, 1, 1]


def test_part_of_a_tree_and_moves_never_made():
    game = library.kuhn()
    plans = [np.asarray(x).copy() for x in uniform(game)]
    plans[0][1:3] = [1, 0]
    ax = plot.game_tree(game, plans, path=("JQ",))
    shown = texts(ax)
    assert shown.count("check  1") == shown.count("bet  0") == 1
    assert not any("1/6" in text for text in shown)
    given = plt.figure().gca()
    assert plot.game_tree(game, path=("JQ", "bet"), ax=given, names=False) is given
    assert texts(given) == ["fold", "call", "1, \N{MINUS SIGN}1", "\N{MINUS SIGN}2, 2"]


def test_three_players_and_nodes_at_different_depths():
    ax = plot.game_tree(library.seltens_horse())
    assert len(ax.patches) == 1
    assert {"down", "across", "left", "3, 3, 2"} <= set(texts(ax))


def test_refusals():
    with pytest.raises(ValueError, match="nodes, more than the 200"):
        plot.game_tree(library.leduc())
    with pytest.raises(ValueError, match="no branch 'AA' here, only JQ, JK"):
        plot.game_tree(library.kuhn(), path=("AA",))
    with pytest.raises(TypeError, match="sequence of names"):
        plot.game_tree(library.kuhn(), path="JQ")

"""Pictures: drawn, with what was asked for on them."""

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt

import gamejax
from gamejax import games, learners, plot, solvers


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_gap_curves_take_trajectories_and_batches():
    game = games.MatrixGame(jnp.array([[2.0, -1.0], [-1.0, 1.0]]))
    trajectory = gamejax.play(game, solvers.SelfPlay(learners.Hedge(0.5)), 20)
    steps, batch = np.arange(1, 9), 1 / np.outer([1, 2, 3, 4], np.arange(1, 9))
    ax = plot.gaps({"one": trajectory, "many": (steps, batch)}, rates=(0.5,))
    one, many, guide = ax.get_lines()
    np.testing.assert_allclose(one.get_ydata(), trajectory.gaps)
    np.testing.assert_allclose(many.get_ydata(), np.median(batch, axis=0))
    slope = np.diff(np.log(guide.get_ydata())) / np.diff(np.log(guide.get_xdata()))
    np.testing.assert_allclose(slope, -0.5)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one", "many"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    ax.figure.canvas.draw()


def test_simplex_draws_inside_the_triangle():
    paths = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 30))
    ax = plot.simplex(paths, actions=("rock", "paper", "scissors"), title="two paths")
    assert len(ax.collections) == 2
    texts = [t.get_text() for t in ax.texts]
    assert texts == ["rock", "paper", "scissors"]
    for collection in ax.collections:
        points = np.concatenate(collection.get_segments())
        assert points[:, 1].min() >= 0
        assert points[:, 1].max() <= np.sqrt(3) / 2
    one = plot.simplex(paths[0])
    assert len(one.collections) == 1
    with pytest.raises(ValueError, match=r"paths must have shape \(records, 3\)"):
        plot.simplex(np.ones((5, 4)) / 4)


def test_branches_show_every_action_and_the_gap():
    game = games.bimatrix([[3.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 4.0]])
    trajectory = gamejax.play(game, solvers.LogitHomotopy(), 30, record=solvers.branch_point)
    axes = plot.branch(trajectory, actions=[("a", "b"), ("c", "d")])
    assert [len(ax.get_lines()) for ax in axes] == [2, 2, 1]
    first = axes[0].get_lines()[0]
    moving = np.append(True, np.diff(trajectory.records.precision) != 0)
    np.testing.assert_allclose(first.get_xdata(), trajectory.records.precision[moving])
    np.testing.assert_allclose(first.get_ydata(), trajectory.records.strategies[0][moving, 0])
    assert [t.get_text() for t in axes[1].get_legend().get_texts()] == ["c", "d"]
    axes[0].figure.canvas.draw()
    with pytest.raises(TypeError, match="branch_point"):
        plot.branch(gamejax.play(game, solvers.LogitHomotopy(), 3))

"""Pictures of regret, of samples and rounds, and of play in the square: drawn from results."""

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt

import gamejax
from gamejax import bandits, calibration, games, learners, plot, solvers
from gamejax import multidistribution as md


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_regret_of_simulations():
    arms = bandits.Bernoulli(jnp.array([0.3, 0.6], jnp.float32))
    options = {"key": jax.random.key(0), "num_replications": 5, "record_every": 20}
    run = bandits.simulate(arms, bandits.ucb1(), 100, **options)
    coins = calibration.forecast_online(
        calibration.MulticalibratedForecaster(num_levels=5), calibration.Coins(0.4), 100, **options
    )
    bound = 8 * np.log(np.asarray(run.times)) / 0.3
    ax = plot.regret({"UCB1": run, "forecast": coins}, bounds={"bound": bound})
    first, second, guide = ax.get_lines()
    np.testing.assert_allclose(first.get_ydata(), run.mean(), rtol=1e-6)
    np.testing.assert_allclose(second.get_ydata(), coins.errors.mean(0), rtol=1e-6)
    np.testing.assert_allclose(guide.get_ydata(), bound)
    band = ax.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(band[:, 1].max(), np.quantile(run.regret, 0.95, 0).max(), rtol=1e-6)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["UCB1", "forecast"]
    ax.figure.canvas.draw()
    log = plot.regret({"pair": ([1, 10], [[1.0, 2.0]])}, log=True)
    assert log.get_xscale() == log.get_yscale() == "log"
    with pytest.raises(ValueError, match=r"runs\['short'\] must have shape"):
        plot.regret({"short": ([5], [[1.0]])})


def test_worst_loss_against_samples_and_rounds():
    problem = md.BernoulliLosses(np.random.default_rng(0).random((6, 4)).astype(np.float32))

    def run(steps):
        return md.solve_on_demand(problem, num_steps=steps, num_fresh=50, key=jax.random.key(0))

    batch = jax.vmap(run)(jnp.array([80, 20], jnp.int32))
    single = jax.tree.map(lambda x: x[0], batch)
    ax = plot.samples({"batch": batch, "list": [single]}, best=0.5)
    line = ax.containers[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), np.sort(batch.num_samples))
    np.testing.assert_allclose(line.get_ydata(), np.asarray(batch.losses.worst)[::-1])
    bars = ax.containers[0].lines[2][0].get_segments()
    low, high = (np.asarray(end)[::-1] for end in batch.losses.interval)
    np.testing.assert_allclose([b[:, 1] for b in bars], np.stack([low, high], 1), rtol=1e-5)
    ax.figure.canvas.draw()
    rounds = plot.samples({"batch": batch}, against="rounds")
    assert rounds.get_xlabel() == "rounds of sampling"
    np.testing.assert_array_equal(rounds.containers[0].lines[0].get_xdata(), np.sort(batch.rounds))
    with pytest.raises(ValueError, match="against must be"):
        plot.samples({"batch": batch}, against="steps")


def test_play_in_the_square_and_in_the_triangle():
    pennies = games.library.matching_pennies()
    solver = solvers.SelfPlay(learners.Hedge(0.2))
    start = (jnp.array([0.8, 0.2]), jnp.array([0.3, 0.7]))
    run = gamejax.play(pennies, solver, 40, init=start, record=lambda s: s.strategies)
    ax = plot.square(run, labels=("heads", "tails"))
    path = np.concatenate(ax.collections[0].get_segments())
    np.testing.assert_allclose(path[::2, 0], run.records[0][:-1, 0])
    np.testing.assert_allclose(path[1::2, 1], run.records[1][1:, 0])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("heads", "tails")
    ax.figure.canvas.draw()
    two = plot.square([run.records, tuple(1 - r for r in run.records)])
    assert len(two.collections) == 2
    shapley = games.library.shapley()
    way = gamejax.play(shapley, solver, 10, record=lambda s: s.strategies)
    assert len(plot.simplex(way, player=1).collections) == 1
    with pytest.raises(ValueError, match=r"one array \(records, 2\) per player"):
        plot.square(way)
    with pytest.raises(TypeError, match="recorded strategies"):
        plot.square(gamejax.play(pennies, solver, 10))

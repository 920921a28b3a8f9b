"""Results as plain data, JSON and tables."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import gamejax
from gamejax import bandits, calibration, games, learners, metrics, solvers
from gamejax import multidistribution as md

KICK = games.MatrixGame(
    jnp.array([[0.6, 0.95], [0.9, 0.7]]),
    labels=games.Labels("Kick", ("Shooter", "Keeper"), (("L", "R"), ("l", "r"))),
)


def round_trip(result):
    """The result as JSON and back; it is the same data, with null for what is not finite."""
    return json.loads(result.to_json(indent=None))


def test_solutions(tmp_path):
    solution = gamejax.solve(KICK)
    found = round_trip(solution)
    assert found == json.loads(json.dumps(solution.to_dict()))
    assert (found["title"], found["result"]) == ("Kick", "successful")
    assert found["players"] == ["Shooter", "Keeper"]
    np.testing.assert_allclose(found["profile"][0], solution.profile[0])
    assert "state" not in found
    frame = solution.to_pandas()
    assert list(frame.columns) == ["player", "action", "probability"]
    assert list(frame.player) == ["Shooter", "Shooter", "Keeper", "Keeper"]
    assert list(frame.action) == ["L", "R", "l", "r"]
    np.testing.assert_allclose(frame.probability, np.concatenate(solution.profile))
    path = tmp_path / "kick.json"
    solution.to_json(path)
    assert json.loads(path.read_text()) == found


def test_batches_and_tracers():
    payoffs = jnp.stack([KICK.payoff, jnp.array([[2.0, -1.0], [-1.0, 1.0]])])
    solver = solvers.SelfPlay(learners.RegretMatchingPlus())

    @jax.vmap
    def solve(payoff, budget):
        return gamejax.solve(games.MatrixGame(payoff), solver, tol=0.02, max_steps=budget)

    batch = solve(payoffs, jnp.array([0, 5000], jnp.int32))
    found = round_trip(batch)
    assert found["result"] == ["max_steps_reached", "successful"]
    np.testing.assert_allclose(found["gap"], batch.gap)
    frame = batch.to_pandas()
    assert list(frame.game) == [0, 1]
    assert list(frame.result) == found["result"]
    np.testing.assert_allclose(frame.payoffs_1, batch.stats["payoffs"][:, 1])
    with pytest.raises(TypeError, match="outside jit"):
        jax.eval_shape(lambda s: s.to_dict(), batch)


def test_joints_and_trajectories():
    solver = solvers.SelfPlay(learners.Hedge(0.5), output="joint")
    run = gamejax.play(KICK, solver, 20, record=gamejax.Record(lambda s: s.strategies, 5))
    frame = run.to_pandas()
    assert list(frame.columns[:3]) == ["record", "steps", "gap"]
    np.testing.assert_array_equal(frame.steps, [5, 10, 15, 20])
    np.testing.assert_allclose(frame["records[0]_1"], run.records[0][:, 1])
    joint = run.solution.to_pandas()
    assert list(joint.columns) == ["Shooter", "Keeper", "probability"]
    assert list(joint.iloc[1])[:2] == ["L", "r"]
    np.testing.assert_allclose(joint.probability.sum(), 1)
    assert np.shape(round_trip(run)["solution"]["joint"]) == (2, 2)


def test_what_json_does_not_know():
    violation = metrics.stability(games.library.bilinear(), tuple(jnp.ones((2, 1))))
    found = round_trip(violation)
    assert set(found["eigenvalues"]) == {"real", "imag"}
    nothing = calibration.Payment(*(jnp.float32(x) for x in (0, jnp.inf, jnp.nan, 1, 2)))
    assert nothing.to_dict()["strategy"] == np.inf
    assert round_trip(nothing)["strategy"] is None
    assert round_trip(nothing)["truth_error"] is None
    assert len(nothing.to_pandas()) == 1


def test_simulations():
    run = bandits.simulate(
        bandits.Bernoulli(jnp.array([0.3, 0.6])), bandits.ucb1(), 20,
        key=jax.random.key(0), num_replications=3, record_every=10,
    )  # fmt: skip
    frame = run.to_pandas()
    assert list(frame.columns[:4]) == ["replication", "time", "regret", "pulls_0"]
    assert list(frame.time) == [10, 20] * 3
    np.testing.assert_allclose(frame.regret, np.ravel(run.regret))
    np.testing.assert_array_equal(frame.pulls_0 + frame.pulls_1, frame.time)
    assert np.shape(round_trip(run)["pulls"]) == (3, 2, 2)


def test_on_demand():
    table = np.random.default_rng(0).random((6, 4))
    run = md.solve_on_demand(md.BernoulliLosses(table), num_steps=50, key=jax.random.key(0))
    found = round_trip(run)
    assert found["result"] == "successful"
    assert found["num_samples"] == sum(found["samples"])
    frame = run.to_pandas()
    assert len(frame) == 4
    np.testing.assert_allclose(frame.expected, run.expected)
    np.testing.assert_allclose(frame.weight.sum(), 1, rtol=1e-5)


RESULTS = [
    games.analysis, metrics, solvers, bandits, calibration, md, gamejax,
]  # fmt: skip


def test_every_result_class_exports():
    """Filled with zeros of made-up shapes, each class gives a dictionary, JSON and a table."""
    from gamejax._export import AbstractResult

    kinds = {
        kind
        for home in RESULTS
        for kind in vars(home).values()
        if isinstance(kind, type)
        and issubclass(kind, AbstractResult)
        and kind is not AbstractResult
    }
    names = {kind.__name__ for kind in kinds}
    assert {"Solution", "BanditResult", "OnlineForecast", "MulticalibrationReport"} <= names
    own = {"Solution", "Trajectory", "OnDemandResult", "OnlineForecast", "BanditResult",
           "SubpopulationForecast", "Multicalibration", "MulticalibrationReport"}  # fmt: skip
    for kind in kinds:
        if kind.__name__ in own:
            continue
        fields = {n: np.zeros(3) for n in kind.__dataclass_fields__}
        made = object.__new__(kind)
        for name, value in fields.items():
            object.__setattr__(made, name, value)
        frame = made.to_pandas()
        assert isinstance(frame, pd.DataFrame)
        assert len(frame) == 3, kind
        assert set(round_trip(made)) <= set(fields)


def test_reports_of_calibration():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(200), rng.integers(0, 2, 200)
    groups = np.stack([np.ones(200), rng.random(200) < 0.5], 1)
    report = calibration.report(scores, labels, groups, key=jax.random.key(0), num_draws=9)
    frame = report.to_pandas()
    assert list(frame.columns[:3]) == ["model", "scale", "error"]
    np.testing.assert_allclose(frame.error, report.errors[0])
    np.testing.assert_allclose(frame.brier, float(report.brier[0]))
    coins = calibration.forecast_online(
        calibration.MulticalibratedForecaster(num_levels=5), calibration.Coins(0.4), 20,
        key=jax.random.key(0), num_replications=2, record_every=10,
    )  # fmt: skip
    assert list(coins.to_pandas().time) == [10, 20, 10, 20]

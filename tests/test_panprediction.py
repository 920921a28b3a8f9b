"""Step calibration, panprediction by game dynamics, and its regret for any loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import RESULTS
from gamejax import calibration as cal

KEY = jax.random.key(5)
STEP = jax.jit(jax.value_and_grad(cal.step_calibration_error))


def brute_force(p, y, groups, hypotheses, weights):
    """Every threshold of every variable, by definition."""
    variables = [p, *hypotheses.T]
    found = [
        (abs(np.sum(weights * g * (u <= v) * (y - p))), j, i - 1, v)
        for i, u in enumerate(variables)
        for j, g in enumerate(groups.T)
        for v in np.unique(u)
    ]
    return max(found, key=lambda item: item[0])


def instances(count=20, size=40):
    rng = np.random.default_rng(0)
    p = np.round(rng.random((count, size)), 1)  # with ties
    y = (rng.random((count, size)) < 0.3 + 0.4 * p).astype(float)
    groups = rng.random((count, size, 3)) * (rng.random((count, size, 3)) < 0.6)
    hypotheses = rng.integers(0, 4, (count, size, 2))
    weights = rng.random((count, size))
    return p, y, groups, hypotheses, weights


@pytest.fixture(scope="module")
def worst():
    data = instances()
    run = lambda p, y, g, h, w: cal.worst_step(p, y, g, h, weights=w)  # noqa: E731
    return data, jax.jit(jax.vmap(run))(*data)


def test_step_calibration_by_its_definition(worst):
    data, found = worst
    for i, (p, y, g, h, w) in enumerate(zip(*data, strict=True)):
        w = w / w.sum()
        error, *_ = brute_force(p, y, g, h, w)
        np.testing.assert_allclose(found.error[i], error, rtol=1e-9)
        # The certificate: the residual of the step it names.
        variable = p if found.hypothesis[i] < 0 else h[:, found.hypothesis[i]]
        inside = variable <= float(found.threshold[i]) + 1e-12
        signed = np.sum(w * g[:, found.group[i]] * inside * (y - p))
        np.testing.assert_allclose(found.sign[i] * signed, error, rtol=1e-9)


def test_two_points_by_hand():
    # Two points of equal mass, Pr[y = 1] = .3 and .7, forecast 1/2 for both.
    p, y = np.array([0.5, 0.5]), np.array([0.3, 0.7])
    only = np.array([[1.0], [0.0]])
    everyone = np.ones((2, 1))
    for groups, error in ((everyone, 0.0), (only, 0.1)):
        found = cal.step_calibration_error(p, y, groups)
        assert float(found) == pytest.approx(error, abs=1e-12)
    # The first point's group has half of the mass; everyone's error stays 0.
    both = np.array([[1.0, 1.0], [0.0, 1.0]])
    for normalization, size in (("group", 0.5), ("sqrt", 0.5**0.5)):
        found = cal.worst_step(p, y, both, normalization=normalization)
        assert float(found.error) == pytest.approx(0.1 / size)
        assert int(found.group) == 0
    # 0-1 loss, ties to 1: action 1 at p = 1/2. The competitor plays 0.
    loss = np.array([[1.0, 0.0], [0.0, 1.0]])  # action 0 is "say 1", so that ties go to it
    found = cal.panprediction_regret(p, y, loss[None], np.ones((2, 1), int), only)
    assert float(found.regret[0, 0, 0]) == pytest.approx(0.2 / 1)
    np.testing.assert_array_equal(cal.best_action(loss, jnp.array([0.2, 0.5, 0.9])), [1, 0, 0])


def test_true_probabilities_have_no_error_and_no_regret():
    rng = np.random.default_rng(1)
    p = rng.random(50)
    groups, hypotheses = rng.random((50, 4)), rng.integers(0, 6, (50, 3))
    losses = rng.random((30, 6, 2))
    found = cal.panprediction_regret(p, p, losses, hypotheses, groups)
    assert float(found.regret.max()) <= 1e-12
    assert float(found.bound.max()) <= 1e-12


def test_the_identity_behind_the_reduction():
    rng = np.random.default_rng(2)
    loss, p, y = rng.random((100, 7, 2)), rng.random(100), rng.integers(0, 2, 100)
    change = loss[:, :, 1] - loss[:, :, 0]
    own = np.take_along_axis(loss, y[:, None, None], 2)[:, :, 0]
    expected = loss[:, :, 0] + p[:, None] * change
    np.testing.assert_allclose(own - expected, (y - p)[:, None] * change, atol=1e-15)
    grid = jnp.linspace(0, 1, 200)
    actions = jax.jit(jax.vmap(cal.best_action, (0, None)))(loss, grid)
    assert np.all(np.diff(np.take_along_axis(change, np.asarray(actions), 1), axis=1) <= 1e-12)


def test_regret_stays_below_its_bound_for_random_losses(worst):
    data, found = worst
    losses = jax.random.uniform(KEY, (100, 4, 2))
    run = lambda p, y, g, h, w: cal.panprediction_regret(  # noqa: E731
        p, y, losses, h, g, weights=w
    )
    result = jax.jit(jax.vmap(run))(*data)
    assert result.regret.shape == (20, 100, 3, 2)
    assert np.all(np.asarray(result.regret) <= np.asarray(result.bound)[:, :, None, None] + 1e-12)
    change = np.asarray(losses[..., 1] - losses[..., 0])
    variation = np.abs(np.diff(change, axis=1)).sum(1)
    expected = np.asarray(found.error)[:, None] * (4 + variation)
    np.testing.assert_allclose(result.bound, expected, rtol=1e-9)
    assert np.asarray(result.regret).max() > 0.02  # the bound is not vacuous here


def test_step_error_and_intervals():
    """Half of any interval's residual, at most the group's ECE."""
    p, y, *_ = (x[0] for x in instances(1, 30))
    step, _ = STEP(jnp.asarray(p), jnp.asarray(y))
    step = float(step)
    levels = np.unique(p)
    mass = np.array([np.sum((y - p)[p == v]) for v in levels]) / len(p)
    assert step <= np.abs(mass).sum() + 1e-12
    intervals = [
        abs(mass[i:j].sum()) for i in range(len(mass)) for j in range(i + 1, len(mass) + 1)
    ]
    assert step >= max(intervals) / 2


def test_step_error_is_differentiable():
    rng = np.random.default_rng(3)
    p, y = rng.random(30), (rng.random(30) < 0.5).astype(float)
    _, gradient = STEP(jnp.asarray(p), jnp.asarray(y))
    uniform = np.full(30, 1 / 30)
    _, _, _, threshold = brute_force(p, y, np.ones((30, 1)), np.zeros((30, 0)), uniform)
    inside = p <= threshold
    expected = np.where(inside, -np.sign((y - p)[inside].sum()) / 30, 0)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.fixture(scope="module")
def population():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 3))
    truth = 1 / (1 + np.exp(-(1.5 * x[:, 0] - x[:, 1] * (x[:, 2] > 0))))
    y = (rng.random(3000) < truth).astype(float)
    groups = np.column_stack([np.ones(3000), x[:, 2] > 0, x[:, 1] > 0, rng.random(3000)])
    cuts = [-0.5, 0, 0.5]
    hypotheses = np.column_stack([np.digitize(x[:, 0], cuts), np.digitize(-x[:, 1], cuts)])
    return groups, hypotheses, y


def test_panprediction_reaches_its_tolerance_and_its_regret(population):
    groups, hypotheses, y = population
    train, test = slice(0, 1500), slice(1500, 3000)
    base = np.full(1500, 0.5)
    args = (base, y[train], groups[train], hypotheses[train])
    found = cal.panpredict(*args, tol=0.01)
    assert found.result == RESULTS.successful
    assert float(found.error) <= 0.01
    assert int(found.num_steps) <= 1 / 0.01**2
    np.testing.assert_allclose(
        cal.step_calibration_error(found.scores, *args[1:]), found.error, rtol=1e-9
    )
    # Replayed on the same points: the same; on new ones: far better than the base.
    np.testing.assert_array_equal(found.predict(base, *args[2:]), found.scores)
    new = (y[test], groups[test], hypotheses[test])
    moved = found.predict(base, *new[1:])
    assert float(cal.step_calibration_error(moved, *new)) < 0.03
    assert float(cal.step_calibration_error(base, *new)) > 0.05
    losses = jax.random.uniform(KEY, (100, 4, 2))
    regret = cal.panprediction_regret(
        found.scores, y[train], losses, hypotheses[train], groups[train]
    )
    assert np.all(np.asarray(regret.regret) <= np.asarray(regret.bound)[:, None, None])
    assert float(regret.bound.max()) <= 7 * 0.01
    # Each step lowers the squared error by at least the squared step error.
    energy = np.mean((y[train] - base) ** 2) - np.mean((y[train] - np.asarray(found.scores)) ** 2)
    assert energy >= int(found.num_steps) * 0.01**2


def test_randomized_panprediction(population):
    groups, hypotheses, y = population
    rounds, levels = 1500, 30
    contexts = np.column_stack([groups, hypotheses / 3])
    forecaster = cal.StepForecaster(levels, 4, 2, cal.online_rate(rounds, 2 * 4 * levels * 3))
    assert forecaster.num_objectives == 720
    sequence = cal.Outcomes(y, contexts, 4)
    result = cal.forecast_online(
        forecaster, sequence, rounds, key=KEY, num_replications=4, keep=True
    )
    bound = forecaster.bound(rounds, 0.01)
    worst = max(float(jnp.abs(part).max()) for part in (result.state.own, result.state.others))
    assert worst <= bound
    assert worst <= 2.5 * np.sqrt(rounds)
    # The state holds what it says: residuals up to each threshold.
    p, level = np.asarray(result.forecasts)[1], np.asarray(result.levels)[1]
    terms = groups[:rounds] * (y[:rounds] - p)[:, None]
    up_to = np.stack([terms[level <= v].sum(0) for v in range(levels)])
    np.testing.assert_allclose(result.state.own[1], up_to, atol=1e-9)
    reached = hypotheses[:rounds, 0] / 3 <= 10 / levels + 1e-12
    np.testing.assert_allclose(result.state.others[1, 0, 9], terms[reached].sum(0), atol=1e-9)
    predictor = cal.randomized_panpredictor(forecaster, sequence, rounds, key=KEY, num_rules=50)
    law = jax.jit(jax.vmap(predictor.law))(contexts[1500:])
    np.testing.assert_allclose(law.choice.probabilities.sum(1), 1)
    mean = np.asarray((law.choice.probabilities * law.values).sum(1))
    new = (y[1500:], groups[1500:], hypotheses[1500:])
    assert float(cal.step_calibration_error(mean, *new)) < 0.06
    base = np.full(1500, 0.5)
    assert float(cal.step_calibration_error(base, *new)) > 0.06


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cal.step_calibration_error([0.5], [1], np.ones((2, 1))), "groups"),
        (lambda: cal.step_calibration_error([0.5], [1], normalization="root"), "normalization"),
        (lambda: cal.step_calibration_error([0.5, 0.2], [1.0, 0.0], hypotheses=[1]), "hypotheses"),
        (lambda: cal.panprediction_regret([0.5], [1], [[0.0, 1.0]], [[0]]), "losses"),
        (lambda: cal.panprediction_regret([0.5], [1], [[[0.0, 1.0]]], [[0.5]]), "integers"),
        (lambda: cal.panpredict([0.5], [1], tol=-1.0), "tol"),
        (lambda: cal.best_action(np.ones(3), np.ones(2)), "loss"),
        (lambda: cal.StepForecaster(0), "num_levels"),
    ],
)
def test_unusable_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

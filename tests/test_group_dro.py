"""Group DRO: models and data in groups, against closed forms and a convex solver."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

from gamejax import multidistribution as md
from gamejax import sets, solvers

KEY = jax.random.key(0)
SGD, ADAM = optax.sgd(0.05), optax.adam(0.02)


def square(point, target):
    return jnp.sum((point - target) ** 2)


def logistic(weights, x, y):
    margin = jnp.where(y == 1, 1, -1) * jnp.vdot(weights, x)
    return jnp.logaddexp(0, -margin)


def classify(model, x, y):
    return jnp.where(y == 1, 1, -1).astype(x.dtype) * model(x)[0] < 0


def network_loss(model, x, y):
    return jnp.logaddexp(0, jnp.where(y == 1, -1, 1) * model(x)[0])


@pytest.fixture(scope="module")
def midpoints():
    """Most rows are at 0, few at 1: the least worst loss is that of the midpoint, 1/4."""
    rows = np.repeat([0.0, 1.0], [95, 5])[:, None]
    return md.Parametric(
        jnp.zeros(1), square, (rows,), rows[:, 0].astype(int), loss_bound=4.0,
        domain=sets.Ball(1, 1.0),
    )  # fmt: skip


@pytest.mark.parametrize("method", ["lazy", pytest.param("bandit", marks=pytest.mark.slow)])
def test_the_midpoint_of_two_groups(midpoints, method):
    run = functools.partial(md.group_dro, midpoints, SGD, method=method, num_fresh=5)
    found = jax.jit(jax.vmap(lambda key: run(num_steps=4000, key=key)))(jax.random.split(KEY, 8))
    np.testing.assert_allclose(found.predictor, 0.5, atol=0.1)
    assert np.all(found.worst >= 0.25 - 1e-9)
    assert np.all(found.worst - 0.25 < found.bound)
    assert np.all(np.isfinite(found.bound))
    per_step = {"bandit": 1, "lazy": 2}[method]
    np.testing.assert_array_equal(found.num_samples, per_step * 4000)
    np.testing.assert_allclose(found.adversary, 0.5, atol=0.15)
    assert np.all(found.losses.counts == 5)


@pytest.fixture(scope="module")
def groups_of_points():
    """Three groups of two classes whose best separating directions differ."""
    rng = np.random.default_rng(0)
    sizes = [80, 30, 10]
    groups = np.repeat(np.arange(3), sizes)
    directions = np.array([[1.0, 0.2], [0.3, 1.0], [-0.4, 1.0]])
    x = rng.normal(size=(120, 2))
    y = ((x * directions[groups]).sum(1) + 0.3 * rng.normal(size=120) > 0).astype(int)
    return x, y, groups


def test_logistic_regression_reaches_the_minimax_loss(groups_of_points):
    x, y, groups = groups_of_points

    def losses(w):
        w = np.asarray(w)
        each = np.logaddexp(0, -np.where(y == 1, 1, -1) * (x @ w))
        return np.array([each[groups == j].mean() for j in range(3)])

    reference = minimize(
        lambda v: v[2],
        [0.0, 0.0, 1.0],
        constraints={"type": "ineq", "fun": lambda v: v[2] - losses(v[:2])},
        method="SLSQP",
    )
    assert reference.success
    problem = md.Parametric(jnp.zeros(2), logistic, (x, y), groups, loss_bound=3.0)
    found = md.group_dro(
        problem, SGD, num_steps=8000, batch_size=8, adversary_rate=0.02, num_fresh=5, key=KEY
    )
    np.testing.assert_allclose(found.expected, losses(found.predictor), rtol=1e-9)
    assert reference.fun - 1e-6 < found.worst < reference.fun + 0.01
    assert found.bound == np.inf
    assert found.num_samples == 8 * 8000
    plain = minimize(
        lambda w: np.logaddexp(0, -np.where(y == 1, 1, -1) * (x @ w)).mean(), np.zeros(2)
    )
    assert found.worst < losses(plain.x).max() - 0.1
    # The gradient of the expectation is that of the weighted losses.
    weights, q, h = np.array([0.3, -0.2]), np.array([0.5, 0.2, 0.3]), 1e-6
    slope = [(losses(weights + h * e) - losses(weights - h * e)) @ q / (2 * h) for e in np.eye(2)]
    gradient = problem.expected_gradient(jnp.asarray(weights), jnp.asarray(q))
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)


def test_a_network_learns_and_a_test_set_judges(groups_of_points):
    x, y, groups = groups_of_points
    model = eqx.nn.MLP(2, 1, 8, 1, dtype=jnp.float32, key=KEY)
    make = functools.partial(md.Parametric, model, rows=(x, y), groups=groups)
    problem = make(loss=network_loss, loss_bound=8.0)
    mistakes = make(loss=classify)
    assert problem.dtype == np.float32
    found = md.group_dro(
        problem, ADAM, num_steps=600, batch_size=16, averaging=solvers.Last(),
        adversary_rate=0.05, test=problem, key=KEY,
    )  # fmt: skip
    assert found.worst < 0.45  # guessing has ln 2
    np.testing.assert_allclose(found.losses.losses, found.expected, rtol=1e-5)
    np.testing.assert_array_equal(found.losses.counts, np.bincount(groups))
    scores = jax.vmap(found.model)(jnp.asarray(x, jnp.float32))[:, 0]
    wrong = (np.asarray(scores) > 0) != (y == 1)
    rates = md.evaluate(mistakes, found.predictor).losses
    np.testing.assert_allclose(rates, [wrong[groups == j].mean() for j in range(3)], rtol=1e-5)
    assert str(found).startswith("group DRO: worst loss 0.")
    assert "mixture" not in found.to_dict()


@pytest.mark.slow
def test_pools_of_a_model_run_out(groups_of_points):
    x, y, groups = groups_of_points
    problem = md.Parametric(jnp.zeros(2), logistic, (x, y), groups, replace=False)
    found = md.group_dro(problem, SGD, num_steps=200, method="full", num_fresh=200, key=KEY)
    # Once the smallest pool is empty nobody learns any more, though the others still give.
    np.testing.assert_array_equal(found.exhausted, [True, True, True])
    np.testing.assert_array_equal(found.samples, [80, 30, 10])
    short = md.group_dro(problem, SGD, num_steps=10, method="full", num_fresh=200, key=KEY)
    np.testing.assert_array_equal(short.samples, 10)
    np.testing.assert_array_equal(short.losses.counts, [70, 20, 0])
    assert "RAN OUT of examples of distribution 2" in str(short)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem": md.BernoulliLosses(np.eye(2))}, "must be Parametric"),
        ({"optimizer": 0.1}, "optax.GradientTransformation"),
        ({"method": "bandit", "batch_size": 4}, 'needs method="semi_bandit"'),
        ({"num_steps": 0}, "num_steps must be"),
    ],
)
def test_bad_arguments_are_named(midpoints, change, message):
    arguments = {"problem": midpoints, "optimizer": SGD, "num_steps": 5, "key": KEY, **change}
    with pytest.raises((TypeError, ValueError), match=message):
        md.group_dro(**arguments)


def test_bad_models_are_named():
    rows = (np.ones((2, 1)),)
    with pytest.raises(ValueError, match="floating-point arrays"):
        md.Parametric(3, square, rows, [0, 1])
    with pytest.raises(TypeError, match="tuple such as"):
        md.Parametric(jnp.ones(1), square, rows[0], [0, 1])
    with pytest.raises(TypeError, match="loss must be a function"):
        md.Parametric(jnp.ones(1), 3, rows, [0, 1])
    with pytest.raises(TypeError, match="outside of jit"):
        jax.jit(lambda x: md.Parametric(jnp.ones(1), square, (x,), [0, 1]))(rows[0])

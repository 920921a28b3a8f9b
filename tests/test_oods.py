"""On-demand optimization: LazyHedge against the table, water-filling, invariants and NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import gamejax
from gamejax import games, sets
from gamejax.learners import AdaHedge
from gamejax.multidistribution import (
    HiddenCoordinates,
    OnDemandOptimization,
    maximize_on_demand,
)
from gamejax.multidistribution._observable import ask, no_caps, observable
from gamejax.solvers import SelfPlay

GEOMETRIES = jnp.array([False, True])


def lazy_hedge_numpy(indices, k, steps, rate, margin, ellipsoid):
    """The slow readable version."""
    m = len(indices)
    shifts = np.arange(1, m + 1) / m**2
    scores, total, peak, cap, rounds = np.zeros(k), np.zeros(k), np.zeros(k), np.zeros(k), 0
    for _ in range(steps):
        w = np.exp(scores - scores.max())
        w /= w.sum()
        peak = np.maximum(peak, w)
        with np.errstate(divide="ignore"):
            inside = (w**2 / cap).sum() <= 1 if ellipsoid else (w <= cap).all()
        if not inside:
            cap, rounds = margin * peak, rounds + 1
        scores[indices[np.argmin(w[indices] + shifts)]] += rate
        total += w
    point = total / steps
    return rounds, cap, point, (point[indices] + shifts).min()


@pytest.mark.parametrize(
    ("k", "m", "box", "ellipsoid", "value", "best"),
    [
        (16, 4, (5, 3.25429), (2, 2.72891), 0.39906, 0.40625),
        pytest.param(64, 8, (10, 3.63420), (3, 3.37237), 0.18488, 0.195312, marks=pytest.mark.slow),
        (256, 16, (19, 3.83004), (3, 3.01637), 0.08174, 0.095703),
    ],
)
def test_hard_instance_table(k, m, box, ellipsoid, value, best):
    instance = HiddenCoordinates(k, np.arange(m))
    run = jax.vmap(
        lambda shape: maximize_on_demand(instance, 20_000, learning_rate=0.01, geometry=shape)
    )
    found = jax.jit(run)(GEOMETRIES)
    np.testing.assert_array_equal(found.caps.num_rounds, [box[0], ellipsoid[0]])
    np.testing.assert_allclose(found.caps.overhead, [box[1], ellipsoid[1]], atol=5e-6)
    np.testing.assert_allclose(found.value, value, atol=5e-6)
    assert float(instance.value) == pytest.approx(best, abs=5e-7)
    assert (instance.value - found.value <= found.bound).all()
    assert (instance.value - found.value <= found.gap).all()


def test_water_filling_is_the_linear_program():
    rng = np.random.default_rng(0)
    for k, m in [(1, 1), (5, 3), (9, 9)]:
        indices = rng.permutation(k)[:m]
        shifts = np.arange(1, m + 1) / m**2
        rows = np.zeros((m, k + 1))
        rows[np.arange(m), indices], rows[:, -1] = -1, 1
        bounds = [(0, 1)] * k + [(None, None)]
        total = np.ones((1, k + 1))
        total[0, -1] = 0
        best = linprog(-np.eye(k + 1)[-1], rows, shifts, total, [1], bounds=bounds)
        instance = HiddenCoordinates(k, indices)
        assert float(instance.value) == pytest.approx(-best.fun, abs=1e-12)
        spilled = np.maximum(0, float(instance.value) - shifts).sum()
        assert spilled == pytest.approx(1)


def test_256_instances_margins_and_rates_in_one_call():
    k, m, steps, count = 24, 6, 600, 256
    rng = np.random.default_rng(1)
    indices = np.stack([rng.permutation(k)[:m] for _ in range(count)])
    margins, rates = rng.uniform(1.2, 6, count), rng.uniform(0.01, 0.2, count)
    shapes = rng.random(count) < 0.5

    @jax.jit
    def run(indices, margin, rate, shape):
        def one(i, c, eta, e):
            instance = HiddenCoordinates(k, i)
            return maximize_on_demand(instance, steps, learning_rate=eta, margin=c, geometry=e)

        return jax.vmap(one)(indices, margin, rate, shape)

    found = run(jnp.asarray(indices), jnp.asarray(margins), jnp.asarray(rates), jnp.asarray(shapes))
    for i in range(0, count, 16):
        rounds, cap, point, value = lazy_hedge_numpy(
            indices[i], k, steps, rates[i], margins[i], shapes[i]
        )
        assert found.caps.num_rounds[i] == rounds
        np.testing.assert_allclose(found.caps.cap[i], cap, rtol=1e-9)
        np.testing.assert_allclose(found.point[i], point, atol=1e-11)
        assert found.value[i] == pytest.approx(value, abs=1e-11)
    limit = margins[:, None] * np.asarray(found.caps.peak)
    assert (np.asarray(found.caps.cap) <= limit * (1 + 1e-12)).all()
    most = 1 + k * (1 + np.log(k) / np.log(margins))
    assert (np.asarray(found.caps.num_rounds) <= most).all()
    # On the same trajectory ellipsoids never need more rounds than boxes.
    boxes = run(indices, margins, rates, jnp.zeros(count, bool))
    round_ones = run(indices, margins, rates, jnp.ones(count, bool))
    assert (round_ones.caps.num_rounds <= boxes.caps.num_rounds).all()
    np.testing.assert_array_equal(round_ones.point, boxes.point)
    assert (float(HiddenCoordinates(k, indices[0]).value) - found.value <= found.bound).all()


def test_box_lies_in_the_ellipsoid_and_caps_only_grow():
    rng = np.random.default_rng(2)
    points = rng.dirichlet(np.full(5, 0.3), 512), rng.dirichlet(np.ones(5), 512)

    @jax.jit
    @jax.vmap
    def step(w, start, margin):
        caps = ask(no_caps(w), start, margin, False)
        box, ellipsoid = (observable(caps.cap, w, shape) for shape in (False, True))
        later = ask(caps, w, margin, False)
        return box, ellipsoid, caps.cap, later.cap, observable(later.cap, w, True)

    box, ellipsoid, before, after, seen = step(
        *map(jnp.asarray, (*points, rng.uniform(1.1, 4, 512)))
    )
    assert (~box | ellipsoid).all()
    assert box.any()
    assert (ellipsoid & ~box).any()
    assert (after >= before).all()
    assert seen.all()


def test_nothing_is_observable_before_the_first_round():
    w = jnp.array([0.0, 1.0])
    for shape in (False, True):
        caps = ask(no_caps(w), w, 2.0, shape)
        assert caps.num_rounds == 1
        np.testing.assert_array_equal(caps.cap, [0, 2])
        assert observable(caps.cap, w, shape)
        assert not observable(caps.cap, w[::-1], shape)


def distance(profile, params):
    return -jnp.sum((profile[0] - params) ** 2)


def test_smooth_objectives_in_float32_from_any_start():
    target = jnp.array([0.1, 0.2, 0.7], jnp.float32)
    objective = games.ContinuousGame([distance], [sets.Simplex(3)], target)
    start = jnp.array([0.8, 0.1, 0.1], jnp.float32)
    found = maximize_on_demand(objective, 4000, learning_rate=0.05, gradient_range=2.0, start=start)
    assert found.value.dtype == found.caps.cap.dtype == jnp.float32
    assert -float(found.value) <= float(found.bound)
    np.testing.assert_allclose(found.point, target, atol=0.03)
    assert -float(found.value) <= float(found.gap) + 1e-6


@pytest.mark.slow
def test_other_learners_play_the_game():
    target = jnp.array([0.1, 0.2, 0.7])
    objective = games.ContinuousGame([distance], [sets.Simplex(3)], target)
    game = OnDemandOptimization(objective, 2.0, "ellipsoid")
    other = gamejax.play(game, SelfPlay(AdaHedge()), 500, record=500).solution
    assert 1 <= int(other.state.game[0].num_rounds) <= 1 + 3 * (1 + math.log2(3))
    np.testing.assert_allclose(other.profile[0], target, atol=0.1)


@pytest.mark.slow
def test_larger_margins_and_ellipsoids_trade_samples_for_rounds():
    instance = HiddenCoordinates(64, np.arange(8))
    margins = jnp.array([1.25, 2.0, 8.0])
    run = jax.jit(
        jax.vmap(lambda c: maximize_on_demand(instance, 3000, learning_rate=0.05, margin=c))
    )
    caps = run(margins).caps
    assert (jnp.diff(caps.num_rounds) < 0).all()
    assert (jnp.diff(caps.overhead) > 0).all()


def test_bad_input():
    instance = HiddenCoordinates(4, [1, 2])
    with pytest.raises(ValueError, match="margin must be > 1, got 1"):
        maximize_on_demand(instance, 5, margin=1)
    with pytest.raises(ValueError, match="geometry must be"):
        maximize_on_demand(instance, 5, geometry="ball")
    with pytest.raises(TypeError, match="objective must be a game with one player"):
        OnDemandOptimization(lambda w: w)
    with pytest.raises(ValueError, match="one player on one Simplex"):
        OnDemandOptimization(games.MatrixGame(np.eye(2)))
    with pytest.raises(ValueError, match="indices must be a vector of 1 to 2"):
        HiddenCoordinates(2, [0, 1, 1])

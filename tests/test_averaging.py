"""Averaging rules: closed-form weights, discounted averages, digits over long float32 runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import games, learners, metrics, solvers
from gamejax.sets import Simplex

GAME = games.MatrixGame(np.array([[2.0, -1.0], [-1.0, 1.0]]))
POINTS = jax.random.dirichlet(jax.random.key(0), jnp.ones(3, jnp.float64), (50,), jnp.float64)


def averages(rule, points):
    """The rule's value after every round, `points[t]` being played in round t + 1."""

    def step(state, moment):
        t, point = moment
        state = rule.update(GAME, state, (point,), t)
        return state, rule.value(state, (point,))[0]

    steps = jnp.arange(1, len(points) + 1, dtype=jnp.int32)
    return jax.lax.scan(step, rule.init((points[0],)), (steps, points))[1]


@pytest.mark.parametrize(
    ("rule", "exponent"),
    [
        (solvers.Uniform(), 0),
        (solvers.Linear(), 1),
        (solvers.Quadratic(), 2),
        (solvers.Power(0.0), 0),
        (solvers.Power(2), 2),
        (solvers.Power(1.5), 1.5),
    ],
)
def test_weights(rule, exponent):
    weights = np.arange(1.0, 51) ** exponent
    expected = np.cumsum(weights[:, None] * POINTS, 0) / np.cumsum(weights)[:, None]
    np.testing.assert_allclose(jax.jit(averages)(rule, POINTS), expected, atol=1e-14)


@pytest.mark.parametrize("rule", [solvers.Uniform(), solvers.Linear(), solvers.Last()])
def test_before_the_first_round_the_next_strategies_are_vouched_for(rule):
    state = rule.init((POINTS[0],))
    np.testing.assert_array_equal(rule.value(state, (POINTS[3],))[0], POINTS[3])


def test_last_is_what_the_next_round_plays():
    way = gamejax.play(
        GAME,
        solvers.SelfPlay(learners.Hedge(0.5), averaging=solvers.Last()),
        5,
        record=lambda s: s.strategies,
    )
    for own, recorded in zip(way.solution.profile, way.records, strict=True):
        np.testing.assert_array_equal(own, recorded[-1])


def test_best_keeps_the_best_profile_played():
    solver = solvers.SelfPlay(learners.Hedge(0.5), averaging=solvers.Best(metrics.nash_gap))
    way = gamejax.play(GAME, solver, 40, record=lambda s: s.strategies)
    start = metrics.nash_gap(GAME, tuple(s.center(jnp.float64) for s in GAME.strategy_sets))
    # After round t the strategies of rounds 1, ..., t have been judged, not those of t + 1.
    played = jnp.concatenate(
        [start[None], jax.vmap(lambda *x: metrics.nash_gap(GAME, x))(*way.records)[:-1]]
    )
    np.testing.assert_allclose(way.gaps, jax.lax.cummin(played), atol=1e-14)


def test_discounted_regret_matching_averages():
    solver = solvers.SelfPlay(
        learners.DiscountedRegretMatching(1.5, 0.0), averaging=solvers.Power(2)
    )
    way = gamejax.play(GAME, solver, 4, record=lambda s: solver.profile(s))
    np.testing.assert_allclose(way.records[0][1], [0.9, 0.1], atol=1e-12)
    np.testing.assert_allclose(way.records[1][1], [0.1, 0.9], atol=1e-12)
    np.testing.assert_allclose(way.records[0][3], [0.16875, 0.83125], atol=1e-12)
    np.testing.assert_allclose(way.records[1][3], [0.3233923, 0.6766077], atol=1e-7)


def test_differentiable_in_the_exponent_and_mapped_over_it():
    def last(exponent):
        return averages(solvers.Power(exponent), POINTS)[-1][0]

    exponents = jnp.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(
        jax.jit(jax.vmap(last))(exponents),
        [averages(solvers.Power(float(p)), POINTS)[-1][0] for p in exponents],
        atol=1e-14,
    )
    difference = (last(1.5 + 1e-6) - last(1.5 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(last)(1.5), difference, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [solvers.Uniform(), solvers.Linear(), solvers.Quadratic()])
def test_a_million_float32_rounds_keep_their_digits(rule):
    # A plain float32 sum of so many terms has an error of about 1e-3.
    length, center = 1_000_000, Simplex(3).center(jnp.float32)

    @jax.jit
    def run(rule):
        def step(state, t):
            angle = t.astype(jnp.float32) * jnp.float32(1e-3)
            point = jax.nn.softmax(jnp.sin(angle + jnp.arange(3, dtype=jnp.float32)))
            single, wide = state
            weight = rule.weight(t.astype(jnp.float64))
            wide = (wide[0] + weight * point.astype(jnp.float64), wide[1] + weight)
            return (rule.update(GAME, single, (point,), t), wide), None

        zero = (jnp.zeros(3, jnp.float64), jnp.zeros((), jnp.float64))
        steps = jnp.arange(1, length + 1, dtype=jnp.int32)
        (single, wide), _ = jax.lax.scan(step, (rule.init((center,)), zero), steps)
        return rule.value(single, (center,))[0], wide[0] / wide[1]

    found, exact = run(rule)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found.astype(jnp.float64), exact, atol=2e-7)


@pytest.mark.slow
def test_a_million_rounds_of_float32_self_play_agree_with_their_regrets():
    # The gap of the uniform average is the regret sum over T: both sides are long sums.
    matrix = jax.random.uniform(jax.random.key(2), (4, 4), jnp.float32, -1, 1)
    game = games.MatrixGame(matrix)
    solution = gamejax.solve(
        game, solvers.SelfPlay(learners.Hedge(0.05)), tol=0.0, max_steps=1_000_000
    )
    total = solution.stats["regrets"].sum() / 1e6
    np.testing.assert_allclose(metrics.nash_conv(game, solution.profile), total, atol=1e-6)

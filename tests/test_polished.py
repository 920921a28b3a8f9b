"""Polishing: every game to rounding, never worse than the solver inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import RESULTS, games, learners, metrics, solvers
from gamejax.sets import CappedSimplex

SELF_PLAY = solvers.SelfPlay(
    learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
)


def certificate(payoffs, profile):
    """The largest gain of any player, in NumPy."""
    worst = 0.0
    for i in range(len(profile)):
        table = payoffs[i]
        for axis in reversed(range(len(profile))):
            if axis != i:
                table = np.tensordot(table, profile[axis], (axis, 0))
        worst = max(worst, table.max() - table @ profile[i])
    return worst


def solve(game, solver, tol, max_steps):
    return gamejax.solve(game, solver, tol=tol, max_steps=max_steps)


@jax.jit
def polished_zero_sum(game, max_steps):
    solver = solvers.Polished(SELF_PLAY)
    return jax.vmap(lambda g: solve(g, solver, 1e-9, max_steps))(game)


@jax.jit
def interior_zero_sum(game):
    solver = solvers.Polished(SELF_PLAY, interior_point=True)
    return jax.vmap(lambda g: solve(g, solver, 1e-9, 0))(game)


@jax.jit
def plain_zero_sum(game, max_steps):
    return jax.vmap(lambda g: solve(g, SELF_PLAY, 1e-9, max_steps))(game)


def zero_sum_games(count=64):
    """Random 6 x 6 games, degenerate ones, copies of actions, and smaller ones (masked)."""
    rng = np.random.default_rng(0)
    matrices = [rng.uniform(-1, 1, (6, 6)) for _ in range(count)]
    matrices[1] = rng.integers(-1, 2, (6, 6)).astype(float)
    matrices[2] = np.zeros((6, 6))
    matrices[3] = np.ones((6, 6)) + 1e3
    matrices[4][3:] = matrices[4][:3]
    matrices[5][:, 1] = matrices[5][:, 0]
    matrices[6] = matrices[6][:2]
    matrices[7] = matrices[7][:, :1]
    matrices[8] = np.eye(6)
    matrices[9] = 1e-3 * matrices[9]
    return matrices


def test_every_zero_sum_game_to_rounding():
    matrices = zero_sum_games()
    stacked = games.pad_games([games.MatrixGame(a) for a in matrices])
    solution = jax.device_get(polished_zero_sum(stacked, 20_000))
    plain = jax.device_get(plain_zero_sum(stacked, 2_000))
    assert (solution.result == RESULTS.successful).all()
    for k, a in enumerate(matrices):
        x, y = solution.profile[0][k][: len(a)], solution.profile[1][k][: a.shape[1]]
        assert certificate([a, -a], (x, y)) <= 1e-9
        for s, own in ((solution.profile[0][k], x), (solution.profile[1][k], y)):
            assert (s >= 0).all()
            assert abs(own.sum() - 1) <= 1e-12
            assert (s[len(own) :] == 0).all()
    # Alone the solver leaves some of them unfinished; polishing is what ended the others.
    assert (plain.result != RESULTS.successful).sum() >= 3
    assert solution.stats["polished"].sum() >= 40
    assert np.median(solution.stats["num_steps"]) <= 200
    # With interior-point steps nothing is left to be played.
    inside = interior_zero_sum(stacked)
    assert (inside.result == RESULTS.successful).all()
    assert (inside.gap <= 1e-9).all()


@pytest.mark.parametrize("shape", [(4, 5), pytest.param((3, 3, 3), marks=pytest.mark.slow)])
def test_never_worse_than_the_solver_inside_and_mostly_exact(shape):
    rng = np.random.default_rng(1)
    payoffs = rng.uniform(-1, 1, (32, len(shape), *shape))
    payoffs[0] = np.round(payoffs[0])
    payoffs[1][:, 1] = payoffs[1][:, 0]

    @jax.jit
    def both(p):
        def one(p):
            game = games.NormalFormGame(p)
            runs = [solve(game, s, 0.0, 300) for s in (SELF_PLAY, solvers.Polished(SELF_PLAY))]
            return [(s.gap, s.profile, s.stats) for s in runs]

        return jax.vmap(one)(p)

    (plain, *_), (gap, profile, stats) = jax.device_get(both(jnp.asarray(payoffs)))
    assert (gap <= plain).all()
    improved = (gap <= 1e-9) & (plain > 1e-9)
    assert stats["polished"][improved].any()
    for k, p in enumerate(payoffs):
        assert certificate(p, [x[k] for x in profile]) == pytest.approx(gap[k], abs=1e-12)
    exact = (gap <= 1e-9).sum()
    assert exact >= (plain <= 1e-9).sum() + (5 if len(shape) == 2 else 1)
    assert exact >= (24 if len(shape) == 2 else 12)


def test_float32_state_and_gradient():
    a = np.array([[3.0, -1.0, 0.5], [-2.0, 1.0, -0.2], [0.1, -0.9, -1.5]])
    solver = solvers.Polished(SELF_PLAY, num_rounds=3)
    single = solve(games.MatrixGame(jnp.asarray(a, jnp.float32)), solver, 1e-6, 2_000)
    assert single.gap.dtype == jnp.float32
    assert single.result == RESULTS.successful

    def probability(b):
        solution = gamejax.solve(
            games.MatrixGame(b), solver, tol=1e-12, max_steps=2_000, adjoint=gamejax.Implicit()
        )
        return solution.profile[0][0] + solution.profile[1][1]

    both = jax.jit(jax.value_and_grad(probability))
    value, slope = both(jnp.asarray(a))
    moved = a + 1e-6 * np.eye(3)[::-1]
    assert (both(jnp.asarray(moved))[0] - value) / 1e-6 == pytest.approx(
        float((slope * np.eye(3)[::-1]).sum()), abs=1e-4
    )


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_rounds must be at least 1"):
        solvers.Polished(SELF_PLAY, num_rounds=0)
    game = games.MatrixGame(np.eye(2))
    joint = solvers.SelfPlay(learners.Hedge(), output="joint")
    with pytest.raises(TypeError, match="not of a Joint"):
        gamejax.solve(game, solvers.Polished(joint))
    capped = games.MatrixGame(np.eye(2), [CappedSimplex(2, 0.8)] * 2)
    with pytest.raises(TypeError, match="Simplex"):
        gamejax.solve(capped, solvers.Polished(solvers.Extragradient()), max_steps=10)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [(8, 1024), (16, 256)])
def test_many_random_games(size, count):
    payoffs = jax.random.uniform(jax.random.key(0), (count, size, size), jnp.float64, -1, 1)
    solution = polished_zero_sum(jax.vmap(games.MatrixGame)(payoffs), 300_000)
    assert (solution.gap <= 1e-9).all()
    gaps = jax.vmap(metrics.nash_conv)(jax.vmap(games.MatrixGame)(payoffs), solution.profile)
    assert (gaps <= 2e-9).all()

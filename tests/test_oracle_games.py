"""Games given by a function: uniform draws, sub-games, sampled certificates and equilibria."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import games, learners, metrics, solvers
from gamejax._joint import Joint, Sparse

BILLION = 10**9
HEDGE = solvers.SelfPlay(learners.Hedge())


def waves(actions, params):
    """Two players on a circle of `count` places: payoffs in [0, 1] of angles alone."""
    count, phase = params
    x, y = ((a.astype(jnp.float32) + 0.5) / count for a in actions)
    first = 0.5 + 0.5 * jnp.sin(6 * x + 7 * x * y - 5 * y)
    return first, 0.5 + 0.25 * jnp.cos(9 * x - 6 * y + phase) + 0.25 * jnp.cos(20 * y)


def circle(count, phase=0.0):
    params = (jnp.float32(count), jnp.float32(phase))
    return games.OracleGame(waves, (count, count), params)


def lookup(actions, tensors):
    return tensors[(slice(None), *actions)]


def table(shape, seed=0):
    tensors = np.random.default_rng(seed).uniform(size=(len(shape), *shape))
    return games.OracleGame(lookup, shape, jnp.asarray(tensors)), games.NormalFormGame(tensors)


@pytest.mark.parametrize("count", [1, 7, 1000, BILLION, 2**31 - 1])
def test_uniform_draws_are_exact(count):
    """The upper 64 bits of a product of a 64-bit word, in 32-bit arithmetic, against Python's."""
    key = jax.random.key(3)
    drawn = np.asarray(games.uniform_actions(key, count, (4000,)))
    high, low = (np.asarray(w) for w in jax.random.bits(key, (2, 4000), jnp.uint32))
    words = [(int(h) << 32) + int(w) for h, w in zip(high, low, strict=True)]
    assert drawn.dtype == np.int32
    assert drawn.tolist() == [word * count >> 64 for word in words]


def test_uniform_draws_are_uniform():
    """Also where 32-bit remainders favor the first 295 million of a billion by a quarter."""
    drawn = np.asarray(games.uniform_actions(jax.random.key(0), BILLION, (1_000_000,)))
    share = np.mean(drawn < 2**32 % BILLION)
    assert abs(share - (2**32 % BILLION) / BILLION) < 4 * 0.5e-3
    counts = np.histogram(drawn, 64, (0, BILLION))[0]
    expected = 1_000_000 / 64
    assert np.sum((counts - expected) ** 2 / expected) < 63 + 5 * np.sqrt(2 * 63)


@pytest.mark.parametrize(
    "shape",
    [(3, 2, 4), *(pytest.param(s, marks=pytest.mark.slow) for s in ((4, 3), (5,)))],
)
def test_small_oracle_games_are_normal_form_games(shape):
    """Utilities, payoffs and gaps agree; strategies may be sparse, with repeated actions."""
    oracle, normal = table(shape)
    keys = jax.random.split(jax.random.key(1), len(shape))
    dense = tuple(jax.random.dirichlet(k, jnp.ones(n)) for k, n in zip(keys, shape, strict=True))
    few = tuple(Sparse(jnp.array([n - 1, 0, n - 1]), jnp.array([0.2, 0.5, 0.3])) for n in shape)
    full = tuple(x.dense(n) for x, n in zip(few, shape, strict=True))

    @jax.jit
    def everything(game, x, y):
        smooth = metrics.smooth_gap(games.smoothed(game, sigma=0.5), x, sigma=0.5)
        violation = metrics.cap_violation(game, y, sigma=1.0)
        gap = metrics.nash_gap(game, x)
        return (
            game.utilities(x),
            game.utilities(y),
            game.expected_payoffs(y),
            smooth,
            violation,
            gap,
        )

    found, expected = everything(oracle, dense, few), everything(normal, dense, full)
    chex.assert_trees_all_close(found, expected, rtol=1e-12)
    assert [float(x.largest) for x in few] == [float(x.max()) for x in full]
    assert oracle.utility_range(0) == 1


@pytest.mark.slow
def test_any_solver_solves_a_small_oracle_game():
    oracle, normal = table((3, 3))
    strong = games.smoothed(oracle, sigma=0.8)
    solution = gamejax.solve(strong, solvers.SmoothHomotopy(), tol=1e-7, check_every=20)
    assert solution.gap <= 1e-7
    equal = metrics.nash_gap(games.smoothed(normal, sigma=0.8), solution.profile)
    np.testing.assert_allclose(equal, solution.gap, atol=1e-12)


def test_sub_games():
    oracle, normal = table((5, 4, 3))
    actions = tuple(jnp.array(a) for a in ([4, 0, 4], [1], [2, 0]))
    sub_game = games.restrict(oracle, actions)
    np.testing.assert_allclose(sub_game.payoffs, normal.payoffs[(slice(None), *np.ix_(*actions))])
    drawn = games.subsample_game(jax.random.key(0), oracle, (2, 3, 4))
    assert [a.shape for a in drawn.actions] == [(2,), (3,), (4,)]
    np.testing.assert_allclose(
        drawn.game.payoffs, normal.payoffs[(slice(None), *np.ix_(*drawn.actions))]
    )


def test_sampled_bounds_hold_as_often_as_they_say():
    """Against the exact smooth gap of games small enough to write out, over many draws."""
    shape, tests, draws, delta = (300, 40), 400, 1000, 0.2
    values = np.random.default_rng(1).beta(0.3, 2.0, size=(2, *shape))  # a heavy upper tail
    oracle = games.OracleGame(lookup, shape, jnp.asarray(values))
    profile = (
        Sparse(jnp.array([299, 17, 3]), jnp.array([0.1, 0.7, 0.2])),
        Sparse(jnp.array([3, 17, 3]), jnp.array([0.5, 0.25, 0.25])),
    )
    full = (profile[0].dense(300), profile[1].dense(40))
    normal = games.NormalFormGame(values)

    @jax.jit
    def run(sigma, key):
        keys = jax.random.split(key, draws)
        return jax.vmap(
            lambda k: metrics.sampled_smooth_gap(
                oracle, profile, sigma=sigma, num_tests=tests, delta=delta, key=k
            )
        )(keys)

    for sigma in (0.02, 0.2, 1.0):
        sigmas = [max(sigma, 1 / n) for n in shape]
        exact = np.asarray(metrics.gains(games.smoothed(normal, sigma=sigmas), full))
        found = run(sigma, jax.random.key(5))
        radius = np.sqrt(np.log(2 * 2 / delta) / (2 * tests)) / sigma
        np.testing.assert_allclose(found.radius, radius)
        gains, upper = np.asarray(found.gains), np.asarray(found.upper)
        assert np.mean(np.any(np.abs(gains - exact) > radius, 1)) <= delta
        assert np.mean(np.any(upper < exact, 1)) <= delta
        # The upper bound is never beyond the radius, and for small sigma much nearer.
        assert np.all((upper >= gains) & (upper <= gains + radius + 1e-12))
        assert sigma > 0.02 or np.mean(upper - gains) < 0.3 * radius


def test_bounds_that_payoffs_leave_are_noticed():
    oracle = games.OracleGame(lookup, (3, 3), jnp.full((2, 3, 3), 1.5))
    profile = (jnp.full(3, 1 / 3),) * 2
    test = functools.partial(metrics.sampled_smooth_gap, sigma=0.5, num_tests=8)
    assert np.all(np.isnan(test(oracle, profile, key=jax.random.key(0)).upper))
    wide = games.OracleGame(lookup, (3, 3), oracle.params, bounds=(1.0, 2.0))
    np.testing.assert_allclose(test(wide, profile, key=jax.random.key(0)).gains, 0)


def true_gaps(game, profile, sigma, grid=20_000):
    """NumPy, float64: smooth gaps of the waves, the actions a fine grid of the circle."""
    count, phase = (float(p) for p in game.params)
    places = [(np.asarray(x.actions) + 0.5) / count for x in profile]
    weights = [np.asarray(x.probabilities, float) for x in profile]
    every = (np.arange(grid) + 0.5) / grid

    def payoffs(x, y):
        first = 0.5 + 0.5 * np.sin(6 * x + 7 * x * y - 5 * y)
        return first, 0.5 + 0.25 * np.cos(9 * x - 6 * y + phase) + 0.25 * np.cos(20 * y)

    received = [weights[0] @ p @ weights[1] for p in payoffs(places[0][:, None], places[1][None])]
    against = [
        sum(w * payoffs(every, y)[0] for w, y in zip(weights[1], places[1], strict=True)),
        sum(w * payoffs(x, every)[1] for w, x in zip(weights[0], places[0], strict=True)),
    ]
    top = int(sigma * grid)
    return [np.sort(a)[-top:].mean() - got for a, got in zip(against, received, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("capped", [False, True])
def test_a_billion_actions(capped):
    """Certified gaps of a batch of keys and games, each true; the same again from the same key."""
    solver = solvers.SubsampledGame(
        HEDGE, num_candidates=48, num_tests=4000, sigma=0.1, num_steps=300, capped=capped
    )
    game = circle(BILLION)
    keys = jax.random.split(jax.random.key(0), 6)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def run(key, game):
        return gamejax.solve(game, solver, tol=0.2, key=key)

    solution = run(keys, game)
    assert solution.gap.dtype == jnp.float32
    assert np.all(np.asarray(solution.result == gamejax.RESULTS.successful))
    assert solution.stats["radius"].max() > solution.gap.max()
    for i in range(6):
        profile = jax.tree.map(lambda x, i=i: x[i], solution.profile)
        actions = np.asarray(profile[0].actions)
        assert actions.min() >= 0
        assert actions.max() > BILLION // 2
        gaps = true_gaps(game, profile, 0.1)
        assert max(gaps) <= float(solution.gap[i])
        assert abs(max(gaps) - float(solution.stats["smooth_gap"][i])) < 0.05
        largest = max(float(x.largest) for x in profile)
        np.testing.assert_allclose(solution.stats["cap_violation"][i], largest - 1e-8, rtol=1e-5)
        if capped:
            assert largest <= 1 / (0.1 * 48) + 1e-6
    # The certificate is a function of the profile alone.
    certify = jax.jit(jax.vmap(solver.certificate, in_axes=(None, 0)))
    recomputed = certify(game, solution.profile)
    np.testing.assert_allclose(recomputed, solution.gap, atol=1e-5)
    again = run(keys[jnp.zeros(6, jnp.int32)], circle(BILLION, 0.5))  # compiled once
    assert again.gap[0] == again.gap[1] != solution.gap[0]


def test_three_players_of_a_million_actions():
    def meet(actions):
        x, y, z = (a.astype(jnp.float32) / 1e6 for a in actions)
        return jnp.stack([1 - (x - y) ** 2, 1 - (y - z) ** 2, 0.5 + 0.5 * jnp.cos(9 * (z - x))])

    game = games.OracleGame(meet, (10**6,) * 3)
    solver = solvers.SubsampledGame(
        HEDGE, num_candidates=12, num_tests=1000, sigma=0.3, num_steps=200, delta=0.1
    )
    solution = gamejax.solve(game, solver, tol=0.3, key=jax.random.key(1))
    assert solution.gap < 0.3
    assert solution.gap >= solution.stats["smooth_gap"]
    shown = str(solution)
    assert shown.startswith("successful: gap")
    best = int(solution.profile[0].actions[jnp.argmax(solution.profile[0].probabilities)])
    assert f"[{best}] " in shown


def test_unreached_tolerances_are_reported():
    solver = solvers.SubsampledGame(HEDGE, num_candidates=2, num_tests=10, sigma=0.5, num_steps=1)
    solution = gamejax.solve(circle(1000), solver, tol=0.0, key=jax.random.key(0))
    assert solution.result == gamejax.RESULTS.stalled
    assert solution.state.step == 1


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: games.OracleGame(3, (2, 2)), TypeError, "payoff_function must be a function"),
        (lambda: games.OracleGame(waves, 3), TypeError, "num_actions must be a sequence"),
        (lambda: games.OracleGame(waves, (2, 2**31)), ValueError, "from 1 to"),
        (lambda: games.OracleGame(waves, (2, 0)), ValueError, "from 1 to"),
        (lambda: games.OracleGame(lambda a: a, (2.5, 2)), TypeError, "integers"),
        (lambda: games.OracleGame(lambda a: a[:1], (2, 2)), ValueError, "one per player"),
        (
            lambda: circle(BILLION).utility(0, (Sparse(jnp.zeros(1, int), jnp.ones(1)),) * 2),
            ValueError,
            "SubsampledGame",
        ),
        (lambda: games.restrict(circle(5), [jnp.zeros(2, int)]), ValueError, "one array per"),
        (
            lambda: games.subsample_game(jax.random.key(0), circle(5), (2, 0)),
            ValueError,
            "num_candidates",
        ),
        (
            lambda: games.subsample_game(jax.random.key(0), circle(5), 10**6),
            ValueError,
            "bytes",
        ),
        (
            lambda: solvers.SubsampledGame(HEDGE, num_candidates=2, num_tests=2, sigma=1.5),
            ValueError,
            r"sigma must lie in \(0, 1\]",
        ),
        (
            lambda: solvers.SubsampledGame(
                HEDGE, num_candidates=2, num_tests=2, sigma=0.5, delta=0.9
            ),
            ValueError,
            "delta must lie",
        ),
        (
            lambda: solvers.SubsampledGame(
                learners.Hedge(), num_candidates=2, num_tests=2, sigma=1
            ),
            TypeError,
            "solver must be",
        ),
        (
            lambda: solvers.SubsampledGame(HEDGE, num_candidates=0, num_tests=2, sigma=1.0),
            ValueError,
            "num_candidates must be at least 1",
        ),
        (
            lambda: gamejax.solve(
                games.MatrixGame(np.eye(2)),
                solvers.SubsampledGame(HEDGE, num_candidates=2, num_tests=2, sigma=1.0),
            ),
            TypeError,
            "solves an OracleGame",
        ),
        (
            lambda: metrics.sampled_smooth_gap(
                games.MatrixGame(np.eye(2)), (), sigma=0.5, num_tests=3, key=jax.random.key(0)
            ),
            TypeError,
            "tests an OracleGame",
        ),
        (
            lambda: metrics.cap_violation(
                games.MatrixGame(np.eye(2)), Joint(jnp.eye(2) / 2), cap=0.6
            ),
            TypeError,
            "not a Joint",
        ),
    ],
)
def test_refusals(build, kind, message):
    with pytest.raises(kind, match=message):
        build()

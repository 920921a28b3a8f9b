"""Batches of self-play take the fast layout, and nothing but the time changes."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import _lanes, games, learners, solvers
from gamejax._lanes import repeat
from gamejax.feedback import BanditFeedback
from gamejax.regularizers import Euclidean
from gamejax.sets import Simplex
from gamejax.solvers import SelfPlay

MARK = 'xla_cpu_small_call = "true"'
BATCH = 70  # a whole chunk and a piece of another


def payoffs(*shape, dtype=jnp.float64):
    return jax.random.uniform(jax.random.key(0), shape, dtype, -1, 1)


def advanced(solver, make, count=7):
    """What `count` rounds make of one game."""

    def run(matrix, count=count):
        game = make(matrix)
        state = solver.init(game, key=None, dtype=game.dtype)
        state = solver.advance(game, state, jnp.int32(0), count, key=None)
        return solver.profile(state), state

    return run


def masked(matrix):
    mask = matrix[:, 0] < 0.5
    return games.MatrixGame(matrix, (Simplex(4, mask.at[1].set(True)), Simplex(3)))


CASES = {
    "hedge-masked": (SelfPlay(learners.Hedge()), masked, (4, 3)),
    "prm+": (
        SelfPlay(
            learners.PredictiveRegretMatchingPlus(0.1),
            averaging=solvers.Quadratic(),
            alternating=True,
        ),
        games.MatrixGame,
        (8, 8),
    ),
    "two-learners": (
        SelfPlay(
            (learners.RegretMatchingPlus(), learners.DiscountedRegretMatching()),
            averaging=solvers.Power(1.5),
            alternating=True,
            order=(1, 0),
        ),
        lambda p: games.bimatrix(p[0], p[1]),
        (2, 3, 2),
    ),
    "three-players-joint": (
        SelfPlay(learners.Hedge(0.3, optimism=1.0), output="joint"),
        games.NormalFormGame,
        (3, 2, 3, 2),
    ),
    "projections": (
        SelfPlay(
            (learners.MirrorDescent(Euclidean(), 0.3), learners.BestResponse()),
            averaging=solvers.Last(),
        ),
        games.MatrixGame,
        (3, 3),
    ),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, jnp.float64) for name in CASES), ("hedge-masked", jnp.float32)]
)
def test_a_batch_equals_its_games(name, dtype, monkeypatch):
    solver, make, shape = CASES[name]
    batch = payoffs(BATCH, *shape, dtype=dtype)
    fast = jax.jit(jax.vmap(advanced(solver, make)))
    assert (MARK in fast.lower(batch).as_text()) == _lanes.TESTED
    found = fast(batch)
    monkeypatch.setattr(_lanes, "LANES", BATCH + 1)
    plain = jax.jit(jax.vmap(advanced(solver, make)))
    assert MARK not in plain.lower(batch).as_text()
    # Regret learners amplify rounding.
    chex.assert_trees_all_close(found, plain(batch), atol=1e-11 if dtype == jnp.float64 else 1e-4)
    chex.assert_trees_all_equal_dtypes(found, plain(batch))


def logistic(fixed, state, i):
    """A step with a product, reductions, a counter and something that never changes."""
    rate, matrix = fixed
    x, count, kept = state
    moved = jax.nn.softmax(rate * (matrix @ x) + x.max() - jnp.sum(x * x))
    return moved, count + 1, kept


def iterate(rate, matrix, start, count=5):
    return repeat(
        logistic, jnp.asarray(count, jnp.int32), (rate, matrix), (start, jnp.int32(0), rate)
    )


def naive(rate, matrix, start, count=5):
    state = start, jnp.int32(0), rate
    for i in range(count):
        state = logistic((rate, matrix), state, i)
    return state


RATES = jnp.linspace(0.5, 1.5, BATCH)
MATRICES = payoffs(BATCH, 3, 3)
STARTS = jax.nn.softmax(payoffs(BATCH, 3))


@pytest.mark.parametrize(
    "axes",
    [(0, 0, 0), (None, 0, 0), (0, None, 0), (0, 0, None), (0, None, None), (None, None, 0)],
    ids=str,
)
def test_shared_parts_are_not_repeated(axes):
    args = [
        x if axis == 0 else x[0] for x, axis in zip((RATES, MATRICES, STARTS), axes, strict=True)
    ]
    found = jax.jit(jax.vmap(iterate, axes))(*args)
    for k in (0, 63, 64, BATCH - 1):
        own = [x[k] if axis == 0 else x for x, axis in zip(args, axes, strict=True)]
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, k=k: x[k], found), naive(*own), atol=1e-14
        )


def first_entry(run, rate, matrix, start):
    return run(rate, matrix, start)[0][0]


FORWARD = {
    "jvp": lambda f: lambda *a: jax.jvp(f, a, a)[1],
    "jacfwd": lambda f: jax.jacfwd(f, argnums=1),
    "second": lambda f: jax.jacfwd(jax.jacfwd(f)),
    "checkpoint": lambda f: jax.checkpoint(f),
    "checkpoint-jacfwd": lambda f: jax.jacfwd(jax.checkpoint(f), argnums=2),
}


@pytest.mark.parametrize("name", FORWARD)
def test_derivatives_in_every_order(name):
    transform = FORWARD[name]
    ours, theirs = (functools.partial(first_entry, run) for run in (iterate, naive))
    expected = jax.jit(jax.vmap(transform(theirs)))(RATES, MATRICES, STARTS)
    inside = jax.jit(jax.vmap(transform(ours)))(RATES, MATRICES, STARTS)
    np.testing.assert_allclose(inside, expected, atol=1e-12)
    if name == "jvp":
        tangents = RATES, MATRICES, STARTS
        _, outside = jax.jvp(jax.jit(jax.vmap(ours)), tangents, tangents)
        np.testing.assert_allclose(outside, expected, atol=1e-12)


def test_two_batches_in_one():
    rates = jnp.array([0.5, 2.0])
    run = jax.vmap(jax.vmap(iterate, (None, 0, 0)), (0, None, None))
    found = jax.jit(run)(rates, MATRICES, STARTS)
    for k, rate in enumerate(rates):
        expected = jax.jit(jax.vmap(naive, (None, 0, 0)))(rate, MATRICES, STARTS)
        chex.assert_trees_all_close(jax.tree.map(lambda x, k=k: x[k], found), expected, atol=1e-14)
    # Counts that differ in the outer batch, and in the inner one, where nothing is fast.
    counts = jnp.array([0, 3])
    outer = jax.vmap(
        lambda c: jax.vmap(functools.partial(iterate, count=c))(RATES, MATRICES, STARTS)
    )
    found = jax.jit(outer)(counts)
    for k, count in enumerate((0, 3)):
        expected = jax.vmap(functools.partial(naive, count=count))(RATES, MATRICES, STARTS)
        chex.assert_trees_all_close(jax.tree.map(lambda x, k=k: x[k], found), expected, atol=1e-14)
    inner = jax.jit(jax.vmap(iterate))(RATES, MATRICES, STARTS, jnp.arange(BATCH))
    np.testing.assert_array_equal(inner[1], np.arange(BATCH))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_constants_and_known_counts(count):
    # The compiler knows everything here, and folds and drops what it likes.
    found = jax.jit(
        lambda: jax.vmap(functools.partial(iterate, count=count))(RATES, MATRICES, STARTS)
    )()
    expected = jax.vmap(functools.partial(naive, count=count))(RATES, MATRICES, STARTS)
    chex.assert_trees_all_close(found, expected, atol=1e-14)


def test_inside_shard_map():
    mesh = jax.make_mesh((1,), ("games",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("games")

    def run(rates, matrices):
        # The start varies with the data; a counter and what is shared need not.
        return jax.vmap(lambda r, m: iterate(r, m, 0.3 + 0 * m[0]))(rates, matrices)

    sharded = jax.jit(
        jax.shard_map(
            run,
            mesh=mesh,
            in_specs=(spec, spec),
            out_specs=(spec, jax.sharding.PartitionSpec(), spec),
        )
    )
    chex.assert_trees_all_close(sharded(RATES, MATRICES), jax.jit(run)(RATES, MATRICES), atol=1e-14)


def test_solve_in_a_batch():
    solver = SelfPlay(
        learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
    )

    def run(matrix):
        return gamejax.solve(games.MatrixGame(matrix), solver, tol=1e-3)

    batch = payoffs(BATCH, 4, 4)
    lowered = jax.jit(jax.vmap(run)).lower(batch)
    assert (MARK in lowered.as_text()) == _lanes.TESTED
    found = lowered.compile()(batch)
    assert found.gap.max() <= 1e-3
    one = run(batch[3])
    assert one.stats["num_steps"] == found.stats["num_steps"][3]
    np.testing.assert_allclose(one.gap, found.gap[3], rtol=1e-6)
    np.testing.assert_allclose(one.stats["regrets"], found.stats["regrets"][3], atol=1e-9)
    slope = jax.jit(jax.vmap(jax.grad(lambda matrix: run(matrix).gap)))(batch)
    np.testing.assert_allclose(slope.sum((1, 2)), 0, atol=1e-9)  # a shift of payoffs changes no gap
    assert jnp.abs(slope).sum((1, 2)).max() > 0.1


def test_draws_are_those_of_single_games():
    solver = SelfPlay(learners.Hedge(0.1), feedback=BanditFeedback())
    batch, keys = payoffs(64, 3, 3), jax.random.split(jax.random.key(5), 64)

    def run(matrix, key):
        solution = gamejax.solve(
            games.MatrixGame(matrix), solver, key=key, tol=0.0, max_steps=20, check_every=10
        )
        return solution.profile

    mapped = jax.jit(jax.vmap(run))
    assert MARK not in mapped.lower(batch, keys).as_text()
    found = mapped(batch, keys)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[9], found), run(batch[9], keys[9]), atol=1e-12
    )


def test_large_games_run_in_pieces_that_fit_the_cache(monkeypatch):
    solver = SelfPlay(learners.RegretMatchingPlus(), averaging=solvers.Linear())
    batch = payoffs(40, 33, 34)
    expected = jax.jit(jax.vmap(advanced(solver, games.MatrixGame)))(batch)
    monkeypatch.setattr(_lanes, "CACHE", 16 * 33 * 34 * 8)
    found = jax.jit(jax.vmap(advanced(solver, games.MatrixGame)))(batch)
    chex.assert_trees_all_close(found, expected, atol=1e-12)


def test_on_other_devices_nothing_is_tagged():
    solver, make, shape = CASES["prm+"]
    traced = jax.jit(jax.vmap(advanced(solver, make))).trace(payoffs(BATCH, *shape))
    assert MARK not in traced.lower(lowering_platforms=("cuda",)).as_text()

"""Many games on one tree: the fast layout, bits, devices, checkpoints."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import _lanes, extensive, learners, metrics, solvers
from gamejax._batch import Checkpoint, _pool, solve_batch
from gamejax.extensive import library
from gamejax.regularizers import Entropy
from gamejax.sets import Tree, Treeplex
from gamejax.solvers import SelfPlay
from tests.random_trees import random_tree

BATCH = 21  # a part of 16 would leave a piece


def varied(game, count=BATCH, dtype=jnp.float64):
    """Games on one tree with payoffs that differ leaf by leaf."""
    noise = 1 + 0.2 * np.random.default_rng(0).standard_normal((count, 1, game.payoffs.shape[1]))
    return game.variations(jnp.asarray(np.asarray(game.payoffs) * noise, dtype))


def rounds(solver, game):
    state = solver.init(game, key=None, dtype=game.dtype)
    state = solver.advance(game, state, jnp.int32(0), 11, key=None)
    return solver.profile(state), solver.stats(game, state)["regrets"]


CASES = {
    "kuhn-cfr+": (library.kuhn, extensive.cfr_plus()),
    "kuhn-discounted": (library.kuhn, extensive.discounted_cfr()),
    "three-players-predictive": (
        lambda: random_tree(3, num_players=3, depth=5),
        extensive.predictive_cfr_plus(merge=False),
    ),
    "dilated": (
        lambda: random_tree(5, depth=5),
        SelfPlay(
            (learners.MirrorDescent(Entropy(), 0.1, 1.0), learners.Hedge(0.1)),
            averaging=solvers.Uniform(),
        ),
    ),
    "responses": (
        library.kuhn,
        SelfPlay(
            (learners.BestResponse(), learners.MagneticMirrorDescent(0.1, 0.2)), alternating=True
        ),
    ),
}


@pytest.fixture
def layouts(monkeypatch):
    """How often the batch went last."""
    seen = []

    def watched(*args):
        seen.append(args[1])
        return batch_last(*args)

    batch_last = _lanes.batch_last
    monkeypatch.setattr(_lanes, "batch_last", watched)
    return seen


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "kuhn-cfr+" else pytest.mark.slow) for name in CASES],
)
def test_a_batch_equals_its_games_with_the_batch_last(name, layouts):
    make, solver = CASES[name]
    batch = varied(make())
    found = jax.jit(jax.vmap(functools.partial(rounds, solver)))(batch)
    assert set(layouts) == {BATCH}
    one = jax.jit(functools.partial(rounds, solver))
    for k in (0, 15, 16, BATCH - 1):
        alone = one(jax.tree.map(lambda x, k=k: x[k], batch))
        chex.assert_trees_all_close(jax.tree.map(lambda x, k=k: x[k], found), alone, atol=1e-11)


def test_parts_that_fit_the_cache(monkeypatch):
    solver, batch = extensive.cfr_plus(), varied(library.kuhn(), 70, jnp.float32)
    run = functools.partial(rounds, solver)
    whole = jax.jit(jax.vmap(run))(batch)
    monkeypatch.setattr("gamejax._side_by_side.CACHE", 1)
    parts = jax.jit(jax.vmap(lambda game: run(game)))(batch)
    chex.assert_trees_all_equal(whole, parts)
    assert whole[0][0].dtype == jnp.float32


@pytest.mark.slow
def test_hyper_parameters_of_one_game_and_two_batches_in_one(layouts):
    kuhn, rates = library.kuhn(), jnp.linspace(0.05, 0.5, 17)

    def run(rate, game):
        return rounds(SelfPlay(learners.MagneticMirrorDescent(rate, 0.1)), game)

    found = jax.jit(jax.vmap(run, (0, None)))(rates, kuhn)
    assert layouts
    alone = jax.jit(run)(rates[7], kuhn)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[7], found), alone, atol=1e-12)
    batch = varied(kuhn)
    both = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(rates[:2], batch)
    alone = jax.jit(run)(rates[1], jax.tree.map(lambda x: x[4], batch))
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1, 4], both), alone, atol=1e-12)


@pytest.mark.slow
def test_derivatives_of_a_batch():
    kuhn = library.kuhn()
    solver = SelfPlay(learners.MagneticMirrorDescent(0.1, 0.2), averaging=solvers.Last())

    def first_bet(scale, game):
        changed = game.with_payoffs(game.payoffs * jnp.array([[1.0], [1.0]]) * scale)
        return rounds(solver, changed)[0][0][2]

    scales = jnp.linspace(0.8, 1.2, 20)
    ways = jax.jit(jax.vmap(lambda s: jax.jvp(lambda x: first_bet(x, kuhn), (s,), (1.0,))[1]))
    inside, width = ways(scales), 1e-6
    run = jax.jit(jax.vmap(lambda s: first_bet(s, kuhn)))
    np.testing.assert_allclose(
        inside, (run(scales + width) - run(scales - width)) / (2 * width), atol=1e-8
    )
    outside = jax.jit(lambda s: jax.jvp(run, (s,), (jnp.ones_like(s),))[1])(scales)
    np.testing.assert_allclose(outside, inside, atol=1e-12)


OPTIONS = {"solver": extensive.discounted_cfr(), "tol": 2e-3, "max_steps": 400, "check_every": 50}


class DeathError(Exception):
    pass


def test_solve_batch_resumes_with_the_same_bits(tmp_path, capfd, monkeypatch):
    batch = varied(library.kuhn(), 40)
    whole = solve_batch(batch, progress=True, **OPTIONS)
    assert "40" in "".join(capfd.readouterr())
    assert (whole.gap <= 2e-3).all()
    path, call, calls = Checkpoint(tmp_path / "run", every=0), _pool.Pool._call, []

    def dying(pool, plan):
        calls.append(plan)
        if len(calls) > 2:
            raise DeathError
        call(pool, plan)

    monkeypatch.setattr(_pool, "ROUND_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(_pool.Pool, "_call", dying)
        with pytest.raises(DeathError):
            solve_batch(batch, checkpoint=path, **OPTIONS)
    resumed = solve_batch(batch, checkpoint=path, **OPTIONS)
    chex.assert_trees_all_equal(resumed.profile, whole.profile)
    one = gamejax.solve(jax.tree.map(lambda x: x[9], batch), **OPTIONS)
    chex.assert_trees_all_close(one.profile, jax.tree.map(lambda x: x[9], whole.profile), atol=1e-9)
    np.testing.assert_allclose(
        metrics.nash_gap(jax.tree.map(lambda x: x[9], batch), one.profile), whole.gap[9], atol=1e-9
    )


@pytest.mark.slow
def test_trees_of_several_shapes_in_one_list():
    trees = [library.kuhn(), library.kuhn(4), library.kuhn()]
    found = solve_batch(trees, **OPTIONS | {"max_steps": 2000})
    for game, solution in zip(trees, found, strict=True):
        assert metrics.nash_gap(game, solution.profile) <= 2e-3


@pytest.mark.slow
def test_two_devices_give_the_bits_of_one():
    code = """
    import jax, numpy as np
    jax.config.update("jax_enable_x64", True)
    from gamejax import solve_batch
    from tests.test_extensive_batch import OPTIONS, library, varied
    batch = varied(library.kuhn(), 130)
    mesh = jax.make_mesh((2,), ("games",), axis_types=(jax.sharding.AxisType.Auto,))
    one, two = (solve_batch(batch, mesh=m, **OPTIONS) for m in (None, mesh))
    for a, b in zip(jax.tree.leaves(one.profile), jax.tree.leaves(two.profile), strict=True):
        assert np.array_equal(a, b)
    """
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[4:] for line in code.splitlines())],
        cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_tree_inside_shard_map():
    batch = varied(library.kuhn(), 16)
    mesh = jax.make_mesh((1,), ("games",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("games")

    def run(games):
        return jax.vmap(lambda game: gamejax.solve(game, **OPTIONS).profile)(games)

    sharded = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec))
    chex.assert_trees_all_close(sharded(batch), jax.jit(run)(batch), atol=1e-13)


def test_a_player_without_a_move_in_a_batch():
    nobody = Treeplex(Tree([], []))
    assert nobody.center(jnp.float32).shape == (1,)

    def rules(state):
        if state == ():
            return extensive.decide(1, "x", [("l", 1), ("r", 2)])
        return extensive.terminal((state, 3 - state))

    batch = varied(extensive.compile_tree(rules), 17)
    found = jax.jit(jax.vmap(functools.partial(rounds, extensive.cfr())))(batch)
    np.testing.assert_array_equal(found[0][0], np.ones((17, 1)))
    np.testing.assert_allclose(found[0][1][:, 1], 1, atol=0.2)

"""Kernels that keep games on the chip: equal to the scan where interpreted, and they lower."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import games, learners, solvers
from gamejax._persistent import run_persistent, supported
from gamejax.sets import Simplex

SOLVERS = {
    "hedge": solvers.SelfPlay(learners.Hedge(), persistent=True),
    "rm+": solvers.SelfPlay(
        learners.RegretMatchingPlus(),
        averaging=solvers.Linear(),
        alternating=True,
        persistent=True,
    ),
    "prm+": solvers.SelfPlay(
        learners.PredictiveRegretMatchingPlus(0.1),
        averaging=solvers.Quadratic(),
        alternating=True,
        persistent=True,
    ),
}


def payoffs(*shape):
    return jax.random.uniform(jax.random.key(1), shape, jnp.float32, -1, 1)


def masked(matrix):
    mask = (matrix[:, 0] < 0.5).at[1].set(True)
    return games.MatrixGame(matrix, (Simplex(matrix.shape[0], mask), Simplex(matrix.shape[1])))


def program(solver, make, batch):
    """A step of one game on leaves, the leaves of the batch, how many of them are the game's."""
    game = jax.vmap(make)(batch)
    state = jax.vmap(lambda g: solver.init(g, key=None, dtype=g.dtype))(game)
    leaves, structure = jax.tree.flatten((game, state))

    def step(*args):
        game, state = structure.unflatten(args[:-1])
        return jax.tree.leaves(solver.step(game, state, key=None))

    single = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in leaves]
    closed = jax.make_jaxpr(step)(*single, jax.ShapeDtypeStruct((), jnp.int32))
    return step, closed, leaves, len(jax.tree.leaves(game))


@pytest.mark.parametrize(
    ("name", "make", "shape"),
    [
        ("hedge", masked, (4, 2)),
        ("rm+", games.MatrixGame, (2, 3)),
        ("prm+", games.MatrixGame, (2, 3)),
        ("hedge", games.MatrixGame, (16, 32)),
        ("prm+", games.MatrixGame, (16, 32)),
    ],
)
def test_interpreted_kernels_equal_the_scan(name, make, shape):
    batch = payoffs(3, *shape)
    step, closed, leaves, num_fixed = program(SOLVERS[name], make, batch)
    assert supported(closed)
    count = jnp.int32(6)
    flags = [True] * len(leaves)

    @jax.jit
    def kernel(count, leaves):
        return run_persistent(closed, flags, num_fixed, count, leaves, interpret=True)

    @jax.jit
    @jax.vmap
    def scan(leaves):
        fixed, state = leaves[:num_fixed], leaves[num_fixed:]
        return jax.lax.fori_loop(0, 6, lambda i, s: step(*fixed, *s, i), state)

    for ours, theirs in zip(kernel(count, leaves), scan(leaves), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("shape", [(2, 3), (64, 64)])
def test_a_batch_lowers_to_one_kernel_for_cuda(name, shape):
    def run(matrix):
        game, solver = games.MatrixGame(matrix), SOLVERS[name]
        state = solver.init(game, key=None, dtype=game.dtype)
        return solver.advance(game, state, jnp.int32(0), 100, key=None)

    batch = payoffs(6, *shape)
    # Where there is no GPU, recent versions want to know for which one.
    told = {"device_kind": "NVIDIA H100 80GB HBM3", "num_cores": None, "platform": "gpu"}
    known = inspect.signature(jax.sharding.AbstractDevice).parameters
    device = jax.sharding.AbstractDevice(**{key: told[key] for key in told if key in known})
    mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        lowered = jax.jit(jax.vmap(run)).trace(batch).lower(lowering_platforms=("cuda",))
    assert "triton" in lowered.as_text()
    # Elsewhere the option changes nothing.
    assert "triton" not in jax.jit(jax.vmap(run)).lower(batch).as_text()


def test_what_has_no_kernel_is_left_alone():
    def closed(solver, make, *shape):
        return program(solver, make, payoffs(2, *shape))[1]

    hedge = SOLVERS["hedge"]
    assert not supported(closed(hedge, games.MatrixGame, 9, 12))
    assert not supported(closed(hedge, games.MatrixGame, 256, 256))
    best = solvers.SelfPlay(learners.BestResponse(), persistent=True)
    assert not supported(closed(best, games.MatrixGame, 3, 3))

"""The C programs that gamejax is compared with play the same games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import c_kernels
from gamejax import games, learners, solvers

OURS = {
    "Hedge": (learners.Hedge(0.1), solvers.Uniform(), 0),
    "RM+": (learners.RegretMatchingPlus(), solvers.Linear(), 1),
    "PRM+": (learners.PredictiveRegretMatchingPlus(), solvers.Quadratic(), 2),
}


@pytest.mark.skipif(not c_kernels.available(), reason="there is no gcc")
@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_self_play_in_c(name, alternating, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    learner, averaging, power = OURS[name]
    solver = solvers.SelfPlay(learner, averaging=averaging, alternating=alternating)
    batch = np.random.default_rng(0).uniform(-1, 1, (11, 3, 3))  # not a whole number of lanes

    @jax.jit
    @jax.vmap
    def run(matrix):
        game = games.MatrixGame(matrix)
        state = solver.init(game, key=None, dtype=game.dtype)
        return solver.profile(solver.advance(game, state, jnp.int32(0), 12, key=None))

    found = c_kernels.self_play(batch, name, 12, alternating=alternating, power=power)
    np.testing.assert_allclose(found, np.stack(run(jnp.asarray(batch)), axis=1), atol=1e-9)
    assert np.float64(2.0**-1060) * np.float64(0.5) > 0  # loading left the process's arithmetic


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="below 8 or a multiple of 8"):
        c_kernels.self_play(np.zeros((4, 9, 9)), "RM+", 1)
    with pytest.raises(ValueError, match="float32 or float64"):
        c_kernels.self_play(np.zeros((4, 3, 3), int), "RM+", 1)

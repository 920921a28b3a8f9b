"""Examples of huge games, devices and training loops run, with a tiny budget."""

import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from examples import huge_game, sharded_sweep, training_loop


def test_a_billion_actions_are_certified(capsys):
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        gap = huge_game.main((8,), num_tests=500)
    said = capsys.readouterr().out
    assert said.startswith("1,073,741,824 designs")
    assert f"gains more than {gap:.3f}" in said
    assert 0 < gap < 1.5


@jax.numpy_dtype_promotion("standard")  # jax.random.geomspace and optax need it
def test_a_sweep_on_the_devices_there_are(capsys):
    gaps = sharded_sweep.main(num_games=8, size=3, num_steps=20)
    assert gaps.shape == (8, 8)
    assert np.all((gaps > 0) & (gaps < 1))
    said = capsys.readouterr().out
    assert float(re.search(r"the same up to (\S+)", said)[1]) < 1e-12


@pytest.mark.slow
def test_a_sweep_on_eight_devices():
    code = (
        "import jax; jax.config.update('jax_num_cpu_devices', 8)\n"
        "from examples import sharded_sweep\n"
        "sharded_sweep.main(num_games=16, size=3, num_steps=20)\n"
    )
    # Without the cache, whose races are warnings.
    alone = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=alone)
    said = done.stdout
    assert "each device holds (2, 8) of (16, 8) results" in said
    assert float(re.search(r"the same up to (\S+)", said)[1]) < 1e-6


@pytest.mark.slow
def test_training_through_an_equilibrium_generalizes(capsys):
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        found = training_loop.main()
    assert found["through an equilibrium"] < 0.85 * found["uniform guess"]
    assert found["through an equilibrium"] < found["directly"]
    assert "nan" not in capsys.readouterr().out

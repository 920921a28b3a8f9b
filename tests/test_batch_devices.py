"""Batches on several devices and in several processes: the same bits as on one."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import games, learners, metrics, solvers
from gamejax._batch import solve_batch

ROOT = Path(__file__).parents[1]
SETUP = """
import os, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
from jax.sharding import Mesh
from gamejax import games, learners, solvers
from gamejax._batch import Checkpoint, _pool, solve_batch

def stack(count=700):
    payoffs = jax.random.uniform(jax.random.key(5), (count, 3, 3), minval=-1, maxval=1)
    return jax.vmap(games.MatrixGame)(payoffs)

SOLVER = solvers.SelfPlay(learners.RegretMatchingPlus(), averaging=solvers.Linear())
OPTIONS = {"solver": SOLVER, "tol": 1e-3, "max_steps": 1010, "check_every": 10}

def leaves(solution):
    return [np.asarray(x) for x in jax.tree.leaves(solution)]

def same(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
"""


def start(code, *arguments, devices=1):
    """A Python process with so many simulated devices."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(*processes):
    said = [process.communicate(timeout=300)[0] for process in processes]
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
    return said


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_eight_devices_and_a_resumption_on_one(tmp_path):
    code = """
    alone = leaves(solve_batch(stack(), **OPTIONS))
    mesh = jax.make_mesh((4, 2), ("games", "more"))
    assert same(leaves(solve_batch(stack(), mesh=mesh, **OPTIONS)), alone)
    # Dies on eight devices, goes on with one.
    path, call, calls = sys.argv[1], _pool.Pool._call, []
    _pool.ROUND_SECONDS = 0.0
    def dying(pool, plan):
        calls.append(plan)
        if len(calls) == 5:
            raise InterruptedError
        call(pool, plan)
    _pool.Pool._call = dying
    try:
        solve_batch(stack(), mesh=mesh, checkpoint=Checkpoint(path, 0), **OPTIONS)
    except InterruptedError:
        print("died")
    _pool.Pool._call = call
    assert same(leaves(solve_batch(stack(), checkpoint=path, **OPTIONS)), alone)
    print("equal")
    # Factorizations of matrices on several devices take turns.
    for _ in range(5):
        found = solve_batch(stack(), solvers.Polished(SOLVER), tol=1e-9, mesh=mesh)
    assert found.gap.max() < 1e-9
    """
    (said,) = finish(start(code, tmp_path / "run", devices=8))
    assert "died\nequal" in said


PROCESS = """
port, rank, path, checkpoint = sys.argv[1:]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=int(rank))
mesh = jax.make_mesh((jax.device_count(),), ("games",))
saving = Checkpoint(checkpoint, 0) if checkpoint else None
solution = solve_batch(stack(), mesh=mesh, checkpoint=saving, **OPTIONS)
np.savez(f"{path}{rank}.npz", *leaves(solution))
"""


def expected():
    """What one process with one device finds."""
    names = {}
    exec(SETUP, names)
    return names["leaves"](names["solve_batch"](names["stack"](), **names["OPTIONS"]))


def assert_saved(path, wanted):
    with np.load(path) as saved:
        for key, array in zip(saved.files, wanted, strict=True):
            np.testing.assert_array_equal(saved[key], array)


def test_two_processes(tmp_path):
    port, path = free_port(), tmp_path / "rank"
    both = [start(PROCESS, port, rank, path, "", devices=2) for rank in (0, 1)]
    wanted = expected()
    finish(*both)
    for rank in (0, 1):
        assert_saved(f"{path}{rank}.npz", wanted)


@pytest.mark.slow
def test_two_processes_save_together_and_one_goes_on(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    dying = PROCESS.replace(
        "solution =",
        "_pool.ROUND_SECONDS, call, calls = 0.0, _pool.Pool._call, []\n"
        "def limited(pool, plan):\n"
        "    calls.append(plan)\n"
        "    if len(calls) == 6:\n"
        "        os._exit(9)\n"
        "    call(pool, plan)\n"
        "_pool.Pool._call = limited\n"
        "solution =",
    )
    wanted, path, directory = expected(), tmp_path / "rank", tmp_path / "saved"
    port = free_port()
    for process in [start(dying, port, rank, path, directory, devices=2) for rank in (0, 1)]:
        process.communicate(timeout=300)
        assert process.returncode != 0
    assert any(directory.iterdir())
    # One process with three devices advances a little, two with one device each end it.
    code = dying.replace("jax.distributed.initialize", "(lambda *_, **__: None)")
    process = start(code, port, 0, path, directory, devices=3)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 9, said
    port = free_port()
    finish(*[start(PROCESS, port, rank, path, directory) for rank in (0, 1)])
    for rank in (0, 1):
        assert_saved(f"{path}{rank}.npz", wanted)


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(tmp_path):
    code = """
    _pool.ROUND_SECONDS = 0.01
    path, out, devices = sys.argv[1:]
    mesh = Mesh(np.array(jax.devices()[: int(devices)]), ("games",))
    options = OPTIONS | {"tol": 1e-6, "max_steps": 100_000}
    saving = Checkpoint(path, 0)
    print("begin", flush=True)
    solution = solve_batch(stack(), mesh=mesh, checkpoint=saving, **options)
    np.savez(out, *leaves(solution))
    """
    whole = tmp_path / "whole.npz"
    finish(start(code, tmp_path / "unbroken", whole, 1, devices=8))
    rng, kills, path, out = np.random.default_rng(0), 0, tmp_path / "run", tmp_path / "out.npz"
    while not out.exists():
        process = start(code, path, out, rng.choice([1, 2, 8]), devices=8)
        process.stdout.readline()
        while not path.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(float(rng.uniform(0, 3)))
        if kills < 6:
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        text = process.communicate(timeout=600)[0]
        assert process.returncode in (0, -signal.SIGKILL), text
    assert kills >= 3
    with np.load(whole) as saved:
        assert_saved(out, [saved[key] for key in saved.files])


@pytest.mark.slow
def test_bits_do_not_depend_on_neighbors_for_large_games():
    """Buffers of games above 32 KiB hold fewer than 64."""
    payoffs = jax.random.uniform(jax.random.key(0), (40, 128, 128), jnp.float32, -1, 1)
    stack = jax.vmap(games.MatrixGame)(payoffs)
    options = {"tol": 3e-3, "max_steps": 1000}
    whole = solve_batch(stack, **options)
    for k in (1, 7, 33):
        few = solve_batch(jax.tree.map(lambda x, k=k: x[-k:], stack), **options)
        for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(a, b[-k:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "learner", [learners.RegretMatchingPlus(), learners.Hedge(0.2, optimism=1.0)]
)
def test_a_million_steps_in_float32_keep_their_digits(learner):
    payoffs = jax.random.uniform(jax.random.key(1), (16, 4, 4), jnp.float32, -1, 1)
    solver, gaps = solvers.SelfPlay(learner), {}
    for dtype in (jnp.float32, jnp.float64):
        stack = jax.vmap(games.MatrixGame)(payoffs.astype(dtype))
        solution = solve_batch(stack, solver, tol=0.0, max_steps=1_000_000, check_every=50_000)
        profile = jax.tree.map(lambda x: x.astype(jnp.float64), solution.profile)
        exact = jax.vmap(games.MatrixGame)(payoffs.astype(jnp.float64))
        gaps[dtype] = np.asarray(jax.vmap(metrics.nash_conv)(exact, profile))
        assert solution.gap.dtype == dtype
    # Below a rounding unit of the probabilities themselves nothing can be told apart.
    unit = float(jnp.finfo(jnp.float32).eps)
    assert np.all(gaps[jnp.float32] <= 2 * gaps[jnp.float64] + 2 * unit)

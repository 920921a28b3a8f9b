"""What this machine can do at best, measured by the benchmark itself; rows are compared with it."""

import ctypes
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import c_kernels

REPEATS = 7
"""The best of so many bursts counts: whatever else runs only takes away."""


@functools.cache
def measured(cores: int) -> dict[str, float]:
    """Copy bandwidth in GB/s and multiply-add speed in Gflop/s of the cores together.

    A copied byte counts twice (read and written), a multiply-add as two operations. The latter are
    absent where there is no C compiler.
    """
    found = {"copy_GB_per_s": _copying(cores)}
    if c_kernels.available():
        for name, real in (("float32", ctypes.c_float), ("float64", ctypes.c_double)):
            found[f"{name}_Gflop_per_s"] = _multiplying(name, real, cores)
    return found


def share(
    flops_per_s: float | None, dtype: str, cores: int, accelerated: bool = False
) -> float | None:
    """A speed as a share of what the cores, or an accelerator, can do; `None` if unknown."""
    machine = accelerator() if accelerated and jax.default_backend() != "cpu" else measured(cores)
    peak = machine.get(f"{dtype}_Gflop_per_s")
    return None if flops_per_s is None or peak is None else flops_per_s / (peak * 1e9)


def _multiplying(name: str, real: Any, cores: int) -> float:
    library = c_kernels.load("roofline")
    burst = library[f"multiply_add_{name[-2:]}"]
    burst.restype, rounds = real, 1_000_000
    flops = 2 * rounds * library.width(ctypes.sizeof(real)) * cores
    factor, term = real(0.999), real(0.5)
    seconds = _best(lambda: burst(ctypes.c_long(rounds), factor, term), cores)
    return round(flops / seconds / 1e9, 1)


def _copying(cores: int) -> float:
    sources = [np.ones(2**24, np.float32) for _ in range(cores)]
    targets = [np.ones_like(source) for source in sources]
    pairs = list(zip(targets, sources, strict=True))
    seconds = _best(lambda: np.copyto(*pairs[0]), cores, [lambda p=p: np.copyto(*p) for p in pairs])
    return round(2 * sources[0].nbytes * cores / seconds / 1e9, 1)


def _best(
    call: Callable[[], Any], cores: int, calls: list[Callable[[], Any]] | None = None
) -> float:
    """The least time that calls on all cores at once take; both C and NumPy let go of the lock."""
    calls = calls or [call] * cores
    times = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(REPEATS):
            begin = time.perf_counter()
            for future in [pool.submit(c) for c in calls]:
                future.result()
            times.append(time.perf_counter() - begin)
    return min(times)


@functools.cache
def accelerator() -> dict[str, float]:
    """The same of the accelerator, from large copies and matrix products; nothing without one."""
    found: dict[str, float] = {}
    if jax.default_backend() == "cpu":
        return found
    source = jnp.ones(2**28, jnp.float32)
    seconds = _best_of_jax(jax.jit(lambda x: x + 1), source)
    found["copy_GB_per_s"] = round(2 * source.nbytes / seconds / 1e9, 1)
    size = 8192
    for name in ("float32", "float64"):
        square = jnp.ones((size, size), name)
        product = jax.jit(lambda x: jnp.matmul(x, x, precision=jax.lax.Precision.HIGHEST))
        speed = 2 * size**3 / _best_of_jax(product, square)
        found[f"{name}_Gflop_per_s"] = round(speed / 1e9, 1)
    return found


def _best_of_jax(function: Callable[[Any], Any], argument: Any) -> float:
    jax.block_until_ready(function(argument))
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - begin)
    return min(times)

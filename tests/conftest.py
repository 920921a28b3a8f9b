"""Settings of the whole test run: float64 available, promotions of dtype and rank refused."""

import gc
import itertools
from pathlib import Path

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# JAX makes many small objects that live as long as its caches; looking through them takes time.
gc.set_threshold(50_000, 20, 100)

MAPPINGS = Path("/proc/self/maps")
TESTS = itertools.count(1)


@pytest.fixture(autouse=True)
def few_programs_at_once():
    """Let go of compiled programs in time.

    Each holds several memory mappings, of which Linux grants a process 65,530; a thousand tests
    reach that, and the next compilation ends the process.
    """
    yield
    due = next(TESTS) % 20 == 0 and MAPPINGS.exists()  # reading takes milliseconds
    if due and MAPPINGS.read_bytes().count(b"\n") > 35_000:
        jax.clear_caches()

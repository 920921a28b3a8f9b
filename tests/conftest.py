"""Settings of the whole test run: float64 available, promotions of dtype and rank refused."""

from pathlib import Path

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

MAPPINGS = Path("/proc/self/maps")


@pytest.fixture(autouse=True)
def few_programs_at_once():
    """Let go of compiled programs in time.

    Each holds several memory mappings, of which Linux grants a process 65,530; a thousand tests
    reach that, and the next compilation ends the process.
    """
    yield
    if MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()

"""Runs in parts of a batch: what `jax.vmap` gives, each part ending with the last of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax._side_by_side import few_at_once

LENGTHS = jnp.arange(37, dtype=jnp.int32) * 7 % 23


def halve(length, scale, key):
    """`length` halvings of a random number; how many went by shows only in the work done."""

    def body(carry):
        done, x = carry
        return done + 1, x * scale["half"]

    start = jnp.int32(0), jax.random.uniform(key, dtype=jnp.float64)
    return jax.lax.while_loop(lambda carry: carry[0] < length, body, start)


@pytest.mark.parametrize("count", [3, 8, 16, 37])
def test_parts_equal_the_whole(count):
    keys, scale = jax.random.split(jax.random.key(0), count), {"half": jnp.asarray(0.5)}
    axes = (0, None, 0)
    run = jax.jit(jax.vmap(few_at_once(halve, 8), axes))
    found, wanted = (f(LENGTHS[:count], scale, keys) for f in (run, jax.vmap(halve, axes)))
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_batches_of_batches_and_alone():
    scale, key = {"half": jnp.asarray([0.5, 0.25])}, jax.random.key(1)

    def both(function):
        return jax.vmap(jax.vmap(function, (0, None, None)), (None, 0, None))(LENGTHS, scale, key)

    jax.tree.map(np.testing.assert_array_equal, both(few_at_once(halve, 8)), both(halve))
    one = {"half": jnp.asarray(0.5)}
    assert few_at_once(halve, 8)(LENGTHS[1], one, key) == halve(LENGTHS[1], one, key)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices run whole batches")
def test_loops_run_over_parts():
    def loops(function):
        mapped = jax.jit(jax.vmap(function, (0, None, None)))
        program = mapped.lower(
            jnp.ones(64, jnp.int32), {"half": jnp.asarray(0.5)}, jax.random.key(0)
        )
        return [line for line in program.as_text().splitlines() if "stablehlo.while" in line]

    assert any("tensor<64xf64>" in line for line in loops(halve))
    # The outer loop holds the results of all; the inner one, of a part, is what goes on and on.
    assert any("tensor<64xf64>" not in line for line in loops(few_at_once(halve, 8)))

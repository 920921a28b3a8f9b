"""How programs are compiled where the library is free to choose."""

import functools

import jax
import jax.numpy as jnp

_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """Options for `jax.jit(f, compiler_options=...)`, or `None` where there is nothing to choose.

    On a CPU they keep small reductions out of a library whose calls cost more than the sums. A
    jitted function with options runs as an outermost program only: under another `jit`, `grad` or
    `scan` JAX refuses it.
    """
    if jax.default_backend() != "cpu":
        return None
    try:
        lowered = jax.jit(jnp.negative).lower(jax.ShapeDtypeStruct((), jnp.float32))
        lowered.compile(compiler_options=dict(_CPU_OPTIONS))
    except jax.errors.JaxRuntimeError:  # this jaxlib does not know them
        return None
    return dict(_CPU_OPTIONS)

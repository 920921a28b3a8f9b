"""Runs that end when they are done: few side by side, so that nobody waits for the last of many."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def few_at_once(run: Callable[..., Any], size: int) -> Callable[..., Any]:
    """`run`, of whose batches on a CPU only `size` members go side by side.

    A `while_loop` under `jax.vmap` goes on until the last member is done. In parts of a batch, one
    after the other, each part ends with the last of its own. Results are those of `jax.vmap`.

    Args:
        run: a pure function of its arguments, which are all the arrays it may use. Not to be
            differentiated.
        size: of a part.
    """
    mappable = jax.custom_batching.custom_vmap(run)

    @mappable.def_vmap
    def _(count: int, batched: list[Any], *args: Any) -> tuple[Any, Any]:
        axes = tuple(jax.tree.map(lambda flag: 0 if flag else None, flags) for flags in batched)
        together = jax.vmap(run, axes)
        if count < 2 * size or jax.default_backend() != "cpu":
            found = together(*args)
        else:
            found = _in_parts(together, count, size, jax.tree.leaves(batched), args)
        return found, jax.tree.map(lambda _: True, found)

    return mappable


def _in_parts(
    together: Callable[..., Any], count: int, size: int, flags: list[bool], args: Any
) -> Any:
    leaves, structure = jax.tree.flatten(args)
    number = -(-count // size)

    def cut(x: Array) -> Array:
        missing = number * size - count  # filled with copies of the last member
        x = jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) if missing else x
        return x.reshape(number, size, *x.shape[1:])

    def part(own: list[Array]) -> Any:
        rest = iter(own)
        mixed = [next(rest) if flag else x for x, flag in zip(leaves, flags, strict=True)]
        return together(*structure.unflatten(mixed))

    parts = lax.map(part, [cut(x) for x, flag in zip(leaves, flags, strict=True) if flag])
    return jax.tree.map(lambda x: x.reshape(number * size, *x.shape[2:])[:count], parts)

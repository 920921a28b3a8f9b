"""Runs that end when they are done: few side by side, so that nobody waits for the last of many."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree


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
        together = jax.vmap(run, tuple(axes_of(batched)))
        if count < 2 * size or jax.default_backend() != "cpu":
            found = together(*args)
        else:
            found = in_parts(together, count, size, jax.tree.leaves(batched), args)
        return found, jax.tree.map(lambda _: True, found)

    return mappable


def in_parts(
    together: Callable[..., Any], count: int, size: int, flags: list[bool], args: Any
) -> Any:
    """`together(*args)` of a batch, part by part, in turn; all results are batched.

    Args:
        together: takes and returns a part.
        count: of the members.
        size: of a part.
        flags: which leaves of `args` are batched; `together` gets the others as they are.
        args: of `together`.
    """
    leaves, structure = jax.tree.flatten(args)

    def part(own: list[Array]) -> Any:
        rest = iter(own)
        mixed = [next(rest) if flag else x for x, flag in zip(leaves, flags, strict=True)]
        return together(*structure.unflatten(mixed))

    parts = lax.map(part, [cut(x, size) for x, flag in zip(leaves, flags, strict=True) if flag])
    return jax.tree.map(lambda x: joined(x, count), parts)


def cut(members: Array, size: int) -> Array:
    """The leading axis in parts of `size`, the last of them filled with copies of its last."""
    number = -(-members.shape[0] // size)
    missing = number * size - members.shape[0]
    if missing:
        members = lax.concatenate([members, jnp.repeat(members[-1:], missing, axis=0)], 0)
    return members.reshape(number, size, *members.shape[1:])


def joined(parts: Array, count: int) -> Array:
    """The `count` members that were cut into parts."""
    return parts.reshape(parts.shape[0] * parts.shape[1], *parts.shape[2:])[:count]


def axes_of(batched: PyTree[bool]) -> Any:
    """The axes for `jax.vmap` where these leaves have a leading one."""
    return jax.tree.map(lambda flag: 0 if flag else None, batched)

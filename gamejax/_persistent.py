"""Loops over small programs on a GPU: one kernel keeps a game on the chip for many steps.

A scan launches a few kernels per step; small games spend all their time in that. Here a program of
the grid runs the whole loop. With few actions a lane holds a game and every entry of every array is
a vector over 128 games; beyond, a program holds one game and its arrays are values of the kernel.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.extend import core
from jaxtyping import Array

from gamejax._apart import run_entries, run_values, shapes_within

WIDTH = 128
"""Games of a program with one game per lane."""
FEW = 8
"""The most actions at which a lane can hold a game in its registers."""
MANY = 128
"""The most actions at which a program can hold a game."""


def supported(closed: core.ClosedJaxpr) -> bool:
    """Whether a program has a form here: known operations, few actions or powers of two."""
    shapes = shapes_within(closed)
    if shapes is None:
        return False
    axes = [n for shape in shapes for n in shape]
    longest = max(axes, default=1)
    return longest <= FEW or (longest <= MANY and all(n & (n - 1) == 0 for n in axes))


def run_persistent(
    closed: core.ClosedJaxpr,
    flags: list[bool],
    num_fixed: int,
    count: Array,
    leaves: list[Array],
    *,
    interpret: bool = False,
) -> list[Array]:
    """The states after `count` steps of the program, for a batch.

    Args:
        closed: a step of one game: leaves and the step's number to the leaves of the state.
        flags: which leaves have the batch in front.
        num_fixed: how many leaves come before those of the state.
        count: how many steps.
        leaves: the arrays.
        interpret: run without a GPU, for tests.
    """
    size = next(x.shape[0] for x, flag in zip(leaves, flags, strict=True) if flag)
    axes = [n for shape in shapes_within(closed) or () for n in shape]
    lanes = max(axes, default=1) <= FEW
    width = WIDTH if lanes else 1
    num_programs = -(-size // width)
    arrays = [
        _stored(x, num_programs * width if flag else None, lanes)
        for x, flag in zip(leaves, flags, strict=True)
    ]
    body = _lanes_kernel if lanes else _program_kernel
    like = [
        jax.ShapeDtypeStruct(x.shape[flag:], x.dtype) for x, flag in zip(leaves, flags, strict=True)
    ]

    def spec(x: Array, flag: bool) -> pl.BlockSpec:
        rank = x.ndim
        if not flag:
            return pl.BlockSpec(x.shape, lambda g: (0,) * rank)
        if lanes:
            return pl.BlockSpec((*x.shape[:-1], WIDTH), lambda g: (0,) * (rank - 1) + (g,))
        return pl.BlockSpec((1, *x.shape[1:]), lambda g: (g,) + (0,) * (rank - 1))

    own = arrays[num_fixed:]
    outputs = pl.pallas_call(
        functools.partial(body, closed, flags, num_fixed, like),
        grid=(num_programs,),
        in_specs=[spec(x, f) for x, f in zip([count[None], *arrays], [False, *flags], strict=True)],
        out_specs=[spec(x, f) for x, f in zip(own, flags[num_fixed:], strict=True)],
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in own],
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
        interpret=interpret,
    )(count[None], *arrays)

    def given_back(x: Array, old: Array, flag: bool) -> Array:
        if flag:
            x = (jnp.moveaxis(x, -1, 0) if lanes else x)[:size]
        return x.reshape(old.shape).astype(old.dtype)

    return [
        given_back(x, old, flag)
        for x, old, flag in zip(outputs, leaves[num_fixed:], flags[num_fixed:], strict=True)
    ]


def _stored(x: Array, size: int | None, lanes: bool) -> Array:
    """As kernels hold it in memory: no booleans, an axis at least, the batch filled up."""
    x = x.astype(jnp.int32) if x.dtype == bool else x
    if size is None:
        return x.reshape(1) if x.ndim == 0 else x
    x = jnp.concatenate([x, jnp.repeat(x[-1:], size - x.shape[0], axis=0)])
    if lanes:
        return jnp.moveaxis(x, 0, -1)
    return x.reshape(size, 1) if x.ndim == 1 else x


def _lanes_kernel(
    closed: core.ClosedJaxpr, flags: list[bool], num_fixed: int, like: list[Any], *refs: Any
) -> None:
    """A game per lane; `refs` are the count, the leaves, and where the state goes."""
    steps, inputs, outputs = refs[0], refs[1 : 1 + len(like)], refs[1 + len(like) :]

    def place(flag: bool, index: tuple[int, ...]) -> tuple[Any, ...]:
        return (*index, slice(None)) if flag else index or (0,)

    def load(ref: Any, flag: bool, as_: Any) -> np.ndarray:
        entries = np.empty(as_.shape, object)
        for index in np.ndindex(as_.shape):
            entry = ref[place(flag, index)]
            entries[index] = entry != 0 if as_.dtype == bool else entry
        return entries

    values = [load(r, f, x) for r, f, x in zip(inputs, flags, like, strict=True)]
    fixed, start = values[:num_fixed], values[num_fixed:]
    flat = [entry for entries in start for entry in entries.ravel()]

    def step(i: Array, now: list[Array]) -> list[Array]:
        rest = iter(now)
        state = []
        for entries in start:
            state.append(np.empty(entries.shape, object))
            for index in np.ndindex(entries.shape):
                state[-1][index] = next(rest)
        number = np.empty((), object)
        number[()] = i
        moved = run_entries(closed, [*fixed, *state, number])
        new = [entry for entries in moved for entry in entries.ravel()]
        return [jnp.broadcast_to(x, old.shape) for x, old in zip(new, flat, strict=True)]

    final = iter(lax.fori_loop(0, steps[0], step, flat))
    for ref, flag, entries in zip(outputs, flags[num_fixed:], start, strict=True):
        for index in np.ndindex(entries.shape):
            ref[place(flag, index)] = next(final).astype(ref.dtype)


def _program_kernel(
    closed: core.ClosedJaxpr, flags: list[bool], num_fixed: int, like: list[Any], *refs: Any
) -> None:
    """A game per program; `refs` are the count, the leaves, and where the state goes."""
    steps, inputs, outputs = refs[0], refs[1 : 1 + len(like)], refs[1 + len(like) :]

    def place(flag: bool, as_: Any) -> Any:
        return (0, Ellipsis) if flag and as_.shape else (0, 0) if flag else ... if as_.shape else 0

    def load(ref: Any, flag: bool, as_: Any) -> Array:
        value = ref[place(flag, as_)]
        return value != 0 if as_.dtype == bool else value

    values = [load(r, f, x) for r, f, x in zip(inputs, flags, like, strict=True)]

    def step(i: Array, state: list[Array]) -> list[Array]:
        return run_values(closed, [*values[:num_fixed], *state, i])

    final = lax.fori_loop(0, steps[0], step, values[num_fixed:])
    for ref, flag, as_, x in zip(outputs, flags[num_fixed:], like[num_fixed:], final, strict=True):
        ref[place(flag, as_)] = x.astype(ref.dtype)

"""A batch in parts that run one after the other: few games side by side, which fit the cache.

Runs that end when they are done need not wait for the last of many, either.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jaxtyping import Array

from gamejax._trailing import (
    CALLS,
    ELEMENTWISE,
    LAYOUT,
    REDUCTIONS,
    Value,
    closed_jaxpr,
    grown,
    interpret,
)
from gamejax._types import PyTree

CACHE = 2**21
"""Bytes of game data in a part; more fall out of the cache."""
FEWEST, MOST = 16, 256
"""Trees in a part: fewer leave vector registers empty (in float32), more gain nothing."""


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


def gathers_rows(jaxpr: core.Jaxpr, flags: list[bool]) -> bool:
    """Whether a step takes rows from places known beforehand, as in trees, and nothing is strange.

    A single kernel for such a step would be far too long; with the batch last every operation runs
    along it.

    Args:
        jaxpr: of the step.
        flags: which of its inputs are batched; the last one, its number, is not.
    """
    found = _gathers(jaxpr, [*flags, False])
    return found is not None and found > 0


def _gathers(jaxpr: core.Jaxpr, flags: list[bool]) -> int | None:
    """How many; `None` where an operation has no good form with the batch last."""
    moving = {v for v, flag in zip(jaxpr.invars, flags, strict=True) if flag}
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        operands: list[Any] = list(equation.invars)
        moves = [not isinstance(v, core.Literal) and v in moving for v in operands]
        if not any(moves):
            continue
        moving.update(equation.outvars)
        if name in CALLS:
            inside = _gathers(closed_jaxpr(params[CALLS[name]]).jaxpr, moves)
        elif name == "gather":
            inside = None if moves[1] else 1
        elif name == "dot_general":
            inside = None if any(v.aval.ndim != 1 for v in operands) else 0
        else:
            known = name in ELEMENTWISE | LAYOUT | REDUCTIONS | {"argmax", "argmin"}
            inside = 0 if known and not equation.effects else None
        if inside is None:
            return None
        total += inside
    return total


def batch_last(
    closed: core.ClosedJaxpr, size: int, batched: Any, flags: list[bool],
    count: Array, fixed: Any, state: Any,
) -> Any:  # fmt: skip
    """`count` steps of every member of a batch, which stands in the last axis meanwhile.

    Args:
        closed: the step, of the leaves of `fixed` and `state` and its number.
        size: of the batch.
        batched: which leaves of `(count, fixed, state)` have it in front.
        flags: which leaves of `(fixed, state)` will have it sooner or later.
        count: how many steps.
        fixed: what stays the same.
        state: what changes.
    """
    read = {v for e in closed.jaxpr.eqns for v in e.invars if not isinstance(v, core.Literal)}
    num_fixed = len(jax.tree.leaves(fixed))
    used = [v in read for v in closed.jaxpr.invars[:num_fixed]]
    flags = [f and u for f, u in zip(flags, used, strict=False)] + flags[num_fixed:]
    leaves = everywhere(size, jax.tree.leaves((fixed, state)), jax.tree.leaves(batched[1:]), flags)
    fit = _part(size, num_bytes(leaves, flags) // size)
    own = [jnp.moveaxis(cut(x, fit), 1, -1) for x, f in zip(leaves, flags, strict=True) if f]

    def chunk(own: list[Array]) -> list[Array]:
        rest = iter(own)
        values = [Value(next(rest) if f else x, f) for x, f in zip(leaves, flags, strict=True)]

        def step(i: Array, now: list[Array]) -> list[Array]:
            carry = [Value(x, f) for x, f in zip(now, flags[num_fixed:], strict=True)]
            moved = interpret(closed, fit, [*values[:num_fixed], *carry, Value(i, False)])
            return [
                grown(v, fit) if f else v.array
                for v, f in zip(moved, flags[num_fixed:], strict=True)
            ]

        return lax.fori_loop(jnp.int32(0), count, step, [v.array for v in values[num_fixed:]])

    finals = [
        joined(jnp.moveaxis(x, -1, 1), size) if f else x[0]
        for x, f in zip(lax.map(chunk, own), flags[num_fixed:], strict=True)
    ]
    return jax.tree.structure(state).unflatten(finals)


def _part(size: int, each: int) -> int:
    """How many trees of so many bytes run side by side: parts of equal size, filled registers."""
    most = min(max(CACHE // max(each, 1), FEWEST), MOST)
    equal = -(-size // -(-size // most))
    return min(size, -(-equal // FEWEST) * FEWEST)


def everywhere(
    size: int, leaves: list[Array], given: list[bool], wanted: list[bool]
) -> list[Array]:
    """The leaves, repeated where they come without the batch that they will grow."""
    return [
        lax.broadcast(x, (size,)) if grow and not has else x
        for x, has, grow in zip(map(jnp.asarray, leaves), given, wanted, strict=True)
    ]


def num_bytes(tree: PyTree[Array], batched: PyTree[bool]) -> int:
    """What the leaves that are batched take."""
    sizes = jax.tree.map(lambda x, flag: flag * x.size * x.dtype.itemsize, tree, batched)
    return sum(jax.tree.leaves(sizes))


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

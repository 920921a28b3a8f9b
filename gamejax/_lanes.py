"""Loops over small programs, many at a time: what C does with one game per SIMD lane.

XLA compiles a `vmap` of a loop over small steps into dozens of kernels per step, each launched over
the whole batch, and its fusion computes shared values again and again. Here the batch is cut into
chunks that stay in the cache, the chunk stands in the last axis, every reduction and product is
spelled out in elementwise operations, and the loop of a chunk becomes a single kernel.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend import core
from jaxtyping import Array

from gamejax._side_by_side import (
    CACHE,
    axes_of,
    batch_last,
    cut,
    everywhere,
    gathers_rows,
    in_parts,
    joined,
    num_bytes,
)
from gamejax._trailing import (
    CALLS,
    ELEMENTWISE,
    LAYOUT,
    Value,
    alike,
    closed_jaxpr,
    grown,
    interpret,
)
from gamejax._types import PyTree

LANES = 64
"""Games in a chunk: below, LLVM unrolls the loops over them and vectorizes no more; above, more
cache is taken for nothing (measured for 2 to 8 actions)."""
LONGEST = 32
"""The longest sum that is spelled out; beyond, batched products are as fast."""
GROUP = 8
"""Terms added in one go; more streams of memory than that are slow."""
TESTED = jax.__version_info__ < (0, 13)
"""One kernel for a loop rests on two tags of XLA that newer versions may read differently."""
REDUCE: dict[str, Callable[[Array, Array], Array]] = {
    "reduce_sum": lax.add,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_prod": lax.mul,
    "reduce_and": lax.bitwise_and,
    "reduce_or": lax.bitwise_or,
}
Body = Callable[[Any, Any, Array], Any]


def repeat(
    body: Body,
    count: Array,
    fixed: PyTree[Array],
    state: PyTree[Array],
    *,
    persistent: bool = False,
) -> PyTree[Array]:
    """`count` times `state = body(fixed, state, i)`; fast under `jax.vmap` where it can be.

    A `fori_loop`, in every transformation: derivatives are those of the plain loop, and whatever
    the fast form does not know is mapped as ever. Results agree to rounding.

    Args:
        body: a pure function of its arguments, which are all the arrays it may use.
        count: how many times.
        fixed: what stays the same.
        state: what changes.
        persistent: on a GPU that runs CUDA, a batch in one kernel for all steps where there is one.
    """

    def plain(count: Array, fixed: Any, state: Any) -> Any:
        return lax.fori_loop(jnp.int32(0), count, lambda i, now: body(fixed, now, i), state)

    mappable = jax.custom_batching.custom_vmap(plain)

    @mappable.def_vmap
    def _(size: int, batched: Any, count: Array, fixed: Any, state: Any) -> Any:
        return _mapped(body, plain, persistent, size, batched, count, fixed, state)

    # A custom rule for vmap alone has no derivatives of its own.
    differentiable = jax.custom_jvp(lambda *args: mappable(*args))
    differentiable.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return differentiable(count, fixed, state)


def _mapped(
    body: Body,
    plain: Any,
    persistent: bool,
    size: int,
    batched: Any,
    count: Array,
    fixed: Any,
    state: Any,
) -> tuple[Any, Any]:
    """The state after the loops of a batch, and which of its leaves are batched."""
    count_batched, fixed_batched, state_batched = batched

    def first(tree: Any, flags: Any) -> Any:
        def one(x: Array, flag: bool) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(x.shape[1:] if flag else x.shape, x.dtype)

        return jax.tree.map(one, tree, flags)

    args = first(fixed, fixed_batched), first(state, state_batched)
    closed = _needed(jax.make_jaxpr(body)(*args, jax.ShapeDtypeStruct((), jnp.int32)))
    flags, structure = jax.tree.flatten((fixed_batched, state_batched))
    num_fixed = len(jax.tree.leaves(fixed))
    flags = _spread(closed, flags, num_fixed) if not count_batched else [True] * len(flags)
    after = structure.unflatten(flags)[1]

    def as_ever(count: Array, fixed: Any, state: Any) -> Any:
        mapped = jax.vmap(plain, tuple(axes_of(batched)), axes_of(after), axis_size=size)
        return mapped(count, fixed, state)

    forms: dict[str, Any] = {}
    if not count_batched and size >= LANES and TESTED and _spelled_out(closed):
        forms["cpu"] = functools.partial(_chunks, closed, size, batched, flags)
    elif not count_batched and gathers_rows(closed.jaxpr, flags):
        forms["cpu"] = functools.partial(batch_last, closed, size, batched, flags)
    elif not count_batched and num_bytes(fixed, fixed_batched) > CACHE:
        forms["cpu"] = functools.partial(_cached, plain, size, batched, after)
    if persistent and not count_batched:
        from gamejax._persistent import run_persistent, supported  # Pallas takes long to import

        if supported(closed):
            forms["cuda"] = functools.partial(
                _on_chip, run_persistent, closed, size, batched, flags
            )
    if not forms:
        return as_ever(count, fixed, state), after
    leaves = jax.tree.leaves((fixed, state))
    moving = iter(alike([x for x, flag in zip(leaves, flags, strict=True) if flag]))
    leaves = [next(moving) if flag else x for x, flag in zip(leaves, flags, strict=True)]
    fixed, state = structure.unflatten(leaves)
    return lax.platform_dependent(count, fixed, state, **forms, default=as_ever), after


def _on_chip(
    run_persistent: Any, closed: core.ClosedJaxpr, size: int, batched: Any, flags: list[bool],
    count: Array, fixed: Any, state: Any,
) -> Any:  # fmt: skip
    """The loops of a batch in one kernel."""
    num_fixed = len(jax.tree.leaves(fixed))
    leaves = everywhere(size, jax.tree.leaves((fixed, state)), jax.tree.leaves(batched[1:]), flags)
    return jax.tree.structure(state).unflatten(
        run_persistent(closed, flags, num_fixed, count, leaves)
    )


def _cached(
    plain: Any, size: int, batched: Any, after: Any, count: Array, fixed: Any, state: Any
) -> Any:
    """The loops of a batch as `jax.vmap` has them, as many at a time as the cache holds."""
    fit = min(size, max(16, CACHE * size // num_bytes(fixed, batched[1])))
    together = jax.vmap(plain, tuple(axes_of(batched)))
    flags = jax.tree.leaves(batched)
    finals = in_parts(together, size, fit, flags, (count, fixed, state))
    return jax.tree.map(lambda x, flag: x if flag else x[0], finals, after)


def _needed(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The program without what nobody reads, such as the keys of games that draw nothing."""
    jaxpr, kept = closed.jaxpr, []
    read = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not read.isdisjoint(equation.outvars):
            kept.append(equation)
            read.update(v for v in equation.invars if not isinstance(v, core.Literal))
    return core.ClosedJaxpr(jaxpr.replace(eqns=kept[::-1]), closed.consts)


def _spread(closed: core.ClosedJaxpr, flags: list[bool], num_fixed: int) -> list[bool]:
    """Which leaves differ between members of the batch, sooner or later."""
    jaxpr = closed.jaxpr
    while True:
        different = {v for v, flag in zip(jaxpr.invars, [*flags, False], strict=True) if flag}
        for equation in jaxpr.eqns:
            if any(v in different for v in equation.invars if not isinstance(v, core.Literal)):
                different.update(equation.outvars)
        after = [not isinstance(v, core.Literal) and v in different for v in jaxpr.outvars]
        spread = flags[:num_fixed] + [a or b for a, b in zip(flags[num_fixed:], after, strict=True)]
        if spread == flags:
            return flags
        flags = spread


def _spelled_out(closed: core.ClosedJaxpr) -> bool:
    """Whether every operation has a form made of elementwise operations on few actions."""
    equations: list[Any] = closed.jaxpr.eqns
    for equation in equations:
        name, params = equation.primitive.name, equation.params
        if name in CALLS:
            known = _spelled_out(closed_jaxpr(params[CALLS[name]]))
        elif name == "while":
            known = _spelled_out(params["cond_jaxpr"]) and _spelled_out(params["body_jaxpr"])
        elif name in REDUCE or name in ("argmax", "argmin"):
            known = all(equation.invars[0].aval.shape[a] <= LONGEST for a in params["axes"])
        elif name == "dot_general":
            (contracted, _), (batch, _) = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            known = len(contracted) == 1 and not batch and left[contracted[0]] <= LONGEST
        else:
            known = name in ELEMENTWISE | LAYOUT
        if not known or equation.effects:
            return False
    return True


def _chunks(
    closed: core.ClosedJaxpr, size: int, batched: Any, flags: list[bool],
    count: Array, fixed: Any, state: Any,
) -> Any:  # fmt: skip
    """The loops of the whole batch, chunk by chunk."""
    num_fixed = len(jax.tree.leaves(fixed))
    leaves = everywhere(size, jax.tree.leaves((fixed, state)), jax.tree.leaves(batched[1:]), flags)

    chunks = [
        jnp.moveaxis(cut(x, LANES), 1, -1) if flag else x
        for x, flag in zip(leaves, flags, strict=True)
    ]
    shared = [x for x, flag in zip(chunks, flags, strict=True) if not flag]

    def run(count: Array, shared: list[Array], own: list[Array]) -> Any:
        rest = iter(shared), iter(own)
        values = [Value(next(rest[flag]), flag) for flag in flags]
        consts, start = values[:num_fixed], [v.array for v in values[num_fixed:]]

        def step(i: Array, now: list[Array]) -> list[Array]:
            carry = [Value(x, flag) for x, flag in zip(now, flags[num_fixed:], strict=True)]
            moved = interpret(closed, LANES, [*consts, *carry, Value(i, False)], RULES)
            return [
                grown(v, LANES) if flag else v.array
                for v, flag in zip(moved, flags[num_fixed:], strict=True)
            ]

        # Inputs come out again, as XLA aborts on a parameter that it has found unused.
        inputs = lax.optimization_barrier((count, shared, own))
        return lax.fori_loop(jnp.int32(0), count, step, start), inputs

    own = [x for x, flag in zip(chunks, flags, strict=True) if flag]

    def chunk(own: list[Array]) -> list[Array]:
        states, inputs = _apart(jax.jit(run), count, shared, own, xla_cpu_small_call="true")
        moved = [x for x, flag in zip(states, flags[num_fixed:], strict=True) if flag]
        rest = iter(lax.optimization_barrier((moved, inputs))[0])
        return [
            next(rest) if flag else x for x, flag in zip(states, flags[num_fixed:], strict=True)
        ]

    outputs = lax.map(chunk, own)

    finals = [
        joined(jnp.moveaxis(x, -1, 1), size) if flag else x[0]
        for x, flag in zip(outputs, flags[num_fixed:], strict=True)
    ]
    return jax.tree.structure(state).unflatten(finals)


def _apart(function: Any, *args: Any, **tags: str) -> Any:
    """Call a jitted function as a unit of its own, which no fusion looks into."""
    with set_xla_metadata(inlineable="false", **tags):
        return function(*args)


def _reduce(equation: core.JaxprEqn, size: int, inputs: list[Value]) -> list[Value]:
    value, name = inputs[0], equation.primitive.name
    array = value.array
    for axis in sorted(equation.params["axes"], reverse=True):
        array = _apart(functools.partial(_folded, name, axis), array)
    return [Value(array, value.batched)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _folded(name: str, axis: int, array: Array) -> Array:
    """The reduction over one axis, entry by entry."""
    entries = [lax.index_in_dim(array, k, axis, False) for k in range(array.shape[axis])]
    return functools.reduce(REDUCE[name], entries)


def _arg(equation: core.JaxprEqn, size: int, inputs: list[Value]) -> list[Value]:
    value, params = inputs[0], equation.params
    static = equation.primitive.name, params["axes"][0], params["index_dtype"]
    return [Value(_apart(functools.partial(_position, *static), value.array), value.batched)]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _position(name: str, axis: int, dtype: Any, array: Array) -> Array:
    """Where the largest (smallest) entry stands, the first of several; not-a-number wins."""
    beats = lax.gt if name == "argmax" else lax.lt
    best = lax.index_in_dim(array, 0, axis, False)
    position = lax.full_like(best, 0, dtype)
    for k in range(1, array.shape[axis]):
        entry = lax.index_in_dim(array, k, axis, False)
        better = lax.bitwise_or(beats(entry, best), lax.ne(entry, entry))
        better = lax.bitwise_and(better, lax.eq(best, best))
        best = lax.select(better, entry, best)
        position = lax.select(better, lax.full_like(position, k), position)
    return position


def _dot(equation: core.JaxprEqn, size: int, inputs: list[Value]) -> list[Value]:
    ((left,), (right,)), _ = equation.params["dimension_numbers"]
    a, b = inputs
    output: Any = equation.outvars[0]
    shape = output.aval.shape
    batched = a.batched or b.batched
    length = a.array.shape[left]
    total = None
    for begin in range(0, length, GROUP):
        static = (
            left,
            right,
            begin,
            min(begin + GROUP, length),
            (*shape, size)[: len(shape) + batched],
        )
        flags = a.batched, b.batched
        if total is None:
            total = _apart(functools.partial(_terms, static, flags), a.array, b.array)
        else:
            total = _apart(functools.partial(_more_terms, static, flags), total, a.array, b.array)
    return [Value(total, batched)]


def _sum_of_terms(static: Any, flags: tuple[bool, bool], a: Array, b: Array) -> Array:
    """Some of the terms of an inner product, added up."""
    left, right, begin, end, shape = static

    def term(k: int) -> Array:
        x, y = lax.index_in_dim(a, k, left, False), lax.index_in_dim(b, k, right, False)
        own = x.ndim - flags[0]
        last = (len(shape) - 1,)
        first_axes = (*range(own), *(last if flags[0] else ()))
        second_axes = (*range(own, own + y.ndim - flags[1]), *(last if flags[1] else ()))
        return lax.mul(
            lax.broadcast_in_dim(x, shape, first_axes), lax.broadcast_in_dim(y, shape, second_axes)
        )

    return functools.reduce(lax.add, [term(k) for k in range(begin, end)])


_terms = jax.jit(_sum_of_terms, static_argnums=(0, 1))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _more_terms(static: Any, flags: tuple[bool, bool], total: Array, a: Array, b: Array) -> Array:
    return lax.add(total, _sum_of_terms(static, flags, a, b))


RULES = {"dot_general": _dot, "argmax": _arg, "argmin": _arg, **dict.fromkeys(REDUCE, _reduce)}

"""Programs taken apart for kernels: run entry by entry, or on values without products."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jaxtyping import Array

from gamejax._trailing import CALLS, ELEMENTWISE, closed_jaxpr

Entries = np.ndarray
"""An array of objects: each a scalar, or a vector over games."""
REDUCE: dict[str, Callable[[Array, Array], Array]] = {
    "reduce_sum": operator.add,
    "reduce_max": jnp.maximum,
    "reduce_min": jnp.minimum,
    "reduce_prod": operator.mul,
    "reduce_and": operator.and_,
    "reduce_or": operator.or_,
}
IDENTITY = frozenset({"stop_gradient", "copy"})


def _broadcast(params: dict[str, Any], x: Entries) -> Entries:
    shape = [1] * len(params["shape"])
    for axis, length in zip(params["broadcast_dimensions"], x.shape, strict=True):
        shape[axis] = length
    return np.broadcast_to(x.reshape(shape), params["shape"])


def _slice(params: dict[str, Any], x: Entries) -> Entries:
    strides = params["strides"] or (None,) * x.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(*bound) for bound in bounds)]


LAYOUT: dict[str, Callable[..., Entries]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": lambda params, x: x.reshape(params["new_sizes"]),
    "transpose": lambda params, x: np.transpose(x, params["permutation"]),
    "slice": _slice,
    "concatenate": lambda params, *parts: np.concatenate(parts, params["dimension"]),
    "squeeze": lambda params, x: np.squeeze(x, params["dimensions"]),
    "stack": lambda params, *parts: np.stack(parts, params["axis"]),
}


def shapes_within(closed: core.ClosedJaxpr) -> list[tuple[int, ...]] | None:
    """The shapes of all arrays of a program; `None` where an operation has no form here."""
    shapes = []
    for equation in closed.jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name in CALLS:
            inner = shapes_within(closed_jaxpr(params[CALLS[name]]))
            if inner is None:
                return None
            shapes += inner
        elif name == "dot_general":
            (contracted, _), (batch, _) = params["dimension_numbers"]
            if len(contracted) != 1 or batch:
                return None
        elif name not in ELEMENTWISE | REDUCE.keys() | LAYOUT.keys():
            return None
        atoms: list[Any] = [*equation.invars, *equation.outvars]
        shapes += [atom.aval.shape for atom in atoms]
    return shapes


def run_entries(closed: core.ClosedJaxpr, args: list[Entries]) -> list[Entries]:
    """Run a program on arrays taken apart: no operation has an axis but that over games."""
    return _run(closed, args, _constant, _entries_of)


def run_values(closed: core.ClosedJaxpr, args: list[Array]) -> list[Array]:
    """Run a program without the operations that Triton lacks: products, stacks."""
    return _run(closed, args, jnp.asarray, _value_of)


def _run(closed: core.ClosedJaxpr, args: list[Any], constant: Any, apply: Any) -> list[Any]:
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = {}
    values.update(zip(jaxpr.constvars, map(constant, closed.consts), strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return constant(atom.val) if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in CALLS:
            inner = closed_jaxpr(equation.params[CALLS[name]])
            outputs = _run(inner, inputs, constant, apply)
        else:
            outputs = inputs if name in IDENTITY else [apply(equation, inputs)]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _constant(value: Any) -> Entries:
    array = np.asarray(value)
    made = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        made[index] = jnp.asarray(array[index])
    return made


def _entries_of(equation: core.JaxprEqn, inputs: list[Entries]) -> Entries:
    name, params = equation.primitive.name, equation.params
    output: Any = equation.outvars[0]
    shape = output.aval.shape
    if name in LAYOUT:
        return LAYOUT[name](params, *inputs)
    made = np.empty(shape, object)
    if name in REDUCE:
        axes = params["axes"]
        front = np.moveaxis(inputs[0], axes, range(len(axes)))
        terms = front.reshape(-1, *shape)
        for index in np.ndindex(shape):
            made[index] = functools.reduce(REDUCE[name], terms[(slice(None), *index)])
    elif name == "dot_general":
        ((left,), (right,)), _ = params["dimension_numbers"]
        a, b = np.moveaxis(inputs[0], left, -1), np.moveaxis(inputs[1], right, -1)
        for index in np.ndindex(shape):
            first, second = a[index[: a.ndim - 1]], b[index[a.ndim - 1 :]]
            products = [x * y for x, y in zip(first, second, strict=True)]
            made[index] = functools.reduce(operator.add, products)
    else:
        operands = [np.broadcast_to(x, shape) for x in inputs]
        for index in np.ndindex(shape):
            entries = jnp.broadcast_arrays(*(x[index] for x in operands))
            made[index] = equation.primitive.bind(*entries, **params)
    return made


def _value_of(equation: core.JaxprEqn, inputs: list[Array]) -> Array:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        ((left,), (right,)), _ = params["dimension_numbers"]
        a, b = jnp.moveaxis(inputs[0], left, -1), jnp.moveaxis(inputs[1], right, -1)
        a = a.reshape(*a.shape[:-1], *(1,) * (b.ndim - 1), a.shape[-1])
        return jnp.sum(a * b.reshape(*(1,) * (a.ndim - b.ndim), *b.shape), axis=-1)
    if name in ("stack", "concatenate"):
        parts = [x[None] if name == "stack" else x for x in inputs]
        length = len(parts)
        position = lax.broadcasted_iota(jnp.int32, (length,), 0)
        made = jnp.broadcast_to(parts[0], (length,))
        for k, part in enumerate(parts[1:], 1):
            made = jnp.where(position == k, part, made)
        return made
    return equation.primitive.bind(*inputs, **params)

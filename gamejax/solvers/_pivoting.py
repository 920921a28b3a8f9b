"""Dense tableaux: the exchange of two variables, the ratio test, and many tableaux at once."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from gamejax._numerics import HIGHEST, safe_divide
from gamejax._side_by_side import in_parts
from gamejax._types import State

CACHE_BYTES = 2**18
"""On a CPU so many bytes of tableaux are pivoted together: what its caches hold."""
MOST_LANES, FEWEST_LANES = 256, 8
CHUNKS_AT_ONCE = 4
"""So many cachefuls of tableaux exist at a time: this bounds memory, time hardly depends on it."""
PIVOTS_PER_VARIABLE = 50
"""A run of more pivots than this per variable is called a cycle."""


def tolerances(dtype: Any) -> tuple[float, float]:
    """What counts as zero: in a cost and, more strictly, in a pivot. For entries of order one."""
    eps = float(jnp.finfo(dtype).eps)
    return eps**0.75, eps**0.6


@functools.cache
def perturbation(count: int, dtype: Any) -> np.ndarray:
    r"""Tiny numbers that, added to right-hand sides, leave no ties in a ratio test.

    Multiples of the fractional parts of the square roots of primes, which no rational combination
    makes rational: with payoffs that are fractions, as all floating-point numbers are, a basic
    variable is never 0 and no basis returns. A change of basis removes them again.

    References:
        charnes1952.
    """
    limit = 16 + int(2 * count * math.log(count + 2))
    sieve = np.ones(limit, bool)
    sieve[:2] = False
    for p in range(2, math.isqrt(limit) + 1):
        sieve[p * p :: p] &= ~sieve[p]
    roots = np.sqrt(np.flatnonzero(sieve)[:count])
    return ((1 + roots % 1) * tolerances(dtype)[0]).astype(dtype)


def smallest(values: Float[Array, " n"]) -> tuple[Array, Int[Array, ""]]:
    """The minimum and its first index by one reduction, through which no derivative passes."""

    def lower(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        first = (a[0] < b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
        return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])

    index = lax.iota(jnp.int32, values.shape[0])
    start = (jnp.asarray(jnp.inf, values.dtype), jnp.int32(values.shape[0] - 1))
    value, where = lax.reduce((lax.stop_gradient(values), index), start, lower, (0,))
    return value, where


def probabilities(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """The values, those below 0 as 0, as shares of their sum."""
    positive = jnp.maximum(values, 0)
    return safe_divide(positive, positive.sum())


def product(a: Array, b: Array) -> Array:
    """The matrix product in full precision."""
    return jnp.matmul(a, b, precision=HIGHEST)


def leaving_row(
    column: Float[Array, " rows"], values: Float[Array, " rows"]
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """The row whose variable reaches 0 first as the column's grows, and whether there is one."""
    blocked = column > tolerances(column.dtype)[1]
    ratios = jnp.where(blocked, values / jnp.where(blocked, column, 1), jnp.inf)
    least, row = smallest(ratios)
    return row, least < jnp.inf


def exchange(
    entries: Float[Array, "rows columns"],
    variables: Int[Array, " variables"],
    num_basic: int,
    row: Int[Array, ""],
    column: Int[Array, ""],
    active: Bool[Array, ""],
) -> tuple[Array, Array]:
    r"""Swap the basic variable of `row` and the nonbasic one of `column`.

    With the pivot $p$: $T'_{re} = 1/p$, $T'_{rj} = T_{rj}/p$, $T'_{ie} = -T_{ie}/p$, and
    $T'_{ij} = T_{ij} - T_{ie} T_{rj} / p$ elsewhere, written as one update of rank one. Nothing
    changes where not `active`.

    Args:
        entries: the tableau, whose further rows (costs) and columns (values) swap along.
        variables: who is basic, row by row, then who is nonbasic, column by column.
        num_basic: how many are basic.
        row: of the pivot.
        column: of the pivot.
        active: whether to.
    """
    num_rows, num_columns = entries.shape
    across = lax.dynamic_index_in_dim(entries, row, 0, keepdims=False)
    down = lax.dynamic_index_in_dim(entries, column, 1, keepdims=False)
    pivot = down[row]
    inverse = jnp.where(active, 1 / jnp.where(active, pivot, 1), 0)
    own_row = lax.iota(jnp.int32, num_rows) == row
    own_column = lax.iota(jnp.int32, num_columns) == column
    factor = jnp.where(own_row, jnp.where(active, (pivot - 1) * inverse, 0), down * inverse)
    entries = entries - factor[:, None] * jnp.where(own_column, across + 1, across)[None, :]

    place = lax.iota(jnp.int32, variables.shape[0])
    other = num_basic + column
    swapped = jnp.where(place == other, variables[row], variables)
    swapped = jnp.where(place == row, variables[other], swapped)
    return entries, jnp.where(active, swapped, variables)


class Rules(NamedTuple):
    """A method that pivots: from a small state to tableaux, pivot by pivot, and back.

    Attributes:
        begin: the tableaux of a state, from the data of the game.
        step: one pivot; must not change tableaux that are not `running`.
        running: whether to go on.
        finish: the state to be read off the tableaux.
    """

    begin: Callable[[Any, State], Any]
    step: Callable[[Any], Any]
    running: Callable[[Any], Bool[Array, ""]]
    finish: Callable[[Any, Any], State]


def pivot_until_done(rules: Rules, data: Any, state: State) -> State:
    """The state after pivoting until it is no longer running.

    Under `jax.vmap` no pivot is masked, for the tableaux of finished games are fixed points: the
    loop goes on while any game runs. On a CPU the batch is cut into chunks that fit into the
    caches; a chunk is left when most of its games have finished, and the others are gathered into
    new chunks. No derivative passes: an attempt says so.
    """

    def alone(data: Any, state: State) -> State:
        begun = rules.begin(data, state)
        return rules.finish(data, lax.while_loop(rules.running, rules.step, begun))

    single, several = custom_vmap(alone), custom_vmap(functools.partial(_several, rules))

    @single.def_vmap
    def _(size: int, mapped: list[Any], data: Any, state: State) -> tuple[State, Any]:
        return several(*_spread(size, mapped, (data, state))), _all(state)

    @several.def_vmap
    def _(size: int, mapped: list[Any], data: Any, state: State) -> tuple[State, Any]:
        spread = _spread(size, mapped, (data, state))
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), spread)
        back = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), several(*flat))
        return back, _all(state)

    shielded = jax.custom_jvp(lambda data, state: single(data, state))
    shielded.defjvp(_refuse)
    return shielded(data, state)


def _refuse(primals: Any, tangents: Any) -> Any:
    raise TypeError(
        "No derivative passes through pivots; solve(..., adjoint=gamejax.Implicit()) "
        "differentiates the equilibrium they end at."
    )


def _all(tree: Any) -> Any:
    return jax.tree.map(lambda _: True, tree)


def _spread(size: int, mapped: list[Any], trees: tuple[Any, ...]) -> tuple[Any, ...]:
    """The trees with a leading batch axis on the leaves that have none."""
    leaves, structure = jax.tree.flatten(trees)
    flags = jax.tree.leaves(mapped)
    spread = [
        x if has else jnp.broadcast_to(x, (size, *jnp.shape(x)))
        for x, has in zip(leaves, flags, strict=True)
    ]
    return jax.tree.unflatten(structure, spread)


def _several(rules: Rules, data: Any, states: State) -> State:
    """As for one game, with the batch in the leading axis of everything, chunk by chunk."""
    size = jax.tree.leaves(states)[0].shape[0]
    begin, finish = jax.vmap(rules.begin), jax.vmap(rules.finish)
    shapes = jax.tree.leaves(jax.eval_shape(begin, data, states))
    lanes = _num_lanes(sum(math.prod(x.shape) * x.dtype.itemsize for x in shapes) // size, size)
    chunk = min(size, CHUNKS_AT_ONCE * lanes)

    def pivoted(data: Any, states: State) -> State:
        return finish(data, _together(rules, begin(data, states), lanes))

    if chunk == size:
        return pivoted(data, states)
    everything = [True] * len(jax.tree.leaves((data, states)))
    return in_parts(pivoted, size, chunk, everything, (data, states))


def _together(rules: Rules, works: Any, lanes: int) -> Any:
    """Pivots until none of the `works` is running, `lanes` of them at a time."""
    size = jax.tree.leaves(works)[0].shape[0]
    step, running = jax.vmap(rules.step), jax.vmap(rules.running)

    def run(chunk: Any, leave: Array | int) -> Any:
        return lax.while_loop(
            lambda carry: running(carry).sum(dtype=jnp.int32) > leave, step, chunk
        )

    if lanes == size:
        return run(works, 0)
    num_chunks = -(-size // lanes)

    def sweep(index: Array, carry: Any) -> Any:
        first = jnp.minimum(index * lanes, size - lanes)
        chunk = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, first, lanes), carry)
        return jax.tree.map(
            lambda x, new: lax.dynamic_update_slice_in_dim(x, new, first, 0),
            carry,
            run(chunk, lanes // 4),
        )

    def gathered(carry: Any) -> Any:
        open_ = running(carry)
        total = open_.sum(dtype=jnp.int32)
        leave = jnp.where(total > lanes, lanes // 4, 0)
        # Places beyond the running ones hold `size`: reading takes a copy, writing does nothing.
        places = jnp.nonzero(open_, size=num_chunks * lanes, fill_value=size)[0].astype(jnp.int32)

        def one(loop: tuple[Array, Any]) -> tuple[Array, Any]:
            index, carry = loop
            where = lax.dynamic_slice_in_dim(places, index * lanes, lanes)
            chunk = run(jax.tree.map(lambda x: x.at[where].get(mode="clip"), carry), leave)
            carry = jax.tree.map(lambda x, new: x.at[where].set(new, mode="drop"), carry, chunk)
            return index + 1, carry

        return lax.while_loop(lambda loop: loop[0] * lanes < total, one, (0 * total, carry))[1]

    works = lax.fori_loop(0, num_chunks, sweep, works)
    return lax.while_loop(lambda carry: running(carry).any(), gathered, works)


def _num_lanes(num_bytes: int, size: int) -> int:
    """How many tableaux to pivot together: all on an accelerator, a cacheful on a CPU."""
    if jax.default_backend() != "cpu":
        return size
    return min(size, max(FEWEST_LANES, min(MOST_LANES, CACHE_BYTES // num_bytes)))


def restore(
    entries: Float[Array, "rows columns"],
    variables: Int[Array, " variables"],
    wanted: Int[Array, " variables"],
    num_basic: int,
    needed: Bool[Array, ""],
) -> tuple[Array, Array]:
    """The tableau of another basis, the first `num_basic` of `wanted`; by partial pivoting.

    Nothing happens where it is not `needed`.
    """

    def unfinished(carry: tuple[Array, ...]) -> Array:
        return carry[3].any()

    def swap(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        entries, variables, leaves, enters = carry
        column = lax.argmax(enters, 0, jnp.int32)
        down = lax.dynamic_index_in_dim(entries, column, 1, keepdims=False)[:num_basic]
        row = lax.argmax(jnp.where(leaves, jnp.abs(down), -1), 0, jnp.int32)
        active = enters[column]
        entries, variables = exchange(entries, variables, num_basic, row, column, active)
        return entries, variables, leaves.at[row].set(False), enters.at[column].set(False)

    belongs = (variables[:, None] == wanted[None, :num_basic]).any(1)
    leaves, enters = needed & ~belongs[:num_basic], needed & belongs[num_basic:]
    carry = (entries, variables, leaves, enters)
    entries, variables, *_ = lax.while_loop(unfinished, swap, carry)
    return entries, variables

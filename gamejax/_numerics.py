"""Small numerics that every layer shares: safe divisions, inner products, sums that keep digits."""

import math
import os
from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, UInt32

from gamejax._types import PyTree, Scalar

HIGHEST = jax.lax.Precision.HIGHEST
"""Payoff products ask for this: default float32 products of recent GPUs keep three digits."""


def require_memory(num_bytes: int, what: str) -> None:
    """Refuse to build something that cannot fit, before it is built.

    Raises:
        ValueError: `num_bytes` exceeds this machine's memory; the message says both.
    """
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > available:
        raise ValueError(
            f"{what} needs {num_bytes:,} bytes, more than the {available:,} bytes of memory here."
        )


def fold(key: PRNGKeyArray | None, index: Array | int) -> PRNGKeyArray | None:
    """The key of one step or part; `None` stays `None`."""
    return None if key is None else jax.random.fold_in(key, index)


def vary_like(tree: PyTree[Array], data: PyTree[Array]) -> PyTree[Array]:
    """The tree, varying over the mesh axes over which the numbers in `data` vary.

    Loops under `jax.shard_map` ask for that of what they carry from the beginning. Costs nothing.
    """
    numbers = [x for x in jax.tree.leaves(data) if eqx.is_inexact_array(x) and x.size]
    for x in numbers:
        corner = x[(0,) * x.ndim]
        tree = jax.tree.map(lambda leaf, c=corner: jnp.where(c == c, leaf, leaf), tree)
    return tree


def inner(x: PyTree[Array], y: PyTree[Array]) -> Scalar:
    r"""The inner product $\langle x, y\rangle$ of two trees of arrays."""
    products = jax.tree.map(lambda a, b: jnp.vdot(a, b, precision=HIGHEST), x, y)
    return jax.tree.reduce(jnp.add, products)


def safe_divide(numerator: Array, denominator: Array, otherwise: Array | float = 0.0) -> Array:
    """`numerator / denominator`, `otherwise` where the denominator is 0; gradients stay finite."""
    zero = denominator == 0
    return jnp.where(zero, otherwise, numerator / jnp.where(zero, 1, denominator))


def tiniest(like: Array) -> Scalar:
    """The smallest normal number of the floating-point type of an array."""
    return jnp.asarray(jnp.finfo(like.dtype).tiny, like.dtype)


def safe_log(x: Array) -> Array:
    """The logarithm with the smallest normal number in place of smaller arguments."""
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def hash_words(
    key: PRNGKeyArray, shape: tuple[int, ...] = (), stream: int = 0
) -> UInt32[Array, "..."]:
    """Random 32-bit words, an eighth of the price of `jax.random.bits`, for inner loops.

    The words of a key made by `fold_in` or `split` are random themselves. The words made here are
    a hash of the first of them and a number, the finalizer of MurmurHash3, masked by the second.
    """
    first, second = (jax.random.key_data(key)[i] for i in (0, 1))
    number = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    number = (number + jnp.uint32(stream << 20)) * jnp.uint32(0x9E3779B9)
    return _finalize(first + number) ^ second


def uniform(key: PRNGKeyArray, dtype: Any, shape: tuple[int, ...] = (), stream: int = 0) -> Array:
    """Uniform numbers in (0, 1), from `hash_words`."""
    words = hash_words(key, shape, stream)
    if dtype == jnp.float64:
        finer = hash_words(key, shape, stream + 1)
        integer = (words >> 5).astype(dtype) * 2.0**26 + (finer >> 6).astype(dtype)
        return (integer + 0.5) * 2.0**-53
    return ((words >> 9).astype(jnp.float32) + 0.5).astype(dtype) * 2.0**-23


def hash_lots(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """As `hash_words`, in half the time: random enough to draw lots with."""
    first, second = (jax.random.key_data(key)[i] for i in (0, 1))
    number = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    word = first + number * jnp.uint32(0x9E3779B9)
    return (word ^ (word >> 15)) * (second | 1)


def hash_key(key: PRNGKeyArray, number: Array | int) -> PRNGKeyArray:
    """`jax.random.fold_in` by the hash of `hash_words`: a tenth of the price on a CPU."""
    data = jax.random.key_data(key)
    other = jnp.uint32(0x85EBCA6B) * jnp.arange(1, len(data) + 1, dtype=jnp.uint32)
    words = _finalize(data + jnp.asarray(number).astype(jnp.uint32) * jnp.uint32(0x9E3779B9))
    words = _finalize(words + other ^ data[::-1])
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(key))


def _finalize(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)


class Sum(eqx.Module):
    r"""A running sum of trees of arrays that keeps its digits over millions of terms.

    Compensated (Kahan) addition: with `carry` the part that rounding lost so far,
    $y = v - c;\ t = s + y;\ c = (t - s) - y;\ s = t$.
    """

    total: PyTree[Array]
    carry: PyTree[Array]

    @classmethod
    def zeros_like(cls, tree: PyTree[Array]) -> Self:
        """An empty sum of terms shaped like `tree`."""
        zeros = jax.tree.map(jnp.zeros_like, tree)
        return cls(zeros, zeros)

    def add(self, term: PyTree[Array]) -> Self:
        """The sum with one more term."""
        step = jax.tree.map(jnp.subtract, term, self.carry)
        total = jax.tree.map(jnp.add, self.total, step)
        carry = jax.tree.map(lambda t, s, y: (t - s) - y, total, self.total, step)
        return type(self)(total, carry)


class Partial(eqx.Module):
    """A plain sum of few terms, to be added to a `Sum` as one: as exact, at a third of the price.

    Chunks of a thousand terms reach the same float32 result as compensated addition.
    """

    total: PyTree[Array]

    @classmethod
    def zeros_like(cls, tree: PyTree[Array]) -> Self:
        """An empty sum of terms shaped like `tree`."""
        return cls(jax.tree.map(jnp.zeros_like, tree))

    def add(self, term: PyTree[Array]) -> Self:
        """The sum with one more term."""
        return type(self)(jax.tree.map(jnp.add, self.total, term))


def partial_sums(tree: PyTree[Any]) -> PyTree[Any]:
    """The tree with an empty `Partial` in place of every `Sum`."""
    return _at_sums(lambda x: Partial.zeros_like(x.total), tree)


def whole_sums(before: PyTree[Any], after: PyTree[Any]) -> PyTree[Any]:
    """`after`, where every `Partial` has been added to the `Sum` that stood there in `before`."""
    return _at_sums(lambda old, new: old.add(new.total), before, after)


def _at_sums(change: Callable[..., Any], tree: PyTree[Any], *others: PyTree[Any]) -> PyTree[Any]:
    def one(x: Any, *rest: Any) -> Any:
        return change(x, *rest) if isinstance(x, Sum) else rest[-1] if rest else x

    return jax.tree.map(one, tree, *others, is_leaf=lambda x: isinstance(x, Sum))

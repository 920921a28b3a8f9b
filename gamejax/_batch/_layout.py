"""Trees as flat lists of plain arrays, which NumPy can index and files can hold."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._types import PyTree


class Layout(NamedTuple):
    """The structure of a tree; hashable.

    Attributes:
        structure: how the leaves make the tree.
        keys: for each leaf that holds random keys the name of their generator, else `None`.
    """

    structure: Any
    keys: tuple[Any, ...]

    @classmethod
    def of(cls, tree: PyTree[Array]) -> Self:
        """The layout of this tree (its leaves may be traced)."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(jax.random.key_impl(x) if _is_key(x) else None for x in leaves))

    def pack(self, tree: PyTree[Array]) -> list[Array]:
        """The leaves, random keys as the numbers they consist of."""
        leaves = jax.tree.leaves(tree)
        return [
            x if impl is None else jax.random.key_data(x)
            for x, impl in zip(leaves, self.keys, strict=True)
        ]

    def unpack(self, leaves: Sequence[Any]) -> PyTree[Array]:
        """The tree that `pack` took apart."""
        whole = [
            x if impl is None else jax.random.wrap_key_data(jnp.asarray(x), impl=impl)
            for x, impl in zip(leaves, self.keys, strict=True)
        ]
        return jax.tree.unflatten(self.structure, whole)


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)

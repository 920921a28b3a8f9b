"""No constraint at all: parameters of any shape."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gamejax._types import PyTree, Scalar
from gamejax.regularizers import AbstractRegularizer
from gamejax.sets._base import AbstractStrategySet
from gamejax.sets._checks import require_euclidean


class Unconstrained(AbstractStrategySet):
    r"""All of $\mathbb{R}^d$: parameters that a learner may move anywhere.

    A linear function has no maximum here unless it is 0: `support` is infinite for any other
    utility and `lmo` is an error; learners use gradients, and `first_order_gap` is the certificate.

    Args:
        like: an array, a `jax.ShapeDtypeStruct`, or any tree of them, whose shapes strategies
            have. The values are not kept. `shape` is the shape of a single array, else the tuple
            of all leaves' shapes.

    Raises:
        TypeError: a leaf of `like` has no shape; always from `lmo`; from `mirror`: any regularizer
            but `Euclidean`.
    """

    shape: tuple[Any, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    def __init__(self, like: PyTree[Any]):
        leaves, self.structure = jax.tree.flatten(like)
        for leaf in leaves:
            if not hasattr(leaf, "shape") and not isinstance(leaf, int | float):
                raise TypeError(f"like must hold arrays, got a {type(leaf).__name__}.")
        self.shape = tuple(tuple(np.shape(leaf)) for leaf in leaves)
        if jax.tree.structure(0) == self.structure:
            self.shape = self.shape[0]

    @property
    def _shapes(self) -> tuple[Any, ...]:
        return (self.shape,) if self.structure == jax.tree.structure(0) else self.shape

    def center(self, dtype: Any) -> PyTree[Array]:
        zeros = [jnp.zeros(shape, dtype) for shape in self._shapes]
        return jax.tree.unflatten(self.structure, zeros)

    def lmo(self, utility: PyTree[Array]) -> PyTree[Array]:
        raise TypeError(
            "Unconstrained has no maximizer of a linear function; best responses need a bounded "
            "set such as Box or Ball, and gradient learners need none."
        )

    def support(self, utility: PyTree[Array]) -> Scalar:
        largest = [jnp.max(jnp.abs(u), initial=0) for u in jax.tree.leaves(utility)]
        return jnp.where(jnp.stack(largest).max() == 0, 0, jnp.inf).astype(largest[0].dtype)

    def project(self, point: PyTree[Array]) -> PyTree[Array]:
        return point

    def mirror(self, dual: PyTree[Array], regularizer: AbstractRegularizer) -> PyTree[Array]:
        require_euclidean(self, regularizer)
        return dual

    def violation(self, strategy: PyTree[Array]) -> Scalar:
        return jnp.zeros((), jnp.result_type(*jax.tree.leaves(strategy)))

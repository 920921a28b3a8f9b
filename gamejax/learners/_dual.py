"""What mirror learners share: step sizes, duals of strategies, predicted cumulative utilities."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._numerics import Sum
from gamejax._types import PyTree, Scalar, Utility
from gamejax.regularizers import AbstractRegularizer, Entropy, LogBarrier, Tsallis
from gamejax.sets import AbstractStrategySet, Simplex, Treeplex


def number(value: Any, like: PyTree[Array]) -> Array:
    """A hyper-parameter as an array of the dtype of `like`."""
    return jnp.asarray(value, jnp.result_type(*jax.tree.leaves(like)))


def decayed(value: Any, decay: Any, step: Array, like: PyTree[Array]) -> Array:
    r"""The step size $\eta_t = \eta\, t^{-p}$ in round `step` $t \ge 1$."""
    value = number(value, like)
    return value * step.astype(value.dtype) ** -number(decay, like)


def combine(*terms: tuple[Any, PyTree[Array]]) -> PyTree[Array]:
    """The linear combination of trees, given as pairs `(coefficient, tree)`."""
    scaled = [jax.tree.map(lambda leaf, c=c: number(c, leaf) * leaf, tree) for c, tree in terms]
    return jax.tree.map(lambda *leaves: functools.reduce(jnp.add, leaves), *scaled)


def keeps_dual(strategies: AbstractStrategySet, regularizer: AbstractRegularizer) -> bool:
    r"""Whether $\nabla R$ of a mirror step is its dual up to a constant per block.

    So it is on a simplex for regularizers that are steep at its boundary, and on a treeplex. Then
    mirror descent needs no gradients of strategies, and probabilities too small to be represented
    are not forgotten.
    """
    if isinstance(strategies, Treeplex):
        return isinstance(regularizer, Entropy)
    return isinstance(strategies, Simplex) and isinstance(
        regularizer, Entropy | LogBarrier | Tsallis
    )


def predicted(
    strategies: AbstractStrategySet, total: Sum, utility: Utility, optimism: float | Scalar
) -> Utility:
    r"""$\sum_{s \le t} u^s + \omega u^t$, recentred before the digits of the carry come in."""
    optimism = number(optimism, utility)
    return jax.tree.map(
        lambda s, c, u: (s - c) + optimism * u,
        strategies.recenter(total.total),
        total.carry,
        utility,
    )


def ranges(strategies: AbstractStrategySet, utility: Utility) -> PyTree[Array]:
    """Largest minus smallest utility of existing actions in every block, the last axis kept."""
    # recenter(u) = u - max u and recenter(-u) = min u - u.
    below = strategies.recenter(utility)
    above = strategies.recenter(jax.tree.map(jnp.negative, utility))
    return jax.tree.map(lambda b, a: jnp.max(-(b + a), axis=-1, keepdims=True), below, above)

"""Strategies in a decision tree, as realization plans."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._types import Scalar
from gamejax.regularizers import AbstractRegularizer, Entropy
from gamejax.sets._base import AbstractStrategySet
from gamejax.sets._simplex import Simplex
from gamejax.sets._tree import Tree


class Treeplex(AbstractStrategySet):
    r"""Realization plans: $x \ge 0$, $x_\emptyset = 1$, $\sum_a x_{ja} = x_{p_j}$ at every set.

    $x_{ja}$ is the probability of all own actions up to and including $a$ at $j$; with
    *behaviors* $b_{ja}$, the probability of $a$ once at $j$, $x_{ja} = x_{p_j} b_{ja}$. Payoffs
    are linear in it. Sequences are numbered as in `Tree`; those of actions that do not exist have
    probability exactly 0.

    The entropy of a treeplex is *dilated*:
    $\psi(x) = \sum_j \alpha_j x_{p_j} \sum_a b_{ja} \ln b_{ja}$, whose mirror map is one pass from
    the leaves up, $b_{ja} \propto e^{Q_{ja}/\alpha_j}$, $V_j = \alpha_j \ln \sum_a
    e^{Q_{ja}/\alpha_j}$.

    Args:
        tree: the information sets.
        weights: $\alpha_j > 0$, shape `(sets,)`; `None` for 1 everywhere.

    References:
        vonstengel1996; hoda2010.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    tree: Tree = eqx.field(static=True)
    weights: Float[Array, " sets"] | None

    def __init__(self, tree: Tree, weights: Any = None):
        self.tree = tree
        self.shape = (tree.num_sequences,)
        self.weights = None if weights is None else jnp.asarray(weights)
        if self.weights is not None and self.weights.shape != (tree.num_sets,):
            raise ValueError(
                f"weights must have one entry per information set, {tree.num_sets} in all, got "
                f"shape {self.weights.shape}."
            )

    @property
    def local(self) -> Simplex:
        """The behaviors: a simplex with one block per information set."""
        mask = self.tree.mask
        shape = (self.tree.num_sets, self.tree.width)
        return Simplex(shape, None if mask.all() else mask)

    def plan(self, behaviors: Float[Array, "sets actions"]) -> Float[Array, " sequences"]:
        """The realization plan of behaviors."""
        return self.tree.plan(behaviors)

    def behaviors(self, plan: Float[Array, " sequences"]) -> Float[Array, "sets actions"]:
        """The behaviors of a realization plan; uniform in sets that it does not reach."""
        return self.tree.behaviors(plan)

    def counterfactual_values(
        self, utility: Float[Array, " sequences"], behaviors: Float[Array, "sets actions"]
    ) -> Float[Array, "sets actions"]:
        r"""$Q_{ja} = u_{ja} + \sum_{j' : p_{j'} = ja} \langle b_{j'}, Q_{j'}\rangle$."""
        return self.tree.fold(utility, lambda q, low, high: (q * behaviors[low:high]).sum(1))[1]

    def center(self, dtype: Any) -> Array:
        return self.plan(self._uniform(dtype))

    def lmo(self, utility: Array) -> Array:
        _, values = self.tree.fold(utility, self._best)
        best = jnp.argmax(self._hide(values), axis=1)
        return self.plan(jax.nn.one_hot(best, self.tree.width, dtype=utility.dtype))

    def support(self, utility: Array) -> Scalar:
        return self.tree.fold(utility, self._best)[0]

    def smooth_support(self, utility: Array, temperature: Any) -> Scalar:
        temperature = jnp.asarray(temperature, utility.dtype)
        return temperature * self.tree.fold(utility / temperature, self._soft)[0]

    def project(self, point: Array) -> Array:
        raise TypeError(
            "A Treeplex has no cheap Euclidean projection; use learners that move by its entropy "
            "(Hedge, MirrorDescent, MagneticMirrorDescent with Entropy()) or Counterfactual(...)."
        )

    def mirror(self, dual: Array, regularizer: AbstractRegularizer) -> Array:
        self._require_entropy(regularizer)
        values, logs = self._logarithms(dual)
        del values
        return self.plan(jnp.where(self.tree.mask, jnp.exp(logs), 0))

    def dual(self, strategy: Array, regularizer: AbstractRegularizer) -> Array:
        self._require_entropy(regularizer)
        behaviors = self.behaviors(strategy)
        tiny = jnp.finfo(behaviors.dtype).tiny
        logs = self._scale(jnp.log(jnp.maximum(behaviors, tiny)), 0, self.tree.num_sets)
        return self._sequences(logs)

    def regularization(self, strategy: Array, regularizer: AbstractRegularizer) -> Scalar:
        return jnp.sum(strategy * self.dual(strategy, regularizer))

    def violation(self, strategy: Array) -> Scalar:
        moves = strategy[1:].reshape(self.tree.num_sets, self.tree.width)
        flow = jnp.abs(moves.sum(1) - strategy[self.tree.parent])
        ghosts = jnp.where(self.tree.mask, 0, jnp.abs(moves))
        parts = [jnp.abs(strategy[0] - 1), jnp.max(-strategy)]
        parts += [jnp.max(flow, initial=0), jnp.max(ghosts, initial=0)]
        return jnp.maximum(jnp.stack(parts).max(), 0)

    def restore(self, strategy: Array) -> Array:
        return self.plan(self.behaviors(strategy))

    def recenter(self, dual: Array) -> Array:
        _, values = self.tree.fold(dual, self._best)
        return self._sequences(values - jnp.max(self._hide(values), axis=1, keepdims=True))

    def entropy_range(self, dtype: Any) -> Scalar:
        per_set = self._scale(jnp.log(jnp.asarray(self.tree.num_actions, dtype))[:, None], 0, None)

        def value(below: Array, low: int, high: int) -> Array:
            return self._best(below, low, high) + per_set[low:high, 0]

        return self.tree.fold(jnp.zeros(self.shape, dtype), value)[0]

    def _uniform(self, dtype: Any) -> Array:
        return jnp.asarray(self.tree.mask / self.tree.num_actions[:, None], dtype)

    def _hide(self, values: Array, low: int = 0, high: int | None = None) -> Array:
        mask = self.tree.mask[low:high]
        return values if mask.all() else jnp.where(mask, values, -jnp.inf)

    def _best(self, values: Array, low: int, high: int) -> Array:
        return jnp.max(self._hide(values, low, high), axis=1)

    def _scale(self, values: Array, low: int, high: int | None, power: int = 1) -> Array:
        r"""Times $\alpha_j$ (or divided by it)."""
        if self.weights is None:
            return values
        weights = self.weights[low:high].astype(values.dtype)
        weights = weights.reshape(weights.shape + (1,) * (values.ndim - 1))
        return values * weights if power == 1 else values / weights

    def _soft(self, values: Array, low: int, high: int) -> Array:
        scaled = self._hide(self._scale(values, low, high, -1), low, high)
        return self._scale(jax.nn.logsumexp(scaled, axis=1), low, high)

    def _logarithms(self, dual: Array) -> tuple[Scalar, Array]:
        r"""$V_\emptyset$ and $\ln b$; minus infinity at actions that do not exist."""
        value, values = self.tree.fold(dual, self._soft)
        scaled = self._hide(self._scale(values, 0, None, -1))
        return value, scaled - jax.nn.logsumexp(scaled, axis=1, keepdims=True)

    def _sequences(self, values: Array) -> Array:
        """Numbers of actions as numbers of sequences: 0 for the empty one and for padding."""
        flat = jnp.where(self.tree.mask, values, 0).reshape(-1)
        return jnp.concatenate([jnp.zeros_like(values, shape=(1,)), flat])

    def _require_entropy(self, regularizer: AbstractRegularizer) -> None:
        if not isinstance(regularizer, Entropy):
            raise TypeError(
                "Treeplex has a mirror map for Entropy() only, which is dilated there, got "
                f"{type(regularizer).__name__}."
            )


def balanced_weights(tree: Tree) -> np.ndarray:
    r"""$\alpha_j = 2(1 + \max_a \sum_{j' : p_{j'} = ja} \alpha_{j'})$, shape `(sets,)`.

    With them the dilated entropy is strongly convex in the norms that regret bounds ask for.

    References:
        kroer2020.
    """
    weights = np.zeros(tree.num_sets)
    for level in reversed(range(len(tree.levels))):
        low, high = tree.levels[level]
        below = np.zeros((high - low, tree.width))
        if level + 1 < len(tree.levels):
            start, end = tree.levels[level + 1]
            above = tree.parent[start:end] - (1 + low * tree.width)
            below = np.bincount(above, weights[start:end], below.size).reshape(below.shape)
        weights[low:high] = 2 * (1 + below.max(1))
    return weights

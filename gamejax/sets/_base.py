"""What a strategy set answers: where may a player be?"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from gamejax._numerics import inner
from gamejax._types import Scalar, Strategy, Utility
from gamejax.regularizers import AbstractRegularizer, Entropy


class AbstractStrategySet(eqx.Module):
    r"""A convex set $X$ of strategies.

    `shape` is static: the last axis holds actions, leading axes are independent blocks of the
    same player's strategy. Products and trees have a tuple of shapes. Sets know nothing of games
    or learners.
    """

    shape: eqx.AbstractVar[tuple[Any, ...]]

    @abc.abstractmethod
    def center(self, dtype: Any) -> Strategy:
        """A point in the middle of the set, where learners start (uniform on a simplex)."""

    @abc.abstractmethod
    def lmo(self, utility: Utility) -> Strategy:
        r"""A maximizer of $\langle u, x\rangle$ over the set; ties go to the lowest index."""

    @abc.abstractmethod
    def support(self, utility: Utility) -> Scalar:
        r"""The maximum $\max_{x \in X} \langle u, x\rangle$ itself (the support function)."""

    @abc.abstractmethod
    def project(self, point: Strategy) -> Strategy:
        r"""The Euclidean projection $\arg\min_{x \in X} \|x - p\|_2$."""

    @abc.abstractmethod
    def mirror(self, dual: Utility, regularizer: AbstractRegularizer) -> Strategy:
        r"""The mirror map $\arg\max_{x \in X} \langle \theta, x\rangle - R(x)$."""

    def dual(self, strategy: Strategy, regularizer: AbstractRegularizer) -> Utility:
        r"""A vector whose mirror map is `strategy`: $\nabla R(x)$, up to a constant."""
        return jax.tree.map(regularizer.gradient, strategy)

    def regularization(self, strategy: Strategy, regularizer: AbstractRegularizer) -> Scalar:
        r"""$R(x)$: the regularizer summed over all coordinates; dilated on trees."""
        return jnp.stack([regularizer.value(part) for part in jax.tree.leaves(strategy)]).sum()

    @abc.abstractmethod
    def violation(self, strategy: Strategy) -> Scalar:
        """How far outside the set: the largest violation of its constraints, 0 inside."""

    def restore(self, strategy: Strategy) -> Strategy:
        """The point of the set that `strategy` is up to rounding; averages are handed out so.

        Sets on which sums of points need it override it; the default returns `strategy`.
        """
        return strategy

    def smooth_support(self, utility: Utility, temperature: ArrayLike) -> Scalar:
        r"""$\max_{x \in X} \langle u, x\rangle + \tau H(x)$, $H$ the entropy, $\tau > 0$."""
        scaled = jax.tree.map(lambda u: u / temperature, utility)
        best = self.mirror(scaled, Entropy())
        entropies = [-Entropy().value(part) for part in jax.tree.leaves(best)]
        return inner(best, utility) + temperature * jnp.stack(entropies).sum()

    def recenter(self, dual: Utility) -> Utility:
        """A vector that ranks the points of the set as `dual` does, moved towards zero.

        Simplices subtract the largest coordinate, so that cumulative utilities keep their digits
        over long float32 runs; sets on which no constant may be dropped return `dual` unchanged.
        """
        return dual

    def entropy_range(self, dtype: Any) -> Scalar:
        r"""The largest divergence from the center, $\max_x \mathrm{KL}(x \,\|\, c)$, per block.

        $\ln n$ on a simplex, about $\ln(n \cdot \mathrm{cap})$ on a capped one; the $\ln n$ of
        regret bounds and of Hedge's default learning rate.

        Raises:
            TypeError: the set does not consist of probability vectors.
        """
        raise TypeError(
            f"{type(self).__name__} holds no probability vectors, so it has no entropy."
        )

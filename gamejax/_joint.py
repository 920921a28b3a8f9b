"""Distributions over action profiles and strategies of small support."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Joint(eqx.Module):
    r"""A joint distribution over action profiles, the object of correlated equilibria.

    Attributes:
        probabilities: array of shape `(n_1, ..., n_m)`, non-negative, summing to one; entry
            `[a_1, ..., a_m]` is the probability that the profile `(a_1, ..., a_m)` is recommended.

    References:
        aumann1974.
    """

    probabilities: Float[Array, "..."]

    @property
    def marginals(self) -> tuple[Float[Array, " actions"], ...]:
        """Each player's own distribution over its actions."""
        axes = range(self.probabilities.ndim)
        return tuple(self.probabilities.sum(tuple(j for j in axes if j != i)) for i in axes)


def product(profile: Sequence[Float[Array, " actions"]]) -> Float[Array, "..."]:
    """The joint distribution of independent strategies, shape `(n_1, ..., n_m)`."""
    joint = profile[0]
    for strategy in profile[1:]:
        joint = joint[..., None] * jnp.expand_dims(strategy, tuple(range(joint.ndim)))
    return joint


class Sparse(eqx.Module):
    r"""A strategy that plays few of very many actions.

    Attributes:
        actions: integers, shape `(support,)`; an action that stands there twice has the sum of its
            probabilities.
        probabilities: of the same shape, non-negative, summing to one.
    """

    actions: Int[Array, "*batch support"]
    probabilities: Float[Array, "*batch support"]

    @property
    def largest(self) -> Float[Array, ""]:
        """The largest probability of any action, repetitions added up."""
        same = self.actions[:, None] == self.actions[None, :]
        return jnp.max(jnp.where(same, self.probabilities[None, :], 0).sum(1))

    def dense(self, num_actions: int) -> Float[Array, " actions"]:
        """The same strategy as a vector with an entry for each action."""
        return (
            jnp.zeros(num_actions, self.probabilities.dtype)
            .at[self.actions]
            .add(self.probabilities)
        )

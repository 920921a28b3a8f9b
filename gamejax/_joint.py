"""Distributions over action profiles."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


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

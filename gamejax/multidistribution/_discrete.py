"""Distributions over finitely many examples that are known exactly."""

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, uniform
from gamejax._types import State
from gamejax.multidistribution._problem import (
    AbstractTableProblem,
    Draw,
    Table,
    as_distribution_mask,
    as_floats,
)


class DiscreteLosses(AbstractTableProblem):
    r"""A finite class on finitely many examples, of which every distribution is a known mixture.

    Distribution $j$ draws example $z$ with probability `probabilities[j, z]`; hypothesis $h$ then
    loses `losses[z, h]`. So expected losses are exact, also those of a majority vote
    (`majority_losses`).

    Args:
        losses: shape `(examples, hypotheses)`, not negative.
        probabilities: shape `(distributions, examples)`; rows are scaled to sum to one.
        mask: which distributions exist, shape `(distributions,)`.
        loss_bound: $C$, the largest loss.
        zero_one: whether losses are mistakes, 0 or 1, of predictions with two values.

    Raises:
        ValueError: shapes do not fit, or a number is negative.
    """

    losses: Float[Array, "examples hypotheses"]
    probabilities: Float[Array, "distributions examples"]
    ends: Float[Array, "distributions examples"]
    means: Table
    mask: Bool[Array, " distributions"] | None
    loss_bound: float | Float[Array, ""]
    zero_one: bool = eqx.field(static=True)

    def __init__(
        self,
        losses: ArrayLike,
        probabilities: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        loss_bound: float | Float[Array, ""] = 1.0,
        zero_one: bool = True,
    ):
        table, chances = as_floats(losses, "losses"), as_floats(probabilities, "probabilities")
        if table.ndim != 2 or chances.ndim != 2 or chances.shape[1] != table.shape[0]:
            raise ValueError(
                "losses must have shape (examples, hypotheses) and probabilities (distributions, "
                f"examples), got {table.shape} and {chances.shape}."
            )
        for array, name in ((table, "losses"), (chances, "probabilities")):
            if not isinstance(array, Tracer) and array.min() < 0:
                raise ValueError(f"{name} must not be negative.")
        self.losses = table
        self.probabilities = (chances / chances.sum(1, keepdims=True)).astype(table.dtype)
        self.ends = jnp.cumsum(self.probabilities, 1)
        self.means = jnp.matmul(table.T, self.probabilities.T, precision=HIGHEST)
        self.mask = as_distribution_mask(mask, chances.shape[0])
        self.loss_bound, self.zero_one = loss_bound, zero_one

    def draw_examples(
        self, distributions: Int[Array, " draws"], *, key: PRNGKeyArray
    ) -> Int[Array, " draws"]:
        """The numbers of the examples drawn, by inverting the distribution functions."""
        ends, size = self.ends, self.ends.shape[1]
        level = uniform(key, self.dtype, (len(distributions),)) * ends[distributions, -1]
        low = jnp.zeros(len(distributions), jnp.int32)
        high = jnp.full_like(low, size - 1)
        for _ in range((size - 1).bit_length()):
            middle = (low + high) // 2
            below = ends[distributions, middle] <= level
            low, high = jnp.where(below, middle + 1, low), jnp.where(below, high, middle)
        return low

    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        examples = self.losses[self.draw_examples(distributions, key=key)]
        return Draw(examples, jnp.ones(len(distributions), bool)), state

    def majority_losses(
        self, predictor: Float[Array, " hypotheses"]
    ) -> Float[Array, " distributions"]:
        """The exact losses of the weighted majority vote, one per distribution.

        Raises:
            ValueError: losses are no mistakes.
        """
        wrong = self.deterministic_loss(predictor, self.losses)
        if wrong is None:
            raise ValueError("majority_losses needs losses that are mistakes: zero_one=True.")
        return jnp.matmul(self.probabilities, wrong, precision=HIGHEST)

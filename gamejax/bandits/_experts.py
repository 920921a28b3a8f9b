"""Learners behind Exp4 and Exp3++: exponential weights whose strategy is a mixture."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, Sum
from gamejax._types import Numbers, Scalar
from gamejax.feedback import Feedback
from gamejax.games._normal_form import as_payoffs
from gamejax.learners import AbstractLearner
from gamejax.learners._base import check_number, require_simplex
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet


class ExpertsState(NamedTuple):
    """Sums of the experts' gains, and the rounds so far."""

    gains: Sum
    step: Int[Array, ""]


class Experts(AbstractLearner):
    """Hedge over experts who advise strategies; see `exp4`."""

    advice: Float[Array, "*rounds experts arms"]
    learning_rate: float | Scalar

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)

    @property
    def prompt(self) -> bool:
        """Whether late rewards would meet other advice than that of their round."""
        return self.advice.ndim == 3

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, ExpertsState]:
        require_simplex(self, strategies)
        step = jnp.zeros((), jnp.int32)
        state = ExpertsState(Sum.zeros_like(jnp.zeros(self.advice.shape[-2], dtype)), step)
        return self._mix(state), state

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: ExpertsState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, ExpertsState]:
        gain = jnp.matmul(self._now(state.step), feedback.utility, precision=HIGHEST)
        state = ExpertsState(state.gains.add(gain), state.step + 1)
        return self._mix(state), state

    def _now(self, step: Array) -> Array:
        return self.advice if self.advice.ndim == 2 else self.advice[step]

    def _mix(self, state: ExpertsState) -> Array:
        total = state.gains.total
        weights = jax.nn.softmax(number(self.learning_rate, total) * (total - jnp.max(total)))
        return jnp.matmul(weights, self._now(state.step), precision=HIGHEST)


def as_advice(advice: Numbers) -> Array:
    """The advice as an array of shape `(M, K)` or `(T, M, K)`."""
    array = as_payoffs(advice, "advice")
    if array.ndim not in (2, 3):
        raise ValueError(
            f"advice must have shape (experts, arms) or (rounds, experts, arms), got {array.shape}."
        )
    return array


class ExpThreePlusPlusState(NamedTuple):
    """Sums of the estimated gains, and the rounds so far."""

    gains: Sum
    step: Int[Array, ""]


class ExpThreePlusPlus(AbstractLearner):
    """Exponential weights with exploration that learns the gaps; see `exp3_plus_plus`."""

    c: float | Scalar = 18.0

    def __check_init__(self) -> None:
        check_number(self, "c", 0)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Array, ExpThreePlusPlusState]:
        center = require_simplex(self, strategies).center(dtype)
        return center, ExpThreePlusPlusState(Sum.zeros_like(center), jnp.zeros((), jnp.int32))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: ExpThreePlusPlusState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, ExpThreePlusPlusState]:
        state = ExpThreePlusPlusState(state.gains.add(feedback.utility), state.step + 1)
        total = state.gains.total
        k, t = total.shape[-1], (state.step + 1).astype(total.dtype)
        below = jnp.max(total) - total
        rate = jnp.sqrt(jnp.log(jnp.asarray(k, total.dtype)) / (t * k)) / 2
        gaps = jnp.clip(below / state.step.astype(total.dtype), 0, 1)
        learned = number(self.c, total) * jnp.log(t) / (t * jnp.where(gaps > 0, gaps, 1) ** 2)
        explore = jnp.minimum(jnp.minimum(0.5 / k, rate), jnp.where(gaps > 0, learned, jnp.inf))
        weights = jax.nn.softmax(-rate * below)
        return (1 - jnp.sum(explore)) * weights + explore, state

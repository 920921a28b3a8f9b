"""Exp3 that looks at few arms in each round."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import Sum, safe_divide
from gamejax._types import Scalar
from gamejax.bandits._policy import (
    AbstractPolicy,
    Arm,
    Values,
    at,
    drawn,
    put,
    put_sum,
    uniform,
    vertex,
)
from gamejax.feedback import Feedback
from gamejax.learners._base import check_number, require_simplex
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet

FEW = 32
"""Up to so many arms are one block."""


class Exp3State(NamedTuple):
    r"""What `Exp3` carries.

    Attributes:
        losses: estimated losses $\hat L$ of all arms, filled up to whole blocks by arms that have
            lost a lot.
        scores: $-\eta\hat L_a$, or of several blocks $\ln\sum_{a \in b} e^{-\eta\hat L_a}$.
        top: the largest score.
        weights: exponentials of scores less `top`.
        total: their sum.
    """

    losses: Sum
    scores: Float[Array, " parts"]
    top: Scalar
    weights: Float[Array, " parts"]
    total: Scalar


class Exp3(AbstractPolicy):
    r"""`Policy(Hedge(rate), BanditFeedback(...))` for losses $1 - r$, faster; see `exp3`.

    Only the estimated loss of the arm pulled moves. So many arms stand in about $\sqrt K$ blocks:
    a block is drawn, then an arm in it, and only the sum of that block is computed anew.

    Args:
        learning_rate: $\eta > 0$.
        gamma: $\gamma \ge 0$ of implicit exploration.
    """

    learning_rate: float | Scalar
    gamma: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "gamma", 0, strict=False)

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> Exp3State:
        zero = jnp.zeros_like(require_simplex(self, choices).center(dtype))
        missing = jnp.full(-len(zero) % _width(len(zero)), jnp.finfo(dtype).max / 8, dtype)
        losses = Sum.zeros_like(jnp.concatenate([zero, missing]))
        losses = eqx.tree_at(lambda x: x.total, losses, jnp.concatenate([zero, missing]))
        return self._state(losses, self._all(losses.total))

    def _state(self, losses: Sum, scores: Array) -> Exp3State:
        top = jnp.max(scores)
        weights = jnp.exp(scores - top)
        return Exp3State(losses, scores, top, weights, jnp.sum(weights))

    def _all(self, losses: Values) -> Array:
        """The scores of all parts."""
        width, scores = _width(len(losses)), self._scores(losses)
        return scores if width == len(losses) else _log_sum(scores.reshape(-1, width))

    def _scores(self, losses: Array) -> Array:
        return -number(self.learning_rate, losses) * losses

    def pull(self, state: Exp3State, *, key: PRNGKeyArray) -> Arm:
        losses = state.losses.total
        draws = uniform(key, losses.dtype, (2,))
        part = drawn(state.weights, draws[0])
        if len(state.scores) == len(losses):
            return part
        first, scores = self._block(losses, part)
        return first + drawn(jnp.exp(scores - jnp.max(scores)), draws[1])

    def _block(self, losses: Values, block: Array) -> tuple[Arm, Values]:
        """The first arm of a block, and the scores of its arms."""
        width = _width(len(losses))
        first = block * width
        return first, self._scores(jax.lax.dynamic_slice_in_dim(losses, first, width))

    def _estimate(self, reward: Array, score: Array, state: Exp3State) -> Array:
        """The estimated loss of arms that were pulled with these scores."""
        probability = jnp.exp(score - state.top) / state.total
        return safe_divide(1 - reward, probability + number(self.gamma, reward))

    def report(self, rewards: Values, arm: Arm, state: Exp3State, *, step: Array) -> Feedback:
        """Minus the estimated losses: 0 where nothing was seen."""
        played = vertex(arm, rewards)
        scores = self._scores(state.losses.total[: len(rewards)])
        estimate = self._estimate(jnp.where(played > 0, rewards, 1), scores, state)
        return Feedback(-estimate, played, played > 0)

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: Exp3State,
        *,
        key: PRNGKeyArray,
    ) -> Exp3State:
        missing = len(state.losses.total) - len(feedback.utility)
        losses = state.losses.add(jnp.pad(-feedback.utility, (0, missing)))
        return self._state(losses, self._all(losses.total))

    def learn(
        self,
        choices: AbstractStrategySet,
        reward: Scalar,
        arm: Arm,
        state: Exp3State,
        *,
        step: Array,
        key: PRNGKeyArray,
    ) -> Exp3State:
        score = self._scores(at(state.losses.total, arm))
        losses = put_sum(state.losses, arm, self._estimate(reward, score, state))
        if len(state.scores) == len(losses.total):
            return self._state(losses, self._scores(losses.total))
        block = arm // _width(len(losses.total))
        mine = _log_sum(self._block(losses.total, block)[1])
        return self._state(losses, put(state.scores, block, mine))


def _width(num_arms: int) -> int:
    return num_arms if num_arms <= FEW else math.isqrt(num_arms - 1) + 1


def _log_sum(scores: Array) -> Array:
    """The logarithm of the sum of the exponentials, over the last axis."""
    top = jnp.max(scores, axis=-1)
    return top + jnp.log(jnp.sum(jnp.exp(scores - top[..., None]), axis=-1))

"""Exp3 that looks at few arms in each round."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum, safe_divide, uniform
from gamejax._types import Scalar
from gamejax.bandits._policy import (
    AbstractPolicy,
    Arm,
    Values,
    at,
    drawn,
    entries,
    put,
    put_sum,
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
        block: that of the arm just pulled.
        inside: scores of its arms.
    """

    losses: Sum
    scores: Float[Array, " parts"]
    top: Scalar
    weights: Float[Array, " parts"]
    total: Scalar
    block: Int[Array, ""]
    inside: Float[Array, " width"]


class Exp3(AbstractPolicy):
    r"""`Policy(Hedge(rate), BanditFeedback(...))` for losses $1 - r$, faster; see `exp3`.

    Only the estimated loss of the arm pulled moves. So many arms stand in blocks of about
    $\sqrt{K/2}$: a block is drawn, then an arm in it, and only that block is summed anew.

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
        width = _width(len(zero))
        missing = jnp.full(-len(zero) % width, jnp.finfo(dtype).max / 8, dtype)
        losses = Sum.zeros_like(jnp.concatenate([zero, missing]))
        losses = eqx.tree_at(lambda x: x.total, losses, jnp.concatenate([zero, missing]))
        return self._state(losses, self._all(losses.total, width), width)

    def _state(self, losses: Sum, scores: Array, width: int) -> Exp3State:
        top = jnp.max(scores)
        weights = jnp.exp(scores - top)
        nowhere, inside = jnp.zeros((), jnp.int32), jnp.zeros_like(scores, shape=width)
        return Exp3State(losses, scores, top, weights, jnp.sum(weights), nowhere, inside)

    def _all(self, losses: Values, width: int) -> Array:
        """The scores of all parts."""
        scores = self._scores(losses)
        return scores if width == len(losses) else _log_sum(scores.reshape(-1, width))

    def _scores(self, losses: Array) -> Array:
        return -number(self.learning_rate, losses) * losses

    def pull(self, state: Exp3State, *, key: PRNGKeyArray) -> tuple[Arm, Exp3State]:
        losses = state.losses.total
        width, draws = len(state.inside), uniform(key, losses.dtype, (2,))
        part = drawn(state.weights, draws[0])
        if width == len(losses):
            return part, state
        inside = self._scores(entries(losses, part * width, width))
        arm = part * width + drawn(jnp.exp(inside - jnp.max(inside)), draws[1])
        return arm, state._replace(block=part, inside=inside)

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
        width = len(state.inside)
        return self._state(losses, self._all(losses.total, width), width)

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
        width = len(state.inside)
        few = width == len(state.losses.total)
        place = arm if few else arm - state.block * width
        scores = state.scores if few else state.inside
        estimate = self._estimate(reward, at(scores, place), state)
        loss, losses = put_sum(state.losses, arm, estimate)
        if few:
            return self._state(losses, self._scores(losses.total), width)
        inside = put(scores, place, self._scores(loss))
        return self._state(losses, put(state.scores, state.block, _log_sum(inside)), width)


def _width(num_arms: int) -> int:
    """Arms in a block: a round reads two blocks' worth and the sums of all blocks."""
    return num_arms if num_arms <= FEW else math.isqrt((num_arms - 1) // 2) + 1


def _log_sum(scores: Array) -> Array:
    """The logarithm of the sum of the exponentials, over the last axis."""
    top = jnp.max(scores, axis=-1)
    return top + jnp.log(jnp.sum(jnp.exp(scores - top[..., None]), axis=-1))

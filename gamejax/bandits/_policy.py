"""Policies: how one player picks arms, made of a learner and what it is told."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import hash_words
from gamejax._types import State
from gamejax.feedback import AbstractSampledFeedback, Feedback
from gamejax.learners import AbstractLearner
from gamejax.sets import AbstractStrategySet

Arm = Float[Array, " arms"]


def uniform(key: PRNGKeyArray, dtype: Any, shape: tuple[int, ...] = (), stream: int = 0) -> Array:
    """Uniform numbers in (0, 1), from `hash_words`."""
    words = hash_words(key, shape, stream)
    if dtype == jnp.float64:
        finer = hash_words(key, shape, stream + 1)
        integer = (words >> 5).astype(dtype) * 2.0**26 + (finer >> 6).astype(dtype)
        return (integer + 0.5) * 2.0**-53
    return ((words >> 9).astype(jnp.float32) + 0.5).astype(dtype) * 2.0**-23


class AbstractPolicy(eqx.Module):
    """What `simulate` plays: pulls an arm, reports what it saw of the reward, moves on.

    The three are apart because nature stands between them: what was seen may be lost, or come
    later. Arms are vertices of the simplex, arrays `(K,)` with a single one.
    """

    @property
    def contextual(self) -> bool:
        """Whether it reads features of the arms; then `choices` are a `ContextualSimplex`."""
        return False

    @abc.abstractmethod
    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> State:
        """The state before the first round, in which `choices` are offered."""

    @abc.abstractmethod
    def pull(self, state: State, *, key: PRNGKeyArray) -> Arm:
        """The arm of this round."""

    @abc.abstractmethod
    def report(self, rewards: Arm, arm: Arm, state: State, *, step: Array) -> Feedback:
        """What is made of the reward of `arm` at once, before nature may hide or delay it.

        Args:
            rewards: the rewards of all arms; those of the others have no influence.
            arm: the arm pulled.
            state: the state in which it was pulled.
            step: the number of the round, from 1.
        """

    @abc.abstractmethod
    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: State,
        *,
        key: PRNGKeyArray,
    ) -> State:
        """The state for the next round, in which `choices` are offered, after `arm` was pulled."""


class PolicyState(NamedTuple):
    """What `Policy` carries: the strategy, the learner's state and its feedback's."""

    strategy: Arm
    learner: State
    feedback: State


class Policy(AbstractPolicy):
    r"""A learner and the rule by which it is told of the arm it pulled.

    Args:
        learner: moves on from what is seen; an index policy or any learner on the simplex.
        feedback: draws the arm and turns its reward into a utility vector (`BanditFeedback`);
            `None` for learners whose strategy is a vertex, which see the reward as it is.
        uses_features: the learner reads the features of the arms: its set of strategies is a
            `ContextualSimplex`.
    """

    learner: AbstractLearner
    feedback: AbstractSampledFeedback | None = None
    uses_features: bool = eqx.field(static=True, default=False)

    @property
    def contextual(self) -> bool:
        return self.uses_features

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> PolicyState:
        strategy, learner = self.learner.init(choices, dtype=dtype)
        feedback = () if self.feedback is None else self.feedback.init(choices, dtype=dtype)
        return PolicyState(strategy, learner, feedback)

    def pull(self, state: PolicyState, *, key: PRNGKeyArray) -> Arm:
        if self.feedback is None:
            return state.strategy
        probabilities = self.feedback.probabilities(state.strategy, state.feedback)
        return drawn(probabilities, uniform(key, probabilities.dtype))

    def report(self, rewards: Arm, arm: Arm, state: PolicyState, *, step: Array) -> Feedback:
        if self.feedback is None:
            return Feedback(jnp.where(arm > 0, rewards, 0), arm, arm > 0)
        return self.feedback.report(rewards, arm, state.strategy, state.feedback, step=step)

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: PolicyState,
        *,
        key: PRNGKeyArray,
    ) -> PolicyState:
        strategy, learner = self.learner.update(
            choices, feedback, state.learner, state.strategy, key=key
        )
        return PolicyState(strategy, learner, state.feedback)


def drawn(probabilities: Arm, uniform: Array) -> Arm:
    """The vertex at which the distribution function passes `uniform`; never an impossible one."""
    possible = probabilities > 0
    # Rounding may let the sum grow at an impossible action, or fall at the last possible one.
    cumulative = jnp.where(possible, jnp.cumsum(probabilities), 0)
    passed = possible & (cumulative >= uniform * jnp.max(cumulative))
    first = jnp.argmax(passed)
    return (jnp.arange(len(passed)) == first).astype(probabilities.dtype)

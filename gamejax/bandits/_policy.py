"""Policies: how one player picks arms, made of a learner and what it is told."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum, uniform
from gamejax._types import Scalar, State
from gamejax.feedback import AbstractSampledFeedback, Feedback
from gamejax.learners import AbstractLearner
from gamejax.sets import AbstractStrategySet

Arm = Int[Array, ""]
"""The number of an arm, from 0; -1 for none."""
Values = Float[Array, " arms"]
"""A number for every arm."""


def vertex(arm: Arm, like: Values) -> Values:
    """The strategy that plays this arm for sure; zeros for no arm."""
    return (jnp.arange(like.shape[-1], dtype=jnp.int32) == arm).astype(like.dtype)


def at(values: Array, arm: Arm) -> Array:
    """The entry of an arm."""
    return jax.lax.dynamic_index_in_dim(values, arm, keepdims=False, allow_negative_indices=False)


def entries(values: Array, first: Arm, count: int) -> Array:
    """The entries of some arms in a row."""
    return jax.lax.dynamic_slice_in_dim(values, first, count, allow_negative_indices=False)


def put(values: Array, arm: Arm, entry: Array) -> Array:
    """With another entry for an arm."""
    return jax.lax.dynamic_update_index_in_dim(
        values, entry.astype(values.dtype), arm, 0, allow_negative_indices=False
    )


def put_sum(sums: Sum, arm: Arm, term: Array) -> tuple[Array, Sum]:
    """Sums of one number for each arm, with one more term for one of them; its sum first."""
    mine = jax.tree.map(lambda x: at(x, arm), sums).add(term)
    return mine.total, jax.tree.map(lambda x, new: put(x, arm, new), sums, mine)


class AbstractPolicy(eqx.Module):
    """What `simulate` plays: pulls an arm, reports what it saw of the reward, moves on.

    The three are apart because nature stands between them: what was seen may be lost, or come
    later. Where the reward is seen at once, `learn` does the last two together.
    """

    @property
    def contextual(self) -> bool:
        """Whether it reads features of the arms; then `choices` are a `ContextualSimplex`."""
        return False

    @property
    def prompt(self) -> bool:
        """Whether it takes every reward for that of the round under way, so that none may be late.

        Contextual policies do where the features change.
        """
        return False

    @abc.abstractmethod
    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> State:
        """The state before the first round, in which `choices` are offered."""

    @abc.abstractmethod
    def pull(self, state: State, *, key: PRNGKeyArray) -> tuple[Arm, State]:
        """The arm of this round, and the state in which it was pulled."""

    @abc.abstractmethod
    def report(self, rewards: Values, arm: Arm, state: State, *, step: Array) -> Feedback:
        """What is made of the reward of `arm` at once, before nature may hide or delay it.

        Args:
            rewards: the rewards of all arms; those of the others have no influence.
            arm: the arm pulled; -1 for what is reported where nothing was seen.
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

    def learn(
        self,
        choices: AbstractStrategySet,
        reward: Scalar,
        arm: Arm,
        state: State,
        *,
        step: Array,
        key: PRNGKeyArray,
    ) -> State:
        """`update` by the `report` of a reward that is seen at once.

        Policies that need not look at every arm override it.
        """
        rewards = jnp.full(choices.shape, reward)
        return self.update(
            choices, self.report(rewards, arm, state, step=step), arm, state, key=key
        )


class PolicyState(NamedTuple):
    """What `Policy` carries: the strategy, the learner's state and its feedback's."""

    strategy: Values
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

    @property
    def prompt(self) -> bool:
        return getattr(self.learner, "prompt", False)

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> PolicyState:
        strategy, learner = self.learner.init(choices, dtype=dtype)
        feedback = () if self.feedback is None else self.feedback.init(choices, dtype=dtype)
        return PolicyState(strategy, learner, feedback)

    def pull(self, state: PolicyState, *, key: PRNGKeyArray) -> tuple[Arm, PolicyState]:
        if self.feedback is None:
            return jnp.argmax(state.strategy).astype(jnp.int32), state
        probabilities = self.feedback.probabilities(state.strategy, state.feedback)
        return drawn(probabilities, uniform(key, probabilities.dtype)), state

    def report(self, rewards: Values, arm: Arm, state: PolicyState, *, step: Array) -> Feedback:
        played = vertex(arm, rewards)
        if self.feedback is None:
            return seen_alone(rewards, played)
        return self.feedback.report(rewards, played, state.strategy, state.feedback, step=step)

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


def seen_alone(rewards: Values, played: Values) -> Feedback:
    """The reward of the arm played, as it is."""
    return Feedback(jnp.where(played > 0, rewards, 0), played, played > 0)


def drawn(weights: Values, uniform: Array) -> Arm:
    """The arm at which the distribution function passes `uniform`; never an impossible one."""
    possible = weights > 0
    # Rounding may let the sum grow at an impossible arm, or fall at the last possible one.
    cumulative = jnp.where(possible, jnp.cumsum(weights), 0)
    passed = possible & (cumulative >= uniform * jnp.max(cumulative))
    number = jnp.arange(len(passed), dtype=jnp.int32)
    return jnp.min(jnp.where(passed, number, len(passed) - 1))

"""Index policies, with the records of all arms at hand."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._numerics import uniform
from gamejax._types import Scalar
from gamejax.bandits._policy import (
    AbstractPolicy,
    Arm,
    Values,
    at,
    put,
    put_sum,
    seen_alone,
    vertex,
)
from gamejax.feedback import Feedback
from gamejax.learners import AbstractIndexPolicy
from gamejax.learners._base import require_simplex
from gamejax.learners._index import IndexState, Record
from gamejax.sets import AbstractStrategySet


class IndexPlayState(NamedTuple):
    """The arm to pull, counts and sums, and the learner's `record` of them."""

    arm: Arm
    past: IndexState
    record: Record


class IndexPlay(AbstractPolicy):
    r"""`Policy(learner)` for an index policy, faster: only the arm just seen gets a new record.

    Args:
        learner: gives the index.
        coins: rewards $X \in [0, 1]$ are replaced by coins, 1 with probability $X$, else 0, as
            learners for Bernoulli rewards need; 0 and 1 stay what they are. Of several rewards that
            arrive at once the integer part of the sum is kept.

    References:
        agrawal2012 (the coins).
    """

    learner: AbstractIndexPolicy
    coins: bool = eqx.field(static=True, default=False)

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> IndexPlayState:
        strategy, past = self.learner.init(choices, dtype=dtype)
        record = self.learner.recorded(past.counts, past.sums.total)
        return IndexPlayState(jnp.argmax(strategy).astype(jnp.int32), past, record)

    def pull(self, state: IndexPlayState, *, key: PRNGKeyArray) -> tuple[Arm, IndexPlayState]:
        return state.arm, state

    def report(self, rewards: Values, arm: Arm, state: IndexPlayState, *, step: Array) -> Feedback:
        return seen_alone(rewards, vertex(arm, rewards))

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: IndexPlayState,
        *,
        key: PRNGKeyArray,
    ) -> IndexPlayState:
        feedback = feedback._replace(utility=self._coin(feedback.utility, key))
        past = self.learner.observe(feedback, state.past)
        record = self.learner.recorded(past.counts, past.sums.total)
        return self._next(choices, past, record, key)

    def learn(
        self,
        choices: AbstractStrategySet,
        reward: Scalar,
        arm: Arm,
        state: IndexPlayState,
        *,
        step: Array,
        key: PRNGKeyArray,
    ) -> IndexPlayState:
        count = at(state.past.counts, arm) + 1
        total, sums = put_sum(state.past.sums, arm, self._coin(reward, key))
        past = IndexState(put(state.past.counts, arm, count), sums, state.past.step + 1)
        mine = self.learner.recorded(count, total)
        record = jax.tree.map(lambda x, new: put(x, arm, new), state.record, mine)
        return self._next(choices, past, record, key)

    def _coin(self, reward: Array, key: PRNGKeyArray) -> Array:
        if not self.coins:
            return reward
        whole = jnp.floor(reward)
        return whole + (uniform(key, reward.dtype) < reward - whole).astype(reward.dtype)

    def _next(
        self, choices: AbstractStrategySet, past: IndexState, record: Record, key: PRNGKeyArray
    ) -> IndexPlayState:
        simplex = require_simplex(self.learner, choices)
        return IndexPlayState(self.learner.choose(simplex, past, record, key=key), past, record)

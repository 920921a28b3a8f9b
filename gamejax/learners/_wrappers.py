"""Wrappers that change when a learner moves."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._types import Scalar, State, Strategy
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number
from gamejax.sets import AbstractStrategySet


class EveryState(NamedTuple):
    """The learner's state, the sums of the block under way, and how many observations it has."""

    inner: State
    sums: Feedback
    num_seen: Int[Array, ""]


class Every(AbstractLearner):
    r"""A learner that moves once in `n` observations, on their mean.

    The strategy stays in between. The learner sees one `Feedback`: the means of `utility` and of
    `played`, observed where any of the `n` were. Rounds in which nothing was observed (delays,
    `Partial`) are not counted and add nothing. After $T$ rounds the learner has made $B = T/n$
    steps, and the regret is $n$ times the learner's over $B$ rounds: with `Hedge` on $k$ actions at
    the best fixed rate, $\sqrt{8 \ln k / B}/R$, it is $R\sqrt{T n \ln k / 2}$. That is the price of
    cheaper updates and samples, as in lazy-block Hedge.

    Args:
        learner: the learner.
        num_observations: $n \ge 1$.

    Raises:
        ValueError: `num_observations` is a number below 1.

    References:
        haghtalab2022.
    """

    learner: AbstractLearner
    num_observations: int | Int[Array, ""]

    def __check_init__(self) -> None:
        check_number(self, "num_observations", 1, strict=False)

    def with_utility_range(self, utility_range: Scalar) -> Self:
        return dataclasses.replace(self, learner=self.learner.with_utility_range(utility_range))

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, EveryState]:
        return self._begin(self.learner.init(strategies, dtype=dtype))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, EveryState]:
        return self._begin(self.learner.start(strategies, strategy, dtype=dtype))

    def _begin(self, begun: tuple[Strategy, State]) -> tuple[Strategy, EveryState]:
        strategy, inner = begun
        zeros = jax.tree.map(jnp.zeros_like, strategy)
        observed = jax.tree.map(lambda z: jnp.zeros_like(z, dtype=bool), strategy)
        return strategy, EveryState(
            inner, Feedback(zeros, zeros, observed), jnp.zeros((), jnp.int32)
        )

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: EveryState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, EveryState]:
        arrived = _any(feedback.observed)

        def add(total: Array, new: Array) -> Array:
            new = jnp.where(arrived, new, jnp.zeros_like(new))
            return total | new.astype(bool) if total.dtype == bool else total + new

        sums = jax.tree.map(add, state.sums, feedback)
        count = state.num_seen + arrived.astype(jnp.int32)
        due = arrived & (count >= jnp.asarray(self.num_observations, jnp.int32))

        def mean(total: Array) -> Array:
            return (
                total if total.dtype == bool else total / jnp.maximum(count, 1).astype(total.dtype)
            )

        moved = self.learner.update(
            strategies, jax.tree.map(mean, sums), state.inner, strategy, key=key
        )
        strategy, inner = _where(due, moved, (strategy, state.inner))
        sums = jax.tree.map(lambda s: jnp.where(due, jnp.zeros_like(s), s), sums)
        return strategy, EveryState(inner, sums, jnp.where(due, 0, count))


def _any(mask: Any) -> Array:
    return jax.tree.reduce(jnp.logical_or, jax.tree.map(jnp.any, mask))


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

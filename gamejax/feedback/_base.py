"""What a feedback answers: how much of its gain does a player see?"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._types import State, Strategy, Utility
from gamejax.sets import AbstractStrategySet


class Feedback(NamedTuple):
    """What a learner gets to see of one round.

    Where several rounds arrive at once (`Delayed` with random delays), `utility` and `played` are
    sums over them; where nothing arrives both are zero and nothing is observed.

    Attributes:
        utility: the utility vector, or an unbiased estimate of it.
        played: what was played: the strategy itself, or the drawn vertex.
        observed: boolean mask of the coordinates that were seen; where several rounds may arrive at
            once, how often each was, as integers.
    """

    utility: Utility
    played: Strategy
    observed: Any


class AbstractFeedback(eqx.Module):
    """A rule for what a player observes of its utility vector."""

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> State:
        """The feedback's own state, such as delay buffers. Default none."""
        return ()

    @abc.abstractmethod
    def observe(
        self,
        utility: Utility,
        strategy: Strategy,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, State]:
        """What is seen of `utility` in round `step` (counted from 1) when `strategy` is played.

        Raises:
            ValueError: the feedback draws at random and `key` is `None`.
        """

    def unseen(self, strategy: Strategy, state: State, *, step: Array) -> Utility:
        """The utility that `observe` would report had nothing been seen. Default zero."""
        return jax.tree.map(jnp.zeros_like, strategy)


class FullInformation(AbstractFeedback):
    """The whole utility vector is seen."""

    def observe(
        self,
        utility: Utility,
        strategy: Strategy,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, State]:
        observed = jax.tree.map(lambda u: jnp.ones_like(u, dtype=bool), utility)
        return Feedback(utility, strategy, observed), state


def require_key(key: PRNGKeyArray | None, feedback: AbstractFeedback) -> PRNGKeyArray:
    """The key, if there is one.

    Raises:
        ValueError: `key` is `None`.
    """
    if key is None:
        raise ValueError(
            f"{type(feedback).__name__} draws at random: pass key=jax.random.key(seed)."
        )
    return key

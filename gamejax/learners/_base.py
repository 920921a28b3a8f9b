"""What a learner answers: how does one player move on?"""

import abc
from typing import Any, Self

import equinox as eqx
from jaxtyping import PRNGKeyArray

from gamejax._types import Scalar, State, Strategy
from gamejax.feedback import Feedback
from gamejax.sets import AbstractStrategySet


class AbstractLearner(eqx.Module):
    r"""One player's rule for moving on, given what it saw.

    A learner knows its strategy set and its own past, neither the game nor the other players.
    Hyper-parameters are leaves (Python numbers or arrays), so learners can be mapped,
    differentiated and changed without compiling again.
    """

    @abc.abstractmethod
    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, State]:
        """The first strategy $x^1$ and the learner's state before any feedback."""

    @abc.abstractmethod
    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: State,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, State]:
        """The next strategy $x^{t+1}$, after `strategy` $x^t$ was played and `feedback` seen."""

    def with_utility_range(self, utility_range: Scalar) -> Self:
        """The learner told its player's payoff range; `SelfPlay` calls it when the game knows.

        Learners whose default step size depends on the range (`Hedge()`) use it; the others
        return themselves.
        """
        return self

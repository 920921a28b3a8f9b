"""What a learner answers: how does one player move on?"""

import abc
import math
from typing import Any, Self

import equinox as eqx
from jaxtyping import PRNGKeyArray

from gamejax._types import Scalar, State, Strategy
from gamejax.feedback import Feedback
from gamejax.sets import AbstractStrategySet, Simplex


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

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, State]:
        """Like `init`, but with `strategy` as the first strategy $x^1$ (a warm start).

        The default keeps the state of `init`, which is right for learners whose next strategy
        depends on the last one alone; learners that play a function of their state override it,
        so that the state agrees with `strategy`.
        """
        return strategy, self.init(strategies, dtype=dtype)[1]

    def with_utility_range(self, utility_range: Scalar) -> Self:
        """The learner told its player's payoff range; `SelfPlay` calls it when the game knows.

        Learners whose default step size depends on the range (`Hedge()`) use it; the others
        return themselves.
        """
        return self


def require_simplex(learner: eqx.Module, strategies: AbstractStrategySet) -> Simplex:
    """The strategy set, if it is a `Simplex`.

    Raises:
        TypeError: `strategies` is some other set.
    """
    if isinstance(strategies, Simplex):
        return strategies
    raise TypeError(
        f"{type(learner).__name__} plays on a Simplex, but its player's strategy set is a "
        f"{type(strategies).__name__}; use FollowTheRegularizedLeader, MirrorDescent or "
        "GradientAscent there (Hedge where the set consists of probability vectors)."
    )


def check_number(
    learner: eqx.Module, name: str, low: float, high: float = math.inf, *, strict: bool = True
) -> None:
    """Refuse a Python-number hyper-parameter outside its range; arrays and tracers pass.

    Raises:
        ValueError: the number is below `low` (or equal to it, if `strict`), above `high`, or NaN.
    """
    value = getattr(learner, name)
    if not isinstance(value, int | float):
        return
    if not (low < value <= high or (value == low and not strict)):
        bound = f"{'>' if strict else '>='} {low:g}"
        bound += "" if high == math.inf else f" and <= {high:g}"
        raise ValueError(f"{type(learner).__name__}: {name} must be {bound}, got {value}.")

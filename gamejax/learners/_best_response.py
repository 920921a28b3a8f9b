"""Best responses to what was last seen."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._types import Scalar, State, Strategy, Utility
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number
from gamejax.learners._dual import number
from gamejax.regularizers import Entropy
from gamejax.sets import AbstractStrategySet


class BestResponse(AbstractLearner):
    r"""The best response to the last utility: $x^{t+1}$ maximises $\langle x, u^t\rangle$ over $X$.

    Ties go to the lowest index. No regret guarantee on its own; answering a no-regret opponent of a
    zero-sum game (`SelfPlay(..., alternating=True)`) it makes the gap of the averages at most the
    opponent's regret over $T$. Works on every set.

    Args:
        initial: the first strategy; default the center of the set.

    References:
        freund1999.
    """

    initial: Strategy | None = None

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, State]:
        if self.initial is None:
            return strategies.center(dtype), ()
        return jax.tree.map(lambda x: jnp.asarray(x, dtype), self.initial), ()

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: State,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, State]:
        return strategies.lmo(feedback.utility), state


class ResponseState(NamedTuple):
    """What `SmoothBestResponse` carries: the average utility and the rounds so far."""

    mean: Utility
    step: Int[Array, ""]


class SmoothBestResponse(AbstractLearner):
    r"""The logit response $x^{t+1} = \arg\max_x \langle x, v^t\rangle - \tau\sum_a x_a\ln x_a$.

    $v^t$ moves towards the last utility, $v^t = v^{t-1} + (u^t - v^{t-1})/t^q$ from $v^0 = 0$. For
    $q = 0$ it is the last utility (the logit best-response map, whose fixed points are the logit
    equilibria of precision $1/\tau$; a contraction for large $\tau$ only). For $q = 1$ it is the
    average utility: in two-player games that is smooth fictitious play, which converges to logit
    equilibria of zero-sum and potential games for every $\tau > 0$.

    Args:
        temperature: $\tau > 0$, in units of utility.
        averaging: $q$ in $[0, 1]$.

    References:
        fudenberg1993; hofbauer2002.
    """

    temperature: float | Scalar
    averaging: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "temperature", 0)
        check_number(self, "averaging", 0, 1, strict=False)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategy, ResponseState]:
        center = strategies.center(dtype)
        zero = jax.tree.map(jnp.zeros_like, center)
        return center, ResponseState(zero, jnp.zeros((), jnp.int32))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: ResponseState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, ResponseState]:
        step = state.step + 1
        temperature = number(self.temperature, state.mean)
        weight = step.astype(temperature.dtype) ** -number(self.averaging, state.mean)
        mean = jax.tree.map(lambda m, u: m + weight * (u - m), state.mean, feedback.utility)
        dual = jax.tree.map(lambda m: m / temperature, strategies.recenter(mean))
        return strategies.mirror(dual, Entropy()), ResponseState(mean, step)

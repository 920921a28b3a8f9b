"""Hedge: multiplicative weights with a fixed or an anytime learning rate."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._numerics import Sum, safe_divide
from gamejax._types import PyTree, Scalar, Strategy, Utility
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number
from gamejax.learners._dual import combine, number, predicted, ranges
from gamejax.regularizers import Entropy
from gamejax.sets import AbstractStrategySet


class HedgeState(NamedTuple):
    r"""What `Hedge` carries: $\nabla R(x^1)$, $\sum_s u^s$, the largest range so far, rounds."""

    prior: Utility
    total: Sum
    span: PyTree[Array]
    step: Int[Array, ""]


class Hedge(AbstractLearner):
    r"""Hedge (multiplicative weights); with `optimism=1.0` optimistic Hedge.

    $$x^{t+1} = \arg\max_{x \in X}\ \eta_{t+1}\Big\langle x, \sum_{s \le t} u^s + \omega u^t
    \Big\rangle - \mathrm{KL}(x \,\|\, x^1),$$

    on the simplex $x^{t+1} \propto x^1 \exp(\eta_{t+1}(\sum_{s \le t} u^s + \omega u^t))$.
    With utilities of range $R$ on $n$ actions and $x^1$ uniform:

    * a fixed rate has regret at most $\ln n/\eta + \eta R^2 T/8$;
    * the anytime rate $\eta_t = \sqrt{8 \ln n / t}/R$ has regret at most
      $R\,(2\sqrt{T \ln n/2} + \sqrt{\ln n/8})$ at every $T$. Without a known $R$ it uses the
      largest range seen so far; a round in which that grows costs at most the new range more;
    * optimism $\omega = 1$ with a fixed rate has regret at most $\ln n/\eta + \eta\sum_t
      \|u^t - u^{t-1}\|_\infty^2 - \frac{1}{4\eta}\sum_t \|x^t - x^{t-1}\|_1^2$, so that averages of
      self-play in zero-sum games reach a gap $O(1/T)$.

    Blocks are independent, each with its own range (for $\ln n$ see the set's `entropy_range`).
    Works on every set that has the entropy's mirror map (capped simplices, products). The sum is
    compensated: float32 follows float64 over millions of rounds.

    Args:
        learning_rate: $\eta > 0$, in 1/utility; `None` for the anytime rate.
        optimism: weight $\omega \ge 0$ of the last utility as a prediction of the next.
        utility_range: largest minus smallest utility of a round, for the anytime rate; `None` if
            not known (`SelfPlay` fills it in for games that know theirs).

    References:
        freund1997; cesabianchi2006 (Theorems 2.2 and 2.3); rakhlin2013; syrgkanis2015.
    """

    learning_rate: float | Scalar | None = None
    optimism: float | Scalar = 0.0
    utility_range: float | Scalar | None = None

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "optimism", 0, strict=False)
        check_number(self, "utility_range", 0, strict=False)

    def with_utility_range(self, utility_range: Scalar) -> Self:
        if self.learning_rate is not None or self.utility_range is not None:
            return self
        return dataclasses.replace(self, utility_range=utility_range)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, HedgeState]:
        center = strategies.center(dtype)
        return center, _first(jax.tree.map(jnp.zeros_like, center))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, HedgeState]:
        return strategy, _first(strategies.dual(strategy, Entropy()))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: HedgeState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, HedgeState]:
        utility = feedback.utility
        total = state.total.add(utility)
        span = state.span
        if self.learning_rate is None:
            span = jax.tree.map(jnp.maximum, span, ranges(strategies, utility))
        state = HedgeState(state.prior, total, span, state.step + 1)
        gain = self._gain(strategies, state, predicted(strategies, total, utility, self.optimism))
        return strategies.mirror(combine((1, state.prior), (1, gain)), Entropy()), state

    def _gain(self, strategies: AbstractStrategySet, state: HedgeState, scores: Utility) -> Utility:
        r"""$\eta_{t+1}$ times the scores."""
        if self.learning_rate is not None:
            return combine((self.learning_rate, scores))
        known = number(0 if self.utility_range is None else self.utility_range, scores)
        rounds = (state.step + 1).astype(known.dtype)
        rate = jnp.sqrt(8 * strategies.entropy_range(known.dtype) / rounds)
        # scores / range first: the quotient is at most t, while 1 / range may overflow.
        return jax.tree.map(
            lambda s, span: rate * safe_divide(s, jnp.maximum(span, known)), scores, state.span
        )


def _first(prior: Utility) -> HedgeState:
    span = jax.tree.map(lambda p: jnp.zeros_like(p[..., :1]), prior)
    return HedgeState(prior, Sum.zeros_like(prior), span, jnp.zeros((), jnp.int32))

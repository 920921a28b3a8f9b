"""Follow the regularized leader, plain and optimistic."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._numerics import Sum
from gamejax._types import Scalar, Strategy, Utility
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number
from gamejax.learners._dual import combine, decayed, predicted
from gamejax.regularizers import AbstractRegularizer
from gamejax.sets import AbstractStrategySet


class LeaderState(NamedTuple):
    r"""What the learner carries: $\nabla R(x^1)$, $\sum_s u^s$, the rounds so far."""

    prior: Utility
    total: Sum
    step: Int[Array, ""]


class FollowTheRegularizedLeader(AbstractLearner):
    r"""Follow the regularized leader (dual averaging); with `optimism=1.0` its optimistic form.

    $$x^{t+1} = \arg\max_{x \in X}\ \eta_{t+1}\Big\langle x, \sum_{s \le t} u^s + \omega u^t
    \Big\rangle - R(x), \qquad \eta_t = \eta\, t^{-p},$$

    and $x^1 = \arg\min_X R$; a warm start at $x^1$ replaces $R(x)$ by $D_R(x, x^1)$.
    For $R$ 1-strongly convex in a norm, $p = 0$ and $\omega = 1$ the regret is at most
    $\frac{\max R - \min R}{\eta} + \eta\sum_t \|u^t - u^{t-1}\|_*^2 -
    \frac{1}{4\eta}\sum_t \|x^t - x^{t-1}\|^2$. With `LogBarrier` and $\eta \le 1/16$ (utilities in
    $[-1, 1]$) it is, against every interior $x$, at most $\frac{R(x) - R(x^1)}{\eta} + 2\eta\sum_t
    \|u^t - u^{t-1}\|_{*,x^t}^2 - \frac{1}{16\eta}\sum_t\|x^t - x^{t-1}\|_{x^{t-1}}^2$ in local
    norms. `Entropy` gives `Hedge`; `Euclidean` is not optimistic gradient ascent (`MirrorDescent`
    is). Works on every set that has the regularizer's mirror map.

    Args:
        regularizer: $R$, from `gamejax.regularizers`.
        learning_rate: $\eta > 0$.
        optimism: weight $\omega \ge 0$ of the last utility as a prediction of the next.
        decay: $p \ge 0$; 0.5 for a rate that needs no horizon (Tsallis-INF: $\eta = 2$ with bandit
            feedback).

    References:
        syrgkanis2015; anagnostides2022 (log-barrier); cai2024 (slow last iterates).
    """

    regularizer: AbstractRegularizer
    learning_rate: float | Scalar
    optimism: float | Scalar = 0.0
    decay: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "optimism", 0, strict=False)
        check_number(self, "decay", 0, strict=False)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, LeaderState]:
        prior = jax.tree.map(jnp.zeros_like, strategies.center(dtype))
        return strategies.mirror(prior, self.regularizer), _first(prior)

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, LeaderState]:
        return strategy, _first(strategies.dual(strategy, self.regularizer))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: LeaderState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, LeaderState]:
        utility = feedback.utility
        state = LeaderState(state.prior, state.total.add(utility), state.step + 1)
        scores = predicted(strategies, state.total, utility, self.optimism)
        rate = decayed(self.learning_rate, self.decay, state.step + 1, scores)
        dual = combine((1, state.prior), (rate, scores))
        return strategies.mirror(dual, self.regularizer), state


def _first(prior: Utility) -> LeaderState:
    return LeaderState(prior, Sum.zeros_like(prior), jnp.zeros((), jnp.int32))

"""The regret matching family: play in proportion to positive regrets."""

import abc
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._types import Scalar
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number, require_simplex
from gamejax.learners._blocks import normalize, push_out, regret
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet, Simplex

Regrets = Float[Array, "*blocks actions"]


class AbstractRegretLearner(AbstractLearner):
    r"""Learners whose state is a vector of regrets and whose play is $g$ of it.

    A warm start at $x$ counts as one unit of utility of past regret, spread like $x$.
    """

    @abc.abstractmethod
    def _step(self, strategies: Simplex, regrets: Regrets, new: Regrets) -> tuple[Regrets, Regrets]:
        """The weights to play in proportion to, and the regrets to keep."""

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, Regrets]:
        center = require_simplex(self, strategies).center(dtype)
        return center, jnp.zeros_like(center)

    def start(
        self, strategies: AbstractStrategySet, strategy: Array, *, dtype: Any
    ) -> tuple[Array, Regrets]:
        require_simplex(self, strategies)
        return strategy, strategy

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: Regrets,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, Regrets]:
        simplex = require_simplex(self, strategies)
        new = regret(simplex, feedback.utility, strategy)
        weights, state = self._step(simplex, state, new)
        return normalize(simplex, weights), state


class RegretMatching(AbstractRegretLearner):
    r"""Regret matching.

    With $r^t = u^t - \langle x^t, u^t\rangle \mathbf 1$ and $g(z) = z^+/\|z^+\|_1$ (uniform if
    $z^+ = 0$): $R^t = R^{t-1} + r^t$, $x^{t+1} = g(R^t)$. No parameters; does not change when
    utilities are shifted or scaled. Regret at most $\sqrt{\sum_t \|r^t\|_2^2} \le R\sqrt{nT}$ for
    utilities of range $R$ on $n$ actions. Average uniformly.

    References:
        hart2000.
    """

    def _step(self, strategies: Simplex, regrets: Regrets, new: Regrets) -> tuple[Regrets, Regrets]:
        regrets = regrets + new
        return regrets, regrets


class RegretMatchingPlus(AbstractRegretLearner):
    r"""Regret matching+, which forgets negative regrets.

    $Q^t = (Q^{t-1} + r^t)^+$, $x^{t+1} = g(Q^t)$, with $r$ and $g$ as in `RegretMatching` and the
    same bound, also for the regret against sequences that switch. Fast in self-play when the
    players alternate and averages weigh round $t$ by $t$ (`SelfPlay(..., averaging=Linear(),
    alternating=True)`).

    References:
        tammelin2015.
    """

    def _step(self, strategies: Simplex, regrets: Regrets, new: Regrets) -> tuple[Regrets, Regrets]:
        regrets = jnp.maximum(regrets + new, 0)
        return regrets, regrets


class PredictiveRegretMatchingPlus(AbstractRegretLearner):
    r"""Predictive regret matching+: the last regret predicts the next.

    $Q^t = (Q^{t-1} + r^t)^+$, $x^{t+1} = g(Q^t + r^t/(1+\alpha))$, with $r$ and $g$ as in
    `RegretMatching`. For $\alpha = 0$ the regret is at most
    $\sqrt{2\sum_t \|r^t - r^{t-1}\|_2^2}$. Average with weights $t^2$
    (`averaging=Quadratic()`), alternating.

    Args:
        damping: $\alpha \ge 0$; a positive one trusts the prediction less.

    References:
        farina2021.
    """

    damping: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "damping", 0, strict=False)

    def _step(self, strategies: Simplex, regrets: Regrets, new: Regrets) -> tuple[Regrets, Regrets]:
        regrets = jnp.maximum(regrets + new, 0)
        return regrets + new / (1 + number(self.damping, new)), regrets


class SmoothPredictiveRegretMatchingPlus(AbstractRegretLearner):
    r"""Smooth predictive regret matching+: regrets are kept away from the origin.

    On $Z = \{z \ge 0, \|z\|_1 \ge 1\}$ with Euclidean projection $\Pi$:
    $z^t = \Pi(z^{t-1} + \eta r^t)$, $w^{t+1} = \Pi(z^t + \eta r^t)$, $x^{t+1} = g(w^{t+1})$, where
    $z^0$ is the first strategy. Away from the origin $g$ is Lipschitz: in self-play the sum of the
    players' regrets stays bounded for a small $\eta$, and strategies themselves converge in
    zero-sum games, unlike those of the other members of the family. Not scale-free.

    Args:
        learning_rate: $\eta > 0$, in 1/utility; theory asks for the order of the inverse of the
            largest payoff times the number of actions.

    References:
        farina2023; cai2025.
    """

    learning_rate: float | Scalar = 0.1

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, Regrets]:
        center = require_simplex(self, strategies).center(dtype)
        return center, center

    def _step(self, strategies: Simplex, regrets: Regrets, new: Regrets) -> tuple[Regrets, Regrets]:
        gain = number(self.learning_rate, new) * new
        regrets = push_out(strategies, regrets + gain)
        return push_out(strategies, regrets + gain), regrets


class DiscountedState(NamedTuple):
    """What `DiscountedRegretMatching` carries: discounted regrets and the rounds so far."""

    regrets: Regrets
    step: Int[Array, ""]


class DiscountedRegretMatching(AbstractLearner):
    r"""Discounted regret matching: early regrets fade.

    $R = R + r^t$, then positive entries are multiplied by $t^\alpha/(t^\alpha+1)$ and the others by
    $t^\beta/(t^\beta+1)$; $x^{t+1} = g(R)$ with $r$ and $g$ as in `RegretMatching`. The third
    exponent of the method, $\gamma$, weighs the average: `SelfPlay(..., averaging=Power(2))` is the
    published $\gamma = 2$. `DiscountedRegretMatching(1.0, 1.0)` with `averaging=Linear()` is linear
    regret matching.

    Args:
        positive_exponent: $\alpha$, for positive regrets.
        negative_exponent: $\beta$, for the others; $-\infty$ forgets negative regrets at once.

    References:
        brown2019.
    """

    positive_exponent: float | Scalar = 1.5
    negative_exponent: float | Scalar = 0.0

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, DiscountedState]:
        center = require_simplex(self, strategies).center(dtype)
        return center, DiscountedState(jnp.zeros_like(center), jnp.zeros((), jnp.int32))

    def start(
        self, strategies: AbstractStrategySet, strategy: Array, *, dtype: Any
    ) -> tuple[Array, DiscountedState]:
        require_simplex(self, strategies)
        return strategy, DiscountedState(strategy, jnp.zeros((), jnp.int32))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: DiscountedState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, DiscountedState]:
        simplex = require_simplex(self, strategies)
        step = state.step + 1
        regrets = state.regrets + regret(simplex, feedback.utility, strategy)
        keep = [
            # t^a / (t^a + 1), written so that large powers do not overflow.
            1 / (1 + step.astype(regrets.dtype) ** -number(exponent, regrets))
            for exponent in (self.positive_exponent, self.negative_exponent)
        ]
        regrets = regrets * jnp.where(regrets > 0, keep[0], keep[1])
        return normalize(simplex, regrets), DiscountedState(regrets, step)

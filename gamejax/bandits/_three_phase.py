"""Exp3 for rewards that are not always seen."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray

from gamejax._numerics import Sum, safe_divide, uniform
from gamejax._types import Numbers
from gamejax.bandits._environments import as_arms
from gamejax.bandits._policy import AbstractPolicy, Arm, Policy, Values, drawn, vertex
from gamejax.feedback import AbstractEstimator, BanditFeedback, Feedback
from gamejax.learners import Hedge
from gamejax.sets import AbstractStrategySet


class RateWeighting(AbstractEstimator):
    r"""Importance weighting of losses that are seen with known probabilities $f_a$.

    $\hat u_a = 1 - \ell_a 1\{I = a\}/(p_a f_a)$ before the coin, 1 where nothing is seen: unbiased.

    Args:
        rates: $f \in (0, 1]^K$.
    """

    rates: Values

    def estimate(
        self, utility: Array, frequency: Array, probability: Array, *, step: ArrayLike
    ) -> Array:
        loss = jnp.where(frequency > 0, frequency * (1 - utility), 0)
        return 1 - safe_divide(loss, probability * self.rates.astype(loss.dtype))


def exp3_known_rates(rates: Numbers, horizon: Any) -> Policy:
    r"""Exp3 that knows how often each arm's reward is seen.

    $\hat\ell_a = \ell_a 1\{I = a, \text{seen}\}/(p_a f_a)$ and
    $\eta = \sqrt{2 \ln K/(T\sum_a 1/f_a)}$: regret at most $\sqrt{2 T \ln K \sum_a 1/f_a}$ (derived
    here; the rate is the paper's for unknown rates).

    Args:
        rates: $f \in (0, 1]^K$.
        horizon: $T$.

    References:
        dai2024; esposito2022.
    """
    array = as_arms(rates, "rates")
    eta = jnp.sqrt(
        2 * math.log(len(array)) / jnp.asarray(horizon, array.dtype) / jnp.sum(1 / array)
    )
    return Policy(Hedge(eta), BanditFeedback(RateWeighting(array)))


class ThreePhaseState(NamedTuple):
    """Pulls and rewards seen in the first two phases, one row each; estimated gains; strategy."""

    pulls: Int[Array, "2 arms"]
    seen: Int[Array, "2 arms"]
    gains: Sum


class ThreePhaseExp3(AbstractPolicy):
    """Exp3 with unknown rates of observation; see `three_phase_exp3`."""

    horizon: float | Array
    first: int | Array
    second: int | Array

    @property
    def prompt(self) -> bool:
        return True

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> ThreePhaseState:
        zero = jnp.zeros_like(choices.center(dtype))
        none = jnp.zeros((2, len(zero)), jnp.int32)
        return ThreePhaseState(none, none, Sum.zeros_like(zero))

    def _missing(self, state: ThreePhaseState) -> Array:
        """What is still to be seen in each phase."""
        goals = jnp.stack([jnp.asarray(g, jnp.int32) for g in (self.first, self.second)])
        return state.seen < goals[:, None]

    def probabilities(self, state: ThreePhaseState) -> Values:
        """The strategy: the arm to be explored, and in the third phase that of Exp3."""
        total = state.gains.total
        missing = self._missing(state)
        # The first arm of the first phase that lacks something.
        order = jnp.where(jnp.any(missing[0]), missing[0], missing[1])
        explored = (jnp.arange(len(total)) == jnp.argmax(order)).astype(total.dtype)
        waits = state.pulls[0] / jnp.maximum(state.seen[0], 1)
        scale = jnp.asarray(self.horizon, total.dtype) * jnp.sum(waits).astype(total.dtype)
        logarithm = jnp.log(jnp.asarray(len(total), total.dtype))
        rate = jnp.sqrt(2 * logarithm / jnp.maximum(scale, 1))
        weights = jax.nn.softmax(rate * (total - jnp.max(total)))
        return jnp.where(jnp.any(missing), explored, weights)

    def pull(self, state: ThreePhaseState, *, key: PRNGKeyArray) -> tuple[Arm, ThreePhaseState]:
        probabilities = self.probabilities(state)
        return drawn(probabilities, uniform(key, probabilities.dtype)), state

    def report(self, rewards: Values, arm: Arm, state: ThreePhaseState, *, step: Array) -> Feedback:
        wait = (state.pulls[1] / jnp.maximum(state.seen[1], 1)).astype(rewards.dtype)
        played = vertex(arm, rewards)
        loss = jnp.where(played > 0, 1 - rewards, 0)
        estimate = 1 - safe_divide(loss * wait, self.probabilities(state))
        return Feedback(estimate, played, played > 0)

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: ThreePhaseState,
        *,
        key: PRNGKeyArray,
    ) -> ThreePhaseState:
        missing = self._missing(state)
        first, exploring = jnp.any(missing[0]), jnp.any(missing)
        row = jnp.stack([first, exploring & ~first]).astype(jnp.int32)[:, None]
        pulls = state.pulls + row * vertex(arm, state.pulls)[None]
        seen = state.seen + row * feedback.observed.astype(jnp.int32)[None]
        gain = jnp.where(exploring, 0, feedback.utility)
        return ThreePhaseState(pulls, seen, state.gains.add(gain))


def three_phase_exp3(horizon: Any, first: Any = 1, second: Any = 1) -> ThreePhaseExp3:
    r"""Three-phase Exp3, for adversarial losses seen with unknown probabilities $f_a$.

    Phase 1 pulls every arm until `first` rewards of it are seen: $1/\hat f_a$ pulls per reward,
    used for the learning rate $\eta = \sqrt{2 \ln K/(T\sum_a 1/\hat f_a)}$ only. Phase 2 does so
    again, for `second` rewards, $G_a$ pulls per reward. Phase 3 is Exp3 with $\hat\ell_a = \ell_a
    1\{I = a, \text{seen}\}G_a/p_a$, unbiased as $E[G_a] = 1/f_a$ independently of phase 3. Regret
    $O(\sqrt{T \ln K\sum_a 1/f_a})$. Exp3 that ignores the coins has linear regret.

    The phases and the bound were read from the paper's poster, which gives no formulas: the waiting
    times $G_a$ and the rates are **reconstructed**. Rewards must not be delayed.

    Args:
        horizon: $T$.
        first: rewards of each arm to see in phase 1, at least 1; more make the rate surer.
        second: in phase 2, at least 1; more make estimates less noisy.

    References:
        dai2024.
    """
    return ThreePhaseExp3(horizon, first, second)

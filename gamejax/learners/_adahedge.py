"""AdaHedge: Hedge that tunes its learning rate to the data."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import Sum, safe_divide, safe_log
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, require_simplex
from gamejax.learners._blocks import hide, normalize, num_actions, regret
from gamejax.learners._dual import predicted
from gamejax.sets import AbstractStrategySet, Simplex


class AdaHedgeState(NamedTuple):
    r"""What `AdaHedge` carries: the prior $x^1$, $\sum_s u^s$, and $\Delta$ of every block."""

    prior: Float[Array, "*blocks actions"]
    total: Sum
    mixability: Float[Array, "*blocks 1"]


class AdaHedge(AbstractLearner):
    r"""AdaHedge: no parameters, no horizon, no range.

    $\eta_t = \ln n/\Delta_{t-1}$, $x^t \propto \exp(\eta_t\sum_{s<t} u^s)$ (uniform on the leaders
    while $\Delta = 0$), and $\Delta_t = \Delta_{t-1} + \delta_t$ grows by the mixability gap
    $\delta_t = \frac{1}{\eta_t}\ln\sum_a x^t_a e^{\eta_t u^t_a} - \langle x^t, u^t\rangle \ge 0$.
    Regret at most $2\Delta_T = O(\sqrt{V_T \ln n} + R\ln n)$, with $V_T$ the sum of the variances
    of $u^t_a$ for $a$ drawn from $x^t$: small on easy sequences. Does not change when utilities
    are shifted or scaled; $\Delta_T$ is the state's `mixability`. A warm start at $x^1$ replaces
    the uniform prior. Plays on a `Simplex`.

    References:
        derooij2014 (Theorem 8).
    """

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, AdaHedgeState]:
        simplex = require_simplex(self, strategies)
        return self.start(simplex, simplex.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Array, *, dtype: Any
    ) -> tuple[Array, AdaHedgeState]:
        require_simplex(self, strategies)
        empty = Sum.zeros_like(strategy)
        return strategy, AdaHedgeState(strategy, empty, jnp.zeros_like(strategy[..., :1]))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: AdaHedgeState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, AdaHedgeState]:
        simplex = require_simplex(self, strategies)
        utility = feedback.utility
        gap = _mixability_gap(simplex, state, regret(simplex, utility, strategy), strategy)
        state = AdaHedgeState(state.prior, state.total.add(utility), state.mixability + gap)
        scores, rate, follows = _position(simplex, state)
        leaders = jnp.where(scores == 0, state.prior, 0)
        hedged = jax.nn.softmax(_log_weights(simplex, state, scores, rate), axis=-1)
        return jnp.where(follows, normalize(simplex, leaders), hedged), state


def _position(strategies: Simplex, state: AdaHedgeState) -> tuple[Array, Array, Array]:
    r"""The scores (largest 0), $\eta$, and where $\eta = \infty$ (there the number is 1)."""
    scores = hide(strategies, predicted(strategies, state.total, state.prior, 0.0), -jnp.inf)
    scores = scores - jnp.max(scores, axis=-1, keepdims=True)
    follows = state.mixability <= jnp.finfo(scores.dtype).tiny
    log_count = jnp.log(num_actions(strategies, scores.dtype))
    rate = jnp.where(follows, 1, safe_divide(log_count, state.mixability))
    return scores, rate, follows


def _log_weights(strategies: Simplex, state: AdaHedgeState, scores: Array, rate: Array) -> Array:
    finite = hide(strategies, scores)
    return hide(strategies, safe_log(state.prior) + rate * finite, -jnp.inf)


def _mixability_gap(
    strategies: Simplex, state: AdaHedgeState, regrets: Array, strategy: Array
) -> Float[Array, "*blocks 1"]:
    r"""$\delta_t = \frac{1}{\eta}\ln\sum_a x_a e^{\eta r_a}$, $r_a = u_a - \langle x, u\rangle$."""
    scores, rate, follows = _position(strategies, state)
    # Without learning rate: how far the best cumulative utility rises.
    rise = jnp.max(scores + regrets, axis=-1, keepdims=True)
    # Small exponents keep their digits in log1p; large ones need the weights that underflowed.
    exponents = rate * regrets
    small = jnp.max(jnp.abs(exponents), axis=-1, keepdims=True) < 1
    series = jnp.sum(strategy * jnp.expm1(jnp.where(small, exponents, 0)), axis=-1, keepdims=True)
    log_weights = jax.nn.log_softmax(_log_weights(strategies, state, scores, rate), axis=-1)
    total = jax.nn.logsumexp(log_weights + exponents, axis=-1, keepdims=True)
    mixed = safe_divide(jnp.where(small, jnp.log1p(series), total), rate)
    return jnp.maximum(jnp.where(follows, rise, mixed), 0)

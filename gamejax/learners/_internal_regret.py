"""No internal regret: learners on the regrets for not having played `b` instead of `a`."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._linalg import stationary
from gamejax._numerics import HIGHEST, Sum, safe_divide, safe_log
from gamejax._types import Scalar
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number, require_simplex
from gamejax.learners._blocks import hide, num_actions
from gamejax.learners._dual import number, ranges
from gamejax.sets import AbstractStrategySet, Simplex

Strategies = Float[Array, "*blocks actions"]
Pairs = Float[Array, "*blocks actions actions"]


def pair_regret(simplex: Simplex, utility: Strategies, strategy: Strategies) -> Pairs:
    r"""The gain of moving mass from $a$ to $b$, $r_{ab} = x_a (u_b - u_a)$; 0 at padded actions."""
    utility = hide(simplex, utility)
    gain = strategy[..., :, None] * (utility[..., None, :] - utility[..., :, None])
    return jnp.where(_pairs(simplex), gain, 0)


def _pairs(simplex: Simplex) -> Array:
    """Which ordered pairs consist of two different actions that exist."""
    exists = jnp.ones(simplex.shape, bool) if simplex.mask is None else simplex.mask
    n = simplex.shape[-1]
    different = jnp.broadcast_to(~jnp.eye(n, dtype=bool), (*simplex.shape, n))
    return different & exists[..., :, None] & exists[..., None, :]


def _with_diagonal(moves: Pairs) -> Pairs:
    """The transition matrix that makes these moves and else stays."""
    stay = jnp.broadcast_to(jnp.eye(moves.shape[-1], dtype=moves.dtype), moves.shape)
    return moves + stay * (1 - moves.sum(-1, keepdims=True))


class StoltzLugosiState(NamedTuple):
    r"""Logarithm of the first strategy, $R_{ab} = \sum_t x^t_a(u^t_b - u^t_a)$, range, rounds."""

    prior: Strategies
    regrets: Sum
    span: Float[Array, "*blocks 1"]
    step: Int[Array, ""]


class StoltzLugosi(AbstractLearner):
    r"""Stoltz and Lugosi's exponential weights over pairs: no internal regret.

    Weights $p_{ab} \propto \exp(\eta R_{ab})$ on the ordered pairs of actions, where
    $R_{ab} = \sum_t x^t_a(u^t_b - u^t_a)$ is the regret for not having played $b$ instead of $a$.
    Play the strategy that these moves leave as it is, $x = \sum_{ab} p_{ab}\, x^{a \to b}$.

    Internal regret $\max_{ab} R_{ab}$ at most $\ln N/\eta + \eta R^2 T/8$ for utilities of range
    $R$, $N = n(n-1)$. The default $\eta_t = \sqrt{8 \ln N / t}/R$ gives
    $R\,(2\sqrt{T \ln N/2} + \sqrt{\ln N/8})$ at every $T$; without a known $R$ it uses the largest
    range seen so far. Swap regret is at most $n$ times the internal one.

    Args:
        learning_rate: $\eta > 0$, in 1/utility; `None` for the anytime rate.
        utility_range: largest minus smallest utility of a round, for the anytime rate; `None` if
            not known (`SelfPlay` fills it in for games that know theirs).

    References:
        stoltz2005.
    """

    learning_rate: float | Scalar | None = None
    utility_range: float | Scalar | None = None

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "utility_range", 0, strict=False)

    def with_utility_range(self, utility_range: Scalar) -> Self:
        if self.learning_rate is not None or self.utility_range is not None:
            return self
        return dataclasses.replace(self, utility_range=utility_range)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategies, StoltzLugosiState]:
        return self.start(strategies, strategies.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategies, *, dtype: Any
    ) -> tuple[Strategies, StoltzLugosiState]:
        require_simplex(self, strategies)
        regrets = Sum.zeros_like(strategy[..., None] * strategy[..., None, :])
        span = jnp.zeros_like(strategy[..., :1])
        # Moves with probabilities that depend on b alone, x_b, have x as their fixed point.
        return strategy, StoltzLugosiState(
            safe_log(strategy), regrets, span, jnp.zeros((), jnp.int32)
        )

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: StoltzLugosiState,
        strategy: Strategies,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategies, StoltzLugosiState]:
        simplex = require_simplex(self, strategies)
        regrets = state.regrets.add(pair_regret(simplex, feedback.utility, strategy))
        span = jnp.maximum(state.span, ranges(simplex, feedback.utility))
        if self.utility_range is not None:
            span = jnp.maximum(span, number(self.utility_range, span))
        state = StoltzLugosiState(state.prior, regrets, span, state.step + 1)
        pairs = _pairs(simplex)
        scores = state.prior[..., None, :] + self._gain(simplex, state)
        largest = jnp.where(pairs, scores, -jnp.inf).max((-2, -1), keepdims=True)
        # No pair at all (one action): nothing moves.
        largest = jnp.where(jnp.isfinite(largest), largest, 0)
        weights = jnp.where(pairs, jnp.exp(jnp.where(pairs, scores - largest, 0)), 0)
        moves = safe_divide(weights, weights.sum((-2, -1), keepdims=True))
        return stationary(_with_diagonal(moves), simplex.center(strategy.dtype)), state

    def _gain(self, simplex: Simplex, state: StoltzLugosiState) -> Pairs:
        r"""$\eta_{t+1} R_{ab}$."""
        regrets = state.regrets.total
        if self.learning_rate is not None:
            return number(self.learning_rate, regrets) * regrets
        dtype = regrets.dtype
        n = num_actions(simplex, dtype)
        num_pairs = jnp.maximum(n * (n - 1), 1)
        rate = jnp.sqrt(8 * jnp.log(num_pairs) / (state.step + 1).astype(dtype))
        return rate[..., None] * safe_divide(regrets, state.span[..., None])


class HartMasColellState(NamedTuple):
    r"""$R_{ab} = \sum_t x^t_a(u^t_b - u^t_a)$ and the rounds."""

    regrets: Sum
    step: Int[Array, ""]


class HartMasColell(AbstractLearner):
    r"""Conditional regret matching: move from $a$ to $b$ in proportion to the regret for that move.

    With $R_{ab} = \sum_{s \le t} x^s_a (u^s_b - u^s_a)$ and $Q_{ab} = R_{ab}^+ / \mu_t$ for
    $b \ne a$, the rest of row $a$ on its diagonal:

    * `mu=None`: play the stationary distribution $x = xQ$ (it is the same for every $\mu_t$; the
      largest row sum is used). Internal regret $\max_{ab} R_{ab} \le R\sqrt{(n-1)T}$ for utilities
      of range $R$. No parameters; does not change when utilities are shifted or scaled.
    * a number `mu`: one step of the chain from what was played last, $x^{t+1} = x^t Q$ with
      $\mu_t = \mu t$, the simple adaptive procedure. $1/\mu$ is the player's readiness to
      change; if all players use it, with $\mu > 2R(n-1)$, average play tends to the correlated
      equilibria, without a rate.

    Args:
        mu: inertia, in utility; `None` for the stationary distribution.

    References:
        hart2000 (the procedure: equation 2.2; the stationary distribution: Theorem B).
    """

    mu: float | Scalar | None = None

    def __check_init__(self) -> None:
        check_number(self, "mu", 0)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategies, HartMasColellState]:
        center = require_simplex(self, strategies).center(dtype)
        regrets = Sum.zeros_like(center[..., None] * center[..., None, :])
        return center, HartMasColellState(regrets, jnp.zeros((), jnp.int32))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategies, *, dtype: Any
    ) -> tuple[Strategies, HartMasColellState]:
        _, state = self.init(strategies, dtype=dtype)
        # One unit of past regret for every action, spread like the strategy, has it as fixed point.
        moves = jnp.where(_pairs(require_simplex(self, strategies)), strategy[..., None, :], 0)
        return strategy, state._replace(regrets=state.regrets.add(moves))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: HartMasColellState,
        strategy: Strategies,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategies, HartMasColellState]:
        simplex = require_simplex(self, strategies)
        regrets = state.regrets.add(pair_regret(simplex, feedback.utility, strategy))
        state = HartMasColellState(regrets, state.step + 1)
        positive = jnp.maximum(regrets.total, 0)
        largest = positive.sum(-1, keepdims=True).max(-2, keepdims=True)
        if self.mu is None:
            chain = _with_diagonal(safe_divide(positive, largest))
            return stationary(chain, simplex.center(strategy.dtype)), state
        inertia = number(self.mu, strategy) * state.step.astype(strategy.dtype)
        chain = _with_diagonal(safe_divide(positive, jnp.maximum(inertia, largest)))
        arrived = feedback.played.sum(-1, keepdims=True)
        last = safe_divide(feedback.played, arrived, strategy)
        return jnp.einsum("...a,...ab->...b", last, chain, precision=HIGHEST), state

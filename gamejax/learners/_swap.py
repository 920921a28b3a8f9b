"""Learners without swap or internal regret: their average play tends to correlated equilibria."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import safe_divide, safe_log, stationary
from gamejax._types import Scalar, State
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number, require_simplex
from gamejax.learners._blocks import hide, num_actions, number
from gamejax.learners._hedge import ranges
from gamejax.sets import AbstractStrategySet, Simplex

Strategies = Float[Array, "*blocks actions"]
Pairs = Float[Array, "*blocks actions actions"]


class BlumMansourState(NamedTuple):
    """The copies' strategies, shape `(actions, *blocks, actions)`, and states (leading axis)."""

    rows: Float[Array, "actions *blocks actions"]
    copies: State


class BlumMansour(AbstractLearner):
    r"""Blum and Mansour's reduction: no swap regret from any learner without external regret.

    One copy of `learner` for every action; copy $a$ proposes row $a$ of a matrix $Q^t$. Play the
    stationary distribution $x^t = x^t Q^t$ and feed copy $a$ the utility $x^t_a u^t$. Then

    $$\mathrm{SwapReg}(T) = \sum_a \mathrm{Reg}_a(T).$$

    For utilities of range $R$: with `RegretMatching` or `RegretMatchingPlus` at most
    $n R \sqrt T$; with `Hedge` at a fixed rate $\eta$ at most $n \ln n / \eta + \eta R^2 T / 8$.
    `Hedge()` with a known range runs at $\sqrt{8 n \ln n / t}/R$, $\sqrt n$ times its own rate, since
    the copies share the range: at most $1.07\,R\sqrt{n T \ln n}$ at every $T$. With optimistic FTRL
    and the log-barrier, all players together have swap regret $O(\ln T)$ each. Each block of a
    strategy has copies of its own; capped simplices work too.

    Args:
        learner: plays the rows; its strategies must be probability vectors.

    Raises:
        TypeError: the strategy set does not consist of probability vectors.

    References:
        blum2007; anagnostides2022 (Algorithm 1, Theorem 4.1).
    """

    learner: AbstractLearner
    utility_range: float | Scalar | None = None

    def with_utility_range(self, utility_range: Scalar) -> Self:
        if self.utility_range is not None:
            return self
        return dataclasses.replace(self, utility_range=utility_range)

    def _copy(self, strategies: AbstractStrategySet, dtype: Any) -> AbstractLearner:
        if self.utility_range is None:
            return self.learner
        # Copy a's regret grows with eta * sum_t x_a^2 R^2, and these shares add up to at most R^2.
        return self.learner.with_utility_range(
            jnp.asarray(self.utility_range, dtype) / strategies.shape[-1] ** 0.5
        )

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategies, BlumMansourState]:
        self._check(strategies, dtype)
        return self._begin(strategies, self._copy(strategies, dtype).init(strategies, dtype=dtype))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategies, *, dtype: Any
    ) -> tuple[Strategies, BlumMansourState]:
        self._check(strategies, dtype)
        copy = self._copy(strategies, dtype)
        return self._begin(strategies, copy.start(strategies, strategy, dtype=dtype))

    def _check(self, strategies: AbstractStrategySet, dtype: Any) -> None:
        try:
            strategies.entropy_range(dtype)
            single = isinstance(strategies.center(dtype), jax.Array)
        except TypeError:
            single = False
        if not single:
            raise TypeError(
                "BlumMansour plays on a Simplex or a CappedSimplex, but its player's strategy set "
                f"is a {type(strategies).__name__}."
            )

    def _begin(
        self, strategies: AbstractStrategySet, begun: tuple[Strategies, State]
    ) -> tuple[Strategies, BlumMansourState]:
        n = strategies.shape[-1]
        rows, copies = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n, *leaf.shape)), begun)
        return begun[0], BlumMansourState(rows, copies)

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: BlumMansourState,
        strategy: Strategies,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategies, BlumMansourState]:
        dtype, n = strategy.dtype, strategy.shape[-1]
        learner = self._copy(strategies, dtype)

        def update_copy(share: Array, row: Strategies, copy: State, key: PRNGKeyArray | None):
            seen = Feedback(share[..., None] * feedback.utility, row, feedback.observed)
            return learner.update(strategies, seen, copy, row, key=key)

        shares = jnp.moveaxis(strategy, -1, 0)
        keys = None if key is None else jax.random.split(key, n)
        rows, copies = jax.vmap(update_copy)(shares, state.rows, state.copies, keys)
        played = stationary(jnp.moveaxis(rows, 0, -2), strategies.center(dtype))
        return played, BlumMansourState(rows, copies)


def pair_regret(simplex: Simplex, utility: Strategies, strategy: Strategies) -> Pairs:
    r"""The gain of moving all mass of $a$ to $b$: $r_{ab} = x_a (u_b - u_a)$; 0 at padded actions."""
    utility = hide(simplex, utility)
    gain = strategy[..., :, None] * (utility[..., None, :] - utility[..., :, None])
    return jnp.where(_pairs(simplex), gain, 0)


def _pairs(simplex: Simplex) -> Array:
    """Which ordered pairs consist of two different actions that exist."""
    exists = jnp.ones(simplex.shape, bool) if simplex.mask is None else simplex.mask
    different = jnp.broadcast_to(~jnp.eye(simplex.shape[-1], dtype=bool), (*simplex.shape, simplex.shape[-1]))
    return different & exists[..., :, None] & exists[..., None, :]


def _with_diagonal(moves: Pairs) -> Pairs:
    """The transition matrix that makes these moves and else stays."""
    stay = jnp.broadcast_to(jnp.eye(moves.shape[-1], dtype=moves.dtype), moves.shape)
    return moves + stay * (1 - moves.sum(-1, keepdims=True))


class StoltzLugosiState(NamedTuple):
    r"""The first strategy's logarithm, $R_{ab} = \sum_t x^t_a(u^t_b - u^t_a)$, the range, the rounds."""

    prior: Strategies
    regrets: Pairs
    span: Float[Array, "*blocks 1"]
    step: Int[Array, ""]


class StoltzLugosi(AbstractLearner):
    r"""Stoltz and Lugosi's exponential weights over pairs: no internal regret.

    Weights $p_{ab} \propto \exp(\eta R_{ab})$ on the ordered pairs of actions, where
    $R_{ab} = \sum_t x^t_a(u^t_b - u^t_a)$ is the regret for not having moved all mass of $a$ to $b$.
    Play the strategy that these moves leave as it is, $x = \sum_{ab} p_{ab}\, x^{a \to b}$.

    Internal regret $\max_{ab} R_{ab}$ at most $\ln N/\eta + \eta R^2 T/8$ for utilities of range $R$,
    $N = n(n-1)$. The default $\eta_t = \sqrt{8 \ln N / t}/R$ gives
    $R\,(2\sqrt{T \ln N/2} + \sqrt{\ln N/8})$ at every $T$; without a known $R$ it uses the largest
    range seen so far. Swap regret is at most $n$ times the internal one.

    Args:
        learning_rate: $\eta > 0$, in 1/utility; `None` for the anytime rate.
        utility_range: largest minus smallest utility of a round, for the anytime rate; `None` if not
            known (`SelfPlay` fills it in for games that know theirs).

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
        known = 0.0 if self.utility_range is None else self.utility_range
        regrets = jnp.zeros_like(strategy[..., None] * strategy[..., None, :])
        span = jnp.zeros_like(strategy[..., :1]) + number(known, strategy)
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
        regrets = state.regrets + pair_regret(simplex, feedback.utility, strategy)
        span = jnp.maximum(state.span, ranges(simplex, feedback.utility))
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
        if self.learning_rate is not None:
            return number(self.learning_rate, state.regrets) * state.regrets
        dtype = state.regrets.dtype
        n = num_actions(simplex, dtype)
        num_pairs = jnp.maximum(n * (n - 1), 1)
        rate = jnp.sqrt(8 * jnp.log(num_pairs) / (state.step + 1).astype(dtype))
        return rate[..., None] * safe_divide(state.regrets, state.span[..., None])


class HartMasColellState(NamedTuple):
    r"""$R_{ab} = \sum_t x^t_a(u^t_b - u^t_a)$ and the rounds."""

    regrets: Pairs
    step: Int[Array, ""]


class HartMasColell(AbstractLearner):
    r"""Conditional regret matching: move from $a$ to $b$ in proportion to the regret for not having.

    With $R_{ab} = \sum_{s \le t} x^s_a (u^s_b - u^s_a)$ and $Q_{ab} = R_{ab}^+ / \mu_t$ for
    $b \ne a$, the rest of row $a$ on its diagonal:

    * `mu=None`: play the stationary distribution $x = xQ$ (it is the same for every $\mu_t$; the
      largest row sum is used). Internal regret $\max_{ab} R_{ab} \le R\sqrt{(n-1)T}$ for utilities of
      range $R$. No parameters; does not change when utilities are shifted or scaled.
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
        regrets = jnp.zeros_like(center[..., None] * center[..., None, :])
        return center, HartMasColellState(regrets, jnp.zeros((), jnp.int32))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategies, *, dtype: Any
    ) -> tuple[Strategies, HartMasColellState]:
        _, state = self.init(strategies, dtype=dtype)
        # One unit of past regret for every action, spread like the strategy, has it as fixed point.
        moves = jnp.where(_pairs(require_simplex(self, strategies)), strategy[..., None, :], 0)
        return strategy, state._replace(regrets=state.regrets + moves)

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
        regrets = state.regrets + pair_regret(simplex, feedback.utility, strategy)
        state = HartMasColellState(regrets, state.step + 1)
        positive = jnp.maximum(regrets, 0)
        largest = positive.sum(-1, keepdims=True).max(-2, keepdims=True)
        if self.mu is None:
            chain = _with_diagonal(safe_divide(positive, largest))
            return stationary(chain, simplex.center(strategy.dtype)), state
        inertia = number(self.mu, strategy) * state.step.astype(strategy.dtype)
        chain = _with_diagonal(positive / jnp.maximum(inertia, largest))
        arrived = feedback.played.sum(-1, keepdims=True)
        last = safe_divide(feedback.played, arrived, strategy)
        return jnp.einsum("...a,...ab->...b", last, chain), state

"""Fictitious play and best-response dynamics: moving towards best responses to what is played."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._numerics import Sum, inner
from gamejax._types import Profile, Scalar, Strategy, Utility
from gamejax.games import AbstractGame
from gamejax.metrics import nash_gap
from gamejax.regularizers import Entropy
from gamejax.sets import AbstractStrategySet
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._prox import begin, difference


class FictitiousState(eqx.Module):
    """The number of moves made and the strategies, as sums that keep their digits."""

    step: Int[Array, ""]
    strategies: Sum


class FictitiousPlay(AbstractSolver):
    r"""Fictitious play: each player responds best to what the others played on average.

    $x_i^{t+1} = x_i^t + \alpha_t (b_i(x^t) - x_i^t)$, $\alpha_t = 1/(t + 1)$, with
    $b_i(x) \in \arg\max_{b \in X_i} \langle b, u_i(x)\rangle - \tau \sum_a b_a \ln b_a$; for
    $\tau = 0$ ties go to the lowest index. With $\alpha_t = 1/(t+1)$ the $x^t$ are averages of
    responses: they converge to equilibria of zero-sum games (in the worst case at a rate
    $T^{-1/(n_1 + n_2 - 2)}$, if ties are broken against it hardly faster), of potential games and
    of $2 \times n$ games, and may cycle for ever in others. For $\tau > 0$, smooth fictitious
    play, rest points are the logit equilibria of precision $1/\tau$, and the certificate is the
    gap of the game in which every player gains $\tau$ times its entropy besides.

    A constant `step_size` makes it best-response dynamics; with `step_size=1` and
    `alternating=True` the players move to best responses in turns, which ends in a pure equilibrium
    of potential games.

    Args:
        step_size: $\alpha \in (0, 1]$; `None` for $1/(t + 1)$.
        temperature: $\tau \ge 0$, in units of utility. `None` is 0 and works on every set; a
            number needs sets of probability vectors.
        alternating: players move one after another, each responding to the moves before it.

    References:
        brown1951, robinson1951, shapley1964, daskalakis2014; fudenberg1993, hofbauer2002 for
        smooth play; monderer1996 for potential games.
    """

    step_size: float | Scalar | None = None
    temperature: float | Scalar | None = None
    alternating: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        step, temperature = self.step_size, self.temperature
        if isinstance(step, int | float) and not 0 < step <= 1:
            raise ValueError(f"step_size must lie in (0, 1] or be None, got {step}.")
        if isinstance(temperature, int | float) and not temperature >= 0:
            raise ValueError(f"temperature must be at least 0 or None, got {temperature}.")

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> FictitiousState:
        strategies = begin(game, start, dtype)
        empty = Sum.zeros_like(strategies)
        return FictitiousState(jnp.zeros((), jnp.int32), Sum(strategies, empty.carry))

    def step(
        self, game: AbstractGame, state: FictitiousState, *, key: PRNGKeyArray | None
    ) -> FictitiousState:
        step = state.step + 1
        profile, moves = list(state.strategies.total), []
        utilities = () if self.alternating else game.utilities(tuple(profile))
        for i, strategies in enumerate(game.strategy_sets):
            utility = game.utility(i, tuple(profile)) if self.alternating else utilities[i]
            towards = difference(self._respond(strategies, utility), state.strategies.total[i])
            moves.append(jax.tree.map(lambda d: self._rate(step, d) * d, towards))
            profile[i] = jax.tree.map(jnp.add, profile[i], moves[i])
        return FictitiousState(step, state.strategies.add(tuple(moves)))

    def _rate(self, step: Array, like: Array) -> Scalar:
        if self.step_size is None:
            return 1 / (step + 1).astype(like.dtype)
        return jnp.asarray(self.step_size, like.dtype)

    def _respond(self, strategies: AbstractStrategySet, utility: Utility) -> Strategy:
        exact = strategies.lmo(utility)
        if self.temperature is None:
            return exact
        dtype = jnp.result_type(*jax.tree.leaves(utility))
        temperature = jnp.asarray(self.temperature, dtype)
        smooth = temperature > 0
        divisor = jnp.where(smooth, temperature, 1)
        dual = jax.tree.map(lambda u: u / divisor, strategies.recenter(utility))
        response = strategies.mirror(dual, Entropy())
        return jax.tree.map(lambda s, e: jnp.where(smooth, s, e), response, exact)

    def profile(self, state: FictitiousState) -> Profile:
        return state.strategies.total

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        r"""`nash_gap`, of the game with $\tau$ times the entropy added to payoffs."""
        if self.temperature is None:
            return nash_gap(game, profile)
        if isinstance(profile, Joint):
            raise TypeError("FictitiousPlay certifies a profile, got a Joint.")
        gains = []
        utilities = game.utilities(profile)
        for strategies, x, utility in zip(game.strategy_sets, profile, utilities, strict=True):
            response = self._respond(strategies, utility)
            temperature = jnp.asarray(self.temperature, jax.tree.leaves(utility)[0].dtype)
            entropy = _negative_entropy(response) - _negative_entropy(x)
            gains.append(inner(difference(response, x), utility) - temperature * entropy)
        return jnp.stack(gains).max()

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        r"""$x_i - b_i(x)$; without a temperature the natural map of Nash equilibria."""
        if self.temperature is None or isinstance(profile, Joint):
            return super().residual(game, profile)
        utilities = game.utilities(profile)
        return tuple(
            difference(x, self._respond(s, u))
            for s, x, u in zip(game.strategy_sets, profile, utilities, strict=True)
        )


def _negative_entropy(strategy: Strategy) -> Scalar:
    values = jax.tree.map(Entropy().value, strategy)
    return jax.tree.reduce(jnp.add, values)

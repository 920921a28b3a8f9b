"""Clairvoyant multiplicative weights: every player responds to the round that is about to come."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._joint import Joint, product
from gamejax._types import Profile, Scalar, State, Strategy, Utility
from gamejax.games import AbstractGame
from gamejax.metrics import coarse_correlated_gap, nash_gap
from gamejax.regularizers import Entropy
from gamejax.solvers._averaging import AbstractAveraging, Uniform
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._prox import begin, prox_all


class ClairvoyantState(eqx.Module):
    r"""What clairvoyant Hedge carries.

    Attributes:
        step: outer rounds played.
        strategies: $x^t$, one strategy per player.
        duals: $\ln x^t$ up to a constant per block.
        average: the averaging rule's state; it averages $x^2, x^3, \dots$
        rate: $\eta$.
    """

    step: Int[Array, ""]
    strategies: tuple[Strategy, ...]
    duals: tuple[Utility, ...]
    average: State
    rate: Scalar


class ClairvoyantHedge(AbstractSolver):
    r"""Clairvoyant multiplicative weights, Hedge that knows the utilities of the round to come.

    $x_i^{t+1} \propto x_i^t \exp(\eta\, u_i(x^{t+1}))$, a joint fixed point of all players, found
    by iterating the right-hand side from $x^t$: with payoffs of range $V$ it contracts by
    $\eta V (m - 1)$ in $\max_i \|\cdot\|_1$. Every player's regret on $x^2, \dots, x^{T+1}$ is at
    most $\ln n_i/\eta$ for every $T$ (plus what the fixed point misses), so that the average of the
    joint play is a coarse correlated equilibrium up to $\max_i \ln n_i/(\eta T)$, and in two-player
    zero-sum games the marginals are a Nash equilibrium up to the sum over both players.

    Args:
        learning_rate: $\eta > 0$, in 1/utility; `None` for $1/(2V(m - 1))$, which halves the error
            of the fixed point in every inner iteration.
        num_inner: inner iterations per round, each as much work as a round of Hedge.
        averaging: which average of the rounds is vouched for.
        output: `"joint"` vouches for the average of the product distributions, a `Joint`;
            `"marginals"` for one strategy per player.

    References:
        piliouras2022.
    """

    learning_rate: float | Scalar | None = None
    num_inner: int = eqx.field(static=True, default=8)
    averaging: AbstractAveraging = Uniform()
    output: Literal["marginals", "joint"] = eqx.field(static=True, default="joint")

    def __check_init__(self) -> None:
        rate = self.learning_rate
        if isinstance(rate, int | float) and not rate > 0:
            raise ValueError(f"learning_rate must be positive or None, got {rate}.")
        if not isinstance(self.num_inner, int) or self.num_inner < 1:
            raise ValueError(f"num_inner must be an integer of at least 1, got {self.num_inner!r}.")
        if self.output not in ("marginals", "joint"):
            raise ValueError(f'output must be "marginals" or "joint", got {self.output!r}.')

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> ClairvoyantState:
        strategies = begin(game, start, dtype)
        return ClairvoyantState(
            step=jnp.zeros((), jnp.int32),
            strategies=strategies,
            duals=tuple(
                s.dual(x, Entropy()) for s, x in zip(game.strategy_sets, strategies, strict=True)
            ),
            average=self.averaging.init(self._outcome(strategies)),
            rate=self._rate(game, dtype),
        )

    def _rate(self, game: AbstractGame, dtype: Any) -> Scalar:
        if self.learning_rate is not None:
            return jnp.asarray(self.learning_rate, dtype)
        ranges = [game.utility_range(i) for i in range(game.num_players)]
        known = [r for r in ranges if r is not None]
        if len(known) < len(ranges):
            raise ValueError(
                f"learning_rate must be given: a {type(game).__name__} does not know the range "
                "of its payoffs."
            )
        widest = jnp.stack(known).max().astype(dtype)
        # A constant game gives no scale, and needs none.
        return 1 / (2 * max(game.num_players - 1, 1) * jnp.where(widest > 0, widest, 1))

    def step(
        self, game: AbstractGame, state: ClairvoyantState, *, key: PRNGKeyArray | None
    ) -> ClairvoyantState:
        def iterate(
            _: Array, carry: tuple[tuple[Strategy, ...], tuple[Utility, ...]]
        ) -> tuple[tuple[Strategy, ...], tuple[Utility, ...]]:
            utilities = game.utilities(carry[0])
            return prox_all(game, state.duals, utilities, state.rate, Entropy())

        strategies, duals = jax.lax.fori_loop(
            0, self.num_inner, iterate, (state.strategies, state.duals)
        )
        step = state.step + 1
        average = self.averaging.update(game, state.average, self._outcome(strategies), step)
        return ClairvoyantState(step, strategies, duals, average, state.rate)

    def profile(self, state: ClairvoyantState) -> Profile:
        return self.averaging.value(state.average, self._outcome(state.strategies))

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """`nash_gap`; of a `Joint`, `coarse_correlated_gap`."""
        if isinstance(profile, Joint):
            return coarse_correlated_gap(game, profile)
        return nash_gap(game, profile)

    def _outcome(self, strategies: tuple[Strategy, ...]) -> Profile:
        return strategies if self.output == "marginals" else Joint(product(strategies))

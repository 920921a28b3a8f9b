"""What a solver answers: how do all players move together?"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._numerics import fold
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, State, Strategy
from gamejax.games import AbstractGame, ContinuousGame
from gamejax.metrics import first_order_gap, nash_gap


class AbstractSolver(eqx.Module):
    """A rule for how all players move together; it knows no tolerances, budgets or logging."""

    def check(self, game: AbstractGame) -> None:
        """Refuse a game that this solver cannot play, before anything is traced; default none.

        Raises:
            TypeError, ValueError: the message says what the solver needs.
        """
        return

    @abc.abstractmethod
    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> State:
        """The state before the first step; `start` is a profile to begin from."""

    @abc.abstractmethod
    def step(self, game: AbstractGame, state: State, *, key: PRNGKeyArray | None) -> State:
        """One round of play, one pivot, one predictor-corrector step."""

    def advance(
        self,
        game: AbstractGame,
        state: State,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> State:
        """`count` steps, of which the first has number `first`; one after another.

        Step `t` draws with `fold_in(key, t)`. Override it where many steps at once are cheaper than
        one by one: a kernel that keeps the game close, a method that ends by itself. Not
        reverse-mode differentiable.
        """

        def body(i: Array, carry: State) -> State:
            return self.step(game, carry, key=fold(key, first + i))

        return jax.lax.fori_loop(jnp.int32(0), jnp.asarray(count, jnp.int32), body, state)

    @abc.abstractmethod
    def profile(self, state: State) -> Profile:
        """What the solver vouches for in this state: an average, the last iterate, a `Joint`."""

    def vouched(self, game: AbstractGame, state: State) -> Profile:
        """`profile(state)` with the rounding of averages undone: what is certified and returned."""
        profile = self.profile(state)
        if isinstance(profile, Joint):
            return profile
        return tuple(s.restore(x) for s, x in zip(game.strategy_sets, profile, strict=True))

    def candidates(self, state: State) -> list[Profile]:
        """Profiles from which a polishing may start; `profile(state)` is the first of them."""
        return [self.profile(state)]

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """How far `profile` is from a solution, recomputed from it alone.

        By default `nash_gap`; for a `ContinuousGame`, whose sets may be unbounded and whose payoffs
        need not be linear in the own strategy, `first_order_gap`.
        """
        if isinstance(game, ContinuousGame):
            return first_order_gap(game, profile)
        return nash_gap(game, profile)

    def status(self, state: State) -> RESULTS:
        """`RESULTS.running`, or why no further step makes sense; the loop stops on it."""
        return RESULTS.running

    def settled(self, state: State) -> Bool[Array, ""]:
        """Whether a small certificate makes this state a success; by default always.

        Solvers that look for one among many equilibria say no until they have found it.
        """
        return jnp.ones((), bool)

    def stats(self, game: AbstractGame, state: State) -> dict[str, Any]:
        """What the solver adds to `Solution.stats`; default nothing."""
        return {}

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        r"""Zero exactly at this solver's solutions; `Implicit` differentiates through it.

        The default is the game's own, for Nash equilibria: `game.residual`.
        """
        if isinstance(profile, Joint):
            raise TypeError(
                f"{type(self).__name__} returns a Joint, whose residual is not defined; "
                "differentiate through the steps with adjoint=gamejax.Unrolled()."
            )
        return game.residual(profile)

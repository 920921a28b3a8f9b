"""What a game answers: what does each player gain, given a profile?"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._numerics import inner
from gamejax._types import Scalar, State, Strategy, Utility
from gamejax.sets import AbstractStrategySet


class Part(NamedTuple):
    """What a strategy does somewhere: a distribution over named actions.

    Attributes:
        title: where.
        actions: their names.
        probabilities: one each.
        reach: how likely the player's own moves lead there.
    """

    title: str
    actions: Sequence[str]
    probabilities: np.ndarray
    reach: float


@dataclasses.dataclass(frozen=True)
class Labels:
    """What people call things: the game's title, its players and their actions."""

    title: str = ""
    players: tuple[str, ...] = ()
    actions: tuple[tuple[str, ...], ...] = ()

    def parts(self, player: int, strategy: Any) -> list[Part] | None:
        """A strategy as distributions, for strategies that consist of several; default `None`."""
        return None


class AbstractGame(eqx.Module):
    r"""A game: players who choose strategies and a payoff gradient for each.

    Players **maximise**. A game with numbers only in its leaves can be stacked, mapped with
    `jax.vmap` and differentiated. Subclasses give `strategy_sets` (a field or a property, one set
    per player) and `utility`; the rest has defaults. `labels` names the game, its players and
    their actions; it changes nothing but what is printed.
    """

    strategy_sets: eqx.AbstractVar[tuple[AbstractStrategySet, ...]]

    labels: Labels | None = eqx.field(static=True, default=None, kw_only=True)

    @property
    def num_players(self) -> int:
        """How many players there are."""
        return len(self.strategy_sets)

    @property
    def dtype(self) -> Any:
        """The floating-point type of the payoffs; strategies follow it."""
        leaves = jax.tree.leaves(eqx.filter(self, eqx.is_inexact_array))
        return jnp.result_type(*leaves) if leaves else jnp.result_type(float)

    def check(self) -> None:
        """Refuse to be solved, before anything is traced; default not.

        Raises:
            ValueError: the message says why no solver can play the game.
        """
        return

    @property
    def names(self) -> Labels | None:
        """What solutions print themselves with; default `labels`."""
        return self.labels

    @abc.abstractmethod
    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        r"""The gradient $u_i(x) = \nabla_{x_i} U_i(x)$ of player $i$'s expected payoff."""

    def utilities(self, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        """Every player's `utility` at one profile; games override it where sharing is cheaper."""
        return tuple(self.utility(i, profile) for i in range(self.num_players))

    def expected_payoffs(self, profile: tuple[Strategy, ...] | Joint) -> Float[Array, " players"]:
        r"""Every player's expected payoff, shape `(m,)`; here $\langle x_i, u_i(x)\rangle$."""
        if isinstance(profile, Joint):
            diagonals = [jnp.trace(self.deviations(i, profile)) for i in range(self.num_players)]
            return jnp.stack(diagonals)
        return jnp.stack(
            [inner(x, u) for x, u in zip(profile, self.utilities(profile), strict=True)]
        )

    def deviations(self, player: int, joint: Joint) -> Float[Array, "actions actions"]:
        r"""What a player gains by playing $b$ when it is recommended $a$, for all pairs.

        $G[a, b] = \sum_{a_{-i}} \mu(a, a_{-i})\, U_i(b, a_{-i})$.
        This default asks `utility` at every pure profile, one at a time, and needs no payoff
        tensor; games that hold one override it with a single contraction.
        """
        shape = joint.probabilities.shape
        probabilities = joint.probabilities.reshape(-1)
        dtype = probabilities.dtype

        def add(total: Float[Array, "actions actions"], index: Array):
            actions = jnp.unravel_index(index, shape)
            pure = tuple(
                jax.nn.one_hot(a, n, dtype=dtype) for a, n in zip(actions, shape, strict=True)
            )
            gain = probabilities[index] * self.utility(player, pure)
            return total.at[actions[player]].add(gain), None

        zero = jnp.zeros((shape[player], shape[player]), dtype) * probabilities[0]
        return jax.lax.scan(add, zero, jnp.arange(probabilities.size, dtype=jnp.int32))[0]

    def residual(self, profile: tuple[Strategy, ...]) -> tuple[Strategy, ...]:
        r"""Zero exactly where no player gains by moving: $x_i - \Pi_{X_i}(x_i + u_i(x) / s_i)$.

        The natural map, its unit $s_i$ half the range of the player's payoffs where the game knows
        it, else 1; what `gamejax.Implicit` differentiates. Games with a smoother one override it.
        """
        moved = []
        for i, (x, u) in enumerate(zip(profile, self.utilities(profile), strict=True)):
            unit = self._unit(i)
            ahead = jax.tree.map(lambda a, b, unit=unit: a + b / unit, x, u)
            moved.append(jax.tree.map(jnp.subtract, x, self.strategy_sets[i].project(ahead)))
        return tuple(moved)

    def _unit(self, player: int) -> Scalar | float:
        """Half the range of a player's payoffs; 1 where it is not known or 0."""
        known = self.utility_range(player)
        if known is None:
            return 1.0
        width = jax.lax.stop_gradient(known)
        return jnp.where(width > 0, width / 2, 1)

    def utility_range(self, player: int) -> Scalar | None:
        """Largest minus smallest payoff of a player, where the game knows it; else `None`."""
        return None

    def pure_candidates(self) -> list[tuple[Strategy, ...]]:
        """Pure profiles worth certifying before any iteration; games with tensors give one."""
        return []

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        """The state that the loop carries for the game: pools, queues, counters. Default none."""
        return ()

    def sample(
        self,
        profile: tuple[Strategy, ...],
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[tuple[Utility, ...], State]:
        """One round of play: what each player could gain this time. Default: the expectation."""
        return self.utilities(profile), state

"""Games with smooth payoff functions on convex sets."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._types import PyTree, Scalar, Strategy, Utility
from gamejax.games._base import AbstractGame, Labels
from gamejax.sets import AbstractStrategySet


class ContinuousGame(AbstractGame):
    r"""A game of smooth payoffs $f_i(x)$ on convex sets; $u_i(x) = \nabla_{x_i} f_i(x)$.

    Where $f_i$ is concave in $x_i$, points without first-order gain are equilibria; elsewhere they
    are local candidates (`metrics.first_order_gap`). Payoffs need not be linear in the own
    strategy, so that `expected_payoffs` are the functions themselves.

    Args:
        utilities: one function per player, `f_i(profile) -> scalar`, or `f_i(profile, params)`
            where `params` are given. Static: name them once, outside of loops, or programs compile
            again for each new function object.
        strategy_sets: one set per player.
        params: a tree of arrays that the functions need. Numbers belong here, not in a closure,
            so that they can be mapped, differentiated and changed without compiling again.
        labels: names of the game and its players.

    Raises:
        ValueError: the number of functions differs from the number of sets.
        TypeError: `utilities` are no functions.
    """

    functions: tuple[Callable[..., Scalar], ...] = eqx.field(static=True)
    strategy_sets: tuple[AbstractStrategySet, ...]
    params: PyTree[Array]

    def __init__(
        self,
        utilities: Sequence[Callable[..., Scalar]],
        strategy_sets: Sequence[AbstractStrategySet],
        params: PyTree[Array] = None,
        *,
        labels: Labels | None = None,
    ):
        if callable(utilities) or not all(callable(f) for f in utilities):
            raise TypeError("utilities must be a sequence of functions, one per player.")
        self.functions = tuple(utilities)
        self.strategy_sets = tuple(strategy_sets)
        if len(self.functions) != len(self.strategy_sets):
            raise ValueError(
                "utilities and strategy_sets must have one entry per player, got "
                f"{len(self.functions)} and {len(self.strategy_sets)}."
            )
        self.params = params
        self.labels = labels

    def payoff(self, player: int, profile: tuple[Strategy, ...]) -> Scalar:
        """What one player gains: its function at the profile."""
        arguments = (profile,) if self.params is None else (profile, self.params)
        return self.functions[player](*arguments)

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        def own(strategy: Strategy) -> Scalar:
            return self.payoff(player, (*profile[:player], strategy, *profile[player + 1 :]))

        return jax.grad(own)(profile[player])

    def expected_payoffs(self, profile: tuple[Strategy, ...] | Joint) -> Float[Array, " players"]:
        if isinstance(profile, Joint):
            self._no_joint()
        return jnp.stack([self.payoff(i, profile) for i in range(self.num_players)])

    def deviations(self, player: int, joint: Joint) -> Array:
        self._no_joint()

    def _no_joint(self) -> NoReturn:
        raise TypeError("A ContinuousGame has no action profiles, so no Joint; pass a profile.")

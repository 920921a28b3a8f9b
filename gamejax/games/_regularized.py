"""Games whose players pay for the distance of their strategies from the middle."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gamejax._joint import Joint
from gamejax._types import Scalar, Strategy, Utility
from gamejax.games._base import AbstractGame, Labels
from gamejax.regularizers import AbstractRegularizer, Entropy
from gamejax.sets import AbstractStrategySet
from gamejax.sets._checks import is_concrete


class RegularizedGame(AbstractGame):
    r"""A game whose players gain $U_i(x) - \tau_i R(x_i)$; `regularized` makes one.

    $u_i(x) - \tau_i \nabla R(x_i)$ takes the place of $u_i$. Payoffs are concave in the own
    strategy, so that equilibria are the fixed points of the smooth best responses
    $x_i = \arg\max_{x \in X_i} \langle x, u_i\rangle - \tau_i R(x)$, and `metrics.nash_gap`, linear
    in the deviation, is at least what a player can gain.
    """

    game: AbstractGame
    strategy_sets: tuple[AbstractStrategySet, ...]
    strength: ArrayLike
    regularizer: AbstractRegularizer

    @property
    def dtype(self) -> Any:
        return self.game.dtype

    def _strengths(self) -> Float[Array, " players"]:
        return jnp.broadcast_to(jnp.asarray(self.strength, self.dtype), (self.num_players,))

    def _less_cost(
        self,
        utility: Utility,
        strategy: Strategy,
        strength: Scalar,
        strategies: AbstractStrategySet,
    ) -> Utility:
        slope = strategies.dual(strategy, self.regularizer)
        return jax.tree.map(lambda u, d: u - strength * d, utility, slope)

    @property
    def names(self) -> Labels | None:
        """Those of the game."""
        return self.game.names

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        own = self.game.utility(player, profile)
        strength, strategies = self._strengths()[player], self.strategy_sets[player]
        return self._less_cost(own, profile[player], strength, strategies)

    def utilities(self, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        own = self.game.utilities(profile)
        return tuple(map(self._less_cost, own, profile, self._strengths(), self.strategy_sets))

    def expected_payoffs(self, profile: tuple[Strategy, ...] | Joint) -> Float[Array, " players"]:
        if isinstance(profile, Joint):
            raise TypeError("A regularized game needs one strategy per player, not a Joint.")
        pairs = zip(self.strategy_sets, profile, strict=True)
        costs = [s.regularization(x, self.regularizer) for s, x in pairs]
        return self.game.expected_payoffs(profile) - self._strengths() * jnp.stack(costs)

    def residual(self, profile: tuple[Strategy, ...]) -> tuple[Strategy, ...]:
        """The profile less its smooth best responses."""
        return tuple(
            jax.tree.map(
                jnp.subtract,
                x,
                s.mirror(jax.tree.map(lambda v, k=k: v / k, u), self.regularizer),
            )
            for s, x, u, k in zip(
                self.strategy_sets,
                profile,
                self.game.utilities(profile),
                self._strengths(),
                strict=True,
            )
        )


def regularized(
    game: AbstractGame, strength: ArrayLike, regularizer: AbstractRegularizer | None = None
) -> RegularizedGame:
    r"""The game in which every player pays $\tau_i R(x_i)$ for its strategy.

    With `Entropy` on simplices the equilibria are the logit equilibria of precision $1/\tau$, which
    `solvers.LogitEquilibrium` finds faster; regularizers and sets are free here (capped simplices,
    boxes, trees). On a `Treeplex` the entropy is dilated, and the equilibria are the logit
    equilibria of the reduced strategic form. Where the game is monotone, such as zero-sum, the
    equilibrium is unique, depends smoothly on the game wherever no bound of a set starts or ends to
    bind, and can be differentiated with `adjoint=gamejax.Implicit()`; `solvers.MirrorProx` in the
    geometry of the regularizer, with `averaging=Last()`, reaches it at a linear rate.

    Args:
        game: the game.
        strength: $\tau > 0$, in units of payoff; one number or one per player. May be traced,
            mapped or differentiated.
        regularizer: $R$; default `Entropy()`.

    Raises:
        ValueError: `strength` is not positive, or not one per player.

    References:
        mckelvey1995; sokota2023.
    """
    shape = jnp.shape(strength)
    if shape not in ((), (1,), (game.num_players,)):
        raise ValueError(
            f"strength must be one number or one per player ({game.num_players}), got shape "
            f"{shape}; map this function with jax.vmap for several strengths."
        )
    if is_concrete(strength) and not np.all(np.asarray(strength, float) > 0):
        raise ValueError(f"strength must be positive, got {strength}.")
    regularizer = Entropy() if regularizer is None else regularizer
    return RegularizedGame(
        game=game,
        strategy_sets=game.strategy_sets,
        strength=strength,
        regularizer=regularizer,
        labels=game.labels,
    )

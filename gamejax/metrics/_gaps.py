"""Equilibrium gaps: how far a profile or a joint distribution is from equilibrium."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import inner
from gamejax._types import Profile, Scalar
from gamejax.games import AbstractGame


def gains(game: AbstractGame, profile: Profile) -> Float[Array, " players"]:
    r"""Each player's best-response gain $\max_{x' \in X_i}\langle x', u_i\rangle - \langle x_i, u_i\rangle$.

    On capped sets the maximum is over the capped set, so that these are the smooth gaps.

    Raises:
        TypeError: `profile` is a `Joint`, which no player can deviate from on its own.
    """
    if isinstance(profile, Joint):
        raise TypeError(
            "The Nash gap of a Joint is not defined; use coarse_correlated_gap or correlated_gap, "
            "or pass the tuple of its marginals."
        )
    utilities = game.utilities(profile)
    return jnp.stack(
        [
            s.support(u) - inner(x, u)
            for s, x, u in zip(game.strategy_sets, profile, utilities, strict=True)
        ]
    )


def nash_gap(game: AbstractGame, profile: Profile) -> Scalar:
    r"""Largest best-response gain over players: the $\varepsilon$ of an $\varepsilon$-Nash equilibrium."""
    return gains(game, profile).max()


def nash_conv(game: AbstractGame, profile: Profile) -> Scalar:
    """Sum of the players' best-response gains; the duality gap in two-player zero-sum games."""
    return gains(game, profile).sum()


def exploitability(game: AbstractGame, profile: Profile) -> Scalar:
    """`nash_conv` divided by the number of players."""
    return gains(game, profile).mean()


def coarse_correlated_gains(game: AbstractGame, profile: Profile) -> Float[Array, " players"]:
    r"""What each player gains by ignoring its recommendation: $\max_b \sum_a G_i[a, b] - \mathrm{tr}\, G_i$."""
    if not isinstance(profile, Joint):
        return gains(game, profile)
    best = []
    for i, s in enumerate(game.strategy_sets):
        deviations = game.deviations(i, profile)
        best.append(s.support(deviations.sum(0)) - jnp.trace(deviations))
    return jnp.stack(best)


def coarse_correlated_gap(game: AbstractGame, profile: Profile) -> Scalar:
    """Largest coarse deviation gain over players; at most 0 in a coarse correlated equilibrium."""
    return coarse_correlated_gains(game, profile).max()

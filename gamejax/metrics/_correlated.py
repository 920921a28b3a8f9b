"""Gaps of correlated play: what obeying a mediator costs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._joint import Joint
from gamejax._types import Profile, Scalar
from gamejax.games import AbstractGame
from gamejax.metrics._gaps import best_payoff, gains
from gamejax.sets import AbstractStrategySet


def coarse_correlated_gains(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Float[Array, " players"]:
    r"""What each player gains by ignoring the mediator.

    $\max_b \sum_a G_i[a, b] - \sum_a G_i[a, a]$ with
    $G_i[a, b] = \sum_{a_{-i}} \mu(a, a_{-i})\, U_i(b, a_{-i})$ (`AbstractGame.deviations`). It may
    be negative: obeying can beat every fixed action. For a profile, the product distribution, these
    are the best-response `gains`. On capped sets the deviation is a capped strategy.

    Args:
        game: the game.
        profile: a `Joint`, or a profile of independent strategies.
        temperature: smooths the maximum (see `gains`); default exact.

    References:
        moulin1978; hannan1957.
    """
    if not isinstance(profile, Joint):
        return gains(game, profile, temperature=temperature)

    tables = [game.deviations(i, profile) for i in range(game.num_players)]
    return jnp.stack(
        [
            best_payoff(s, table.sum(0), temperature) - jnp.trace(table)
            for s, table in zip(game.strategy_sets, tables, strict=True)
        ]
    )


def coarse_correlated_gap(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Scalar:
    r"""Largest of `coarse_correlated_gains`: $\varepsilon$ of a coarse correlated equilibrium."""
    return coarse_correlated_gains(game, profile, temperature=temperature).max()


def correlated_gains(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Float[Array, " players"]:
    r"""What each player gains by its best swap of recommendations.

    $\sum_a (\max_b G_i[a, b] - G_i[a, a])$, with $G$ as in `coarse_correlated_gains`. At least
    `max(coarse_correlated_gains, 0)`, and at most $n_i$ times `internal_gains`.
    For a profile of independent strategies the recommendation tells nothing, and these are the
    `gains`.
    On capped sets every recommendation may be swapped for a capped strategy.

    Args:
        game: the game.
        profile: a `Joint`, or a profile of independent strategies.
        temperature: smooths each maximum at the recommendation's own conditional payoffs, so that
            the surrogate exceeds the gain by at most $\tau \ln n_i$; default exact.

    References:
        aumann1974; blum2007 (swap regret).
    """
    if not isinstance(profile, Joint):
        return gains(game, profile, temperature=temperature)
    marginals = profile.marginals
    swaps = [
        jnp.sum(_swap_gains(s, game.deviations(i, profile), marginals[i], temperature))
        for i, s in enumerate(game.strategy_sets)
    ]
    return jnp.stack(swaps)


def correlated_gap(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Scalar:
    r"""Largest of `correlated_gains`: the $\varepsilon$ of a correlated equilibrium (swaps)."""
    return correlated_gains(game, profile, temperature=temperature).max()


def internal_gains(game: AbstractGame, profile: Profile) -> Float[Array, " players"]:
    r"""What each player gains by its best single swap, $\max_{a, b} G_i[a, b] - G_i[a, a]$.

    Raises:
        TypeError: `profile` is no `Joint` and a strategy is not a single probability vector.

    References:
        foster1999; hart2000.
    """
    if isinstance(profile, Joint):
        tables = [game.deviations(i, profile) for i in range(game.num_players)]
    else:
        if any(getattr(x, "ndim", None) != 1 for x in profile):
            raise TypeError("The internal gap needs single probability vectors for all players.")
        tables = [
            x[:, None] * u[None, :] for x, u in zip(profile, game.utilities(profile), strict=True)
        ]
    swaps = [
        jnp.max(_swap_gains(s, table, table[:, 0], None))
        for s, table in zip(game.strategy_sets, tables, strict=True)
    ]
    return jnp.stack(swaps)


def internal_gap(game: AbstractGame, profile: Profile) -> Scalar:
    """Largest of `internal_gains`."""
    return internal_gains(game, profile).max()


def _swap_gains(
    strategies: AbstractStrategySet, table: Array, weights: Array, temperature: ArrayLike | None
) -> Float[Array, " actions"]:
    """What swapping each recommendation for its best replacement gains."""
    if temperature is None:
        best = jax.vmap(strategies.support)(table)
    else:
        given = weights > 0
        scale = temperature * jnp.where(given, weights, 1)
        smooth = jax.vmap(best_payoff, (None, 0, 0))(strategies, table, scale)
        best = jnp.where(given, smooth, 0)
    return best - jnp.diagonal(table)

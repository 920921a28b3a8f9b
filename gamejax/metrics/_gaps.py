r"""Equilibrium gaps: how far a profile or a joint distribution is from equilibrium.

Every gap compares what a player could get with what it gets. With `temperature` $\tau > 0$ the
maximum over deviations is replaced by the smooth $\max_{x \in X} \langle u, x\rangle + \tau H(x)$,
on a simplex $\tau \ln \sum_a e^{u_a / \tau}$: differentiable everywhere, above the gap by at most
$\tau$ times the largest entropy ($\tau \ln n$).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._joint import Joint
from gamejax._numerics import inner
from gamejax._types import Profile, Scalar, Strategy, Utility
from gamejax.games import AbstractGame
from gamejax.sets import AbstractStrategySet, CappedSimplex, Simplex


def gains(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Float[Array, " players"]:
    r"""Each player's best-response gain.

    $\max_{x' \in X_i}\langle x', u_i\rangle - \langle x_i, u_i\rangle$. On capped sets the
    maximum is over the capped set, so that these are the smooth gaps.

    Args:
        game: the game.
        profile: one strategy per player.
        temperature: smooths the maximum, in payoff units (see the module); default exact.

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
            best_payoff(s, u, temperature) - inner(x, u)
            for s, x, u in zip(game.strategy_sets, profile, utilities, strict=True)
        ]
    )


def nash_gap(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Scalar:
    r"""Largest best-response gain over players: $\varepsilon$ in an $\varepsilon$-equilibrium."""
    return gains(game, profile, temperature=temperature).max()


def nash_conv(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Scalar:
    """Sum of the players' best-response gains; the duality gap in two-player zero-sum games."""
    return gains(game, profile, temperature=temperature).sum()


def exploitability(
    game: AbstractGame, profile: Profile, *, temperature: ArrayLike | None = None
) -> Scalar:
    """`nash_conv` divided by the number of players."""
    return gains(game, profile, temperature=temperature).mean()


def well_supported_gains(game: AbstractGame, profile: Profile) -> Float[Array, " players"]:
    r"""What each player's worst played action falls short of its best one.

    $\max_a u_i[a] - \min_{a:\, x_i[a] > 0} u_i[a]$; at least `gains`, and 0 exactly at equilibria.
    On capped sets the best action is the best one below its cap, and the result is never negative.

    Raises:
        TypeError: `profile` is a `Joint`, or a set holds no probability vectors.
    """
    if isinstance(profile, Joint):
        raise TypeError("The well-supported gap needs one strategy per player, not a Joint.")
    utilities = game.utilities(profile)
    return jnp.stack(
        [_spread(s, x, u) for s, x, u in zip(game.strategy_sets, profile, utilities, strict=True)]
    )


def well_supported_gap(game: AbstractGame, profile: Profile) -> Scalar:
    r"""Largest of `well_supported_gains`, for well-supported $\varepsilon$-Nash equilibria.

    References:
        daskalakis2009.
    """
    return well_supported_gains(game, profile).max()


def projected_step(
    game: AbstractGame, profile: tuple[Strategy, ...], directions: tuple[Utility, ...]
) -> Float[Array, " players"]:
    r"""Length of each player's projected step, $\|x_i - \Pi_{X_i}(x_i + d_i)\|_2$."""
    squares = [
        inner(step, step)
        for s, x, d in zip(game.strategy_sets, profile, directions, strict=True)
        for step in [jax.tree.map(jnp.subtract, x, s.project(jax.tree.map(jnp.add, x, d)))]
    ]
    square = jnp.stack(squares)
    still = square == 0  # not its opposite, so that NaN stays NaN
    return jnp.where(still, 0, jnp.sqrt(jnp.where(still, 1, square)))


def first_order_gap(game: AbstractGame, profile: Profile) -> Scalar:
    r"""Largest projected-gradient step over players, $\max_i \|x_i - \Pi_{X_i}(x_i + u_i(x))\|_2$.

    Zero exactly at the profiles where no player gains to first order, which are the equilibria
    where payoffs are concave in the own strategy. It needs no bounded set; on bounded ones
    `nash_gap` is the linearized gain instead.

    References:
        facchinei2003 (the natural map).
    """
    if isinstance(profile, Joint):
        raise TypeError("The first-order gap needs one strategy per player, not a Joint.")
    return projected_step(game, profile, game.utilities(profile)).max()


def best_payoff(
    strategies: AbstractStrategySet, utility: Utility, temperature: ArrayLike | None = None
) -> Scalar:
    r"""$\max_{x \in X} \langle u, x\rangle$; with a `temperature`, $+ \tau H(x)$ in the maximum."""
    if temperature is None:
        return strategies.support(utility)
    return strategies.smooth_support(utility, temperature)


def _spread(strategies: AbstractStrategySet, strategy: Strategy, utility: Utility) -> Scalar:
    if not isinstance(strategies, Simplex | CappedSimplex):
        raise TypeError(
            f"The well-supported gap needs probability vectors, got {type(strategies).__name__}."
        )
    cap = strategies.cap if isinstance(strategies, CappedSimplex) else 1
    exists = jnp.ones_like(strategy, bool) if strategies.mask is None else strategies.mask
    best = jnp.max(utility, -1, where=exists & (strategy < cap), initial=-jnp.inf)
    worst = jnp.min(utility, -1, where=exists & (strategy > 0), initial=jnp.inf)
    return jnp.maximum(best - worst, 0).max()

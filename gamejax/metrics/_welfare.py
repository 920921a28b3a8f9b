"""Welfare, the price of anarchy, and how far distributions are apart."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._numerics import safe_divide
from gamejax._types import Profile, Scalar
from gamejax.games import AbstractGame
from gamejax.games._pure import payoff_tensor, profile_mask


def welfare(game: AbstractGame, profile: Profile) -> Scalar:
    """The sum of the players' expected payoffs, at a profile or a `Joint`."""
    return game.expected_payoffs(profile).sum()


def price_of_anarchy(
    game: AbstractGame,
    profiles: list[Profile] | tuple[Float[Array, "count actions"], ...],
    optimum: ArrayLike | None = None,
) -> Scalar:
    r"""How much worse the worst equilibrium is than the best outcome; at least 1.

    With $W^\ast$ the best welfare of any pure profile and $W$ the lowest of `profiles`:
    $W^\ast / W$ for payoffs (welfare positive), and $W / W^\ast$ for costs, which are negative
    payoffs (welfare negative): worst cost over best cost. Infinite where the optimum is positive
    and the worst equilibrium is not, or the optimal cost is zero and the worst is not; 1 where both
    are zero.

    Args:
        game: a game whose payoffs, summed over players, have one sign.
        profiles: equilibria: a tuple of one array `(count, n_i)` per player, like
            `Equilibria.profiles`, or a list of profiles and `Joint`s.
        optimum: $W^\ast$, where it is known; default the maximum over all pure profiles.

    Raises:
        TypeError: `profiles` is neither.

    References:
        koutsoupias1999.
    """
    if optimum is None:
        totals = payoff_tensor(game).sum(0)
        best = jnp.max(totals, where=profile_mask(game), initial=-jnp.inf)
    else:
        best = jnp.asarray(optimum, game.dtype)
    worst = _welfares(game, profiles).min()
    positive = best > 0
    numerator, denominator = jnp.where(positive, best, worst), jnp.where(positive, worst, best)
    ratio = safe_divide(numerator, denominator, jnp.where(numerator == 0, 1.0, jnp.inf))
    return jnp.where(positive & (worst <= 0), jnp.inf, ratio)


def _welfares(
    game: AbstractGame, profiles: list[Profile] | tuple[Float[Array, "count actions"], ...]
) -> Float[Array, " count"]:
    if isinstance(profiles, list):
        return jnp.stack([welfare(game, profile) for profile in profiles])
    if not (isinstance(profiles, tuple) and all(jnp.ndim(x) == 2 for x in profiles)):
        raise TypeError(
            "profiles must be a list of profiles, or a tuple of one array (count, actions) per "
            f"player, got {type(profiles).__name__}."
        )
    return jax.vmap(welfare, (None, 0))(game, profiles)


def kl(p: Float[Array, "... actions"], q: Float[Array, "... actions"]) -> Float[Array, "..."]:
    r"""The Kullback-Leibler divergence of `p` from `q`, over the last axis.

    $\mathrm{KL}(p \,\|\, q) = \sum_a p_a \ln (p_a / q_a)$. Terms with
    $p_a = 0$ are 0, with finite gradients; it is infinite where $q_a = 0 < p_a$.
    """
    given = p > 0
    ratio = jnp.where(given, p, 1) / jnp.where(given, q, 1)
    return jnp.sum(jnp.where(given, p, 0) * jnp.log(ratio), -1)

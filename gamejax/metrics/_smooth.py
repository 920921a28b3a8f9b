r"""Certificates of smooth equilibria: the gap to smooth deviations, and the excess over the cap.

A strategy is $\sigma$-smooth if no action has more than $c = 1/(\sigma n)$. A profile is a *weak*
$\varepsilon$-equilibrium if no smooth deviation gains more than $\varepsilon$ (`smooth_gap`),
whatever its own strategies are; a *strong* one if besides they are smooth (`cap_violation` 0).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from gamejax._joint import Joint, Sparse
from gamejax._numerics import inner, safe_divide
from gamejax._types import Profile, Scalar
from gamejax.games import AbstractGame, OracleGame, smoothed, uniform_actions
from gamejax.metrics._gaps import nash_gap


def smooth_gap(
    game: AbstractGame,
    profile: Profile,
    *,
    cap: ArrayLike | Sequence[ArrayLike] | None = None,
    sigma: ArrayLike | Sequence[ArrayLike] | None = None,
) -> Scalar:
    r"""Largest gain of a smooth deviation: $\varepsilon$ of weak smooth $\varepsilon$-equilibria.

    $\max_i \max_{w \in K_i} \langle w, u_i(x)\rangle - \langle x_i, u_i(x)\rangle$, where $K_i$
    holds the strategies with no probability above the cap: `nash_gap` of `games.smoothed`, at any
    profile of the game itself. It is negative where the profile beats all smooth deviations; every
    Nash equilibrium has a gap of at most 0. With `functools.partial(smooth_gap, sigma=0.2)` as
    `gap=` any Nash solver finds weak equilibria. A logit equilibrium of temperature
    $\varepsilon/\ln(1/\sigma)$ is one, whatever the number of actions.

    Args:
        game: a game on simplices, or already on capped ones.
        profile: one strategy per player, smooth or not.
        cap: the largest probability $c$ of an action in a deviation; one number or one per player.
        sigma: the smoothness instead, for $c = 1/(\sigma n_i)$. Some papers call $c$ itself
            $\sigma$ (see `games.smoothed`).

    References:
        daskalakis2024.
    """
    return nash_gap(smoothed(game, cap, sigma), profile)


def cap_violation(
    game: AbstractGame,
    profile: Profile,
    *,
    cap: ArrayLike | Sequence[ArrayLike] | None = None,
    sigma: ArrayLike | Sequence[ArrayLike] | None = None,
) -> Scalar:
    r"""How far the strategies exceed the cap, $\max_{i,a} (x_i[a] - c_i)^+$; 0 for smooth ones.

    Args:
        game: a game on simplices; of an `OracleGame` the strategies may be `Sparse`.
        profile: one strategy per player.
        cap: the largest probability $c$ of an action; one number or one per player.
        sigma: the smoothness instead, for $c = 1/(\sigma n_i)$.
    """
    if isinstance(profile, Joint):
        raise TypeError("The cap violation needs one strategy per player, not a Joint.")
    excesses = []
    for strategy, own in zip(profile, smoothed(game, cap, sigma).strategy_sets, strict=True):
        largest = strategy.largest if isinstance(strategy, Sparse) else jnp.max(strategy)
        excesses.append(largest - jnp.asarray(getattr(own, "cap", 1), largest.dtype))
    return jnp.maximum(jnp.stack(excesses).max(), 0)


class SampledGap(NamedTuple):
    r"""What tests by random actions say about the smooth gap of a profile.

    Attributes:
        gains: each player's gain from the best smooth deviation among the test actions, an estimate
            of its gain among all actions, `(m,)`.
        radius: how far each estimate may be off, `(m,)`: with probability $1 - \delta$ the true
            gains of all players lie within `gains` plus and minus `radius`.
        upper: with probability $1 - \delta$ the true gains of all players are at most this, `(m,)`.
    """

    gains: Float[Array, " players"]
    radius: Float[Array, " players"]
    upper: Float[Array, " players"]


def sampled_smooth_gap(
    game: AbstractGame,
    profile: Profile,
    *,
    sigma: ArrayLike,
    num_tests: int,
    delta: ArrayLike = 0.05,
    key: PRNGKeyArray,
) -> SampledGap:
    r"""The smooth gap of a profile, estimated by random test actions, with confidence bounds.

    For each player $N$ actions are drawn uniformly and their payoffs $f$ against the others'
    strategies computed; the estimate of the best smooth deviation is the mean $\hat C$ of the top
    $\sigma N$ of them (fractionally). Its cost does not depend on the number of actions.

    *Radius.* The true value is the upper tail mean $C = \min_\ell \{\ell + \frac1\sigma
    \int_\ell^b (1 - F(z))\,dz\}$ with $F$ the distribution of $f \in [a, b]$ over all actions,
    and $\hat C$ is the same with the empirical $\hat F$, so that $|\hat C - C| \le
    \frac{b - a}{\sigma} \sup|\hat F - F|$. By the Dvoretzky-Kiefer-Wolfowitz inequality with
    Massart's constant and a union over $m$ players, with probability $1 - \delta$ for all of them
    $$|\hat C - C| \le \frac{b - a}{\sigma} \sqrt{\frac{\ln(2m/\delta)}{2N}}.$$
    (Hoeffding's inequality at the minimizing $\ell$ bounds $\hat C - C$ only; the other side, that
    of a certificate, needs all $\ell$ at once.)

    *Upper bound.* Number actions by their rank $p \in (0, 1]$ from the top and let $\hat p$ be
    ranks among the tests. If no top fraction $p \le \sigma$ of the actions has less than
    $p - \varepsilon$ of the tests, then $C$ is at most what it would be had a fraction
    $\varepsilon$ of the tests earned $b$: $\frac1\sigma(\varepsilon b + \int_0^{\sigma -
    \varepsilon} \hat f(\hat p)\,d\hat p)$. That holds with probability $1 - \delta/m$ for
    $$\varepsilon = \min\Big\{\sqrt{\frac{\ln(m/\delta)}{2N}},\
    \frac{1}{1 - \sigma}\sqrt{\frac{2\sigma\ln(m/\delta)}{N}}\Big\}:$$
    the first by the one-sided inequality above, the second because $(p - \hat F(p))/(1 - p)$ is a
    martingale in $p$, to which Doob's inequality applies, and at $p = \sigma$ the multiplicative
    Chernoff bound. So small $\sigma$ costs $1/\sqrt{\sigma N}$, not $1/(\sigma\sqrt N)$.

    The draws must be fresh: a key that had no part in finding the profile.

    Args:
        game: the game; its `bounds` are $a$ and $b$. A test that leaves them makes the bounds NaN.
        profile: one strategy per player, `Sparse` or a vector.
        sigma: $\sigma \in (0, 1]$, the smoothness of deviations.
        num_tests: $N$.
        delta: $\delta \in (0, 1/2]$, the probability that the bounds may fail.
        key: of the test actions.

    Raises:
        TypeError: `game` is no `OracleGame`, or `profile` is a `Joint`.
        ValueError: `sigma`, `num_tests` or `delta` is a number out of range.

    References:
        massart1990; daskalakis2024, whose test this is, with other constants.
    """
    if not isinstance(game, OracleGame):
        raise TypeError(
            f"sampled_smooth_gap tests an OracleGame, got a {type(game).__name__}; "
            "smooth_gap is exact there."
        )
    if isinstance(profile, Joint):
        raise TypeError("The smooth gap needs one strategy per player, not a Joint.")
    check_numbers(sigma=sigma, num_tests=num_tests, delta=delta)
    keys = jax.random.split(key, game.num_players)
    received = game.expected_payoffs(profile)
    parts = []
    for i, n in enumerate(game.num_actions):
        tests = uniform_actions(keys[i], n, (num_tests,))
        payoffs = game.payoffs_against(i, tests, profile)
        parts.append(_tail_mean(payoffs, game, sigma, delta))
    estimate, radius, upper = (jnp.stack(part) for part in zip(*parts, strict=True))
    return SampledGap(estimate - received, radius, upper - received)


def check_numbers(**numbers: ArrayLike) -> None:
    """Refuse Python numbers out of range; arrays and tracers pass.

    Raises:
        ValueError: a `sigma` outside (0, 1], a `delta` outside (0, 1/2], or a count below 1.
    """
    for name, value in numbers.items():
        most = {"sigma": 1, "delta": 0.5}.get(name)
        if not isinstance(value, int | float):
            continue
        if most is None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
        if most is not None and not 0 < value <= most:
            raise ValueError(f"{name} must lie in (0, {most}], got {value}.")


def _tail_mean(
    payoffs: Float[Array, " tests"], game: OracleGame, sigma: ArrayLike, delta: ArrayLike
) -> tuple[Scalar, Scalar, Scalar]:
    """The mean of the top fraction sigma, its radius, and its upper confidence bound."""
    (n,), dtype = payoffs.shape, payoffs.dtype
    low, high, sigma, delta = (jnp.asarray(v, dtype) for v in (*game.bounds, sigma, delta))
    low, high = _unless_outside(payoffs, low, high)
    players = game.num_players
    radius = (high - low) / sigma * jnp.sqrt(jnp.log(2 * players / delta) / (2 * n))
    doubt = jnp.log(players / delta) / n
    tail = safe_divide(jnp.sqrt(2 * sigma * doubt), 1 - sigma, jnp.inf)
    missed = jnp.minimum(jnp.minimum(jnp.sqrt(doubt / 2), tail), sigma)
    seen = sigma - missed
    ordered = jnp.sort(payoffs, descending=True)
    rest = _top_mean(ordered, jnp.maximum(seen, sigma / n)) * seen
    return _top_mean(ordered, sigma), radius, (missed * high + rest) / sigma


def _top_mean(ordered: Float[Array, " tests"], fraction: Scalar) -> Scalar:
    """The mean of the top fraction of numbers sorted downwards, fractionally."""
    n = ordered.shape[0]
    cap = 1 / (fraction * n)
    weights = jnp.clip(1 - jnp.arange(n, dtype=ordered.dtype) * cap, jnp.zeros_like(cap), cap)
    return inner(weights, ordered)


def _unless_outside(payoffs: Array, low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    """The bounds, or NaN where a payoff lies beyond them by more than rounding."""
    slack = 8 * jnp.finfo(payoffs.dtype).eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
    fine = jnp.all((payoffs >= low - slack) & (payoffs <= high + slack))
    return jnp.where(fine, low, jnp.nan), jnp.where(fine, high, jnp.nan)

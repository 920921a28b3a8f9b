"""How pulls and observations answer to the rate at which one arm is observed."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._export import AbstractResult
from gamejax._types import Numbers
from gamejax.bandits._environments import AbstractEnvironment, as_arms
from gamejax.bandits._policy import AbstractPolicy
from gamejax.bandits._simulate import simulate
from gamejax.bandits._wrappers import ProbabilisticFeedback

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class MonotonicityReport(AbstractResult):
    r"""Pulls and observations over a grid of rates of one arm.

    Attributes:
        arm: the arm whose rate varies, static.
        rates: its rates, the grid, `(G,)`.
        pulls: the number of pulls of every arm in every replication (their mean is the paper's
            APC), `(G, replications, K)`.
        observed: the number of observed rewards (FOC), same shape.
        regret: at the end, `(G, replications)`.
    """

    arm: int = eqx.field(static=True)
    rates: Float[Array, " grid"]
    pulls: Float[Array, "grid replications arms"]
    observed: Float[Array, "grid replications arms"]
    regret: Float[Array, "grid replications"]

    def slope(self, what: str = "pulls") -> tuple[Float[Array, " arms"], Float[Array, " arms"]]:
        """Least-squares slope of `"pulls"` or `"observed"` in the rate, and its 95% half-width.

        Every replication has a slope of its own; replications use the same random numbers at all
        rates, so most of the noise cancels. Positive, negative or around 0: positive monotone,
        negative monotone or balanced in the sense of the paper.
        """
        values = getattr(self, what)
        centered = self.rates - jnp.mean(self.rates)
        slopes = jnp.tensordot(centered, values, 1) / jnp.sum(centered**2)
        error = jnp.std(slopes, axis=0, ddof=1) / slopes.shape[0] ** 0.5
        return jnp.mean(slopes, axis=0), 1.96 * error

    def plot(self, ax: "Axes | None" = None, *, what: str = "pulls", label: str = "") -> "Axes":
        """Mean `"pulls"` or `"observed"` of the arm whose rate varies, with 95% error bars."""
        from gamejax.plot._base import new_axes, tidy  # matplotlib is an extra

        ax = new_axes(ax, (7.0, 4.6))
        values = np.asarray(getattr(self, what))[:, :, self.arm]
        error = 1.96 * values.std(1, ddof=1) / values.shape[1] ** 0.5
        ax.errorbar(np.asarray(self.rates), values.mean(1), error, marker="o", ms=3, label=label)
        ax.set(xlabel=f"rate of observation of arm {self.arm}", ylabel=what)
        return tidy(ax)


def monotonicity_report(
    environment: AbstractEnvironment,
    policy: AbstractPolicy,
    rates: Numbers,
    *,
    arm: int = 0,
    grid: Numbers | None = None,
    horizon: int,
    key: PRNGKeyArray,
    num_replications: int = 100,
) -> MonotonicityReport:
    r"""Vary the rate at which one arm is observed, everything else equal.

    A policy is positive monotone in pulls if raising $f_a$ raises the number of pulls of arm $a$,
    negative monotone if it lowers it, balanced if nothing changes; likewise in observations. All
    rates of the grid use the same random numbers. One compiled program, mapped over the grid.

    Args:
        environment: what is played, without coins.
        policy: any policy.
        rates: $f \in [0, 1]^K$; that of `arm` is replaced.
        arm: whose rate varies.
        grid: its rates; default 16 from 0.1 to 1.
        horizon: $T$.
        key: the random key.
        num_replications: how many runs for each rate.

    References:
        dai2024.
    """
    base = as_arms(rates, "rates").astype(environment.dtype)
    if base.shape != (environment.num_arms,) or not 0 <= arm < environment.num_arms:
        raise ValueError(
            f"rates must have one entry for each of {environment.num_arms} arms and arm be one of "
            f"them, got shape {base.shape} and arm {arm}."
        )
    values = jnp.linspace(0.1, 1, 16) if grid is None else as_arms(grid, "grid")
    values = values.astype(environment.dtype)

    def run(rate: Array) -> Any:
        coins = ProbabilisticFeedback(environment, base.at[arm].set(rate))
        result = simulate(coins, policy, horizon, key=key, num_replications=num_replications)
        return result.pulls[:, -1], result.observed[:, -1], result.regret[:, -1]

    pulls, observed, regret = jax.vmap(run)(values)
    return MonotonicityReport(
        arm, values, pulls.astype(values.dtype), observed.astype(values.dtype), regret
    )

"""Online multicalibration of probabilities: groups times levels against a no-regret adversary."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gamejax._types import Scalar
from gamejax.calibration._forecaster import (
    AbstractForecaster,
    Groups,
    Law,
    as_groups,
    pick,
    require,
    sign_change,
)
from gamejax.learners._base import check_number


class LevelState(NamedTuple):
    """Sums of `group (outcome - forecast)` per level and group, and rounds so far."""

    sums: Float[Array, "levels groups"]
    step: Int[Array, ""]


class MulticalibratedForecaster(AbstractForecaster):
    r"""Online multicalibration: a Hedge adversary over groups, levels and signs, best-responded.

    Forecasts are the middles $v = (i + 1/2)/n$ of $n$ cells. With the sums $S_{g,v} = \sum_s
    g(x_s) 1[p_s = v](y_s - p_s)$ the adversary holds weights $\propto e^{\pm \eta S_{g,v}}$, so
    that the score of forecasting $v$ is $G(v) \propto \sum_g g(x_t) \sinh(\eta S_{g,v})$, and
    the forecaster plays at a sign change of it (see `learners.SignChange`). Whatever the outcomes
    in $[0, 1]$, also when they react to the law, with probability $1 - \delta$
    $$\max_{g, v} |S_{g,v}| \le \sqrt{2 T \ln(2 |\mathcal G| n)} + \frac{T}{2n}
    + \sqrt{2 T \ln(1/\delta)}$$
    for $\eta = \sqrt{2 \ln(2 |\mathcal G| n)/T}$. The anytime rate, with $t$ for $T$, at most
    doubles the first term, up to a constant. `bound` computes it. A round costs
    $|\mathcal G| \log_2 n$ exponentials.

    Args:
        num_levels: $n$; about $\sqrt T$ balances the bound.
        num_groups: $|\mathcal G|$; the context is the point's groups, numbers in $[0, 1]$.
        learning_rate: $\eta > 0$; `None` for the anytime rate.
        used: $n$ as an array of at most `num_levels`, so that forecasters of several sizes can be
            mapped in one program; default `num_levels`.

    Raises:
        ValueError: a count is no positive integer, or the rate not positive.

    References:
        haghtalab2023 (online multicalibration; the constants are derived here); foster1999.
    """

    num_levels: int = eqx.field(static=True)
    num_groups: int = eqx.field(static=True, default=1)
    learning_rate: float | Scalar | None = None
    used: Int[Array, ""] | None = None

    def __check_init__(self) -> None:
        require(self.num_groups, "num_groups", 1)
        require(self.num_levels, "num_levels", 1)
        if self.learning_rate is not None:
            check_number(self, "learning_rate", 0)

    @property
    def num_points(self) -> int:
        return self.num_levels

    def init(self, *, dtype: Any = None) -> LevelState:
        dtype = jnp.result_type(float) if dtype is None else dtype
        sums = jnp.zeros((self.num_points, self.num_groups), dtype)
        return LevelState(sums, jnp.zeros((), jnp.int32))

    def values(self, state: LevelState) -> Float[Array, " levels"]:
        return self._middle(jnp.arange(self.num_points, dtype=jnp.int32), state.sums.dtype)

    def law(self, state: LevelState, context: Any = None) -> Law:
        groups = as_groups(context, self.num_groups, state.sums.dtype)
        rate = self._rate(state)

        def score_at(level: Array) -> tuple[Array, Array]:
            return weighted_sinh(rate * pick(state.sums, level), groups)

        choice = sign_change(score_at, self._count, self.num_levels)
        return Law(choice, self._middle(choice.actions, state.sums.dtype))

    def scores(self, state: LevelState, context: Any = None) -> Float[Array, " levels"]:
        groups = as_groups(context, self.num_groups, state.sums.dtype)
        found, unit = jax.vmap(weighted_sinh, (0, None))(self._rate(state) * state.sums, groups)
        return found * jnp.exp(unit - unit.max())

    def learn(
        self, state: LevelState, context: Any, level: Int[Array, ""], outcome: Array
    ) -> LevelState:
        sums = state.sums
        groups = as_groups(context, self.num_groups, sums.dtype)
        residual = outcome - self._middle(level, sums.dtype)
        moved = pick(sums, level) + groups * residual
        sums = jax.lax.dynamic_update_index_in_dim(
            sums, moved, level, 0, allow_negative_indices=False
        )
        return LevelState(sums, state.step + 1)

    def bound(self, num_rounds: int, confidence: float = 0.05) -> float:
        r"""What `max |S|` stays below with probability `1 - confidence`."""
        return online_bound(
            num_rounds, 2 * self.num_groups * int(self._count), 1 / int(self._count),
            confidence, anytime=self.learning_rate is None,
        )  # fmt: skip

    @property
    def _count(self) -> Int[Array, ""]:
        return jnp.asarray(self.num_levels if self.used is None else self.used, jnp.int32)

    def _middle(self, level: Array, dtype: Any) -> Array:
        return (level.astype(dtype) + 0.5) / self._count.astype(dtype)

    def _rate(self, state: LevelState) -> Scalar:
        dtype = state.sums.dtype
        if self.learning_rate is not None:
            return jnp.asarray(self.learning_rate).astype(dtype)
        experts = 2 * self.num_groups * self._count.astype(dtype)
        return jnp.sqrt(2 * jnp.log(experts) / (state.step + 1).astype(dtype))


def online_rate(num_rounds: int, num_experts: int) -> float:
    r"""Hedge's rate $\sqrt{2 \ln N / T}$ for gains in $[-1, 1]$."""
    return math.sqrt(2 * math.log(num_experts) / num_rounds)


def online_bound(
    num_rounds: int, num_experts: int, width: float, confidence: float, *, anytime: bool = False
) -> float:
    r"""$\sqrt{2 T \ln N} + T w / 2 + \sqrt{2 T \ln(1/\delta)}$: regret, grid, luck of the draws.

    At a sign change of neighbors a distance $w$ apart the adversary expects at most $w/2$ a round
    (scores are at most 1): $|G_a||G_b|/(|G_a| + |G_b|) \le 1/2$. Draws add a martingale of steps
    within an interval of length 2.
    """
    experts = math.log(num_experts)
    regret = math.sqrt(2 * num_rounds * experts)
    regret = 2 * regret + math.sqrt(experts / 2) if anytime else regret
    luck = math.sqrt(2 * num_rounds * math.log(1 / confidence))
    return regret + num_rounds * width / 2 + luck


def weighted_sinh(sums: Groups, groups: Groups) -> tuple[Scalar, Scalar]:
    r"""$\sum_g w_g \sinh(a_g)$ as a number and the logarithm of its unit, without overflow."""
    unit = jnp.max(jnp.where(groups > 0, jnp.abs(sums), 0))
    # Groups that the point is not in may have far larger sums. Where all sums are tiny the
    # difference loses digits, an error of rounding size in the adversary's gain.
    grown = jnp.exp(jnp.minimum(sums - unit, 0)) - jnp.exp(jnp.minimum(-sums - unit, 0))
    return jnp.sum(groups * grown), unit

"""No-regret weights on experts that can start anew: AdaNormalHedge, Prod, Hedge."""

import abc
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gamejax._types import Scalar, State
from gamejax.calibration._forecaster import require
from gamejax.learners._base import check_number

Experts = Float[Array, "*experts"]


class AbstractWeighting(eqx.Module):
    """How an adversary weights its experts by what they gained so far."""

    @abc.abstractmethod
    def init(self, shape: tuple[int, ...], *, dtype: Any) -> State:
        """The state of experts that have not played; every array begins with `shape`."""

    @abc.abstractmethod
    def log_weights(self, state: State) -> Experts:
        """The logarithms of the weights, up to a constant; minus infinity for weight 0."""

    @abc.abstractmethod
    def update(self, state: State, gains: Experts, mean: Scalar) -> State:
        """The state after a round in which experts gained `gains`, `mean` under the weights."""


class Regrets(NamedTuple):
    r"""Regrets $R$ and sums of their sizes $C$."""

    regret: Experts
    total: Experts


class AdaNormalHedge(AbstractWeighting):
    r"""AdaNormalHedge: no learning rate, regret that follows each expert's own rounds.

    With $r = z - \langle\pi, z\rangle$, $R = \sum r$ and $C = \sum |r|$ of an expert,
    $$w(R, C) = \tfrac12\big(\Phi(R + 1, C + 1) - \Phi(R - 1, C + 1)\big),\qquad
    \Phi(R, C) = e^{\max(R, 0)^2/(3C)},$$
    so that $R \le \sqrt{3 C \ln(B/q)}$ for an expert of prior $q$, with
    $B \le \tfrac52 + \tfrac32\ln(1 + \max C)$ for a total prior of 1.

    References:
        luo2015.
    """

    def init(self, shape: tuple[int, ...], *, dtype: Any) -> Regrets:
        return Regrets(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def log_weights(self, state: Regrets) -> Experts:
        scale = 3 * (state.total + 1)
        up = jnp.maximum(state.regret + 1, 0) ** 2 / scale
        down = jnp.maximum(state.regret - 1, 0) ** 2 / scale
        some = up > 0
        difference = -jnp.expm1(jnp.where(some, down - up, -1))
        return jnp.where(some, up + jnp.log(difference / 2), -jnp.inf)

    def update(self, state: Regrets, gains: Experts, mean: Scalar) -> Regrets:
        step = gains - mean
        return Regrets(state.regret + step, state.total + jnp.abs(step))


class Prod(AbstractWeighting):
    r"""Prod with a grid of rates: second-order guarantees.

    Expert $e$ at rate $\eta \in \{1/2, 1/4, \dots, 2^{-K}\}$ has $W \leftarrow W(1 + \eta z)$ and
    weight $\eta W$. Where the forecaster keeps the expected gain $\langle\pi, z\rangle$ below
    $\varepsilon$, with probability $1 - \delta$ every expert has
    $$\sum z \le \frac{\ln(N K/\delta)}{\eta} + \eta\sum z^2 + \varepsilon T$$
    for every $\eta$ of the grid, so about $2\sqrt{\sum z^2 \ln(N K/\delta)}$. [derived]

    Args:
        num_rates: $K$; $\tfrac12\log_2 T$ reaches $1/\sqrt T$.

    Raises:
        ValueError: `num_rates` is no positive integer.

    References:
        cesabianchi2007.
    """

    num_rates: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        require(self.num_rates, "num_rates", 1)

    def init(self, shape: tuple[int, ...], *, dtype: Any) -> Experts:
        return jnp.zeros((*shape, self.num_rates), dtype)

    def log_weights(self, state: Array) -> Experts:
        rates = self._rates(state)
        return jax.nn.logsumexp(state + jnp.log(rates), axis=-1)

    def update(self, state: Array, gains: Experts, mean: Scalar) -> Array:
        return state + jnp.log1p(self._rates(state) * gains[..., None])

    def _rates(self, state: Array) -> Array:
        rates = 0.5 ** jnp.arange(1, self.num_rates + 1, dtype=state.dtype)
        return rates.reshape((1,) * (state.ndim - 1) + (-1,))


class Gains(NamedTuple):
    """Sums of gains, and rounds so far."""

    total: Experts
    step: Int[Array, ""]


class HedgeWeighting(AbstractWeighting):
    r"""Hedge: weights $e^{\eta \sum z}$.

    Regret $\ln N/\eta + \eta T/2$ for gains in $[-1, 1]$.

    Args:
        learning_rate: $\eta > 0$; `None` for the anytime rate $\sqrt{2 \ln N/t}$.

    References:
        freund1997.
    """

    learning_rate: float | Scalar | None = None

    def __check_init__(self) -> None:
        if self.learning_rate is not None:
            check_number(self, "learning_rate", 0)

    def init(self, shape: tuple[int, ...], *, dtype: Any) -> Gains:
        return Gains(jnp.zeros(shape, dtype), jnp.zeros(shape, jnp.int32))

    def log_weights(self, state: Gains) -> Experts:
        dtype = state.total.dtype
        if self.learning_rate is not None:
            return jnp.asarray(self.learning_rate).astype(dtype) * state.total
        rounds = (state.step + 1).astype(dtype)
        return math.sqrt(2 * math.log(max(state.total.size, 2))) / jnp.sqrt(rounds) * state.total

    def update(self, state: Gains, gains: Experts, mean: Scalar) -> Gains:
        return Gains(state.total + gains, state.step + 1)

"""Learners that move point by point, and only where an objective is active."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import safe_log
from gamejax._types import Scalar
from gamejax.feedback import Feedback
from gamejax.learners import AbstractLearner
from gamejax.sets import AbstractStrategySet


class PointState(NamedTuple):
    """What point learners carry: log-weights up to a constant, last active utility, rounds."""

    dual: Float[Array, "points classes"]
    last: Float[Array, "points classes"]
    step: Int[Array, ""]


class AbstractPointLearner(AbstractLearner):
    r"""Learners whose rate $\eta_t = \eta\gamma^t$ is the same at all points.

    Attributes:
        learning_rate: $\eta > 0$.
        decay: $\gamma \in (0, 1]$.
    """

    learning_rate: eqx.AbstractVar[float | Scalar]
    decay: eqx.AbstractVar[float | Scalar]

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, PointState]:
        return self.start(strategies, strategies.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Array, *, dtype: Any
    ) -> tuple[Array, PointState]:
        zero = jnp.zeros((), jnp.int32)
        return strategy, PointState(safe_log(strategy), jnp.zeros_like(strategy), zero)

    def rate(self, state: PointState) -> Array:
        r"""$\eta_t$."""
        dtype = state.dual.dtype
        decay, rate = jnp.asarray(self.decay, dtype), jnp.asarray(self.learning_rate, dtype)
        return rate * decay ** (state.step + 1).astype(dtype)


class PointHedge(AbstractPointLearner):
    r"""Hedge at every point that an objective concerns; with `optimism=1.0` optimistic Hedge.

    $h^{t+1}(x)_j \propto h^t(x)_j \exp(\eta_t (u^t_j + \omega(u^t_j - u^{t'}_j)))$ where
    $u^t(x) \ne 0$, else $h^{t+1}(x) = h^t(x)$. $t'$ is the last round in which the point was active
    and $\eta_t = \eta\gamma^t$. Against a best-responding auditor, with $\gamma = 1$, $\omega = 0$
    and $\eta = \sqrt{32 \ln k/T}$, some $h^t$ with $t \le T$ has a multicalibration error of at
    most $\sqrt{\ln k/(2T)}$, whatever the number of groups and levels.

    Args:
        learning_rate: $\eta > 0$.
        decay: $\gamma \in (0, 1]$.
        optimism: $\omega \ge 0$.

    References:
        haghtalab2023; freund1997; rakhlin2013.
    """

    learning_rate: float | Scalar
    decay: float | Scalar = 1.0
    optimism: float | Scalar = 0.0

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: PointState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, PointState]:
        utility = feedback.utility
        active = _active(utility)
        optimism = jnp.asarray(self.optimism, utility.dtype)
        move = self.rate(state) * (utility + optimism * (utility - state.last))
        dual = strategies.recenter(jnp.where(active, state.dual + move, state.dual))
        last = jnp.where(active, utility, state.last)
        moved = jax.nn.softmax(dual, axis=-1)
        return moved, PointState(dual, last, state.step + 1)


class PointGradient(AbstractPointLearner):
    r"""Projected gradient ascent at every point that an objective concerns.

    $h^{t+1}(x) = \Pi_\Delta(h^t(x) + \eta_t u^t(x))$, $\eta_t = \eta\gamma^t$. Regret and so the
    least multicalibration error of $T$ rounds are $O(1/\sqrt{T})$, as for Hedge.

    Args:
        learning_rate: $\eta > 0$.
        decay: $\gamma \in (0, 1]$.

    References:
        haghtalab2023; zinkevich2003.
    """

    learning_rate: float | Scalar
    decay: float | Scalar = 1.0

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: PointState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, PointState]:
        utility = feedback.utility
        point = strategy + self.rate(state) * utility
        moved = jnp.where(_active(utility), strategies.project(point), strategy)
        return moved, state._replace(step=state.step + 1)


class PointProd(AbstractPointLearner):
    r"""Prod at every point: $h^{t+1}(x)_j \propto h^t(x)_j \max(1 + \eta_t u^t(x)_j, 10^{-8})$.

    To first order Hedge; its regret against a class is of second order, the sum of squares of
    *its* losses. $\eta_t = \eta\gamma^t$.

    Args:
        learning_rate: $\eta > 0$; half and below for the bound.
        decay: $\gamma \in (0, 1]$.

    References:
        cesabianchi2007; haghtalab2023.
    """

    learning_rate: float | Scalar
    decay: float | Scalar = 1.0

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: PointState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, PointState]:
        factor = jnp.maximum(1 + self.rate(state) * feedback.utility, 1e-8)
        dual = strategies.recenter(state.dual + jnp.log(factor))
        moved = jax.nn.softmax(dual, axis=-1)
        return moved, state._replace(dual=dual, step=state.step + 1)


class GridState(NamedTuple):
    """What `GridProd` carries: log-weights for every action and rate."""

    dual: Float[Array, "actions rates"]


class GridProd(AbstractLearner):
    r"""Prod with a grid of rates for every action: regret of second order in each action's gains.

    $W_{e,i} \leftarrow W_{e,i}(1 + \eta_i u_e)$, $x_e \propto \sum_i \eta_i W_{e,i}$, for gains
    $|u_e| \le 1$ and rates $\eta_i = 2^{-i}$, $i = 1, \dots, r$. If no round gives the mixture
    a positive gain, then for every action $\sum_t u_e^t \le O(\sqrt{n_e \ln(r N)} + \ln(r N))$
    with $n_e = \sum_t (u_e^t)^2$. As auditor it so bounds the bias of each group by about the
    square root of the group's size.

    Args:
        num_rates: $r$; $2^{-r}$ should be about $1/\sqrt{T}$.

    References:
        gaillard2014; haghtalab2023.
    """

    num_rates: int = eqx.field(static=True, default=8)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, GridState]:
        center = strategies.center(dtype)
        return center, GridState(
            jnp.zeros((*center.shape, self.num_rates), dtype) * center[:, None]
        )

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: GridState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, GridState]:
        rates = 0.5 ** jnp.arange(1, self.num_rates + 1, dtype=strategy.dtype)
        dual = state.dual + jnp.log1p(
            jnp.maximum(rates[None, :] * feedback.utility[:, None], -0.999)
        )
        weights = jax.nn.logsumexp(dual + jnp.log(rates)[None, :], axis=-1)
        return jax.nn.softmax(weights), GridState(dual)


def _active(utility: Array) -> Array:
    return jnp.any(utility != 0, axis=-1, keepdims=True)

"""Successive elimination: pull the arms that may still be best in turn."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._types import Scalar
from gamejax.bandits._policy import Policy
from gamejax.feedback import Feedback
from gamejax.learners import AbstractLearner
from gamejax.learners._base import check_number, require_simplex
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet


class EliminationState(NamedTuple):
    """Pulls made, rewards seen and their sum, and which arms may still be best."""

    pulls: Int[Array, " arms"]
    counts: Int[Array, " arms"]
    sums: Float[Array, " arms"]
    active: Bool[Array, " arms"]


class SuccessiveElimination(AbstractLearner):
    """Active-arm elimination; see `successive_elimination`."""

    delta: float | Scalar = 0.01
    log_term: float | Scalar | None = None

    def __check_init__(self) -> None:
        check_number(self, "delta", 0, 1)
        check_number(self, "log_term", 0)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Array, EliminationState]:
        center = require_simplex(self, strategies).center(dtype)
        none = jnp.zeros_like(center, dtype=jnp.int32)
        state = EliminationState(none, none, jnp.zeros_like(center), center > 0)
        return _next(state, dtype), state

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: EliminationState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, EliminationState]:
        counts = state.counts + jnp.asarray(feedback.observed, jnp.int32)
        sums = state.sums + jnp.where(feedback.observed.astype(bool), feedback.utility, 0)
        n = jnp.maximum(counts, 1).astype(sums.dtype)
        means, radii = sums / n, self._radius(n)
        radii = jnp.where(counts > 0, radii, jnp.inf)
        low = jnp.where(state.active, means - radii, -jnp.inf)
        active = state.active & (means + radii >= jnp.max(low))
        pulls = state.pulls + (strategy > 0).astype(jnp.int32)
        state = EliminationState(pulls, counts, sums, active)
        return _next(state, sums.dtype), state

    def _radius(self, counts: Array) -> Array:
        if self.log_term is not None:
            return jnp.sqrt(number(self.log_term, counts) / (2 * counts))
        share = 4 * counts.shape[-1] * counts**2 / number(self.delta, counts)
        return jnp.sqrt(jnp.log(share) / (2 * counts))


def _next(state: EliminationState, dtype: Any) -> Array:
    """The vertex of the active arm pulled least, the first among equals."""
    waiting = jnp.where(state.active, state.pulls, jnp.iinfo(jnp.int32).max)
    chosen = jnp.argmin(waiting)
    return (jnp.arange(len(waiting)) == chosen).astype(dtype)


def successive_elimination(delta: Any = 0.01, *, log_term: Any = None) -> Policy:
    r"""Active-arm elimination (AAE): pull the arms in turn, drop those that cannot be best.

    Arm $a$ is dropped when $\max_b (m_b - r_b) > m_a + r_a$. With
    $r = \sqrt{\ln(4 K N^2/\delta)/(2N)}$ the best arm survives with probability $1 - \delta$ and
    each other arm is pulled $O(\ln(K/(\delta D_a))/D_a^2)$ times (rewards in $[0, 1]$).
    Where rewards may go unseen, radii use the number seen, turns the number pulled.

    Args:
        delta: $\delta \in (0, 1]$, the risk of losing the best arm.
        log_term: $L$ for the radii $\sqrt{L/(2N)}$ instead; $4 \ln T$ makes them
            $\sqrt{2 \ln T/N}$.

    References:
        evendar2006.
    """
    return Policy(SuccessiveElimination(delta, log_term))

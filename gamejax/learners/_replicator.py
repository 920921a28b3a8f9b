"""Replicator dynamics in discrete time, plain, with temperature, and projected."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import safe_log
from gamejax._types import Scalar, State
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number, require_simplex
from gamejax.learners._blocks import hide, num_actions, regret
from gamejax.learners._dual import combine, number
from gamejax.regularizers import Entropy
from gamejax.sets import AbstractStrategySet


class Replicator(AbstractLearner):
    r"""Replicator dynamics $\dot x_a = x_a\,(u_a - \langle x, u\rangle)$, and Boltzmann Q-learning.

    With a temperature $\tau$: $\dot x_a = x_a\,[(u_a - \langle x, u\rangle) - \tau(\ln x_a -
    \langle x, \ln x\rangle)]$, the smoothed dynamics of Q-learning agents, which rest at the logit
    equilibria of precision $1/\tau$. Euler steps in the logits $\ell = \ln x$,
    $\ell \leftarrow (1 - \tau\,dt)\,\ell + u\,dt$, so that strategies never leave the interior; for
    $\tau = 0$ they equal `Hedge(learning_rate=dt)`. In continuous time and $\tau = 0$ the sum over
    players of $\mathrm{KL}(x^* \| x)$ stays constant in a zero-sum game with interior equilibrium
    $x^*$; a step raises it, by at most $R^2 dt^2/8$ per player. Plays on a `Simplex`.

    Args:
        step_size: $dt > 0$.
        temperature: $\tau \ge 0$, in units of utility; $\tau\,dt < 2$ for stability.

    References:
        taylor1978; tuyls2003; hofbauer1998.
    """

    step_size: float | Scalar = 0.01
    temperature: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "step_size", 0)
        check_number(self, "temperature", 0, strict=False)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, Array]:
        return self.start(strategies, strategies.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Array, *, dtype: Any
    ) -> tuple[Array, Float[Array, "*blocks actions"]]:
        simplex = require_simplex(self, strategies)
        return strategy, simplex.recenter(safe_log(strategy))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: Float[Array, "*blocks actions"],
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, Float[Array, "*blocks actions"]]:
        simplex = require_simplex(self, strategies)
        step = number(self.step_size, state)
        keep = 1 - step * number(self.temperature, state)
        logits = simplex.recenter(combine((keep, state), (step, feedback.utility)))
        return simplex.mirror(logits, Entropy()), logits


class ProjectedReplicator(AbstractLearner):
    r"""Projected replicator dynamics: no action's probability falls below a floor.

    $x \leftarrow \Pi_\gamma(x + dt\; x \circ (u - \langle x, u\rangle))$ with $\Pi_\gamma$ the
    Euclidean projection on $\{x \in \Delta : x_a \ge \gamma\}$, so that actions that died out can
    come back. Plays on a `Simplex`.

    Args:
        step_size: $dt > 0$.
        floor: $\gamma \ge 0$, at most $1/n$.

    References:
        lanctot2017.
    """

    step_size: float | Scalar = 1e-3
    floor: float | Scalar = 1e-6

    def __check_init__(self) -> None:
        check_number(self, "step_size", 0)
        check_number(self, "floor", 0, 1, strict=False)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, State]:
        actions = require_simplex(self, strategies).shape[-1]
        if isinstance(self.floor, int | float) and self.floor * actions > 1:
            raise ValueError(
                f"ProjectedReplicator: floor must be <= 1/{actions} on {actions} actions, "
                f"got {self.floor}."
            )
        return strategies.center(dtype), ()

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: State,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, State]:
        simplex = require_simplex(self, strategies)
        gain = strategy * regret(simplex, feedback.utility, strategy)
        moved = strategy + number(self.step_size, gain) * gain
        # The simplex with a floor is the simplex shrunk to size 1 - n floor, moved by the floor.
        floor = number(self.floor, gain)
        size = 1 - floor * num_actions(simplex, gain.dtype)
        inner = simplex.project((moved - floor) / jnp.where(size > 0, size, 1))
        return hide(simplex, floor + jnp.maximum(size, 0) * inner), state

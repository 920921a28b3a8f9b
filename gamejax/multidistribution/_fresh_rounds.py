"""Every step a sampling round: the batch algorithm, and boosting over distributions."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._numerics import fold
from gamejax._types import Scalar
from gamejax.games import AbstractGame
from gamejax.multidistribution import _totals
from gamejax.multidistribution._mixture_solver import AbstractMixtureSolver
from gamejax.multidistribution._mixture_state import (
    MixtureState,
    finite,
    mixture,
)


class FreshRounds(AbstractMixtureSolver):
    r"""Hedge over distributions against empirical risk minimization, on fresh samples each step.

    Step $t$: $h_t$ has the least total loss on $m$ fresh samples of the mixture $w_t$; each
    distribution's loss $e_j$ of $h_t$ is estimated from $n$ fresh samples;
    $w_{t+1} \propto w_t \exp(\eta u)$. With `threshold=None`, $u = e$: the simple batch algorithm,
    $T = O(\ln k/\varepsilon^2)$ rounds and $O(d/\varepsilon^4 + k \ln k/\varepsilon^2)$ samples,
    whose answer is the mixture. With a threshold, $u_j = 1$ where $e_j$ exceeds it, else $-1$:
    boosting over distributions, whose answer is the majority vote of few hypotheses (see
    `boosting_plan` for the numbers).

    Args:
        learning_rate: $\eta$; in boosting $\alpha = \frac12 \ln\frac{1-p}{p}$.
        num_train: $m$.
        num_test: $n$.
        threshold: $\tau/2$ in boosting; `None` without.
        exact: expectations in place of samples, which are counted all the same.

    References:
        awasthi2023 (the batch algorithm); haghtalab2025 (boosting).
    """

    learning_rate: float | Scalar
    num_train: int | Scalar
    num_test: int | Scalar
    threshold: float | Scalar | None = None
    exact: bool = eqx.field(static=True, default=False)

    @property
    def keeps(self) -> bool:
        return False

    def step(self, game: Any, state: MixtureState, *, key: PRNGKeyArray | None) -> MixtureState:
        problem, weights, pools = finite(game), state.weights, state.pools
        train = _whole(self.num_train)
        tests = jnp.where(problem.exists(), _whole(self.num_test), 0)
        if self.exact:
            risks = problem.expected_gradient(mixture(state)[0], weights)
            drawn = jnp.round(train.astype(game.dtype) * weights).astype(jnp.int32)
        else:
            found = _totals.of_mixture(problem, weights, train, pools, key=fold(key, 0))
            risks, drawn, pools = found.losses, found.counts, found.pools
        latest = jnp.argmin(risks).astype(jnp.int32)
        means, tests, pools = self.test(problem, latest, tests, pools, key=fold(key, 1))
        utility, bad = means, state.bad
        if self.threshold is not None:
            above = means > jnp.asarray(self.threshold, game.dtype)
            utility = jnp.where(above, 1, -1).astype(game.dtype)
            bad = bad + above.astype(jnp.int32)
        caps = state.caps._replace(
            peak=jnp.maximum(state.caps.peak, weights), num_rounds=state.caps.num_rounds + 1
        )
        return dataclasses.replace(
            self.moved(game, state, latest, utility),
            caps=caps,
            bad=bad,
            samples=state.samples + drawn + tests,
            pools=pools,
        )

    def stats(self, game: AbstractGame, state: MixtureState) -> dict[str, Any]:
        """Sampling rounds, samples, and how often each distribution was above the threshold."""
        return {"num_rounds": state.caps.num_rounds, "samples": state.samples, "bad": state.bad}


def _whole(count: Any) -> Int[Array, ""]:
    """The count as an integer, rounded up."""
    return jnp.ceil(jnp.asarray(count, jnp.result_type(float))).astype(jnp.int32)

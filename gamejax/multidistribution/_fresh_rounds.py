"""Every step a sampling round: the batch algorithm, and boosting over distributions."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._numerics import fold, safe_divide
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame
from gamejax.learners import Hedge
from gamejax.multidistribution import _totals
from gamejax.multidistribution._mixture_state import (
    MixtureState,
    add_vote,
    begin_mixture,
    finite,
    hedge_step,
    mixture,
    one_hot,
)
from gamejax.solvers import AbstractSolver


class FreshRounds(AbstractSolver):
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
    def hedge(self) -> Hedge:
        """The adversary's learner."""
        return Hedge(self.learning_rate)

    def check(self, game: AbstractGame) -> None:
        finite(game)  # pyright: ignore[reportArgumentType]

    def init(
        self,
        game: Any,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> MixtureState:
        state = begin_mixture(game, self.hedge, key=key, keeps=False)
        if start is None:
            return state
        weights, learner = self.hedge.start(game.strategy_sets[1], start[1], dtype=dtype)
        return eqx.tree_at(lambda s: (s.weights, s.learner), state, (weights, learner))

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
        if self.exact:
            means = problem.expected_losses(one_hot(latest, problem))
        else:
            found = _totals.of_one(problem, latest, tests, pools, key=fold(key, 1))
            tests, pools = found.counts, found.pools
            means = safe_divide(found.losses, tests.astype(game.dtype))
        utility, bad = means, state.bad
        if self.threshold is not None:
            above = means > jnp.asarray(self.threshold, game.dtype)
            utility = jnp.where(above, 1, -1).astype(game.dtype)
            bad = bad + above.astype(jnp.int32)
        moved, learner = hedge_step(game, self.hedge, state, utility)
        caps = state.caps._replace(
            peak=jnp.maximum(state.caps.peak, weights), num_rounds=state.caps.num_rounds + 1
        )
        return MixtureState(
            step=state.step + 1,
            weights=moved,
            learner=learner,
            caps=caps,
            data=state.data,
            latest=latest,
            votes=add_vote(state.votes, latest),
            average=state.average.add(weights),
            width=state.width,
            bad=bad,
            samples=state.samples + drawn + tests,
            pools=pools,
        )

    def profile(self, state: MixtureState) -> Profile:
        return mixture(state)

    def stats(self, game: AbstractGame, state: MixtureState) -> dict[str, Any]:
        """Sampling rounds, samples, and how often each distribution was above the threshold."""
        return {"num_rounds": state.caps.num_rounds, "samples": state.samples, "bad": state.bad}


def _whole(count: Any) -> Int[Array, ""]:
    """The count as an integer, rounded up."""
    return jnp.ceil(jnp.asarray(count, jnp.result_type(float))).astype(jnp.int32)

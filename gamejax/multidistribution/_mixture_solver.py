"""Hedge over distributions against empirical risk minimization: what its two solvers share."""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum, safe_divide
from gamejax._types import Profile, Scalar, State, Strategy
from gamejax.feedback import Feedback
from gamejax.games import AbstractGame
from gamejax.learners import Hedge
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._mixture_state import Data, MixtureState, finite, mixture
from gamejax.multidistribution._observable import no_caps
from gamejax.multidistribution._problem import AbstractFiniteProblem
from gamejax.multidistribution._totals import of_one
from gamejax.solvers import AbstractSolver


class AbstractMixtureSolver(AbstractSolver):
    r"""Hedge over distributions against a hypothesis that is chosen anew each step.

    Attributes:
        learning_rate: $\eta$, in 1/loss.
        exact: expectations in place of samples, which are counted all the same.
    """

    learning_rate: eqx.AbstractVar[float | Scalar]
    exact: eqx.AbstractVar[bool]

    @property
    @abc.abstractmethod
    def keeps(self) -> bool:
        """Whether data is kept for later steps."""

    @property
    def hedge(self) -> Hedge:
        """The adversary's learner."""
        return Hedge(self.learning_rate)

    def check(self, game: AbstractGame) -> None:
        finite(game)

    def init(
        self,
        game: Any,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> MixtureState:
        problem, simplex = finite(game), game.strategy_sets[1]
        if start is None:
            weights, learner = self.hedge.init(simplex, dtype=game.dtype)
        else:
            weights, learner = self.hedge.start(simplex, start[1], dtype=dtype)
        none = jnp.zeros(problem.num_distributions, jnp.int32)
        kept = (problem.num_distributions, problem.num_hypotheses) if self.keeps else (0, 0)
        return MixtureState(
            step=jnp.zeros((), jnp.int32),
            weights=weights,
            learner=learner,
            caps=no_caps(weights),
            data=Data(jnp.zeros(kept, game.dtype), none),
            latest=jnp.zeros((), jnp.int32),
            votes=jnp.zeros(problem.num_hypotheses, jnp.int32),
            average=Sum.zeros_like(weights),
            width=Sum.zeros_like(weights[0]),
            bad=none,
            samples=none,
            pools=problem.init(key=key, dtype=game.dtype),
        )

    def test(
        self,
        problem: AbstractFiniteProblem,
        latest: Int[Array, ""],
        counts: Int[Array, " k"],
        pools: State,
        *,
        key: PRNGKeyArray | None,
        few: bool = False,
    ) -> tuple[Float[Array, " k"], Int[Array, " k"], State]:
        """A hypothesis' mean losses on so many fresh samples; how many there were; the pools."""
        if self.exact:
            alone = jax.nn.one_hot(latest, problem.num_hypotheses, dtype=problem.dtype)
            return problem.expected_losses(alone), counts, pools
        found = of_one(problem, latest, counts, pools, key=key, few=few)
        return safe_divide(found.losses, found.counts.astype(problem.dtype)), *found[1:]

    def moved(
        self,
        game: MultiDistributionGame,
        state: MixtureState,
        latest: Int[Array, ""],
        utility: Float[Array, " k"],
    ) -> MixtureState:
        """The state after Hedge's step, with a vote for the latest hypothesis."""
        seen = Feedback(utility, state.weights, jnp.ones_like(utility, bool))
        weights, learner = self.hedge.update(
            game.strategy_sets[1], seen, state.learner, state.weights
        )
        chosen = jnp.arange(state.votes.shape[0], dtype=jnp.int32) == latest
        return dataclasses.replace(
            state,
            step=state.step + 1,
            weights=weights,
            learner=learner,
            latest=latest,
            votes=state.votes + chosen.astype(jnp.int32),
            average=state.average.add(state.weights),
        )

    def profile(self, state: MixtureState) -> Profile:
        return mixture(state)

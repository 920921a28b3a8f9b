"""The game between a learner and an adversary who points at distributions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._types import Scalar, State, Strategy, Utility
from gamejax.games import AbstractGame, Labels
from gamejax.multidistribution._plans import AbstractPlan, Expectation
from gamejax.multidistribution._problem import AbstractProblem
from gamejax.sets import AbstractStrategySet, Simplex


class Sampling(NamedTuple):
    """The state of a `MultiDistributionGame`.

    Attributes:
        counts: how many examples were drawn of each distribution so far.
        pools: the problem's state.
        plan: the sampling plan's state.
    """

    counts: Int[Array, " distributions"]
    pools: State
    plan: State


class MultiDistributionGame(AbstractGame):
    r"""A learner against an adversary who chooses the distribution to be judged on.

    Player 0 chooses a predictor $p$, player 1 a mixture $q$ of the distributions $D_1, ..., D_n$;
    player 1 gains $\sum_j q_j L_j(p)$ with $L_j(p) = \mathbb E_{z \sim D_j} \ell(p, z)$, and player
    0 loses it. An $\varepsilon$-equilibrium is a predictor whose worst loss
    $\max_j L_j(p)$ is within $2\varepsilon$ of the best.

    `utilities` are expectations; `sample` is a round of play that draws examples only where the
    plan looks, and counts them in its state. Two no-regret learners are a sampling algorithm
    (`solve_on_demand` ships those of the literature): for instance lazy-block Hedge is

        game = MultiDistributionGame(problem, InTurn())
        solver = SelfPlay((Hedge(eta_p), Every(Hedge(eta_q), n)))

    Agnostic federated learning is the same game, with clients as distributions.

    Args:
        problem: the distributions and the losses.
        plan: what is drawn in a round; default nothing, `Expectation()`.
        labels: names of the players and of the distributions.

    References:
        haghtalab2022 (Section 3); mohri2019, for clients.
    """

    problem: AbstractProblem
    plan: AbstractPlan

    def __init__(
        self,
        problem: AbstractProblem,
        plan: AbstractPlan | None = None,
        *,
        labels: Labels | None = None,
    ):
        if not isinstance(problem, AbstractProblem):
            raise TypeError(
                f"problem must be one such as BernoulliLosses, got {type(problem).__name__}."
            )
        self.problem = problem
        self.plan = Expectation() if plan is None else plan
        self.labels = labels

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, AbstractStrategySet]:
        return self.problem.predictors, Simplex(self.problem.num_distributions, self.problem.mask)

    @property
    def dtype(self) -> Any:
        return self.problem.dtype

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        predictor, weights = profile
        if player == 1:
            return self.problem.expected_losses(predictor)
        return _negative(self.problem.expected_gradient(predictor, weights))

    def expected_payoffs(self, profile: tuple[Strategy, ...] | Joint) -> Float[Array, " players"]:
        if isinstance(profile, Joint):
            return super().expected_payoffs(profile)
        predictor, weights = profile
        value = jnp.vdot(weights, self.problem.expected_losses(predictor))
        return jnp.stack([-value, value])

    def utility_range(self, player: int) -> Scalar | None:
        return jnp.asarray(self.problem.loss_bound, self.dtype)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> Sampling:
        return Sampling(
            jnp.zeros(self.problem.num_distributions, jnp.int32),
            self.problem.init(key=key, dtype=dtype),
            self.plan.init(self.problem, key=key, dtype=dtype),
        )

    def sample(
        self,
        profile: tuple[Strategy, ...],
        state: Sampling,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[tuple[Utility, ...], Sampling]:
        predictor, weights = profile
        found = self.plan.round(
            self.problem, (predictor, weights), state.pools, state.plan, key=key, step=step
        )
        state = Sampling(state.counts + found.counts, found.pools, found.plan)
        return (_negative(found.gradient), found.gains), state


def _negative(tree: Utility) -> Utility:
    return jax.tree.map(jnp.negative, tree)

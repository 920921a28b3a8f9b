"""Boosting over distributions with models that are fitted, in place of a finite class."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum, hash_key, safe_divide, uniform
from gamejax._types import Profile, PyTree, Scalar, State, Strategy, Utility
from gamejax.feedback import Feedback
from gamejax.learners import Hedge
from gamejax.multidistribution._data import Parametric
from gamejax.multidistribution._problem import AbstractProblem, Draw, Losses
from gamejax.sets import AbstractStrategySet
from gamejax.solvers import AbstractSolver

Fit = Callable[[PyTree[Array], tuple[Array, ...], PRNGKeyArray], PyTree[Array]]
"""A learner: parameters to start from, examples, a key; gives parameters."""


class Committee(AbstractProblem):
    """The problem of a committee of models: predictors are trees with a leading axis of voters.

    The loss of a committee is its voters' mean; of its majority vote, a mistake where at least half
    of the voters make one.
    """

    problem: Parametric
    num_voters: int = eqx.field(static=True)

    def __init__(self, problem: Parametric, num_voters: int):
        self.problem, self.num_voters = problem, num_voters

    @property
    def mask(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.mask

    @property
    def loss_bound(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.loss_bound

    @property
    def num_distributions(self) -> int:
        return self.problem.num_distributions

    @property
    def dtype(self) -> Any:
        return self.problem.dtype

    @property
    def predictors(self) -> AbstractStrategySet:
        return self.problem.predictors

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        return self.problem.init(key=key, dtype=dtype)

    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        return self.problem.draw(distributions, state, key=key)

    def exhausted(self, state: State) -> Bool[Array, " distributions"]:
        return self.problem.exhausted(state)

    def loss(self, predictor: Strategy, examples: PyTree[Array]) -> Float[Array, " draws"]:
        losses = jax.vmap(lambda voter: self.problem.loss(voter, examples))(predictor)
        return jnp.minimum(losses, self.problem.loss_bound).mean(0)

    def deterministic_loss(
        self, predictor: Strategy, examples: PyTree[Array]
    ) -> Float[Array, " draws"]:
        mistakes = jax.vmap(lambda voter: self.problem.loss(voter, examples) >= 0.5)(predictor)
        return (2 * mistakes.sum(0, dtype=jnp.int32) >= self.num_voters).astype(self.dtype)

    def gradient(
        self, predictor: Strategy, examples: PyTree[Array], weights: Float[Array, " draws"]
    ) -> Utility:
        return jax.grad(lambda p: jnp.vdot(weights, self.loss(p, examples)))(predictor)

    def expected_losses(self, predictor: Strategy) -> Losses:
        return self.problem.data.means(self.loss(predictor, self.problem.data.rows))

    def expected_gradient(self, predictor: Strategy, weights: Losses) -> Utility:
        return jax.grad(lambda p: jnp.vdot(weights, self.expected_losses(p)))(predictor)


class BoostedState(eqx.Module):
    r"""What `BoostedModels` carries.

    Attributes:
        step: rounds so far.
        voters: the models' parameters, with a leading axis of rounds.
        weights, learner: $q_t$, and its Hedge's state.
        average: the sum of $q_1, \ldots, q_t$.
        bad: how often each distribution's error was above the threshold.
        samples: how many samples were drawn of each distribution.
        pools: the problem's state.
    """

    step: Int[Array, ""]
    voters: PyTree[Array]
    weights: Losses
    learner: State
    average: Sum
    bad: Int[Array, " distributions"]
    samples: Int[Array, " distributions"]
    pools: State


class BoostedModels(AbstractSolver):
    r"""Boosting over distributions (`FreshRounds` with a threshold) of fitted models.

    Args:
        fit: `(parameters, examples, key) -> parameters`, fits a model to $m$ examples of the
            mixture $q_t$; `examples` is a tuple of arrays as in the problem's `rows`. Static.
        num_rounds: $r$, static.
        num_train: $m$, static.
        num_test: $n$, static.
        learning_rate: $\alpha$.
        threshold: $\tau/2$.

    References:
        haghtalab2025.
    """

    fit: Fit = eqx.field(static=True)
    num_rounds: int = eqx.field(static=True)
    num_train: int = eqx.field(static=True)
    num_test: int = eqx.field(static=True)
    learning_rate: float | Scalar
    threshold: float | Scalar

    def init(
        self, game: Any, *, key: PRNGKeyArray | None, dtype: Any, start: Any = None
    ) -> BoostedState:
        problem: Parametric = game.problem
        weights, learner = Hedge(self.learning_rate).init(game.strategy_sets[1], dtype=dtype)
        none = jnp.zeros(problem.num_distributions, jnp.int32)

        def repeat(leaf: Array) -> Array:
            return jnp.broadcast_to(leaf[None], (self.num_rounds, *leaf.shape))

        return BoostedState(
            step=jnp.zeros((), jnp.int32),
            voters=jax.tree.map(repeat, problem.parameters),
            weights=weights,
            learner=learner,
            average=Sum.zeros_like(weights),
            bad=none,
            samples=none,
            pools=problem.init(key=key, dtype=dtype),
        )

    def step(self, game: Any, state: BoostedState, *, key: PRNGKeyArray | None) -> BoostedState:
        if key is None:
            raise ValueError("BoostedModels draws at random: pass key=jax.random.key(seed).")
        problem: Parametric = game.problem
        count, weights, dtype = problem.num_distributions, state.weights, problem.dtype
        streams = [hash_key(key, jnp.uint32(i)) for i in range(1, 5)]
        ends = jnp.cumsum(weights)
        levels = uniform(streams[0], dtype, (self.num_train,)) * ends[-1]
        looked = jnp.searchsorted(ends, levels, side="right").astype(jnp.int32)
        looked = jnp.minimum(looked, count - 1)
        drawn, pools = problem.draw(looked, state.pools, key=streams[1])
        voter = self.fit(problem.parameters, drawn.examples, streams[2])
        every = jnp.tile(jnp.arange(count, dtype=jnp.int32), self.num_test)
        tests, pools = problem.draw(every, pools, key=streams[3])
        able = (tests.available & problem.exists()[every]).reshape(-1, count)
        losses = jnp.minimum(problem.loss(voter, tests.examples), problem.loss_bound)
        seen = able.sum(0, dtype=jnp.int32)
        total = jnp.where(able, losses.reshape(-1, count), 0).sum(0)
        above = safe_divide(total, seen.astype(dtype)) > jnp.asarray(self.threshold, dtype)
        utility = jnp.where(above, 1, -1).astype(dtype)
        moved, learner = Hedge(self.learning_rate).update(
            game.strategy_sets[1],
            Feedback(utility, weights, jnp.ones_like(above)),
            state.learner,
            weights,
        )
        taken = jnp.zeros(count, jnp.int32).at[looked].add(drawn.available.astype(jnp.int32))
        return BoostedState(
            step=state.step + 1,
            voters=jax.tree.map(
                lambda all_, new: all_.at[state.step].set(new), state.voters, voter
            ),
            weights=moved,
            learner=learner,
            average=state.average.add(weights),
            bad=state.bad + above.astype(jnp.int32),
            samples=state.samples + taken + seen,
            pools=pools,
        )

    def profile(self, state: BoostedState) -> Profile:
        steps = jnp.maximum(state.step, 1).astype(state.weights.dtype)
        average = jnp.where(state.step == 0, state.weights, state.average.total / steps)
        return state.voters, average

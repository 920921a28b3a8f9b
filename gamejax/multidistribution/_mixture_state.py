"""What Hedge over distributions against empirical risk minimization carries."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum
from gamejax._types import Scalar, State
from gamejax.feedback import Feedback
from gamejax.learners import Hedge
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._observable import Caps, no_caps
from gamejax.multidistribution._problem import AbstractFiniteProblem


class Data(eqx.Module):
    """Samples kept for use again: total losses `(k, hypotheses)` and how many, `(k,)`."""

    totals: Float[Array, "k hypotheses"]
    counts: Int[Array, " k"]


class MixtureState(eqx.Module):
    r"""The state of `LazyHedge` and `FreshRounds`.

    Attributes:
        step: steps taken.
        weights: $w_t$, the adversary's next mixture of distributions.
        learner: the state of its Hedge.
        caps: `Caps`; `num_rounds` counts the sampling rounds.
        data: what is kept; empty where every round draws anew.
        latest: the last minimizer $h_t$.
        votes: how often each hypothesis was the minimizer, `(hypotheses,)`.
        average: the sum of $w_1, \ldots, w_t$.
        width: the sum over steps of the confidence width of the mixture's empirical risk.
        bad: how often each distribution was above the threshold, `(k,)`.
        samples: how many samples were drawn of each distribution, `(k,)`.
        pools: the problem's state.
    """

    step: Int[Array, ""]
    weights: Float[Array, " k"]
    learner: State
    caps: Caps
    data: Data
    latest: Int[Array, ""]
    votes: Int[Array, " hypotheses"]
    average: Sum
    width: Sum
    bad: Int[Array, " k"]
    samples: Int[Array, " k"]
    pools: State


def finite(game: MultiDistributionGame) -> AbstractFiniteProblem:
    """The game's problem, if it has finitely many hypotheses.

    Raises:
        TypeError: it is another one.
    """
    if isinstance(game, MultiDistributionGame) and isinstance(game.problem, AbstractFiniteProblem):
        return game.problem
    raise TypeError(
        "This solver needs a MultiDistributionGame whose problem has finitely many hypotheses, "
        f"got {type(getattr(game, 'problem', game)).__name__}."
    )


def begin_mixture(
    game: MultiDistributionGame, hedge: Hedge, *, key: PRNGKeyArray | None, keeps: bool
) -> MixtureState:
    """The state before the first step; `keeps` tells whether data is kept."""
    problem, simplex = finite(game), game.strategy_sets[1]
    weights, learner = hedge.init(simplex, dtype=game.dtype)
    none = jnp.zeros(problem.num_distributions, jnp.int32)
    kept = (problem.num_distributions, problem.num_hypotheses) if keeps else (0, 0)
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


def hedge_step(
    game: MultiDistributionGame, hedge: Hedge, state: MixtureState, utility: Float[Array, " k"]
) -> tuple[Float[Array, " k"], State]:
    """The adversary's next mixture and its learner's state."""
    seen = Feedback(utility, state.weights, jnp.ones_like(utility, bool))
    return hedge.update(game.strategy_sets[1], seen, state.learner, state.weights)


def add_vote(votes: Int[Array, " hypotheses"], hypothesis: Array) -> Int[Array, " hypotheses"]:
    """One vote more for a hypothesis."""
    return votes + (jnp.arange(votes.shape[0], dtype=jnp.int32) == hypothesis).astype(jnp.int32)


def mixture(state: MixtureState) -> tuple[Float[Array, " hypotheses"], Float[Array, " k"]]:
    """The uniform mixture of the minimizers and the average of the weights; at first uniform."""
    steps, dtype = state.step, state.weights.dtype
    size = state.votes.shape[0]
    none = steps == 0
    count = jnp.maximum(steps, 1).astype(dtype)
    predictor = jnp.where(none, 1 / size, state.votes.astype(dtype) / count)
    return predictor, jnp.where(none, state.weights, state.average.total / count)


def one_hot(hypothesis: Array, problem: AbstractFiniteProblem) -> Float[Array, " hypotheses"]:
    """The mixture that is a single hypothesis."""
    return jax.nn.one_hot(hypothesis, problem.num_hypotheses, dtype=problem.dtype)


def log_sizes(counts: Int[Array, " k"], dtype: jnp.dtype) -> Float[Array, " k"]:
    r"""$\ln n(n + 1)$ of counts; 0 for none."""
    n = jnp.maximum(counts, 1).astype(dtype)
    return jnp.log(n) + jnp.log(n + 1)


def num_existing(problem: AbstractFiniteProblem) -> Scalar:
    """How many distributions exist."""
    return problem.exists().sum(dtype=problem.dtype)

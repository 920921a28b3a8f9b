"""What Hedge over distributions against empirical risk minimization carries."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gamejax._numerics import Sum
from gamejax._types import Scalar, State
from gamejax.games import AbstractGame
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._observable import Caps
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


def finite(game: AbstractGame) -> AbstractFiniteProblem:
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


def mixture(state: MixtureState) -> tuple[Float[Array, " hypotheses"], Float[Array, " k"]]:
    """The uniform mixture of the minimizers and the average of the weights; at first uniform."""
    steps, dtype = state.step, state.weights.dtype
    size = state.votes.shape[0]
    none = steps == 0
    count = jnp.maximum(steps, 1).astype(dtype)
    predictor = jnp.where(none, 1 / size, state.votes.astype(dtype) / count)
    return predictor, jnp.where(none, state.weights, state.average.total / count)


def log_sizes(counts: Int[Array, " k"], dtype: jnp.dtype) -> Float[Array, " k"]:
    r"""$\ln n(n + 1)$ of counts; 0 for none."""
    n = jnp.maximum(counts, 1).astype(dtype)
    return jnp.log(n) + jnp.log(n + 1)


def num_existing(problem: AbstractFiniteProblem) -> Scalar:
    """How many distributions exist."""
    return problem.exists().sum(dtype=problem.dtype)

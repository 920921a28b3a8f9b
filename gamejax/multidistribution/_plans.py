"""Sampling plans: where a round of play draws its examples, and what it tells the two players."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, hash_key, safe_divide, uniform
from gamejax._types import PyTree, State, Strategy, Utility
from gamejax.feedback import AbstractEstimator, ImportanceWeighting
from gamejax.feedback._sampled import stratified_actions
from gamejax.multidistribution._problem import AbstractProblem, Losses


class Round(NamedTuple):
    """What a round of play gives.

    Attributes:
        gradient: of the learner's loss.
        gains: the adversary's utility, one number per distribution.
        counts: how many examples were drawn of each distribution.
        pools: the problem's state.
        plan: the plan's state.
    """

    gradient: Utility
    gains: Losses
    counts: Int[Array, " distributions"]
    pools: State
    plan: State


class AbstractPlan(eqx.Module):
    r"""A rule for what is drawn in a round, given the learner's $p$ and the adversary's $q$.

    The learner is told an estimate of $\nabla_p \sum_j q_j L_j(p)$, which one example of the
    mixture $q$ gives; the adversary one of $L_j(p)$ for every $j$, which takes an example of each
    distribution unless it can do with less.
    """

    def init(self, problem: AbstractProblem, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        """The plan's state before the first round; by default nothing."""
        return ()

    @abc.abstractmethod
    def round(
        self,
        problem: AbstractProblem,
        profile: tuple[Strategy, Losses],
        pools: State,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> Round:
        """Draw, and tell the players, in round `step` (counted from 1)."""


class Expectation(AbstractPlan):
    """No samples: both players are told the expectation."""

    def round(
        self,
        problem: AbstractProblem,
        profile: tuple[Strategy, Losses],
        pools: State,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> Round:
        predictor, weights = profile
        none = jnp.zeros(problem.num_distributions, jnp.int32)
        gradient = problem.expected_gradient(predictor, weights)
        return Round(gradient, problem.expected_losses(predictor), none, pools, state)


class InTurn(AbstractPlan):
    r"""Two samples a round: one of $q$ for the learner, one of the distribution whose turn it is.

    The adversary's utility is $n\,\ell(p_t, z)$ at that distribution and 0 elsewhere, so that its
    mean over a block of $n$ rounds is one fresh loss per distribution. Each block takes the
    distributions in order, beginning with a random one: a distribution's turn comes at a uniformly
    random time of the block, and its loss is an unbiased estimate of its mean loss over the block.
    With `Every(Hedge(...), n)` as adversary, which stays where it is within a block, this is
    lazy-block Hedge.
    """

    def init(self, problem: AbstractProblem, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        return jnp.zeros((), jnp.int32)

    def round(
        self,
        problem: AbstractProblem,
        profile: tuple[Strategy, Losses],
        pools: State,
        state: Int[Array, ""],
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> Round:
        predictor, weights = profile
        draw, example = _streams(key)
        numbers = uniform(draw, weights.dtype, (2,))
        exists = problem.exists()
        count = exists.sum(dtype=jnp.int32)
        place = (step.astype(jnp.int32) - 1) % count
        start = jnp.minimum((numbers[1] * count.astype(weights.dtype)).astype(jnp.int32), count - 1)
        start = jnp.where(place == 0, start, state)
        passed = jnp.cumsum(exists, dtype=jnp.int32) > (start + place) % count
        turn = jnp.argmax(passed).astype(jnp.int32)
        looked = stratified_actions(weights, numbers[:1], 1)
        both = jnp.concatenate([looked, turn[None]])
        drawn, pools = problem.draw(both, pools, key=example)
        able = drawn.available.all()
        own, other = (jax.tree.map(lambda x, k=k: x[k : k + 1], drawn.examples) for k in (0, 1))
        gradient = problem.gradient(predictor, own, able[None].astype(weights.dtype))
        seen = _losses(problem, predictor, other)[0]
        scale = jnp.where(able, count, 0).astype(weights.dtype)
        here = jnp.arange(len(weights), dtype=jnp.int32) == turn
        gains = jnp.where(here, scale * seen, 0)
        return Round(gradient, gains, _tally(both, drawn.available, weights), pools, start)


class Drawn(AbstractPlan):
    r"""Samples of $s$ distributions drawn from $q$, which serve both players.

    The learner sees the mean over the draws; the adversary the losses of the distributions drawn,
    from which `estimator` makes a utility for each. Draws are stratified: a distribution comes
    $s q_j$ times in expectation, and that number rounded up or down each time.

    Args:
        num_draws: $s \ge 1$, static. One with `ImplicitExploration` is the bandit adversary
            Exp3-IX; more are a minibatch.
        estimator: makes utilities of what was seen; its offset should be the largest loss.
        exploration: draw from $(1 - \gamma) q + \gamma/n$ instead and weigh what the learner sees
            by $q_j$ over that; 1 is uniform sampling with weights, as in the first group DRO.
    """

    num_draws: int = eqx.field(static=True, default=1)
    estimator: AbstractEstimator = ImportanceWeighting(1.0)
    exploration: float | Float[Array, ""] | None = None

    def __check_init__(self) -> None:
        if not isinstance(self.num_draws, int) or self.num_draws < 1:
            raise ValueError(f"num_draws must be an integer >= 1, got {self.num_draws!r}.")
        if isinstance(self.exploration, int | float) and not 0 <= self.exploration <= 1:
            raise ValueError(f"exploration must lie in [0, 1], got {self.exploration}.")

    def round(
        self,
        problem: AbstractProblem,
        profile: tuple[Strategy, Losses],
        pools: State,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> Round:
        predictor, weights = profile
        draw, example = _streams(key)
        chances = self._chances(problem, weights)
        looked = stratified_actions(chances, uniform(draw, weights.dtype, (1,)), self.num_draws)
        share = importance = jnp.full(self.num_draws, 1 / self.num_draws, weights.dtype)
        if self.exploration is not None:
            importance = share * safe_divide(weights, chances)[looked]
        found, pools = _look(problem, predictor, looked, importance, pools, key=example)
        where = (looked[:, None] == jnp.arange(len(weights), dtype=jnp.int32)[None]).astype(
            weights.dtype
        )
        frequency = jnp.matmul(share, where, precision=HIGHEST)
        mean = safe_divide(jnp.matmul(share * found.losses, where, precision=HIGHEST), frequency)
        gains = found.able * self.estimator.estimate(mean, frequency, chances, step=step)
        counts = _tally(looked, found.available, weights)
        return Round(found.gradient, gains, counts, pools, state)

    def _chances(self, problem: AbstractProblem, weights: Losses) -> Losses:
        if self.exploration is None:
            return weights
        exists = problem.exists().astype(weights.dtype)
        share = jnp.asarray(self.exploration, weights.dtype)
        return (1 - share) * weights + share * exists / exists.sum()


class OneEach(AbstractPlan):
    """One sample of every distribution in every round: both players see everything.

    The learner who does not choose where to look; it pays as many times the samples as there are
    distributions.
    """

    def round(
        self,
        problem: AbstractProblem,
        profile: tuple[Strategy, Losses],
        pools: State,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> Round:
        predictor, weights = profile
        _, example = _streams(key)
        exists = problem.exists()
        every = jnp.arange(problem.num_distributions, dtype=jnp.int32)
        found, pools = _look(problem, predictor, every, weights, pools, key=example, needed=exists)
        gains = jnp.where(exists, found.able * found.losses, 0)
        counts = (found.available & exists).astype(jnp.int32)
        return Round(found.gradient, gains, counts, pools, state)


class _Look(NamedTuple):
    """What examples that serve both players tell.

    Attributes:
        gradient: of the learner's loss; 0 where an example was missing.
        losses: of the examples, capped.
        able: 1, or 0 where an example was missing.
        available: whether each example was there.
    """

    gradient: Utility
    losses: Float[Array, " draws"]
    able: Float[Array, ""]
    available: Bool[Array, " draws"]


def _look(
    problem: AbstractProblem,
    predictor: Strategy,
    looked: Int[Array, " draws"],
    shares: Float[Array, " draws"],
    pools: State,
    *,
    key: PRNGKeyArray,
    needed: Bool[Array, " draws"] | None = None,
) -> tuple[_Look, State]:
    """An example of each distribution named, for the learner with these shares; and the pools."""
    drawn, pools = problem.draw(looked, pools, key=key)
    there = drawn.available if needed is None else drawn.available | ~needed
    able = there.all().astype(shares.dtype)
    gradient = problem.gradient(predictor, drawn.examples, able * shares)
    losses = _losses(problem, predictor, drawn.examples)
    return _Look(gradient, losses, able, drawn.available), pools


def _losses(
    problem: AbstractProblem, predictor: Strategy, examples: PyTree[Array]
) -> Float[Array, " draws"]:
    """What the adversary takes the losses for: those above the bound for the bound."""
    return jnp.minimum(problem.loss(predictor, examples), problem.loss_bound)


def _streams(key: PRNGKeyArray | None) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """The keys of what is drawn where, and of the examples.

    Raises:
        ValueError: there is no key.
    """
    if key is None:
        raise ValueError("MultiDistributionGame draws at random: pass key=jax.random.key(seed).")
    return hash_key(key, jnp.uint32(1)), hash_key(key, jnp.uint32(2))


def _tally(drawn: Array, available: Array, weights: Losses) -> Int[Array, " distributions"]:
    """How many examples of each distribution were there."""
    every = jnp.arange(len(weights), dtype=jnp.int32)
    return ((drawn[:, None] == every[None]) & available[:, None]).sum(0, dtype=jnp.int32)

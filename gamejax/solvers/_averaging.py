"""Averaging rules: what self-play vouches for, given all it played."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from gamejax._numerics import Sum
from gamejax._types import Profile, Scalar, State
from gamejax.games import AbstractGame


class AbstractAveraging(eqx.Module):
    """A rule that turns the profiles played in rounds $1, 2, ..., t$ into one."""

    @abc.abstractmethod
    def init(self, profile: Profile) -> State:
        """The state before the first round, which will play `profile`."""

    @abc.abstractmethod
    def update(
        self, game: AbstractGame, state: State, profile: Profile, step: Int[Array, ""]
    ) -> State:
        """The state after round `step` (counted from 1) played `profile`."""

    @abc.abstractmethod
    def value(self, state: State, latest: Profile) -> Profile:
        """The profile vouched for; `latest` is what the next round would play."""


class AbstractWeighted(AbstractAveraging):
    r"""A weighted average $\bar x^T = \sum_{t \le T} w_t x^t / \sum_{t \le T} w_t$."""

    @abc.abstractmethod
    def weight(self, step: Scalar) -> Scalar:
        """The weight of round `step`, counted from 1."""

    def init(self, profile: Profile) -> State:
        weight = jnp.zeros_like(
            jax.tree.leaves(profile)[0][(0,) * jax.tree.leaves(profile)[0].ndim]
        )
        return Sum.zeros_like((profile, weight))

    def update(self, game: AbstractGame, state: Sum, profile: Profile, step: Int[Array, ""]) -> Sum:
        weight = self.weight(step.astype(state.total[1].dtype))
        return state.add((jax.tree.map(lambda x: weight * x, profile), weight))

    def value(self, state: Sum, latest: Profile) -> Profile:
        total, weight = state.total
        empty = weight == 0
        scale = jnp.where(empty, 1, weight)
        return jax.tree.map(lambda s, x: jnp.where(empty, x, s / scale), total, latest)


class Uniform(AbstractWeighted):
    r"""The plain average, $w_t = 1$; in zero-sum games its gap is the sum of regrets over $T$."""

    def weight(self, step: Scalar) -> Scalar:
        return jnp.ones_like(step)


class Linear(AbstractWeighted):
    r"""Later rounds count more, $w_t = t$; the companion of regret matching+.

    References:
        tammelin2015.
    """

    def weight(self, step: Scalar) -> Scalar:
        return step


class Quadratic(AbstractWeighted):
    r"""Later rounds count much more, $w_t = t^2$; the companion of predictive regret matching+.

    References:
        farina2021.
    """

    def weight(self, step: Scalar) -> Scalar:
        return step * step


class Power(AbstractWeighted):
    r"""$w_t = t^p$; `Power(0)` is `Uniform`, $p$ is the $\gamma$ of discounted regret matching.

    Args:
        exponent: $p \ge 0$.

    References:
        brown2019.
    """

    exponent: Any

    def weight(self, step: Scalar) -> Scalar:
        return step**self.exponent


class Last(AbstractAveraging):
    """No average: the strategies that the next round would play."""

    def init(self, profile: Profile) -> State:
        return ()

    def update(
        self, game: AbstractGame, state: State, profile: Profile, step: Int[Array, ""]
    ) -> State:
        return ()

    def value(self, state: State, latest: Profile) -> Profile:
        return latest


class Best(AbstractAveraging):
    """The profile of smallest `metric` among all that were played; costs one metric a round.

    Args:
        metric: a function `(game, profile) -> scalar`, such as `gamejax.metrics.nash_gap`.
    """

    metric: Callable[[AbstractGame, Profile], Scalar] = eqx.field(static=True)

    def init(self, profile: Profile) -> State:
        leaf = jax.tree.leaves(profile)[0]
        return profile, jnp.full_like(leaf[(0,) * leaf.ndim], jnp.inf)

    def update(
        self, game: AbstractGame, state: State, profile: Profile, step: Int[Array, ""]
    ) -> State:
        best, smallest = state
        gap = self.metric(game, profile).astype(smallest.dtype)
        better = gap < smallest
        kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), profile, best)
        return kept, jnp.where(better, gap, smallest)

    def value(self, state: State, latest: Profile) -> Profile:
        return state[0]

"""Environments: one player and nature."""

import abc
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gamejax._types import Numbers, State
from gamejax.bandits._policy import Arm, uniform
from gamejax.feedback import AbstractFeedback
from gamejax.games import AbstractGame
from gamejax.games._normal_form import as_payoffs
from gamejax.sets import AbstractStrategySet, Simplex


class AbstractEnvironment(AbstractGame):
    r"""A game of one player against nature, whose actions are the arms.

    `sample` is one round: the rewards of all arms, of which the player sees the one it pulled. As
    only that one matters, arms may share nature's draw. Wrappers (`Delayed`, `Unreliable`,
    `Corrupted`) take an environment and are one.

    Attributes:
        benchmark: what regret is measured against. `"mean"`: the best of fixed expected rewards.
            `"best_arm"`: the arm that is best in hindsight, in expected rewards of all rounds.
            `"every_round"`: the best arm of each round, as for contexts.
    """

    benchmark: eqx.AbstractClassVar[Literal["mean", "best_arm", "every_round"]]

    @property
    @abc.abstractmethod
    def num_arms(self) -> int:
        """$K$."""

    @property
    def strategy_sets(self) -> tuple[AbstractStrategySet, ...]:
        return (Simplex(self.num_arms),)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        return self.expected((), step=jnp.ones((), jnp.int32))

    @abc.abstractmethod
    def expected(self, state: State, *, step: Array) -> Arm:
        """The expected rewards of all arms in round `step` (from 1), before it is played."""

    def choices(self, state: State) -> AbstractStrategySet:
        """What is offered in the coming round; with contexts a `ContextualSimplex`."""
        return self.strategy_sets[0]

    def channel(self, feedback: AbstractFeedback) -> AbstractFeedback:
        """What becomes of feedback on its way to the player; default nothing."""
        return feedback


class Bernoulli(AbstractEnvironment):
    r"""Arm $a$ pays 1 with probability $\mu_a$, else 0.

    Args:
        means: $\mu \in [0, 1]^K$.
    """

    means: Float[Array, " arms"]
    benchmark = "mean"

    def __init__(self, means: Numbers):
        self.means = _vector(means, "means")

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    def utility_range(self, player: int) -> Array:
        return jnp.ones_like(self.means[..., 0])

    def expected(self, state: State, *, step: Array) -> Arm:
        return self.means

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Arm, ...], State]:
        rewards = (uniform(_required(key), self.dtype) < self.means).astype(self.dtype)
        return (rewards,), state


class Gaussian(AbstractEnvironment):
    r"""Arm $a$ pays $\mu_a + \sigma_a z$ with $z$ standard normal.

    Args:
        means: $\mu \in \mathbb R^K$.
        scale: $\sigma > 0$, one for all arms or one each.
    """

    means: Float[Array, " arms"]
    scale: float | Float[Array, "..."] = 1.0
    benchmark = "mean"

    def __init__(self, means: Numbers, scale: Any = 1.0):
        self.means = _vector(means, "means")
        self.scale = scale

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    def expected(self, state: State, *, step: Array) -> Arm:
        return self.means

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Arm, ...], State]:
        normal = jax.scipy.special.ndtri(uniform(_required(key), self.dtype))
        return (self.means + jnp.asarray(self.scale, self.dtype) * normal,), state


def _vector(values: Numbers, name: str) -> Array:
    array = as_payoffs(values, name)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a vector, one number per arm, got shape {array.shape}.")
    return array


def _required(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("A bandit draws its rewards at random: pass key=jax.random.key(seed).")
    return key

"""Environments: one player and nature."""

import abc
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import uniform
from gamejax._types import Numbers, Scalar, State
from gamejax.bandits._policy import Arm, Values, at, vertex
from gamejax.feedback import AbstractFeedback
from gamejax.games import AbstractGame
from gamejax.games._normal_form import as_payoffs
from gamejax.sets import AbstractStrategySet, Simplex

Benchmark = Literal["mean", "best_arm", "every_round"]


class AbstractEnvironment(AbstractGame):
    r"""A game of one player against nature, whose actions are the arms.

    `sample` is one round: the rewards of all arms, of which the player sees the one it pulled. As
    only that one matters, arms may share nature's draw. Wrappers (`Delayed`,
    `ProbabilisticFeedback`, `Corrupted`) take an environment and are one, so they compose.
    """

    @property
    @abc.abstractmethod
    def num_arms(self) -> int:
        """$K$."""

    @property
    def benchmark(self) -> Benchmark:
        """What regret is measured against.

        `"mean"`: the best of fixed expected rewards. `"best_arm"`: the arm that is best in
        hindsight, in expected rewards of all rounds. `"every_round"`: the best arm of each round,
        as for contexts.
        """
        return "mean"

    @property
    def num_rounds(self) -> int | None:
        """The longest horizon; `None` for any."""
        return None

    @property
    def delayed(self) -> bool:
        """Whether rewards may be seen in a later round."""
        return False

    @property
    def changes(self) -> bool:
        """Whether `choices` differ from round to round."""
        return False

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, ...]:
        return (Simplex(self.num_arms),)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        state = self.init(key=jax.random.key(0), dtype=self.dtype)
        return self.expected(state, step=jnp.ones((), jnp.int32))

    @abc.abstractmethod
    def expected(self, state: State, *, step: Array) -> Values:
        """The expected rewards of all arms in round `step` (from 1), before it is played."""

    def reward(
        self, arm: Arm, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[Scalar, State]:
        """`sample` for the arm pulled alone: the same draw."""
        profile = (vertex(arm, jnp.zeros(self.num_arms, self.dtype)),)
        (rewards,), state = self.sample(profile, state, key=key, step=step)
        return at(rewards, arm), state

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

    Raises:
        ValueError: `means` is no vector, or has entries outside of $[0, 1]$.
    """

    means: Float[Array, " arms"]

    def __init__(self, means: Numbers):
        self.means = as_arms(means, "means")
        if not isinstance(self.means, Tracer):
            given = np.asarray(self.means)
            if not np.all((given >= 0) & (given <= 1)):
                raise ValueError(f"means must be probabilities in [0, 1], got {given}.")

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    def utility_range(self, player: int) -> Scalar:
        return jnp.ones_like(self.means[..., 0])

    def expected(self, state: State, *, step: Array) -> Values:
        return self.means

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        return (coins(key, self.means),), state

    def reward(
        self, arm: Arm, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[Scalar, State]:
        return coins(key, at(self.means, arm)), state


class Gaussian(AbstractEnvironment):
    r"""Arm $a$ pays $\mu_a + \sigma_a z$ with $z$ standard normal.

    Args:
        means: $\mu \in \mathbb R^K$.
        scale: $\sigma > 0$, one for all arms or one each.

    Raises:
        ValueError: `means` is no vector.
    """

    means: Float[Array, " arms"]
    scale: float | Float[Array, "..."]

    def __init__(self, means: Numbers, scale: Any = 1.0):
        self.means = as_arms(means, "means")
        self.scale = scale

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    def expected(self, state: State, *, step: Array) -> Values:
        return self.means

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        noise = jnp.asarray(self.scale, self.dtype) * normal(key, self.dtype)
        return (self.means + noise,), state


class Sampler(AbstractEnvironment):
    r"""Rewards drawn by a function of yours.

    Args:
        draw: takes a key, returns the rewards of all arms, shape `(K,)`. Static: use one function
            object for one compiled program.
        means: their expectations $\mu \in \mathbb R^K$, which regret is measured by.

    Raises:
        ValueError: `means` is no vector.
    """

    draw: Callable[[PRNGKeyArray], Values] = eqx.field(static=True)
    means: Float[Array, " arms"]

    def __init__(self, draw: Callable[[PRNGKeyArray], Values], means: Numbers):
        self.draw = draw
        self.means = as_arms(means, "means")

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    def expected(self, state: State, *, step: Array) -> Values:
        return self.means

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        return (self.draw(require_key(key)).astype(self.dtype),), state


class LossTable(AbstractEnvironment):
    r"""An oblivious adversary: round $t$ costs row $t$ of a table; rewards are one minus losses.

    Regret is measured against the best arm in hindsight.

    Args:
        losses: $\ell \in [0, 1]^{T \times K}$.

    Raises:
        ValueError: `losses` is no matrix.
    """

    losses: Float[Array, "rounds arms"]

    def __init__(self, losses: Numbers):
        self.losses = as_payoffs(losses, "losses")
        if self.losses.ndim != 2:
            raise ValueError(f"losses must have shape (rounds, arms), got {self.losses.shape}.")

    @property
    def benchmark(self) -> Benchmark:
        return "best_arm"

    @property
    def num_arms(self) -> int:
        return self.losses.shape[-1]

    @property
    def num_rounds(self) -> int | None:
        return self.losses.shape[-2]

    def expected(self, state: State, *, step: Array) -> Values:
        return 1 - self.losses[step - 1]

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        return (self.expected(state, step=step),), state


class Switching(AbstractEnvironment):
    r"""Bernoulli arms whose means change at given rounds.

    Args:
        means: one row per phase, shape `(phases, K)`.
        starts: the rounds (from 1) in which the second, third, ... phase begins.
        benchmark: `"best_arm"` in hindsight, or the best of `"every_round"` (dynamic regret).

    Raises:
        ValueError: `means` is no matrix, or `starts` has not one entry fewer than it rows.
    """

    means: Float[Array, "phases arms"]
    starts: Int[Array, " later_phases"]
    compared: Benchmark = eqx.field(static=True)

    def __init__(self, means: Numbers, starts: Any, benchmark: Benchmark = "best_arm"):
        self.means = as_payoffs(means, "means")
        self.starts = jnp.asarray(starts, jnp.int32)
        self.compared = benchmark
        if self.means.ndim != 2 or self.starts.shape != (len(self.means) - 1,):
            raise ValueError(
                "means must have shape (phases, arms) and starts one round for each phase but the "
                f"first, got shapes {self.means.shape} and {self.starts.shape}."
            )
        if benchmark not in ("best_arm", "every_round"):
            raise ValueError(f'benchmark must be "best_arm" or "every_round", got {benchmark!r}.')

    @property
    def benchmark(self) -> Benchmark:
        return self.compared

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    def expected(self, state: State, *, step: Array) -> Values:
        return self.means[jnp.sum(step >= self.starts, dtype=jnp.int32)]

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        return (coins(key, self.expected(state, step=step)),), state


def coins(key: PRNGKeyArray | None, means: Array) -> Array:
    """Ones with the given probabilities, all from one uniform number."""
    return (uniform(require_key(key), means.dtype) < means).astype(means.dtype)


def normal(key: PRNGKeyArray | None, dtype: Any, shape: tuple[int, ...] = ()) -> Array:
    """Standard normal numbers."""
    return jax.scipy.special.ndtri(uniform(require_key(key), dtype, shape))


def as_arms(values: Numbers, name: str) -> Array:
    """The values as an array of shape `(K,)`."""
    array = as_payoffs(values, name)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a vector, one number per arm, got shape {array.shape}.")
    return array


def require_key(key: PRNGKeyArray | None) -> PRNGKeyArray:
    """The key, if there is one.

    Raises:
        ValueError: `key` is `None`.
    """
    if key is None:
        raise ValueError("A bandit draws at random: pass key=jax.random.key(seed).")
    return key

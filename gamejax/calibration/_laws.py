"""Laws of binary outcomes, and forecasters that know them: honest ones and others."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._types import Scalar


class AbstractLaw(eqx.Module):
    """A law of `horizon` binary outcomes, one after the other."""

    @property
    @abc.abstractmethod
    def horizon(self) -> int:
        """How many rounds."""

    @property
    @abc.abstractmethod
    def dtype(self) -> jnp.dtype:
        """Of probabilities and outcomes."""

    @abc.abstractmethod
    def conditionals(self, outcomes: Float[Array, " rounds"]) -> Float[Array, " rounds"]:
        """The probability of a 1 in each round, given the outcomes before it."""

    def sample(self, *, key: PRNGKeyArray) -> Float[Array, " rounds"]:
        """One sequence of outcomes."""
        uniform = jax.random.uniform(key, (self.horizon,), self.dtype)

        def draw(outcomes: Array, step: Array) -> tuple[Array, None]:
            happens = uniform[step] < self.conditionals(outcomes)[step]
            return outcomes.at[step].set(happens.astype(outcomes.dtype)), None

        steps = jnp.arange(self.horizon, dtype=jnp.int32)
        return jax.lax.scan(draw, jnp.zeros_like(uniform), steps)[0]

    def probability(self, outcomes: Float[Array, " rounds"]) -> Scalar:
        """The probability of a whole sequence."""
        each = self.conditionals(outcomes)
        return jnp.where(outcomes > 0, each, 1 - each).prod()


class ProductLaw(AbstractLaw):
    """Independent outcomes.

    Args:
        probabilities: of a 1 in each round, `(T,)`.
    """

    probabilities: Float[Array, " rounds"]

    def __check_init__(self) -> None:
        if jnp.ndim(self.probabilities) < 1:
            raise ValueError("probabilities must have one entry per round, got a number.")

    @property
    def horizon(self) -> int:
        return self.probabilities.shape[-1]

    @property
    def dtype(self) -> jnp.dtype:
        return self.probabilities.dtype

    def conditionals(self, outcomes: Float[Array, " rounds"]) -> Float[Array, " rounds"]:
        return self.probabilities


class MarkovLaw(AbstractLaw):
    """Outcomes whose probability depends on the one before.

    Args:
        start: the probability of a 1 in the first round.
        after_zero: the probability of a 1 after a 0.
        after_one: the probability of a 1 after a 1.
        num_rounds: the horizon.
    """

    start: Scalar = eqx.field(converter=jnp.asarray)
    after_zero: Scalar = eqx.field(converter=jnp.asarray)
    after_one: Scalar = eqx.field(converter=jnp.asarray)
    num_rounds: int = eqx.field(static=True)

    @property
    def horizon(self) -> int:
        return self.num_rounds

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.result_type(self.start, self.after_zero, self.after_one)

    def conditionals(self, outcomes: Float[Array, " rounds"]) -> Float[Array, " rounds"]:
        next_one = jnp.where(outcomes[:-1] > 0, self.after_one, self.after_zero)
        return jnp.concatenate([self.start[None], next_one])


def coin_then_sure(num_coins: int, num_ones: int, num_zeros: int) -> ProductLaw:
    """Fair coins, then sure ones, then sure zeros: here books can be balanced.

    References:
        haghtalab2024.
    """
    parts = [jnp.full(num_coins, 0.5), jnp.ones(num_ones), jnp.zeros(num_zeros)]
    return ProductLaw(jnp.concatenate(parts))


def many_probabilities(horizon: int, spread: float = 0.01) -> ProductLaw:
    r"""Independent outcomes of probabilities that all differ, within `spread` of 1/2.

    Honest forecasts are all distinct, so that each is a level by itself.
    """
    return ProductLaw(0.5 + spread * jnp.linspace(-1, 1, horizon))


class AbstractInformedForecaster(eqx.Module):
    """A forecaster that knows the law and sees the outcomes before each round."""

    @abc.abstractmethod
    def __call__(
        self, law: AbstractLaw, outcomes: Float[Array, " rounds"]
    ) -> Float[Array, " rounds"]:
        """Its forecasts along a sequence of outcomes."""


class Truthful(AbstractInformedForecaster):
    """Says what it knows: the conditional probabilities."""

    def __call__(
        self, law: AbstractLaw, outcomes: Float[Array, " rounds"]
    ) -> Float[Array, " rounds"]:
        return law.conditionals(outcomes)


class ConstantForecast(AbstractInformedForecaster):
    """Always says the same.

    Args:
        value: the forecast.
    """

    value: float | Scalar = 0.5

    def __call__(
        self, law: AbstractLaw, outcomes: Float[Array, " rounds"]
    ) -> Float[Array, " rounds"]:
        return jnp.full_like(outcomes, self.value)


class BalancedBooks(AbstractInformedForecaster):
    r"""Lies about sure outcomes to make up for the luck of earlier coins.

    For laws of fair coins and later sure outcomes (`coin_then_sure`). Says 1/2 on coins; with
    $D$ ones more than zeros among them, says 1/2 also on the first $|D|$ sure outcomes of the
    other kind, and is honest on the rest. If there are enough of those, everything said at 1/2
    comes true half of the time exactly: most measures see a perfect forecaster.

    References:
        haghtalab2024.
    """

    def __call__(
        self, law: AbstractLaw, outcomes: Float[Array, " rounds"]
    ) -> Float[Array, " rounds"]:
        honest = law.conditionals(outcomes)
        excess = jnp.where(honest == 0.5, 2 * outcomes - 1, 0).sum()
        opposite = honest == jnp.where(excess > 0, 0, 1).astype(honest.dtype)
        so_far = jnp.cumsum(opposite, dtype=jnp.int32).astype(honest.dtype)
        return jnp.where(opposite & (so_far <= jnp.abs(excess)), 0.5, honest)

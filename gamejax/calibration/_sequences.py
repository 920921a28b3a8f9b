"""Where outcomes come from: nature, data, adversaries that react to the law of the forecast."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import hash_key, uniform
from gamejax._types import Numbers, Scalar, State
from gamejax.calibration._forecaster import Law, pick
from gamejax.calibration._mixtures import Mixture
from gamejax.games._normal_form import as_payoffs
from gamejax.learners._base import check_number


class AbstractSequence(eqx.Module):
    """Contexts and outcomes, one after another.

    An outcome may depend on the law of the forecast and on everything before, never on the draw.
    Contexts are what the forecaster is told of a point; `groups` what calibration is measured
    over, by default the context itself.
    """

    @property
    @abc.abstractmethod
    def num_groups(self) -> int:
        """How many groups calibration is measured over."""

    @property
    def num_rounds(self) -> int | None:
        """The longest horizon; `None` for any."""
        return None

    @property
    def num_classes(self) -> int | None:
        """The length of outcomes that are vectors; `None` for numbers in [0, 1]."""
        return None

    def init(self, *, key: PRNGKeyArray, dtype: Any) -> State:
        """What the sequence remembers; default nothing."""
        return ()

    def context(
        self, state: State, *, key: PRNGKeyArray, step: Array, dtype: Any
    ) -> tuple[Any, State]:
        """The point of round `step` (from 1); default one group of everyone."""
        return jnp.ones(1, dtype), state

    def groups(self, context: Any) -> Float[Array, " groups"]:
        """How far a point belongs to the groups that calibration is measured over."""
        return context

    @abc.abstractmethod
    def outcome(
        self, context: Any, law: Law, state: State, *, key: PRNGKeyArray, step: Array
    ) -> tuple[Array, State]:
        """What comes out: a number in [0, 1] or a vector, of the type of `law.values`."""


class Outcomes(AbstractSequence):
    """Data, row by row.

    Args:
        outcomes: numbers in [0, 1], shape `(rounds,)`, or vectors, `(rounds, classes)`.
        contexts: what the forecaster reads, one row each; default one group of everyone.
        num_groups: how many columns of `contexts`, from the first, are groups that calibration is
            measured over; default all.

    Raises:
        ValueError: the shapes do not fit.
    """

    outcomes: Float[Array, "rounds *classes"]
    contexts: Float[Array, "rounds features"]
    measured: int = eqx.field(static=True)

    def __init__(
        self, outcomes: Numbers, contexts: Numbers | None = None, num_groups: int | None = None
    ):
        self.outcomes = as_payoffs(outcomes, "outcomes")
        if self.outcomes.ndim not in (1, 2) or self.outcomes.size == 0:
            raise ValueError(
                "outcomes must have shape (rounds,) or (rounds, classes), "
                f"got {self.outcomes.shape}."
            )
        rounds = len(self.outcomes)
        given = jnp.ones((rounds, 1)) if contexts is None else as_payoffs(contexts, "contexts")
        self.contexts = given.astype(self.outcomes.dtype)
        if given.ndim != 2 or len(given) != rounds:
            raise ValueError(f"contexts must have shape ({rounds}, groups), got {given.shape}.")
        self.measured = given.shape[1] if num_groups is None else num_groups

    @property
    def num_groups(self) -> int:
        return self.measured

    @property
    def num_rounds(self) -> int:
        return self.outcomes.shape[0]

    @property
    def num_classes(self) -> int | None:
        return self.outcomes.shape[1] if self.outcomes.ndim == 2 else None

    def context(self, state: Any, *, key: Any, step: Array, dtype: Any) -> tuple[Array, Any]:
        row = jnp.minimum(step, len(self.contexts)) - 1
        return pick(self.contexts, row).astype(dtype), state

    def groups(self, context: Array) -> Float[Array, " groups"]:
        return context[: self.measured]

    def outcome(
        self, context: Any, law: Law, state: Any, *, key: Any, step: Array
    ) -> tuple[Array, Any]:
        row = jnp.minimum(step, len(self.outcomes)) - 1
        return pick(self.outcomes, row).astype(law.values.dtype), state


class AbstractUngrouped(AbstractSequence):
    """A sequence without contexts: one group of everyone."""

    @property
    def num_groups(self) -> int:
        return 1


class Coins(AbstractUngrouped):
    r"""Ones with a probability that moves from one number to another and back, or stays.

    $\Pr[y_t = 1] = a + (b - a)(1 - \cos(2\pi t/\tau))/2$.

    Args:
        probability: $a$.
        other: $b$; default $a$: the same coin in every round.
        period: $\tau > 0$ rounds.
    """

    probability: float | Scalar = 0.5
    other: float | Scalar | None = None
    period: float | Scalar = 1000.0

    def __check_init__(self) -> None:
        check_number(self, "probability", 0, 1, strict=False)
        check_number(self, "other", 0, 1, strict=False)
        check_number(self, "period", 0)

    def outcome(
        self, context: Any, law: Law, state: Any, *, key: PRNGKeyArray, step: Array
    ) -> tuple[Array, Any]:
        dtype = law.values.dtype
        start = jnp.asarray(self.probability).astype(dtype)
        end = start if self.other is None else jnp.asarray(self.other).astype(dtype)
        angle = 2 * jnp.pi * step.astype(dtype) / jnp.asarray(self.period).astype(dtype)
        chance = start + (end - start) * (1 - jnp.cos(angle)) / 2
        return (uniform(key, dtype) < chance).astype(dtype), state


class Contrarian(AbstractUngrouped):
    """An adversary: what the expected forecast thinks unlikely.

    1 where the mean of the law is below 1/2, else 0; with classes, the one of least mean.

    Args:
        classes: how many classes; `None` for outcomes 0 and 1.
    """

    classes: int | None = eqx.field(static=True, default=None)

    @property
    def num_classes(self) -> int | None:
        return self.classes

    def outcome(
        self, context: Any, law: Law, state: Any, *, key: Any, step: Array
    ) -> tuple[Array, Any]:
        mean = law.mean
        if self.classes is None:
            return (mean < 0.5).astype(mean.dtype), state
        return jax.nn.one_hot(jnp.argmin(mean), self.classes, dtype=mean.dtype), state


class Switching(AbstractSequence):
    """One sequence up to some round, then another of the same contexts.

    Args:
        first: whose contexts and outcomes come first.
        second: what follows.
        last: the last round of `first`.

    Raises:
        ValueError: the two have different numbers of groups or classes.
    """

    first: AbstractSequence
    second: AbstractSequence
    last: int | Int[Array, ""]

    def __check_init__(self) -> None:
        shapes = [(s.num_groups, s.num_classes) for s in (self.first, self.second)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "first and second must have as many groups and classes, got "
                f"{shapes[0]} and {shapes[1]}."
            )

    @property
    def num_groups(self) -> int:
        return self.first.num_groups

    @property
    def num_classes(self) -> int | None:
        return self.first.num_classes

    def init(self, *, key: PRNGKeyArray, dtype: Any) -> State:
        return self.first.init(key=key, dtype=dtype), self.second.init(key=key, dtype=dtype)

    def context(
        self, state: State, *, key: PRNGKeyArray, step: Array, dtype: Any
    ) -> tuple[Any, State]:
        one, first = self.first.context(state[0], key=key, step=step, dtype=dtype)
        two, second = self.second.context(state[1], key=key, step=step, dtype=dtype)
        return self._choose(step, one, two), (first, second)

    def groups(self, context: Any) -> Float[Array, " groups"]:
        return self.first.groups(context)

    def outcome(
        self, context: Any, law: Law, state: State, *, key: PRNGKeyArray, step: Array
    ) -> tuple[Array, State]:
        one, first = self.first.outcome(context, law, state[0], key=key, step=step)
        two, second = self.second.outcome(context, law, state[1], key=key, step=step)
        return self._choose(step, one, two), (first, second)

    def _choose(self, step: Array, one: Any, two: Any) -> Any:
        early = step <= jnp.asarray(self.last, jnp.int32)
        return jax.tree.map(lambda a, b: jnp.where(early, a, b), one, two)


class MixtureState(NamedTuple):
    """The component that the point of the round was drawn from."""

    component: Int[Array, ""]


class Subpopulations(AbstractSequence):
    r"""Points from a mixture; the outcome is 1 with the probability of the point's component.

    The forecaster sees the point, not its component. Calibration is measured over the true
    mixture's discriminants $1[j = \arg\max_i w_i f_i(x)]$, the first $k$ groups, and likelihoods
    $w_j f_j(x)/\sum_i w_i f_i(x)$, the last $k$: the largest sums over them are the discriminant
    and the likelihood calibration error (DCE and LCE).

    Args:
        mixture: where points come from.
        rates: $\Pr[y = 1]$ in each component.

    Raises:
        ValueError: there is not one rate for each component.

    References:
        dai2025.
    """

    mixture: Mixture
    rates: Float[Array, " components"]

    def __init__(self, mixture: Mixture, rates: Numbers):
        self.mixture = mixture
        self.rates = as_payoffs(rates, "rates").astype(mixture.weights.dtype)
        if self.rates.shape != mixture.weights.shape:
            raise ValueError(
                f"rates must hold one number for each of the {mixture.num_components} components, "
                f"got shape {self.rates.shape}."
            )

    @property
    def num_groups(self) -> int:
        return 2 * self.mixture.num_components

    def init(self, *, key: PRNGKeyArray, dtype: Any) -> MixtureState:
        return MixtureState(jnp.zeros((), jnp.int32))

    def context(
        self, state: MixtureState, *, key: PRNGKeyArray, step: Array, dtype: Any
    ) -> tuple[Array, MixtureState]:
        component, x = self.mixture.sample(key)
        return x.astype(dtype), MixtureState(component)

    def groups(self, context: Array) -> Float[Array, " groups"]:
        return jnp.concatenate([self.mixture.disc(context), self.mixture.lik(context)])

    def outcome(
        self, context: Any, law: Law, state: MixtureState, *, key: PRNGKeyArray, step: Array
    ) -> tuple[Array, MixtureState]:
        dtype = law.values.dtype
        rate = pick(self.rates, state.component).astype(dtype)
        return (uniform(hash_key(key, 1), dtype) < rate).astype(dtype), state


class Constant(AbstractUngrouped):
    """The same outcome in every round.

    Args:
        value: a number in [0, 1], or a vector.
    """

    value: Any

    @property
    def num_classes(self) -> int | None:
        shape = jnp.shape(self.value)
        return shape[0] if shape else None

    def outcome(
        self, context: Any, law: Law, state: Any, *, key: Any, step: Array
    ) -> tuple[Array, Any]:
        return jnp.asarray(self.value).astype(law.values.dtype), state

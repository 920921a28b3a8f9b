"""What an online forecaster answers: a law over forecasts, before the outcome is known."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._joint import Sparse
from gamejax._numerics import HIGHEST, safe_divide, uniform
from gamejax._types import Scalar, State

Groups = Float[Array, " groups"]
"""How far a point belongs to each group, in [0, 1]."""
ScoreAt = Callable[[Array], tuple[Scalar, Scalar]]
"""A score and the logarithm of the scale it is given in, of a level."""


class Law(eqx.Module):
    """A random forecast, before it is drawn: what an adversary may react to.

    Attributes:
        choice: the levels (by number) that may be played and their probabilities.
        values: the forecasts those levels stand for, `(support,)` or `(support, classes)`.
    """

    choice: Sparse
    values: Float[Array, "support *classes"]

    @property
    def mean(self) -> Float[Array, "*classes"]:
        """The expected forecast."""
        return jnp.tensordot(self.choice.probabilities, self.values, 1, precision=HIGHEST)

    def draw(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Float[Array, "*classes"]]:
        """A level's number and the forecast it stands for."""
        probabilities = self.choice.probabilities
        lot = uniform(key, probabilities.dtype) * probabilities.sum()
        # The last action takes what rounding leaves over.
        place = (lot >= jnp.cumsum(probabilities)[:-1]).sum(dtype=jnp.int32)
        return pick(self.choice.actions, place), pick(self.values, place)


class Prediction(NamedTuple):
    """A forecast that was made; `AbstractForecaster.update` wants it back with the outcome.

    Attributes:
        law: what it was drawn from.
        level: the number of the level drawn.
        value: the forecast, a probability or one for each class.
        context: what was known of the point.
    """

    law: Law
    level: Int[Array, ""]
    value: Float[Array, "*classes"]
    context: Any


class AbstractForecaster(eqx.Module):
    r"""A rule that forecasts outcomes one after another, calibrated whatever they are.

    ```
    state = forecaster.init()
    prediction = forecaster.forecast(state, groups, key=key)    # prediction.value, prediction.law
    state = forecaster.update(state, prediction, outcome)
    ```

    Both are pure functions: `jax.jit`, `jax.vmap` and `jax.lax.scan` apply. The outcome may depend
    on the law and on everything before, not on the level drawn: against an adversary that sees the
    draw no rule is calibrated.
    """

    @property
    @abc.abstractmethod
    def num_points(self) -> int:
        """How many different forecasts there are."""

    @abc.abstractmethod
    def init(self, *, dtype: Any = None) -> State:
        """The state before the first round.

        Args:
            dtype: to compute in, by default that of the forecaster's arrays, if it has any.
        """

    @abc.abstractmethod
    def law(self, state: State, context: Any) -> Law:
        """The law of the forecast for a point with this context."""

    @abc.abstractmethod
    def learn(self, state: State, context: Any, level: Int[Array, ""], outcome: Array) -> State:
        """The state after `level` was forecast and `outcome` came."""

    @abc.abstractmethod
    def values(self, state: State) -> Float[Array, "points *classes"]:
        """The forecasts that the levels stand for."""

    def scores(self, state: State, context: Any) -> Float[Array, " points"]:
        """What an adversary gains per unit of outcome at each level, up to a positive factor.

        The utility of `learners.SignChange`; forecasters of several classes have none.
        """
        raise TypeError(f"{type(self).__name__} has no scores on a line of levels.")

    def forecast(self, state: State, context: Any = None, *, key: PRNGKeyArray) -> Prediction:
        """A forecast drawn at random.

        Args:
            state: from `init` or `update`.
            context: what is known of the point: its groups, shape `(groups,)`; default one group
                of everyone.
            key: for the draw.
        """
        law = self.law(state, context)
        level, value = law.draw(key)
        return Prediction(law, level, value, context)

    def update(self, state: State, prediction: Prediction, outcome: Any) -> State:
        """The state after the outcome: a number in [0, 1], or one for each class (one-hot)."""
        outcome = jnp.asarray(outcome).astype(prediction.value.dtype)
        return self.learn(state, prediction.context, prediction.level, outcome)


def sign_change(score_at: ScoreAt, count: Array, capacity: int) -> Sparse:
    r"""Two neighboring levels where the score falls through zero, as `learners.SignChange` plays.

    The lowest level if $G(v_1) \le 0$, else the highest if $G(v_k) \ge 0$, else neighbors with
    $G(v_i) > 0 \ge G(v_{i+1})$ with probabilities in proportion to the opposite magnitudes.
    Bisection finds such a pair in $\log_2 k$ scores, whichever it is; so a round costs far less
    than a pass over the levels.

    Args:
        score_at: the score of a level, and the logarithm of its unit.
        count: $k$.
        capacity: an integer that `count` does not exceed.
    """
    last = jnp.asarray(count, jnp.int32) - 1
    bottom, top = score_at(0 * last), score_at(last)
    below, above = (0 * last, *bottom), (last, *top)
    for _ in range(max(capacity - 1, 1).bit_length()):
        middle = (below[0] + above[0]) // 2
        probe = (middle, *score_at(middle))
        positive = probe[1] > 0
        below = jax.tree.map(lambda new, old, yes=positive: jnp.where(yes, new, old), probe, below)
        above = jax.tree.map(lambda new, old, yes=positive: jnp.where(yes, old, new), probe, above)
    lowest = bottom[0] <= 0
    highest = ~lowest & (top[0] >= 0)
    unit = jnp.maximum(below[2], above[2])
    gain, loss = below[1] * jnp.exp(below[2] - unit), -above[1] * jnp.exp(above[2] - unit)
    weight = jnp.where(lowest | highest, 0, safe_divide(loss, gain + loss))
    first = jnp.where(lowest, 0, jnp.where(highest, last, below[0]))
    second = jnp.where(lowest, 0, jnp.where(highest, last, above[0]))
    return Sparse(jnp.stack([first, second]), jnp.stack([weight, 1 - weight]))


def pick(array: Array, index: Array) -> Array:
    """One entry along the first axis."""
    return jax.lax.dynamic_index_in_dim(array, index, keepdims=False, allow_negative_indices=False)


def as_groups(context: Any, num_groups: int, dtype: Any) -> Groups:
    """The groups of a point as numbers.

    Raises:
        ValueError: there are not `num_groups` of them.
    """
    if context is None:
        if num_groups != 1:
            raise ValueError(f"context must hold the point's {num_groups} groups, got None.")
        return jnp.ones(1, dtype)
    groups = jnp.asarray(context)
    if groups.shape != (num_groups,):
        raise ValueError(
            f"context must hold the point's {num_groups} groups, shape ({num_groups},), "
            f"got shape {groups.shape}."
        )
    return groups.astype(dtype)


def require(value: Any, name: str, least: int) -> None:
    """Refuse a count that is no integer of at least `least`.

    Raises:
        ValueError: the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")

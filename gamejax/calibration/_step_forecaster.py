"""Online step calibration: thresholds instead of levels."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gamejax._joint import Sparse
from gamejax._numerics import HIGHEST
from gamejax._types import Scalar, State
from gamejax.calibration._forecaster import (
    AbstractForecaster,
    Law,
    as_groups,
    pick,
    require,
    sign_change,
)
from gamejax.calibration._level_forecaster import online_bound
from gamejax.learners._base import check_number


class StepState(NamedTuple):
    """Residuals up to each threshold of the forecast and of hypotheses; rounds so far."""

    own: Float[Array, "levels groups"]
    others: Float[Array, "hypotheses levels groups"]
    step: Int[Array, ""]


class StepForecaster(AbstractForecaster):
    r"""Randomized panprediction, online: Hedge over groups, thresholds and signs, best-responded.

    As `MulticalibratedForecaster`, with the objectives $g(x) 1[p \le v](y - p)$ and
    $g(x) 1[h(x) \le v](y - p)$ for $v$ on the grid of $n$ levels, $N = 2 |\mathcal G| n (1 +
    |\mathcal H|)$ in all. The score of a level is a reverse cumulative sum over thresholds, so a
    round costs $O(|\mathcal G| n)$ and a pass over the hypotheses' thresholds. With probability
    $1 - \delta$ every one of them sums to at most
    $\sqrt{2 T \ln N} + T/(2n) + \sqrt{2 T \ln(1/\delta)}$, whatever the outcomes (the anytime
    rate at most doubles the first term). On examples drawn at random the uniform mixture of its
    rules (`randomized_panpredictor`) is a panpredictor from $\tilde O(1/\varepsilon^2)$ of them.

    The context is the groups and then the hypotheses' values in $[0, 1]$, in one vector. Derived
    here; the paper's own algorithm was not read.

    Args:
        num_levels: $n$.
        num_groups: $|\mathcal G|$.
        num_hypotheses: $|\mathcal H|$.
        learning_rate: $\eta > 0$; `None` for the anytime rate.

    Raises:
        ValueError: a count is unusable, or the rate not positive.

    References:
        balakrishnan2026; haghtalab2023.
    """

    num_levels: int = eqx.field(static=True)
    num_groups: int = eqx.field(static=True, default=1)
    num_hypotheses: int = eqx.field(static=True, default=0)
    learning_rate: float | Scalar | None = None

    def __check_init__(self) -> None:
        require(self.num_levels, "num_levels", 1)
        require(self.num_groups, "num_groups", 1)
        require(self.num_hypotheses, "num_hypotheses", 0)
        if self.learning_rate is not None:
            check_number(self, "learning_rate", 0)

    @property
    def num_points(self) -> int:
        return self.num_levels

    @property
    def num_objectives(self) -> int:
        """$N$."""
        return 2 * self.num_groups * self.num_levels * (1 + self.num_hypotheses)

    def init(self, *, dtype: Any = None) -> StepState:
        dtype = jnp.result_type(float) if dtype is None else dtype
        own = jnp.zeros((self.num_levels, self.num_groups), dtype)
        others = jnp.zeros((self.num_hypotheses, *own.shape), dtype)
        return StepState(own, others, jnp.zeros((), jnp.int32))

    def values(self, state: StepState) -> Float[Array, " levels"]:
        return (jnp.arange(self.num_levels, dtype=state.own.dtype) + 0.5) / self.num_levels

    def scores(self, state: StepState, context: Any = None) -> Float[Array, " levels"]:
        groups, reached = self._read(context, state.own.dtype)
        own, others = self._rate(state) * state.own, self._rate(state) * state.others
        unit = jnp.maximum(jnp.abs(own).max(), jnp.max(jnp.abs(others), initial=0))
        of_own = jnp.matmul(_sinh(own, unit), groups, precision=HIGHEST)
        of_others = jnp.matmul(_sinh(others, unit), groups, precision=HIGHEST)
        fixed = jnp.sum(jnp.where(reached, of_others, 0))
        return jnp.cumsum(of_own[::-1])[::-1] + fixed

    def law(self, state: StepState, context: Any = None) -> Law:
        scores = self.scores(state, context)
        zero = jnp.zeros_like(scores[0])
        choice = sign_change(
            lambda level: (pick(scores, level), zero),
            jnp.asarray(self.num_levels, jnp.int32),
            self.num_levels,
        )
        return Law(choice, self.values(state)[choice.actions])

    def learn(
        self, state: StepState, context: Any, level: Int[Array, ""], outcome: Array
    ) -> StepState:
        groups, reached = self._read(context, state.own.dtype)
        step = groups * (outcome - pick(self.values(state), level))
        above = jnp.arange(self.num_levels, dtype=jnp.int32) >= level
        return StepState(
            state.own + jnp.where(above[:, None], step[None, :], 0),
            state.others + jnp.where(reached[:, :, None], step[None, None, :], 0),
            state.step + 1,
        )

    def bound(self, num_rounds: int, confidence: float = 0.05) -> float:
        """What every residual stays below with probability `1 - confidence`."""
        return online_bound(
            num_rounds, self.num_objectives, 1 / self.num_levels, confidence,
            anytime=self.learning_rate is None,
        )  # fmt: skip

    def _read(self, context: Any, dtype: Any) -> tuple[Array, Array]:
        """The groups, and for each hypothesis the thresholds that its value does not exceed."""
        both = as_groups(context, self.num_groups + self.num_hypotheses, dtype)
        groups, values = both[: self.num_groups], both[self.num_groups :]
        levels = (jnp.arange(self.num_levels, dtype=dtype) + 1) / self.num_levels
        # The last threshold takes everything, whatever rounding says.
        reached = values[:, None] <= levels[None, :]
        return groups, reached.at[:, -1].set(True)

    def _rate(self, state: StepState) -> Scalar:
        dtype = state.own.dtype
        if self.learning_rate is not None:
            return jnp.asarray(self.learning_rate).astype(dtype)
        rounds = (state.step + 1).astype(dtype)
        return jnp.sqrt(2 * jnp.log(jnp.asarray(self.num_objectives, dtype)) / rounds)


class RandomizedPredictor(eqx.Module):
    """A uniform mixture of the rules that a forecaster had in the course of a sequence.

    Args:
        forecaster: whose rules they are.
        states: its states, stacked.
    """

    forecaster: AbstractForecaster
    states: State

    def law(self, context: Any = None) -> Law:
        """The law of the forecast for a point; `law(context).draw(key)` draws one."""
        laws = jax.vmap(lambda state: self.forecaster.law(state, context))(self.states)
        values = laws.values.reshape(-1, *laws.values.shape[2:])
        chances = laws.choice.probabilities / laws.choice.probabilities.shape[0]
        return Law(Sparse(laws.choice.actions.reshape(-1), chances.reshape(-1)), values)


def _sinh(x: Array, unit: Array) -> Array:
    r"""$e^{-\text{unit}} \sinh x$ up to the factor 2, for $|x|$ of at most `unit`."""
    size = jnp.abs(x)
    return jnp.sign(x) * jnp.exp(size - unit) * -jnp.expm1(-2 * size)

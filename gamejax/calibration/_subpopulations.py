"""Calibration for clusterable subpopulations: a cover of distinguishers, or clusters first."""

import functools
import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._checks import check_key
from gamejax._export import AbstractResult, table
from gamejax._joint import Sparse
from gamejax._types import Scalar, State
from gamejax.calibration._forecaster import AbstractForecaster, Law, pick, require
from gamejax.calibration._level_forecaster import MulticalibratedForecaster, online_rate
from gamejax.calibration._mixtures import AbstractFamily, Bank, cover
from gamejax.calibration._online import (
    Forecasting,
    ForecastingGame,
    ForecastingState,
    OnlineForecast,
    SolverState,
    check_outcomes,
    play_rounds,
)
from gamejax.calibration._sequences import AbstractSequence
from gamejax.learners._base import check_number

Form = Literal["likelihood", "discriminant"]


class OnFeatures(AbstractForecaster):
    """A forecaster whose context is a point; its groups are a function of it.

    Args:
        groups: a module that maps a point to its groups, such as a `Bank`; `None` for a forecaster
            of one group of everyone.
        forecaster: what forecasts, given the groups.
    """

    groups: Any
    forecaster: AbstractForecaster

    @property
    def num_points(self) -> int:
        return self.forecaster.num_points

    def init(self, *, dtype: Any = None) -> State:
        return self.forecaster.init(dtype=dtype)

    def law(self, state: State, context: Any) -> Law:
        return self.forecaster.law(state, self._groups(context))

    def values(self, state: State) -> Float[Array, "points *classes"]:
        return self.forecaster.values(state)

    def scores(self, state: State, context: Any) -> Float[Array, " points"]:
        return self.forecaster.scores(state, self._groups(context))

    def learn(self, state: State, context: Any, level: Int[Array, ""], outcome: Array) -> State:
        return self.forecaster.learn(state, self._groups(context), level, outcome)

    def _groups(self, context: Any) -> Any:
        return None if self.groups is None else self.groups(context)


class ConstantForecaster(AbstractForecaster):
    """Always the level that is nearest to one number; not calibrated.

    Args:
        num_levels: levels are the middles of so many cells of [0, 1].
        value: the number, in [0, 1].
    """

    num_levels: int = eqx.field(static=True)
    value: float | Scalar = 0.5

    def __check_init__(self) -> None:
        require(self.num_levels, "num_levels", 1)
        check_number(self, "value", 0, 1, strict=False)

    @property
    def num_points(self) -> int:
        return self.num_levels

    def init(self, *, dtype: Any = None) -> Array:
        dtype = jnp.result_type(float) if dtype is None else dtype
        return jnp.asarray(self.value).astype(dtype)

    def values(self, state: Array) -> Float[Array, " points"]:
        return (jnp.arange(self.num_levels, dtype=state.dtype) + 0.5) / self.num_levels

    def law(self, state: Array, context: Any = None) -> Law:
        levels = self.values(state)
        nearest = jnp.argmin(jnp.abs(levels - state)).astype(jnp.int32)
        return Law(Sparse(nearest[None], jnp.ones_like(levels[:1])), pick(levels, nearest)[None])

    def learn(self, state: Array, context: Any, level: Int[Array, ""], outcome: Array) -> Array:
        return state


class SubpopulationForecast(AbstractResult):
    """What `forecast_subpopulations` returns; replications lead.

    Attributes:
        online: errors and residuals over the groups of the sequence.
        bank: the distinguishers that were calibrated for, one bank for each replication.
    """

    online: OnlineForecast
    bank: Bank

    @property
    def discriminant_error(self) -> Float[Array, " replications"]:
        """DCE: the largest residual over the true discriminants, of `Subpopulations`."""
        errors = self.online.group_errors
        return errors[..., : errors.shape[-1] // 2].max(-1)

    @property
    def likelihood_error(self) -> Float[Array, " replications"]:
        """LCE: the largest residual over the true likelihoods, of `Subpopulations`."""
        errors = self.online.group_errors
        return errors[..., errors.shape[-1] // 2 :].max(-1)

    def _entries(self) -> dict[str, Any]:
        return {
            **self.online._entries(),
            "discriminant_error": self.discriminant_error,
            "likelihood_error": self.likelihood_error,
        }

    def _columns(self) -> dict[str, Any]:
        """A row for each replication."""
        errors = {n: v for n, v in self._entries().items() if n.endswith("_error")}
        return table({"replication": None}, errors, self.likelihood_error.shape)


def forecast_subpopulations(
    sequence: AbstractSequence,
    num_rounds: int,
    family: AbstractFamily,
    num_components: int,
    *,
    key: PRNGKeyArray,
    method: Literal["cover", "cluster"] = "cover",
    form: Form = "likelihood",
    num_draws: int = 32,
    num_levels: int | None = None,
    exploration: int | None = None,
    exploring: AbstractForecaster | None = None,
    num_replications: int = 1,
    record_every: int | None = None,
    fit_steps: int = 50,
    dtype: Any = None,
) -> SubpopulationForecast:
    r"""Forecasts calibrated for unknown subpopulations: contexts are points of a mixture.

    `method="cover"`: after $T_0 = \sqrt T$ rounds of unlabeled points a bank of mixtures
    that they make plausible is drawn (`cover`); then online multicalibration over the
    distinguishers of all of them. For a cover of size $|\mathcal G'|$ at radius $1/\sqrt T$ the
    discriminant or likelihood calibration error is
    $O(\sqrt{T \ln(|\mathcal G'| n)})$, $\ln|\mathcal G'| = \tilde O(k \dim)$: order
    $\sqrt{k \dim T}$, with or without separated components [recalled, derived]. That the bank is
    such a cover is not proved; the error is measured over the true mixture.

    `method="cluster"`: the baseline. $T_0 = T^{2/3}$ rounds, one fit, then a calibrated forecaster
    in each of its clusters: error up to $T_0$, plus what is assigned wrongly, plus $\sqrt{T k}$.

    Args:
        sequence: such as `Subpopulations(mixture, rates)`; contexts are points, `(dimension,)`.
        num_rounds: $T$.
        family: of the components, such as `Gaussian()`.
        num_components: $k$.
        key: the random key.
        method: `"cover"` or `"cluster"`.
        form: distinguishers by `"likelihood"` or by `"discriminant"`.
        num_draws: how many mixtures the bank holds; clusters come from one.
        num_levels: $n$; default $\sqrt T$.
        exploration: $T_0$; default by method.
        exploring: what forecasts meanwhile, with as many levels; its context is the point. Default
            `ConstantForecaster(num_levels)`.
        num_replications: how many independent runs.
        record_every: take errors after each so many rounds from $T_0$ on; default at the end.
        fit_steps: of expectation maximization.
        dtype: to compute in; default the default floating-point type.

    Raises:
        ValueError: a size or a name is unusable.

    References:
        dai2025.
    """
    check_key(key)
    for value, name, choices in (
        (method, "method", ("cover", "cluster")),
        (form, "form", ("likelihood", "discriminant")),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be {choices[0]!r} or {choices[1]!r}, got {value!r}.")
    for value, name in (
        (num_components, "num_components"), (num_draws, "num_draws"),
        (num_replications, "num_replications"), (fit_steps, "fit_steps"),
    ):  # fmt: skip
        require(value, name, 1)
    require(num_rounds, "num_rounds", 2)
    if exploration is None:
        exploration = math.ceil(num_rounds ** (1 / 2 if method == "cover" else 2 / 3))
    require(exploration, "exploration", 1)
    if exploration >= num_rounds:
        raise ValueError(
            f"exploration must be shorter than num_rounds {num_rounds}, got {exploration}."
        )
    levels = math.isqrt(num_rounds) if num_levels is None else num_levels
    exploring = OnFeatures(None, ConstantForecaster(levels)) if exploring is None else exploring
    if exploring.num_points != levels:
        raise ValueError(
            f"exploring must have {levels} levels as the forecaster has, got "
            f"{exploring.num_points}."
        )
    check_outcomes(exploring, sequence)
    rest = num_rounds - exploration
    every = rest if record_every is None else record_every
    require(every, "record_every", 1)
    draws = num_draws if method == "cover" else 1
    return _two_stages(
        sequence, family, exploring, key, levels, num_components, draws, form, exploration, rest,
        every, num_replications, fit_steps, dtype,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnums=tuple(range(4, 14)))
def _two_stages(
    sequence: AbstractSequence,
    family: AbstractFamily,
    exploring: AbstractForecaster,
    key: PRNGKeyArray,
    levels: int,
    num_components: int,
    num_draws: int,
    form: Form,
    exploration: int,
    rest: int,
    every: int,
    num_replications: int,
    fit_steps: int,
    dtype: Any,
) -> SubpopulationForecast:
    solver, first = Forecasting(), ForecastingGame(exploring, sequence)

    def run(key: PRNGKeyArray) -> tuple[Array, Array, State, Bank]:
        start = solver.init(first, key=key, dtype=dtype)
        explored, (_, rounds) = play_rounds(solver, first, start, exploration, 1, True)
        fit_key = jax.random.fold_in(key, 2**31 - 1)
        bank = cover(
            family, rounds.context, num_components, num_draws, key=fit_key, form=form,
            num_steps=fit_steps,
        )  # fmt: skip
        rate = online_rate(rest, 2 * bank.num_groups * levels)
        forecaster = OnFeatures(bank, MulticalibratedForecaster(levels, bank.num_groups, rate))
        old = explored.game
        begun = ForecastingState(
            forecaster.init(dtype=old.residuals.dtype), old.sequence, old.context, old.residuals,
            old.last,
        )  # fmt: skip
        state = SolverState(explored.root, explored.step, begun)
        second = ForecastingGame(forecaster, sequence)
        state, (errors, _) = play_rounds(solver, second, state, rest, every, False)
        return errors, state.game.residuals, state.game.forecaster, bank

    numbers = jnp.arange(num_replications, dtype=jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    errors, residuals, state, bank = jax.vmap(run)(keys)
    times = exploration + every * jnp.arange(1, rest // every + 1, dtype=jnp.int32)
    online = OnlineForecast(errors, times, residuals, None, None, None, None, state)
    return SubpopulationForecast(online, bank)

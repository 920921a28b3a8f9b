"""Online forecasting as a game, and the front door that plays it many times side by side."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from gamejax._checks import check_key
from gamejax._export import AbstractResult, over_time
from gamejax._joint import Sparse
from gamejax._loop import run_recorded
from gamejax._numerics import hash_key
from gamejax._types import State, Strategy
from gamejax.calibration._forecaster import AbstractForecaster, Law, pick, require
from gamejax.calibration._sequences import AbstractSequence
from gamejax.games import AbstractGame
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.solvers import AbstractSolver

DRAW, OUTCOME, CONTEXT = range(3)
"""The streams of random numbers of a round."""


class Round(eqx.Module):
    """What came of a round: the point, what was forecast, the outcome, the measured groups."""

    context: Any
    level: Int[Array, ""]
    forecast: Float[Array, "*classes"]
    outcome: Float[Array, "*classes"]
    groups: Float[Array, " groups"]


class ForecastingState(eqx.Module):
    """What the game carries.

    Attributes:
        forecaster, sequence: the states of those parts.
        context: of the coming round.
        residuals: sums of `group (outcome - forecast)` per level and group.
        last: the round before.
    """

    forecaster: State
    sequence: State
    context: Any
    residuals: Float[Array, "points groups *classes"]
    last: Round


class ForecastingGame(AbstractGame):
    r"""Online calibration as a game: laws over levels against nature and a no-regret adversary.

    The only player chooses the law of the next forecast. A round (`sample`) draws from it, draws
    the outcome, lets the adversary (the forecaster's weights) learn, and reveals the scores of
    all levels for the next point: the utility to which `learners.SignChange` is the best
    response, so that `play(ForecastingGame(forecaster, sequence), SelfPlay(SignChange()), T)` is
    online multicalibration. `forecast_online` does the same without dense laws.

    Args:
        forecaster: whose weights on the past are the adversary.
        sequence: nature.
    """

    forecaster: AbstractForecaster
    sequence: AbstractSequence

    def __init__(self, forecaster: AbstractForecaster, sequence: AbstractSequence):
        self.forecaster = forecaster
        self.sequence = sequence

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, ...]:
        return (Simplex(self.forecaster.num_points),)

    @property
    def dtype(self) -> Any:
        return jnp.result_type(self.forecaster.values(self.forecaster.init()))

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Array:
        """Before the first round the adversary has no opinion."""
        return jnp.zeros(self.forecaster.num_points, self.dtype)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> ForecastingState:
        key = _require(key)
        begun = self.forecaster.init(dtype=dtype)
        values = self.forecaster.values(begun)
        sequence = self.sequence.init(key=hash_key(key, OUTCOME), dtype=values.dtype)
        context, sequence = self.sequence.context(
            sequence, key=hash_key(key, CONTEXT), step=jnp.ones((), jnp.int32), dtype=values.dtype
        )
        groups = self.sequence.groups(context).astype(values.dtype)
        nothing = jnp.zeros_like(values[0])
        last = Round(context, jnp.zeros((), jnp.int32), nothing, nothing, jnp.zeros_like(groups))
        shape = (values.shape[0], *groups.shape, *values.shape[1:])
        return ForecastingState(begun, sequence, context, jnp.zeros(shape, values.dtype), last)

    def sample(
        self,
        profile: tuple[Strategy, ...],
        state: ForecastingState,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[tuple[Array, ...], ForecastingState]:
        law = profile[0]
        every = jnp.arange(law.shape[0], dtype=jnp.int32)
        whole = Law(Sparse(every, law), self.forecaster.values(state.forecaster))
        state = self.round(state, whole, key=key, step=step)
        return (self.forecaster.scores(state.forecaster, state.context),), state

    def round(
        self, state: ForecastingState, law: Law, *, key: PRNGKeyArray | None, step: Array
    ) -> ForecastingState:
        """One round in which the forecast is drawn from `law`."""
        key = _require(key)
        level, forecast = law.draw(hash_key(key, DRAW))
        outcome, sequence = self.sequence.outcome(
            state.context, law, state.sequence, key=hash_key(key, OUTCOME), step=step
        )
        moved = self.forecaster.learn(state.forecaster, state.context, level, outcome)
        groups = self.sequence.groups(state.context).astype(forecast.dtype)
        error = outcome - forecast
        error = groups.reshape(groups.shape + (1,) * error.ndim) * error[None]
        residuals = jax.lax.dynamic_update_index_in_dim(
            state.residuals, pick(state.residuals, level) + error, level, 0,
            allow_negative_indices=False,
        )  # fmt: skip
        context, sequence = self.sequence.context(
            sequence, key=hash_key(key, CONTEXT), step=step + 1, dtype=forecast.dtype
        )
        last = Round(state.context, level, forecast, outcome, groups)
        return ForecastingState(moved, sequence, context, residuals, last)


class SolverState(eqx.Module):
    """Two random words, the rounds played, the state of the game."""

    root: UInt32[Array, "2"]
    step: Int[Array, ""]
    game: ForecastingState


class Forecasting(AbstractSolver):
    """The forecaster plays its own law in a `ForecastingGame`.

    Args:
        horizon: rounds beyond it change nothing, so that runs of different lengths can be mapped
            in one program; default none.
    """

    horizon: int | Int[Array, ""] | None = None

    def init(
        self, game: Any, *, key: PRNGKeyArray | None, dtype: Any, start: Any = None
    ) -> SolverState:
        state = game.init(key=key, dtype=dtype)
        return SolverState(jax.random.key_data(_require(key))[:2], jnp.zeros((), jnp.int32), state)

    def step(self, game: Any, state: SolverState, *, key: PRNGKeyArray | None) -> SolverState:
        step = state.step + 1
        own = hash_key(jax.random.wrap_key_data(state.root, impl="threefry2x32"), step)
        law = game.forecaster.law(state.game.forecaster, state.game.context)
        moved = SolverState(state.root, step, game.round(state.game, law, key=own, step=step))
        if self.horizon is None:
            return moved
        playing = step <= jnp.asarray(self.horizon, jnp.int32)
        return jax.tree.map(lambda new, old: jnp.where(playing, new, old), moved, state)

    def profile(self, state: SolverState) -> tuple[Array]:
        """How the residuals are spread over the levels, as shares."""
        sizes = jnp.abs(state.game.residuals)
        sizes = sizes.reshape(len(sizes), -1).sum(1)
        return (sizes / jnp.maximum(sizes.sum(), jnp.finfo(sizes.dtype).tiny),)


class OnlineForecast(AbstractResult):
    r"""What `forecast_online` returns; replications lead.

    Attributes:
        errors: $\max_{g, v} |\sum_t g(x_t) 1[p_t = v](y_t - p_t)|$ over time, not divided by it,
            `(replications, records)`; with classes the largest over those too.
        times: the rounds after which they were taken, `(records,)`.
        residuals: those sums at the end, `(replications, points, groups)` and classes.
        forecasts, outcomes: of every round, `(replications, rounds)` and classes; `None` unless
            they were kept. `groups`, `(replications, rounds, groups)`, and `levels` likewise.
        state: the forecaster's last state, to go on from or to forecast with.
    """

    errors: Float[Array, "*batch replications records"]
    times: Int[Array, "*batch records"]
    residuals: Float[Array, "..."]
    forecasts: Array | None
    outcomes: Array | None
    groups: Array | None
    levels: Array | None
    state: State

    @property
    def group_errors(self) -> Float[Array, "*batch replications groups"]:
        r"""The final error of each group: $\max_v$ alone."""
        sizes = jnp.abs(self.residuals)
        axis = self.errors.ndim - 1  # that of the levels, then of the groups
        largest = jnp.max(sizes, axis=axis)
        return largest.reshape(*largest.shape[: axis + 1], -1).max(-1)

    def _columns(self) -> dict[str, Any]:
        """A row for each record of each replication."""
        return over_time(self.times, {"error": self.errors}, self.errors.shape)


def forecast_online(
    forecaster: AbstractForecaster,
    sequence: AbstractSequence,
    num_rounds: int,
    *,
    key: PRNGKeyArray,
    num_replications: int = 1,
    record_every: int | None = None,
    horizon: int | Int[Array, ""] | None = None,
    keep: bool = False,
    dtype: Any = None,
) -> OnlineForecast:
    r"""Forecast a whole sequence, many times over, side by side.

    One compiled program: a scan over rounds of a step for all replications. Other numbers
    (rates, means, horizons, keys) do not compile again; map it with `jax.vmap`. Replication $r$
    draws from `jax.random.fold_in(key, r)` and nothing else. To forecast in a loop of your own use
    `forecaster.forecast` and `forecaster.update`.

    Args:
        forecaster: such as `MulticalibratedForecaster(100)`.
        sequence: where contexts and outcomes come from, such as `Outcomes(outcomes, groups)`.
        num_rounds: $T$.
        key: the random key.
        num_replications: how many independent runs.
        record_every: take errors after each so many rounds; default at the end only.
        horizon: rounds beyond it change nothing; for runs of several lengths in one program.
        keep: return every forecast and outcome too.
        dtype: to compute in; default that of the forecaster.

    Raises:
        TypeError: `forecaster` or `sequence` is something else.
        ValueError: a count is below 1, or the sequence is shorter than `num_rounds`.
    """
    check_key(key)
    if not isinstance(forecaster, AbstractForecaster):
        raise TypeError(f"forecaster must be a forecaster, got {type(forecaster).__name__}.")
    if not isinstance(sequence, AbstractSequence):
        raise TypeError(
            "sequence must be a sequence such as Outcomes(outcomes), got "
            f"{type(sequence).__name__}."
        )
    every = num_rounds if record_every is None else record_every
    for name, count in (
        ("num_rounds", num_rounds),
        ("num_replications", num_replications),
        ("record_every", every),
    ):
        require(count, name, 1)
    if every > num_rounds:
        raise ValueError(f"record_every must be at most num_rounds {num_rounds}, got {every}.")
    longest = sequence.num_rounds
    if longest is not None and num_rounds > longest:
        raise ValueError(f"num_rounds is {num_rounds}, but the sequence has {longest} rounds.")
    check_outcomes(forecaster, sequence)
    return _forecast(
        forecaster, sequence, key, horizon, num_rounds, num_replications, every, keep, dtype
    )


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7, 8))
def _forecast(
    forecaster: AbstractForecaster,
    sequence: AbstractSequence,
    key: PRNGKeyArray,
    horizon: Any,
    num_rounds: int,
    num_replications: int,
    every: int,
    keep: bool,
    dtype: Any,
) -> OnlineForecast:
    if dtype is not None:
        forecaster = jax.tree.map(
            lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, forecaster
        )
    game, solver = ForecastingGame(forecaster, sequence), Forecasting(horizon)
    numbers = jnp.arange(num_replications, dtype=jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)

    def run(key: PRNGKeyArray) -> tuple[SolverState, Any]:
        start = solver.init(game, key=key, dtype=dtype)
        return play_rounds(solver, game, start, num_rounds, 1 if keep else every, keep)

    state, (errors, rounds) = jax.vmap(run)(keys)
    step = every if keep else 1
    times = every * jnp.arange(1, num_rounds // every + 1, dtype=jnp.int32)
    return OnlineForecast(
        errors[:, step - 1 :: step],
        times,
        state.game.residuals,
        rounds and rounds.forecast,
        rounds and rounds.outcome,
        rounds and rounds.groups,
        rounds and rounds.level,
        state.game.forecaster,
    )


def play_rounds(
    solver: AbstractSolver,
    game: ForecastingGame,
    state: SolverState,
    num_rounds: int,
    every: int,
    keep: bool,
) -> tuple[SolverState, Any]:
    """Some rounds of one replication; the largest residual and, if kept, the last round."""

    def record(state: SolverState) -> tuple[Array, Round | None]:
        return jnp.max(jnp.abs(state.game.residuals)), state.game.last if keep else None

    return run_recorded(
        solver, game, state, state.step, num_steps=num_rounds, every=every, record=record,
        key=None, unroll=1,
    )  # fmt: skip


def _require(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("Forecasts are drawn at random: pass key=jax.random.key(seed).")
    return key


def check_outcomes(forecaster: AbstractForecaster, sequence: AbstractSequence) -> None:
    """Refuse vectors where numbers are forecast, and the other way round.

    Raises:
        ValueError: the message names both.
    """
    shape = jax.eval_shape(lambda: forecaster.values(forecaster.init())).shape[1:]
    wanted = () if sequence.num_classes is None else (sequence.num_classes,)
    if shape != wanted:
        raise ValueError(
            f"forecaster makes forecasts of shape {shape}, but the outcomes of the sequence have "
            f"shape {wanted}."
        )

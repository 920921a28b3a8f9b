"""Panprediction: one predictor for every loss, group and task; its audit and its regret."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._checks import check_key, check_tolerance
from gamejax._export import AbstractResult
from gamejax._loop import run_recorded
from gamejax._numerics import HIGHEST, safe_divide
from gamejax._solution import RESULTS
from gamejax._solve import solve
from gamejax._types import Numbers, Scalar, State
from gamejax.calibration._forecaster import AbstractForecaster, require
from gamejax.calibration._online import Forecasting, ForecastingGame, check_outcomes
from gamejax.calibration._sequences import AbstractSequence
from gamejax.calibration._step_forecaster import RandomizedPredictor
from gamejax.calibration._steps import Data, WorstStep, as_columns, as_data, find_worst
from gamejax.games import AbstractGame
from gamejax.games._normal_form import as_payoffs
from gamejax.sets import AbstractStrategySet, Box
from gamejax.solvers import AbstractSolver


class StepCalibrationGame(AbstractGame):
    """A predictor of probabilities against an auditor who best-responds with the worst step.

    The predictor's utility is the direction in which that step pulls.
    """

    scores: Float[Array, " points"]
    data: Data

    def __init__(self, scores: Float[Array, " points"], data: Data):
        self.scores = scores
        self.data = data

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, ...]:
        return (Box(0.0, 1.0, self.scores.shape[0]),)

    @property
    def hypotheses(self) -> Float[Array, "hypotheses points"]:
        """The hypotheses in the points' own order."""
        ranks = jnp.argsort(self.data.orders, axis=1)
        return jnp.take_along_axis(self.data.hypotheses, ranks, axis=1)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        worst = find_worst(profile[0], self.data)
        return self.data.weights * worst.sign * self.step(worst, profile[0])

    def step(self, worst: WorstStep, p: Array) -> Float[Array, " points"]:
        """$g 1[u <= v]$ of all points."""
        return _step(worst, p, self.data.groups, self.hypotheses)


class StepHistory(eqx.Module):
    """The steps of a predictor, one after another; `amount` is 0 where there is none."""

    group: Int[Array, " steps"]
    hypothesis: Int[Array, " steps"]
    threshold: Float[Array, " steps"]
    amount: Float[Array, " steps"]


class StepAuditState(eqx.Module):
    """Forecasts, the steps taken, their number."""

    scores: Float[Array, " points"]
    history: StepHistory
    count: Int[Array, ""]


class StepAudit(AbstractSolver):
    r"""Deterministic panprediction: forecasts move against the worst step until there is none.

    $p \leftarrow \mathrm{clip}(p + \eta\, s\, g\, 1[u \le v])$ with the worst step of error $e$ and
    sign $s$, $\eta = e/E[g^2 1[u \le v]]$. Then $\tfrac12 E(y - p)^2$ falls by at least
    $e^2/(2 E[g^2 1[u \le v]]) \ge e^2/2$, so $1/\varepsilon^2$ steps reach error $\varepsilon$.
    `certificate` is the step calibration error. [derived]

    Args:
        capacity: the most steps that are remembered, and taken.
    """

    capacity: int = eqx.field(static=True)

    def init(
        self, game: Any, *, key: PRNGKeyArray | None, dtype: Any, start: Any = None
    ) -> StepAuditState:
        scores = game.scores if start is None else start[0]
        none = jnp.zeros(self.capacity, jnp.int32)
        zero = jnp.zeros(self.capacity, scores.dtype)
        history = StepHistory(none, none, zero, zero)
        return StepAuditState(scores, history, jnp.zeros((), jnp.int32))

    def step(self, game: Any, state: StepAuditState, *, key: Any) -> StepAuditState:
        worst = find_worst(state.scores, game.data)
        history, place = state.history, state.count
        pull = game.step(worst, state.scores)
        mass = jnp.vdot(game.data.weights, pull * pull, precision=HIGHEST)
        amount = worst.sign * safe_divide(worst.error, mass)
        scores = jnp.clip(state.scores + amount * pull, 0, 1)
        history = StepHistory(
            history.group.at[place].set(worst.group),
            history.hypothesis.at[place].set(worst.hypothesis),
            history.threshold.at[place].set(worst.threshold),
            history.amount.at[place].set(amount),
        )
        return StepAuditState(scores, history, place + 1)

    def profile(self, state: StepAuditState) -> tuple[Array]:
        return (state.scores,)

    def certificate(self, game: Any, profile: Any) -> Scalar:
        return find_worst(profile[0], game.data).error

    def status(self, state: StepAuditState) -> RESULTS:
        full = state.count >= self.capacity
        return RESULTS.where(full, RESULTS.max_steps_reached, RESULTS.running)


class Panpredictor(AbstractResult):
    r"""Base forecasts and the steps that corrected them.

    Attributes:
        steps: what was done, replayed for new points.
        scores: the forecasts of the points it was made on.
        error: their step calibration error.
        num_steps: how many steps.
        result: `successful` where `error` is at most the tolerance.
    """

    steps: StepHistory
    scores: Float[Array, " points"]
    error: Scalar
    num_steps: Int[Array, ""]
    result: RESULTS

    def predict(
        self,
        scores: Numbers,
        groups: Numbers | None = None,
        hypotheses: Numbers | None = None,
    ) -> Float[Array, " points"]:
        """Forecasts of new points.

        Args:
            scores: their base forecasts, `(points,)`.
            groups: as at the beginning, one row for each point.
            hypotheses: likewise.
        """
        p = jnp.asarray(scores).astype(self.scores.dtype)
        g = as_columns(groups, "groups", len(p), p.dtype)
        h = as_columns(hypotheses, "hypotheses", len(p), p.dtype)
        g = jnp.ones((1, len(p)), p.dtype) if g is None else g
        h = jnp.zeros((0, len(p)), p.dtype) if h is None else h
        return _replay(self.steps, p, g, h)


def panpredict(
    scores: Numbers,
    labels: Numbers,
    groups: Numbers | None = None,
    hypotheses: Numbers | None = None,
    *,
    weights: Numbers | None = None,
    tol: float = 0.01,
    max_steps: int = 1000,
) -> Panpredictor:
    r"""A deterministic panpredictor: base forecasts, corrected until they are step calibrated.

    `solve` runs the game of a predictor against an auditor (`StepAudit`); at most
    $1/\text{tol}^2$ steps are needed. On the points given, its regret for every loss, group and
    hypothesis is then at most $(4 + \mathrm{TV})$ times `tol` (`panprediction_regret`); new points
    of the same law add what uniform convergence says. Derived here; the paper's own algorithm was
    not read.

    Args:
        scores: base forecasts, `(points,)`.
        labels: outcomes in $[0, 1]$, `(points,)`.
        groups: booleans or weights in $[0, 1]$, `(points, groups)`; default one of everyone.
        hypotheses: competitors, as numbers of actions or other ordered values,
            `(points, hypotheses)`.
        weights: of the points; default equal.
        tol: the step calibration error to reach.
        max_steps: at most so many steps.

    Raises:
        ValueError: the shapes do not fit, or a number is unusable.

    References:
        balakrishnan2026.
    """
    require(max_steps, "max_steps", 1)
    check_tolerance(tol)
    p, data = as_data(scores, labels, groups, hypotheses, weights)
    solution = solve(
        StepCalibrationGame(p, data), StepAudit(max_steps), tol=tol, max_steps=max_steps,
        check_every=1,
    )  # fmt: skip
    state = solution.state
    return Panpredictor(state.history, state.scores, solution.gap, state.count, solution.result)


def randomized_panpredictor(
    forecaster: AbstractForecaster,
    sequence: AbstractSequence,
    num_rounds: int,
    *,
    key: PRNGKeyArray,
    num_rules: int = 100,
) -> RandomizedPredictor:
    r"""The uniform mixture of an online forecaster's rules on examples drawn at random.

    By online-to-batch conversion the expected residuals of the mixture of all $T$ rules are those
    of the online run over $T$, up to $O(\sqrt{\ln(N/\delta)/T})$. Of the rules `num_rules` are
    kept, evenly spaced.

    Args:
        forecaster: such as `StepForecaster(num_levels, num_groups, num_hypotheses)`.
        sequence: the examples, such as `Outcomes(labels, contexts)`.
        num_rounds: $T$.
        key: the random key.
        num_rules: how many rules to keep.

    References:
        balakrishnan2026; cesabianchi2004.
    """
    check_key(key)
    require(num_rounds, "num_rounds", 1)
    require(num_rules, "num_rules", 1)
    if num_rules > num_rounds:
        raise ValueError(f"num_rules must be at most num_rounds {num_rounds}, got {num_rules}.")
    check_outcomes(forecaster, sequence)
    return RandomizedPredictor(forecaster, _rules(forecaster, sequence, key, num_rounds, num_rules))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _rules(
    forecaster: AbstractForecaster,
    sequence: AbstractSequence,
    key: PRNGKeyArray,
    num_rounds: int,
    num_rules: int,
) -> State:
    game, solver = ForecastingGame(forecaster, sequence), Forecasting()
    state = solver.init(game, key=key, dtype=None)
    return run_recorded(
        solver, game, state, state.step, num_steps=num_rounds // num_rules * num_rules,
        every=num_rounds // num_rules, record=lambda state: (state.game.forecaster,), key=None,
        unroll=1,
    )[1][0]  # fmt: skip


class PanpredictionRegret(AbstractResult):
    r"""What panpredictions lose against hypotheses.

    Attributes:
        regret: $E[g\,(\ell(k_\ell(p), y) - \ell(h, y))]$, `(losses, groups, hypotheses)`.
        bound: $(4 + \mathrm{TV})$ times the step calibration error, `(losses,)`, with TV the total
            variation of $\ell(\cdot, 1) - \ell(\cdot, 0)$ along the actions.
    """

    regret: Float[Array, "losses groups hypotheses"]
    bound: Float[Array, " losses"]


def panprediction_regret(
    scores: Numbers,
    labels: Numbers,
    losses: Numbers,
    hypotheses: Numbers,
    groups: Numbers | None = None,
    *,
    weights: Numbers | None = None,
) -> PanpredictionRegret:
    r"""The regret of acting on forecasts, for many losses, groups and hypotheses at once.

    With $\Delta\ell(a) = \ell(a, 1) - \ell(a, 0)$ the regret of $k_\ell(p)$ is at most
    $E[g\,\Delta\ell(k_\ell(p))(y - p)] - E[g\,\Delta\ell(h)(y - p)]$. The first function falls in
    $p$ (losses lie in $[0, 1]$), so it is a mixture of steps $1[p \le v]$ of mass at most 3; the
    second one of steps $1[h \le v]$ of mass at most $1 + \mathrm{TV}$. Hence the bound, for all
    losses whatever. [derived; the decomposition is also machine-checked elsewhere]

    Args:
        scores: forecasts, `(points,)`.
        labels: outcomes in $[0, 1]$, `(points,)`.
        losses: tables of values in $[0, 1]$, `(losses, actions, 2)`; the last axis is the outcome.
        hypotheses: the actions that competitors choose, integers `(points, hypotheses)`.
        groups: booleans or weights in $[0, 1]$, `(points, groups)`; default one of everyone.
        weights: of the points; default equal.

    Raises:
        ValueError: the shapes do not fit.

    References:
        balakrishnan2026; gopalan2022.
    """
    table = as_payoffs(losses, "losses")
    if table.ndim != 3 or table.shape[2] != 2:
        raise ValueError(f"losses must have shape (losses, actions, 2), got {table.shape}.")
    actions = jnp.asarray(hypotheses)
    if not jnp.issubdtype(actions.dtype, jnp.integer):
        raise ValueError(f"hypotheses must be integers, numbers of actions, got {actions.dtype}.")
    p, data = as_data(scores, labels, groups, actions, weights)
    return _regret(p, data, table.astype(p.dtype), actions.T.astype(jnp.int32))


@jax.jit
def _regret(
    p: Float[Array, " points"],
    data: Data,
    losses: Float[Array, "losses actions 2"],
    hypotheses: Int[Array, "hypotheses points"],
) -> PanpredictionRegret:
    weighted = data.groups * data.weights[None, :]

    def of_loss(loss: Array) -> tuple[Array, Array]:
        def expected(action: Array) -> Array:
            zero, one = loss[:, 0][action], loss[:, 1][action]
            return zero + (one - zero) * _like(data.labels, zero)

        own = expected(best_action(loss, p))
        others = expected(hypotheses)
        regret = jnp.matmul(weighted, (own[None, :] - others).T, precision=HIGHEST)
        difference = loss[:, 1] - loss[:, 0]
        return regret, jnp.abs(jnp.diff(difference)).sum()

    regret, variation = jax.lax.map(of_loss, losses)
    return PanpredictionRegret(regret, (4 + variation) * find_worst(p, data).error)


def best_action(
    loss: Float[Array, "actions 2"], forecasts: Float[Array, " points"]
) -> Int[Array, " points"]:
    r"""The post-processing $k_\ell(p) = \arg\min_a\, p\,\ell(a, 1) + (1 - p)\,\ell(a, 0)$.

    Ties go to the first action. On a grid of forecasts it is the table that turns a panpredictor
    into a decision rule for this loss.

    Args:
        loss: of every action and outcome.
        forecasts: $p$, any points or a grid.
    """
    loss, p = jnp.asarray(loss), jnp.asarray(forecasts)
    if loss.ndim != 2 or loss.shape[1] != 2 or p.ndim != 1:
        raise ValueError(
            "loss must have shape (actions, 2) and forecasts (points,), got "
            f"{loss.shape} and {p.shape}."
        )
    loss = loss.astype(p.dtype)
    expected = loss[:, 0][:, None] + (loss[:, 1] - loss[:, 0])[:, None] * p[None, :]
    return jnp.argmin(expected, axis=0).astype(jnp.int32)


def _step(worst: Any, p: Array, groups: Array, hypotheses: Array) -> Float[Array, " points"]:
    variable = p
    if hypotheses.shape[0]:
        number = jnp.maximum(worst.hypothesis, 0)
        variable = jnp.where(worst.hypothesis < 0, p, hypotheses[number])
    return jnp.where(variable <= worst.threshold, groups[worst.group], 0)


@jax.jit
def _replay(steps: StepHistory, p: Array, groups: Array, hypotheses: Array) -> Array:
    def one(p: Array, step: StepHistory) -> tuple[Array, None]:
        return jnp.clip(p + step.amount * _step(step, p, groups, hypotheses), 0, 1), None

    return jax.lax.scan(one, p, steps)[0]


def _like(labels: Array, values: Array) -> Array:
    """The labels in a shape that spreads over the hypotheses."""
    return jnp.broadcast_to(labels, values.shape)

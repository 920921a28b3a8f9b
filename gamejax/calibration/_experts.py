"""Forecasters that best-respond to weighted experts: adaptive, multiclass, over any bins."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gamejax._joint import Joint, Sparse
from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar, State
from gamejax.calibration._forecaster import (
    AbstractForecaster,
    Groups,
    Law,
    as_groups,
    pick,
    require,
    sign_change,
)
from gamejax.calibration._weightings import AbstractWeighting, AdaNormalHedge, HedgeWeighting
from gamejax.games import MatrixGame
from gamejax.games._normal_form import as_payoffs
from gamejax.solvers import AbstractSolver, SimplexMethod

Bins = Callable[[Array], Array] | Numbers | None
"""Binning functions: of all points, their values at given points, or `None` for one per point."""


class ExpertState(NamedTuple):
    """What the experts gained, per start, group, bin, class and sign; rounds so far."""

    experts: State
    step: Int[Array, ""]


class ExpertForecaster(AbstractForecaster):
    r"""A forecaster that answers weighted experts (start, group, bin, class, sign).

    An expert claims that outcomes exceed (or fall short of) forecasts in a bin, for a group, since
    its start. With weights $\pi$ on them, $\theta_{g,i,j}$ the difference of those of the two
    signs, the expected gain of forecasting $p$ when $h$ comes is $G(p) \cdot (h - p)$ with
    $G(p)_j = \sum_{g,i} g(x) w_i(p)\,\theta_{g,i,j}$. The forecaster draws $p$ from a law on
    `points` that keeps it small for every outcome: at a sign change of $G$ for probabilities, by
    solving the game of points against `vertices` for vectors. So no expert gains much more than
    the regret of the weights.

    With `num_starts` $L > 1$ the experts of level $l < L$ start anew in every round that is a
    multiple of $2^l$: any interval of rounds consists of at most $2L$ of theirs.

    Made by `adaptive_forecaster` and `multiclass_forecaster`.

    Args:
        points: the forecasts that may be made, rising `(points,)` or `(points, classes)`.
        bins: $w_i(p) \in [0, 1]$ of every point, `(points, bins)`.
        vertices: what outcomes are mixtures of, `(vertices, classes)`; `None` for numbers in
            $[0, 1]$.
        weighting: how experts are weighted.
        minimax: a solver of matrix games that gives the law for vectors.
        num_groups: the context is the point's groups, numbers in $[0, 1]$.
        num_starts: $L$; 1 for a single start at the beginning.
        solver_steps: how many steps of `minimax` a round takes at most.
    """

    points: Float[Array, "points *classes"]
    bins: Float[Array, "points bins"]
    vertices: Float[Array, "vertices classes"] | None
    weighting: AbstractWeighting
    minimax: AbstractSolver
    num_groups: int = eqx.field(static=True)
    num_starts: int = eqx.field(static=True)
    solver_steps: int = eqx.field(static=True)

    @property
    def num_points(self) -> int:
        return self.points.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many starts, groups, bins, classes and signs there are."""
        classes = 1 if self.vertices is None else self.points.shape[1]
        return self.num_starts, self.num_groups, self.bins.shape[1], classes, 2

    def init(self, *, dtype: Any = None) -> ExpertState:
        experts = self.weighting.init(self.shape, dtype=self.points.dtype)
        return ExpertState(experts, jnp.zeros((), jnp.int32))

    def values(self, state: ExpertState) -> Float[Array, "points *classes"]:
        return self.points

    def weights(self, state: ExpertState, groups: Groups) -> Float[Array, "*experts"]:
        """The experts' weights, 0 where the point is not in their group."""
        awake = (groups > 0)[None, :, None, None, None]
        logs = jnp.where(awake, self.weighting.log_weights(state.experts), -jnp.inf)
        # Where no expert has weight, all that are awake have the same.
        logs = jnp.where(jnp.max(logs) > -jnp.inf, logs, jnp.where(awake, 0, -jnp.inf))
        return jnp.where(awake, jax.nn.softmax(logs, axis=(0, 1, 2, 3, 4)), 0)

    def gradients(self, state: ExpertState, context: Any) -> Float[Array, "points classes"]:
        """$G$ at every point."""
        groups = as_groups(context, self.num_groups, self.points.dtype)
        weights = self.weights(state, groups)
        signed = (weights[..., 0] - weights[..., 1]).sum(0)
        of_bins = jnp.tensordot(groups, signed, 1, precision=HIGHEST)
        return jnp.matmul(self.bins, of_bins, precision=HIGHEST)

    def scores(self, state: ExpertState, context: Any) -> Float[Array, " points"]:
        if self.vertices is not None:
            return super().scores(state, context)
        return self.gradients(state, context)[:, 0]

    def law(self, state: ExpertState, context: Any = None) -> Law:
        gradients = self.gradients(state, context)
        if self.vertices is None:
            zero = jnp.zeros_like(gradients[0, 0])
            choice = sign_change(
                lambda level: (pick(gradients, level)[0], zero),
                jnp.asarray(self.num_points, jnp.int32),
                self.num_points,
            )
            return Law(choice, self.points[choice.actions])
        game = MatrixGame(self._gains(gradients))
        begun = self.minimax.init(game, key=None, dtype=gradients.dtype)
        solved = self.minimax.advance(
            game, begun, jnp.zeros((), jnp.int32), self.solver_steps, key=None
        )
        profile = self.minimax.profile(solved)
        if isinstance(profile, Joint):
            raise TypeError("minimax must be a solver that gives one strategy to each player.")
        found = profile[1]
        return Law(Sparse(jnp.arange(self.num_points, dtype=jnp.int32), found), self.points)

    def slack(self, state: ExpertState, context: Any = None) -> Scalar:
        """The most that experts expect to gain in this round, whatever comes out."""
        law, gradients = self.law(state, context), self.gradients(state, context)
        gains = self._gains(gradients)[:, law.choice.actions]
        return jnp.max(jnp.matmul(gains, law.choice.probabilities, precision=HIGHEST))

    def learn(
        self, state: ExpertState, context: Any, level: Int[Array, ""], outcome: Array
    ) -> ExpertState:
        groups = as_groups(context, self.num_groups, self.points.dtype)
        residual = (outcome - pick(self.points, level)).reshape(-1)
        binned = groups[:, None] * pick(self.bins, level)[None, :]
        gains = binned[:, :, None] * residual[None, None, :]
        gains = jnp.broadcast_to(jnp.stack([gains, -gains], axis=-1)[None], self.shape)
        mean = jnp.vdot(self.weights(state, groups), gains, precision=HIGHEST)
        awake = (groups > 0)[None, :, None, None, None]
        moved = self.weighting.update(state.experts, gains, mean)
        experts = _where(jnp.broadcast_to(awake, self.shape), moved, state.experts)
        step = state.step + 1
        if self.num_starts > 1:
            length = 2 ** jnp.arange(self.num_starts, dtype=jnp.int32)
            ends = (step % length == 0)[:, None, None, None, None]
            begun = self.weighting.init(self.shape, dtype=self.points.dtype)
            experts = _where(jnp.broadcast_to(ends, self.shape), begun, experts)
        return ExpertState(experts, step)

    def _gains(self, gradients: Array) -> Float[Array, "vertices points"]:
        r"""$G(p) \cdot (e - p)$ of all points $p$ and vertices $e$."""
        if self.vertices is None:
            return gradients[:, 0][None, :] * (
                jnp.arange(2, dtype=self.points.dtype)[:, None] - self.points[None, :]
            )
        at_point = (gradients * self.points).sum(1)
        return jnp.matmul(self.vertices, gradients.T, precision=HIGHEST) - at_point[None, :]


def adaptive_forecaster(
    horizon: int,
    num_levels: int | None = None,
    *,
    points: Numbers | None = None,
    vertices: Numbers | None = None,
    bins: Bins = None,
    weighting: AbstractWeighting | None = None,
    num_groups: int = 1,
    adaptive: bool = True,
    minimax: AbstractSolver | None = None,
    solver_steps: int | None = None,
) -> ExpertForecaster:
    r"""A forecaster that is calibrated on every interval of rounds at once.

    For binning functions $w_i$ and an interval $I$ of rounds let
    $G_i = \sum_{t \in I} w_i(p_t)(h_t - p_t)$ (see `interval_residuals`). With `AdaNormalHedge`
    $$\|G_i\|_\infty = O\big(\sqrt{|I| \ln(b m T/\delta)}\big) + \varepsilon |I|$$
    for all intervals with probability $1 - \delta$, $\varepsilon$ the spacing of the points, up to
    logarithmic factors for the cover by dyadic intervals [derived]. Its experts start anew in
    rounds that are multiples of $1, 2, 4, \dots$, so $\log_2 T + 1$ starts are alive.

    Args:
        horizon: $T$, the rounds to come (more change nothing but the longest interval covered).
        num_levels: forecasts are the middles of so many cells of $[0, 1]$; default `points`.
        points: the forecasts that may be made: rising numbers in $[0, 1]$, or vectors.
        vertices: what vector outcomes are mixtures of; default the unit vectors.
        bins: binning functions: a function of all points that returns values in $[0, 1]$ of shape
            `(points, bins)`, or those values; default one bin per point.
        weighting: `AdaNormalHedge()` by default; `Prod()` for bounds that follow the bin's size.
        num_groups: the context is the point's groups.
        adaptive: `False` for the single start at the first round: ordinary calibration.
        minimax: solver of the rounds' matrix games for vectors; default `solvers.SimplexMethod()`.
        solver_steps: its steps per round at most; default enough for the simplex method.

    Raises:
        ValueError: a size is unusable; the message names it.

    References:
        haghtalab2023b (adaptive calibration); luo2015.
    """
    require(horizon, "horizon", 1)
    require(num_groups, "num_groups", 1)
    if (num_levels is None) == (points is None):
        raise ValueError("pass either num_levels or points.")
    if num_levels is not None:
        require(num_levels, "num_levels", 1)
        points = (np.arange(num_levels) + 0.5) / num_levels
    net = as_payoffs(points, "points")
    if net.ndim not in (1, 2) or net.size == 0:
        raise ValueError(f"points must have shape (points,) or (points, classes), got {net.shape}.")
    corners = None
    if net.ndim == 2:
        corners = jnp.eye(net.shape[1], dtype=net.dtype) if vertices is None else vertices
        corners = as_payoffs(corners, "vertices").astype(net.dtype)
        if corners.ndim != 2 or corners.shape[1] != net.shape[1]:
            raise ValueError(
                f"vertices must have shape (vertices, {net.shape[1]}), got {corners.shape}."
            )
    elif vertices is not None:
        raise ValueError("vertices are for points that are vectors.")
    values = bins(net) if callable(bins) else bins
    values = jnp.eye(len(net), dtype=net.dtype) if values is None else as_payoffs(values, "bins")
    if values.ndim != 2 or len(values) != len(net):
        raise ValueError(f"bins must give shape ({len(net)}, bins), got {values.shape}.")
    steps = 4 * (len(net) + net.shape[-1]) if solver_steps is None else solver_steps
    return ExpertForecaster(
        net,
        values.astype(net.dtype),
        corners,
        AdaNormalHedge() if weighting is None else weighting,
        SimplexMethod() if minimax is None else minimax,
        num_groups,
        math.ceil(math.log2(horizon)) + 1 if adaptive else 1,
        steps,
    )


def multiclass_forecaster(
    num_classes: int,
    parts: int,
    *,
    num_groups: int = 1,
    learning_rate: float | Scalar | None = None,
    minimax: AbstractSolver | None = None,
    solver_steps: int | None = None,
) -> ExpertForecaster:
    r"""Online multicalibration of $k$ classes: Hedge over groups, points of a net, classes, signs.

    Forecasts are the points of $\Delta_k$ whose coordinates are multiples of $1/$`parts`;
    outcomes vectors, such as one-hot. The law solves the round's game of points against classes,
    of value at most $\|G\|_1 \le 1$ times the net's radius, so that with $N = 2 |\mathcal G| k$
    times the points and probability $1 - \delta$
    $$\max_{g, v, j} \Big|\sum_t g(x_t) 1[p_t = v](y_t - v)_j\Big| \le \sqrt{2 T \ln N}
    + T/\text{parts} + \sqrt{2 T \ln(1/\delta)}.$$

    Args:
        num_classes: $k \ge 2$.
        parts: the net's fineness; it has $\binom{\text{parts} + k - 1}{k - 1}$ points.
        num_groups: the context is the point's groups.
        learning_rate: Hedge's; `None` for the anytime rate, which doubles the first term.
        minimax: solver of the rounds' matrix games; default `solvers.SimplexMethod()`.
        solver_steps: its steps per round at most; default enough for the simplex method.

    References:
        haghtalab2023.
    """
    require(num_classes, "num_classes", 2)
    return adaptive_forecaster(
        1,
        points=simplex_net(num_classes, parts),
        weighting=HedgeWeighting(learning_rate),
        num_groups=num_groups,
        adaptive=False,
        minimax=minimax,
        solver_steps=solver_steps,
    )


def simplex_net(num_classes: int, parts: int) -> Float[Array, "points classes"]:
    r"""The probability vectors whose entries are multiples of $1/$`parts`."""
    require(num_classes, "num_classes", 1)
    require(parts, "parts", 1)
    rows = [[parts]]
    for _ in range(num_classes - 1):
        # Split the last entry in two in all ways.
        rows = [[*row[:-1], row[-1] - k, k] for row in rows for k in range(row[-1] + 1)]
    return jnp.asarray(np.asarray(rows) / parts, jnp.result_type(float))


def _where(mask: Array, yes: State, no: State) -> State:
    """`yes` where the mask, which spans the leading axes of every array, holds."""
    return jax.tree.map(
        lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b),
        yes, no,
    )  # fmt: skip

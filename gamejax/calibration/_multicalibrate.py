"""`multicalibrate`: predictions without bias on any group and level set, by playing a game."""

import functools
import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from gamejax._checks import check_count, check_key
from gamejax._export import AbstractResult, table
from gamejax._numerics import require_memory, safe_divide
from gamejax._solution import Solution
from gamejax._solve import solve
from gamejax._types import Scalar
from gamejax.calibration._audit import Audit
from gamejax.calibration._game import MulticalibrationGame, Objectives
from gamejax.calibration._groups import Membership
from gamejax.calibration._level_sets import Levels
from gamejax.calibration._multicalibration_error import (
    Normalization,
    Violation,
    as_scores,
    as_targets,
    as_weights,
    checked_groups,
    checked_normalization,
)
from gamejax.calibration._point_learners import PointHedge
from gamejax.feedback import Feedback
from gamejax.learners import AbstractLearner, BestResponse
from gamejax.sets import Simplex


class Replay(eqx.Module):
    r"""A multicalibrated predictor: the learner, and the list of what the auditor said.

    A new point goes through the rounds with the groups it belongs to and the level set of *its own*
    prediction in that round.

    Attributes:
        learner: moves each point.
        objectives: what the auditor could say.
        responses: what it said, per round: the number of one objective or a mixture of all.
        num_rounds: how many of the rounds to go through.
        num_classes: how many classes there are.
    """

    learner: AbstractLearner
    objectives: Objectives
    responses: Array
    num_rounds: Int[Array, ""]
    num_classes: int = eqx.field(static=True)

    def __call__(
        self, groups: ArrayLike, base_scores: ArrayLike | None = None, *, mixture: bool = False
    ) -> Float[Array, "points classes"]:
        """Predictions for points that belong to `groups`.

        Args:
            groups: a matrix `(points, groups)`, the groups as they were.
            base_scores: what was given to `multicalibrate`, for these points.
            mixture: the mean over all rounds in place of the chosen one: what the predictor that
                draws a round at random predicts on average.
        """
        dtype = self.objectives.scale.dtype
        start = None if base_scores is None else as_scores(base_scores).astype(dtype)
        return _replay(self, Membership.of(groups, dtype), start, mixture=bool(mixture))


@functools.partial(jax.jit, static_argnames="mixture")
def _replay(replay: Replay, membership: Membership, start: Array | None, *, mixture: bool) -> Array:
    dtype = replay.objectives.scale.dtype
    points = Simplex((membership.members.shape[0], replay.num_classes))
    if start is None:
        first = replay.learner.init(points, dtype=dtype)
    else:
        first = replay.learner.start(points, start, dtype=dtype)
    objectives = math.prod(replay.objectives.shape(replay.num_classes))

    def one_round(carry: Any, entry: Any) -> tuple[Any, None]:
        scores, state, total = carry
        number, said = entry
        if said.ndim == 0:
            said = jax.nn.one_hot(said, objectives, dtype=dtype)
        utility = replay.objectives.utility(said, scores, membership)
        seen = Feedback(utility, scores, jnp.ones_like(utility, dtype=bool))
        moved = replay.learner.update(points, seen, state, scores)
        # The chosen round is the one before the last move.
        going = mixture | (number + 1 < replay.num_rounds)
        kept = jax.tree.map(lambda new, old: jnp.where(going, new, old), moved, (scores, state))
        return (*kept, total + scores), None

    numbers = jnp.arange(replay.responses.shape[0], dtype=jnp.int32)
    carry = (*first, jnp.zeros_like(first[0]))
    (scores, _, total), _ = jax.lax.scan(one_round, carry, (numbers, replay.responses))
    return total / replay.responses.shape[0] if mixture else scores


class Multicalibration(AbstractResult):
    r"""What `multicalibrate` returns.

    Attributes:
        predictor: predicts new points.
        scores: predictions of all points given, `(points, classes)`.
        error: their multicalibration error on the points that chose the round, recomputed.
        violation: where their error on the audited points is largest, and all biases.
        errors: of the predictions of every round, on the audited points and each monitored set,
            `(rounds, 1 + monitors)`; infinite for rounds not played.
        chosen_round: counted from 1.
        mixture_error: of the predictor that draws a round at random, on the audited points.
        solution: the core's own `Solution`.
    """

    predictor: Replay
    scores: Float[Array, "points classes"]
    error: Scalar
    violation: Violation
    errors: Float[Array, "rounds sets"]
    chosen_round: Int[Array, ""]
    mixture_error: Scalar
    solution: Solution

    def _entries(self) -> dict[str, Any]:
        """The numbers; the predictor stays, and the core's solution says nothing more."""
        names = ("error", "errors", "chosen_round", "mixture_error", "violation", "scores")
        return {name: getattr(self, name) for name in names}

    def _columns(self) -> dict[str, Any]:
        """A row for each round: the error on the audited points, then on each monitored set."""
        rounds, sets = self.errors.shape
        names = ["error", *(f"monitor_{i}" for i in range(sets - 1))]
        values = {name: self.errors[:, i] for i, name in enumerate(names)}
        return table({"round": range(1, rounds + 1)}, values, (rounds,))


def multicalibrate(
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    base_scores: ArrayLike | None = None,
    num_classes: int | None = None,
    num_levels: int = 10,
    levels: Literal["joint", "coordinate", "none"] = "joint",
    normalization: Normalization = "points",
    num_rounds: int = 100,
    learner: AbstractLearner | None = None,
    auditor: AbstractLearner | None = None,
    weights: ArrayLike | None = None,
    monitors: ArrayLike | None = None,
    batch_size: int | None = None,
    tol: float | Scalar = 0.0,
    key: PRNGKeyArray | None = None,
    dtype: Any = None,
) -> Multicalibration:
    r"""Predictions that are unbiased on every group, at every level of the prediction.

    A predictor, one distribution over classes $h^t(x)$ per point, plays against an auditor of the
    objectives $(S, v, j, s)$ (see `multicalibration_error`). With `BestResponse` the auditor names
    the worst bias and the points concerned move against it. For the default learner, $w_S = 1$ and
    also $w_S = \sqrt{P(S)}$ (`normalization="sqrt"`, so that small groups get their share),
    $$\min_{t \le T} \mathrm{MC}(h^t) \le \sqrt{\ln k/(2T)}$$
    from the uniform start, on any data, whatever groups and levels: a step at a cell of mass $m$
    lowers the mean divergence from the labels by $\eta |R|/(2 w_S) - \eta^2 m/(32 w_S^2)$ or more.
    With a no-regret auditor (`Hedge`, `GridProd`) the bound is on `mixture_error`. A pure function:
    map it over seeds, labels, rates or learners with `jax.vmap`.

    Args:
        labels: classes `(points,)` or distributions `(points, classes)`.
        groups: booleans or weights in [0, 1], `(points, groups)`.
        base_scores: predictions to start from; default uniform.
        num_classes: $k$; default that of `base_scores`, else of the labels.
        num_levels: intervals per coordinate.
        levels: `"joint"`, `"coordinate"` or `"none"` (multiaccuracy), see `Levels`.
        normalization: see `multicalibration_error`.
        num_rounds: $T$, at most.
        learner: the predictor's, such as `PointHedge`, `PointProd`, `PointGradient`; default
            `PointHedge(sqrt(32 ln k / T))`.
        auditor: the adversary's; default `BestResponse()`.
        weights: of the points; default all alike. Points of weight 0 are predicted, not audited.
        monitors: further weights, `(points,)` or `(sets, points)`; the first set chooses the round.
        batch_size: so many points, drawn anew in every round with replacement, are what the auditor
            sees; default all points. $T$ rounds of one point each are enough for a no-regret
            auditor, in expectation over them.
        tol: stop once the error is at most this; looked at every 10 rounds.
        key: for learners that draw, and for `batch_size`.
        dtype: floating-point type; default that of `base_scores`, else JAX's.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.

    References:
        haghtalab2023.
    """
    check_key(key)
    check_count(num_rounds, "num_rounds", 1)
    if batch_size is not None:
        check_count(batch_size, "batch_size", 1)
        if key is None:
            raise ValueError("batch_size draws points: pass key=jax.random.key(...).")
    start = None if base_scores is None else as_scores(base_scores, "base_scores")
    dtype = dtype or (jnp.result_type(float) if start is None else start.dtype)
    targets = _targets(labels, num_classes, start, dtype)
    num_points, k = targets.shape
    game = MulticalibrationGame(
        targets,
        Membership.of(checked_groups(groups, num_points), dtype),
        as_weights(weights, num_points, dtype),
        Levels(num_levels, levels),
        checked_normalization(normalization),
        _monitors(monitors, num_points, dtype),
        batch_size,
    )
    learner = PointHedge(math.sqrt(32 * math.log(k) / num_rounds)) if learner is None else learner
    solver = Audit(learner, BestResponse() if auditor is None else auditor, int(num_rounds))
    objectives = math.prod(game.objectives.shape(k))
    if not solver.responds:
        size = jnp.dtype(dtype).itemsize
        require_memory(num_rounds * objectives * size, "the record of the auditor's mixtures")
    init = None
    if start is not None:
        init = (start.astype(dtype), jnp.full(objectives, 1 / objectives, dtype))
    check_every = num_rounds if isinstance(tol, int | float) and tol == 0 else min(10, num_rounds)
    solution = solve(
        game, solver, tol=tol, max_steps=num_rounds, check_every=check_every, key=key, init=init
    )
    return _result(game, solver, solution)


@eqx.filter_jit
def _result(game: MulticalibrationGame, solver: Audit, solution: Solution) -> Multicalibration:
    errors = solution.state.errors
    chosen = jnp.argmin(errors[:, min(1, errors.shape[1] - 1)]).astype(jnp.int32) + 1
    profile: Any = solution.profile
    scores = profile[0]
    replay = Replay(
        solver.learner, game.objectives, solution.state.responses, chosen, scores.shape[-1]
    )
    return Multicalibration(
        replay, scores, solution.gap, game.violation(scores), errors, chosen,
        solution.stats["mixture_error"], solution,
    )  # fmt: skip


def _targets(labels: ArrayLike, num_classes: int | None, start: Array | None, dtype: Any) -> Array:
    shape = jnp.shape(labels)
    if num_classes is None and start is not None:
        num_classes = start.shape[1]
    elif num_classes is None and len(shape) == 2:
        num_classes = shape[1]
    elif num_classes is None and isinstance(labels, Tracer):
        raise TypeError("num_classes is needed where labels are traced: pass num_classes=k.")
    elif num_classes is None:
        num_classes = max(2, int(np.max(np.asarray(labels), initial=0)) + 1)
    if not shape or (start is not None and start.shape != (shape[0], num_classes)):
        raise ValueError(
            f"labels must have one entry for each point of base_scores, got shape {shape}."
        )
    return as_targets(labels, shape[0], num_classes, dtype)


def _monitors(monitors: ArrayLike | None, num_points: int, dtype: Any) -> Array:
    if monitors is None:
        return jnp.zeros((0, num_points), dtype)
    found = jnp.asarray(monitors).astype(dtype)
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[1] != num_points:
        raise ValueError(
            f"monitors must have shape ({num_points},) or (sets, {num_points}), got "
            f"{jnp.shape(monitors)}."
        )
    return safe_divide(found, found.sum(1, keepdims=True))

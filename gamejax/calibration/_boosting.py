"""Boosting against an auditor of features: the game of log-odds, its solver and its replay."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, fold, safe_log
from gamejax._types import Profile, Scalar, Strategy, Utility
from gamejax.calibration._auditors import AbstractAuditor
from gamejax.calibration._level_sets import coordinates
from gamejax.games import AbstractGame
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.solvers import AbstractSolver

Scale = Literal["log-odds", "probability"]


class PredictionGame(AbstractGame):
    r"""One player, who predicts the label of every point and gains the log-likelihood.

    Weights with an axis in front make several such players of one, side by side: predictions have
    that axis too, and none depends on the others. So are folds boosted in one program.

    Attributes:
        targets: labels as distributions, `(points, classes)`.
        design: features, in the encoding that the auditor reads.
        weights: of the points, about 1 each; 0 for points held out.
        monitors: other weights under which losses are reported, `(sets, points)` for each model.
    """

    targets: Float[Array, "points classes"]
    design: Array
    weights: Float[Array, "*models points"]
    monitors: Float[Array, "*models sets points"]

    def __init__(self, targets: Array, design: Array, weights: Array, monitors: Array):
        self.targets, self.design = targets, design
        self.weights, self.monitors = weights, monitors

    @property
    def dtype(self) -> Any:
        return self.targets.dtype

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, ...]:
        return (Simplex((*self.weights.shape[:-1], *self.targets.shape)),)

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        # The gradient of the log-likelihood along the simplex is that of the Brier score, rescaled.
        targets = jnp.broadcast_to(self.targets, profile[0].shape)
        return self.weights[..., None] * (targets - profile[0])

    def losses(self, log_scores: Float[Array, "*models classes points"]) -> Array:
        """Mean log losses, `(*models, 1 + sets)`: under the weights, and those of each monitor."""
        weights = jnp.concatenate([self.weights[..., None, :], self.monitors], axis=-2)
        targets = jnp.broadcast_to(_across(self.targets), log_scores.shape)
        # Sums over points come first: those over the few classes of each point are slow on CPUs.
        total = jnp.matmul(weights, _across(targets * log_scores), precision=HIGHEST).sum(-1)
        return -total / jnp.maximum(weights.sum(-1), jnp.finfo(weights.dtype).tiny)


class BoostState(eqx.Module):
    """Log-odds or probabilities of the points, the complaints so far, losses of every round.

    A coordinate is a row, so that the points of each lie side by side.

    Row $t$ of `losses` has those after $t$ rounds, on the audited points and each monitored set.
    """

    point: Float[Array, "*models coordinates points"]
    complaints: Any
    losses: Float[Array, "rounds1 *models sets"]
    step: Int[Array, ""]


class Boosting(AbstractSolver):
    r"""Gradient boosting as audits: $z^{t+1}(x) = z^t(x) + \eta f^t(x, h^t(x))$, $h = \sigma(z)$.

    $f^t$ is what the auditor asks for when it sees the residuals $y - h^t$; it may depend on the
    point's own prediction. On the scale `"log-odds"` that is Newton boosting with shrinkage $\eta$;
    on `"probability"` (clipped to [0, 1]; two classes, or normalized) with a `GroupAuditor` of
    `choice="bias"`, `ridge=0` and $\eta = 1$ the classical algorithm.

    Args:
        auditor: finds where predictions are biased.
        num_rounds: how many complaints there is room for.
        learning_rate: $\eta$.
        scale: where complaints are added.

    References:
        friedman2001; hebertjohnson2018.
    """

    auditor: AbstractAuditor
    num_rounds: int = eqx.field(static=True)
    learning_rate: float | Scalar = 0.1
    scale: Scale = eqx.field(static=True, default="log-odds")

    def check(self, game: AbstractGame) -> None:
        if not isinstance(game, PredictionGame):
            raise TypeError(f"Boosting plays a PredictionGame, got {type(game).__name__}.")

    def init(
        self,
        game: Any,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> BoostState:
        scores = game.strategy_sets[0].center(dtype) if start is None else start[0]
        point = to_point(scores, self.scale)
        shapes = jax.eval_shape(lambda: self._ask(game, point, fold(key, 0))[0])
        room = jax.tree.map(
            lambda leaf: jnp.zeros((self.num_rounds, *leaf.shape), leaf.dtype), shapes
        )
        first = self._losses(game, point)
        losses = jnp.full((self.num_rounds + 1, *first.shape), jnp.inf, dtype).at[0].set(first)
        return BoostState(point, room, losses, jnp.zeros((), jnp.int32))

    def step(self, game: Any, state: BoostState, *, key: PRNGKeyArray | None) -> BoostState:
        complaint, change = self._ask(game, state.point, key)
        point = state.point + self.learning_rate * _across(change)
        number = state.step
        return BoostState(
            point,
            jax.tree.map(lambda room, new: room.at[number].set(new), state.complaints, complaint),
            state.losses.at[number + 1].set(self._losses(game, point)),
            number + 1,
        )

    def _ask(self, game: PredictionGame, point: Array, key: PRNGKeyArray | None) -> Any:
        """Complaint and change of every model; the key is the same for all."""

        def ask(point: Array, weights: Array) -> Any:
            scores = to_scores(point, self.scale)
            own = coordinates(scores)
            residuals = (coordinates(game.targets) - own) * weights[:, None]
            curvature = own * (1 - own) if self.scale == "log-odds" else jnp.ones_like(own)
            curvature = curvature * weights[:, None]
            return self.auditor.respond(game.design, scores, residuals, curvature, key=key)

        for _ in game.weights.shape[:-1]:
            ask = jax.vmap(ask)
        return ask(point, game.weights)

    def _losses(self, game: PredictionGame, point: Array) -> Array:
        if self.scale == "probability":
            return game.losses(safe_log(_across(to_scores(point, self.scale))))
        return game.losses(_log_scores(point))

    def profile(self, state: BoostState) -> Profile:
        return (to_scores(state.point, self.scale),)

    def certificate(self, game: Any, profile: Any) -> Scalar:
        """The log loss of the points audited, the mean of all models."""
        (scores,) = profile
        return game.losses(safe_log(_across(scores)))[..., 0].mean()


class Boosted(eqx.Module):
    """A boosted predictor: the auditor and the list of its complaints."""

    auditor: AbstractAuditor
    complaints: Any
    learning_rate: Any
    scale: Scale = eqx.field(static=True, default="log-odds")

    def __call__(
        self, design: Array, base_scores: Float[Array, "points classes"], num_rounds: Any
    ) -> Float[Array, "points classes"]:
        """Predictions after `num_rounds` rounds, each with the point's own prediction then."""

        def one_round(point: Array, entry: Any) -> tuple[Array, None]:
            number, complaint = entry
            change = self.auditor.change(complaint, design, to_scores(point, self.scale))
            moved = point + self.learning_rate * _across(change)
            return jnp.where(number < num_rounds, moved, point), None

        room = jax.tree.leaves(self.complaints)[0].shape[0]
        numbers = jnp.arange(room, dtype=jnp.int32)
        start = to_point(base_scores, self.scale)
        point, _ = jax.lax.scan(one_round, start, (numbers, self.complaints))
        return to_scores(point, self.scale)


def to_point(scores: Array, scale: Scale) -> Float[Array, "*models coordinates points"]:
    """Log-odds, or probabilities, of the coordinates that move, a row for each."""
    rows = _across(scores)
    binary = rows.shape[-2] == 2
    if scale == "probability":
        return rows[..., 1:, :] if binary else rows
    logits = safe_log(rows)
    return logits[..., 1:, :] - logits[..., :1, :] if binary else logits


def to_scores(point: Array, scale: Scale) -> Float[Array, "*models points classes"]:
    """Probabilities of all classes."""
    binary = point.shape[-2] == 1
    if scale == "probability":
        inside = jnp.clip(point, 0, 1)
        if binary:
            return _across(jnp.concatenate([1 - inside, inside], axis=-2))
        inside = jnp.maximum(inside, jnp.finfo(point.dtype).eps)
        return _across(inside / inside.sum(-2, keepdims=True))
    if binary:
        pair = jax.nn.sigmoid(-point), jax.nn.sigmoid(point)
        return _across(jnp.concatenate(pair, axis=-2))
    return _across(jax.nn.softmax(point, axis=-2))


def _log_scores(point: Array) -> Float[Array, "*models classes points"]:
    """Logarithms of the probabilities of log-odds."""
    if point.shape[-2] > 1:
        return jax.nn.log_softmax(point, axis=-2)
    total = jnp.maximum(point, 0) + jnp.log(1 + jnp.exp(-jnp.abs(point)))
    return jnp.concatenate([-total, point - total], axis=-2)


def _across(matrix: Array) -> Array:
    return jnp.swapaxes(matrix, -1, -2)

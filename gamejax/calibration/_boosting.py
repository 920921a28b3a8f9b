"""Boosting against an auditor of features: the game of log-odds, its solver and its replay."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import fold, safe_log
from gamejax._types import Profile, Scalar, Strategy, Utility
from gamejax.calibration._auditors import AbstractAuditor
from gamejax.calibration._level_sets import coordinates
from gamejax.games import AbstractGame
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.solvers import AbstractSolver

Scale = Literal["log-odds", "probability"]


class PredictionGame(AbstractGame):
    r"""One player, who predicts the label of every point and gains the log-likelihood.

    Attributes:
        targets: labels as distributions, `(points, classes)`.
        design: features, in the encoding that the auditor reads.
        weights: of the points, about 1 each; 0 for points held out.
        monitors: other weights under which losses are reported, `(sets, points)`.
    """

    targets: Float[Array, "points classes"]
    design: Array
    weights: Float[Array, " points"]
    monitors: Float[Array, "sets points"]

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
        return (Simplex(self.targets.shape),)

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        # The gradient of the log-likelihood along the simplex is that of the Brier score, rescaled.
        return self.weights[:, None] * (self.targets - profile[0])

    def loss(self, scores: Strategy, weights: Array | None = None) -> Scalar:
        """The mean log loss of predictions."""
        weights = self.weights if weights is None else weights
        total = (weights[:, None] * self.targets * -safe_log(scores)).sum()
        return total / jnp.maximum(weights.sum(), jnp.finfo(weights.dtype).tiny)


class BoostState(eqx.Module):
    """Log-odds or probabilities of the points, the complaints so far, losses of every round.

    Row $t$ of `losses` has those after $t$ rounds, on the audited points and each monitored set.
    """

    point: Float[Array, "points coordinates"]
    complaints: Any
    losses: Float[Array, "rounds1 sets"]
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
        point = to_point(scores, self.scale) + jnp.zeros_like(coordinates(game.targets))
        shapes = jax.eval_shape(lambda: self._ask(game, point, fold(key, 0))[0])
        room = jax.tree.map(
            lambda leaf: jnp.zeros((self.num_rounds, *leaf.shape), leaf.dtype), shapes
        )
        losses = jnp.full((self.num_rounds + 1, 1 + game.monitors.shape[0]), jnp.inf, dtype)
        losses = losses.at[0].set(self._losses(game, point))
        return BoostState(point, room, losses, jnp.zeros((), jnp.int32))

    def step(self, game: Any, state: BoostState, *, key: PRNGKeyArray | None) -> BoostState:
        complaint, change = self._ask(game, state.point, key)
        point = state.point + self.learning_rate * change
        number = state.step
        return BoostState(
            point,
            jax.tree.map(lambda room, new: room.at[number].set(new), state.complaints, complaint),
            state.losses.at[number + 1].set(self._losses(game, point)),
            number + 1,
        )

    def _ask(self, game: PredictionGame, point: Array, key: PRNGKeyArray | None) -> Any:
        scores = to_scores(point, self.scale)
        residuals = coordinates(game.targets - scores) * game.weights[:, None]
        own = coordinates(scores)
        curvature = own * (1 - own) if self.scale == "log-odds" else jnp.ones_like(own)
        curvature = curvature * game.weights[:, None]
        return self.auditor.respond(game.design, scores, residuals, curvature, key=key)

    def _losses(self, game: PredictionGame, point: Array) -> Array:
        scores = to_scores(point, self.scale)
        likelihood = (game.targets * safe_log(scores)).sum(-1)
        weights = jnp.concatenate([game.weights[None], game.monitors])
        least = jnp.finfo(weights.dtype).tiny
        return -(weights @ likelihood) / jnp.maximum(weights.sum(1), least)

    def profile(self, state: BoostState) -> Profile:
        return (to_scores(state.point, self.scale),)

    def certificate(self, game: Any, profile: Any) -> Scalar:
        """The log loss of the points audited."""
        (scores,) = profile
        return game.loss(scores)


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
            return jnp.where(number < num_rounds, point + self.learning_rate * change, point), None

        room = jax.tree.leaves(self.complaints)[0].shape[0]
        numbers = jnp.arange(room, dtype=jnp.int32)
        start = to_point(base_scores, self.scale)
        point, _ = jax.lax.scan(one_round, start, (numbers, self.complaints))
        return to_scores(point, self.scale)


def to_point(scores: Array, scale: Scale) -> Array:
    """Log-odds, or probabilities, of the coordinates that move."""
    if scale == "probability":
        return coordinates(scores)
    logits = safe_log(scores)
    return logits[:, 1:] - logits[:, :1] if scores.shape[-1] == 2 else logits


def to_scores(point: Array, scale: Scale) -> Array:
    """Probabilities of all classes."""
    binary = point.shape[1] == 1
    if scale == "probability":
        inside = jnp.clip(point, 0, 1)
        if binary:
            return jnp.concatenate([1 - inside, inside], axis=1)
        inside = jnp.maximum(inside, jnp.finfo(point.dtype).eps)
        return inside / inside.sum(1, keepdims=True)
    if binary:
        one = jax.nn.sigmoid(point)
        return jnp.concatenate([jax.nn.sigmoid(-point), one], axis=1)
    return jax.nn.softmax(point, axis=1)

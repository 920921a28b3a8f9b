"""The dynamics of multicalibration, as a solver: self-play that remembers what the auditor said."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.calibration._game import MulticalibrationGame, selection_error
from gamejax.games import AbstractGame
from gamejax.learners import AbstractLearner, BestResponse
from gamejax.solvers import AbstractSolver, Best, SelfPlay
from gamejax.solvers._self_play import SelfPlayState


class AuditState(eqx.Module):
    """Self-play's state, what the auditor said, errors of every round, the sum of biases.

    Attributes:
        play: self-play's own.
        responses: the objective that each round's best response named, `(rounds,)`; or mixtures of
            objectives, `(rounds, objectives)`.
        errors: multicalibration errors of each round's predictions on the points audited and on
            every monitored set, `(rounds, 1 + monitors)`; infinite for rounds not played.
        biases: the sum over rounds of the biases of all cells.
    """

    play: SelfPlayState
    responses: Array
    errors: Float[Array, "rounds sets"]
    biases: Float[Array, "groups levels coordinates"]


class Audit(AbstractSolver):
    r"""Self-play of a predictor and an auditor, with the list of what the auditor said.

    Replaying that list predicts new points. A `BestResponse` auditor answers the predictions of the
    same round; any other moves at the same time as the predictor. What is vouched for are the
    predictions of least error among all rounds, on the first monitored set where there is one.

    Args:
        learner: the predictor's.
        auditor: the adversary's.
        num_rounds: how many rounds there is room for.

    References:
        haghtalab2023.
    """

    learner: AbstractLearner
    auditor: AbstractLearner
    num_rounds: int = eqx.field(static=True)

    @property
    def responds(self) -> bool:
        """Whether the auditor answers the predictions of the same round."""
        return isinstance(self.auditor, BestResponse)

    @property
    def _self_play(self) -> SelfPlay:
        return SelfPlay(
            (self.learner, self.auditor),
            averaging=Best(selection_error),
            alternating=self.responds,
            order=(1, 0) if self.responds else None,
        )

    def check(self, game: AbstractGame) -> None:
        if not isinstance(game, MulticalibrationGame):
            raise TypeError(f"Audit plays a MulticalibrationGame, got {type(game).__name__}.")

    def init(
        self,
        game: Any,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> AuditState:
        play = self._self_play.init(game, key=key, dtype=dtype, start=start)
        scores, mixture = play.strategies
        zero = jnp.zeros_like(scores[0, 0])
        if self.responds:
            responses = jnp.zeros(self.num_rounds, jnp.int32)
        else:
            responses = jnp.zeros((self.num_rounds, *mixture.shape), dtype) * zero
        errors = jnp.full((self.num_rounds, 1 + game.monitors.shape[0]), jnp.inf, dtype) + zero
        shape = game.objectives.shape(scores.shape[-1])
        return AuditState(play, responses, errors, jnp.zeros(shape[:-1], dtype) * zero)

    def step(self, game: Any, state: AuditState, *, key: PRNGKeyArray | None) -> AuditState:
        number = state.play.step
        scores, mixture = state.play.strategies
        now = game.violation(scores)
        errors = [now.error, *(game.violation(scores, w).error for w in game.monitors)]
        play = self._self_play.step(game, state.play, key=key)
        said = mixture
        if self.responds:
            said = jnp.argmax(play.strategies[1]).astype(jnp.int32)
        return AuditState(
            play,
            state.responses.at[number].set(said),
            state.errors.at[number].set(jnp.stack(errors)),
            state.biases + now.violations,
        )

    def profile(self, state: AuditState) -> Profile:
        return self._self_play.profile(state.play)

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The multicalibration error on the points that choose the round, recomputed."""
        return selection_error(game, profile)

    def status(self, state: AuditState) -> RESULTS:
        return self._self_play.status(state.play)

    def stats(self, game: Any, state: AuditState) -> dict[str, Any]:
        r"""`mixture_error`: that of a predictor who draws one of the rounds at random."""
        rounds = jnp.maximum(state.play.step, 1).astype(state.biases.dtype)
        return {"mixture_error": jnp.max(jnp.abs(state.biases)) / rounds}

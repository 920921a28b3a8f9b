"""The dynamics of multicalibration, as a solver: self-play that remembers what the auditor said."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.calibration._game import MulticalibrationGame, selection_error
from gamejax.games import AbstractGame
from gamejax.learners import AbstractLearner, BestResponse
from gamejax.solvers import AbstractSolver, Last, SelfPlay
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
        best: the profile of least error so far, by which rounds are compared.
        least: that error.
    """

    play: SelfPlayState
    responses: Array
    errors: Float[Array, "rounds sets"]
    biases: Float[Array, "groups levels coordinates"]
    best: tuple[Strategy, ...]
    least: Scalar


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
            averaging=Last(),
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
        biases = jnp.zeros(shape[:-1], dtype) * zero
        return AuditState(play, responses, errors, biases, play.strategies, jnp.inf + zero)

    def step(self, game: Any, state: AuditState, *, key: PRNGKeyArray | None) -> AuditState:
        number = state.play.step
        scores, mixture = state.play.strategies
        now = game.violation(scores)
        errors = [now.error, *(game.violation(scores, w).error for w in game.monitors)]
        play = self._self_play.step(game, state.play, key=key)
        said = mixture
        if self.responds:
            said = jnp.argmax(play.strategies[1]).astype(jnp.int32)
        # The errors are at hand, so this is `Best` without computing them again.
        error = errors[min(1, len(errors) - 1)]
        better = error < state.least
        kept = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), state.play.strategies, state.best
        )
        return AuditState(
            play,
            state.responses.at[number].set(said),
            state.errors.at[number].set(jnp.stack(errors)),
            state.biases + now.violations,
            kept,
            jnp.where(better, error, state.least),
        )

    def profile(self, state: AuditState) -> Profile:
        return state.best

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The multicalibration error on the points that choose the round, recomputed."""
        return selection_error(game, profile)

    def status(self, state: AuditState) -> RESULTS:
        return self._self_play.status(state.play)

    def stats(self, game: Any, state: AuditState) -> dict[str, Any]:
        r"""`mixture_error`: that of a predictor who draws one of the rounds at random."""
        rounds = jnp.maximum(state.play.step, 1).astype(state.biases.dtype)
        return {"mixture_error": jnp.max(jnp.abs(state.biases)) / rounds}

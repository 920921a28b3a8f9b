"""Logit quantal response equilibria of a given precision."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame
from gamejax.regularizers import Entropy
from gamejax.sets._checks import is_concrete
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._condition import smallest_singular_value
from gamejax.solvers._logit_path import (
    ENDED,
    LANDED,
    TURNED,
    PathState,
    advance_until,
    approach,
    begin_path,
    choose,
    step_path,
)
from gamejax.solvers._logit_system import (
    System,
    centered,
    logits_of,
    payoff_scale,
    require_simplices,
    strategies_of,
    without_offsets,
)


class LogitState(eqx.Module):
    """What `LogitEquilibrium` carries.

    Attributes:
        path: a point of the branch.
        strategies: the strategies there.
        warm: whether this is a given point that Newton's method has not confirmed yet.
    """

    path: PathState
    strategies: tuple[Strategy, ...]
    warm: Bool[Array, ""]


class LogitEquilibrium(AbstractSolver):
    r"""The logit quantal response equilibrium of a given precision.

    $x_i = \mathrm{softmax}(\lambda_i u_i(x))$ for all players: everyone best responds to payoffs
    with independent Gumbel noise of scale $1/\lambda_i$; the Nash equilibrium of
    `games.regularized(game, 1 / precision)`. Unique in zero-sum games, and in all games at small
    precision. Else it is the one on the principal branch, which starts at uniform play and
    precision 0: traced by a predictor-corrector method in logits, through folds, onto the given
    precision, with Newton's method at each point. Where the branch of a symmetric game forks, the
    symmetric arm is followed. One step is one prediction with three Newton steps, each a linear
    system of $\sum_i n_i + 1$ unknowns ($\min_i n_i + 1$ in two-player games); a handful of steps
    is usual. Newton's method alone, from uniform play, would diverge or land elsewhere.

    The certificate is the residual, $\max_{i,a} |x_i - \mathrm{softmax}(\lambda_i u_i(x))|_a$.
    `stats` tell the `precision`, the number of folds, and as `condition` the smallest singular
    value of the residual's derivative $I - \partial T/\partial x$ (an estimate): near 0 the
    equilibrium is about to turn or fork, and its derivatives are large.

    A warm start (`init=` a profile) is refined by Newton's method at the given precision, so that
    it may lead to another branch; if that does not converge at once the branch is traced.

    Rounding enters the residual times the precision: float32 reaches about $10^{-7} \lambda R$ for
    payoffs of range $R$.

    Args:
        precision: $\lambda \ge 0$, in 1/utility: one number or one per player.

    References:
        mckelvey1995; turocy2005, for tracing the branch.
    """

    precision: ArrayLike

    def __check_init__(self) -> None:
        if is_concrete(self.precision):
            values = np.asarray(self.precision, float)
            if not (np.isfinite(values).all() and (values >= 0).all()):
                raise ValueError(
                    f"precision must be finite and at least 0, got {self.precision}; for Nash "
                    "equilibria use LogitHomotopy()."
                )

    def _rates(self, game: AbstractGame, dtype: Any) -> Float[Array, " players"]:
        rates = jnp.asarray(self.precision, dtype)
        if rates.ndim > 1 or rates.size not in (1, game.num_players):
            raise ValueError(
                f"precision must be one number or one per player ({game.num_players}), got shape "
                f"{rates.shape}; map the solver with jax.vmap for several precisions."
            )
        return jnp.broadcast_to(rates, (game.num_players,))

    def _system(self, game: AbstractGame, dtype: Any, base: Any = None) -> System:
        sets = require_simplices(game, self)
        if base is None:
            base = centered(sets, [jnp.zeros(s.shape, dtype) for s in sets])
        return System(without_offsets(game), sets, base, self._rates(game, dtype))

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> LogitState:
        system = self._system(game, dtype)
        steepest = payoff_scale(game, dtype) * system.rates.max()
        path = begin_path(system, 1 / jnp.where(steepest > 0, steepest, 1))
        warm = jnp.zeros_like(path.time, bool)
        if start is not None:
            path, warm = approach(system, path, logits_of(system.sets, start)), ~warm
        return LogitState(path, strategies_of(system.sets, path.logits), warm)

    def step(
        self, game: AbstractGame, state: LogitState, *, key: PRNGKeyArray | None
    ) -> LogitState:
        system = self._system(game, state.path.time.dtype, state.path.base)
        path = step_path(system, state.path, 1)
        fresh = begin_path(system, state.path.unit)
        path = choose(state.warm & (path.phase != LANDED), fresh, path)
        return LogitState(path, strategies_of(system.sets, path.logits), jnp.zeros_like(state.warm))

    def advance(
        self,
        game: AbstractGame,
        state: LogitState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> LogitState:
        return advance_until(
            lambda s: self.step(game, s, key=key), lambda s: s.path.phase > LANDED, state, count
        )

    def profile(self, state: LogitState) -> Profile:
        return state.strategies

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        r"""The largest entry of $|x_i - \mathrm{softmax}(\lambda_i u_i(x))|$."""
        residual = jax.tree.leaves(self.residual(game, profile))
        return jnp.stack([jnp.abs(r).max() for r in residual]).max()

    def status(self, state: LogitState) -> RESULTS:
        return path_status(state.path)

    def settled(self, state: LogitState) -> Bool[Array, ""]:
        """Whether the branch has arrived at the precision; before, a residual may be small."""
        return (state.path.phase == LANDED) | (state.path.phase == ENDED)

    def stats(self, game: AbstractGame, state: LogitState) -> dict[str, Any]:
        """`precision` reached per player, `num_points` found, `num_folds` passed, `condition`."""
        rates = self._rates(game, state.path.time.dtype)
        solver, fixed = jax.lax.stop_gradient((self, game))
        condition = smallest_singular_value(lambda x: solver.residual(fixed, x), state.strategies)
        return {
            "precision": state.path.time * rates,
            "num_points": state.path.num_points,
            "num_folds": state.path.num_folds,
            "condition": condition,
        }

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        r"""$x_i - \mathrm{softmax}(\lambda_i u_i(x))$."""
        if isinstance(profile, Joint):
            raise TypeError("A logit equilibrium is a profile of strategies, not a Joint.")
        rates = self._rates(game, game.dtype)
        utilities = without_offsets(game).utilities(profile)
        return tuple(
            x - s.mirror(rate * u, Entropy())
            for rate, s, x, u in zip(rates, game.strategy_sets, profile, utilities, strict=True)
        )


def path_status(path: PathState) -> RESULTS:
    """Why a path is over: it arrived, no step converged any more, or it came back to 0."""
    result = RESULTS.where(path.phase == TURNED, RESULTS.fold, RESULTS.stalled)
    return RESULTS.where(path.phase <= LANDED, RESULTS.running, result)

"""Nash equilibria as limits of logit equilibria."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from gamejax._export import AbstractResult
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame
from gamejax.metrics import nash_gap
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._logit import path_status
from gamejax.solvers._logit_path import (
    LANDED,
    PathState,
    advance_until,
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
    spread,
    strategies_of,
    without_offsets,
)

LEAST_PRECISION = 1e4
"""Where the path ends at the soonest: the gap is about the inverse, and 1e-4 is often wanted."""


class BranchPoint(AbstractResult):
    """A point of a branch of logit equilibria.

    Attributes:
        strategies: the logit equilibrium, one strategy per player.
        precision: its precision.
        gap: its Nash gap.
    """

    strategies: tuple[Strategy, ...]
    precision: Scalar
    gap: Scalar


class HomotopyState(eqx.Module):
    """What `LogitHomotopy` carries.

    Attributes:
        path: the state of the path, its parameter being the precision.
        point: the point of the branch where it stands.
        best: the profile of smallest Nash gap so far, on the branch or extrapolated from it.
        gap: the Nash gap of `best`.
    """

    path: PathState
    point: BranchPoint
    best: tuple[Strategy, ...]
    gap: Scalar


def branch_point(state: HomotopyState) -> BranchPoint:
    """What `play(game, LogitHomotopy(), n, record=branch_point)` records: the branch itself."""
    return state.point


class LogitHomotopy(AbstractSolver):
    r"""Follows the principal branch of logit equilibria to a Nash equilibrium.

    The branch $x_i = \mathrm{softmax}(\lambda u_i(x))$ starts at uniform play, $\lambda = 0$, and
    for almost every game leads to one Nash equilibrium as $\lambda \to \infty$, its limit. It is
    traced by arclength, so that folds, where $\lambda$ turns back for a while, are no obstacle; see
    `LogitEquilibrium` for the steps and their cost. Lengths are those of $2\sqrt{x_i}$ and
    $\ln\lambda$, so that $\lambda$ grows by a constant factor once strategies have settled.

    It vouches for the best profile met. Candidates are the points of the branch, with gaps of order
    $1/\lambda$, and their extrapolations to $1/\lambda = 0$, such as $x + \lambda\, dx/d\lambda$,
    with gaps of order $1/\lambda^2$ where the limit is regular. The run ends by itself at
    `max_precision` or when the gap is down to rounding.

    `init=` a profile makes it the prior $p$ of $x_i \propto p_i \exp(\lambda u_i(x))$, where
    the branch starts; other priors may lead to other equilibria (`MultiStart(LogitHomotopy())`).

    Args:
        max_precision: where to end, in units of one over the range of payoffs. `None`:
            $1/\sqrt\epsilon$, with $\epsilon$ the rounding error of the game's numbers, and $10^4$
            in float32, where gaps below about $10^{-5}$ of the range need `Polished` around it.

    References:
        mckelvey1995; turocy2005.
    """

    max_precision: float | Scalar | None = None

    def __check_init__(self) -> None:
        most = self.max_precision
        if isinstance(most, int | float) and not most > 0:
            raise ValueError(f"max_precision must be positive or None, got {most}.")

    def _system(self, game: AbstractGame, base: Any, dtype: Any) -> System:
        sets = require_simplices(game, self)
        return System(without_offsets(game), sets, base, jnp.ones(game.num_players, dtype))

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> HomotopyState:
        sets = require_simplices(game, self)
        base = centered(sets, [jnp.zeros(s.shape, dtype) for s in sets])
        if start is not None:
            base = logits_of(sets, start)
        system = self._system(game, base, dtype)
        path = begin_path(system, 1 / payoff_scale(game, dtype))
        strategies = strategies_of(sets, path.logits)
        gap = nash_gap(system.game, strategies)
        return HomotopyState(path, BranchPoint(strategies, path.time, gap), strategies, gap)

    def step(
        self, game: AbstractGame, state: HomotopyState, *, key: PRNGKeyArray | None
    ) -> HomotopyState:
        unit, dtype = state.path.unit, state.path.time.dtype
        most = self.max_precision
        if most is None:
            most = max(jnp.finfo(dtype).eps ** -0.5, LEAST_PRECISION)
        system = self._system(game, state.path.base, dtype)
        path = step_path(system, state.path, jnp.asarray(most, dtype) * unit)
        strategies = strategies_of(system.sets, path.logits)
        point = BranchPoint(strategies, path.time, nash_gap(system.game, strategies))
        best, gap = state.best, state.gap
        for candidate in (strategies, *_limits(state.point, point, path)):
            found = nash_gap(system.game, candidate)
            better = found < gap
            best, gap = choose(better, candidate, best), jnp.where(better, found, gap)
        moved = HomotopyState(path, point, best, gap)
        return choose(state.path.phase > LANDED, state, moved)

    def advance(
        self,
        game: AbstractGame,
        state: HomotopyState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> HomotopyState:
        return advance_until(lambda s: self.step(game, s, key=key), _is_over, state, count)

    def profile(self, state: HomotopyState) -> Profile:
        return state.best

    def status(self, state: HomotopyState) -> RESULTS:
        """Why the path is over; `stalled` also where the gap is down to rounding."""
        result = path_status(state.path)
        done = _is_over(state) & (result == RESULTS.running)
        return RESULTS.where(done, RESULTS.stalled, result)

    def stats(self, game: AbstractGame, state: HomotopyState) -> dict[str, Any]:
        """`precision` reached, `num_points` found, `num_folds` passed."""
        path = state.path
        return {
            "precision": path.time,
            "num_points": path.num_points,
            "num_folds": path.num_folds,
        }


def _is_over(state: HomotopyState) -> Bool[Array, ""]:
    exact = state.gap * state.path.unit <= 4 * jnp.finfo(state.gap.dtype).eps
    return exact | (state.path.phase > LANDED)


def _limits(last: BranchPoint, point: BranchPoint, path: PathState) -> list[tuple[Strategy, ...]]:
    r"""Extrapolations to $1/\lambda = 0$, where the precision is rising.

    By the tangent, $x + \lambda\,dx/d\lambda$, and by the last two points, which is less exact
    but loses no digits at high precision.
    """
    rising = path.tangent.time > 0
    scale = jnp.where(rising, path.time / jnp.where(rising, path.tangent.time, 1), 0)
    along = [
        scale * spread(x, d) for x, d in zip(point.strategies, path.tangent.logits, strict=True)
    ]
    rise = point.precision - last.precision
    factor = jnp.where(rise > 0, last.precision / jnp.where(rise > 0, rise, 1), 0)
    across = [factor * (x - y) for x, y in zip(point.strategies, last.strategies, strict=True)]
    found = []
    for moves in (along, across):
        ahead = [jnp.maximum(x + d, 0) for x, d in zip(point.strategies, moves, strict=True)]
        found.append(tuple(x / x.sum(-1, keepdims=True) for x in ahead))
    return found

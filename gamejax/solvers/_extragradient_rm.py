"""Extragradient regret matching+: regret matching whose strategies themselves converge."""

import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._types import Profile, Scalar, State
from gamejax.games import AbstractGame
from gamejax.learners._blocks import normalize, push_out, regret
from gamejax.regularizers import Euclidean
from gamejax.sets import Simplex
from gamejax.solvers._averaging import AbstractAveraging, Last
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._prox import (
    SAFETY,
    begin,
    check_step_size,
    first_slope,
    slope,
    step_size,
)

Regrets = Float[Array, "*blocks actions"]


class RegretState(eqx.Module):
    r"""What extragradient regret matching+ carries.

    Attributes:
        step: steps taken.
        regrets: $z^t$, one vector per player.
        average: the averaging rule's state; it averages the $g(w^t)$.
        slope: the largest slope of the regrets seen so far; 0 where the step size is given.
    """

    step: Int[Array, ""]
    regrets: tuple[Regrets, ...]
    average: State
    slope: Scalar


class ExtragradientRegretMatchingPlus(AbstractSolver):
    r"""Extragradient regret matching+ (ExRM+).

    With $g(z) = z/\|z\|_1$, the regrets $r_i(z) = u_i(g(z)) - \langle g(z_i), u_i(g(z))\rangle
    \mathbf 1$ and the Euclidean projection $\Pi$ on $\{z \ge 0, \|z\|_1 \ge 1\}$:
    $$w^t = \Pi(z^t + \eta\, r(z^t)), \qquad z^{t+1} = \Pi(z^t + \eta\, r(w^t)).$$
    Vouches for $g(z^t)$, which converges to an equilibrium in zero-sum games for $\eta < 1/L$, $L$
    the Lipschitz constant of $r$; the best of the first $T$ has a gap $O(1/\sqrt T)$. The uniform
    average of the $g(w^t)$ has a gap $O(1/T)$. The strategies of regret matching+ and of its
    predictive form need not converge, already on some $3 \times 3$ games.

    Args:
        step_size: $\eta > 0$, in 1/utility; theory takes $1/(\sqrt 2 L)$. `None`: from the slopes
            met, as in `MirrorProx`.
        averaging: `Last()`, or which average of the $g(w^t)$ is vouched for.

    References:
        farina2023; cai2025.
    """

    step_size: float | Scalar | None = None
    averaging: AbstractAveraging = Last()

    def __check_init__(self) -> None:
        check_step_size(self.step_size)

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Array, ...] | None = None,
    ) -> RegretState:
        _simplices(game)
        strategies = begin(game, start, dtype)
        steepest = jnp.zeros((), dtype)
        if self.step_size is None:
            field = functools.partial(_regrets, game)
            steepest = first_slope(game, strategies, field, Euclidean())
        return RegretState(
            step=jnp.zeros((), jnp.int32),
            regrets=strategies,
            average=self.averaging.init(strategies),
            slope=steepest,
        )

    def step(
        self, game: AbstractGame, state: RegretState, *, key: PRNGKeyArray | None
    ) -> RegretState:
        rate = step_size(self.step_size, SAFETY, state.slope)
        played, regrets, seen = _look_ahead(game, state.regrets, rate)
        step = state.step + 1
        return RegretState(
            step=step,
            regrets=regrets,
            average=self.averaging.update(game, state.average, played, step),
            slope=state.slope if self.step_size is not None else jnp.maximum(state.slope, seen),
        )

    def profile(self, state: RegretState) -> Profile:
        latest = tuple(z / z.sum(-1, keepdims=True) for z in state.regrets)
        return self.averaging.value(state.average, latest)

    def stats(self, game: AbstractGame, state: RegretState) -> dict[str, Any]:
        """`step_size`: the step size in use."""
        return {"step_size": step_size(self.step_size, SAFETY, state.slope)}


def _look_ahead(
    game: AbstractGame, regrets: tuple[Regrets, ...], rate: Scalar
) -> tuple[tuple[Array, ...], tuple[Regrets, ...], Scalar]:
    r"""$g(w)$, the next $z$, and the slope of the regrets between them."""
    _, here = _play(game, regrets)
    ahead = _push_all(game, regrets, here, rate)
    played, there = _play(game, ahead)
    moved = _push_all(game, regrets, there, rate)
    seen = slope((regrets, here), (ahead, there), moved, Euclidean())
    return played, moved, seen


def _play(
    game: AbstractGame, regrets: tuple[Regrets, ...]
) -> tuple[tuple[Array, ...], tuple[Regrets, ...]]:
    """The strategies in proportion to `regrets`, and the regrets they bring."""
    simplices = _simplices(game)
    strategies = tuple(normalize(s, z) for s, z in zip(simplices, regrets, strict=True))
    utilities = game.utilities(strategies)
    brought = [regret(s, u, x) for s, u, x in zip(simplices, utilities, strategies, strict=True)]
    return strategies, tuple(brought)


def _regrets(game: AbstractGame, regrets: tuple[Regrets, ...]) -> tuple[Regrets, ...]:
    return _play(game, regrets)[1]


def _push_all(
    game: AbstractGame, regrets: tuple[Regrets, ...], gained: tuple[Regrets, ...], rate: Scalar
) -> tuple[Regrets, ...]:
    steps = zip(_simplices(game), regrets, gained, strict=True)
    return tuple(push_out(s, z + rate * r) for s, z, r in steps)


def _simplices(game: AbstractGame) -> tuple[Simplex, ...]:
    for strategies in game.strategy_sets:
        if not isinstance(strategies, Simplex):
            raise TypeError(
                "ExtragradientRegretMatchingPlus plays on simplices, but a player's strategy set "
                f"is a {type(strategies).__name__}; use solvers.Extragradient there."
            )
    return tuple(s for s in game.strategy_sets if isinstance(s, Simplex))

"""Mirror-prox, extragradient and optimistic gradient: methods that look one step ahead."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._types import Profile, Scalar, State, Strategy, Utility
from gamejax.games import AbstractGame
from gamejax.regularizers import AbstractRegularizer, Entropy, Euclidean
from gamejax.solvers._averaging import AbstractAveraging, Last, Uniform
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._prox import (
    SAFETY,
    begin,
    check_step_size,
    first_slope,
    prox_all,
    slope,
    step_size,
)


class ProxState(eqx.Module):
    r"""What mirror-prox and extragradient carry.

    Attributes:
        step: steps taken.
        strategies: the base points $z^t$, one strategy per player.
        duals: $\nabla R(z^t)$ up to a constant per block.
        average: the averaging rule's state; it averages the points looked at, $w^t$.
        slope: the largest slope of the utilities seen so far; 0 where the step size is given.
    """

    step: Int[Array, ""]
    strategies: tuple[Strategy, ...]
    duals: tuple[Utility, ...]
    average: State
    slope: Scalar


class _AbstractExtragradient(AbstractSolver):
    """Look ahead, then step from where one stood with the utilities seen there."""

    step_size: eqx.AbstractVar[float | Scalar | None]
    averaging: eqx.AbstractVar[AbstractAveraging]

    def __check_init__(self) -> None:
        check_step_size(self.step_size)

    @abc.abstractmethod
    def _geometry(self) -> AbstractRegularizer:
        """The regularizer whose prox steps are taken."""

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> ProxState:
        strategies = begin(game, start, dtype)
        duals = tuple(
            s.dual(x, self._geometry()) for s, x in zip(game.strategy_sets, strategies, strict=True)
        )
        steepest = jnp.zeros((), dtype)
        if self.step_size is None:
            steepest = first_slope(game, strategies, game.utilities, self._geometry())
        return ProxState(
            step=jnp.zeros((), jnp.int32),
            strategies=strategies,
            duals=duals,
            average=self.averaging.init(strategies),
            slope=steepest,
        )

    def _look_ahead(
        self,
        game: AbstractGame,
        strategies: tuple[Strategy, ...],
        duals: tuple[Utility, ...],
        rate: Scalar,
    ) -> tuple[tuple[Strategy, ...], tuple[Strategy, ...], tuple[Utility, ...], Scalar]:
        r"""$w$, the next $z$ with its dual, and the slope between them."""
        geometry = self._geometry()
        here = game.utilities(strategies)
        ahead, _ = prox_all(game, duals, here, rate, geometry)
        there = game.utilities(ahead)
        moved, duals = prox_all(game, duals, there, rate, geometry)
        seen = slope((strategies, here), (ahead, there), moved, geometry)
        return ahead, moved, duals, seen

    def step(self, game: AbstractGame, state: ProxState, *, key: PRNGKeyArray | None) -> ProxState:
        rate = step_size(self.step_size, SAFETY, state.slope)
        ahead, moved, duals, seen = self._look_ahead(game, state.strategies, state.duals, rate)
        step = state.step + 1
        return ProxState(
            step=step,
            strategies=moved,
            duals=duals,
            average=self.averaging.update(game, state.average, ahead, step),
            slope=state.slope if self.step_size is not None else jnp.maximum(state.slope, seen),
        )

    def profile(self, state: ProxState) -> Profile:
        return self.averaging.value(state.average, state.strategies)

    def stats(self, game: AbstractGame, state: ProxState) -> dict[str, Any]:
        """`step_size`: the step size in use."""
        return {"step_size": step_size(self.step_size, SAFETY, state.slope)}


class MirrorProx(_AbstractExtragradient):
    r"""Mirror-prox: extragradient in the geometry of a regularizer.

    $$w^t_i = \arg\max_{x \in X_i} \eta\langle x, u_i(z^t)\rangle - D_R(x, z^t_i), \qquad
    z^{t+1}_i = \arg\max_{x \in X_i} \eta\langle x, u_i(w^t)\rangle - D_R(x, z^t_i).$$

    Vouches for the average of the $w^t$. In zero-sum games with $\eta \le 1/L$ its duality gap is
    at most $\max_x D_R(x, z^1)/(\eta T)$: with `Entropy` $(\ln n_1 + \ln n_2)/(\eta T)$, where
    $L = \max_{ab} |A_{ab}|$. The same rate holds for any monotone game (concave zero-sum, and
    zero-sum polymatrix).

    Args:
        step_size: $\eta > 0$, in 1/utility. `None`: $\eta_t = 0.9/L_t$, $L_t$ being the largest
            slope of the utilities met so far, at most $L$. No constant of the game is needed and
            the scale and shifts of payoffs do not matter; only steps that at once raise $L_t$ by a
            tenth or more, hence few, can be too long.
        regularizer: $R$, 1-strongly convex on the strategy sets.
        averaging: which average of the $w^t$ is vouched for; with `Last()` the last $z^t$.

    References:
        nemirovski2004; khobotov1987, for step sizes from observed slopes.
    """

    step_size: float | Scalar | None = None
    regularizer: AbstractRegularizer = Entropy()
    averaging: AbstractAveraging = Uniform()

    def _geometry(self) -> AbstractRegularizer:
        return self.regularizer


class Extragradient(_AbstractExtragradient):
    r"""Extragradient: projected gradient steps taken with the gradient one step ahead.

    $w^t_i = \Pi_{X_i}(z^t_i + \eta u_i(z^t))$, $z^{t+1}_i = \Pi_{X_i}(z^t_i + \eta u_i(w^t))$.
    Vouches for the last $z^t$, which converges in zero-sum (more generally monotone) games for
    $\eta < 1/L$, $L$ the spectral norm of the payoff matrix: the gap falls as $O(1/\sqrt T)$ in the
    worst case, and linearly, with a constant of the game, in matrix games. The uniform average of
    the $w^t$ has a gap $O(1/T)$.

    Args:
        step_size: $\eta > 0$, in 1/utility. `None`: from the slopes met, as in `MirrorProx`.
        averaging: `Last()`, or which average of the $w^t$ is vouched for.

    References:
        korpelevich1976; cai2022; wei2021, tseng1995 for the linear rate.
    """

    step_size: float | Scalar | None = None
    averaging: AbstractAveraging = Last()

    def _geometry(self) -> AbstractRegularizer:
        return Euclidean()


class OptimisticState(eqx.Module):
    r"""What optimistic gradient carries.

    Attributes:
        step: steps taken.
        strategies: $x^{t+1}$, what the next step will look at.
        previous: $x^t$, where `utilities` were seen.
        anchors: $z^{t+1}$, where the gradient steps go from.
        utilities: $u(x^t)$, zero before the first step.
        average: the averaging rule's state.
        slope: the largest slope of the utilities seen so far; 0 where the step size is given.
    """

    step: Int[Array, ""]
    strategies: tuple[Strategy, ...]
    previous: tuple[Strategy, ...]
    anchors: tuple[Strategy, ...]
    utilities: tuple[Utility, ...]
    average: State
    slope: Scalar


class OptimisticGradient(AbstractSolver):
    r"""Optimistic gradient (OGDA): extragradient that uses each gradient twice, one per step.

    $z^{t+1}_i = \Pi_{X_i}(z^t_i + \eta u_i(x^t))$,
    $x^{t+1}_i = \Pi_{X_i}(z^{t+1}_i + \eta u_i(x^t))$.
    Vouches for the last $x^t$, which converges in zero-sum (more generally monotone) games for
    $\eta < (\sqrt 2 - 1)/L$, $L$ the spectral norm of the payoff matrix: the gap falls as
    $O(1/\sqrt T)$ in the worst case, and linearly, with a constant of the game, in matrix games
    (proved for $\eta \le 1/(8L)$). The uniform average has a gap $O(1/T)$. For given $\eta$ the
    same as self-play of `MirrorDescent(Euclidean(), eta, optimism=1.0)`.

    Args:
        step_size: $\eta > 0$, in 1/utility. `None`: $0.9\,(\sqrt 2 - 1)/L_t$ with the largest slope
            $L_t$ of the utilities met so far, as in `MirrorProx`.
        averaging: `Last()`, or which average of the $x^t$ is vouched for.

    References:
        popov1980; cai2022; wei2021; malitsky2015, where this bound on the step size appears.
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
        start: tuple[Strategy, ...] | None = None,
    ) -> OptimisticState:
        strategies = begin(game, start, dtype)
        steepest = jnp.zeros((), dtype)
        if self.step_size is None:
            steepest = first_slope(game, strategies, game.utilities, Euclidean())
        return OptimisticState(
            step=jnp.zeros((), jnp.int32),
            strategies=strategies,
            previous=strategies,
            anchors=strategies,
            utilities=jax.tree.map(jnp.zeros_like, strategies),
            average=self.averaging.init(strategies),
            slope=steepest,
        )

    def step(
        self, game: AbstractGame, state: OptimisticState, *, key: PRNGKeyArray | None
    ) -> OptimisticState:
        euclidean = Euclidean()
        utilities = game.utilities(state.strategies)
        rate = self._rate(state.slope)
        anchors, _ = prox_all(game, state.anchors, utilities, rate, euclidean)
        steepest = state.slope
        if self.step_size is None:
            seen = slope(
                (state.previous, state.utilities), (state.strategies, utilities), anchors, euclidean
            )
            steepest = jnp.maximum(steepest, seen)
        ahead, _ = prox_all(game, anchors, utilities, self._rate(steepest), euclidean)
        step = state.step + 1
        return OptimisticState(
            step=step,
            strategies=ahead,
            previous=state.strategies,
            anchors=anchors,
            utilities=utilities,
            average=self.averaging.update(game, state.average, state.strategies, step),
            slope=steepest,
        )

    def _rate(self, steepest: Scalar) -> Scalar:
        return step_size(self.step_size, SAFETY * (2**0.5 - 1), steepest)

    def profile(self, state: OptimisticState) -> Profile:
        return self.averaging.value(state.average, state.strategies)

    def stats(self, game: AbstractGame, state: OptimisticState) -> dict[str, Any]:
        """`step_size`: the step size in use."""
        return {"step_size": self._rate(state.slope)}

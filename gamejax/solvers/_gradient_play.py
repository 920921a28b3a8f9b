r"""Gradient methods for smooth games whose direction looks at the whole game's Jacobian.

With $u_i = \nabla_{x_i} f_i$, $J = \partial u / \partial x$ and $J_o$ its off-diagonal blocks,
every method here moves $x_i \leftarrow \Pi_{X_i}(x_i + \eta_i d_i(x))$ and differs in $d$ only.
Simultaneous and alternating gradient ascent are `SelfPlay` of `GradientAscent`.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import PRNGKeyArray

from gamejax._joint import Joint
from gamejax._numerics import inner, safe_divide
from gamejax._types import Profile, Scalar, State, Strategy, Utility
from gamejax.games import AbstractGame
from gamejax.metrics import projected_step
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._fields import (
    others_response,
    payoff_gradient,
    plus,
    shaping,
    transposed,
)
from gamejax.solvers._prox import begin


class GradientState(eqx.Module):
    """What a gradient method carries: the profile and each player's transformation state."""

    strategies: tuple[Strategy, ...]
    transformations: tuple[State, ...]


class AbstractGradientPlay(AbstractSolver):
    """All players move along one field of directions, by projected gradient steps."""

    learning_rate: eqx.AbstractVar[Any]
    transformation: eqx.AbstractVar[optax.GradientTransformation | None]

    @abc.abstractmethod
    def direction(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        """Where each player moves to, before the learning rate."""

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> GradientState:
        strategies = begin(game, start, dtype)
        if self.transformation is None:
            return GradientState(strategies, ((),) * len(strategies))
        return GradientState(strategies, tuple(self.transformation.init(x) for x in strategies))

    def step(
        self, game: AbstractGame, state: GradientState, *, key: PRNGKeyArray | None
    ) -> GradientState:
        directions = self.direction(game, state.strategies)
        states = state.transformations
        if self.transformation is not None:
            with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
                pairs = [
                    self.transformation.update(d, s, x)
                    for d, s, x in zip(directions, states, state.strategies, strict=True)
                ]
            directions, states = tuple(d for d, _ in pairs), tuple(s for _, s in pairs)
        moved = tuple(
            s.project(plus(x, rate, d))
            for s, x, rate, d in zip(
                game.strategy_sets, state.strategies, self._rates(game), directions, strict=True
            )
        )
        return GradientState(moved, states)

    def profile(self, state: GradientState) -> Profile:
        return state.strategies

    def _rates(self, game: AbstractGame) -> tuple[Any, ...]:
        rates = self.learning_rate
        if not isinstance(rates, tuple):
            return (rates,) * game.num_players
        if len(rates) != game.num_players:
            raise ValueError(
                f"learning_rate must be a number or a tuple of {game.num_players}, one per player, "
                f"got {len(rates)}."
            )
        return rates


class ConsensusOptimization(AbstractGradientPlay):
    r"""Gradient ascent that also descends $\frac12\|u\|^2$: $d = u - \gamma J^\top u$.

    Around first-order points with invertible $J$ and $\gamma$ large enough it converges where plain
    gradient ascent rotates; a $\gamma$ that outweighs the gradients makes every first-order point
    attractive, also those that are no equilibria: look at `stats["curvature"]`.

    Args:
        learning_rate: $\eta$, a number for all players or a tuple with one each.
        strength: $\gamma$, in 1/curvature.
        transformation: an optax transformation of $d$, such as `optax.scale_by_adam()`.

    References:
        mescheder2017.
    """

    learning_rate: Any
    strength: float | Scalar = 0.1
    transformation: optax.GradientTransformation | None = eqx.field(static=True, default=None)

    def direction(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        utilities, pull = transposed(game, profile)
        return plus(utilities, -self.strength, pull(utilities))


class SymplecticGradientAdjustment(AbstractGradientPlay):
    r"""Gradient ascent with the rotation taken out: $d = u - \lambda \frac12 (J^\top - J) u$.

    The antisymmetric part of $J$ makes players cycle; the adjustment turns $u$ towards the points
    where $\|u\|$ is smaller, without being drawn to unstable first-order points when `aligned`.
    In potential games $d = u$.

    Args:
        learning_rate: $\eta$, a number for all players or a tuple with one each.
        strength: $\lambda$, without unit; 1 as in the paper.
        aligned: choose the sign of $\lambda$ so that the adjustment pulls towards stable and
            pushes from unstable first-order points (the paper's alignment rule).
        transformation: an optax transformation of $d$, such as `optax.scale_by_adam()`.

    References:
        balduzzi2018b (Algorithm 1).
    """

    learning_rate: Any
    strength: float | Scalar = 1.0
    aligned: bool = eqx.field(static=True, default=True)
    transformation: optax.GradientTransformation | None = eqx.field(static=True, default=None)

    def direction(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        utilities, pull = transposed(game, profile)
        slope = pull(utilities)  # the gradient of half the squared length of u
        push = jax.jvp(game.utilities, (profile,), (utilities,))[1]
        rotation = jax.tree.map(lambda a, b: (a - b) / 2, slope, push)
        strength = self.strength
        if self.aligned:
            size = sum(leaf.size for leaf in jax.tree.leaves(profile))
            agreement = -inner(utilities, slope) * inner(rotation, slope)
            strength = strength * jnp.where(agreement / size + 0.1 >= 0, 1, -1)
        return plus(utilities, -strength, rotation)


class LOLA(AbstractGradientPlay):
    r"""Learning with opponent-learning awareness: each player shapes its opponents' next step.

    $d_i = \nabla_{x_i}\bigl[f_i(x) + \alpha \sum_{j \ne i} \langle\nabla_{x_j} f_i, u_j(x)\rangle
    \bigr]$, the gradient of player $i$'s payoff after its opponents' gradient step, to first order
    in $\alpha$. First-order points need not be fixed points: what it converges to may be no
    equilibrium, and the certificate says so.

    Args:
        learning_rate: $\eta$, a number for all players or a tuple with one each.
        look_ahead: $\alpha$, the opponents' assumed learning rate.
        stable: stable opponent shaping, which lets go of the shaping part near first-order points
            ($p = \min(1, \dots)$ with the paper's $a = 1/2$, $b = 1/10$), so that these are
            fixed points again and strict saddles are left.
        transformation: an optax transformation of $d$, such as `optax.scale_by_adam()`.

    References:
        foerster2018 (Equation 4.5); letcher2019 (Algorithm 1), for `stable`.
    """

    learning_rate: Any
    look_ahead: float | Scalar = 0.1
    stable: bool = eqx.field(static=True, default=False)
    transformation: optax.GradientTransformation | None = eqx.field(static=True, default=None)

    def direction(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        utilities = game.utilities(profile)
        ahead = plus(utilities, self.look_ahead, others_response(game, profile, utilities))
        shape = shaping(game, profile)
        weight = self.look_ahead
        if self.stable:
            weight = weight * _shaping_weight(utilities, ahead, shape, weight)
        return plus(ahead, weight, shape)


def _shaping_weight(
    utilities: tuple[Utility, ...],
    ahead: tuple[Utility, ...],
    shape: tuple[Utility, ...],
    look_ahead: Any,
) -> Scalar:
    """Stable opponent shaping's $p$: never against the look-ahead step, 0 at first-order points."""
    against = -look_ahead * inner(shape, ahead)
    first = jnp.where(against > 0, safe_divide(inner(ahead, ahead) / 2, against, 1), 1)
    square = inner(utilities, utilities)
    second = jnp.where(square < 0.01, square, 1)
    return jnp.minimum(jnp.minimum(first, 1), second)


class CompetitiveGradient(AbstractGradientPlay):
    r"""Competitive gradient descent: the Nash equilibrium of a local bilinear game.

    $d = (I - \eta J_o)^{-1} u$, so that each player answers the others' simultaneous answer. On
    bilinear zero-sum games it converges for every $\eta > 0$, without a step-size constraint from
    the interaction. With more than two players, $J_o$ holds every pair (the polymatrix form).

    Args:
        learning_rate: $\eta$, one number for all players.
        linear_solver: a lineax solver; iterative by default, so that $J_o$ is never built.
        transformation: an optax transformation of $d$, such as `optax.scale_by_adam()`.

    References:
        schafer2019 (Algorithm 1); ma2021, for more than two players.
    """

    learning_rate: float | Scalar
    linear_solver: lx.AbstractLinearSolver[Any] = eqx.field(
        static=True, default=lx.GMRES(rtol=1e-6, atol=1e-9)
    )
    transformation: optax.GradientTransformation | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if isinstance(self.learning_rate, tuple):
            raise TypeError(
                "CompetitiveGradient takes one learning_rate for all players, not a tuple."
            )

    def direction(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        utilities = game.utilities(profile)

        def operator(direction: tuple[Utility, ...]) -> tuple[Utility, ...]:
            return plus(direction, -self.learning_rate, others_response(game, profile, direction))

        return _linear_solve(operator, utilities, self.linear_solver)


class StackelbergGradient(AbstractGradientPlay):
    r"""The leader ascends its payoff along the followers' response; followers ascend their own.

    $d_\ell = \nabla_\ell f_\ell
    - (\partial_\ell u_F)^\top (\partial_F u_F - \delta I)^{-\top} \nabla_F f_\ell$,
    the total derivative where the followers' gradients $u_F$ vanish (implicit function theorem),
    and $d_F = u_F$. Fixed points are differential Stackelberg equilibria; the certificate is the
    projected step along $d$, not the Nash one.

    Args:
        learning_rate: $\eta$, a number for all players or a tuple with one each; followers should
            be the faster ones.
        leader: which player commits; the others are in equilibrium among themselves.
        damping: $\delta \ge 0$, a curvature, for followers whose Hessian may be singular.
        linear_solver: a lineax solver for the followers' system.
        transformation: an optax transformation of $d$, such as `optax.scale_by_adam()`.

    References:
        fiez2020 (Equation 5).
    """

    learning_rate: Any
    leader: int = eqx.field(static=True, default=0)
    damping: float | Scalar = 0.0
    linear_solver: lx.AbstractLinearSolver[Any] = eqx.field(
        static=True, default=lx.GMRES(rtol=1e-6, atol=1e-9)
    )
    transformation: optax.GradientTransformation | None = eqx.field(static=True, default=None)

    def direction(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Utility, ...]:
        if not 0 <= self.leader < game.num_players:
            raise ValueError(
                f"leader must be one of the game's {game.num_players} players (0 to "
                f"{game.num_players - 1}), got {self.leader}."
            )
        i = self.leader

        def followers(own: Strategy, rest: tuple[Strategy, ...]) -> tuple[Utility, ...]:
            utilities = game.utilities((*rest[:i], own, *rest[i:]))
            return utilities[:i] + utilities[i + 1 :]

        own, rest = profile[i], profile[:i] + profile[i + 1 :]
        gradient = payoff_gradient(game, i, profile)
        seen, pull = jax.vjp(followers, own, rest)

        def operator(weights: tuple[Utility, ...]) -> tuple[Utility, ...]:
            return plus(pull(weights)[1], -self.damping, weights)

        weights = _linear_solve(operator, gradient[:i] + gradient[i + 1 :], self.linear_solver)
        total = plus(gradient[i], -1, pull(weights)[0])
        return (*seen[:i], total, *seen[i:])

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The projected step along the Stackelberg direction, largest over players."""
        strategies = _marginals(profile)
        return projected_step(game, strategies, self.direction(game, strategies)).max()

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        """Zero at differential Stackelberg equilibria."""
        strategies = _marginals(profile)
        directions = self.direction(game, strategies)
        return tuple(
            plus(x, -1, s.project(plus(x, 1, d)))
            for s, x, d in zip(game.strategy_sets, strategies, directions, strict=True)
        )


def _marginals(profile: Profile) -> tuple[Strategy, ...]:
    if isinstance(profile, Joint):
        raise TypeError("A Stackelberg point is one strategy per player, not a Joint.")
    return profile


def _linear_solve(
    operator: Any, vector: tuple[Utility, ...], solver: lx.AbstractLinearSolver[Any]
) -> tuple[Utility, ...]:
    structure = jax.eval_shape(lambda: vector)
    linear = lx.FunctionLinearOperator(operator, structure)
    return lx.linear_solve(linear, vector, solver, throw=False).value

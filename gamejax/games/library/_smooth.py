"""Smooth games on unbounded sets whose equilibria and dynamics are known in closed form."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.games._base import Labels
from gamejax.games._continuous import ContinuousGame
from gamejax.games.library._checks import require
from gamejax.sets import Unconstrained


def _floats(numbers: Any) -> Array:
    return jnp.asarray(numbers, jnp.result_type(float, jnp.asarray(numbers).dtype))


@dataclasses.dataclass(frozen=True)
class _Payoff:
    """One player's payoff; equal for equal games, so that a game built twice compiles once."""

    function: Callable[..., Scalar]
    player: int

    def __call__(self, profile: Any, params: Any) -> Scalar:
        return self.function(self.player, profile, params)


def _game(
    function: Callable[..., Scalar], shapes: Sequence[tuple[int, ...]], params: Any, title: str
) -> ContinuousGame:
    payoffs = [_Payoff(function, i) for i in range(len(shapes))]
    sets = [Unconstrained(jax.ShapeDtypeStruct(shape, float)) for shape in shapes]
    return ContinuousGame(payoffs, sets, params, labels=Labels(title))


def bilinear(payoff: Numbers = ((1.0,),)) -> ContinuousGame:
    r"""Players 1 and 2 gain $\pm x^\top A y$ on all of space; the origin is an equilibrium.

    Simultaneous gradient ascent spirals out for every step size, since the eigenvalues of the
    Jacobian are imaginary; alternating ascent stays bounded; looking ahead converges.

    Args:
        payoff: $A$, of shape `(n, m)`.
    """
    matrix = _floats(payoff)
    require(matrix.ndim == 2, f"payoff must be a matrix, got shape {matrix.shape}.")
    n, m = matrix.shape
    return _game(_bilinear, [(n,), (m,)], matrix, "Bilinear game")


def _bilinear(player: int, profile: tuple[Array, Array], matrix: Array) -> Scalar:
    product = jnp.matmul(matrix, profile[1], precision=HIGHEST)
    value = jnp.vdot(profile[0], product, precision=HIGHEST)
    return value if player == 0 else -value


def quadratic(
    curvatures: Sequence[Numbers],
    sizes: Sequence[int],
    offsets: Sequence[Numbers] | None = None,
) -> ContinuousGame:
    r"""Player $i$ gains $\frac12 x^\top Q_i x + r_i^\top x$, $x$ being all players' numbers.

    The payoff gradients are affine with a constant Jacobian $J$ whose rows are those of the
    symmetrized $Q_i$ for player $i$'s numbers: antisymmetric in a Hamiltonian game, symmetric in a
    potential game.

    Args:
        curvatures: one $Q_i$ per player, each of shape `(sum(sizes), sum(sizes))`.
        sizes: how many numbers each player has.
        offsets: one $r_i$ per player, each of shape `(sum(sizes),)`; default zero.
    """
    total = sum(sizes)
    matrices = tuple(_floats(q) for q in curvatures)
    vectors = tuple(_floats(r) for r in offsets or [np.zeros(total)] * len(matrices))
    require(
        len(matrices) == len(vectors) == len(sizes),
        f"curvatures, offsets and sizes must have one entry per player, got {len(matrices)}, "
        f"{len(vectors)} and {len(sizes)}.",
    )
    require(
        all(q.shape == (total, total) for q in matrices)
        and all(r.shape == (total,) for r in vectors),
        f"curvatures and offsets must have shapes {(total, total)} and {(total,)}.",
    )
    return _game(_quadratic, [(n,) for n in sizes], (matrices, vectors), "Quadratic game")


def _quadratic(
    player: int, profile: tuple[Array, ...], params: tuple[tuple[Array, ...], tuple[Array, ...]]
) -> Scalar:
    x = jnp.concatenate(profile)
    matrix, vector = params[0][player], params[1][player]
    product = jnp.matmul(matrix, x, precision=HIGHEST) / 2 + vector
    return jnp.vdot(x, product, precision=HIGHEST)


def dirac_gan(penalty: float = 0.0) -> ContinuousGame:
    r"""The smallest generative adversarial network: a point $\theta$ against a slope $\psi$.

    The discriminator (player 2) gains $\ell(\theta\psi) + \ell(0) - \frac\gamma2\psi^2$ with
    $\ell(t) = -\ln(1 + e^{-t})$, the generator (player 1) loses the first two terms. The only
    equilibrium is $(0, 0)$, where the Jacobian has the eigenvalues
    $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$: without a penalty gradient ascent never converges.

    Args:
        penalty: $\gamma \ge 0$, the strength of the gradient penalty.

    References:
        mescheder2018.
    """
    return _game(_dirac, [(), ()], _floats(penalty), "Dirac GAN")


def _dirac(player: int, profile: tuple[Array, Array], penalty: Array) -> Scalar:
    theta, psi = profile
    value = jax.nn.log_sigmoid(theta * psi) + jax.nn.log_sigmoid(jnp.zeros_like(psi))
    return -value if player == 0 else value - penalty * psi**2 / 2


def tandem() -> ContinuousGame:
    r"""Two riders lose $(x + y)^2 - 2x$ and $(x + y)^2 - 2y$; equilibria are all $x + y = 1$.

    Plain gradient ascent and stable opponent shaping reach the line; each rider who believes it can
    shape the other pushes on, so that `LOLA` stops elsewhere.

    References:
        letcher2019.
    """
    return _game(_tandem, [(), ()], _floats(2.0), "Tandem game")


def _tandem(player: int, profile: tuple[Array, Array], push: Array) -> Scalar:
    return push * profile[player] - (profile[0] + profile[1]) ** 2


def linear_quadratic(
    dynamics: Numbers,
    controls: Sequence[Numbers],
    state_costs: Sequence[Numbers],
    control_costs: Sequence[Numbers],
    *,
    horizon: int,
    start: Numbers | None = None,
) -> ContinuousGame:
    r"""A linear-quadratic dynamic game over feedback gains; its Nash gains solve coupled Riccati.

    The state moves as $s_{t+1} = A s_t + \sum_i B_i a_{i,t}$ with $a_{i,t} = -K_{i,t} s_t$, and
    player $i$ loses the mean of $\sum_{t<T} (s_t^\top Q_i s_t + a_{i,t}^\top R_i a_{i,t}) +
    s_T^\top Q_i s_T$ over starts of covariance $\Sigma_0$. A player's strategy is its sequence of
    gains, of shape `(horizon, controls, states)`. With a positive definite $\Sigma_0$ and $R_i$ the
    only interior first-order point is the feedback Nash equilibrium.

    Args:
        dynamics: $A$, of shape `(states, states)`.
        controls: one $B_i$ per player, of shape `(states, controls_i)`.
        state_costs: one symmetric $Q_i$ per player.
        control_costs: one positive definite $R_i$ per player.
        horizon: $T \ge 1$.
        start: $\Sigma_0$, the covariance of the first state; default the identity.

    References:
        basar1999 (Chapter 6).
    """
    a, covariance = _floats(dynamics), _floats(np.eye(len(np.asarray(dynamics))))
    if start is not None:
        covariance = _floats(start)
    b = tuple(_floats(x) for x in controls)
    q, r = tuple(_floats(x) for x in state_costs), tuple(_floats(x) for x in control_costs)
    n = a.shape[0]
    require(a.shape == covariance.shape == (n, n), "dynamics and start must be square matrices.")
    require(horizon >= 1, f"horizon must be at least 1, got {horizon}.")
    require(
        len(b) == len(q) == len(r) > 0,
        f"controls, state_costs and control_costs must have one entry per player, got {len(b)}, "
        f"{len(q)} and {len(r)}.",
    )
    shapes = [(horizon, x.shape[1], n) for x in b]
    return _game(_control_payoff, shapes, (a, b, q, r, covariance), "Linear-quadratic game")


def _control_payoff(player: int, gains: tuple[Array, ...], params: Any) -> Scalar:
    dynamics, controls, state_costs, control_costs, covariance = params
    state_cost, control_cost = state_costs[player], control_costs[player]

    def trace(x: Array, y: Array) -> Scalar:
        return jnp.vdot(x, y, precision=HIGHEST)

    def times(*factors: Array) -> Array:
        product = factors[0]
        for factor in factors[1:]:
            product = jnp.matmul(product, factor, precision=HIGHEST)
        return product

    def step(
        state: Float[Array, "n n"], now: tuple[Array, ...]
    ) -> tuple[Float[Array, "n n"], Scalar]:
        own = now[player]
        cost = trace(state_cost, state) + trace(control_cost, times(own, state, own.T))
        closed = dynamics - sum(times(b, k) for b, k in zip(controls, now, strict=True))
        return times(closed, state, closed.T), cost

    final, costs = jax.lax.scan(step, covariance, gains)
    return -(costs.sum() + trace(state_cost, final))

"""What extragradient methods share: the prox step and the step size that needs no constants."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._numerics import inner, safe_divide
from gamejax._types import PyTree, Scalar, Strategy, Utility
from gamejax.games import AbstractGame
from gamejax.learners._dual import combine, keeps_dual
from gamejax.metrics import gains
from gamejax.regularizers import AbstractRegularizer, Entropy, Euclidean, Tsallis
from gamejax.sets import AbstractStrategySet, Product, Unconstrained

SAFETY = 0.9
"""The default step is this fraction of the largest that the slopes met so far allow."""


def prox(
    strategies: AbstractStrategySet,
    dual: Utility,
    utility: Utility,
    rate: Scalar,
    regularizer: AbstractRegularizer,
) -> tuple[Strategy, Utility]:
    r"""$\arg\max_x \eta\langle x, u\rangle - D_R(x, z)$ and its dual, from the dual of $z$."""
    ahead = combine((1, dual), (rate, utility))
    moved = strategies.mirror(ahead, regularizer)
    if keeps_dual(strategies, regularizer):
        return moved, strategies.recenter(ahead)
    return moved, strategies.dual(moved, regularizer)


def prox_all(
    game: AbstractGame,
    duals: tuple[Utility, ...],
    utilities: tuple[Utility, ...],
    rate: Scalar,
    regularizer: AbstractRegularizer,
) -> tuple[tuple[Strategy, ...], tuple[Utility, ...]]:
    """Every player's `prox`: the strategies and their duals."""
    moved = [
        prox(s, dual, utility, rate, regularizer)
        for s, dual, utility in zip(game.strategy_sets, duals, utilities, strict=True)
    ]
    return tuple(x for x, _ in moved), tuple(dual for _, dual in moved)


def difference(x: PyTree[Array], y: PyTree[Array]) -> PyTree[Array]:
    """`x - y`, tree by tree."""
    return jax.tree.map(jnp.subtract, x, y)


def length(change: PyTree[Array], regularizer: AbstractRegularizer) -> Scalar:
    r"""The length of a change of profile in which the regularizer is 1-strongly convex.

    On probability vectors: $(\sum_b \|d_b\|_1^2)^{1/2}$ over blocks $b$ for the entropy, else the
    Euclidean one (times $\sqrt q$ for Tsallis entropies).
    """
    if isinstance(regularizer, Entropy):
        change = jax.tree.map(lambda d: jnp.abs(d).sum(-1), change)
    square = inner(change, change)
    if isinstance(regularizer, Tsallis):
        square = square * jnp.asarray(regularizer.q, square.dtype)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def slope(
    before: tuple[tuple[Strategy, ...], tuple[Utility, ...]],
    after: tuple[tuple[Strategy, ...], tuple[Utility, ...]],
    corrected: tuple[Strategy, ...],
    regularizer: AbstractRegularizer,
) -> Scalar:
    r"""A lower bound on the Lipschitz constant $L$ of the utilities: all that one step needs of it.

    $\max(0, \langle \Delta u, c\rangle) / (\|d\|\,\|c\|)$, where the utilities changed by
    $\Delta u$ when the profile moved by $d$ from `before` to `after` (profiles with utilities), and
    `corrected` is the step's end, $c$ off the profile `after`. The analyses of extragradient
    methods use $\langle\Delta u, c\rangle \le L \|d\|\,\|c\|$ and nothing else of $L$, so that
    this may stand in for it. Unlike a norm of $\Delta u$ it sees neither shifts of payoffs nor
    padded actions.

    0 where the profile moved by so little that $\Delta u$ would be mostly rounding.
    """
    gained, moved = difference(after[1], before[1]), difference(after[0], before[0])
    found = _ratio(gained, moved, difference(corrected, after[0]), regularizer)
    resolution = jnp.finfo(found.dtype).eps ** 0.5 * length(after[0], regularizer)
    return jnp.where(length(moved, regularizer) > resolution, found, 0)


def _ratio(
    gained: PyTree[Array],
    moved: PyTree[Array],
    correction: PyTree[Array],
    regularizer: AbstractRegularizer,
) -> Scalar:
    lengths = length(moved, regularizer) * length(correction, regularizer)
    return jnp.maximum(safe_divide(inner(gained, correction), lengths), 0)


def first_slope(
    game: AbstractGame,
    profile: tuple[Strategy, ...],
    field: Callable[[tuple[Strategy, ...]], tuple[Utility, ...]],
    regularizer: AbstractRegularizer,
) -> Scalar:
    """A slope of `field` to begin with, in proportion to payoffs.

    The largest met by a few rounds of a power iteration whose directions lead to best responses.
    Where none is positive, players do not interact: then steps as long as the set is wide do, and
    the gains tell them.
    """
    here = field(profile)

    def reach(direction: tuple[Utility, ...]) -> tuple[Strategy, ...]:
        trios = zip(game.strategy_sets, profile, direction, strict=True)
        return tuple(_far_point(s, x, u) for s, x, u in trios)

    def iterate(
        _: Array, carry: tuple[tuple[Utility, ...], Scalar]
    ) -> tuple[tuple[Utility, ...], Scalar]:
        direction, steepest = carry
        far = reach(direction)
        change = difference(field(far), here)
        moved, back = difference(far, profile), difference(reach(change), profile)
        return change, jnp.maximum(steepest, _ratio(change, moved, back, regularizer))

    none = jnp.zeros_like(length(profile, regularizer))
    _, steepest = jax.lax.fori_loop(0, 4, iterate, (here, none))
    total = gains(game, profile).sum()
    otherwise = jnp.where(jnp.isfinite(total) & (total > 0), total, 1)
    return jnp.where(steepest > 0, steepest, otherwise)


def _far_point(strategies: AbstractStrategySet, strategy: Strategy, utility: Utility) -> Strategy:
    """The best response; one unit of length along the utility where the set has no end."""
    if isinstance(strategies, Product):
        parts = zip(strategies.sets, strategy, utility, strict=True)
        return tuple(_far_point(s, x, u) for s, x, u in parts)
    steepness = length(utility, Euclidean())
    ahead = jax.tree.map(lambda x, u: x + safe_divide(u, steepness), strategy, utility)
    if isinstance(strategies, Unconstrained):
        return ahead
    best = strategies.lmo(utility)
    return jax.tree.map(lambda b, a: jnp.where(jnp.isfinite(b), b, a), best, ahead)


def begin(
    game: AbstractGame, start: tuple[Strategy, ...] | None, dtype: Any
) -> tuple[Strategy, ...]:
    """`start`, or the centers of the strategy sets."""
    return tuple(s.center(dtype) for s in game.strategy_sets) if start is None else start


def step_size(given: float | Scalar | None, factor: float, steepest: Scalar) -> Scalar:
    """The step size: as given, or `factor` over the largest slope seen."""
    if given is None:
        return safe_divide(jnp.full_like(steepest, factor), steepest, 1.0)
    return jnp.asarray(given, steepest.dtype)


def check_step_size(given: Any) -> None:
    """Refuse a Python number that is no step size; arrays and tracers pass."""
    if isinstance(given, int | float) and not given > 0:
        raise ValueError(f"step_size must be a positive number or None, got {given}.")

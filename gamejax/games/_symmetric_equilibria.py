"""Symmetric equilibria of symmetric games, and evolutionary stability."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, ArrayLike, Float

from gamejax._numerics import inner
from gamejax.games._base import AbstractGame
from gamejax.games._normal_form import payoff_range
from gamejax.games._pure import action_masks, payoff_tensor
from gamejax.games._supports import (
    Equilibria,
    Indifference,
    any_continuum,
    distinct,
    indifference_on,
    normalize,
    subsets,
)
from gamejax.games._symmetric import SymmetricGame
from gamejax.games._transform import normalized, to_normal_form

_MAX_ACTIONS = 16
_MAX_ACTIONS_NEWTON = 8


def symmetric_equilibria(game: AbstractGame) -> Equilibria:
    r"""The Nash equilibria of a symmetric game in which all players play the same strategy.

    Two players: every support is tried, one linear system each, $2^n - 1$ in all;
    `complete` is `True` if no support admits a continuum of solutions, and then the list is exact.
    More players: on every support Newton's method solves the polynomial system
    $u_a(p, \ldots, p) = v$ from several starts; what it finds is certified, but nothing shows
    that it found all, so `complete` is `False`. A host function.

    Args:
        game: a game of two or more players that stays the same when players trade places, with at
            most 16 actions for two players and 8 for more.

    Raises:
        ValueError: the game is not symmetric, or has too many actions.

    References:
        nash1951 (existence); dickhaut1991 (support enumeration).
    """
    exists = _check_symmetric(game)
    limit = _MAX_ACTIONS if game.num_players == 2 else _MAX_ACTIONS_NEWTON
    if exists.sum() > limit:
        raise ValueError(
            f"symmetric_equilibria tries every support: {2 ** int(exists.sum()) - 1} for "
            f"{int(exists.sum())} actions; for {game.num_players} players at most {limit} actions."
        )
    supports = jnp.asarray(
        np.concatenate([subsets(exists, k) for k in range(1, int(exists.sum()) + 1)])
    )
    mask = jnp.asarray(exists)
    if game.num_players == 2:
        payoff = normalize(payoff_tensor(game)[0], mask[:, None] & mask[None, :])
        found = _indifferent(payoff, supports, mask)
        strategies, valid = found.strategy, found.valid
        complete = not any_continuum(payoff, found, supports, supports, mask)
    else:
        unit = normalized(game if isinstance(game, SymmetricGame) else to_normal_form(game))
        strategies, valid, complete = _newton(unit, supports), True, False
    gaps = _measure(game, strategies, mask)
    tol = float(jnp.finfo(game.dtype).eps) ** 0.5 * _payoff_range(game, exists)
    good = np.flatnonzero(np.asarray(valid & (gaps <= tol)))
    kept = good[distinct([np.asarray(strategies)[good]])]
    return Equilibria((strategies[kept],) * game.num_players, gaps[kept], len(kept), complete)


@jax.jit
def _indifferent(payoff: Array, supports: Array, exists: Array) -> Indifference:
    return indifference_on(payoff, supports, supports, exists)


@eqx.filter_jit
def _measure(game: AbstractGame, strategies: Array, exists: Array) -> Array:
    """The gap of each strategy against itself."""

    def measure(strategy: Array) -> Array:
        utility = game.utility(0, (strategy,) * game.num_players)
        highest = jnp.max(utility, where=exists, initial=-jnp.inf)
        return highest - inner(strategy, utility)

    return jax.vmap(measure)(strategies)


def _payoff_range(game: AbstractGame, exists: np.ndarray) -> float:
    """Largest minus smallest payoff; 1 where all are equal."""
    if isinstance(game, SymmetricGame):
        return float(np.ptp(np.asarray(game.payoffs)[exists])) or 1.0
    return float(payoff_range(payoff_tensor(game)[0], game.strategy_sets)) or 1.0


@eqx.filter_jit
def _newton(game: AbstractGame, supports: Array) -> Array:
    """Where Newton's method ends from several starts on every support."""
    n = supports.shape[1]
    corners = 0.8 * jnp.eye(n, dtype=game.dtype) + 0.2 / n
    ones = jnp.ones(n, game.dtype)
    draws = jax.random.dirichlet(jax.random.key(0), ones, (8,), game.dtype)
    starts = jnp.concatenate([jnp.full((1, n), 1 / n, game.dtype), corners, draws])
    eps = float(jnp.finfo(game.dtype).eps)
    newton = optx.Newton(rtol=10 * eps, atol=10 * eps)

    def residual(unknown: Array, support: Array) -> Array:
        strategy, value = unknown[:-1], unknown[-1]
        utility = game.utility(0, (strategy,) * game.num_players)
        equal = jnp.where(support, utility - value, strategy)
        return jnp.append(equal, strategy.sum() - 1)

    def solve(support: Array, start: Array) -> Array:
        first = jnp.where(support, start, 0)
        first = first / first.sum()
        value = jnp.vdot(first, game.utility(0, (first,) * game.num_players))
        root = optx.root_find(
            residual, newton, jnp.append(first, value), support, max_steps=50, throw=False
        )
        strategy = jnp.where(support, root.value[:-1], 0)
        inside = (strategy >= -(eps**0.6)).all() & jnp.isfinite(strategy).all()
        strategy = jnp.maximum(strategy, 0)
        return jnp.where(inside, strategy / strategy.sum(), jnp.nan)

    def every_start(support: Array) -> Array:
        return jax.vmap(solve, (None, 0))(support, starts)

    return jax.lax.map(every_start, supports).reshape(-1, n)


def _check_symmetric(game: AbstractGame) -> np.ndarray:
    """The common action mask of a symmetric game; anything else is refused."""
    masks = [np.asarray(mask) for mask in action_masks(game)]
    if any(mask.shape != masks[0].shape or (mask != masks[0]).any() for mask in masks):
        raise ValueError(
            "A symmetric game has the same actions for all players, got masks of sizes "
            f"{[int(mask.sum()) for mask in masks]} in shapes {[mask.shape for mask in masks]}."
        )
    if isinstance(game, SymmetricGame):
        return masks[0]
    payoffs = np.asarray(payoff_tensor(game))
    first = payoffs[0]
    ways = [np.moveaxis(first, 0, i) for i in range(len(payoffs))]
    swaps = [np.swapaxes(first, i, j) for i, j in itertools.combinations(range(1, first.ndim), 2)]
    tol = 10 * float(np.finfo(payoffs.dtype).eps) * float(np.abs(payoffs).max())
    same = all(np.abs(p - w).max() <= tol for p, w in zip(payoffs, ways, strict=True))
    if not (same and all(np.abs(first - s).max() <= tol for s in swaps)):
        raise ValueError(
            "The game is not symmetric: player i's payoff must be player 0's with the two players' "
            "actions exchanged, and must not depend on which opponent does what."
        )
    return masks[0]


def is_evolutionarily_stable(
    game: AbstractGame, strategy: Float[ArrayLike, " actions"], tol: float | None = None
) -> bool:
    r"""Whether a strategy of a symmetric two-player game is evolutionarily stable.

    $p$ is stable if every other best response $q$ to it satisfies $u(p, q) > u(q, q)$ (and $p$ is
    a best response to itself). With $S$ the support of $p$ and $B \supseteq S$ its best responses
    this says that $z^\top A z < 0$ for all $z \ne 0$ with $\sum_a z_a = 0$, zero outside $B$ and
    non-negative on $B \setminus S$. The part on $S$ must be negative definite; its Schur
    complement, negated, must be strictly copositive, which Keller's determinant criterion decides
    exactly (exponential in $|B \setminus S|$ only). A host function, in float64.

    Args:
        game: a symmetric game of two players.
        strategy: the mixed strategy $p$, shape `(n,)`.
        tol: what counts as zero, of a probability and, as a share of their range, of payoffs;
            default 1e-9, or 1e-5 where the game or the strategy is in float32.

    References:
        maynardsmith1973; haigh1975; abakuks1980; hadeler1983 (copositivity).
    """
    if game.num_players != 2:
        raise ValueError(
            f"Evolutionary stability is defined here for two players, got {game.num_players}."
        )
    exists = _check_symmetric(game)
    if tol is None:
        types = [np.dtype(game.dtype), np.dtype(getattr(strategy, "dtype", float))]
        tol = 1e-5 if any(t.kind == "f" and t.itemsize < 8 for t in types) else 1e-9
    payoff, both = np.asarray(payoff_tensor(game)[0], float), exists[:, None] & exists
    lowest = payoff[both].min()
    payoff = np.where(both, payoff - lowest, 0)
    payoff = payoff / max(payoff.max(), 1e-300)
    p = np.asarray(strategy, float)
    if p.shape != exists.shape or abs(p.sum() - 1) > 1e-6 or (p < -tol).any():
        raise ValueError(
            f"strategy must be a probability vector of shape {exists.shape}, got {strategy}."
        )
    utility = np.where(exists, payoff @ p, -np.inf)
    if utility.max() - p @ (payoff @ p) > tol:
        return False
    played = p > tol
    extra = (utility >= utility.max() - tol) & ~played
    pivot = int(np.argmax(p))
    free = [a for a in np.flatnonzero(played) if a != pivot]
    order = free + list(np.flatnonzero(extra))
    # z_pivot = -sum of the others turns -z'Az into a quadratic form in the others alone.
    a = payoff[np.ix_(order, order)]
    form = payoff[pivot, order][None] + payoff[order, pivot][:, None] - a - payoff[pivot, pivot]
    form = (form + form.T) / 2
    k = len(free)
    if k and np.linalg.eigvalsh(form[:k, :k]).min() <= tol:
        return False
    schur = form[k:, k:]
    if k:
        schur = schur - form[k:, :k] @ np.linalg.solve(form[:k, :k], form[:k, k:])
    return _strictly_copositive(schur, tol)


def _strictly_copositive(matrix: np.ndarray, tol: float) -> bool:
    r"""Whether $z^\top M z > 0$ for all $z \ge 0$, $z \ne 0$.

    Keller's criterion: every principal submatrix whose last row has positive cofactors has a
    positive determinant. A failing submatrix shows its own witness, the cofactors themselves.
    """
    for size in range(1, len(matrix) + 1):
        for chosen in itertools.combinations(range(len(matrix)), size):
            part = matrix[np.ix_(chosen, chosen)]
            cofactors = np.array(
                [
                    (-1) ** (size - 1 + j) * np.linalg.det(np.delete(part[:-1], j, axis=1))
                    for j in range(size)
                ]
            )
            if (cofactors > 0).all() and part[-1] @ cofactors <= tol * cofactors.sum():
                return False
    return True

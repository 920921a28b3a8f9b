"""Strategies that make given actions indifferent, and sets of equilibria built from them."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gamejax._export import AbstractResult
from gamejax._interior_point import solve_matrix_game
from gamejax._numerics import HIGHEST

SHOWN = 20
"""How many equilibria are printed."""


class Equilibria(AbstractResult):
    """Several equilibria of one game.

    Attributes:
        profiles: one array `(count, n_i)` per player, equilibria in front.
        gaps: the Nash gap of each, recomputed from the profiles, shape `(count,)`.
        count: how many there are.
        complete: whether these are certainly all equilibria of the kind asked for. `False` where
            that could not be decided, in particular in degenerate games.
    """

    profiles: tuple[Float[Array, "count actions"], ...]
    gaps: Float[Array, " count"]
    count: int = eqx.field(static=True)
    complete: bool = eqx.field(static=True)

    def __str__(self) -> str:
        ends = "" if self.complete else " (there may be more)"
        lines = [f"{self.count} {'equilibrium' if self.count == 1 else 'equilibria'}{ends}"]
        for k, gap in enumerate(np.asarray(self.gaps)[:SHOWN]):
            played = "; ".join(
                ", ".join(f"{a + 1} {own[k, a]:.4f}" for a in np.flatnonzero(own[k] > 5e-5))
                for own in map(np.asarray, self.profiles)
            )
            lines.append(f"  {played} (gap {gap:.1e})")
        return "\n".join(lines + (["  ..."] if self.count > SHOWN else []))


class Indifference(NamedTuple):
    """What is known of the strategies on one support that make another one indifferent.

    Attributes:
        strategy: the strategy, clipped to the simplex.
        valid: it is one, and the other player's support is a best response to it.
        ambiguous: the system has a solution but more than one, so there may be more strategies.
        crowded: more actions are best responses to the strategy than it plays.
    """

    strategy: Float[Array, " actions"]
    valid: Bool[Array, ""]
    ambiguous: Bool[Array, ""]
    crowded: Bool[Array, ""]


def indifference(
    payoff: Float[Array, "replies actions"],
    replies: Bool[Array, " replies"],
    support: Bool[Array, " actions"],
    exists: Bool[Array, " replies"],
) -> Indifference:
    r"""Solve $(A y)_i = v$ for $i$ in `replies`, $y$ on `support`, $\sum_j y_j = 1$.

    The least-squares solution by singular values, so that one shape serves all supports and
    singular systems are recognized. In a non-degenerate game no strategy has more best responses
    than actions it plays, and every system of equal sizes that has a solution is regular.
    """
    dtype = payoff.dtype
    tol = jnp.finfo(dtype).eps ** 0.6
    table = jnp.where(replies[:, None] & support[None, :], payoff, 0)
    system = jnp.block(
        [
            [table, -replies.astype(dtype)[:, None]],
            [support.astype(dtype)[None, :], jnp.zeros((1, 1), dtype)],
        ]
    )
    right = jnp.zeros_like(system[:, 0]).at[-1].set(1)
    left, values, basis = jnp.linalg.svd(system, full_matrices=False)
    kept = values > tol * values[0]
    turned = jnp.matmul(right, left, precision=HIGHEST) / jnp.where(kept, values, 1)
    solution = jnp.matmul(jnp.where(kept, turned, 0), basis, precision=HIGHEST)
    residual = jnp.abs(jnp.matmul(system, solution, precision=HIGHEST) - right).max()

    consistent = residual <= tol
    singular = kept.sum() < support.sum() + 1
    strategy = jnp.where(support, jnp.maximum(solution[:-1], 0), 0)
    strategy = strategy / jnp.where(consistent, strategy.sum(), 1)
    payoffs = jnp.where(exists, jnp.matmul(payoff, strategy, precision=HIGHEST), -jnp.inf)
    best = payoffs >= payoffs.max() - tol
    valid = consistent & (solution[:-1] >= -tol).all() & (best | ~replies).all()
    crowded = valid & (best.sum() > (strategy > tol).sum())
    return Indifference(strategy, valid, consistent & singular, crowded)


def normalize(payoff: Array, exists: Array) -> Array:
    """Payoffs moved and scaled to [0, 1] over the entries that exist, 0 elsewhere."""
    highest = jnp.max(payoff, where=exists, initial=-jnp.inf)
    lowest = jnp.min(payoff, where=exists, initial=jnp.inf)
    scale = jnp.where(highest > lowest, highest - lowest, 1)
    return jnp.where(exists, (payoff - lowest) / scale, 0)


def subsets(exists: np.ndarray, size: int) -> np.ndarray:
    """All sets of `size` existing actions, as masks `(count, n)`."""
    actions = np.flatnonzero(exists)
    chosen = np.array(list(itertools.combinations(actions, size)), int).reshape(-1, size)
    masks = np.zeros((len(chosen), len(exists)), bool)
    masks[np.arange(len(chosen))[:, None], chosen] = True
    return masks


def distinct(profiles: Sequence[np.ndarray]) -> np.ndarray:
    """Indices of the first of every group of profiles that agree up to rounding."""
    flat = np.concatenate(profiles, axis=1)
    tol = float(np.finfo(flat.dtype).eps) ** 0.4
    kept: list[int] = []
    for index, row in enumerate(flat):
        if not kept or np.abs(flat[kept] - row).max(1).min() > tol:
            kept.append(index)
    return np.array(kept, int)


def indifference_on(payoff: Array, replies: Array, supports: Array, exists: Array) -> Indifference:
    """`indifference` for many pairs of supports, in chunks that fit into the caches."""
    return jax.lax.map(
        lambda pair: indifference(payoff, pair[0], pair[1], exists),
        (replies, supports),
        batch_size=1024,
    )


def any_continuum(
    payoff: Array, found: Indifference, replies: Array, supports: Array, exists: Array
) -> bool:
    """Whether some ambiguous system has a solution that is a strategy and a best-reply condition.

    Whether one exists at all is the sign of a zero-sum game's value: rows ask for another reply to
    be better than one of `replies`, or for two of those to differ. A host function.
    """
    chosen = np.flatnonzero(np.asarray(found.ambiguous))
    if not len(chosen):
        return False
    # Whole chunks, filled up with copies, keep the number of compiled shapes small.
    chosen = np.resize(chosen, -(-len(chosen) // 256) * 256)
    values = _least_complaints(payoff, replies[chosen], supports[chosen], exists)
    tol = float(jnp.finfo(payoff.dtype).eps) ** 0.6
    return bool((values <= tol).any())


@jax.jit
def _least_complaints(payoff: Array, replies: Array, supports: Array, exists: Array) -> Array:
    def least(pair: tuple[Array, Array]) -> Array:
        reply, support = pair
        first = payoff[jnp.argmax(reply)]
        rows = jnp.concatenate([payoff - first[None, :], first[None, :] - payoff])
        asked = jnp.concatenate([exists, reply])
        saddle = solve_matrix_game(rows, asked, support)
        ahead = jnp.matmul(rows, saddle.column, precision=HIGHEST)
        return jnp.max(ahead, where=asked, initial=-jnp.inf)

    return jax.lax.map(least, (replies, supports), batch_size=256)

"""What learners on simplices share: regrets, normalization and counts, block by block."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._numerics import safe_divide
from gamejax.sets import Simplex


def hide(strategies: Simplex, utility: Array, otherwise: float = 0.0) -> Array:
    """`utility` with `otherwise` at the padded actions."""
    return utility if strategies.mask is None else jnp.where(strategies.mask, utility, otherwise)


def expected(utility: Array, strategy: Array) -> Float[Array, "*blocks 1"]:
    r"""$\langle x, u\rangle$ in every block, the last axis kept."""
    return jnp.sum(strategy * utility, axis=-1, keepdims=True)


def regret(strategies: Simplex, utility: Array, strategy: Array) -> Array:
    r"""The instantaneous regret $r = u - \langle x, u\rangle \mathbf 1$, 0 at padded actions."""
    utility = hide(strategies, utility)
    return hide(strategies, utility - expected(utility, strategy))


def normalize(strategies: Simplex, weights: Array) -> Array:
    r"""$g(z) = z^+ / \|z^+\|_1$ in every block, uniform where no weight is positive."""
    positive = jnp.maximum(hide(strategies, weights), 0)
    total = jnp.sum(positive, axis=-1, keepdims=True)
    return safe_divide(positive, total, strategies.center(weights.dtype))


def push_out(strategies: Simplex, point: Array) -> Array:
    r"""The Euclidean projection on $\{z \ge 0, \|z\|_1 \ge 1\}$."""
    positive = jnp.maximum(point, 0)
    outside = jnp.sum(positive, axis=-1, keepdims=True) < 1
    return jnp.where(outside, strategies.project(point), positive)


def num_actions(strategies: Simplex, dtype: Any) -> Float[Array, "*blocks 1"]:
    """How many actions exist in every block, the last axis kept."""
    if strategies.mask is None:
        return jnp.full((*strategies.shape[:-1], 1), strategies.shape[-1], dtype)
    return jnp.sum(strategies.mask, axis=-1, keepdims=True, dtype=dtype)

"""Reward models for a log, each round predicted from the others."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._linalg import solve
from gamejax._numerics import HIGHEST
from gamejax._types import Scalar
from gamejax.bandits._log import BanditLog


@functools.partial(jax.jit, static_argnames=("num_actions", "folds"))
def fit_rewards(
    log: BanditLog, num_actions: int, *, regularization: float | Scalar = 1.0, folds: int = 2
) -> Float[Array, "rounds actions"]:
    r"""A reward model for a log: ridge regression per action, each round predicted by the others.

    With features $z = (1, x)$, or $z = 1$ without contexts, and $\bar r$ the mean reward,
    $\hat q(x, a) = \bar r + z^\top(\lambda I + \sum_{i: a_i = a} z_i z_i^\top)^{-1}
    \sum_{i: a_i = a} z_i (r_i - \bar r)$: an action that was never seen gets $\bar r$. Rounds
    $i \equiv j \bmod$ `folds` are predicted from all the others, $\bar r$ too (cross-fitting), so
    that `doubly_robust` stays unbiased for independent rounds. Positions enter only through
    contexts: append their indicators to `contexts` for a model per position.

    Args:
        log: what was played.
        num_actions: the number of actions.
        regularization: $\lambda > 0$.
        folds: at least 2; or 1 to predict each round from all rounds, its own too.

    Raises:
        ValueError: `folds` is below 1 or above the number of rounds.
    """
    n, dtype = len(log), log.rewards.dtype
    if not 1 <= folds <= n:
        raise ValueError(f"folds must be from 1 to the number of rounds, {n}, got {folds}.")
    ones = jnp.ones((n, 1), dtype)
    features = ones if log.contexts is None else jnp.concatenate([ones, log.contexts], axis=1)
    played = jax.nn.one_hot(log.actions, num_actions, dtype=dtype)
    fold = jnp.arange(n, dtype=jnp.int32) % folds

    def predict(held_out: Array) -> Array:
        kept = ((fold != held_out) | (folds == 1)).astype(dtype)
        mean = (kept * log.rewards).sum() / kept.sum()

        def one_action(played_now: Array) -> Array:
            weighted = features * (kept * played_now)[:, None]
            gram = jnp.matmul(weighted.T, features, precision=HIGHEST)
            ridge = jnp.asarray(regularization, dtype) * jnp.eye(features.shape[1], dtype=dtype)
            moments = jnp.matmul(weighted.T, log.rewards - mean, precision=HIGHEST)
            slope = solve(gram + ridge, moments[:, None])[:, 0]
            return mean + jnp.matmul(features, slope, precision=HIGHEST)

        predictions = jax.lax.map(one_action, played.T)
        return jnp.where((fold == held_out)[:, None] | (folds == 1), predictions.T, 0)

    return jax.lax.map(predict, jnp.arange(folds, dtype=jnp.int32)).sum(0)

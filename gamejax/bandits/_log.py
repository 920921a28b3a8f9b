"""What a logging policy left behind: actions, rewards, and how likely each action was."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int, Num

Table = Float[Array, "rounds actions"] | Float[Array, " actions"]
"""One row of numbers per logged round, or one row for all of them."""


class BanditLog(eqx.Module):
    r"""Rounds that a logging policy $\pi_0$ played: what it did, what it got, how likely that was.

    Logs of one length stack; map an estimator over them with `jax.vmap`.

    Args:
        actions: $a_i$, integers from 0, shape `(rounds,)`.
        rewards: $r_i$, shape `(rounds,)`; their dtype is the dtype of the estimates.
        propensities: $\pi_0(a_i \mid x_i) \in (0, 1]$, the probability of the logged action.
        contexts: $x_i$, shape `(rounds, features)`; what a reward model or a policy may look at.
        positions: where the action was shown, integers from 0; `None` where there is one place.

    Raises:
        ValueError: shapes disagree, a propensity is outside $(0, 1]$, an action is negative, or a
            reward is not finite.
        TypeError: actions or positions are not integers.
    """

    actions: Int[Array, " rounds"]
    rewards: Float[Array, " rounds"]
    propensities: Float[Array, " rounds"]
    contexts: Float[Array, "rounds features"] | None = None
    positions: Int[Array, " rounds"] | None = None

    def __init__(
        self,
        actions: Any,
        rewards: Any,
        propensities: Any,
        contexts: Any = None,
        positions: Any = None,
    ):
        rewards = jnp.asarray(rewards)
        if not jnp.issubdtype(rewards.dtype, jnp.floating):
            rewards = rewards.astype(float)
        dtype = rewards.dtype
        self.actions = _integers("actions", actions)
        self.rewards = rewards
        self.propensities = jnp.asarray(propensities, dtype)
        self.contexts = None if contexts is None else jnp.asarray(contexts, dtype)
        self.positions = None if positions is None else _integers("positions", positions)
        self._check_shapes()
        self._check_values()

    def __len__(self) -> int:
        return self.rewards.shape[0]

    def _check_shapes(self) -> None:
        shape = self.rewards.shape
        if len(shape) != 1 or shape[0] == 0:
            raise ValueError(f"rewards must have shape (rounds,) with rounds >= 1, got {shape}.")
        for name in ("actions", "propensities", "positions"):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(
                    f"{name} must have one entry per reward, shape {shape}, got {value.shape}."
                )
        if self.contexts is not None and (
            self.contexts.ndim != 2 or self.contexts.shape[0] != shape[0]
        ):
            raise ValueError(
                f"contexts must have shape ({shape[0]}, features), got {self.contexts.shape}."
            )

    def _check_values(self) -> None:
        def broken(name: str, test: Callable[[Array], Array], wanted: str) -> None:
            value = getattr(self, name)
            if value is None or isinstance(value, Tracer):
                return
            wrong = ~test(value)
            if bool(wrong.any()):
                at = int(jnp.argmax(wrong))
                raise ValueError(f"{name} must be {wanted}, got {value[at]} in round {at}.")

        broken("propensities", lambda p: (p > 0) & (p <= 1), "probabilities in (0, 1]")
        broken("actions", lambda a: a >= 0, "integers from 0")
        broken("positions", lambda a: a >= 0, "integers from 0")
        broken("rewards", jnp.isfinite, "finite")


def _integers(name: str, value: Any) -> Array:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be integers, got {array.dtype}.")
    return array.astype(jnp.int32)


def logged(log: BanditLog, table: Array) -> Array:
    return jnp.take_along_axis(table, log.actions[:, None], axis=1)[:, 0]


def tables(log: BanditLog, **tables: Num[Array, "..."]) -> list[Array]:
    """Each table with one row per round, in the dtype of the rewards."""
    n, dtype = len(log), log.rewards.dtype
    found, actions = [], None
    for name, given in tables.items():
        table = jnp.asarray(given)
        if table.ndim not in (1, 2) or (table.ndim == 2 and table.shape[0] != n):
            raise ValueError(
                f"{name} must have shape (actions,) or (rounds, actions) with {n} rounds, "
                f"got {table.shape}."
            )
        actions = table.shape[-1] if actions is None else actions
        if table.shape[-1] != actions:
            raise ValueError(f"{name} has {table.shape[-1]} actions, target has {actions}.")
        found.append(jnp.broadcast_to(table.astype(dtype), (n, actions)))
    if not isinstance(log.actions, Tracer) and int(log.actions.max()) >= (actions or 0):
        raise ValueError(
            f"the log plays action {int(log.actions.max())}, but {next(iter(tables))} has "
            f"{actions} actions."
        )
    return found

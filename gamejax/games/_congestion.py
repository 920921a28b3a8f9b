"""Games of players who share resources."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.games._base import AbstractGame, Labels
from gamejax.games._normal_form import as_payoffs, check_sets
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.sets._checks import is_concrete


class CongestionGame(AbstractGame):
    r"""A congestion game: strategies are sets of resources, each as costly as its users are many.

    $$u_i(x)[s] = -\sum_{r \in s} \mathbb{E}\, d_r(1 + N_{-i,r}),$$

    with $N_{-i,r}$ the number of opponents on resource $r$, a sum of independent indicators whose
    law is a dynamic program over players: distributions of the load of those before $i$, expected
    delays given that of those up to $i$, and one product. $O(m^2 R + \sum_i n_i R)$ work for all
    players. Unilateral changes of payoff are changes of `potential`, so that pure equilibria exist
    and best responses reach one.

    Args:
        delays: table `(R, m)`; `delays[r, k - 1]` is what each user of `r` pays when there are `k`.
            Integers become the default float. Negative delays are gains.
        strategies: per player an array `(n_i, R)` of zeros and ones: which resources each of its
            strategies uses. One array `(m, n, R)` will do where the counts agree.
        strategy_sets: one set per player; default whole simplices.
        labels: names of the game, its players and their actions.

    Raises:
        ValueError: the tables do not fit each other, or `strategies` holds other numbers.

    References:
        rosenthal1973, monderer1996.
    """

    delays: Float[Array, "resources players"]
    strategies: tuple[Bool[Array, "actions resources"], ...]
    strategy_sets: tuple[AbstractStrategySet, ...]

    def __init__(
        self,
        delays: Numbers,
        strategies: Sequence[Numbers] | Array | np.ndarray,
        strategy_sets: Sequence[AbstractStrategySet] | None = None,
        *,
        labels: Labels | None = None,
    ):
        table = as_payoffs(delays, "delays")
        uses = tuple(_incidence(s, f"strategies[{i}]") for i, s in enumerate(strategies))
        if table.ndim != 2 or table.shape[1] != len(uses):
            raise ValueError(
                "delays must have shape (resources, players) with one column per number of users, "
                f"1 to {len(uses)}, got {table.shape}."
            )
        if any(u.ndim != 2 or u.shape[0] == 0 or u.shape[1] != table.shape[0] for u in uses):
            raise ValueError(
                f"strategies must have one array (n_i, {table.shape[0]}) per player, got shapes "
                f"{[u.shape for u in uses]}."
            )
        self.delays = table
        self.strategies = uses
        self.strategy_sets = (
            tuple(Simplex(u.shape[0]) for u in uses)
            if strategy_sets is None
            else tuple(strategy_sets)
        )
        check_sets(self.strategy_sets, tuple(u.shape[0] for u in uses))
        self.labels = labels

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        return self.utilities(profile)[player]

    def utilities(self, profile: tuple[Array, ...]) -> tuple[Array, ...]:
        def backward(expected: Array, usage: Array) -> tuple[Array, Array]:
            one_more = jnp.concatenate([expected[:, 1:], expected[:, -1:]], axis=1)
            return expected + usage[:, None] * (one_more - expected), expected

        usage = self._usage(profile)
        earlier = jax.lax.scan(_add_user, self._nobody(self.delays), usage)[1]
        later = jax.lax.scan(backward, self.delays, usage, reverse=True)[1]
        paid = jnp.einsum("mrk,mrk->mr", earlier, later, precision=HIGHEST)
        return tuple(
            -jnp.matmul(s.astype(p.dtype), p, precision=HIGHEST)
            for s, p in zip(self.strategies, paid, strict=True)
        )

    def potential(self, actions: Numbers) -> Scalar:
        r"""Rosenthal's potential of a pure profile, $-\sum_r \sum_{k=1}^{N_r} d_r(k)$.

        When one player changes its action, the potential changes by exactly what that player gains.

        Args:
            actions: the index of each player's strategy, shape `(m,)`.
        """
        chosen = jnp.asarray(actions)
        profile = tuple(
            jax.nn.one_hot(chosen[i], s.shape[0], dtype=self.delays.dtype)
            for i, s in enumerate(self.strategies)
        )
        return self.expected_potential(profile)

    def expected_potential(self, profile: tuple[Array, ...]) -> Scalar:
        r"""The expectation of `potential` under independent strategies.

        Its gradient in $x_i$ differs from $u_i$ by a constant, the same for all actions of $i$.
        """
        paid = jnp.pad(jnp.cumsum(self.delays, axis=1), ((0, 0), (1, 0)))
        loads = jax.lax.scan(_add_user, self._nobody(paid), self._usage(profile))[0]
        return -jnp.vdot(loads, paid, precision=HIGHEST)

    def utility_range(self, player: int) -> Scalar:
        """An upper bound: each resource at its best or worst load, whatever the others'."""
        uses = self.strategies[player]
        mask = getattr(self.strategy_sets[player], "mask", None)
        exists = jnp.ones(uses.shape[:1], bool) if mask is None else mask
        weights = uses.astype(self.delays.dtype)
        worst = jnp.matmul(weights, self.delays.max(1), precision=HIGHEST)
        best = jnp.matmul(weights, self.delays.min(1), precision=HIGHEST)
        dearest = jnp.max(worst, where=exists, initial=-jnp.inf)
        return dearest - jnp.min(best, where=exists, initial=jnp.inf)

    def _usage(self, profile: tuple[Array, ...]) -> Float[Array, "players resources"]:
        """The probability that each player uses each resource."""
        return jnp.stack(
            [
                jnp.matmul(x, s.astype(x.dtype), precision=HIGHEST)
                for x, s in zip(profile, self.strategies, strict=True)
            ]
        )

    def _nobody(self, like: Array) -> Array:
        """The law of no load at all on each resource."""
        return jnp.zeros_like(like).at[:, 0].set(1)


def _add_user(loads: Array, usage: Array) -> tuple[Array, Array]:
    """The law `(R, loads)` of each resource's load with one more player; and the law before."""
    one_more = jnp.concatenate([jnp.zeros_like(loads[:, :1]), loads[:, :-1]], axis=1)
    return loads + usage[:, None] * (one_more - loads), loads


def _incidence(strategies: Any, name: str) -> Array:
    """A boolean array; numbers other than 0 and 1 are refused where they can be seen."""
    try:
        array = jnp.asarray(strategies)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a rectangular array of 0 and 1: {error}") from None
    if array.dtype == bool:
        return array
    used = array == 1
    if is_concrete(array) and not bool(jnp.all(used | (array == 0))):
        raise ValueError(f"{name} must hold only 0 and 1, got {np.unique(array)}.")
    return used

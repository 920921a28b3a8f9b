"""Games given by their payoff tensors."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.games._base import AbstractGame, Labels
from gamejax.sets import AbstractStrategySet, Simplex


def as_payoffs(payoffs: Any, name: str) -> Array:
    """An array of float32 or float64; integers become the default float, the rest is refused."""
    if not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(payoffs)):
        try:
            payoffs = np.asarray(payoffs)
        except ValueError as error:
            raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None
        if payoffs.dtype.kind not in "iuf":
            raise ValueError(f"{name} must hold real numbers, got dtype {payoffs.dtype}.")
    array = jnp.asarray(payoffs)
    if jnp.issubdtype(array.dtype, jnp.floating):
        # Linear systems, and gaps worth having, need more than 16 bits.
        return array.astype(jnp.float32) if jnp.finfo(array.dtype).bits < 32 else array
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return array.astype(jnp.result_type(float))


def check_sets(sets: Sequence[AbstractStrategySet], shape: tuple[int, ...]) -> None:
    """Refuse strategy sets that do not fit a payoff tensor of this shape."""
    shapes = tuple(s.shape for s in sets)
    if shapes != tuple((n,) for n in shape):
        raise ValueError(
            f"strategy_sets must have one set per player with shapes {tuple((n,) for n in shape)}, "
            f"got {shapes}."
        )


def existing_profiles(sets: Sequence[AbstractStrategySet]) -> Array:
    """Which pure profiles the sets' masks leave, shape `(n_1, ..., n_m)`."""
    exists = jnp.ones(tuple(s.shape[-1] for s in sets), bool)
    for axis, strategies in enumerate(sets):
        mask = getattr(strategies, "mask", None)
        if mask is not None:
            others = tuple(j for j in range(len(sets)) if j != axis)
            exists = exists & jnp.expand_dims(mask, others)
    return exists


def payoff_bounds(payoffs: Array, sets: Sequence[AbstractStrategySet]) -> tuple[Scalar, Scalar]:
    """Smallest and largest payoff over the actions that the sets' masks leave."""
    exists = existing_profiles(sets)
    lowest = jnp.min(payoffs, where=exists, initial=jnp.inf)
    return lowest, jnp.max(payoffs, where=exists, initial=-jnp.inf)


def payoff_range(payoffs: Array, sets: Sequence[AbstractStrategySet]) -> Scalar:
    """Largest minus smallest payoff over the actions that the sets' masks leave."""
    lowest, highest = payoff_bounds(payoffs, sets)
    return highest - lowest


class NormalFormGame(AbstractGame):
    r"""A finite game of $m$ players given by its payoff tensors.

    $u_i(x)[a] = \sum_{a_{-i}} U_i(a, a_{-i}) \prod_{j \ne i} x_j(a_j)$, contracted one opponent at
    a time, so that no product of strategies is ever formed; $O(m \prod_j n_j)$ work for all.

    Args:
        payoffs: array `(m, n_1, ..., n_m)`, or a sequence of $m$ arrays `(n_1, ..., n_m)`; entry
            `[i, a_1, ..., a_m]` is what player $i$ gains. Integers become the default float.
        strategy_sets: one set per player; default whole simplices.
        labels: names of the game, its players and their actions.

    Raises:
        ValueError: the payoffs are no such array, or the sets do not fit it.
    """

    payoffs: Float[Array, "players ..."]
    strategy_sets: tuple[AbstractStrategySet, ...]

    def __init__(
        self,
        payoffs: Numbers,
        strategy_sets: Sequence[AbstractStrategySet] | None = None,
        *,
        labels: Labels | None = None,
    ):
        if isinstance(payoffs, (list, tuple)):
            arrays = [as_payoffs(p, f"payoffs[{i}]") for i, p in enumerate(payoffs)]
            if len({a.shape for a in arrays}) != 1:
                raise ValueError(
                    "payoffs must have one array per player, all of the same shape, got shapes "
                    f"{[a.shape for a in arrays]}."
                )
            payoffs = jnp.stack(arrays)
        tensor = as_payoffs(payoffs, "payoffs")
        if tensor.ndim < 2 or tensor.shape[0] != tensor.ndim - 1 or tensor.size == 0:
            raise ValueError(
                "payoffs must have shape (m, n_1, ..., n_m), one leading entry and one axis per "
                f"player, got {tensor.shape}; for a batch of games map the constructor: "
                "jax.vmap(NormalFormGame)(payoffs)."
            )
        self.payoffs = tensor
        self.strategy_sets = (
            tuple(Simplex(n) for n in tensor.shape[1:])
            if strategy_sets is None
            else tuple(strategy_sets)
        )
        check_sets(self.strategy_sets, tensor.shape[1:])
        self.labels = labels

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        gains = self.payoffs[player]
        for axis in reversed(range(len(profile))):
            if axis != player:
                gains = jnp.tensordot(gains, profile[axis], (axis, 0), precision=HIGHEST)
        return gains

    def deviations(self, player: int, joint: Joint) -> Array:
        return contract_deviations(self.payoffs[player], joint, player)

    def utility_range(self, player: int) -> Scalar:
        return payoff_range(self.payoffs[player], self.strategy_sets)

    def pure_candidates(self) -> list[tuple[Array, ...]]:
        if not all(isinstance(own, Simplex) for own in self.strategy_sets):
            return []  # vertices of the simplex lie outside a capped one
        return [most_stable_profile(self.payoffs, self.strategy_sets)]


def most_stable_profile(payoffs: Array, sets: Sequence[AbstractStrategySet]) -> tuple[Array, ...]:
    """The pure profile with the smallest largest gain from deviating, as one-hot strategies."""
    exists = existing_profiles(sets)
    worst = jnp.full(payoffs.shape[1:], -jnp.inf, payoffs.dtype)
    for i, own in enumerate(payoffs):
        best = jnp.max(own, axis=i, keepdims=True, where=exists, initial=-jnp.inf)
        worst = jnp.maximum(worst, best - own)
    chosen = jnp.argmin(jnp.where(exists, worst, jnp.inf))
    actions = jnp.unravel_index(chosen, worst.shape)
    return tuple(
        jax.nn.one_hot(a, n, dtype=payoffs.dtype) for a, n in zip(actions, worst.shape, strict=True)
    )


def contract_deviations(payoffs: Array, joint: Joint, player: int) -> Array:
    """`AbstractGame.deviations` where player's payoff tensor `(n_1, ..., n_m)` is at hand."""
    others = tuple(j for j in range(payoffs.ndim) if j != player)
    return jnp.tensordot(joint.probabilities, payoffs, (others, others), precision=HIGHEST)


def bimatrix(a: Numbers, b: Numbers, *, labels: Labels | None = None) -> NormalFormGame:
    """The two-player game with payoff matrices `a` (row player) and `b` (column), `(n, k)`."""
    first, second = as_payoffs(a, "a"), as_payoffs(b, "b")
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"a and b must be matrices of one shape, got {first.shape} and {second.shape}."
        )
    return NormalFormGame([first, second], labels=labels)

"""No swap regret for any number of actions, by a tree of learners without external regret."""

import dataclasses
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._types import Scalar, State, Strategy, Utility
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner
from gamejax.sets import AbstractStrategySet


class TreeSwapState(NamedTuple):
    """The layers' strategies, states, sums of utilities since they moved (first axis); rounds."""

    strategies: Strategy
    layers: State
    sums: Utility
    step: Int[Array, ""]


class TreeSwap(AbstractLearner):
    r"""TreeSwap: learners on ever slower clocks, played in equal shares.

    Layer $k = 0, \dots, K-1$ is a copy of `learner` that moves every $M^k$ rounds, on the mean
    utility of these rounds, and begins anew every $M^{k+1}$ rounds. Play the mean of the layers'
    strategies.

    If the learner has external regret at most $\epsilon M$ over $M$ rounds of utilities of range
    $R$, the swap regret of $T = M^K$ rounds is at most $(\epsilon + R/K)\,T$. With `Hedge`,
    $(\ln n)^{\tilde O(1/\epsilon)}$ rounds bring it to $\epsilon T$, where Blum and Mansour's
    reduction needs about $n \ln n/\epsilon^2$. The bound holds for all functions of the layers'
    strategies, so on any convex set. `layers=1` is the learner itself, begun anew every $M$ rounds.

    Args:
        learner: the learner of every layer.
        base: $M \ge 2$, static.
        layers: $K \ge 1$, static; $M^K$ must be below $2^{31}$.

    Raises:
        ValueError: `base` or `layers` is out of its range.

    References:
        dagan2024 (TreeSwap); peng2024.
    """

    learner: AbstractLearner
    base: int = eqx.field(static=True)
    layers: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        for name, low in (("base", 2), ("layers", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise ValueError(f"TreeSwap: {name} must be an integer >= {low}, got {value!r}.")
        if self.base**self.layers >= 2**31:
            raise ValueError(
                "TreeSwap: base**layers, the rounds of one full cycle, must be below 2**31, got "
                f"{self.base}**{self.layers}."
            )

    def with_utility_range(self, utility_range: Scalar) -> Self:
        return dataclasses.replace(self, learner=self.learner.with_utility_range(utility_range))

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategy, TreeSwapState]:
        return self._begin(self.learner.init(strategies, dtype=dtype))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, TreeSwapState]:
        return self._begin(self.learner.start(strategies, strategy, dtype=dtype))

    def _begin(self, begun: tuple[Strategy, State]) -> tuple[Strategy, TreeSwapState]:
        strategies, layers = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (self.layers, *leaf.shape)), begun
        )
        sums = jax.tree.map(jnp.zeros_like, strategies)
        return begun[0], TreeSwapState(strategies, layers, sums, jnp.zeros((), jnp.int32))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: TreeSwapState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, TreeSwapState]:
        step = state.step + 1
        powers = jnp.asarray([self.base**k for k in range(self.layers + 1)], jnp.int32)
        due = step % powers == 0
        means, sums = self._means(feedback.utility, state.sums, due)

        def update_layer(mean: Utility, layer: State, last: Strategy, key: PRNGKeyArray | None):
            seen = Feedback(mean, last, feedback.observed)
            return self.learner.update(strategies, seen, layer, last, key=key)

        keys = None if key is None else jax.random.split(key, self.layers)
        held = (state.strategies, state.layers)
        moved = jax.vmap(update_layer)(means, state.layers, state.strategies, keys)
        dtype = jnp.result_type(*jax.tree.leaves(strategy))
        fresh = jax.tree.map(lambda leaf: leaf[None], self.learner.init(strategies, dtype=dtype))
        moved = _choose(due[:-1], moved, held)
        layer_strategies, layers = _choose(due[1:], fresh, moved)
        played = jax.tree.map(lambda x: x.mean(0), layer_strategies)
        return played, TreeSwapState(layer_strategies, layers, sums, step)

    def _means(self, utility: Utility, sums: Utility, due: Array) -> tuple[Utility, Utility]:
        """Each layer's mean utility since it last moved, and the sums to keep.

        The mean of layer k is one of `base` terms of layer k + 1, so no sum has more than `base`.
        """
        means, kept = [], []
        mean = utility
        for k in range(self.layers):
            total = jax.tree.map(
                lambda s, m, k=k: s[k] + jnp.where(due[max(k - 1, 0)], m, 0), sums, mean
            )
            mean = jax.tree.map(lambda s, k=k: s / (self.base if k else 1), total)
            means.append(mean)
            kept.append(jax.tree.map(lambda s, k=k: jnp.where(due[k], 0, s), total))
        stack = lambda *leaves: jnp.stack(leaves)  # noqa: E731
        return jax.tree.map(stack, *means), jax.tree.map(stack, *kept)


def _choose(which: Array, yes: Any, no: Any) -> Any:
    """Layer by layer, `yes` where `which` holds, else `no`."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(which.reshape(-1, *(1,) * (b.ndim - 1)), a, b)

    return jax.tree.map(pick, yes, no)

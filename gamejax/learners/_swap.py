"""No swap regret, by reduction to learners without external regret."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._linalg import stationary
from gamejax._types import Scalar, State
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number
from gamejax.sets import AbstractStrategySet

Strategies = Float[Array, "*blocks actions"]


class BlumMansourState(NamedTuple):
    """The copies' strategies, shape `(actions, *blocks, actions)`, and states (leading axis)."""

    rows: Float[Array, "actions *blocks actions"]
    copies: State


class BlumMansour(AbstractLearner):
    r"""Blum and Mansour's reduction: no swap regret from any learner without external regret.

    One copy of `learner` for every action; copy $a$ proposes row $a$ of a matrix $Q^t$. Play the
    stationary distribution $x^t = x^t Q^t$ and feed copy $a$ the utility $x^t_a u^t$. Then

    $$\mathrm{SwapReg}(T) = \sum_a \mathrm{Reg}_a(T).$$

    For utilities of range $R$: with `RegretMatching` or `RegretMatchingPlus` at most
    $n R \sqrt T$; with `Hedge` at a fixed rate $\eta$ at most $n \ln n / \eta + \eta R^2 T / 8$.
    `Hedge()` with a known range runs at $\sqrt{8 n \ln n / t}/R$, $\sqrt n$ times its own rate,
    since the copies share the range: at most $1.07\,R\sqrt{n T \ln n}$ at every $T$. If all players
    use optimistic FTRL with the log-barrier, each has swap regret $O(\ln T)$. Each block of a
    strategy has copies of its own; capped simplices work too.

    Args:
        learner: plays the rows.
        utility_range: largest minus smallest utility of a round, passed on to the copies; `None` if
            not known (`SelfPlay` fills it in for games that know theirs).

    Raises:
        TypeError: the strategy set does not consist of probability vectors.

    References:
        blum2007; anagnostides2022 (Algorithm 1, Theorem 4.1).
    """

    learner: AbstractLearner
    utility_range: float | Scalar | None = None

    def __check_init__(self) -> None:
        check_number(self, "utility_range", 0, strict=False)

    def with_utility_range(self, utility_range: Scalar) -> Self:
        if self.utility_range is not None:
            return self
        return dataclasses.replace(self, utility_range=utility_range)

    def _copy(self, strategies: AbstractStrategySet, dtype: Any) -> AbstractLearner:
        if self.utility_range is None:
            return self.learner
        # Copy a's regret grows with eta * sum_t x_a^2 R^2, and these shares add up to at most R^2.
        num_actions = jnp.sum(strategies.center(dtype) > 0, axis=-1, dtype=dtype).max()
        utility_range = jnp.asarray(self.utility_range, dtype) / jnp.sqrt(num_actions)
        return self.learner.with_utility_range(utility_range)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategies, BlumMansourState]:
        self._check(strategies, dtype)
        return self._begin(strategies, self._copy(strategies, dtype).init(strategies, dtype=dtype))

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategies, *, dtype: Any
    ) -> tuple[Strategies, BlumMansourState]:
        self._check(strategies, dtype)
        copy = self._copy(strategies, dtype)
        return self._begin(strategies, copy.start(strategies, strategy, dtype=dtype))

    def _check(self, strategies: AbstractStrategySet, dtype: Any) -> None:
        try:
            strategies.entropy_range(dtype)
            single = isinstance(strategies.center(dtype), jax.Array)
        except TypeError:
            single = False
        if not single:
            raise TypeError(
                "BlumMansour plays on a Simplex or a CappedSimplex, but its player's strategy set "
                f"is a {type(strategies).__name__}."
            )

    def _begin(
        self, strategies: AbstractStrategySet, begun: tuple[Strategies, State]
    ) -> tuple[Strategies, BlumMansourState]:
        n = strategies.shape[-1]
        rows, copies = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n, *leaf.shape)), begun)
        return begun[0], BlumMansourState(rows, copies)

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: BlumMansourState,
        strategy: Strategies,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategies, BlumMansourState]:
        dtype, n = strategy.dtype, strategy.shape[-1]
        learner = self._copy(strategies, dtype)

        def update_copy(share: Array, row: Strategies, copy: State, key: PRNGKeyArray | None):
            seen = Feedback(share[..., None] * feedback.utility, row, feedback.observed)
            return learner.update(strategies, seen, copy, row, key=key)

        shares = jnp.moveaxis(strategy, -1, 0)
        keys = None if key is None else jax.random.split(key, n)
        rows, copies = jax.vmap(update_copy)(shares, state.rows, state.copies, keys)
        played = stationary(jnp.moveaxis(rows, 0, -2), strategies.center(dtype))
        return played, BlumMansourState(rows, copies)

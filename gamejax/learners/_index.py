"""Index policies: play the action of the largest index, computed from counts and means."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum, hash_lots
from gamejax._types import PyTree, Scalar
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number, require_simplex
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.sets._simplex import hide

Record = PyTree[Float[Array, "*blocks actions"]]


class IndexState(NamedTuple):
    """What an index policy carries: how often each action was observed, sums, the rounds so far."""

    counts: Int[Array, "*blocks actions"]
    sums: Sum
    step: Int[Array, ""]


class AbstractIndexPolicy(AbstractLearner):
    r"""Plays the vertex of the largest index; subclasses give `index`.

    Counts and means come from the coordinates that `Feedback.observed` marks: with bandit feedback
    that is the arm played, with full information every arm. Ties go to the lowest action, or to a
    random one when `update` is given a key. Plays on a `Simplex`.

    Attributes:
        tries_all: every action is tried once first, and `record` sees counts of at least 1; without
            it `record` decides about actions of count 0 and mean 0, such as by a prior.
    """

    tries_all: ClassVar[bool] = True

    def record(
        self, counts: Float[Array, "*blocks actions"], means: Float[Array, "*blocks actions"]
    ) -> Record:
        """What the index of an action needs of its own past alone; default `(counts, means)`.

        Entry by entry. `gamejax.bandits` keeps it and computes it anew only for the arm just seen,
        so what is dear belongs here rather than into `index`.
        """
        return counts, means

    @abc.abstractmethod
    def index(
        self, record: Record, step: Scalar, *, key: PRNGKeyArray | None
    ) -> Float[Array, "*blocks actions"]:
        """The indices in round `step` (1, 2, ...) of actions with this `record`."""

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, IndexState]:
        center = require_simplex(self, strategies).center(dtype)
        counts = jnp.zeros_like(center, dtype=jnp.int32)
        state = IndexState(counts, Sum.zeros_like(center), jnp.zeros((), jnp.int32))
        return strategies.lmo(jnp.zeros_like(center)), state

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: IndexState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, IndexState]:
        state = self.observe(feedback, state)
        record = self.recorded(state.counts, state.sums.total)
        action = self.choose(require_simplex(self, strategies), state, record, key=key)
        return jax.nn.one_hot(action, strategy.shape[-1], dtype=strategy.dtype), state

    def observe(self, feedback: Feedback, state: IndexState) -> IndexState:
        """Counts and sums with what was seen in one more round."""
        observed = jnp.asarray(feedback.observed, jnp.int32)
        seen = jnp.where(observed > 0, feedback.utility, 0)
        return IndexState(state.counts + observed, state.sums.add(seen), state.step + 1)

    def recorded(self, counts: Array, sums: Array) -> Record:
        """`record` of counts and sums."""
        pulled = jnp.maximum(counts, 1).astype(sums.dtype)
        return self.record(pulled if self.tries_all else counts.astype(sums.dtype), sums / pulled)

    def choose(
        self,
        strategies: Simplex,
        state: IndexState,
        record: Record,
        *,
        key: PRNGKeyArray | None,
    ) -> Int[Array, "*blocks"]:
        """The action of the next round."""
        step = (state.step + 1).astype(state.sums.total.dtype)
        index = self.index(record, step, key=key)
        if self.tries_all:
            index = jnp.where(state.counts == 0, jnp.finfo(index.dtype).max, index)
        return _largest(hide(index, strategies.mask), key)


def _largest(index: Array, key: PRNGKeyArray | None) -> Int[Array, "*blocks"]:
    """The action of the largest index; ties go to the lowest action, or at random given a key."""
    if key is None:
        return jnp.argmax(index, axis=-1).astype(jnp.int32)
    tied = index == jnp.max(index, axis=-1, keepdims=True)
    # Random bits above the number of the action: no two lots are equal, and no argmax is needed.
    n = index.shape[-1]
    low = jnp.uint32((1 << (n - 1).bit_length()) - 1)
    number = jax.lax.broadcasted_iota(jnp.uint32, index.shape, index.ndim - 1)
    lots = (hash_lots(key, index.shape) >> 1) & ~low | number
    best = jnp.max(jnp.where(tied, lots, 0), axis=-1)
    return (best & low).astype(jnp.int32)


class UCB(AbstractIndexPolicy):
    r"""Upper confidence bounds: the index $m_a + R\sqrt{c \ln t/N_a}$.

    $m_a$ is the mean of the $N_a$ rewards seen of arm $a$ before round $t$. For $c = 2$ (UCB1),
    stochastic rewards of range $R = 1$ and gaps $D_a$ the expected regret is at most
    $\sum_{D_a > 0} 8\ln T/D_a + (1 + \pi^2/3)\sum_a D_a$; $c = 1/2$ is usual in practice.

    Args:
        exploration: $c \ge 0$.
        scale: $R > 0$, largest minus smallest reward.

    References:
        auer2002 (Theorem 1).
    """

    exploration: float | Scalar = 2.0
    scale: float | Scalar = 1.0
    tries_all: ClassVar[bool] = False  # `record` sees to it, one pass less in every round

    def __check_init__(self) -> None:
        check_number(self, "exploration", 0, strict=False)
        check_number(self, "scale", 0)

    def record(
        self, counts: Float[Array, "*blocks actions"], means: Float[Array, "*blocks actions"]
    ) -> Record:
        exploration, scale = number(self.exploration, means), number(self.scale, means)
        untried = counts == 0
        widths = scale * jnp.sqrt(exploration / jnp.where(untried, 1, counts))
        large = jnp.finfo(means.dtype).max
        return jnp.where(untried, large, means), jnp.where(untried, 0, widths)

    def index(
        self, record: Record, step: Scalar, *, key: PRNGKeyArray | None
    ) -> Float[Array, "*blocks actions"]:
        means, widths = record
        return means + jnp.sqrt(jnp.log(step)) * widths

"""Index policies: play the action of the largest index, computed from counts and means."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import Sum, hash_words
from gamejax._types import Scalar
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number, require_simplex
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet, Simplex


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
        tries_all: every action is tried once first, and `index` sees counts of at least 1; without
            it (posterior sampling) the prior decides, and counts and means may be 0.
    """

    tries_all: ClassVar[bool] = True

    @abc.abstractmethod
    def index(
        self,
        counts: Float[Array, "*blocks actions"],
        means: Float[Array, "*blocks actions"],
        step: Scalar,
        *,
        key: PRNGKeyArray | None,
    ) -> Float[Array, "*blocks actions"]:
        """The indices in round `step` (1, 2, ...) of actions seen `counts` >= 1 times each."""

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
        simplex = require_simplex(self, strategies)
        observed = jnp.asarray(feedback.observed, jnp.int32)
        seen = jnp.where(observed > 0, feedback.utility, 0)
        counts = state.counts + observed
        state = IndexState(counts, state.sums.add(seen), state.step + 1)
        pulled = jnp.maximum(counts, 1).astype(seen.dtype)
        means = state.sums.total / pulled
        shown = pulled if self.tries_all else counts.astype(seen.dtype)
        step = (state.step + 1).astype(seen.dtype)
        index = self.index(shown, means, step, key=key)
        if self.tries_all:
            index = jnp.where(counts == 0, jnp.finfo(index.dtype).max, index)
        return _largest(simplex, index, key), state


def _largest(strategies: Simplex, index: Array, key: PRNGKeyArray | None) -> Array:
    """The vertex of the largest index; ties go to the lowest action, or at random given a key."""
    if key is None:
        return strategies.lmo(index)
    shown = index if strategies.mask is None else jnp.where(strategies.mask, index, -jnp.inf)
    tied = shown == jnp.max(shown, axis=-1, keepdims=True)
    # Random bits above the number of the action: no two lots are equal, and no argmax is needed.
    n = index.shape[-1]
    low = jnp.uint32((1 << (n - 1).bit_length()) - 1)
    lots = (hash_words(key, index.shape) >> 1) & ~low | jnp.arange(n, dtype=jnp.uint32)
    lots = jnp.where(tied, lots.astype(jnp.int32), -1)
    return (lots == jnp.max(lots, axis=-1, keepdims=True)).astype(index.dtype)


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

    def __check_init__(self) -> None:
        check_number(self, "exploration", 0, strict=False)
        check_number(self, "scale", 0)

    def index(
        self,
        counts: Float[Array, "*blocks actions"],
        means: Float[Array, "*blocks actions"],
        step: Scalar,
        *,
        key: PRNGKeyArray | None,
    ) -> Float[Array, "*blocks actions"]:
        exploration, scale = number(self.exploration, means), number(self.scale, means)
        return means + scale * jnp.sqrt(exploration * jnp.log(step) / counts)

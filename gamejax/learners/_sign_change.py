"""The response of an online calibrated forecaster: play where the scores change sign."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._numerics import safe_divide
from gamejax._types import State
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, require_simplex
from gamejax.sets import AbstractStrategySet


class SignChange(AbstractLearner):
    r"""The forecaster who plays two neighboring levels at a sign change of its scores.

    Actions are the levels $v_1 < \dots < v_k$ of a grid on $[0, 1]$, the utility a vector of
    scores $G$: the adversary gains $G(v)(y - v)$ when $v$ is forecast and $y \in [0, 1]$ comes out.
    Plays the lowest level if $G(v_1) \le 0$, else the highest if $G(v_k) \ge 0$, else
    the first neighbors with $G(v_i) > 0 \ge G(v_{i+1})$, with probabilities in proportion to
    the opposite magnitudes, $x_i : x_{i+1} = |G(v_{i+1})| : |G(v_i)|$. Whatever $y$,
    $$\sum_v x_v\,G(v)(y - v) \le \max_v |G(v)| \cdot \max\big(v_1,\ 1 - v_k,\ \max_i
    (v_{i+1} - v_i)\big).$$
    The first strategy is uniform. Plays on a `Simplex`, block by block.

    References:
        foster1999; haghtalab2023.
    """

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Array, State]:
        return require_simplex(self, strategies).center(dtype), ()

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: State,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, State]:
        simplex = require_simplex(self, strategies)
        scores = feedback.utility
        levels = jnp.broadcast_to(jnp.arange(scores.shape[-1], dtype=jnp.int32), scores.shape)
        exists = jnp.ones_like(scores, dtype=bool) if simplex.mask is None else simplex.mask
        exists = jnp.broadcast_to(exists, scores.shape)

        def last(where: Array) -> Array:
            return jnp.max(jnp.where(where, levels, -1), axis=-1, keepdims=True)

        highest = last(exists)
        # The first level with G <= 0, or the highest level where there is none or G >= 0 up there.
        falls = exists & ((scores <= 0) | (levels == highest))
        above = jnp.argmax(falls, axis=-1, keepdims=True).astype(jnp.int32)
        starts = above == jnp.argmax(exists, axis=-1, keepdims=True).astype(jnp.int32)
        top = jnp.take_along_axis(scores, highest, axis=-1) >= 0
        above = jnp.where(top & ~starts, highest, above)
        below = jnp.maximum(last(exists & (levels < above)), 0)
        high = jnp.take_along_axis(scores, above, axis=-1)
        low = jnp.take_along_axis(scores, below, axis=-1)
        # Weight of the level below: 0 at either end of the grid and where G = 0 above.
        weight = jnp.where(starts | (high >= 0), 0, safe_divide(-high, low - high))
        at_below, at_above = (
            jax.nn.one_hot(i[..., 0], scores.shape[-1], dtype=scores.dtype) for i in (below, above)
        )
        return weight * at_below + (1 - weight) * at_above, state

"""Feedback that comes late, or not at all."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import safe_divide
from gamejax._types import PyTree, State, Strategy, Utility
from gamejax.feedback._base import AbstractFeedback, Feedback, FullInformation, require_key
from gamejax.feedback._sampled import draw
from gamejax.sets import AbstractStrategySet


class DelayedState(NamedTuple):
    """What `Delayed` carries: the inner state; what arrives in 0, 1, ... rounds (first axis)."""

    inner: State
    queue: Feedback


class Delayed(AbstractFeedback):
    r"""What another feedback sees arrives later.

    The feedback of round $t$ arrives in round $t + d_t$, with $d_t$ equal to `delay`, or drawn
    anew each round from `probabilities`. Each is delivered exactly once. In a round in which

    * one arrives, the learner sees it as it was: `utility` and `played` of the round of origin;
    * nothing arrives, it sees zero `utility` and zero `played`, with `observed` all false;
    * several arrive (random delays only), it sees the **sums** of their `utility`, `played` and
      `observed`, which then counts how often each coordinate was seen. Sums are exact for learners
      that add utilities up.

    With a fixed delay $d$ the adversarial regret grows from $\sqrt{T}$ to $\sqrt{(1 + d)T}$.

    Args:
        feedback: what is delayed.
        delay: rounds until arrival, $d \ge 0$; with `probabilities` the longest delay. Static: it
            sizes the queue.
        probabilities: of the delays $0, \dots, d$, shape `(delay + 1,)`; `None` for always $d$.

    Raises:
        ValueError: `delay` is no integer >= 0, or `probabilities` has not `delay + 1` entries.

    References:
        joulani2013; langford2009.
    """

    feedback: AbstractFeedback = FullInformation()
    delay: int = eqx.field(static=True, default=1)
    probabilities: Float[Array, " delays"] | None = None

    def __check_init__(self) -> None:
        if not isinstance(self.delay, int) or self.delay < 0:
            raise ValueError(f"Delayed: delay must be an integer >= 0, got {self.delay!r}.")
        if self.probabilities is not None and jnp.shape(self.probabilities)[-1:] != (
            self.delay + 1,
        ):
            raise ValueError(
                f"Delayed: probabilities must have one entry for each delay 0, ..., {self.delay}, "
                f"shape ({self.delay + 1},), got shape {jnp.shape(self.probabilities)}."
            )

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> DelayedState:
        zeros = jax.tree.map(
            lambda c: jnp.zeros((self.delay + 1, *c.shape), c.dtype), strategies.center(dtype)
        )
        kind = bool if self.probabilities is None else jnp.int32
        observed = jax.tree.map(lambda z: jnp.zeros_like(z, dtype=kind), zeros)
        inner = self.feedback.init(strategies, dtype=dtype)
        return DelayedState(inner, Feedback(zeros, zeros, observed))

    def observe(
        self,
        utility: Utility,
        strategy: Strategy,
        state: DelayedState,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, DelayedState]:
        delay: int | Array = self.delay
        if self.probabilities is not None:
            key, delay_key = jax.random.split(require_key(key, self))
            delay = jnp.argmax(draw(jnp.asarray(self.probabilities), delay_key))
        seen, inner = self.feedback.observe(utility, strategy, state.inner, key=key, step=step)

        def put(queue: Array, new: Array) -> Array:
            slot = queue[delay]
            new = new.astype(queue.dtype)
            return queue.at[delay].set(slot | new if queue.dtype == bool else slot + new)

        queue = jax.tree.map(put, state.queue, seen)
        arrived = jax.tree.map(lambda q: q[0], queue)
        queue = jax.tree.map(lambda q: jnp.concatenate([q[1:], jnp.zeros_like(q[:1])]), queue)
        return arrived, DelayedState(inner, queue)


class Partial(AbstractFeedback):
    r"""Each coordinate that another feedback sees gets through with a probability of its own.

    An independent coin per coordinate, heads with probability $f_a$. With tails the coordinate is
    not observed, and `utility` holds what the inner feedback reports for unseen coordinates (0 for
    `FullInformation`, the guess of the estimator for sampled actions). With heads the difference
    from that is divided by $f_a$ if `reweight`, so that estimates stay unbiased:
    `Partial(rates, BanditFeedback())` is importance weighting with $p_a f_a$.
    Rates that the player does not know are `reweight=False`: values are just missing. Then sampled
    estimates shrink towards the guess by $f_a$, and Hedge has linear regret unless all rates are
    equal; index policies, which count what they observe, are not misled.

    `Delayed(Partial(...), d)` delays it; the other order is refused, as coins belong to rounds.

    Args:
        rates: $f_a \in [0, 1]$: a number, an array that broadcasts to the strategy, or a tree.
        feedback: what is seen where the coins show heads.
        reweight: divide by the rates (they are known), or not.

    Raises:
        ValueError: a rate is a number outside $[0, 1]$, or `feedback` is `Delayed`.

    References:
        esposito2022.
    """

    rates: PyTree[Array | float]
    feedback: AbstractFeedback = FullInformation()
    reweight: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if isinstance(self.rates, int | float) and not 0 <= self.rates <= 1:
            raise ValueError(f"Partial: rates must lie in [0, 1], got {self.rates}.")
        if isinstance(self.feedback, Delayed):
            raise ValueError(
                "Partial: feedback is Delayed; wrap the other way round, "
                "Delayed(Partial(rates, feedback), delay)."
            )

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> State:
        return self.feedback.init(strategies, dtype=dtype)

    def observe(
        self,
        utility: Utility,
        strategy: Strategy,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, State]:
        key, coin_key = jax.random.split(require_key(key, self))
        unseen = self.feedback.unseen(strategy, state, step=step)
        seen, state = self.feedback.observe(utility, strategy, state, key=key, step=step)
        leaves, structure = jax.tree.flatten(strategy)
        keys = jax.tree.unflatten(structure, list(jax.random.split(coin_key, len(leaves))))
        rates = jax.tree.map(
            lambda r, x: jnp.broadcast_to(jnp.asarray(r, x.dtype), x.shape),
            jax.tree.broadcast(self.rates, strategy),
            strategy,
        )
        heads = jax.tree.map(lambda f, k: jax.random.uniform(k, f.shape, f.dtype) < f, rates, keys)
        utility = jax.tree.map(self._pass_on, heads, rates, seen.utility, unseen)
        observed = jax.tree.map(jnp.logical_and, seen.observed, heads)
        return Feedback(utility, seen.played, observed), state

    def _pass_on(self, heads: Array, rates: Array, utility: Array, unseen: Array) -> Array:
        share = heads.astype(rates.dtype)
        if self.reweight:
            share = safe_divide(share, rates)
        # This form keeps the bits of `utility` at rate 1.
        return share * utility + (1 - share) * unseen

    def unseen(self, strategy: Strategy, state: State, *, step: Array) -> Utility:
        return self.feedback.unseen(strategy, state, step=step)

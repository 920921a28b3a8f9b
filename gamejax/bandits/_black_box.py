"""Black-box transforms for probabilistic feedback: any policy, its rounds stretched into blocks."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from gamejax._types import State
from gamejax.bandits._policy import AbstractPolicy, Arm
from gamejax.feedback import Feedback
from gamejax.sets import AbstractStrategySet


class PullState(NamedTuple):
    """The inner policy's state and rounds so far; the arm held, and whether it waits."""

    inner: State
    rounds: Int[Array, ""]
    arm: Arm
    waiting: Bool[Array, ""]


class BlackBoxPull(AbstractPolicy):
    """Pulls an arm until its reward is seen; see `bb_pull`."""

    policy: AbstractPolicy

    @property
    def contextual(self) -> bool:
        return self.policy.contextual

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> PullState:
        inner = self.policy.init(choices, dtype=dtype)
        arm = jnp.zeros_like(choices.center(dtype))
        return PullState(inner, jnp.ones((), jnp.int32), arm, jnp.zeros((), bool))

    def pull(self, state: PullState, *, key: PRNGKeyArray) -> Arm:
        return jnp.where(state.waiting, state.arm, self.policy.pull(state.inner, key=key))

    def report(self, rewards: Arm, arm: Arm, state: PullState, *, step: Array) -> Feedback:
        return self.policy.report(rewards, arm, state.inner, step=state.rounds)

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: PullState,
        *,
        key: PRNGKeyArray,
    ) -> PullState:
        seen = jnp.any(feedback.observed.astype(bool))
        moved = self.policy.update(choices, feedback, arm, state.inner, key=key)
        rounds = state.rounds + seen.astype(jnp.int32)
        return PullState(_where(seen, moved, state.inner), rounds, arm, ~seen)


class BlockState(NamedTuple):
    """The inner policy's state and rounds so far; the block under way.

    Attributes:
        inner, rounds: of the inner policy.
        arm: the arm of the block.
        pulls: pulls in the block so far.
        length: how many it will have, as far as is known.
        total: the sum of what was seen in it.
        seen: how often something was.
    """

    inner: State
    rounds: Int[Array, ""]
    arm: Arm
    pulls: Int[Array, ""]
    length: Int[Array, ""]
    total: Arm
    seen: Int[Array, ""]


class BlackBoxBlocks(AbstractPolicy):
    """Pulls an arm for a block of rounds; see `bb_divide` and `bb_da`."""

    policy: AbstractPolicy
    block: int | Int[Array, ""]
    adjusted: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if isinstance(self.block, int | float) and not self.block >= 1:
            raise ValueError(f"block must be at least 1, got {self.block}.")

    @property
    def contextual(self) -> bool:
        return self.policy.contextual

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> BlockState:
        inner = self.policy.init(choices, dtype=dtype)
        blank, none = jnp.zeros_like(choices.center(dtype)), jnp.zeros((), jnp.int32)
        return BlockState(inner, none + 1, blank, none, self._block(), blank, none)

    def _block(self) -> Int[Array, ""]:
        return jnp.asarray(self.block, jnp.int32)

    def pull(self, state: BlockState, *, key: PRNGKeyArray) -> Arm:
        return jnp.where(state.pulls > 0, state.arm, self.policy.pull(state.inner, key=key))

    def report(self, rewards: Arm, arm: Arm, state: BlockState, *, step: Array) -> Feedback:
        return self.policy.report(rewards, arm, state.inner, step=state.rounds)

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: BlockState,
        *,
        key: PRNGKeyArray,
    ) -> BlockState:
        now = jnp.any(feedback.observed.astype(bool))
        total = state.total + jnp.where(now, feedback.utility, 0)
        seen, pulls = state.seen + now.astype(jnp.int32), state.pulls + 1
        length = state.length
        if self.adjusted:
            length = length + (now & (pulls <= self._block())).astype(jnp.int32)
        over = pulls >= length
        known = over & (seen > 0)
        mean = total / jnp.maximum(seen, 1).astype(total.dtype)
        shown = Feedback(mean, arm, (arm > 0) & known)
        moved = self.policy.update(choices, shown, arm, state.inner, key=key)
        return BlockState(
            _where(known, moved, state.inner),
            state.rounds + known.astype(jnp.int32),
            arm,
            jnp.where(over, 0, pulls),
            jnp.where(over, self._block(), length),
            jnp.where(over, 0, total),
            jnp.where(over, 0, seen),
        )


def bb_pull(policy: AbstractPolicy) -> AbstractPolicy:
    r"""BBPull: each round of `policy` pulls its arm until the first observed reward.

    A round costs a geometric number of pulls, $1/f_a$ on average; regret at most
    $R(T)/\min_a f_a$ where $R$ is that of `policy`, and with `ucb1` or `successive_elimination`
    inside $O(\sqrt{T \ln T \sum_a 1/f_a})$. An arm that is seen more often is pulled less, or as
    often (the best arm takes up the rest), and observed as often, or more. With all rates 1 it is
    `policy` itself, bit for bit.

    The idea, the bounds and the directions are the paper's; they were read from its poster, and
    the geometric accounting was derived.

    Args:
        policy: any policy.

    References:
        dai2024.
    """
    return BlackBoxPull(policy)


def bb_divide(
    policy: AbstractPolicy, horizon: Any = None, rate: Any = None, *, block: Any = None
) -> AbstractPolicy:
    r"""BBDivide: each round of `policy` pulls its arm $B$ times and is shown the mean seen.

    $B = \lceil \ln T/f^\star\rceil$ with $f^\star$ a lower bound of all rates; a block in which
    nothing was seen is not shown. Regret at most $(\ln T/f^\star)R(T f^\star/\ln T)$. Pulls do not
    depend on the rates (approximately: a block may pass unseen); an arm that is seen more often is
    observed more. With $B = 1$ and all rates 1 it is `policy` itself, bit for bit.

    The idea, the bound and the directions were read from the paper's poster. That one round is
    shown the *mean* of a block is a choice made here.

    Args:
        policy: any policy.
        horizon: $T$.
        rate: $f^\star \in (0, 1]$.
        block: $B$ itself, instead of `horizon` and `rate`.

    Raises:
        ValueError: neither `block` nor both `horizon` and `rate` are given.

    References:
        dai2024.
    """
    return BlackBoxBlocks(policy, _length(1, horizon, rate, block))


def bb_da(
    policy: AbstractPolicy, horizon: Any = None, rate: Any = None, *, block: Any = None
) -> AbstractPolicy:
    r"""BBDA ("divide adjusted"): as `bb_divide`, with longer blocks for arms seen more often.

    Each round of `policy` pulls its arm $B = \lceil 3 \ln T/f^\star\rceil$ times, then once more
    for each reward observed in these: $B(1 + f_a)$ pulls on average. Regret at most
    $(6 \ln T/f^\star)R(T f^\star/(3 \ln T))$. An arm that is seen more often is pulled and observed
    more, or as often.

    The idea, the bound and the directions were read from the paper's poster. The block rule is
    **reconstructed**: the poster says that the number of pulls is prescribed and larger for larger
    rates, and this rule fits its constants 3 and 6; it need not be the paper's.

    Args:
        policy: any policy.
        horizon: $T$.
        rate: $f^\star \in (0, 1]$.
        block: $B$ itself, instead of `horizon` and `rate`.

    Raises:
        ValueError: neither `block` nor both `horizon` and `rate` are given.

    References:
        dai2024.
    """
    return BlackBoxBlocks(policy, _length(3, horizon, rate, block), adjusted=True)


def _length(factor: int, horizon: Any, rate: Any, block: Any) -> Any:
    if block is not None:
        return block
    if horizon is None or rate is None:
        raise ValueError("Give horizon and rate (a lower bound of all rates), or block.")
    return math.ceil(factor * math.log(horizon) / rate)


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

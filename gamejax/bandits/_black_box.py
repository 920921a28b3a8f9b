"""Black-box transforms for probabilistic feedback: any policy, its rounds stretched into blocks."""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._types import State
from gamejax.bandits._policy import AbstractPolicy, Arm, Values, vertex
from gamejax.feedback import Feedback
from gamejax.sets import AbstractStrategySet

Rule = Literal["first", "fixed", "adjusted"]
"""When a block ends: with its first observed reward; after `block` pulls; after `block` pulls and
one more for each reward observed in these."""


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
    total: Values
    seen: Int[Array, ""]


class BlackBox(AbstractPolicy):
    """Pulls an arm for a block of rounds, one round to the policy inside.

    See `bb_pull`, `bb_divide` and `bb_da`.
    """

    policy: AbstractPolicy
    rule: Rule = eqx.field(static=True)
    block: int | Int[Array, ""] = 1

    def __check_init__(self) -> None:
        if isinstance(self.block, int | float) and not self.block >= 1:
            raise ValueError(f"block must be at least 1, got {self.block}.")

    @property
    def contextual(self) -> bool:
        return self.policy.contextual

    @property
    def prompt(self) -> bool:
        return True

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> BlockState:
        inner = self.policy.init(choices, dtype=dtype)
        blank, none = jnp.zeros_like(choices.center(dtype)), jnp.zeros((), jnp.int32)
        return BlockState(inner, none + 1, none, none, self._block(), blank, none)

    def _block(self) -> Int[Array, ""]:
        return jnp.asarray(self.block, jnp.int32)

    def pull(self, state: BlockState, *, key: PRNGKeyArray) -> tuple[Arm, BlockState]:
        arm, inner = self.policy.pull(state.inner, key=key)
        arm, inner = _where(state.pulls > 0, (state.arm, state.inner), (arm, inner))
        return arm, state._replace(inner=inner)

    def report(self, rewards: Values, arm: Arm, state: BlockState, *, step: Array) -> Feedback:
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
        seen, pulls, length = state.seen + now.astype(jnp.int32), state.pulls + 1, state.length
        if self.rule == "adjusted":
            length = length + (now & (pulls <= self._block())).astype(jnp.int32)
        over = now if self.rule == "first" else pulls >= length
        known = over & (seen > 0)
        shown = feedback
        if self.rule != "first":
            played = vertex(arm, total)
            mean = total / jnp.maximum(seen, 1).astype(total.dtype)
            shown = Feedback(mean, played, (played > 0) & known)
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
    return BlackBox(policy, "first")


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
    return BlackBox(policy, "fixed", _length(1, horizon, rate, block))


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
    return BlackBox(policy, "adjusted", _length(3, horizon, rate, block))


def _length(factor: int, horizon: Any, rate: Any, block: Any) -> Any:
    if block is not None:
        return block
    if horizon is None or rate is None:
        raise ValueError("Give horizon and rate (a lower bound of all rates), or block.")
    return math.ceil(factor * math.log(horizon) / rate)


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

"""A log as an environment: rounds count only where the policy does what the log did."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._checks import check_key
from gamejax._export import AbstractResult
from gamejax._loop import run_recorded
from gamejax._numerics import safe_divide
from gamejax._types import State
from gamejax.bandits._environments import AbstractEnvironment, Benchmark
from gamejax.bandits._linear import ContextualSimplex
from gamejax.bandits._log import BanditLog
from gamejax.bandits._policy import AbstractPolicy, Arm, PolicyState, Values
from gamejax.bandits._simulate import Simulation
from gamejax.feedback import AbstractFeedback, Feedback
from gamejax.sets import AbstractStrategySet


class LoggedState(NamedTuple):
    """Where a replay stands.

    Attributes:
        event: the logged round that comes next.
        accepted: how many rounds counted so far.
        total, squares: sums of their rewards, and of the rewards' squares.
    """

    event: Int[Array, ""]
    accepted: Int[Array, ""]
    total: Float[Array, ""]
    squares: Float[Array, ""]


class LoggedBandit(AbstractEnvironment):
    r"""A log replayed to a policy (rejection): one logged round after the other, each at most once.

    The policy pulls an arm; the round counts, and the reward is seen, if the log has the same arm
    **and** a coin of probability $q/\pi_0(a \mid x)$ shows heads, with the floor
    $q \le \min \pi_0$. Every round then counts with probability $q$, whatever the arm, so what
    counts is distributed as if the policy had been played on independent rounds of the same kind:
    without bias, at the price of $1 - q$ of the log. For a log of uniform play no coin is thrown.
    All other rounds leave no trace: nothing is observed.

    In `simulate` pulls count every round of the log, and regret is measured against the arms' mean
    rewards **as estimated from the log** (self-normalised); `replay` gives what the policy earned.

    Args:
        log: what was played; independent rounds.
        num_arms: $K$.
        features: for contextual policies, what is known of the arms: one row per arm, shape
            `(arms, d)`, or one such table per logged round, `(rounds, arms, d)`.
        resample: draw logged rounds with replacement instead of in order (a bootstrap), so that
            the spread over replications includes that of the log; the log then has no end.
        floor: $q$, at most the smallest propensity; `None` for that. Larger values count more
            rounds and favour, with bias, arms that the log shows often.

    Raises:
        ValueError: the log plays an arm that does not exist, `features` has another shape, or
            `floor` is outside $(0, 1]$.

    References:
        li2011 (Algorithm 2); the coin as in mandel2016.
    """

    log: BanditLog
    means: Values
    floor: float | Float[Array, ""]
    features: Float[Array, "*rounds arms d"] | None
    resample: bool = eqx.field(static=True)

    def __init__(
        self,
        log: BanditLog,
        num_arms: int,
        *,
        features: Any = None,
        resample: bool = False,
        floor: float | None = None,
    ):
        largest = log.actions.max()
        if not isinstance(largest, Tracer) and int(largest) >= num_arms:
            raise ValueError(f"num_arms is {num_arms}, but the log plays arm {int(largest)}.")
        if isinstance(floor, int | float) and not 0 < floor <= 1:
            raise ValueError(f"floor must lie in (0, 1], got {floor}.")
        if features is not None:
            features = jnp.asarray(features, log.rewards.dtype)
            if features.ndim not in (2, 3) or features.shape[:-1] not in (
                (num_arms,),
                (len(log), num_arms),
            ):
                raise ValueError(
                    f"features must have shape ({num_arms}, d) or ({len(log)}, {num_arms}, d), "
                    f"got {features.shape}."
                )
        weights = jax.nn.one_hot(log.actions, num_arms, dtype=log.rewards.dtype, axis=0)
        weights = weights / log.propensities[None, :]
        self.log = log
        self.means = safe_divide((weights * log.rewards[None, :]).sum(-1), weights.sum(-1))
        self.floor = log.propensities.min() if floor is None else floor
        self.features, self.resample = features, resample

    @property
    def benchmark(self) -> Benchmark:
        return "mean"

    @property
    def num_arms(self) -> int:
        return self.means.shape[-1]

    @property
    def num_rounds(self) -> int | None:
        return None if self.resample else len(self.log)

    @property
    def changes(self) -> bool:
        return self.features is not None and self.features.ndim == 3

    def choices(self, state: LoggedState) -> AbstractStrategySet:
        if self.features is None:
            return super().choices(state)
        per_round = self.features.ndim == 3
        return ContextualSimplex(
            features=self.features[state.event] if per_round else self.features
        )

    def expected(self, state: State, *, step: Array) -> Values:
        return self.means

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> LoggedState:
        zero = jnp.zeros_like(self.log.rewards[0])
        none = jnp.zeros_like(self.log.actions[0])
        return LoggedState(self._event(key, none), none, zero, zero)

    def sample(
        self, profile: tuple[Values], state: LoggedState, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], LoggedState]:
        log, event = self.log, state.event
        coin, later = jax.random.split(_required(key))
        reward, propensity = log.rewards[event], log.propensities[event]
        shown = jnp.arange(self.num_arms, dtype=jnp.int32) == log.actions[event]
        heads = jax.random.uniform(coin, (), propensity.dtype) * propensity < self.floor
        counts = heads & jnp.any(shown & (profile[0] > 0))
        seen = jnp.where(counts, reward, 0)
        moved = LoggedState(
            self._event(later, jnp.minimum(step, len(log) - 1)),
            state.accepted + counts.astype(jnp.int32),
            state.total + seen,
            state.squares + seen**2,
        )
        # What the log does not know is NaN; the channel hides it.
        return (jnp.where(shown & counts, reward, jnp.nan),), moved

    def _event(self, key: PRNGKeyArray | None, following: Array) -> Array:
        if not self.resample:
            return following
        return jax.random.randint(_required(key), (), 0, len(self.log), jnp.int32)

    def channel(self, feedback: AbstractFeedback) -> AbstractFeedback:
        return Recorded(feedback)


class Recorded(AbstractFeedback):
    """Hides what is not on record: coordinates whose utility is NaN are not observed."""

    feedback: AbstractFeedback

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> State:
        return self.feedback.init(strategies, dtype=dtype)

    def observe(
        self,
        utility: Any,
        strategy: Any,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, State]:
        known = jnp.isfinite(utility)
        blank = self.feedback.unseen(strategy, state, step=step)
        seen, state = self.feedback.observe(utility, strategy, state, key=key, step=step)
        told = known & seen.observed
        vector = jnp.where(jnp.any(told), seen.utility, blank)
        return Feedback(vector, seen.played, told), state

    def unseen(self, strategy: Any, state: State, *, step: Array) -> Any:
        return self.feedback.unseen(strategy, state, step=step)


class WhenSeen(AbstractPolicy):
    """A policy that stands still, its clock too, in rounds of which it sees nothing.

    A contextual one chooses anew from what is offered next, without having learned.
    """

    policy: AbstractPolicy

    @property
    def contextual(self) -> bool:
        return self.policy.contextual

    def init(self, choices: AbstractStrategySet, *, dtype: Any) -> State:
        return self.policy.init(choices, dtype=dtype)

    def pull(self, state: State, *, key: PRNGKeyArray) -> tuple[Arm, State]:
        return self.policy.pull(state, key=key)

    def report(self, rewards: Values, arm: Arm, state: State, *, step: Array) -> Feedback:
        return self.policy.report(rewards, arm, state, step=step)

    def update(
        self,
        choices: AbstractStrategySet,
        feedback: Feedback,
        arm: Arm,
        state: State,
        *,
        key: PRNGKeyArray,
    ) -> State:
        moved = self.policy.update(choices, feedback, arm, state, key=key)
        kept = state
        if self.contextual and isinstance(state, PolicyState):
            kept = state._replace(strategy=moved.strategy)
        seen = jnp.any(feedback.observed)
        return jax.tree.map(lambda new, old: jnp.where(seen, new, old), moved, kept)


class Replay(AbstractResult):
    r"""What a policy earned on a log.

    Attributes:
        values: mean reward of the rounds that counted, one per replication; NaN if none did.
        accepted: how many rounds counted, one per replication.
        standard_errors: of `values`, from the spread of the rewards that counted: right for a
            policy that does not learn.
        pulls: how often each arm was pulled in rounds that counted, shape `(replications, arms)`.
    """

    values: Float[Array, " replications"]
    accepted: Int[Array, " replications"]
    standard_errors: Float[Array, " replications"]
    pulls: Int[Array, "replications arms"]

    def __str__(self) -> str:
        spread = self.values.std(ddof=1) if len(self.values) > 1 else self.standard_errors[0]
        return (
            f"mean reward {float(self.values.mean()):.6g} (spread {float(spread):.2g}) in "
            f"{float(self.accepted.mean()):.0f} rounds that counted, {len(self.values)} replays"
        )


def replay(
    environment: LoggedBandit,
    policy: AbstractPolicy,
    *,
    key: PRNGKeyArray,
    num_replications: int = 1,
) -> Replay:
    """Replay a log to a policy, learning or not, and see what it would have earned.

    Args:
        environment: the log.
        policy: what plays; it learns from the rounds that count, in the order of the log.
        key: of all draws; replication $r$ does not depend on how many there are.
        num_replications: how many replays. Their spread is that of the policy's own draws, and
            with `resample=True` that of the log too.

    Raises:
        ValueError: there is no replication.
    """
    check_key(key)
    if num_replications < 1:
        raise ValueError(f"num_replications must be at least 1, got {num_replications}.")
    return _replay(environment, policy, key, num_replications)


@functools.partial(jax.jit, static_argnums=3)
def _replay(
    environment: LoggedBandit, policy: AbstractPolicy, key: PRNGKeyArray, num_replications: int
) -> Replay:
    numbers = jnp.arange(num_replications, dtype=jnp.int32)
    solver = Simulation(WhenSeen(policy), jax.vmap(jax.random.fold_in, (None, 0))(key, numbers))
    start = solver.init(environment, key=None, dtype=environment.dtype)
    (_, replications), _ = run_recorded(
        solver,
        environment,
        start,
        jnp.zeros((), jnp.int32),
        num_steps=len(environment.log),
        every=len(environment.log),
        record=lambda _: (),
        key=None,
        unroll=1,
    )
    game, observed = replications.game, replications.observed
    count = game.accepted.astype(game.total.dtype)
    mean = safe_divide(game.total, count, jnp.nan)
    variance = safe_divide(game.squares - count * mean**2, count - 1, jnp.nan)
    error = jnp.sqrt(safe_divide(jnp.maximum(variance, 0), count, jnp.nan))
    return Replay(mean, game.accepted, error, observed.T)


def _required(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("LoggedBandit draws at random: pass key=jax.random.key(seed).")
    return key

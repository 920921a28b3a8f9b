"""Environments around environments: late, missing and falsified rewards."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax import feedback as _feedback
from gamejax._numerics import uniform
from gamejax._types import Numbers, PyTree, Scalar, State
from gamejax.bandits._environments import AbstractEnvironment, Benchmark, as_arms
from gamejax.bandits._policy import Values
from gamejax.feedback import AbstractFeedback, Feedback
from gamejax.sets import AbstractStrategySet


class _Wrapper(AbstractEnvironment):
    """Everything as in the environment inside."""

    environment: eqx.AbstractVar[AbstractEnvironment]

    @property
    def dtype(self) -> Any:
        return self.environment.dtype

    @property
    def benchmark(self) -> Benchmark:
        return self.environment.benchmark

    @property
    def num_arms(self) -> int:
        return self.environment.num_arms

    @property
    def num_rounds(self) -> int | None:
        return self.environment.num_rounds

    @property
    def delayed(self) -> bool:
        return isinstance(self, Delayed) or self.environment.delayed

    @property
    def changes(self) -> bool:
        return self.environment.changes


class _Channel(_Wrapper):
    """The same game, of which the player sees less, or later."""

    def expected(self, state: State, *, step: Array) -> Values:
        return self.environment.expected(state, step=step)

    def choices(self, state: State) -> AbstractStrategySet:
        return self.environment.choices(state)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        return self.environment.init(key=key, dtype=dtype)

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        return self.environment.sample(profile, state, key=key, step=step)


class Delayed(_Channel):
    r"""Rewards that are seen later.

    The reward of round $t$ is seen in round $t + d_t$, with $d_t$ equal to `delay`, or drawn from
    `probabilities`; see `gamejax.feedback.Delayed`. The player gains, and is charged regret, at
    once. Index policies count what has arrived; estimates of losses are made with the probability
    of the round of origin.

    With a fixed delay $d$, Exp3 with $\eta = \sqrt{\ln K/((K + d)T)}$ has regret
    $O(\sqrt{(K + d) T \ln K})$.

    Args:
        environment: what is played.
        delay: $d \ge 0$, static; with `probabilities` the longest delay.
        probabilities: of the delays $0, \dots, d$; `None` for always $d$.

    References:
        joulani2013.
    """

    environment: AbstractEnvironment
    delay: int = eqx.field(static=True)
    probabilities: Float[Array, " delays"] | None

    def __init__(
        self, environment: AbstractEnvironment, delay: int, probabilities: Numbers | None = None
    ):
        self.environment = environment
        self.delay = delay
        self.probabilities = (
            None
            if probabilities is None
            else as_arms(probabilities, "probabilities").astype(environment.dtype)
        )
        _feedback.Delayed(delay=delay, probabilities=self.probabilities)

    def channel(self, feedback: AbstractFeedback) -> AbstractFeedback:
        inner = self.environment.channel(feedback)
        return _feedback.Delayed(inner, self.delay, self.probabilities)


class Coin(AbstractFeedback):
    """Lets through what another feedback saw, or nothing, by a coin for the arm pulled.

    `gamejax.feedback.Partial` with `reweight=False`, with one draw per round instead of one per
    arm: a bandit sees one arm at a time.
    """

    rates: Values
    feedback: AbstractFeedback

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> State:
        return self.feedback.init(strategies, dtype=dtype)

    def observe(
        self,
        utility: PyTree[Array],
        strategy: PyTree[Array],
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, State]:
        if key is None:
            raise ValueError("Coin draws at random: pass key=jax.random.key(seed).")
        seen, state = self.feedback.observe(utility, strategy, state, key=key, step=step)
        blank = self.feedback.unseen(strategy, state, step=step)
        draw = uniform(key, self.rates.dtype, (), 16)
        heads = jnp.any(seen.observed & (draw < self.rates))
        shown = jnp.where(heads, seen.utility, blank)
        return Feedback(shown, seen.played, seen.observed & heads), state

    def unseen(self, strategy: PyTree[Array], state: State, *, step: Array) -> PyTree[Array]:
        return self.feedback.unseen(strategy, state, step=step)


class ProbabilisticFeedback(_Channel):
    r"""Arms whose reward is seen only with probability $f_a$, an independent coin per round.

    The player gains the reward either way, does not know the rates, and does know when it saw
    nothing. `Delayed(ProbabilisticFeedback(...), d)` delays it; the coin belongs to the round of
    the pull. The coins of a round are the same for all rates (common random numbers).

    Args:
        environment: what is played.
        rates: $f \in [0, 1]^K$, or one number for all arms.

    Raises:
        ValueError: a rate is a number outside $[0, 1]$, or `environment` delays already.

    References:
        dai2024.
    """

    environment: AbstractEnvironment
    rates: Float[Array, " arms"]

    def __init__(self, environment: AbstractEnvironment, rates: Numbers):
        if isinstance(rates, int | float) and not 0 <= rates <= 1:
            raise ValueError(f"rates must lie in [0, 1], got {rates}.")
        if isinstance(environment, Delayed):
            raise ValueError(
                "ProbabilisticFeedback: environment is Delayed; wrap the other way round, "
                "Delayed(ProbabilisticFeedback(environment, rates), delay)."
            )
        self.environment = environment
        array = jnp.asarray(rates, environment.dtype)
        self.rates = jnp.broadcast_to(array, (environment.num_arms,))

    def channel(self, feedback: AbstractFeedback) -> AbstractFeedback:
        return Coin(self.rates, self.environment.channel(feedback))


class CorruptedState(NamedTuple):
    """The state of the environment inside, and how much corruption is left."""

    inner: State
    left: Scalar


class Corrupted(_Wrapper):
    r"""Rewards falsified by an adversary with a budget.

    While the budget lasts, the player gets $\tilde r_t = r_t + s\,(\text{target} - r_t)$ instead of
    $r_t$, and $\max_a |\tilde r_{t,a} - r_{t,a}|$ is taken from the budget: $s = 1$, less in the
    round in which it runs out. So $\sum_t \|\tilde r_t - r_t\|_\infty \le C$. Regret is still
    measured by the true expected rewards.

    Args:
        environment: what is played.
        budget: $C \ge 0$.
        target: what the rewards are pulled to; default 0 for the arm that is best in the round, and
            1 for the others.

    References:
        lykouris2018.
    """

    environment: AbstractEnvironment
    budget: float | Scalar
    target: Values | None

    def __init__(
        self, environment: AbstractEnvironment, budget: Any, target: Numbers | None = None
    ):
        if isinstance(budget, int | float) and not budget >= 0:
            raise ValueError(f"budget must be >= 0, got {budget}.")
        self.environment = environment
        self.budget = budget
        self.target = None if target is None else as_arms(target, "target")

    def expected(self, state: CorruptedState, *, step: Array) -> Values:
        return self.environment.expected(state.inner, step=step)

    def choices(self, state: CorruptedState) -> AbstractStrategySet:
        return self.environment.choices(state.inner)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> CorruptedState:
        budget = jnp.asarray(self.budget, dtype)
        return CorruptedState(self.environment.init(key=key, dtype=dtype), budget)

    def sample(
        self, profile: Any, state: CorruptedState, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], CorruptedState]:
        expected = self.expected(state, step=step)
        (rewards,), inner = self.environment.sample(profile, state.inner, key=key, step=step)
        worst = (expected < jnp.max(expected)).astype(rewards.dtype)
        change = (worst if self.target is None else self.target) - rewards
        size = jnp.max(jnp.abs(change))
        spent = jnp.minimum(size, state.left)
        share = jnp.where(size > 0, spent / jnp.where(size > 0, size, 1), 0)
        return (rewards + share * change,), CorruptedState(inner, state.left - spent)

    def channel(self, feedback: AbstractFeedback) -> AbstractFeedback:
        return self.environment.channel(feedback)

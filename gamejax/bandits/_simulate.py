"""Many replications of one policy in one environment, side by side."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._loop import run_recorded
from gamejax._numerics import Sum, hash_key
from gamejax._trailing import vmap_last
from gamejax._types import State
from gamejax.bandits._environments import AbstractEnvironment
from gamejax.bandits._policy import AbstractPolicy, Arm
from gamejax.bandits._result import BanditResult
from gamejax.feedback import AbstractFeedback, Feedback
from gamejax.solvers import AbstractSolver

NATURE, PULL, CHANNEL, UPDATE = range(4)
"""The streams of random numbers of a replication; unused ones are never computed."""


class Relay(AbstractFeedback):
    """Passes on what was seen already, so that a channel can hide or delay it."""

    seen: Feedback
    blank: Arm

    def observe(
        self, utility: Any, strategy: Any, state: State, *, key: Any, step: Array
    ) -> tuple[Feedback, State]:
        return self.seen, state

    def unseen(self, strategy: Any, state: State, *, step: Array) -> Arm:
        return self.blank


class Replication(eqx.Module):
    """What one replication carries.

    Attributes:
        roots: a key per stream.
        keys: those of the coming round. Made in the round before, as the compiler would otherwise
            compute their hashes again for every arm.
        policy, channel, game: the states of those parts.
        pulls: how often each arm was pulled.
        observed: how often each arm's reward was seen; `None` where all are.
        earned: the sum of the expected rewards of the arms pulled.
        best: the sum of what the benchmark earns: a number, or one per arm.
    """

    roots: PRNGKeyArray
    keys: PRNGKeyArray
    policy: State
    channel: State
    game: State
    pulls: Int[Array, " arms"]
    observed: Int[Array, " arms"] | None
    earned: Sum | None
    best: Sum | None


class Simulation(AbstractSolver):
    """One policy against nature in many replications, which stand in the last axis of the state.

    There the compiler finds long vectors, whatever the number of arms.
    """

    policy: AbstractPolicy
    keys: PRNGKeyArray

    def init(self, game: Any, *, key: Any, dtype: Any, start: Any = None) -> State:
        begin = functools.partial(self._begin, game, dtype)
        return jnp.zeros((), jnp.int32), jax.vmap(begin, out_axes=-1)(self.keys)

    def _begin(self, game: AbstractEnvironment, dtype: Any, key: PRNGKeyArray) -> Replication:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(4))
        simplex = game.strategy_sets[0]
        zero = jnp.zeros(game.num_arms, dtype)
        state = game.init(key=keys[NATURE], dtype=dtype)
        choices = game.choices(state) if self.policy.contextual else simplex
        none = jnp.zeros(game.num_arms, jnp.int32)
        relay = Relay(Feedback(zero, zero, none > 0), zero)
        channel = game.channel(relay)
        sums = game.benchmark != "mean"
        return Replication(
            keys,
            _keys(keys, jnp.ones((), jnp.int32)),
            self.policy.init(choices, dtype=dtype),
            channel.init(simplex, dtype=dtype),
            state,
            none,
            None if channel is relay else none,
            Sum.zeros_like(zero[0]) if sums else None,
            Sum.zeros_like(zero if game.benchmark == "best_arm" else zero[0]) if sums else None,
        )

    def step(self, game: Any, state: State, *, key: Any = None) -> State:
        rounds, replications = state
        play = functools.partial(self._round, game, rounds + 1)
        return rounds + 1, vmap_last(play)(replications)

    def _round(self, game: AbstractEnvironment, step: Array, state: Replication) -> Replication:
        policy = self.policy
        expected = game.expected(state.game, step=step)
        arm = policy.pull(state.policy, key=state.keys[PULL])
        (rewards,), nature = game.sample((arm,), state.game, key=state.keys[NATURE], step=step)
        seen = policy.report(rewards, arm, state.policy, step=step)
        blank = policy.report(rewards, jnp.zeros_like(arm), state.policy, step=step).utility
        seen, channel = game.channel(Relay(seen, blank)).observe(
            rewards, arm, state.channel, key=state.keys[CHANNEL], step=step
        )
        choices = game.choices(nature) if policy.contextual else game.strategy_sets[0]
        moved = policy.update(choices, seen, arm, state.policy, key=state.keys[UPDATE])
        earned, best = state.earned, state.best
        if earned is not None and best is not None:
            earned = earned.add(jnp.sum(arm * expected))
            best = best.add(expected if game.benchmark == "best_arm" else jnp.max(expected))
        return Replication(
            state.roots,
            _keys(state.roots, step + 1),
            moved,
            channel,
            nature,
            state.pulls + arm.astype(jnp.int32),
            None if state.observed is None else state.observed + seen.observed.astype(jnp.int32),
            earned,
            best,
        )

    def profile(self, state: State) -> tuple[Arm]:
        """How often each arm was pulled, in shares of all pulls."""
        pulls = state[1].pulls.sum(-1)
        return (pulls / jnp.maximum(pulls.sum(), 1),)

    def record(self, game: AbstractEnvironment, state: State) -> tuple[Array, Array, Array, Array]:
        rounds, run = state
        if game.benchmark == "mean":
            means = game.expected(jax.tree.map(lambda x: x[..., 0], run.game), step=rounds)
            gaps = jnp.max(means) - means
            regret = jnp.sum(run.pulls.astype(gaps.dtype) * gaps[:, None], axis=0)
        else:
            best = run.best.total
            regret = (best.max(0) if game.benchmark == "best_arm" else best) - run.earned.total
        return regret, run.pulls, run.pulls if run.observed is None else run.observed, rounds


def _keys(roots: PRNGKeyArray, step: Array) -> PRNGKeyArray:
    return jax.vmap(hash_key, (0, None))(roots, step)


def simulate(
    environment: AbstractEnvironment,
    policy: AbstractPolicy,
    horizon: int,
    *,
    key: PRNGKeyArray,
    num_replications: int = 1,
    record_every: int | None = None,
    chunk_size: int | None = None,
) -> BanditResult:
    r"""Play a policy in an environment, many times over, side by side.

    One compiled program: a scan over rounds of a step for all replications. Other means,
    hyper-parameters and keys do not compile again; map it with `jax.vmap` over keys, over policies
    or over environments stacked with `jax.tree.map`. Replication $r$ draws from
    `jax.random.fold_in(key, r)` and nothing else: with the same key it is the same whatever the
    number of replications and the size of chunks, and policies or environments compared under one
    key meet the same luck.

    Args:
        environment: nature.
        policy: the player, such as `ucb1()`.
        horizon: $T \ge 1$ rounds.
        key: the random key.
        num_replications: how many independent runs.
        record_every: keep regret and pulls after each so many rounds (rounds beyond the last whole
            block are not recorded); default at the end only.
        chunk_size: at most so many replications at a time, where memory is short; default all.

    Raises:
        TypeError: `environment` or `policy` is something else.
        ValueError: a count is below 1, or the environment has fewer rounds than `horizon`.
    """
    if not isinstance(environment, AbstractEnvironment):
        raise TypeError(f"environment must be a bandit, got {type(environment).__name__}.")
    if not isinstance(policy, AbstractPolicy):
        raise TypeError(
            f"policy must be a policy such as ucb1(), got {type(policy).__name__}; a learner "
            "becomes one as Policy(learner) or Policy(learner, feedback.BanditFeedback())."
        )
    every = horizon if record_every is None else record_every
    chunk = num_replications if chunk_size is None else min(chunk_size, num_replications)
    for name, count in (
        ("horizon", horizon),
        ("num_replications", num_replications),
        ("record_every", every),
        ("chunk_size", chunk),
    ):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {count!r}.")
    if every > horizon:
        raise ValueError(f"record_every must be at most the horizon {horizon}, got {every}.")
    longest = environment.num_rounds
    if longest is not None and horizon > longest:
        raise ValueError(f"horizon is {horizon}, but the environment has {longest} rounds.")
    return _simulate(environment, policy, key, horizon, num_replications, every, chunk)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _simulate(
    environment: AbstractEnvironment,
    policy: AbstractPolicy,
    key: PRNGKeyArray,
    horizon: int,
    num_replications: int,
    every: int,
    chunk: int,
) -> BanditResult:
    def run(keys: PRNGKeyArray) -> tuple[Array, Array, Array, Array]:
        solver = Simulation(policy, keys)
        return run_recorded(
            solver,
            environment,
            solver.init(environment, key=None, dtype=environment.dtype),
            jnp.zeros((), jnp.int32),
            num_steps=horizon,
            every=every,
            record=functools.partial(solver.record, environment),
            key=None,
            unroll=1,
        )[1]

    # The last chunk is filled up with further replications, which are dropped.
    num_chunks = -(-num_replications // chunk)
    numbers = jnp.arange(num_chunks * chunk, dtype=jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    if num_chunks == 1:
        regret, pulls, observed, times = run(keys)
    else:
        parts = jax.lax.map(run, keys.reshape(num_chunks, chunk))
        regret, pulls, observed = (jnp.concatenate(part, axis=-1) for part in parts[:3])
        times = parts[3][0]

    def replications_first(x: Array) -> Array:
        return jnp.moveaxis(x, -1, 0)[:num_replications]

    return BanditResult(
        replications_first(regret), replications_first(pulls), replications_first(observed), times
    )

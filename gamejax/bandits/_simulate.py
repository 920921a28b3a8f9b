"""Many replications of one policy in one environment, side by side."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._loop import run_recorded
from gamejax._numerics import Sum, hash_key
from gamejax._types import State
from gamejax.bandits._environments import AbstractEnvironment
from gamejax.bandits._policy import AbstractPolicy, Arm
from gamejax.bandits._result import BanditResult
from gamejax.bandits._trailing import vmap_last
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
        observed: how often each arm's reward was seen by the policy.
        earned: the sum of the expected rewards of the arms pulled.
        best: the sum of what the benchmark earns: a number, or one per arm.
    """

    roots: PRNGKeyArray
    keys: PRNGKeyArray
    policy: State
    channel: State
    game: State
    pulls: Int[Array, " arms"]
    observed: Int[Array, " arms"]
    earned: Sum | None
    best: Sum | None


class Simulation(AbstractSolver):
    """One policy against nature in many replications, which stand in the last axis of the state.

    There the compiler finds long vectors, whatever the number of arms.
    """

    policy: AbstractPolicy
    keys: PRNGKeyArray

    def init(self, game: AbstractEnvironment, *, key: Any, dtype: Any, start: Any = None) -> State:
        begin = functools.partial(self._begin, game, dtype)
        return jnp.zeros((), jnp.int32), jax.vmap(begin, out_axes=-1)(self.keys)

    def _begin(self, game: AbstractEnvironment, dtype: Any, key: PRNGKeyArray) -> Replication:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(4))
        simplex = game.strategy_sets[0]
        zero = jnp.zeros(game.num_arms, dtype)
        state = game.init(key=keys[NATURE], dtype=dtype)
        choices = game.choices(state) if self.policy.contextual else simplex
        none = jnp.zeros(game.num_arms, jnp.int32)
        sums = game.benchmark != "mean"
        return Replication(
            keys,
            _keys(keys, jnp.ones((), jnp.int32)),
            self.policy.init(choices, dtype=dtype),
            self._channel(game, Feedback(zero, zero, none > 0), zero).init(simplex, dtype=dtype),
            state,
            none,
            none,
            Sum.zeros_like(zero[0]) if sums else None,
            Sum.zeros_like(zero if game.benchmark == "best_arm" else zero[0]) if sums else None,
        )

    def _channel(self, game: AbstractEnvironment, seen: Feedback, blank: Arm) -> AbstractFeedback:
        return game.channel(Relay(seen, blank))

    def step(self, game: AbstractEnvironment, state: State, *, key: Any = None) -> State:
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
        seen, channel = self._channel(game, seen, blank).observe(
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
            state.observed + seen.observed.astype(jnp.int32),
            earned,
            best,
        )

    def profile(self, state: State) -> tuple[Arm]:
        """How often each arm was pulled, in shares of all pulls."""
        rounds, replications = state
        pulls = replications.pulls.sum(-1)
        return (pulls / jnp.maximum(pulls.sum(), 1),)

    def record(self, game: AbstractEnvironment, state: State) -> tuple[Array, Array, Array, Array]:
        rounds, run = state
        if game.benchmark == "mean":
            means = game.expected((), step=rounds)
            gaps = jnp.max(means) - means
            regret = jnp.sum(run.pulls * gaps[:, None], axis=0)
        else:
            best = run.best.total
            regret = (best.max(0) if game.benchmark == "best_arm" else best) - run.earned.total
        return regret, run.pulls, run.observed, rounds


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
) -> BanditResult:
    r"""Play a policy in an environment, many times over.
    """
    every = horizon if record_every is None else record_every
    return _simulate(environment, policy, key, horizon, num_replications, every)


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _simulate(
    environment: AbstractEnvironment,
    policy: AbstractPolicy,
    key: PRNGKeyArray,
    horizon: int,
    num_replications: int,
    every: int,
) -> BanditResult:
    replications = jnp.arange(num_replications, dtype=jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, replications)
    solver = Simulation(policy, keys)
    state = solver.init(environment, key=None, dtype=environment.dtype)
    _, (regret, pulls, observed, times) = run_recorded(
        solver,
        environment,
        state,
        jnp.zeros((), jnp.int32),
        num_steps=horizon,
        every=every,
        record=functools.partial(solver.record, environment),
        key=None,
        unroll=1,
    )
    return BanditResult(
        regret=regret.T, pulls=jnp.moveaxis(pulls, -1, 0), observed=jnp.moveaxis(observed, -1, 0),
        times=times,
    )

"""Many replications of one policy in one environment, side by side."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

from gamejax._checks import check_key
from gamejax._loop import run_recorded
from gamejax._numerics import Sum, hash_key
from gamejax._trailing import vmap_last
from gamejax._types import State
from gamejax.bandits._environments import AbstractEnvironment
from gamejax.bandits._policy import AbstractPolicy, Values, at, put, vertex
from gamejax.bandits._result import BanditResult
from gamejax.feedback import AbstractFeedback, Feedback
from gamejax.sets import AbstractStrategySet
from gamejax.solvers import AbstractSolver

IN_CACHE, FEWEST, VECTOR = 2**15, 64, 16
"""How many arms of all replications of a chunk a CPU keeps near; replications in a chunk at least;
its size is a multiple of the last."""

NATURE, PULL, CHANNEL, UPDATE = range(1, 5)
"""The streams of random numbers of a round."""


class Relay(AbstractFeedback):
    """Passes on what was seen already, so that a channel can hide or delay it."""

    seen: Feedback
    blank: Values

    def observe(
        self, utility: Any, strategy: Any, state: State, *, key: Any, step: Array
    ) -> tuple[Feedback, State]:
        return self.seen, state

    def unseen(self, strategy: Any, state: State, *, step: Array) -> Values:
        return self.blank


class Replication(eqx.Module):
    """What one replication carries.

    Attributes:
        root: two random words.
        words: those of the coming round. Made in the round before, as the compiler would otherwise
            hash them again for every arm.
        policy, channel, game: the states of those parts.
        pulls: how often each arm was pulled.
        observed: how often each arm's reward was seen; `None` where all are.
        earned: the sum of the expected rewards of the arms pulled.
        best: the sum of what the benchmark earns: a number, or one per arm.
    """

    root: UInt32[Array, "2"]
    words: UInt32[Array, "2"]
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
        root = jax.random.key_data(key)[:2]
        simplex = game.strategy_sets[0]
        zero = jnp.zeros(game.num_arms, dtype)
        state = game.init(key=key, dtype=dtype)
        choices = game.choices(state) if self.policy.contextual else simplex
        none = jnp.zeros(game.num_arms, jnp.int32)
        relay = Relay(Feedback(zero, zero, none > 0), zero)
        channel = game.channel(relay)
        sums = game.benchmark != "mean"
        return Replication(
            root,
            _words(root, jnp.ones((), jnp.int32)),
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
        arm, pulled = policy.pull(state.policy, key=_stream(state.words, PULL))
        state = dataclasses.replace(state, policy=pulled)
        if state.observed is None:
            moved, nature = self._at_once(game, step, state, arm)
            channel, observed = state.channel, None
        else:
            moved, nature, channel, seen = self._through_channel(game, step, state, arm)
            observed = state.observed + seen.astype(jnp.int32)
        earned, best = state.earned, state.best
        if earned is not None and best is not None:
            earned = earned.add(at(expected, arm))
            best = best.add(expected if game.benchmark == "best_arm" else jnp.max(expected))
        return Replication(
            state.root,
            _words(state.root, step + 1),
            moved,
            channel,
            nature,
            put(state.pulls, arm, at(state.pulls, arm) + 1),
            observed,
            earned,
            best,
        )

    def _at_once(
        self, game: AbstractEnvironment, step: Array, state: Replication, arm: Array
    ) -> tuple[State, State]:
        reward, nature = game.reward(arm, state.game, key=_stream(state.words, NATURE), step=step)
        moved = self.policy.learn(
            self._choices(game, nature),
            reward,
            arm,
            state.policy,
            step=step,
            key=_stream(state.words, UPDATE),
        )
        return moved, nature

    def _through_channel(
        self, game: AbstractEnvironment, step: Array, state: Replication, arm: Array
    ) -> tuple[State, State, State, Array]:
        policy = self.policy
        played = vertex(arm, jnp.zeros(game.num_arms, game.dtype))
        (rewards,), nature = game.sample(
            (played,), state.game, key=_stream(state.words, NATURE), step=step
        )
        seen = policy.report(rewards, arm, state.policy, step=step)
        blank = policy.report(rewards, jnp.full_like(arm, -1), state.policy, step=step).utility
        seen, channel = game.channel(Relay(seen, blank)).observe(
            rewards, played, state.channel, key=_stream(state.words, CHANNEL), step=step
        )
        choices = self._choices(game, nature)
        moved = policy.update(choices, seen, arm, state.policy, key=_stream(state.words, UPDATE))
        return moved, nature, channel, seen.observed

    def _choices(self, game: AbstractEnvironment, nature: State) -> AbstractStrategySet:
        return game.choices(nature) if self.policy.contextual else game.strategy_sets[0]

    def profile(self, state: State) -> tuple[Values]:
        """How often each arm was pulled, in shares of all pulls."""
        pulls = state[1].pulls.sum(-1)
        return (pulls / jnp.maximum(pulls.sum(), 1),)

    def record(self, game: AbstractEnvironment, state: State) -> tuple[Array, Array, Array, Array]:
        """What a result keeps of each replication: regret, pulls, observations; and the rounds."""
        rounds, run = state
        if game.benchmark == "mean":
            means = game.expected(jax.tree.map(lambda x: x[..., 0], run.game), step=rounds)
            gaps = jnp.max(means) - means
            regret = jnp.sum(run.pulls.astype(gaps.dtype) * gaps[:, None], axis=0)
        else:
            best = run.best.total
            regret = (best.max(0) if game.benchmark == "best_arm" else best) - run.earned.total
        return regret, run.pulls, run.pulls if run.observed is None else run.observed, rounds


def _words(root: Array, step: Array) -> UInt32[Array, "2"]:
    """The words of a round; with `_stream` the keys of what is drawn in it."""
    return jax.random.key_data(hash_key(_key(root), step))


def _key(words: Array) -> PRNGKeyArray:
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def _stream(words: Array, stream: int) -> PRNGKeyArray:
    distance = jnp.asarray([0x9E3779B9, 0x85EBCA6B], jnp.uint32) * jnp.uint32(stream)
    return _key(words ^ distance)


def simulate(
    environment: AbstractEnvironment,
    policy: AbstractPolicy,
    horizon: int,
    *,
    key: PRNGKeyArray,
    num_replications: int = 1,
    record_every: int | None = None,
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
) -> BanditResult:
    r"""Play a policy in an environment, many times over, side by side.

    One compiled program: a scan over rounds of a step for many replications. Other means,
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
        chunk_size: at most so many replications at a time; default all, on a CPU what fits into
            its cache.
        mesh: devices to share the replications between; `None` for the default one.

    Raises:
        TypeError: `environment` or `policy` is something else.
        ValueError: a count is below 1, the environment has fewer rounds than `horizon`, or it
            delays rewards that the policy would mistake for those of the round under way.
    """
    if not isinstance(environment, AbstractEnvironment):
        raise TypeError(f"environment must be a bandit, got {type(environment).__name__}.")
    if not isinstance(policy, AbstractPolicy):
        raise TypeError(
            f"policy must be a policy such as ucb1(), got {type(policy).__name__}; a learner "
            "becomes one as Policy(learner) or Policy(learner, feedback.BanditFeedback())."
        )
    check_key(key)
    every = horizon if record_every is None else record_every
    for name, count in (
        ("horizon", horizon),
        ("num_replications", num_replications),
        ("record_every", every),
        ("chunk_size", 1 if chunk_size is None else chunk_size),
    ):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {count!r}.")
    if every > horizon:
        raise ValueError(f"record_every must be at most the horizon {horizon}, got {every}.")
    if environment.delayed and (policy.prompt or (policy.contextual and environment.changes)):
        raise ValueError(
            "environment delays rewards, but this policy learns from each as if it were of the "
            "round under way (its features, phase, block or advice): play it without Delayed."
        )
    longest = environment.num_rounds
    if longest is not None and horizon > longest:
        raise ValueError(f"horizon is {horizon}, but the environment has {longest} rounds.")
    if mesh is not None:
        axes = mesh.axis_names
        mesh = Mesh(mesh.devices, axes, axis_types=(AxisType.Auto,) * len(axes))
    parts = _parts(num_replications, chunk_size, environment.num_arms, mesh)
    return _simulate(environment, policy, key, horizon, num_replications, every, parts, mesh)


def _parts(
    num_replications: int, chunk_size: int | None, num_arms: int, mesh: Mesh | None
) -> tuple[int, int, int]:
    """Devices, chunks on each of them, replications in a chunk."""
    devices = 1 if mesh is None else mesh.size
    share = -(-num_replications // devices)
    limit = share
    if chunk_size is not None:
        limit = min(chunk_size, share)
    elif jax.default_backend() == "cpu":
        limit = max(IN_CACHE // num_arms, FEWEST)
    chunks = -(-share // limit)
    chunk = -(-share // chunks)
    # Whole vectors are faster; further replications are dropped.
    return devices, chunks, chunk if chunks == 1 else min(-(-chunk // VECTOR) * VECTOR, limit)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6, 7))
def _simulate(
    environment: AbstractEnvironment,
    policy: AbstractPolicy,
    key: PRNGKeyArray,
    horizon: int,
    num_replications: int,
    every: int,
    parts: tuple[int, int, int],
    mesh: Mesh | None,
) -> BanditResult:
    def chunk(
        given: tuple[AbstractEnvironment, AbstractPolicy, PRNGKeyArray], numbers: Array
    ) -> tuple[Array, Array, Array, Array]:
        game, player, root = given
        solver = Simulation(player, jax.vmap(jax.random.fold_in, (None, 0))(root, numbers))
        return run_recorded(
            solver,
            game,
            solver.init(game, key=None, dtype=game.dtype),
            jnp.zeros((), jnp.int32),
            num_steps=horizon,
            every=every,
            record=functools.partial(solver.record, game),
            key=None,
            unroll=1,
        )[1]

    def device(given: Any, numbers: Array) -> tuple[Array, Array, Array, Array]:
        *found, times = jax.lax.map(functools.partial(chunk, given), numbers)
        regret, pulls, observed = (jnp.concatenate(x, axis=-1) for x in found)
        return regret, pulls, observed, times[0]

    devices, chunks, size = parts
    numbers = jnp.arange(devices * chunks * size, dtype=jnp.int32).reshape(-1, size)
    if mesh is not None:
        axes = mesh.axis_names
        numbers = jax.device_put(numbers, NamedSharding(mesh, P(axes)))
        device = jax.shard_map(
            device,
            mesh=mesh,
            in_specs=(P(), P(axes)),
            out_specs=(P(None, axes), P(None, None, axes), P(None, None, axes), P()),
            check_vma=False,
        )
    regret, pulls, observed, times = device((environment, policy, key), numbers)

    def replications_first(x: Array) -> Array:
        return jnp.moveaxis(x, -1, 0)[:num_replications]

    return BanditResult(
        replications_first(regret), replications_first(pulls), replications_first(observed), times
    )

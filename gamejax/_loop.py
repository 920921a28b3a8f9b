"""The only loops over solver steps: to a tolerance, for a number of steps, with a record."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._numerics import fold
from gamejax._solution import RESULTS
from gamejax._types import Profile, PyTree, Scalar, State
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver

Certify = Callable[[AbstractGame, Profile], Scalar]


class Progress(eqx.Module):
    """Where a run stands: solver state, steps taken in all, certificate, why it ended."""

    state: State
    steps: Int[Array, ""]
    gap: Scalar
    result: RESULTS


def judge(
    solver: AbstractSolver, game: AbstractGame, certify: Certify, state: State, tol: Any
) -> tuple[Scalar, RESULTS]:
    """The certificate of what `state` vouches for, and whether the run is over."""
    gap = certify(game, solver.vouched(game, state))
    result = RESULTS.where(jnp.isnan(gap), RESULTS.nonfinite, solver.status(state))
    reached = (gap <= tol) & solver.settled(state)
    return gap, RESULTS.where(reached, RESULTS.successful, result)


def run_to_tolerance(
    solver: AbstractSolver,
    game: AbstractGame,
    certify: Certify,
    start: Progress,
    *,
    tol: Any,
    max_steps: Any,
    check_every: Any,
    key: PRNGKeyArray | None,
) -> Progress:
    """Steps until the certificate is at most `tol`, the solver ends or `max_steps` are taken.

    The certificate is computed before the first step and every `check_every` steps. The three
    phases (no steps, whole blocks, the remainder of `max_steps`) share one compiled body whose
    inner trip count does not depend on the game, so that `vmap` needs no masks per step.
    """

    def phase(progress: Progress, plan: tuple[Array, Array]) -> tuple[Progress, None]:
        block, num_blocks = plan

        def unfinished(carry: tuple[Progress, Array]) -> Array:
            current, done = carry
            return (current.result == RESULTS.running) & (done < num_blocks)

        def advance_block(carry: tuple[Progress, Array]) -> tuple[Progress, Array]:
            current, done = carry
            state = solver.advance(game, current.state, current.steps, block, key=key)
            gap, result = judge(solver, game, certify, state, tol)
            return Progress(state, current.steps + block, gap, result), done + 1

        progress, _ = jax.lax.while_loop(unfinished, advance_block, (progress, jnp.int32(0)))
        return progress, None

    max_steps, check_every = jnp.asarray(max_steps, jnp.int32), jnp.asarray(check_every, jnp.int32)
    remainder, whole = max_steps % check_every, max_steps // check_every
    blocks = jnp.stack([jnp.int32(0), check_every, remainder])
    counts = jnp.stack([jnp.int32(1), whole, (remainder > 0).astype(jnp.int32)])
    return jax.lax.scan(phase, start, (blocks, counts))[0]


def run_unrolled(
    solver: AbstractSolver,
    game: AbstractGame,
    certify: Certify,
    start: Progress,
    *,
    tol: Any,
    max_steps: int,
    check_every: int,
    key: PRNGKeyArray | None,
    checkpoints: int | None,
) -> Progress:
    """As `run_to_tolerance` in a fixed number of steps, a finished game frozen; differentiable.

    Only states at some checkpoints are kept for the backward pass; the others are computed again.
    """

    def one_step(carry: tuple[State, Array], _: None) -> tuple[tuple[State, Array], None]:
        state, step = carry
        return (solver.step(game, state, key=fold(key, step)), step + 1), None

    def block(progress: Progress, length: int) -> Progress:
        (state, steps), _ = jax.lax.scan(
            one_step, (progress.state, progress.steps), None, length=length
        )
        gap, result = judge(solver, game, certify, state, tol)
        moved = Progress(state, steps, gap, result)
        running = progress.result == RESULTS.running
        return jax.tree.map(lambda new, old: jnp.where(running, new, old), moved, progress)

    whole, remainder = divmod(max_steps, check_every)
    progress = block(start, 0)
    if whole:
        progress, _ = eqxi.scan(
            lambda carry, _: (block(carry, check_every), None),
            progress,
            None,
            length=whole,
            kind="checkpointed",
            checkpoints=checkpoints,
        )
    return block(progress, remainder) if remainder else progress


def run_recorded(
    solver: AbstractSolver,
    game: AbstractGame,
    state: State,
    first: Int[Array, ""],
    *,
    num_steps: int,
    every: int,
    record: Callable[[State], tuple[PyTree[Array], ...]],
    key: PRNGKeyArray | None,
    unroll: int,
) -> tuple[State, PyTree[Array]]:
    """`num_steps` steps; `record(state)` after each `every` of them, stacked. Differentiable."""

    def one_step(carry: State, step: Array) -> tuple[State, None]:
        return solver.step(game, carry, key=fold(key, step)), None

    def block(carry: State, start: Array) -> tuple[State, PyTree[Array]]:
        steps = start + jnp.arange(every, dtype=jnp.int32)
        carry, _ = jax.lax.scan(one_step, carry, steps, unroll=unroll)
        return carry, record(carry)

    blocks, rest = divmod(num_steps, every)
    state, records = jax.lax.scan(block, state, first + every * jnp.arange(blocks, dtype=jnp.int32))
    if rest:
        steps = first + every * blocks + jnp.arange(rest, dtype=jnp.int32)
        state, _ = jax.lax.scan(one_step, state, steps, unroll=unroll)
    return state, records

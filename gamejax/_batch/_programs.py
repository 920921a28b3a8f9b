"""The three programs of a batch: start every game, advance the unfinished ones, conclude."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.stages import Wrapped
from jaxtyping import Array, Int

from gamejax._batch._layout import Layout
from gamejax._compile import compiler_options
from gamejax._loop import Certify, Progress, judge
from gamejax._numerics import fold
from gamejax._solution import RESULTS
from gamejax._solve import begin, conclude
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver

UNTOUCHED, STARTED = -2, -1
"""`Run.checks` of a game that has no state yet, and of one whose start is not certified yet."""


class Run(eqx.Module):
    """Where the run of one game stands, and how often its certificate was computed on the way."""

    progress: Progress
    checks: Int[Array, ""]


class Statics(NamedTuple):
    """What a batch program is compiled for, beside shapes."""

    games: Layout
    runs: Layout | None
    gap: Certify | None


class Plan(NamedTuple):
    """What one call of `advance` does.

    Attributes:
        size: steps between two certificates.
        limit: games with so many certificates rest.
        blocks: at most so many times `size` steps.
        stop_at: return once so few games move.
    """

    size: Any
    limit: Any
    blocks: Any
    stop_at: Any


def first(
    statics: Statics, solver: AbstractSolver, key: Any, game: AbstractGame, index: Any, profile: Any
) -> Run:
    """The run of one game before its first step."""
    certify = _certify(solver, statics.gap)
    return Run(begin(solver, game, certify, fold(key, index), profile, None), jnp.int32(STARTED))


def start(batch: Any, shared: Any, *, statics: Statics) -> list[Array]:
    """The runs before their first step; `batch` holds games, indices and profiles to start from."""
    games, index, profiles = batch
    solver, key = shared

    def one(game: AbstractGame, i: Array, profile: Any) -> Run:
        return first(statics, solver, key, game, i, profile)

    runs = jax.vmap(one)(statics.games.unpack(games), index, profiles)
    return Layout.of(runs).pack(runs)


def advance(
    runs: list[Array], batch: Any, shared: Any, *, statics: Statics
) -> tuple[list[Array], tuple[Array, Array, Array]]:
    """The runs up to `plan.blocks` certificates later, and what the host wants to know of each.

    That is: whether it is still running, its number of certificates, and the last of them.
    """
    layout = statics.runs
    assert layout is not None
    leaves, index = batch
    solver, key, tol, plan = shared
    games = statics.games.unpack(leaves)

    def block(game: AbstractGame, i: Array, run: Run) -> Run:
        before, certify = run.progress, _certify(solver, statics.gap)
        state = solver.advance(game, before.state, before.steps, plan.size, key=fold(key, i))
        gap, result = judge(solver, game, certify, state, tol)
        after = Run(Progress(state, before.steps + plan.size, gap, result), run.checks + 1)
        moves = _moves(run, plan)
        return jax.tree.map(lambda new, old: jnp.where(moves, new, old), after, run)

    def going(carry: tuple[Array, Run]) -> Array:
        moving = jnp.sum(_moves(carry[1], plan), dtype=jnp.int32)
        return (carry[0] < plan.blocks) & (moving > plan.stop_at)

    def body(carry: tuple[Array, Run]) -> tuple[Array, Run]:
        return carry[0] + 1, jax.vmap(block)(games, index, carry[1])

    _, final = jax.lax.while_loop(going, body, (jnp.int32(0), layout.unpack(runs)))
    running = final.progress.result == RESULTS.running
    return layout.pack(final), (running, final.checks, final.progress.gap)


def finish(batch: Any, shared: Any, *, statics: Statics) -> Any:
    """Profile, certificate, result and statistics of every run."""
    layout = statics.runs
    assert layout is not None
    runs, games = batch
    solver, tol = shared

    def one(run: Run, game: AbstractGame) -> Any:
        certify = _certify(solver, statics.gap)
        solution = conclude(solver, game, certify, run.progress, tol, run.progress.state)
        return solution.profile, solution.gap, solution.result, solution.stats

    return jax.vmap(one)(layout.unpack(runs), statics.games.unpack(games))


class Programs(NamedTuple):
    """The compiled forms."""

    start: Wrapped
    advance: Wrapped
    finish: Wrapped


@functools.cache
def programs() -> Programs:
    """The programs, jitted; made on first use, since the options depend on the backend."""
    jit = functools.partial(
        jax.jit, static_argnames=("statics",), compiler_options=compiler_options()
    )
    return Programs(jit(start), jit(advance, donate_argnums=0), jit(finish))


def _certify(solver: AbstractSolver, gap: Certify | None) -> Certify:
    return solver.certificate if gap is None else gap


def _moves(run: Run, plan: Plan) -> Array:
    return (run.progress.result == RESULTS.running) & (run.checks < plan.limit)

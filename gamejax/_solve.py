"""The front doors: `solve` to a tolerance, `play` for a number of steps, `citation`."""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from gamejax._adjoint import Differentiable, Implicit, Unrolled, forbid, implicit
from gamejax._checks import (
    check_count,
    check_gap,
    check_init,
    check_key,
    check_problem,
    check_tolerance,
    with_labels,
    without_labels,
)
from gamejax._loop import Certify, Progress, judge, run_recorded, run_to_tolerance, run_unrolled
from gamejax._numerics import vary_like
from gamejax._side_by_side import few_at_once
from gamejax._solution import RESULTS, Solution, Trajectory
from gamejax._statistics import statistics
from gamejax._types import PyTree, Scalar, State, Strategy
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver, default_solver

AT_ONCE = 64
"""Games side by side on a CPU under `jax.vmap`: what the kernels of self-play take at once."""


class Record(eqx.Module):
    """What `play` records, and how often.

    Args:
        function: a function of the solver's state whose output is stacked, such as
            `lambda state: state.strategies`; `None` records gaps only.
        every: record after each so many steps.
    """

    function: Callable[[State], PyTree[Array]] | None = eqx.field(static=True, default=None)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count(self.every, "record.every", 1)


def solve(
    game: AbstractGame,
    solver: AbstractSolver | None = None,
    *,
    gap: Certify | None = None,
    tol: Any = 1e-3,
    max_steps: Any = 100_000,
    check_every: Any = 100,
    key: PRNGKeyArray | None = None,
    init: tuple[Strategy, ...] | Solution | None = None,
    adjoint: Unrolled | Implicit | None = None,
    throw: bool = False,
) -> Solution:
    r"""Run a solver on one game until its certificate is within a tolerance.

    One compiled program per kind of game, solver and shape: other payoffs, hyper-parameters,
    tolerances and budgets do not compile again. Map it with `jax.vmap` over stacked games.

    Args:
        game: the game; players maximise.
        solver: default `default_solver(game)`.
        gap: the certificate, a function `(game, profile) -> scalar` such as
            `gamejax.metrics.nash_conv`; default the solver's own, `solver.certificate`.
        tol: stop when the certificate is at most this, in units of payoff: no share of their range.
            In float32 not below about 1e-6 of the largest payoff.
        max_steps: at most so many steps.
        check_every: compute the certificate before the first and after every so many steps.
        key: for games, feedback or learners that draw.
        init: a profile to start from, or an earlier `Solution` of the same game and solver to go
            on from: `solve` for $k$ steps, then for $n - k$ with `init=`, equals $n$ steps.
        adjoint: how gradients pass. `None`: the gap is differentiable (at the fixed profile), the
            profile is not and says so. `Implicit()`: through the solver's residual. `Unrolled()`:
            through the steps.
        throw: raise `RuntimeError` where the result is not successful; not under `jit` or `vmap`.

    Returns:
        A `Solution`, with `gap` recomputed from the profile it holds.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.
        RuntimeError: `throw=True` and the tolerance was not reached.
    """
    check_problem(game, solver)
    check_key(key)
    for value, name, least in ((max_steps, "max_steps", 0), (check_every, "check_every", 1)):
        check_count(value, name, least)
    check_tolerance(tol)
    check_gap(gap)
    solver = default_solver(game) if solver is None else solver
    solver.check(game)
    profile, previous = check_init(game, init)
    bare, labels = without_labels(game)
    if isinstance(adjoint, Unrolled):
        if not isinstance(max_steps, numbers.Integral) or not isinstance(
            check_every, numbers.Integral
        ):
            raise TypeError("Unrolled() needs max_steps and check_every as Python integers.")
        budget, limits = (int(max_steps), int(check_every)), (0, 1)
    else:
        budget, limits = None, (max_steps, check_every)
    solution = _solve(
        bare, solver, adjoint, tol, limits, key, profile, previous, gap=gap, budget=budget
    )
    solution = with_labels(solution, labels)
    if throw:
        _raise_unless_successful(solution)
    return solution


def play(
    game: AbstractGame,
    solver: AbstractSolver | None,
    num_steps: int,
    *,
    key: PRNGKeyArray | None = None,
    init: tuple[Strategy, ...] | Solution | None = None,
    record: Record | int | Callable[[State], PyTree[Array]] | None = None,
    unroll: int = 1,
) -> Trajectory:
    """Run a solver for a fixed number of steps and keep a record of the way.

    Differentiable in forward and reverse mode, through every step.

    Args:
        game: the game; players maximise.
        solver: default `default_solver(game)`.
        num_steps: how many steps.
        key: for games, feedback or learners that draw.
        init: a profile to start from, or an earlier `Solution` to go on from.
        record: what is recorded beside the gap. `None`: the gap after every step; an integer: the
            gap after each so many steps; a function of the solver's state (such as
            `lambda s: s.strategies`): its output too, after every step; a `Record`: both.
        unroll: how many steps the compiled loop holds side by side.

    Returns:
        A `Trajectory` with one record per `record.every` steps and the solution at the end.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.
    """
    check_problem(game, solver)
    check_key(key)
    check_count(num_steps, "num_steps", 1)
    check_count(unroll, "unroll", 1)
    if isinstance(record, numbers.Integral) and not isinstance(record, bool):
        record = Record(every=int(record))
    elif not isinstance(record, Record):
        if record is not None and not callable(record):
            raise TypeError(
                "record must be None, an integer, a function of the solver's state or a Record, "
                f"got {type(record).__name__}."
            )
        record = Record(record)
    solver = default_solver(game) if solver is None else solver
    solver.check(game)
    profile, previous = check_init(game, init)
    bare, labels = without_labels(game)
    trajectory = _play(
        bare, solver, key, profile, previous, num_steps=num_steps, record=record, unroll=unroll
    )
    solution = with_labels(trajectory.solution, labels)
    return Trajectory(trajectory.steps, trajectory.gaps, trajectory.records, solution)


@functools.partial(jax.jit, static_argnames=("gap", "budget"))
def _solve(
    game: AbstractGame,
    solver: AbstractSolver,
    adjoint: Unrolled | Implicit | None,
    tol: Any,
    limits: tuple[Any, Any],
    key: PRNGKeyArray | None,
    profile: tuple[Strategy, ...] | None,
    previous: tuple[State, Array] | None,
    *,
    gap: Certify | None,
    budget: tuple[int, int] | None,
) -> Solution:
    certify = solver.certificate if gap is None else gap
    if budget is not None and isinstance(adjoint, Unrolled):
        start = begin(solver, game, certify, key, profile, previous)
        progress = run_unrolled(
            solver, game, certify, start, tol=tol, max_steps=budget[0], check_every=budget[1],
            key=key, checkpoints=adjoint.checkpoints,
        )  # fmt: skip
        return conclude(solver, game, certify, progress, tol, progress.state)

    def run(
        game: AbstractGame, solver: AbstractSolver, tol: Any, limits: Any, key: Any, *init: Any
    ) -> Progress:
        certify = solver.certificate if gap is None else gap
        start = begin(solver, game, certify, key, *init)
        return run_to_tolerance(
            solver, game, certify, start, tol=tol, max_steps=limits[0], check_every=limits[1],
            key=key,
        )  # fmt: skip

    fixed = jax.lax.stop_gradient((game, solver, tol, profile, previous))
    progress = few_at_once(run, AT_ONCE)(*fixed[:3], limits, key, *fixed[3:])
    solution = conclude(solver, game, certify, progress, tol, progress.state)
    if isinstance(adjoint, Implicit):
        successful = solution.result == RESULTS.successful
        found = implicit(solver, game, solution.profile, adjoint.linear_solver, successful)
        return conclude(solver, game, certify, progress, tol, progress.state, found)
    barred = forbid(solution.profile, game)
    return Solution(barred, solution.gap, solution.result, solution.stats, solution.state)


@functools.partial(jax.jit, static_argnames=("num_steps", "record", "unroll"))
def _play(
    game: AbstractGame,
    solver: AbstractSolver,
    key: PRNGKeyArray | None,
    profile: tuple[Strategy, ...] | None,
    previous: tuple[State, Array] | None,
    *,
    num_steps: int,
    record: Record,
    unroll: int,
) -> Trajectory:
    certify = solver.certificate
    start = begin(solver, game, certify, key, profile, previous)

    def look(state: State) -> tuple[Scalar, Any]:
        extra = None if record.function is None else record.function(state)
        return certify(game, solver.vouched(game, state)), extra

    state, (gaps, records) = run_recorded(
        solver, game, start.state, start.steps, num_steps=num_steps, every=record.every,
        record=look, key=key, unroll=unroll,
    )  # fmt: skip
    steps = start.steps + record.every * jnp.arange(1, gaps.shape[0] + 1, dtype=jnp.int32)
    finish, result = judge(solver, game, certify, state, 0.0)
    progress = Progress(state, start.steps + num_steps, finish, result)
    return Trajectory(steps, gaps, records, conclude(solver, game, certify, progress, 0.0, state))


def begin(
    solver: AbstractSolver,
    game: AbstractGame,
    certify: Certify,
    key: PRNGKeyArray | None,
    profile: tuple[Strategy, ...] | None,
    previous: tuple[State, Array] | None,
) -> Progress:
    """The progress before the first step; its gap is not computed yet."""
    if previous is None:
        # Step keys are fold_in(key, step); no run gets to this number, so it marks the beginning.
        first = None if key is None else jax.random.fold_in(key, 2**31 - 1)
        state = solver.init(game, key=first, dtype=game.dtype, start=profile)
        steps = jnp.int32(0)
    else:
        state, steps = previous
        expected = jax.eval_shape(lambda: solver.init(game, key=key, dtype=game.dtype))
        if jax.tree.structure(expected) != jax.tree.structure(state) or any(
            like.shape != jnp.shape(leaf) or like.dtype != jnp.result_type(leaf)
            for like, leaf in zip(*map(jax.tree.leaves, (expected, state)), strict=True)
        ):
            raise ValueError(
                "init is the Solution of another solver, or of another kind or size of game; pass "
                "its profile (init=solution.profile) to start from it."
            )
    state = jax.tree.map(strong, state)
    shape = jax.eval_shape(lambda s: certify(game, solver.vouched(game, s)), state)
    unknown = jnp.full(shape.shape, jnp.inf, shape.dtype)
    return vary_like(Progress(state, steps, unknown, RESULTS.running), game)


def strong(leaf: Any) -> Array:
    """The leaf as an array whose type is not weak, as loop carries must be."""
    return jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype)


def conclude(
    solver: AbstractSolver,
    game: AbstractGame,
    certify: Certify,
    progress: Progress,
    tol: Any,
    state: State,
    found: Differentiable | None = None,
) -> Solution:
    """The solution, its gap recomputed from the profile that is handed out."""
    profile = solver.vouched(game, state) if found is None else found.profile
    gap = certify(game, profile)
    ended = progress.result == RESULTS.running
    result = RESULTS.where(ended, RESULTS.max_steps_reached, progress.result)
    reached = (gap <= tol) & solver.settled(state)
    result = RESULTS.where(reached, RESULTS.successful, result)
    stats = {"num_steps": progress.steps, **statistics(game, profile), **solver.stats(game, state)}
    if found is not None:
        result = RESULTS.where(reached & ~found.reliable, RESULTS.ill_conditioned, result)
        stats["condition"] = found.condition
    return Solution(profile, gap, result, stats, state)


def _raise_unless_successful(solution: Solution) -> None:
    if isinstance(solution.gap, Tracer):
        raise TypeError(
            "throw=True raises once, on the host; inside jit, vmap or grad check "
            "solution.result instead."
        )
    if not bool(jnp.all(solution.result == RESULTS.successful)):
        raise RuntimeError(
            f"{RESULTS[solution.result]} (gap {float(solution.gap):.3g} after "
            f"{int(solution.stats['num_steps'])} steps)"
        )

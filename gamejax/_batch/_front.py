"""The front door of batches."""

import os
from collections.abc import Sequence
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from gamejax._batch._buckets import cut, table_shape
from gamejax._batch._checkpoint import Checkpoint, Keeper
from gamejax._batch._crew import crew_of
from gamejax._batch._drive import collect, drive, make_pools
from gamejax._batch._identity import identity
from gamejax._batch._pool import Task
from gamejax._batch._work import Work, check_host, work_on_list, work_on_stack
from gamejax._checks import (
    check_count,
    check_gap,
    check_key,
    check_tolerance,
    with_labels,
    without_labels,
)
from gamejax._loop import Certify
from gamejax._solution import RESULTS, Solution
from gamejax._types import Strategy
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver

Init = tuple[Strategy, ...] | Solution


@overload
def solve_batch(
    games: AbstractGame,
    solver: AbstractSolver | None = None,
    *,
    gap: Certify | None = None,
    tol: float = 1e-3,
    max_steps: int = 100_000,
    check_every: int = 100,
    key: PRNGKeyArray | None = None,
    init: Init | None = None,
    mesh: Mesh | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    throw: bool = False,
) -> Solution: ...
@overload
def solve_batch(
    games: Sequence[AbstractGame],
    solver: AbstractSolver | None = None,
    *,
    gap: Certify | None = None,
    tol: float = 1e-3,
    max_steps: int = 100_000,
    check_every: int = 100,
    key: PRNGKeyArray | None = None,
    init: Sequence[Init] | None = None,
    mesh: Mesh | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    throw: bool = False,
) -> list[Solution]: ...
def solve_batch(
    games: AbstractGame | Sequence[AbstractGame],
    solver: AbstractSolver | None = None,
    *,
    gap: Certify | None = None,
    tol: float = 1e-3,
    max_steps: int = 100_000,
    check_every: int = 100,
    key: PRNGKeyArray | None = None,
    init: Init | Sequence[Init] | None = None,
    mesh: Mesh | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    throw: bool = False,
) -> Solution | list[Solution]:
    r"""Run a solver on thousands of games until every certificate is within a tolerance.

    What `jax.vmap(solve)` computes, driven from the host: between rounds games that are done make
    room for others that wait, or the last ones move to a smaller buffer when that is predicted to
    save more time than compiling its program costs. Work can be watched, saved, resumed and spread
    over devices and machines.

    A game's bits depend on the game, the solver, its random key and the shape that it is padded
    to; not on the other games, their order, chunks, dropped games, the number of devices or a
    resumption. `solve` and `vmap(solve)` agree to rounding, with the same random draws.

    Args:
        games: one stacked game, every leaf with a leading axis for the batch (such as
            `jax.vmap(MatrixGame)(payoffs)`), or a list of games of any kinds and sizes.
        solver: default `default_solver` of each kind of game.
        gap: the certificate, a function `(game, profile) -> scalar`; default the solver's own.
        tol: a game is done when its certificate is at most this, in units of payoff.
        max_steps: at most so many steps per game.
        check_every: compute the certificate before the first and after every so many steps.
        key: for games, feedback or learners that draw; game `i`, counted in the order of `games`,
            uses `jax.random.fold_in(key, i)`.
        init: profiles to start from, or earlier `Solution`s of the same games and solver to go on
            from: stacked for stacked games, a list for a list.
        mesh: devices to spread the games over, such as `jax.make_mesh((8,), ("games",))`; those of
            several processes if all of them make this call with the same arguments. Every process
            gets all answers.
        chunk_size: at most so many games on the devices at a time, rounded up to what is computed
            side by side; default what a CPU's caches hold, on other devices half of their memory.
        progress: show a progress bar; needs `pip install 'gamejax[cli]'`.
        checkpoint: a path, or a `Checkpoint`, to save the work to and to resume it from.
        throw: raise `RuntimeError` where a result is not successful.

    Returns:
        A stacked `Solution`, or for a list a list of them, in the order and sizes of `games`;
        there `state` keeps the size that the game was padded to.

    Raises:
        TypeError, ValueError: an argument is unusable, or the games cannot fit into memory; the
            message says why.
        RuntimeError: `throw=True` and the tolerance was not reached somewhere.
        KeyboardInterrupt: Ctrl-C, after the work was saved.
    """
    check_host(games, solver, init, key, tol, max_steps, check_every)
    for value, name, least in (
        (max_steps, "max_steps", 0),
        (check_every, "check_every", 1),
        (1 if chunk_size is None else chunk_size, "chunk_size", 1),
    ):
        check_count(value, name, least)
    check_tolerance(tol)
    check_key(key)
    check_gap(gap)
    chunk = None if chunk_size is None else int(chunk_size)
    task = Task(gap, float(tol), int(max_steps), int(check_every), key, chunk)
    crew, labels = crew_of(mesh), None
    if isinstance(games, AbstractGame):
        games.check()
        stack, labels = without_labels(games)
        works = [work_on_stack(stack, solver, init)]
    elif isinstance(games, list | tuple):
        works = work_on_list(games, solver, init)
    else:
        raise TypeError(
            f"games must be a stacked gamejax game or a list of games, got {type(games).__name__}."
        )
    keeper = None
    if checkpoint is not None:
        saving = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        parts = [(w.bucket, w.solver) for w in works]
        identified = identity([p[0] for p in parts], [p[1] for p in parts], task, init)
        keeper = Keeper(saving, identified, [len(w.bucket.order) for w in works], crew)
    pools = make_pools(works, task, crew)
    drive(pools, crew, keeper, progress)
    found = collect(pools, works, crew)
    if throw:
        _raise_unless_successful(works, found)
    if isinstance(games, AbstractGame):
        return with_labels(jax.tree.map(jnp.asarray, found[0]), labels)
    return _in_order(games, works, found)


def _in_order(
    games: Sequence[AbstractGame], works: list[Work], found: list[Solution]
) -> list[Solution]:
    """One solution per game in the caller's order, without padding and with its names."""
    answers: dict[int, Solution] = {}
    for work, stack in zip(works, found, strict=True):
        leaves, structure = jax.tree.flatten(stack)
        for row, i in enumerate(work.bucket.order):
            game = games[i]
            one = jax.tree.unflatten(structure, [x[row] for x in leaves])
            shape = table_shape(game)
            profile = one.profile if shape is None else cut(one.profile, shape)
            answers[i] = Solution(profile, one.gap, one.result, one.stats, one.state, game.names)
    return jax.device_put([answers[i] for i in range(len(games))])


def _raise_unless_successful(works: list[Work], found: list[Solution]) -> None:
    """Raise for the game that is farthest from a solution among those that failed."""
    failed, count = [], 0
    for work, stack in zip(works, found, strict=True):
        success = np.asarray(stack.result == RESULTS.successful)
        gaps = np.where(np.isnan(stack.gap), np.inf, np.asarray(stack.gap))
        failed += [(gaps[k], work.bucket.order[k], stack, k) for k in np.flatnonzero(~success)]
        count += len(success)
    if failed:
        gap, worst, stack, k = max(failed, key=lambda f: (f[0], -f[1]))
        message = RESULTS[jax.tree.map(lambda x: jnp.asarray(x[k]), stack.result)]
        raise RuntimeError(
            f"{len(failed):,} of {count:,} games failed; the worst is game {worst} with gap "
            f"{gap:.3g}: {message}"
        )

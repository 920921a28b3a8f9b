"""What `solve_batch` was given, checked and sorted into stacks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gamejax._batch._buckets import Bucket, make_buckets, stack_profiles
from gamejax._checks import check_init, check_problem
from gamejax._solution import Solution
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver, default_solver


class Work(NamedTuple):
    """A stack of games, who solves them, and from where.

    Attributes:
        bucket: the games.
        solver: their solver.
        profiles: stacked profiles to start from, or `None`.
        previous: stacked solver states and step counts to go on from, or `None`.
    """

    bucket: Bucket
    solver: AbstractSolver
    profiles: Any
    previous: tuple[Any, Any] | None


def check_host(*arguments: Any) -> None:
    """Refuse to run inside a transformation.

    Raises:
        TypeError: an argument is traced, or everything is.
    """
    inside = isinstance(jnp.zeros(()), Tracer)
    if inside or any(isinstance(x, Tracer) for x in jax.tree.leaves(arguments)):
        raise TypeError(
            "solve_batch works on the host, not inside jit, vmap, grad or scan; use "
            "jax.vmap(gamejax.solve) there."
        )


def work_on_stack(games: AbstractGame, solver: AbstractSolver | None, init: Any) -> Work:
    """One stack of games, as it was given.

    Raises:
        TypeError, ValueError: it is no stack, or `init` does not fit it.
    """
    check_problem(games, solver)
    stack, count = _check_stack(games)
    bucket = Bucket(stack, np.arange(count))
    solver = default_solver(bucket.example) if solver is None else solver
    solver.check(bucket.example)
    if init is None:
        return Work(bucket, solver, None, None)
    leading = {np.shape(x)[:1] for x in jax.tree.leaves(init)}
    if isinstance(init, list) or leading != {(count,)}:
        raise ValueError(
            f"init must be stacked like the {count} games: a profile or Solution whose arrays have "
            f"a leading axis of {count}, got leading axes {sorted(leading)}."
        )
    if isinstance(init, Solution):
        return Work(bucket, solver, None, (init.state, init.stats["num_steps"]))
    check_init(bucket.example, jax.tree.map(lambda x: x[0], init))
    return Work(bucket, solver, stack_profiles(list(zip(*init, strict=True)), bucket.example), None)


def work_on_list(
    games: Sequence[AbstractGame], solver: AbstractSolver | None, init: Any
) -> list[Work]:
    """The games of a list in a few stacks.

    Raises:
        TypeError, ValueError: an entry is no game, or `init` does not fit the list.
    """
    for game in games:
        check_problem(game, solver)
    if init is not None:
        _check_inits(games, init)
    works = []
    for bucket in make_buckets(games):
        own = default_solver(bucket.example) if solver is None else solver
        own.check(bucket.example)
        profiles, previous = None, None
        if init is not None:
            given = [init[i] for i in bucket.order]
            if isinstance(given[0], Solution):
                previous = _stack_states(given)
            else:
                profiles = stack_profiles(given, bucket.example)
        works.append(Work(bucket, own, profiles, previous))
    return works


def _check_stack(games: AbstractGame) -> tuple[AbstractGame, int]:
    """The stack with an axis for the batch on all leaves, and its length."""
    leaves = jax.tree.leaves(games)
    counts = {x.shape[0] for x in leaves if np.ndim(x)}
    if len(counts) != 1 or any(not np.ndim(x) and not isinstance(x, int | float) for x in leaves):
        raise ValueError(
            "games must be a list of games or one stacked game whose leaves all have the same "
            f"leading axis, got leaves of shapes {[np.shape(x) for x in leaves]}; stack by "
            "jax.vmap(MatrixGame)(payoffs)."
        )
    (count,) = counts
    dtype = games.dtype

    def widen(leaf: Any) -> Any:
        """Numbers are shared by all games; what is weakly typed follows the game."""
        weak = isinstance(leaf, float) or getattr(leaf, "weak_type", False)
        if weak and jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            leaf = jnp.asarray(leaf, dtype)
        return leaf if np.ndim(leaf) else np.full(count, np.asarray(leaf))

    stack = jax.tree.map(widen, games)
    example = jax.tree.map(lambda x: x[0], stack)
    try:
        centers = tuple(s.center(dtype) for s in example.strategy_sets)
        utilities = jax.eval_shape(lambda g, x: g.utilities(x), example, centers)
        fits = [jnp.shape(x) for x in jax.tree.leaves(utilities)] == [
            jnp.shape(x) for x in jax.tree.leaves(centers)
        ]
    except (TypeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise ValueError(
            f"games must be a list of games or one stacked game; this {type(games).__name__} with "
            f"leaves of shapes {[np.shape(x) for x in leaves]} has no leading axis for the batch. "
            "Solve one game by gamejax.solve, or pass [game]."
        )
    return stack, count


def _check_inits(games: Sequence[AbstractGame], init: Any) -> None:
    if not isinstance(init, list | tuple) or len(init) != len(games):
        got = len(init) if isinstance(init, list | tuple) else type(init).__name__
        raise ValueError(
            f"init must be a list with one profile or Solution for each of the {len(games)} games, "
            f"got {got}."
        )
    solutions = [isinstance(x, Solution) for x in init]
    if any(solutions) and not all(solutions):
        raise TypeError("init must hold Solutions only, or profiles only.")
    for i, (game, own) in enumerate(zip(games, init, strict=True)):
        try:
            check_init(game, own)
        except (TypeError, ValueError) as error:
            raise type(error)(f"init[{i}] does not fit games[{i}]: {error}") from None


def _stack_states(solutions: list[Solution]) -> tuple[Any, Any]:
    states = [jax.tree.map(np.asarray, s.state) for s in solutions]
    structures = {jax.tree.structure(state) for state in states}
    shapes = {tuple(np.shape(x) for x in jax.tree.leaves(state)) for state in states}
    if len(structures) > 1 or len(shapes) > 1:
        raise ValueError(
            "init holds Solutions whose solver states differ in kind or size where these games "
            "share a program; pass their profiles to start from them."
        )
    steps = np.stack([np.asarray(s.stats["num_steps"]) for s in solutions])
    return jax.tree.map(lambda *x: np.stack(x), *states), steps

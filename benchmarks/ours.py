"""gamejax's own entries: batches through `solve_batch` and through `jax.vmap(solve)`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import gamejax
from benchmarks.contest import Rival, version
from benchmarks.devices import mesh, over_devices, place
from benchmarks.instances import as_dtype
from gamejax import metrics
from gamejax.games import AbstractGame
from gamejax.learners import PredictiveRegretMatchingPlus
from gamejax.solvers import AbstractSolver, Quadratic, SelfPlay

REGRET_MATCHING = SelfPlay(PredictiveRegretMatchingPlus(), averaging=Quadratic(), alternating=True)


def batch(
    name: str,
    games: AbstractGame,
    solver: AbstractSolver,
    tol: float,
    cores: int,
    *,
    dtype: str,
    max_steps: int = 100_000,
    check_every: int = 100,
    gap: Any = metrics.nash_conv,
    answer: Callable[[Any], np.ndarray] | None = None,
    flops: Callable[[Any], float] | None = None,
    note: str | None = None,
) -> Rival:
    """`gamejax.solve_batch` on all games."""
    stacked, devices, count = as_dtype(games, dtype), mesh(cores), size(games)

    def call() -> Any:
        return gamejax.solve_batch(
            stacked,
            solver,
            gap=gap,
            tol=tol,
            max_steps=max_steps,
            check_every=check_every,
            mesh=devices,
        )

    return _rival(name, call, count, dtype, answer, flops, note)


def mapped(
    name: str,
    games: AbstractGame,
    solver: AbstractSolver,
    tol: float,
    cores: int,
    *,
    dtype: str,
    max_steps: int = 100_000,
    check_every: int = 100,
    gap: Any = metrics.nash_conv,
    answer: Callable[[Any], np.ndarray] | None = None,
    flops: Callable[[Any], float] | None = None,
    note: str | None = None,
) -> Rival:
    """`jax.vmap(gamejax.solve)` on all games, jitted."""
    stacked, count = place(as_dtype(games, dtype), cores), size(games)

    def one(game: AbstractGame) -> Any:
        solution = gamejax.solve(
            game, solver, gap=gap, tol=tol, max_steps=max_steps, check_every=check_every
        )
        return solution.profile, solution.stats["num_steps"]

    solve = over_devices(jax.vmap(one), cores)

    def unpack(result: Any) -> np.ndarray:
        return np.stack([np.asarray(x, np.float64) for x in result[0]], 1)

    return _rival(name, lambda: solve(stacked), count, dtype, answer or unpack, flops, note)


def _rival(
    name: str,
    call: Callable[[], Any],
    count: int,
    dtype: str,
    answer: Callable[[Any], np.ndarray] | None,
    flops: Callable[[Any], float] | None,
    note: str | None,
) -> Rival:
    return Rival(
        name,
        call,
        amount=count,
        games=count,
        answer=answer or profiles,
        ours=True,
        dtype=dtype,
        version=version("gamejax"),
        flops=flops,
        note=note,
    )


def size(games: AbstractGame) -> int:
    """How many games stand in the stack."""
    return jax.tree.leaves(games)[0].shape[0]


def profiles(solution: Any) -> np.ndarray:
    """Both strategies of a stacked solution, `(games, 2, n)`."""
    return np.stack([np.asarray(x, np.float64) for x in solution.profile], 1)


def product_flops(n: int) -> Callable[[Any], float]:
    """Operations of the payoff products of all steps of a stacked solution: two per step."""
    return lambda solution: 4.0 * n * n * float(np.sum(solution.stats["num_steps"]))

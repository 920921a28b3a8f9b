"""Checks and small conversions that the front doors share."""

import copy
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from gamejax._joint import Joint
from gamejax._solution import Solution
from gamejax._types import State, Strategy
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver


def check_problem(game: Any, solver: Any) -> None:
    """Refuse what is no game or no solver, and games that nobody can solve."""
    if not isinstance(game, AbstractGame):
        raise TypeError(
            f"game must be a gamejax game, got {type(game).__name__}; wrap payoffs with "
            "gamejax.games.MatrixGame(payoff) or gamejax.games.NormalFormGame(payoffs)."
        )
    if solver is not None and not isinstance(solver, AbstractSolver):
        raise TypeError(
            f"solver must be a gamejax solver or None, got {type(solver).__name__}; a learner "
            "becomes one with gamejax.solvers.SelfPlay(learner)."
        )
    game.check()


def check_count(value: Any, name: str, least: int) -> None:
    """Refuse what is no 32-bit integer of at least `least`; tracers pass."""
    if isinstance(value, Tracer):
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Integral | jax.Array):
        raise TypeError(f"{name} must be an integer of at least {least}, got {value!r}.")
    if int(value) < least or int(value) >= 2**31:
        raise ValueError(f"{name} must be an integer from {least} to 2**31 - 1, got {value}.")


def check_tolerance(tol: Any) -> None:
    """Refuse what is no tolerance; tracers pass."""
    if isinstance(tol, Tracer):
        return
    if not isinstance(tol, numbers.Real | jax.Array) or not float(tol) >= 0:
        raise ValueError(f"tol must be a number of at least 0, got {tol!r}.")


def check_gap(gap: Any) -> None:
    """Refuse a certificate that is no function."""
    if gap is not None and not callable(gap):
        raise TypeError(
            f"gap must be a function (game, profile) -> scalar, got {type(gap).__name__}; "
            "the tolerance is tol=."
        )


def check_key(key: Any, *, needed: bool = False) -> None:
    """Refuse a seed where a key of `jax.random` is wanted, and nothing where one is needed."""
    if key is None and not needed:
        return
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"key must be jax.random.key(seed), got {type(key).__name__}.")


def check_init(
    game: AbstractGame, init: Any
) -> tuple[tuple[Strategy, ...] | None, tuple[State, Array] | None]:
    """`init` as a profile to start from, or as the state and step count to go on from."""
    if isinstance(init, Solution):
        return None, (init.state, init.stats["num_steps"])
    if init is None:
        return None, None
    if isinstance(init, Joint) or not isinstance(init, tuple | list):
        raise TypeError(
            "init must be a profile (a tuple with one strategy per player) or a Solution, got "
            f"{type(init).__name__}."
        )
    dtype = game.dtype
    expected = [jax.eval_shape(lambda s=s: s.center(dtype)) for s in game.strategy_sets]
    if len(init) != len(expected):
        raise ValueError(f"init has {len(init)} strategies, the game has {len(expected)} players.")
    profile = []
    for i, (given, like) in enumerate(zip(init, expected, strict=True)):
        shapes = [tuple(jnp.shape(x)) for x in jax.tree.leaves(given)]
        if shapes != [x.shape for x in jax.tree.leaves(like)]:
            wanted = [x.shape for x in jax.tree.leaves(like)]
            raise ValueError(f"init[{i}] must have shape {wanted}, got {shapes}.")
        profile.append(jax.tree.map(lambda x, as_: jnp.asarray(x, as_.dtype), given, like))
    return tuple(profile), None


def without_labels(game: AbstractGame) -> tuple[AbstractGame, Any]:
    """A copy whose static names are gone, so that games of other names share its program."""
    names = game.names
    if game.labels is None or "labels" not in vars(game):
        return game, names
    bare = copy.copy(game)
    object.__setattr__(bare, "labels", None)
    return bare, names


def with_labels(solution: Solution, labels: Any) -> Solution:
    """The solution with the names of its game."""
    if labels is None:
        return solution
    return Solution(
        solution.profile, solution.gap, solution.result, solution.stats, solution.state, labels
    )

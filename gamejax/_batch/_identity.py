"""A fingerprint of what a run computes, the same in every process and on every machine."""

import functools
import hashlib
import re
from typing import Any

import equinox as eqx
import jax
import numpy as np

from gamejax._batch._layout import Layout
from gamejax._batch._pool import Task


def identity(games: Any, solvers: Any, task: Task, init: Any) -> dict[str, str]:
    """What must be equal for a checkpoint to be this run's: the part's name and its value."""
    from gamejax import __version__  # it imports this module

    return {
        "version": __version__,
        "games": fingerprint(games),
        "solver": fingerprint(solvers),
        "gap": fingerprint(task.gap),
        "tol": repr(task.tol),
        "max_steps": str(task.max_steps),
        "check_every": str(task.check_every),
        "key": fingerprint(task.key),
        "init": fingerprint(init),
    }


def fingerprint(value: Any) -> str:
    """A hash of all numbers, types and names in a tree of modules, arrays and functions."""
    digest = hashlib.sha256()
    _add(digest, value, set())
    return digest.hexdigest()[:16]


def _add(digest: Any, value: Any, seen: set[int]) -> None:
    if isinstance(value, jax.Array | np.ndarray):
        (array,) = jax.device_get(Layout.of(value).pack(value))
        digest.update(f"{value.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
        return
    if isinstance(value, str | bytes | int | float | complex | None):
        digest.update(repr(value).encode())
        return
    if id(value) in seen:  # functions may refer to themselves
        return
    seen = seen | {id(value)}
    digest.update(_name(value).encode())
    for part in _parts(value):
        digest.update(b"|")
        _add(digest, part, seen)


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _parts(value: Any) -> list[Any]:
    if isinstance(value, eqx.Module) or hasattr(value, "__dataclass_fields__"):
        return [part for pair in vars(value).items() for part in pair]
    if isinstance(value, tuple | list):
        return list(value)
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if hasattr(value, "__code__"):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__.co_code, value.__defaults__, cells]
    # The address of an object is no part of what it is.
    return [] if callable(value) else [re.sub(r" at 0x[0-9a-f]+", "", repr(value))]

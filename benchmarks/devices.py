"""Work spread over the devices of this process: two cores are two of them."""

import os
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def count_cores() -> int:
    """How many cores this process may use; on a CPU each is a device."""
    if jax.default_backend() == "cpu":
        return jax.device_count()
    return len(os.sched_getaffinity(0))


def mesh(cores: int) -> Mesh | None:
    """The mesh of `cores` CPU devices; `None` for one, and where an accelerator does the work."""
    if cores == 1 or jax.default_backend() != "cpu":
        return None
    types = (AxisType.Auto,)
    return jax.make_mesh((cores,), ("games",), devices=jax.devices()[:cores], axis_types=types)


def place(games: Any, cores: int) -> Any:
    """The games where `over_devices` wants them."""
    devices = mesh(cores)
    if devices is None:
        return jax.device_put(games)
    return jax.device_put(games, NamedSharding(devices, PartitionSpec("games")))


def over_devices(function: Callable[..., Any], cores: int) -> Any:
    """A jitted function whose leading axis, a multiple of the devices, is spread over them."""
    devices = mesh(cores)
    if devices is None:
        return jax.jit(function)
    spread = PartitionSpec("games")
    return jax.jit(
        jax.shard_map(function, mesh=devices, in_specs=spread, out_specs=spread, check_vma=False)
    )

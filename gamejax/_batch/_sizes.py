"""How large a buffer is, and when a smaller one pays."""

import math
import os
from typing import Any

import jax

SMALLEST_BUFFER = 64
"""Compiled programs treat a handful of games otherwise than many, and round otherwise."""
_SMALL_GAME = 32 * 1024
_SHARE_OF_MEMORY = 0.5
# Measured on cores with 1 MiB of second-level cache each; half or twice as much costs a tenth.
_CACHED_BYTES, _CACHED_GAMES = 1024 * 1024, 2048


def smallest_buffer(game_bytes: int) -> int:
    """At least so many games are computed side by side, copies if need be.

    The number depends on the size of one game alone, so that a game's bits depend on nothing else.
    Games of more than 32 KiB need fewer neighbors, and their copies would cost real time.
    """
    return max(2, min(SMALLEST_BUFFER, SMALLEST_BUFFER * _SMALL_GAME // max(game_bytes, 1)))


def ladder(top: int, unit: int) -> list[int]:
    """Halving buffer sizes from `top` games downwards, multiples of `unit`, largest first."""
    sizes = [_round_up(top, unit)]
    while sizes[-1] > unit:
        sizes.append(_round_up(-(-sizes[-1] // 2), unit))
    return sizes


def capacity(
    game_bytes: int, run_bytes: int, unit: int, devices: list[Any], wanted: int | None
) -> int:
    """How many games are on the devices at a time, a multiple of `unit`; `wanted` if it fits.

    On a CPU as many as its caches hold: the work on games that are done before their neighbors is
    least when the buffer is small and refilled. Elsewhere as many as half of the memory holds; a
    game counts once, its solver state three times: before a step, after it, and in between.

    Raises:
        ValueError: not even `unit` games fit; the message says the numbers.
    """
    each, available = max(1, game_bytes + 3 * run_bytes), _memory(devices)
    if unit * each > available:
        raise ValueError(
            f"games of {game_bytes:,} bytes whose solver state has {run_bytes:,} bytes need "
            f"{unit * each:,} bytes for the {unit} that are computed side by side, more than the "
            f"{available:,} bytes of memory here."
        )
    most = int(_SHARE_OF_MEMORY * available) // each
    if wanted is not None:
        most = min(most, _round_up(wanted, unit))
    elif devices[0].platform == "cpu":
        cached = min(_CACHED_GAMES, _CACHED_BYTES // max(1, game_bytes + run_bytes))
        most = min(most, max(cached * len(devices), 2 * unit))
    return max(unit, most // unit * unit)


def choose(
    count: int, current: int, sizes: list[int], cost: dict[int, float], saving: float
) -> int:
    """The buffer size for `count` games that are left, `current` if no smaller one pays.

    Args:
        count: games that still run.
        current: the size in use.
        sizes: the sizes that may be used, largest first.
        cost: seconds until each size can be used: to compile its program, and to move the games.
        saving: seconds that a buffer of no games would save.
    """
    fitting = [size for size in sizes if count <= size < current]
    gains = {size: (1 - size / current) * saving - cost[size] for size in fitting}
    best = max(fitting, key=lambda size: gains[size], default=current)
    return best if best != current and gains[best] > 0 else current


def _round_up(number: int, unit: int) -> int:
    return max(1, math.ceil(number / unit)) * unit


def _memory(devices: list[Any]) -> int:
    """Bytes that these devices have together."""
    total = 0
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for device in devices:
        stats = device.memory_stats() if device.platform != "cpu" else None
        # Devices of a CPU share its memory.
        total += (stats or {}).get("bytes_limit", host // max(1, jax.local_device_count("cpu")))
    return total

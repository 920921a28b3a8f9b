"""The C programs that gamejax is compared with: compiled where gcc is, loaded with ctypes."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np

SOURCES = Path(__file__).parent / "c"
FLAGS = ("-Ofast", "-march=native", "-std=gnu11", "-fPIC")
# Linked apart: with -Ofast gcc adds start-up code that flushes the whole process's subnormals to 0.
LINK = ("-shared", "-lmvec", "-lm")
LEARNERS = {"Hedge": 0, "RM+": 1, "PRM+": 2}


def _cpu() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")


def available() -> bool:
    """Whether there is a compiler; without one the rows of C are left out."""
    return shutil.which("gcc") is not None


def self_play(
    payoffs: np.ndarray,
    learner: Literal["Hedge", "RM+", "PRM+"],
    steps: int,
    *,
    alternating: bool = False,
    power: int = 0,
    learning_rate: float = 0.1,
    check_every: int | None = None,
    tol: float = -1.0,
    cores: int = 1,
) -> np.ndarray:
    """Averages of self-play in zero-sum games, weight t^power, shape `(games, 2, n)`.

    Args:
        payoffs: `(games, n, n)`, float32 or float64, `n` below 8 or a multiple of it.
        learner: `"Hedge"` has a fixed rate; all start at uniform play.
        steps: rounds.
        alternating: whether the second player sees the move that the first just made.
        power: of the weights of the average, 0, 1 or 2.
        learning_rate: of Hedge.
        check_every: look at the certificates after each so many steps; default only at the end.
        tol: games that stand side by side stop once all have a duality gap of at most this.
        cores: threads, one part of the games each.
    """
    games, n, columns = payoffs.shape
    if n != columns or (n > 8 and n % 8):
        raise ValueError(f"payoffs must be square, below 8 or a multiple of 8, got {n}x{columns}.")
    if payoffs.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"payoffs must be float32 or float64, got {payoffs.dtype}.")
    real = "float" if payoffs.dtype == np.float32 else "double"
    definitions = (f"-DN={n}", f"-DREAL={real}", f"-DLEARNER={LEARNERS[learner]}")
    library = load("self_play", definitions)
    lanes = library.lanes()
    filled = np.resize(payoffs, (-(-games // lanes) * lanes, n, n))
    averages = np.empty((len(filled), 2, n), payoffs.dtype)

    def part(first: int, last: int) -> None:
        library.self_play(
            filled[first:].ctypes.data_as(ctypes.c_void_p),
            averages[first:].ctypes.data_as(ctypes.c_void_p),
            ctypes.c_long(last - first),
            ctypes.c_long(steps),
            ctypes.c_int(alternating),
            ctypes.c_int(power),
            ctypes.c_double(learning_rate),
            ctypes.c_long(check_every or max(1, steps)),
            ctypes.c_double(tol),
        )

    in_threads(part, len(filled), cores, lanes)
    return averages[:games]


def simplex(payoffs: np.ndarray, *, cores: int = 1, most: int = 10**6) -> tuple[np.ndarray, int]:
    """Equilibria of zero-sum games, shape `(games, 2, n)`, and the number of pivots in all.

    Args:
        payoffs: `(games, n, n)`, float64.
        cores: threads, one part of the games each.
        most: pivots of one game.
    """
    games, n, _ = payoffs.shape
    library = load("simplex", (f"-DN={n}",))
    library.simplex.restype = ctypes.c_long
    payoffs = np.ascontiguousarray(payoffs, np.float64)
    profiles, pivots = np.empty((games, 2, n)), []

    def part(first: int, last: int) -> None:
        done = library.simplex(
            payoffs[first:].ctypes.data_as(ctypes.c_void_p),
            profiles[first:].ctypes.data_as(ctypes.c_void_p),
            ctypes.c_long(last - first),
            ctypes.c_long(most),
        )
        pivots.append(done)

    in_threads(part, games, cores)
    return profiles, sum(pivots)


def in_threads(part: Callable[[int, int], None], size: int, cores: int, unit: int = 1) -> None:
    """`part(first, last)` for one stretch of `range(size)` per core; ctypes frees the lock."""
    ends = [size * k // cores // unit * unit for k in range(cores)] + [size]
    if cores == 1:
        return part(0, size)
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(part, ends[:-1], ends[1:]))
    return None


@functools.cache
def load(name: str, definitions: tuple[str, ...] = ()) -> ctypes.CDLL:
    """`c/<name>.c` compiled with these definitions, kept between runs.

    Raises:
        FileNotFoundError: there is no gcc.
    """
    source = SOURCES / f"{name}.c"
    command = ["gcc", *FLAGS, *definitions, "-c", str(source)]
    text = source.read_text() + " ".join((*command, *LINK)) + _cpu()
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gamejax-benchmarks"
    target = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            unit, library = f"{made}/{name}.o", f"{made}/{name}.so"
            subprocess.run([*command, "-o", unit], check=True)
            subprocess.run(["gcc", unit, *LINK, "-o", library], check=True)
            os.replace(library, target)
    return ctypes.CDLL(str(target))

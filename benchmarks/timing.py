"""The one timer: first call and later calls apart, with what they ran on and what they held."""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("gamejax", "jax", "jaxlib", "numpy", "numba", "mabwiser", "SMPyBandits")


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long a call takes.

    Attributes:
        compile_s: the first call minus the median of the later ones: tracing and compiling.
        min_s, median_s: of the later calls.
        calls: how many later calls were timed.
        peak_mb: the most memory of the process or the accelerator while they ran; None: unknown.
        result: what the last call returned.
    """

    compile_s: float
    min_s: float
    median_s: float
    calls: int
    peak_mb: float | None
    result: Any

    def row(self) -> dict[str, Any]:
        """The numbers, for a row of a report."""
        numbers = {k: v for k, v in vars(self).items() if k != "result"}
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in numbers.items()}


def measure(
    call: Callable[[], Any], *, min_calls: int = 3, max_calls: int = 20, budget_s: float = 2.0
) -> Timing:
    """Time a call: once cold, then at least `min_calls` times, more while `budget_s` lasts.

    The cold call is the warm-up. JAX results are waited for; what the call needs should be on the
    device already.

    Args:
        call: takes nothing, returns the result.
        min_calls: how many calls to time at least.
        max_calls: how many at most.
        budget_s: no further calls after so many seconds.
    """

    def once() -> tuple[float, Any]:
        begin = time.perf_counter()
        result = jax.block_until_ready(call())
        return time.perf_counter() - begin, result

    first, result = once()
    _forget_peak()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < min_calls or (
        len(times) < max_calls and time.perf_counter() - begin < budget_s
    ):
        seconds, result = once()
        times.append(seconds)
    median = statistics.median(times)
    compile_s = max(0.0, first - median)
    return Timing(compile_s, min(times), median, len(times), _peak_mb(), result)


def environment() -> dict[str, Any]:
    """What the measurements ran on: commit, device, cores, versions, date, load."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    device = jax.devices()[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "device": f"{device.platform}: {device.device_kind}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **versions,
    }


def _commit() -> str:
    """The commit, with `+` where the working tree differs from it."""
    here = Path(__file__).parent
    try:
        head = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
        status = ["git", "-C", str(here), "status", "--porcelain"]
        name = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")


def _cpu() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor()


def _forget_peak() -> None:
    """Start the process's peak memory anew, where the system lets us."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float | None:
    stats = jax.devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return round(stats["peak_bytes_in_use"] / 2**20, 1)
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return round(int(found[1]) / 1024, 1)
    return None

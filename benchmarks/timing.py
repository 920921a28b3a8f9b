"""The one timer: first call and later calls apart, rivals in turn, what they ran on and held."""

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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("gamejax", "jax", "jaxlib", "numpy", "numba", "mabwiser", "SMPyBandits")
Call = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long a call takes.

    Attributes:
        compile_s: what the first call took beyond the median of the later ones (tracing,
            compiling); where a cheap warm-up was given, what that took.
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
        return {key: value for key, value in vars(self).items() if key != "result"}


def measure(
    call: Call,
    *,
    warm_up: Call | None = None,
    budget_s: float = 3.0,
    max_calls: int = 20,
) -> Timing:
    """Time a call: once cold, then again while the budget lasts.

    JAX results are waited for; what the call needs should be on the device already.

    Args:
        call: takes nothing, returns the result.
        warm_up: a cheaper call that compiles the same code, where one cold call costs too much.
        budget_s: no further calls after so many seconds; a longer call is timed once.
        max_calls: how many calls to time at most.
    """
    warm_ups = {} if warm_up is None else {"": warm_up}
    return compare({"": call}, warm_ups=warm_ups, budget_s=budget_s, max_calls=max_calls)[""]


def compare(
    calls: Mapping[str, Call],
    *,
    warm_ups: Mapping[str, Call] | None = None,
    budget_s: float = 3.0,
    max_calls: int = 20,
) -> dict[str, Timing]:
    """Time several calls in turn, so that what else the machine does falls on all of them.

    Args:
        calls: by name.
        warm_ups: by name, cheaper calls that compile the same code.
        budget_s: of each call; it drops out once its calls took so long together.
        max_calls: how many times each is timed at most.
    """
    cold: dict[str, float] = {}
    times: dict[str, list[float]] = {name: [] for name in calls}
    peaks: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, Any] = {}
    for name, call in calls.items():
        cold[name], results[name] = _once((warm_ups or {}).get(name, call))
    going = list(calls)
    while going:
        for name in going:
            _forget_peak()
            seconds, results[name] = _once(calls[name])
            times[name].append(seconds)
            peaks[name] += [] if (peak := _peak_mb()) is None else [peak]
        going = [n for n in going if len(times[n]) < max_calls and sum(times[n]) < budget_s]
    found = {}
    for name, seconds in times.items():
        median = statistics.median(seconds)
        compiling = cold[name] if name in (warm_ups or {}) else max(0.0, cold[name] - median)
        peak = max(peaks[name], default=None)
        found[name] = Timing(compiling, min(seconds), median, len(seconds), peak, results[name])
    return found


def _once(call: Call) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - begin, result


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

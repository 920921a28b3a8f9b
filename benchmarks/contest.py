"""Rivals with the same task: timed in turn, certified by the same function, compared."""

import dataclasses
import importlib.metadata
import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import roofline, timing

SLACK = 1.001
"""A certificate within a tolerance in float32 may be this much above it in float64."""


@dataclasses.dataclass(frozen=True)
class Rival:
    """One way to do a task.

    Attributes:
        name: as it stands in the report.
        call: does the work, taking nothing; `None` where it cannot (the note says why).
        amount: how much work a call does, in units such as games.
        answer: of the result of `call`, what the task's certificate takes; `None`: nothing.
        games: how many games, the first ones of the task, that answer is about.
        ours: whether it is gamejax's.
        dtype: what it computes in.
        version: of the package.
        flops: multiplications and additions of a call, also as a function of its result.
        warm_up: a cheaper call that compiles the same code.
        compile_s: what compiling took, where it was done before.
        tol: where its tolerance is not that of the race.
        note: what a reader must know.
    """

    name: str
    call: Callable[[], Any] | None = None
    amount: float = 1.0
    answer: Callable[[Any], np.ndarray] | None = np.asarray
    games: int | None = None
    ours: bool = False
    dtype: str = "float64"
    version: str | None = None
    flops: float | Callable[[Any], float] | None = None
    warm_up: Callable[[], Any] | None = None
    compile_s: float | None = None
    tol: float | None = None
    note: str | None = None


def race(
    facts: dict[str, Any],
    rivals: Sequence[Rival],
    certify: Callable[[np.ndarray], np.ndarray] | None,
    *,
    tol: float | None,
    cores: int,
    budget_s: float,
    max_calls: int = 20,
) -> list[dict[str, Any]]:
    """One row per rival.

    Rows have `per_s` (units of work per second), `certificate` (the worst one of all games),
    `within` (the share of games whose certificate is at most `tol`), `x_ours` (how many times
    the speed of gamejax's fastest entry that solves at least as large a share), `roofline`
    (operations per second as a share of what the cores can do) and the timer's numbers.

    Args:
        facts: what all rows share: the question's parameters.
        rivals: who takes part.
        certify: certificates in payoff units, one per game, of an answer about the first games.
        tol: what they should not exceed.
        cores: how many the rivals use.
        budget_s: seconds for the calls of each.
        max_calls: how often each is called at most.
    """
    able = {rival.name: rival for rival in rivals if rival.call is not None}
    timings = timing.compare(
        {name: rival.call for name, rival in able.items() if rival.call is not None},
        warm_ups={n: rival.warm_up for n, rival in able.items() if rival.warm_up is not None},
        budget_s=budget_s,
        max_calls=max_calls,
    )
    rows = []
    for rival in rivals:
        row: dict[str, Any] = {
            **facts,
            "tol": rival.tol or tol,
            "implementation": rival.name,
            "version": rival.version,
        }
        row |= {"ours": rival.ours, "dtype": rival.dtype, "cores": cores}
        if rival.call is not None:
            row |= _measured(rival, timings[rival.name], certify, row["tol"], cores)
        rows.append(row | {"note": rival.note})
    return compared(rows)


def _measured(
    rival: Rival,
    found: timing.Timing,
    certify: Callable[[np.ndarray], np.ndarray] | None,
    tol: float | None,
    cores: int,
) -> dict[str, Any]:
    gaps = None
    if certify is not None and rival.answer is not None:
        gaps = certify(rival.answer(found.result))
    flops = rival.flops(found.result) if callable(rival.flops) else rival.flops
    speed = None if flops is None else flops / found.median_s
    return {
        "per_s": rival.amount / found.median_s,
        # A game without an answer has certificate NaN, which is not within anything.
        "certificate": None if gaps is None else float(np.max(gaps, where=gaps == gaps, initial=0)),
        "within": None if gaps is None or tol is None else float(np.mean(gaps <= tol * SLACK)),
        "x_ours": None,
        "roofline": roofline.share(speed, rival.dtype, cores, rival.ours),
        **found.row(),
        **({} if rival.compile_s is None else {"compile_s": rival.compile_s}),
    }


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Enter `x_ours`, gamejax's best speed over each row's: above 1, gamejax is faster."""
    for row in rows:
        if row.get("per_s") is None:
            continue
        fair = [
            r["per_s"]
            for r in rows
            if r["ours"] and r.get("per_s") and (r["within"] or 1) >= min(row["within"] or 1, 0.999)
        ]
        row["x_ours"] = max(fair) / row["per_s"] if fair else None
    return rows


def fastest(rows: Sequence[dict[str, Any]], *, ours: bool | None = None) -> dict[str, Any] | None:
    """The fastest row that solves its task (99.9% of the games); of gamejax's, others' or all."""
    able = [
        row
        for row in rows
        if row.get("per_s") and (row["within"] is None or row["within"] >= 0.999)
    ]
    able = [row for row in able if ours is None or row["ours"] == ours]
    return max(able, key=lambda row: row["per_s"], default=None)


def over(row: dict[str, Any] | None, rival: dict[str, Any] | None) -> float | None:
    """The speed of one row over that of another; `None` where one was not measured."""
    if row is None or rival is None or not row.get("per_s") or not rival.get("per_s"):
        return None
    return row["per_s"] / rival["per_s"]


def missing(modules: Sequence[str]) -> str | None:
    """A note that names the first module which is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            return f"not installed: {module}"
    return None


def version(distribution: str) -> str | None:
    """The version of a package; `None` where it is not installed."""
    if not distribution:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def first_call(call: Callable[[], Any]) -> float:
    """What the first of two calls takes beyond the second: compiling."""
    begin = time.perf_counter()
    jax.block_until_ready(call())
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return max(0.0, first - (time.perf_counter() - begin))


def seconds(call: Callable[[], Any]) -> float:
    """How long the second of two calls takes."""
    call()
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin

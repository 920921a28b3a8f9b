"""The games of one shape: kept on the host, advanced on the devices, a buffer at a time.

Each device runs the program of one device on its share of the buffer. One program for all of them
(`shard_map`) is compiled in another way, by which results differ in the last digit (measured: a
division by a shared denominator became a product); and no device has to wait for another one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gamejax._batch import _sizes
from gamejax._batch._layout import Layout
from gamejax._batch._programs import STARTED, UNTOUCHED, Plan, Run, Statics, first, programs
from gamejax._batch._turns import must_be_alone
from gamejax._loop import Certify, Progress
from gamejax._numerics import require_memory
from gamejax._solution import RESULTS
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver

ROUND_SECONDS = 0.2
"""A round lasts about this long, or one block: what progress and Ctrl-C wait for."""


REFILL = 0.625
"""Games that wait get in as soon as at most this part of the buffer still runs."""


class Task(NamedTuple):
    """What `solve_batch` was asked to do with every game."""

    gap: Certify | None
    tol: float
    max_steps: int
    check_every: int
    key: Any
    chunk_size: int | None


class Shard(NamedTuple):
    """What one device holds: runs, games, and the indices of these."""

    runs: list[Any]
    games: list[Any]
    index: Any


class Buffer(NamedTuple):
    """Games on the devices.

    Attributes:
        rows: which games of the pool they are.
        places: where in the buffer each of them stands; the rest are copies.
        size: how many games are computed, copies included.
        shards: the parts of the buffer, one per device.
    """

    rows: np.ndarray
    places: np.ndarray
    size: int
    shards: list[Shard]


class Kind(NamedTuple):
    """What is known about a kind of game and solver since it was first met.

    Attributes:
        shapes: the leaves of one game's run.
        layout: what tree they make.
        compile_seconds: what `advance` took to compile, by number of devices and buffer size.
    """

    shapes: list[Any]
    layout: Layout
    compile_seconds: dict[tuple[int, int], float]


_KINDS: dict[Any, Kind] = {}


class Pool:
    """Stacked games of one shape, and what became of each so far.

    Args:
        games: the stacked games.
        index: their places in the caller's order, which choose their random keys.
        solver: the solver of all of them.
        task: what to do with each.
        devices: the devices to use, all of this process; default one.
        profiles: stacked profiles to start from, or `None`.
    """

    def __init__(
        self,
        games: AbstractGame,
        index: np.ndarray,
        solver: AbstractSolver,
        task: Task,
        devices: Sequence[Any] = (),
        profiles: Any = None,
    ):
        layout = Layout.of(games)
        self.games, self.index, self.solver, self.task = layout.pack(games), index, solver, task
        self.profiles, self.devices = profiles, list(devices) or [jax.local_devices()[0]]
        kind = _kind(Statics(layout, None, task.gap), self.games, profiles, solver, task.key)
        self.statics = Statics(layout, kind.layout, task.gap)
        self.layout, self.compile_seconds = kind.layout, kind.compile_seconds
        count, num_devices = len(index), len(self.devices)
        game_bytes = sum(_bytes(x.shape[1:], x.dtype) for x in self.games)
        self.in_turns: bool | None = None
        run_bytes = sum(_bytes(x.shape, x.dtype) for x in kind.shapes)
        require_memory(count * run_bytes, f"The solver state of {count:,} games")
        unit = _sizes.smallest_buffer(game_bytes) * num_devices
        most = _sizes.capacity(game_bytes, run_bytes, unit, self.devices, task.chunk_size)
        self.sizes = _sizes.ladder(min(count, most), unit)
        self.runs = [np.zeros((count, *x.shape), x.dtype) for x in kind.shapes]
        self.running, self.gaps = np.ones(count, bool), np.full(count, np.inf)
        self.checks = np.full(count, UNTOUCHED, np.int32)
        self.runs[-1][:] = UNTOUCHED  # the same numbers, as they are saved
        self.buffer: Buffer | None = None
        self.seconds_per_block, self.move_seconds = 0.0, 0.0
        self.whole, self.rest = divmod(task.max_steps, task.check_every)

    @property
    def unfinished(self) -> np.ndarray:
        """Which games still run and have steps left, shape `(games,)`."""
        return self.running & (self.checks < self.whole + (self.rest > 0))

    @property
    def run(self) -> Run:
        """The runs on the host as a tree."""
        return self.layout.unpack(self.runs)

    def go_on(self, state: Any, steps: Any) -> None:
        """Start from the stacked solver states of earlier solutions.

        Raises:
            ValueError: they are states of another solver, kind or size of game.
        """
        fresh, count = self.run, len(self.index)
        if jax.tree.structure(fresh.progress.state) != jax.tree.structure(state):
            raise ValueError(
                "init holds Solutions of another solver or another kind of game; pass their "
                "profiles (solution.profile) to start from them."
            )
        running = jax.tree.map(lambda x: np.full(count, np.asarray(x)), RESULTS.running)
        infinite = jnp.full_like(fresh.progress.gap, jnp.inf)
        progress = Progress(state, steps, infinite, running)
        given = self.layout.pack(Run(progress, jnp.full_like(fresh.checks, STARTED)))
        for own, leaf in zip(self.runs, given, strict=True):
            if own.shape != leaf.shape or own.dtype != leaf.dtype:
                raise ValueError(
                    f"init holds a solver state of shape {leaf.shape} and type {leaf.dtype} where "
                    f"{own.shape} and {own.dtype} are needed; pass the profiles of the solutions "
                    "to start from them (games of a list are padded to sizes that depend on the "
                    "whole list)."
                )
        self.runs = [np.array(x) for x in given]
        self.checks[:] = STARTED

    def restore(self, runs: list[np.ndarray]) -> None:
        """Go on from what `runs` was when a checkpoint was written."""
        self.runs = [np.array(x) for x in runs]
        run = self.run
        self.checks = np.array(run.checks)
        self.gaps = np.where(self.checks >= 0, np.asarray(run.progress.gap, float), np.inf)
        # No numbers were written yet for games that were not touched.
        self.running = np.array(run.progress.result == RESULTS.running) | (self.checks < 0)

    def rounds(self) -> Iterator[None]:
        """Advance all games to their end; yields after every round."""
        self._start()
        size = self.sizes[0]
        while (rows := np.flatnonzero(self.unfinished)).size:
            # Those that came furthest first, so that few are left when the buffer gets smaller.
            rows = rows[np.argsort(-self.checks[rows], kind="stable")]
            size = self._smaller(len(rows), size)
            self._load(rows[:size], size)
            yield from self._advance(waiting=len(rows) > size)
            self.store()
            self.buffer = None

    def store(self) -> None:
        """Copy what is on the devices back to the host."""
        if self.buffer is None:
            return
        rows, places, _, shards = self.buffer
        parts = jax.device_get([shard.runs for shard in shards])
        for home, *leaves in zip(self.runs, *parts, strict=True):
            home[rows] = np.concatenate(leaves)[places]

    def conclude(self) -> Any:
        """Profile, gap, result and statistics of all games, as arrays of the host."""
        parts, shared = [], (self.solver, self.task.tol)
        for _, padded in self._chunks(np.arange(len(self.index))):
            runs = self._put([x[padded] for x in self.runs])
            games, _ = self._batch(padded)
            out = programs().finish((runs, games), shared, statics=self.statics)
            parts.append(jax.device_get(out))
        count = len(self.index)
        return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)

    def _start(self) -> None:
        shared = self.solver, self.task.key
        for rows, padded in self._chunks(np.flatnonzero(self.checks == UNTOUCHED)):
            profiles = jax.tree.map(lambda x, at=padded: np.asarray(x)[at], self.profiles)
            batch = *self._batch(padded), self._put(profiles)
            runs = jax.device_get(programs().start(batch, shared, statics=self.statics))
            for home, leaf in zip(self.runs, runs, strict=True):
                home[rows] = leaf[: len(rows)]
            self.checks[rows] = STARTED

    def _chunks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows in parts that fit one device, without and with copies to fill it."""
        size = self.sizes[0] // len(self.devices)
        for begin in range(0, len(rows), size):
            part = rows[begin : begin + size]
            yield part, np.concatenate([part, np.full(size - len(part), part[0])])

    def _load(self, rows: np.ndarray, size: int) -> None:
        begin, num_devices = time.perf_counter(), len(self.devices)
        # Games are dealt to the devices in turn, so that these stay equally full.
        order = np.arange(size).reshape(-1, num_devices).T.ravel()
        places, copies = np.argsort(order)[: len(rows)], order >= len(rows)
        picked = rows[np.where(copies, 0, order)]
        shards = []
        for device, part, spare in zip(
            self.devices, *(np.split(x, num_devices) for x in (picked, copies)), strict=True
        ):
            runs = [x[part] for x in self.runs]
            runs[-1][spare] = np.iinfo(np.int32).max  # the number of checks; so copies do not move
            shards.append(Shard(self._put(runs, device), *self._batch(part, device)))
        self.buffer = Buffer(rows, places, size, shards)
        jax.block_until_ready(shards)
        self.move_seconds = 2 * (time.perf_counter() - begin)
        if (num_devices, size) not in self.compile_seconds:
            begin = time.perf_counter()
            self._call(Plan(0, 0, 0, 0))
            self.compile_seconds[num_devices, size] = time.perf_counter() - begin

    def _advance(self, *, waiting: bool) -> Iterator[None]:
        """Rounds with the buffer as it is, until another one would be better."""
        assert self.buffer is not None
        rows, size, blocks = self.buffer.rows, self.buffer.size, 1
        while alive := int(self.unfinished[rows].sum()):
            if (waiting and alive <= REFILL * size) or self._smaller(alive, size) < size:
                return
            plan = self._plan(rows, blocks, self._enough(size, waiting=waiting))
            before, begin = self.checks[rows], time.perf_counter()
            self._call(plan)
            seconds = time.perf_counter() - begin
            done = max(1, int((self.checks[rows] - before).max()))
            self.seconds_per_block = seconds / done
            blocks = min(2 * done, max(1, int(ROUND_SECONDS / self.seconds_per_block)))
            yield

    def _plan(self, rows: np.ndarray, blocks: int, stop_at: int) -> Plan:
        """The first certificates, whole blocks, or the steps that remain after them."""
        checks = self.checks[rows][self.unfinished[rows]]
        if checks.min() < 0:
            return Plan(0, 0, 1, 0)
        if checks.min() >= self.whole:
            return Plan(self.rest, self.whole + 1, 1, 0)
        # A game that waits for the remaining steps would count as one that stopped.
        together = checks.max() < self.whole
        return Plan(self.task.check_every, self.whole, blocks, stop_at if together else 0)

    def _call(self, plan: Plan) -> None:
        """One call of the device program on every device."""
        assert self.buffer is not None
        rows, places, size, shards = self.buffer
        each = size // len(shards)
        moving = np.zeros(size, bool)
        moving[places] = self.unfinished[rows]

        def arguments(i: int) -> tuple[Any, ...]:
            # No device comes back with nothing done.
            stop_at = min(plan.stop_at // len(shards), moving[i * each :][:each].sum() - 1)
            own = Plan(*map(np.int32, plan._replace(stop_at=max(0, stop_at))))
            shared = self.solver, self.task.key, self.task.tol, own
            return shards[i].runs, (shards[i].games, shards[i].index), shared

        def run(i: int) -> tuple[list[Any], Any]:
            runs, report = programs().advance(*arguments(i), statics=self.statics)
            return runs, jax.device_get(report)

        if self.in_turns is None:
            several = len(shards) > 1 and self.devices[0].platform == "cpu"
            self.in_turns = several and must_be_alone(
                programs().advance.trace(*arguments(0), statics=self.statics).jaxpr
            )
        # The first call may trace the program; only then are the others quick to compile it too.
        done = [run(0)] if plan.blocks == 0 else []
        done += _every(run, range(len(done), len(shards)), at_once=not self.in_turns)
        fresh = [shard._replace(runs=runs) for shard, (runs, _) in zip(shards, done, strict=True)]
        self.buffer = self.buffer._replace(shards=fresh)
        reports = zip(*(report for _, report in done), strict=True)
        running, checks, gaps = (np.concatenate(x)[places] for x in reports)
        self.running[rows], self.checks[rows], self.gaps[rows] = running, checks, gaps

    def _enough(self, size: int, *, waiting: bool) -> int:
        """With so many unfinished games left, another buffer would be better than this one."""
        if waiting:
            return int(REFILL * size)
        half = next((s for s in self.sizes if s < size), 0)
        return half if half and self._smaller(half, size) < size else 0

    def _smaller(self, count: int, current: int) -> int:
        """The buffer size for `count` unfinished games: `current`, or a smaller one that pays."""
        moving = self.checks[self.unfinished]
        taken = max(0, int(moving.max(initial=0)))
        # As many blocks are expected to come as went by, the best guess without knowing more.
        saving = self.seconds_per_block * min(taken, self.whole - taken)
        known = {s: t for (n, s), t in self.compile_seconds.items() if n == len(self.devices)}
        guess = max(known.values(), default=0.0)
        cost = {s: known.get(s, guess) + self.move_seconds for s in self.sizes}
        return _sizes.choose(count, current, self.sizes, cost, saving)

    def _batch(self, rows: np.ndarray, device: Any = None) -> tuple[list[Any], Any]:
        """The games of these rows and their indices, on a device."""
        index = self._put(self.index[rows].astype(np.int32), device)
        if np.array_equal(rows, np.arange(len(self.index))):
            return self._put(self.games, device), index
        return self._put([np.asarray(x)[rows] for x in self.games], device), index

    def _put(self, leaves: Any, device: Any = None) -> Any:
        return jax.device_put(leaves, self.devices[0] if device is None else device)


def _every(run: Callable[[int], Any], numbers: range, *, at_once: bool) -> list[Any]:
    """The results for all numbers, in turns or in threads."""
    if len(numbers) < 2 or not at_once:
        return [run(i) for i in numbers]
    with ThreadPoolExecutor(len(numbers)) as threads:
        return list(threads.map(run, numbers))


def _kind(statics: Statics, games: list[Any], profiles: Any, solver: Any, key: Any) -> Kind:
    """Shapes and layout of one game's run, looked up where this kind was met before."""
    mine, start = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), (games, profiles)
    )
    leaves, structure = jax.tree.flatten((mine, start, solver, key))
    known = statics, structure, tuple((np.shape(x), getattr(x, "dtype", type(x))) for x in leaves)
    if known not in _KINDS:
        layouts = []

        def packed(leaves: Any, profile: Any, solver: Any, key: Any) -> list[Any]:
            run = first(statics, solver, key, statics.games.unpack(leaves), np.int32(0), profile)
            layouts.append(Layout.of(run))
            return layouts[0].pack(run)

        shapes = jax.eval_shape(packed, mine, start, solver, key)
        _KINDS[known] = Kind(shapes, layouts[0], {})
    return _KINDS[known]


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize

"""The games of one shape: kept on the host, advanced on the devices, a buffer at a time."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gamejax._batch import _sizes
from gamejax._batch._layout import Layout
from gamejax._batch._programs import STARTED, UNTOUCHED, Plan, Run, Statics, first, programs
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


class Buffer(NamedTuple):
    """Games on the devices.

    Attributes:
        rows: which games of the pool they are.
        places: where in the buffer each of them stands; the rest are copies.
        runs: their runs.
        batch: the games and their indices.
    """

    rows: np.ndarray
    places: np.ndarray
    runs: list[Any]
    batch: tuple[list[Any], Any]

    @property
    def size(self) -> int:
        """How many games are computed, copies included."""
        return self.batch[1].shape[0]


class Kind(NamedTuple):
    """What is known about a kind of game, solver and mesh since it was first met."""

    shapes: list[Any]
    layout: Layout
    compile_seconds: dict[int, float]


_KINDS: dict[Any, Kind] = {}


class Pool:
    """Stacked games of one shape, and what became of each so far.

    Args:
        games: the stacked games.
        index: their places in the caller's order, which choose their random keys.
        solver: the solver of all of them.
        task: what to do with each.
        mesh: the devices to use, all of this process; `None` for the default one.
        profiles: stacked profiles to start from, or `None`.
    """

    def __init__(
        self,
        games: AbstractGame,
        index: np.ndarray,
        solver: AbstractSolver,
        task: Task,
        mesh: Mesh | None = None,
        profiles: Any = None,
    ):
        layout = Layout.of(games)
        self.games, self.index, self.solver, self.task = layout.pack(games), index, solver, task
        self.mesh, self.profiles = mesh, profiles
        kind = _kind(Statics(layout, None, task.gap, mesh), self.games, profiles, solver, task.key)
        self.statics = Statics(layout, kind.layout, task.gap, mesh)
        self.layout, self.compile_seconds = kind.layout, kind.compile_seconds
        count, devices = len(index), _devices(mesh)
        game_bytes = sum(_bytes(x.shape[1:], x.dtype) for x in self.games)
        run_bytes = sum(_bytes(x.shape, x.dtype) for x in kind.shapes)
        require_memory(count * run_bytes, f"The solver state of {count:,} games")
        unit = _sizes.smallest_buffer(game_bytes) * len(devices)
        most = _sizes.capacity(game_bytes, run_bytes, unit, devices)
        if task.chunk_size is not None:
            most = min(most, -(-task.chunk_size // unit) * unit)
        self.sizes, self.num_shards = _sizes.ladder(min(count, most), unit), len(devices)
        self.runs = [np.zeros((count, *x.shape), x.dtype) for x in kind.shapes]
        self.running, self.gaps = np.ones(count, bool), np.full(count, np.inf)
        self.checks = np.full(count, UNTOUCHED, np.int32)
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
        rows, places, runs, _ = self.buffer
        for home, leaf in zip(self.runs, jax.device_get(runs), strict=True):
            home[rows] = leaf[places]

    def conclude(self) -> Any:
        """Profile, gap, result and statistics of all games, as arrays of the host."""
        size, parts = self.sizes[0], []
        for begin in range(0, len(self.index), size):
            rows = np.arange(begin, min(begin + size, len(self.index)))
            picked, places = self._places(len(rows), size)
            runs = self._put([x[rows[picked]] for x in self.runs])
            games, _ = self._batch(rows[picked])
            shared = self.solver, self.task.tol
            out = programs().finish((runs, games), shared, statics=self.statics)
            parts.append(jax.tree.map(lambda x, at=places: np.asarray(x)[at], out))
        return jax.tree.map(lambda *x: np.concatenate(x), *parts) if len(parts) > 1 else parts[0]

    def _start(self) -> None:
        rows, size = np.flatnonzero(self.checks == UNTOUCHED), self.sizes[0]
        for begin in range(0, len(rows), size):
            some = rows[begin : begin + size]
            picked, places = self._places(len(some), size)
            games, index = self._batch(some[picked])
            profiles = jax.tree.map(lambda x, at=some[picked]: np.asarray(x)[at], self.profiles)
            batch, shared = (games, index, self._put(profiles)), (self.solver, self.task.key)
            runs = programs().start(batch, shared, statics=self.statics)
            self.buffer = Buffer(some, places, runs, (games, index))
            self.store()
            self.buffer, self.checks[some] = None, STARTED

    def _load(self, rows: np.ndarray, size: int) -> None:
        begin = time.perf_counter()
        picked, places = self._places(len(rows), size)
        runs = [x[rows[picked]] for x in self.runs]
        copies = np.ones(size, bool)
        copies[places] = False
        runs[-1][copies] = np.iinfo(np.int32).max  # the number of checks; so copies do not move
        self.buffer = Buffer(rows, places, self._put(runs), self._batch(rows[picked]))
        jax.block_until_ready(self.buffer.runs)
        self.move_seconds = 2 * (time.perf_counter() - begin)
        if size not in self.compile_seconds:
            begin = time.perf_counter()
            self._call(Plan(0, 0, 0, 0))
            self.compile_seconds[size] = time.perf_counter() - begin

    def _advance(self, *, waiting: bool) -> Iterator[None]:
        """Rounds with the buffer as it is, until another one would be better."""
        assert self.buffer is not None
        rows, size, blocks = self.buffer.rows, self.buffer.size, 1
        while alive := int(self.unfinished[rows].sum()):
            if (waiting and alive <= REFILL * size) or self._smaller(alive, size) < size:
                return
            half = next((s for s in self.sizes if s < size), 0)
            early = waiting or (half and self._smaller(half, size) < size)
            plan = self._plan(rows, blocks, (int(REFILL * size) if waiting else half) if early else 0)
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
        # Only the host sees all shards, and a game at its limit would count as one that stopped.
        together = self.num_shards == 1 and checks.max() < self.whole
        return Plan(self.task.check_every, self.whole, blocks, stop_at if together else 0)

    def _call(self, plan: Plan) -> None:
        assert self.buffer is not None
        rows, places, runs, batch = self.buffer
        plan = Plan(*(np.int32(x) for x in plan))
        shared = self.solver, self.task.key, self.task.tol, plan
        runs, report = programs().advance(runs, batch, shared, statics=self.statics)
        self.buffer = self.buffer._replace(runs=runs)
        running, checks, gaps = jax.device_get(report)
        self.running[rows], self.checks[rows] = running[places], checks[places]
        self.gaps[rows] = gaps[places]

    def _smaller(self, count: int, current: int) -> int:
        """The buffer size for `count` unfinished games: `current`, or a smaller one that pays."""
        moving = self.checks[self.unfinished]
        taken = max(0, int(moving.max(initial=0)))
        # As many blocks are expected to come as went by, the best guess without knowing more.
        saving = self.seconds_per_block * min(taken, self.whole - taken)
        guess = max(self.compile_seconds.values(), default=0.0)
        cost = {s: self.compile_seconds.get(s, guess) + self.move_seconds for s in self.sizes}
        return _sizes.choose(count, current, self.sizes, cost, saving)

    def _places(self, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of `count` games stands at each place of a buffer, and where each of them stands.

        Games are dealt to the shards in turn, so that these stay equally full.
        """
        order = np.arange(size).reshape(-1, self.num_shards).T.ravel()
        return np.where(order < count, order, 0), np.argsort(order)[:count]

    def _batch(self, rows: np.ndarray) -> tuple[list[Any], Any]:
        """The games of these rows and their indices, on the devices."""
        index = self.index[rows].astype(np.int32)
        if np.array_equal(rows, np.arange(len(self.index))):
            return self._put(self.games), self._put(index)
        return self._put([np.asarray(x)[rows] for x in self.games]), self._put(index)

    def _put(self, leaves: Any) -> Any:
        if self.mesh is None:
            return jax.device_put(leaves)
        return jax.device_put(leaves, NamedSharding(self.mesh, P(self.mesh.axis_names)))


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


def _devices(mesh: Mesh | None) -> list[Any]:
    return [jax.local_devices()[0]] if mesh is None else list(mesh.devices.flat)


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize

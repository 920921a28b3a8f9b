"""The host loop of a batch: rounds, progress, checkpoints, Ctrl-C."""

import contextlib
from typing import Any

import jax
import numpy as np

from gamejax._batch._checkpoint import Keeper
from gamejax._batch._crew import Crew
from gamejax._batch._meter import Meter, interruption
from gamejax._batch._pool import Pool, Task
from gamejax._batch._work import Work
from gamejax._solution import Solution


def make_pools(works: list[Work], task: Task, crew: Crew) -> list[Pool]:
    """This process's share of every stack."""
    pools = []
    for bucket, solver, profiles, previous in works:
        count = len(bucket.order)
        rows = crew.share(count)

        def mine(tree: Any, rows: np.ndarray = rows, everything: bool = crew.size == 1) -> Any:
            return tree if everything else jax.tree.map(lambda x: x[rows], tree)

        games, index, profiles, previous = mine((bucket.games, bucket.order, profiles, previous))
        pool = Pool(games, index, solver, task, crew.devices, profiles)
        if previous is not None:
            pool.go_on(*previous)
        pools.append(pool)
    return pools


def drive(pools: list[Pool], crew: Crew, keeper: Keeper | None, progress: bool) -> None:
    """Advance all games of all pools to their end.

    Raises:
        ValueError: the checkpoint belongs to another run, or is damaged.
        ImportError: what the progress bar or the checkpoint needs is not installed.
        KeyboardInterrupt: Ctrl-C, after the work was saved.
    """
    saved = None if keeper is None else keeper.load([pool.runs for pool in pools])
    for pool, runs in zip(pools, saved or (), strict=saved is not None):
        pool.restore(runs)
    total = sum(len(pool.index) for pool in pools)
    meter = Meter(total, _done(pools)) if progress and crew.rank == 0 else None
    with meter or contextlib.nullcontext(), interruption() as ctrl_c:

        def save() -> None:
            assert keeper is not None
            for pool in pools:
                pool.store()
            keeper.save([pool.runs for pool in pools])

        def pause(*, busy: bool) -> bool:
            """What happens between rounds; whether anybody has more to do."""
            due = keeper is not None and keeper.due
            # All processes come here equally often, and do the same.
            said = crew.meet(busy, ctrl_c.came, due)
            if meter is not None:
                meter.show(_done(pools), np.concatenate([pool.gaps for pool in pools]))
            stop = said[:, 1].any()
            if keeper is not None and (stop or said[0, 2]):
                save()
            if stop:
                raise KeyboardInterrupt
            return bool(said[:, 0].any())

        for pool in pools:
            for _ in pool.rounds():
                pause(busy=True)
        while pause(busy=False):
            pass
        if keeper is not None:
            save()


def collect(pools: list[Pool], works: list[Work], crew: Crew) -> list[Solution]:
    """The stacked solutions of every pool, as arrays of the host."""
    solutions = []
    for pool, work in zip(pools, works, strict=True):
        parts = (*pool.conclude(), pool.runs)
        profile, gap, result, stats, runs = crew.gather(parts, len(work.bucket.order))
        state = pool.layout.unpack(runs).progress.state
        solutions.append(Solution(profile, gap, result, stats, state))
    return solutions


def _done(pools: list[Pool]) -> int:
    return sum(len(pool.index) - int(pool.unfinished.sum()) for pool in pools)

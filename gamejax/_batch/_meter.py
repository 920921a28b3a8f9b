"""What people see while a batch runs, and how they stop it."""

import contextlib
import signal
import threading
import time
from collections.abc import Generator
from typing import Any

import numpy as np


class Interruption:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.came = False


@contextlib.contextmanager
def interruption() -> Generator[Interruption]:
    """Ctrl-C waits for the end of a round, so that a checkpoint can be written; twice it does not.

    Outside the main thread, or where the program has its own handler, nothing is changed.
    """
    state = Interruption()
    usual = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or usual is not signal.default_int_handler:
        yield state
        return

    def remember(*_: Any) -> None:
        state.came = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, remember)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Meter:
    """A progress bar: games done, median and worst gap so far, games per second.

    Args:
        total: how many games there are.
        done: how many were done before, which is no merit of this run.
    """

    def __init__(self, total: int, done: int):
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        except ImportError as error:
            raise ImportError(
                f"progress=True needs {error.name}: install it with pip install 'gamejax[cli]'."
            ) from error
        self.total, self.before, self.begin = total, done, time.perf_counter()
        self.bar = Progress(
            TextColumn("{task.completed:,.0f}/{task.total:,} games"),
            BarColumn(),
            TextColumn("gap {task.fields[median]} median, {task.fields[worst]} worst"),
            TextColumn("{task.fields[rate]} games/s"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task("", total=total, median="?", worst="?", rate="?")

    def __enter__(self) -> "Meter":
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.stop()

    def show(self, done: int, gaps: np.ndarray) -> None:
        """How things stand: games that are done, and the certificates of those at hand."""
        rate = (done - self.before) / max(time.perf_counter() - self.begin, 1e-9)
        self.bar.update(
            self.task,
            completed=done,
            median=f"{np.median(gaps):.1e}",
            worst=f"{np.max(gaps):.1e}",
            rate=f"{rate:,.0f}",
        )

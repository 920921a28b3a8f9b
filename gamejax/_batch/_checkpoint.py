"""Checkpoints: what a killed run needs in order to end with the same bits."""

import dataclasses
import json
import os
import time
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import equinox as eqx
import numpy as np

from gamejax._batch._crew import Crew
from gamejax._batch._orbax import Directory

FORMAT = 1
_TRAILER = len(b"crc32 00000000\n")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where and how often `solve_batch` saves its work.

    Args:
        path: a file, written whole or not at all. When the mesh spans several processes, a
            directory that all of them see; writing it needs `pip install 'gamejax[checkpoint]'`.
        every: seconds between two saves. The end of the run, and Ctrl-C, save too.

    Raises:
        ValueError: `every` is negative, or no number.
    """

    path: str | os.PathLike[str]
    every: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.every, int | float) or not self.every >= 0:
            raise ValueError(f"every must be a number of seconds, got {self.every!r}.")


class Keeper:
    """Saves and restores the runs of a batch.

    Args:
        checkpoint: where and how often.
        identity: what the run computes, see `gamejax._batch._identity`.
        counts: how many games each bucket has.
        crew: the processes that share the batch.
    """

    def __init__(
        self, checkpoint: Checkpoint, identity: dict[str, str], counts: list[int], crew: Crew
    ):
        self.path, self.every = Path(checkpoint.path), checkpoint.every
        self.header: dict[str, Any] = {"format": FORMAT, "counts": counts, "identity": identity}
        self.counts, self.crew, self.saved = counts, crew, time.monotonic()
        if crew.size > 1 and self.path.is_file():
            raise ValueError(
                f"checkpoint {self.path} is a file, which one process wrote; several processes "
                "need a directory."
            )
        shared = crew.size > 1 or self.path.is_dir()
        self.directory = Directory(self.path.absolute(), crew) if shared else None

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.saved >= self.every

    def load(self, runs: list[list[np.ndarray]]) -> list[list[np.ndarray]] | None:
        """What was saved, shaped like `runs`; `None` where nothing was saved yet.

        Raises:
            ValueError: it belongs to another run, or is damaged.
        """
        if self.directory is not None:
            header = self.directory.header()
            if header is None:
                return None
            self._check(header)
            whole = self.directory.load(runs, [int(n) for n in header["rows"]])
            shares = [self.crew.share(count) for count in self.counts]
            return [[x[at] for x in own] for own, at in zip(whole, shares, strict=True)]
        return self._load_file(runs) if self.path.exists() else None

    def save(self, runs: list[list[np.ndarray]]) -> None:
        """Write the runs; what was saved before stays until the new state is complete."""
        if self.directory is not None:
            rows = [self.crew.size * len(self.crew.share(count)) for count in self.counts]
            self.directory.save(self.header | {"rows": rows}, runs)
        else:
            self._save_file(runs)
        self.saved = time.monotonic()

    def _save_file(self, runs: list[list[np.ndarray]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("wb") as raw:
            raw.write(json.dumps(self.header).encode() + b"\n")
            file = _Checked(raw)
            eqx.tree_serialise_leaves(file, runs)
            raw.write(f"crc32 {file.crc:08x}\n".encode())
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(partial, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _load_file(self, runs: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        with self.path.open("rb") as raw:
            try:
                header = json.loads(raw.readline())
            except ValueError:
                header = None
            if not isinstance(header, dict) or "identity" not in header:
                raise ValueError(
                    f"checkpoint {self.path} is no checkpoint of gamejax, or damaged; move it away "
                    "to start anew."
                )
            self._check(header)
            begin, end = raw.tell(), self.path.stat().st_size - _TRAILER
            crc = _crc(raw, begin, end)
            if raw.read() != b"crc32 %08x\n" % crc:
                raise ValueError(
                    f"checkpoint {self.path} is damaged: its checksum is wrong or it is cut off; "
                    "move it away to start anew."
                )
            raw.seek(begin)
            return eqx.tree_deserialise_leaves(raw, runs)

    def _check(self, header: dict[str, Any]) -> None:
        if header.get("format") != FORMAT:
            raise ValueError(
                f"checkpoint {self.path} has format {header.get('format')}, this version of "
                f"gamejax reads {FORMAT}."
            )
        there: dict[str, Any] = header["identity"]
        here: dict[str, Any] = self.header["identity"]
        different = [name for name in here if there.get(name) != here[name]]
        if different:
            shown = ", ".join(_difference(name, there.get(name), here[name]) for name in different)
            raise ValueError(
                f"checkpoint {self.path} belongs to another run: {shown}; pass another path, or "
                "move it away to start anew."
            )


class _Checked:
    """A file to write to that computes the checksum of what is written."""

    def __init__(self, file: BinaryIO):
        self.file, self.crc = file, 0

    def write(self, data: Any) -> int:
        self.crc = zlib.crc32(data, self.crc)
        return self.file.write(data)


def _crc(file: BinaryIO, begin: int, end: int) -> int:
    file.seek(begin)
    crc = 0
    while (left := end - file.tell()) > 0 and (data := file.read(min(left, 1 << 20))):
        crc = zlib.crc32(data, crc)
    return crc


def _difference(name: str, there: Any, here: str) -> str:
    if name in ("games", "solver", "gap", "key", "init"):
        return f"{name} differ" + ("" if name == "games" else "s")
    return f"{name} was {there}, now {here}"

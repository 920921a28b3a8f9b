"""Injured game files, for tests that readers refuse what they cannot read."""

import random
import re
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gamejax import games
from gamejax.games import GameFileError


def injure(text: str, nasty: Sequence[str], rng: random.Random) -> str:
    """The text with one random injury."""
    parts = re.split(r"(\s+)", text)
    i, j, at = rng.randrange(len(parts)), rng.randrange(len(parts)), rng.randrange(len(text) + 1)
    word = rng.choice([*nasty, chr(rng.randrange(0xD800))])
    match rng.randrange(7):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + text[at + rng.randint(1, 10) :]
        case 2:
            return text[:at] + word + text[at:]
        case 3:
            parts[i], parts[j] = parts[j], parts[i]
        case 4:
            parts.insert(j, parts[i] * rng.choice([1, 2, 50]))
        case 5:
            del parts[i]
        case _:
            parts[i] = word
    return "".join(parts)


def mutate(text: str, nasty: Sequence[str], rng: random.Random) -> bytes:
    """The text with a few injuries, sometimes also of its encoding."""
    for _ in range(rng.randint(1, 3)):
        text = injure(text, nasty, rng)
    data = bytearray(text.encode())
    if data and rng.random() < 0.1:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def load_mutants(
    texts: Sequence[str],
    nasty: Sequence[str],
    path: Path,
    check: Callable[[Any, bytes], None],
    *,
    count: int,
    seed: int,
) -> tuple[int, int]:
    """How many mutants load to a game that passes `check`, and how many are refused.

    Each in less than five seconds and 20 MB, with one line that says where and why.
    """
    rng = random.Random(seed)
    loaded = refused = 0
    tracemalloc.start()
    for _ in range(count):
        data = mutate(rng.choice(texts), nasty, rng)
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            game = games.load(path)
        except GameFileError as error:
            message = str(error)
            where = re.escape(path.name)
            assert re.fullmatch(rf".*{where}:\d+: expected .+, found .+", message), data
            assert len(message) < 1000, data
            refused += 1
        else:
            check(game, data)
            loaded += 1
        assert time.perf_counter() - start < 5, data
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    return loaded, refused

"""Injured .nfg files either load to a finite game or are refused, quickly and in little memory."""

import random
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gamejax import games
from gamejax.games import GameFileError

ALONE = 'NFG 1 D "Alone" { "x" } { { "a" "b" } } 1/3 -.5\n'
COMMENTED = 'NFG 1 R "t" { "x" "y" } { 2 2 } "a \\"comment\\" { 1 }"\n1 2, 3/4 -4e1\n\n.5 6. 7 8'
FOUR = 'NFG 1 R "Four" { "w" "x" "y" "z" } { 1 2 1 2 }\n' + "1 2 3 4\n" * 4
OUTCOMES = """NFG 1 R "Outcomes" { "x" "y" } { { "up" "down" } { "left" "" "right" } }
"the comment"
{
  { "first" 1, -2.5 }
  { "second \\" quoted" 3/4 1e2 }
}
1 0
2 2
0 1
"""
THREE = 'NFG 1 R "Three" { "x" "y" "z" } { 2 3 2 }\n' + " ".join(map(str, range(36)))
TEXTS = [COMMENTED, THREE, OUTCOMES, ALONE, FOUR, games.dumps(games.loads(OUTCOMES))]
NASTY = [
    "99999999999", "1e999", "nan", "inf", "-inf", "1/0", "0/0", "-", ".", "{", "}", '"', '\\"', "\\",
    "0", "-1", "1_000", "٣", "abc", "\x00", "9" * 5000, "1/" + "9" * 5000, "1e-999999999", "\ufeff",
    "NFG", "EFG", "R", '""', ",", "\r", "{ { } }", "1.5", "3/4", "2", '"x" 1 1',
]  # fmt: skip


def mutate(text: str, rng: random.Random) -> bytes:
    """The text with a few random injuries, as bytes."""
    for _ in range(rng.randint(1, 3)):
        parts = re.split(r"(\s+)", text)
        i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
        kind = rng.randrange(8)
        if kind == 0:
            text = text[: rng.randrange(len(text) + 1)]
            continue
        if kind == 1:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + text[at + rng.randint(1, 10) :]
            continue
        if kind == 2:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice([*NASTY, chr(rng.randrange(0xD800))]) + text[at:]
            continue
        if kind == 3:
            parts[i], parts[j] = parts[j], parts[i]
        elif kind == 4:
            del parts[i]
        elif kind == 5:
            parts.insert(j, parts[i] * rng.choice([1, 1, 2, 50]))
        else:
            parts[i] = rng.choice(NASTY)
        text = "".join(parts)
    data = bytearray(text.encode())
    if data and rng.random() < 0.1:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def load_mutants(count: int, seed: int, path: Path) -> tuple[int, int]:
    rng = random.Random(seed)
    loaded = refused = 0
    tracemalloc.start()
    for _ in range(count):
        data = mutate(rng.choice(TEXTS), rng)
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            game = games.load(path)
        except GameFileError as error:
            assert re.fullmatch(r".*m\.nfg:\d+: expected .+, found .+", str(error)), data
            assert len(str(error)) < 1000, data
            refused += 1
        else:
            assert np.isfinite(game.payoffs).all(), data
            assert game.labels is not None
            assert tuple(len(a) for a in game.labels.actions) == game.payoffs.shape[1:], data
            assert len(game.labels.players) == len(game.payoffs), data
            loaded += 1
        assert time.perf_counter() - start < 5, data
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    return loaded, refused


def test_mutants_load_or_are_refused(tmp_path):
    loaded, refused = load_mutants(500, 0, tmp_path / "m.nfg")
    assert loaded > 20
    assert refused > 200


@pytest.mark.slow
def test_many_mutants_load_or_are_refused(tmp_path):
    load_mutants(10_000, 1, tmp_path / "m.nfg")

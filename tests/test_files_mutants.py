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
    "99999999999", "1e999", "nan", "inf", "-inf", "1/0", "0/0", "-", ".", "{", "}", '"', '\\"',
    "0", "-1", "1_000", "٣", "abc", "\x00", "9" * 5000, "1/" + "9" * 5000, "1e-999999999", "\ufeff",
    "NFG", "EFG", "R", '""', ",", "\r", "{ { } }", "1.5", "3/4", "2", '"x" 1 1', "\\",
]  # fmt: skip


def injure(text: str, rng: random.Random) -> str:
    """The text with one random injury."""
    parts = re.split(r"(\s+)", text)
    i, j, at = rng.randrange(len(parts)), rng.randrange(len(parts)), rng.randrange(len(text) + 1)
    nasty = rng.choice([*NASTY, chr(rng.randrange(0xD800))])
    match rng.randrange(7):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + text[at + rng.randint(1, 10) :]
        case 2:
            return text[:at] + nasty + text[at:]
        case 3:
            parts[i], parts[j] = parts[j], parts[i]
        case 4:
            parts.insert(j, parts[i] * rng.choice([1, 2, 50]))
        case 5:
            del parts[i]
        case _:
            parts[i] = nasty
    return "".join(parts)


def mutate(text: str, rng: random.Random) -> bytes:
    """The text with a few injuries, sometimes also of its encoding."""
    for _ in range(rng.randint(1, 3)):
        text = injure(text, rng)
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
            message = str(error)
            refused += 1
        else:
            message = None
            assert np.isfinite(game.payoffs).all(), data
            assert game.labels is not None
            assert tuple(len(a) for a in game.labels.actions) == game.payoffs.shape[1:], data
            assert len(game.labels.players) == len(game.payoffs), data
            loaded += 1
        assert message is None or re.fullmatch(r".*m\.nfg:\d+: expected .+, found .+", message), (
            data
        )
        assert message is None or len(message) < 1000, data
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

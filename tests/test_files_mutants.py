"""Injured .nfg files either load to a finite game or are refused, quickly and in little memory."""

import numpy as np
import pytest

from gamejax import games
from tests.mutants import load_mutants

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


def check(game, data):
    """What must be true of whatever loads."""
    assert np.isfinite(game.payoffs).all(), data
    assert game.labels is not None
    assert tuple(len(a) for a in game.labels.actions) == game.payoffs.shape[1:], data
    assert len(game.labels.players) == len(game.payoffs), data


def test_mutants_load_or_are_refused(tmp_path):
    loaded, refused = load_mutants(TEXTS, NASTY, tmp_path / "m.nfg", check, count=500, seed=0)
    assert loaded > 20
    assert refused > 200


@pytest.mark.slow
def test_many_mutants_load_or_are_refused(tmp_path):
    load_mutants(TEXTS, NASTY, tmp_path / "m.nfg", check, count=10_000, seed=1)

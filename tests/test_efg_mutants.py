"""Injured .efg files either load to a game or are refused, quickly and in little memory."""

from pathlib import Path

import numpy as np
import pytest

from gamejax.extensive import ImperfectRecallGame
from tests.mutants import load_mutants

EXAMPLES = Path(__file__).parents[1] / "examples" / "games"
TEXTS = [p.read_text() for p in sorted(EXAMPLES.glob("*.efg"))]
NASTY = [
    "99999999999", "1e999", "nan", "inf", "1/0", "-", ".", "{", "}", '"', '\\"', "0", "-1", "1_000",
    "٣", "abc", "\x00", "9" * 5000, "1/" + "9" * 900, "1e-999999999", "1e400", "1e308", "-1e308",
    "EFG", "NFG", "p", "c", "t", '""', ",", "{ }", "1/2", "1/3", "2", '"x" 1 1', "\\", 't "" 0',
    'p "" 1 1', 'p "" 1 1 0', 'c "" 1 0', '{ "a" }', '{ "a" "b" }', '{ "a" 1 }',
    'p "" 1 2 "" { "a" } 0',
    't "" 1 "" { 1, 2 }', '{ "a" 1/2 "b" 1/2 }', "\ufeff", "\r",
]  # fmt: skip


def check(game, data):
    """What must be true of whatever loads."""
    history = game.history if isinstance(game, ImperfectRecallGame) else game.form.history
    assert game.payoffs.shape == (len(game.labels.players), len(history.leaves)), data
    assert game.chance.shape == game.payoffs.shape[1:], data
    assert np.isfinite(game.payoffs).all(), data
    assert (np.asarray(game.chance) >= 0).all(), data
    assert len(history.parent) <= len(data), data


def test_mutants_load_or_are_refused(tmp_path):
    loaded, refused = load_mutants(TEXTS, NASTY, tmp_path / "m.efg", check, count=500, seed=0)
    assert loaded > 20
    assert refused > 200


@pytest.mark.slow
def test_many_mutants_load_or_are_refused(tmp_path):
    load_mutants(TEXTS, NASTY, tmp_path / "m.efg", check, count=10_000, seed=1)

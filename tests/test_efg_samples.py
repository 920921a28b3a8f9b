"""Gambit's sample trees: what the reader makes of them against their strategic forms."""

import itertools
import json
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from gamejax import extensive, games, metrics, play
from gamejax.extensive import ImperfectRecallGame, SequenceFormGame
from tests.random_trees import fast_gains, payoffs
from tests.trees import reduced_plans, strategic_payoffs

SHARED = Path(__file__).parents[2] / "shared" / "games"
pytestmark = pytest.mark.skipif(
    not SHARED.exists(), reason="needs Gambit's sample games in ../shared/games"
)
NAMES = sorted(p.name for p in SHARED.glob("*.efg")) if SHARED.exists() else []
FORGETFUL = [
    "AM-driver-one-infoset", "AM-driver-subgame", "AM-unary-branches", "e09", "fig10.7", "fig2",
    "fig5_12", "gilboa_two_am_agents", "holdout", "noPR-AM-driver-one-player",
    "noPR-AM-driver-two-players", "noPR-action-AM", "noPR-action-AM-three-chain",
    "noPR-action-AM-two-hops", "noPR-action-AM2", "not_perfect_recall",
    "subgame_roots_finder_overplapping_infosets_with_Nature",
    "subgame_roots_finder_small_subgames_and_overplapping_infosets",
]  # fmt: skip
VALUES = {
    "centcs6": 1.6,
    "nature_rooted_generic": 5,
    "reduction_generic_payoffs": 3,
    "fig6": 0,
    "zerosum_efg_from_sequence_form_STOC94_paper": 13,
}


@cache
def reference():
    return json.loads((SHARED / "reference.json").read_text())


@cache
def loaded(name):
    return games.load(SHARED / name)


def test_every_sample_loads_with_its_names():
    assert len(NAMES) == 87
    forgetful = [name[:-4] for name in NAMES if isinstance(loaded(name), ImperfectRecallGame)]
    assert sorted(forgetful) == sorted(FORGETFUL)
    for name in NAMES:
        game, known = loaded(name), reference()[name]
        assert game.num_players == len(game.labels.players)
        if "title" in known:
            assert game.labels.title == known["title"]
            assert list(game.labels.players) == [
                p or str(i + 1) for i, p in enumerate(known["players"])
            ]
        if "perfect_recall" in known:
            assert known["perfect_recall"] == (name[:-4] not in FORGETFUL)
        if "const_sum" in known:
            total = np.asarray(game.payoffs).sum(0)
            assert known["const_sum"] == (np.ptp(total) <= 1e-12 * abs(total).max())


def test_saved_samples_come_back_bit_for_bit(tmp_path):
    for name in NAMES:
        game = loaded(name)
        games.save(game, tmp_path / name)
        again = games.load(tmp_path / name)
        assert type(again) is type(game)
        np.testing.assert_array_equal(again.payoffs, game.payoffs)
        np.testing.assert_array_equal(again.chance, game.chance)
        assert again.labels == game.labels
        assert games.dumps(again) == (tmp_path / name).read_text()
        if isinstance(game, SequenceFormGame):
            assert again.form == game.form


def test_strategic_payoffs_are_the_references():
    checked = 0
    for name in NAMES:
        known = reference()[name]
        if name[:-4] in FORGETFUL or "reduced_strategic_payoffs" not in known:
            continue
        game = loaded(name)
        plans = [reduced_plans(game, i) for i in range(game.num_players)]
        assert [len(own) for own in plans] == known["shape"], name
        listed = np.array(known["reduced_strategic_payoffs"])
        np.testing.assert_allclose(
            strategic_payoffs(game, plans), listed, rtol=0, atol=1e-11 * abs(listed).max()
        )
        checked += 1
    assert checked == 56


def test_reference_equilibria_have_their_payoffs_and_no_gap():
    checked = 0
    for name in NAMES:
        known = reference()[name]
        if name[:-4] in FORGETFUL or "equilibria" not in known:
            continue
        game = loaded(name)
        plans = [reduced_plans(game, i) for i in range(game.num_players)]
        scale = max(np.ptp(game.payoffs), 1e-12)
        for equilibrium in known["equilibria"]:
            mixed = [np.array(x) / np.sum(x) for x in equilibrium["profile"]]
            profile = tuple(x @ own for x, own in zip(mixed, plans, strict=True))
            assert abs(payoffs(game, profile) - equilibrium["payoffs"]).max() <= 1e-6 * scale, name
            assert fast_gains(game, profile).max() <= 1e-6 * scale, name
            checked += 1
    assert checked > 300


def pure_behaviors(game):
    """Every player's pure behaviors, one array `(strategies, sets, actions)` each."""
    found = []
    for mask in game.paths.masks:
        rows = [np.eye(mask.shape[1])[np.flatnonzero(row)] for row in mask]
        found.append(np.array(list(itertools.product(*rows))))
    return found


def check_pure_payoffs(name):
    """Every reduced profile of the reference is some profile of pure behaviors, and back."""
    known, game = reference()[f"{name}.efg"], loaded(f"{name}.efg")
    pure = pure_behaviors(game)
    if "reduced_strategic_payoffs" not in known or np.prod([len(p) for p in pure]) > 40_000:
        return False
    grids = np.meshgrid(*(np.arange(len(own)) for own in pure), indexing="ij")
    profile = tuple(own[k.ravel()] for own, k in zip(pure, grids, strict=True))
    found = np.asarray(jax.jit(jax.vmap(game.expected_payoffs))(profile))
    listed = np.array(known["reduced_strategic_payoffs"])
    listed = listed.reshape(len(listed), -1).T
    return set(map(tuple, found.round(9))) == set(map(tuple, listed.round(9)))


@pytest.mark.parametrize("name", ["gilboa_two_am_agents", "noPR-action-AM-three-chain", "fig10.7"])
def test_forgetful_players_have_their_strategic_payoffs_too(name):
    assert check_pure_payoffs(name)


@pytest.mark.slow
def test_all_forgetful_players_have_their_strategic_payoffs_too():
    assert sum(map(check_pure_payoffs, FORGETFUL)) == 16


def certified(name):
    """The first player's payoff and the exploitability after 1,000 steps of PCFR+."""
    solution = play(
        loaded(f"{name}.efg"), extensive.predictive_cfr_plus(), 1000, record=1000
    ).solution
    return float(solution.stats["payoffs"][0]), float(solution.stats["player_gaps"].mean())


@pytest.mark.parametrize("name", VALUES)
def test_known_values(name):
    value, gap = certified(name)
    assert abs(value - VALUES[name]) < 1e-7
    assert gap < 1e-7


@pytest.mark.slow
def test_all_constant_sum_samples():
    others = {"4cards": 23 / 24, "caro2": 17 / 18, "e10": 1, "e10a": -1, "nim": -1, "nim7": -1}
    known = {**VALUES, **others, "ttt": 0}
    for name in NAMES:
        game = loaded(name)
        total = np.asarray(game.payoffs).sum(0)
        if game.num_players != 2 or name[:-4] in FORGETFUL or np.ptp(total) > 1e-9:
            continue
        value, gap = certified(name[:-4])
        assert abs(value - known.pop(name[:-4])) < 1e-7, name
        assert gap < 1e-7, name
    assert not known


@pytest.mark.slow
def test_the_tree_certifies_the_reference_equilibria():
    """`metrics.nash_gap`, which maximizes by a pass over the tree, at every listed equilibrium."""
    for name in NAMES:
        known = reference()[name]
        if name[:-4] in FORGETFUL or "equilibria" not in known:
            continue
        game = loaded(name)
        plans = [reduced_plans(game, i) for i in range(game.num_players)]
        stacked = zip(*(e["profile"] for e in known["equilibria"]), strict=True)
        mixed = [np.array(x) / np.sum(x, axis=1, keepdims=True) for x in map(list, stacked)]
        profiles = tuple(x @ own for x, own in zip(mixed, plans, strict=True))
        gaps = jax.jit(jax.vmap(lambda x, game=game: metrics.nash_gap(game, x)))(profiles)
        assert gaps.max() <= 1e-6 * max(np.ptp(game.payoffs), 1e-12), name
        assert gaps.min() >= -1e-12 * max(np.ptp(game.payoffs), 1e-12), name

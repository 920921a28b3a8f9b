"""Game files against known equilibria: the examples, and Gambit's sample games where they are."""

import itertools
import json
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from gamejax import games
from gamejax.games import NormalFormGame
from gamejax.metrics import nash_gap
from gamejax.sets import Simplex

EXAMPLES = Path(__file__).parents[1] / "examples" / "games"
SHARED = Path(__file__).parents[2] / "shared" / "games"
needs_shared = pytest.mark.skipif(
    not SHARED.exists(), reason="needs Gambit's sample games in ../shared/games"
)


def evaluate(payoffs, profile):
    """Every player's payoff and best-response gain, in NumPy."""
    expected, gains = [], []
    for i in range(len(profile)):
        table = payoffs[i]
        for axis in reversed(range(len(profile))):
            if axis != i:
                table = np.tensordot(table, profile[axis], (axis, 0))
        expected.append(table @ profile[i])
        gains.append(table.max() - expected[-1])
    return np.array(expected), np.array(gains)


# Every example and its known equilibria: one strategy per player.
HALF, THIRD = [1 / 2, 1 / 2], [1 / 3] * 3
FIRST, SECOND = [1, 0], [0, 1]
KNOWN = {
    "battle_of_the_sexes": [(FIRST, FIRST), (SECOND, SECOND), ([2 / 3, 1 / 3], [1 / 3, 2 / 3])],
    "chicken": [(FIRST, SECOND), (SECOND, FIRST), ([0.9, 0.1], [0.9, 0.1])],
    "el_farol_3": [
        *itertools.permutations([FIRST, FIRST, SECOND]),
        *itertools.permutations([FIRST, [1 / 4, 3 / 4], [1 / 4, 3 / 4]]),
        (HALF, HALF, HALF),
    ],
    "inspection_game": [(HALF, [3 / 4, 1 / 4])],
    "matching_pennies": [(HALF, HALF)],
    "minimum_effort": [(list(row),) * 3 for row in np.eye(3)],
    "penalty_kick": [([4 / 11, 7 / 11], [5 / 11, 0, 6 / 11])],
    "prisoners_dilemma": [(SECOND, SECOND)],
    "public_goods": [(SECOND, SECOND, SECOND)],
    "rock_paper_scissors": [(THIRD, THIRD)],
    "shapley": [(THIRD, THIRD)],
    "stag_hunt": [(FIRST, FIRST), (SECOND, SECOND), ([2 / 3, 1 / 3], [2 / 3, 1 / 3])],
    "three_player_matching_pennies": [(HALF, HALF, HALF)],
    "travelers_dilemma": [([1, 0, 0, 0], [1, 0, 0, 0])],
    "two_finger_morra": list(
        itertools.product([[0, 4 / 7, 3 / 7, 0], [0, 3 / 5, 2 / 5, 0]], repeat=2)
    ),
    "umbrella": [([1, 0, 0],)],
    "volunteers_dilemma": [
        *itertools.permutations([FIRST, SECOND, SECOND]),
        *itertools.permutations([SECOND, [3 / 4, 1 / 4], [3 / 4, 1 / 4]]),
        (HALF, HALF, HALF),
    ],
}
PAYOFF_OF_LAST = {
    "battle_of_the_sexes": (2 / 3, 2 / 3),
    "chicken": (-0.1, -0.1),
    "el_farol_3": (0, 0, 0),
    "inspection_game": (0.5, 2),
    "minimum_effort": (3, 3, 3),
    "penalty_kick": (87 / 110, 23 / 110),
    "prisoners_dilemma": (1, 1),
    "public_goods": (2, 2, 2),
    "shapley": (1 / 3, 1 / 3),
    "stag_hunt": (8 / 3, 8 / 3),
    "travelers_dilemma": (2, 2),
    "umbrella": (0.8,),
    "volunteers_dilemma": (0.75, 0.75, 0.75),
}


def test_every_example_is_listed():
    assert sorted(p.stem for p in EXAMPLES.glob("*.nfg")) == sorted(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_examples_have_the_equilibria_that_their_comments_state(name):
    path = EXAMPLES / f"{name}.nfg"
    game = games.load(path)
    payoffs = np.asarray(game.payoffs)
    assert game.labels is not None
    assert game.labels.title
    known = [tuple(np.array(x, float) for x in profile) for profile in KNOWN[name]]
    for profile in known:
        assert evaluate(payoffs, profile)[1].max() < 1e-12
    if name in PAYOFF_OF_LAST:
        np.testing.assert_allclose(
            evaluate(payoffs, known[-1])[0], PAYOFF_OF_LAST[name], atol=1e-12
        )
    counts = payoffs.shape[1:]
    pure = {
        actions
        for actions in itertools.product(*map(range, counts))
        if (
            evaluate(payoffs, [np.eye(n)[a] for n, a in zip(counts, actions, strict=True)])[1] <= 0
        ).all()
    }
    listed = [p for p in known if all(x.max() == 1 for x in p)]
    assert pure == {tuple(int(x.argmax()) for x in profile) for profile in listed}
    assert games.dumps(games.loads(games.dumps(game))) == games.dumps(game)


@jax.jit
@jax.vmap
def certify(payoffs, masks, profile):
    game = NormalFormGame(payoffs, [Simplex(mask.shape, mask) for mask in masks])
    return game.expected_payoffs(profile), nash_gap(game, profile)


def padded(array, shape):
    """The array with zeros behind it on every axis, so that games of all sizes share a program."""
    return np.pad(array, [(0, n - k) for n, k in zip(shape, array.shape, strict=True)])


@cache
def reference():
    return json.loads((SHARED / "reference.json").read_text())


def payoffs_of(name: str) -> np.ndarray | None:
    """The payoffs of a sample game: loaded from its file, or as the reference lists them."""
    if name.endswith(".nfg"):
        return np.asarray(games.load(SHARED / name).payoffs)
    listed = reference()[name].get("reduced_strategic_payoffs")
    return None if listed is None else np.array(listed, np.float64)


@needs_shared
def test_every_strategic_sample_loads_and_others_name_their_format():
    names = sorted(
        p.name for p in SHARED.iterdir() if p.suffix in {".nfg", ".efg", ".agg", ".bagg"}
    )
    assert sum(name.endswith(".nfg") for name in names) >= 30
    for name in names:
        if name.endswith(".efg"):
            continue
        if not name.endswith(".nfg"):
            with pytest.raises(
                games.GameFileError, match=rf"\({name[name.rindex('.') :]}\), which"
            ):
                games.load(SHARED / name)
            continue
        game, known = games.load(SHARED / name), reference()[name]
        assert game.labels is not None
        assert game.labels.title == known["title"]
        assert list(game.labels.players) == known["players"]
        assert list(game.payoffs.shape) == [len(known["players"]), *known["shape"]]
        again = games.loads(games.dumps(game))
        np.testing.assert_array_equal(again.payoffs, game.payoffs)
        assert again.labels == game.labels


@needs_shared
def test_sample_games_agree_with_their_trees():
    for name in ["coord2", "coord4", "g1", "g2"]:
        np.testing.assert_array_equal(payoffs_of(f"{name}.nfg"), payoffs_of(f"{name}.efg"))


@needs_shared
def test_reference_equilibria_have_their_payoffs_and_no_gap():
    by_players = {}
    for name, known in reference().items():
        if "equilibria" in known and (payoffs := payoffs_of(name)) is not None:
            assert payoffs.shape[1:] == tuple(known["shape"])
            for equilibrium in known["equilibria"]:
                profile = [np.array(x, np.float64) for x in equilibrium["profile"]]
                profile = [x / x.sum() for x in profile]  # they are rounded to 13 digits
                item = (name, payoffs, profile, equilibrium["payoffs"])
                by_players.setdefault(len(payoffs), []).append(item)
    assert sorted(by_players) == [1, 2, 3, 4, 5]
    assert sum(map(len, by_players.values())) > 700
    for items in by_players.values():
        names, payoffs, profiles, listed = zip(*items, strict=True)
        shape = tuple(np.max([p.shape for p in payoffs], axis=0))
        points = [
            np.stack([padded(x, (n,)) for x in xs])
            for n, xs in zip(shape[1:], zip(*profiles, strict=True), strict=True)
        ]
        masks = [
            np.stack([padded(np.ones(len(x), bool), (n,)) for x in xs])
            for n, xs in zip(shape[1:], zip(*profiles, strict=True), strict=True)
        ]
        tensors = np.stack([padded(p, shape) for p in payoffs])
        expected, gaps = jax.device_get(certify(tensors, masks, tuple(points)))
        for k, name in enumerate(names):
            scale = max(np.ptp(payoffs[k]), 1e-12)
            in_numpy, gains = evaluate(payoffs[k], profiles[k])
            assert abs(expected[k] - in_numpy).max() <= 1e-13 * scale, name
            assert abs(gaps[k] - gains.max()) <= 1e-13 * scale, name
            assert abs(expected[k] - listed[k]).max() <= 1e-6 * scale, name
            assert gaps[k] <= 1e-6 * scale, name

"""The library of trees against counts, known values and known equilibria."""

import itertools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import metrics
from gamejax.extensive import library, realization_plans
from tests.random_trees import fast_gains, payoffs, plan

certify = jax.jit(
    lambda game, profile: (metrics.nash_gap(game, profile), game.expected_payoffs(profile))
)
certify_all = jax.jit(jax.vmap(certify, (None, 0)))


def uniform(game):
    """Everybody's uniform plan, in NumPy."""
    return tuple(plan(tree, tree.mask / tree.num_actions[:, None]) for tree in game.form.trees)


def stacked(game, behaviors):
    """Profiles of many behaviors, along a new first axis."""
    found = [realization_plans(game, b) for b in behaviors]
    return jax.tree.map(lambda *x: jnp.stack(x), *found)


def counts(game):
    """Nodes, leaves, sets and sequences per player, entries, levels."""
    form = game.form
    sets = [tree.num_sets for tree in form.trees]
    sequences = [1 + int(tree.num_actions.sum()) for tree in form.trees]
    levels = [len(tree.levels) for tree in form.trees]
    history = form.history
    return len(history.parent), len(history.leaves), sets, sequences, form.num_entries, levels


COUNTS = {
    "kuhn": (library.kuhn, (55, 30, [6, 6], [13, 13], 30, [2, 1])),
    "leduc": (library.leduc, (9451, 5520, [468, 468], [1093, 1093], 4920, [4, 4])),
    "ranks": (
        lambda: library.leduc(suits_seen=False),
        (9451, 5520, [144, 144], [337, 337], 966, [4, 4]),
    ),
    "goofspiel": (library.goofspiel, (1077, 576, [161, 161], [341, 341], 464, [3, 3])),
    "dice": (
        lambda: library.liars_dice(num_sides=3),
        (9 * 127 + 1, 9 * 63, [96, 96], [190, 190], 567, [4, 3]),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_sizes(name):
    make, expected = COUNTS[name]
    assert counts(make()) == expected


@pytest.mark.slow
def test_liars_dice_of_six_sides():
    start = time.process_time()
    game = library.liars_dice()
    assert time.process_time() - start < 20
    assert counts(game) == (294877, 147420, [12288] * 2, [24571] * 2, 147420, [7, 6])


@pytest.mark.parametrize(
    ("name", "exploitability", "value"),
    [
        ("kuhn", 11 / 24, 1 / 8),
        ("leduc", 2.373611111111111, -0.078125),
        ("goofspiel", 3 / 4, 0),
        ("dice", 5 / 9, 1 / 54),
    ],
)
def test_uniform_play(name, exploitability, value):
    game = COUNTS[name][0]()
    profile = uniform(game)
    np.testing.assert_allclose(payoffs(game, profile), [value, -value], atol=1e-12)
    np.testing.assert_allclose(fast_gains(game, profile).mean(), exploitability, atol=1e-12)


def kuhn_behaviors(bluff):
    """The first player's family, the second player's only strategy; passive actions first."""
    first = {
        "J": (1 - bluff, bluff),
        "Q": (1, 0),
        "K": (1 - 3 * bluff, 3 * bluff),
        "J pb": (1, 0),
        "Q pb": (2 / 3 - bluff, bluff + 1 / 3),
        "K pb": (0, 1),
    }
    second = {
        "J p": (2 / 3, 1 / 3),
        "Q p": (1, 0),
        "K p": (0, 1),
        "J b": (1, 0),
        "Q b": (2 / 3, 1 / 3),
        "K b": (0, 1),
    }
    return first, second


def test_kuhn_equilibria():
    game = library.kuhn()
    assert game.form.actions(0, 0) == ("check", "bet")
    profiles = stacked(game, [kuhn_behaviors(a) for a in (0, 0.1, 0.2, 1 / 3)])
    gaps, payoffs = certify_all(game, profiles)
    np.testing.assert_allclose(gaps, 0, atol=1e-15)
    np.testing.assert_allclose(payoffs, [[-1 / 18, 1 / 18]] * 4, atol=1e-15)
    first, second = kuhn_behaviors(0.2)
    gap, _ = certify_all(game, stacked(game, [(first, {**second, "Q b": (0.5, 0.5)})]))
    assert gap[0] > 1e-3


def test_kuhn_of_many():
    for num_cards, num_players in ((4, 2), (4, 3), (5, 4)):
        form = library.kuhn(num_cards, num_players).form
        # Nobody bets, or one does and the others answer.
        ends = 1 + num_players * 2 ** (num_players - 1)
        assert form.history.payoffs.shape == (math.perm(num_cards, num_players) * ends, num_players)
        assert not form.history.payoffs.sum(1).any()
        stakes = np.abs(form.history.payoffs.astype(int)).max(1)
        assert stakes.max() == 2 * (num_players - 1)


def test_leduc_stakes():
    game = library.leduc()
    payoffs = game.form.history.payoffs.astype(int)
    assert not payoffs.sum(1).any()
    # An ante of 1, up to two raises of 2, then up to two of 4; ties for equal ranks.
    assert set(np.abs(payoffs[:, 0])) == {0, 1, 3, 5, 7, 9, 11, 13}
    assert game.form.information_key(0, 0) == "Ja"
    wide = library.leduc(4, 1)
    # With one card of each rank nobody ties or pairs.
    assert wide.form.history.payoffs.astype(int).all()
    assert len(wide.form.history.leaves) == 12 * (4 + 5 * 2 * 9)


def test_goofspiel_variants():
    seen = {}
    for prizes, bids_seen, kind in itertools.product(
        ("falling", "rising", "random"), (True, False), ("sign", "difference")
    ):
        game = library.goofspiel(3, prizes, bids_seen, kind)
        history = game.form.history
        seen[prizes, bids_seen, kind] = history.payoffs.astype(int)
        assert len(history.leaves) == (36 if prizes != "random" else 6 * 36)
        assert (game.form.trees[0].num_sets == 10) == (prizes != "random" and bids_seen)
    for key, paid in seen.items():
        other = seen[(*key[:2], "difference")]
        np.testing.assert_array_equal(paid, np.sign(other) if key[2] == "sign" else other)
    # Bids 1, 2, 3 against 2, 3, 1 for prizes 3, 2, 1: the third round goes to the first player.
    assert -4 in seen["falling", True, "difference"][:, 0]


def test_beer_or_quiche():
    game = library.beer_quiche()
    beer = {"strong": (1, 0), "weak": (1, 0)}
    quiche = {"strong": (0, 1), "weak": (0, 1)}
    cases = [
        ((beer, {"beer": (0, 1), "quiche": (0.5, 0.5)}), 0),
        ((beer, {"beer": (0, 1), "quiche": (1, 0)}), 0),
        ((quiche, {"beer": (0.5, 0.5), "quiche": (0, 1)}), 0),
        # Fought too rarely after quiche, the weak have it: 1/10 of 1 + 2 * 0.6 - 2.
        ((beer, {"beer": (0, 1), "quiche": (0.4, 0.6)}), 0.02),
    ]
    gaps, payoffs = certify_all(game, stacked(game, [c for c, _ in cases]))
    np.testing.assert_allclose(gaps, [gap for _, gap in cases], atol=1e-15)
    np.testing.assert_allclose(payoffs[0], [0.9 * 3 + 0.1 * 2, 0.9], atol=1e-15)
    rare = library.beer_quiche(0.25)
    # The weak make the receiver indifferent after beer, the receiver makes them so in turn.
    mixed = (
        {"strong": (1, 0), "weak": (1 / 3, 2 / 3)},
        {"beer": (0.5, 0.5), "quiche": (1, 0)},
    )
    np.testing.assert_allclose(certify_all(rare, stacked(rare, [mixed]))[0], 0, atol=1e-15)


def test_signaling_from_tables():
    rng = np.random.default_rng(0)
    prior, sender, receiver = rng.dirichlet(np.ones(3)), *rng.normal(size=(2, 3, 2, 4))
    game = library.signaling(prior, sender, receiver)
    says, does = rng.dirichlet(np.ones(2), 3), rng.dirichlet(np.ones(4), 2)
    behaviors = tuple({str(k + 1): row for k, row in enumerate(rows)} for rows in (says, does))
    expected = [np.einsum("t,tm,ma,tma", prior, says, does, u) for u in (sender, receiver)]
    _, found = certify(game, realization_plans(game, behaviors))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"got \(2,\), \(3, 2, 4\) and \(3, 2, 4\)"):
        library.signaling([0.5, 0.5], sender, receiver)


def test_centipede():
    game = library.centipede(4)
    assert [tree.num_sets for tree in game.form.trees] == [2, 2]
    take, go = (1, 0), (0, 1)
    at_once = ({0: take, 2: take}, {1: take, 3: take})
    to_the_end = ({0: go, 2: go}, {1: go, 3: go})
    (stop, on), payoffs = certify_all(game, stacked(game, [at_once, to_the_end]))
    assert stop == 0
    np.testing.assert_allclose(payoffs, [[0.4, 0.1], [6.4, 1.6]], rtol=1e-12)
    np.testing.assert_allclose(on, 3.2 - 1.6, rtol=1e-12)


def test_seltens_horse():
    game = library.seltens_horse()
    across, right = (0, 1), (0, 1)
    cases = [
        (((1, 0), (2 / 3, 1 / 3), (1, 0)), 0, (3, 3, 2)),
        (((1, 0), across, (1, 0)), 0, (3, 3, 2)),
        ((across, across, (1 / 4, 3 / 4)), 0, (1, 1, 1)),
        ((across, across, right), 0, (1, 1, 1)),
        # The second player would go down for 4 * 0.3, the first gets 1 > 3 * 0.3.
        ((across, across, (0.3, 0.7)), 0.2, (1, 1, 1)),
        # The first would go across for 4 * 0.75 + 0.25.
        (((1, 0), (3 / 4, 1 / 4), (1, 0)), 0.25, (3, 3, 2)),
    ]
    profiles = stacked(game, [tuple({"": b} for b in c[0]) for c in cases])
    gaps, payoffs = certify_all(game, profiles)
    np.testing.assert_allclose(gaps, [c[1] for c in cases], atol=1e-15)
    np.testing.assert_allclose(payoffs, [c[2] for c in cases], atol=1e-15)


def test_matching_pennies():
    game = library.matching_pennies()
    np.testing.assert_allclose(fast_gains(game, uniform(game)), 0, atol=1e-15)
    np.testing.assert_array_equal(game.form.history.payoffs[:, 0].astype(int), [1, -1, -1, 1])


def test_off_switch_with_a_rational_human():
    values, weights = (-2.0, 0.5, 3.0), (0.5, 0.3, 0.2)
    game = library.off_switch(values, weights)
    human = {"-2.0": (0, 1), "0.5": (1, 0), "3.0": (1, 0)}
    alone, waits = ({"": (0, 1, 0)}, human), ({"": (0, 0, 1)}, human)
    gaps, payoffs = certify_all(game, stacked(game, [waits, alone]))
    worth = 0.3 * 0.5 + 0.2 * 3
    np.testing.assert_allclose(payoffs, [[worth, worth], [0, 0]], atol=1e-15)
    # Acting is worth -0.25, so that the robot alone would switch itself off.
    incentive = library.off_switch_incentive(values, weights)
    np.testing.assert_allclose(gaps, [0, incentive], atol=1e-15)
    np.testing.assert_allclose(incentive, worth, rtol=1e-12)
    assert library.off_switch_incentive((2,)) == 0
    assert library.off_switch_incentive((-1, -3)) == 0


def test_off_switch_with_a_human_who_errs():
    values = (-1, 2)
    for rationality in (0.0, 0.25, 4.0):
        game = library.off_switch(values, rationality=rationality)
        assert game.form.trees[1].num_sets == 0
        sums = np.asarray(game.payoffs[0] * game.chance)
        moves = game.form.sequences[0]
        act, off, wait = (sums[moves == k].sum() for k in (1, 2, 3))
        lets = 1 / (1 + np.exp(-rationality * np.array(values)))
        np.testing.assert_allclose(act, 0.5)
        assert off == 0
        np.testing.assert_allclose(wait, 0.5 * lets @ np.array(values), rtol=1e-12)
        found = library.off_switch_incentive(values, rationality=rationality)
        np.testing.assert_allclose(found, wait - 0.5, rtol=1e-12)
        assert (found > 0) == (rationality == 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: library.kuhn(1), ValueError, "num_cards must be at least 2, got 1"),
        (lambda: library.kuhn(3.0), TypeError, "num_cards must be an integer"),
        (lambda: library.kuhn(5, 1), ValueError, "num_players must be at least 2"),
        (lambda: library.leduc(1, 2), ValueError, "at least 3 cards"),
        (lambda: library.liars_dice(0), ValueError, "num_dice must be at least 1"),
        (lambda: library.goofspiel(1), ValueError, "num_cards must be at least 2"),
        (lambda: library.goofspiel(3, "shuffled"), ValueError, "prizes must be one of"),
        (lambda: library.goofspiel(3, payoffs="chips"), ValueError, "payoffs must be one of"),
        (lambda: library.centipede(0), ValueError, "num_moves must be at least 1"),
        (lambda: library.centipede(2, 0.1, 0.4), ValueError, "large must be at least small"),
        (lambda: library.centipede(2, growth=0), ValueError, "growth must be positive"),
        (lambda: library.beer_quiche(1.5), ValueError, "strong must be from 0 to 1"),
        (lambda: library.off_switch(()), ValueError, "at least one worth"),
        (lambda: library.off_switch((1, 2), (1,)), ValueError, "one per value, 2, got 1"),
        (lambda: library.off_switch(rationality=-1), ValueError, "rationality must be at least 0"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()

"""Merging of indistinguishable information sets: exact, found, refused, certified."""

import itertools
import random
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import RESULTS, Unrolled, extensive, games, metrics, solve, solve_batch
from gamejax.extensive import library
from gamejax.extensive._merging import merged_form
from gamejax.learners import Counterfactual, Hedge, MagneticMirrorDescent, RegretMatching
from gamejax.solvers import FictitiousPlay, MirrorProx, SelfPlay
from tests import random_trees

SHARED = Path(__file__).parents[2] / "shared" / "games"


def suited_poker(state):
    """A poker with two queens and two kings of two suits, which mean nothing.

    Stakes depend on ranks and moves as they come, so that no two actions are worth the same.
    """
    if not state:
        deals = list(itertools.permutations(("Q", "Q'", "K", "K'"), 2))
        return extensive.chance([(Fraction(1, len(deals)), (cards, "")) for cards in deals])
    cards, moves = state
    if moves in ("pp", "bp", "pbp", "bb", "pbb"):
        ranks = "".join(card[0] for card in cards)
        stake = random.Random(ranks + moves).uniform(-2, 2)
        return extensive.terminal((stake, -stake))
    player = len(moves) % 2
    following = [("pass", (cards, moves + "p")), ("bet", (cards, moves + "b"))]
    return extensive.decide(player, (cards[player], moves), following)


@pytest.fixture(scope="module")
def poker():
    return extensive.compile_tree(suited_poker)


@jax.jit
def run(game, solver, steps=25):
    """What a solver vouches for after some steps; smaller programs than those of `solve`."""
    state = solver.init(game, key=None, dtype=game.dtype)
    state = jax.lax.fori_loop(0, steps, lambda _, s: solver.step(game, s, key=None), state)
    return solver.vouched(game, state)


def merging(game):
    return extensive.merged_form(game.form, game.payoffs, game.chance)


def require_same_worth(game, merged, rng):
    """Plans of the merged tree, lifted, are plans that pay and gain the same."""
    small = extensive.SequenceFormGame(merged, game.payoffs, game.chance)
    for _ in range(4):
        low = random_trees.random_plans(small, rng)
        lifted = tuple(x[lift] for x, lift in zip(low, merged.lifts, strict=True))
        for tree, x in zip(game.form.trees, lifted, strict=True):
            moves = x[1:].reshape(tree.num_sets, tree.width)
            np.testing.assert_allclose(moves.sum(1), x[tree.parent], atol=1e-12)
            assert (moves[~tree.mask] == 0).all()
        for measure in (random_trees.payoffs, random_trees.fast_gains):
            expected = measure(game, lifted)
            np.testing.assert_allclose(measure(small, low), expected, rtol=1e-12, atol=1e-12)


def test_leduc_with_suits_merges_to_ranks():
    game = library.leduc()
    assert [tree.num_sets for tree in game.form.trees] == [468, 468]
    assert game.form.num_entries == 4920
    merged = game.merged.form
    assert [tree.num_sets for tree in merged.trees] == [144, 144]
    assert merged.num_entries == 966
    ranks = library.leduc(suits_seen=False).form
    assert [tree.num_sets for tree in ranks.trees] == [144, 144]
    assert ranks.num_entries == 966
    for own, tree, whole in zip(merged.multiplicities, merged.trees, game.form.trees, strict=True):
        assert own.sum() == whole.num_sets == 468
        assert own.min() >= 1
        assert len(own) == tree.num_sets


def test_kuhn_and_goofspiel_do_not_shrink():
    for game in (library.kuhn(), library.goofspiel()):
        assert merging(game) is None
        assert game.merged is None


def test_float32_merges_what_float64_merges():
    # The second player hears "even" with probability 0.1 + 0.2 or "odd" with 0.3: all the same.
    def rules(state):
        if not state:
            odds = [(0.1, ("even", 1)), (0.2, ("even", 2)), (0.3, ("odd", 1)), (0.4, ("rest", 1))]
            return extensive.chance(odds)
        if len(state) == 2:
            following = [(side, (*state, side)) for side in "lr"]
            return extensive.decide(0, "alone", following)
        if len(state) == 3:
            return extensive.decide(1, state[0], [(side, (*state, side)) for side in "lr"])
        stake = {"l": 0.7, "r": 0.1}[state[2]] * (1 if state[2] == state[3] else -1)
        stake = 2 * stake if state[0] == "rest" else stake
        return extensive.terminal((stake, -stake))

    for dtype in (np.float64, np.float32):
        game = extensive.compile_tree(rules)
        form = game.form
        chances, payoffs = np.asarray(game.chance, dtype), np.asarray(game.payoffs, dtype)
        merged = merged_form(form, payoffs, chances)
        assert [tree.num_sets for tree in form.trees] == [1, 3]
        assert [tree.num_sets for tree in merged.trees] == [1, 2]


def test_chances_may_come_from_float32():
    third = float(np.float32(1 / 3))
    assert len(extensive.chance([(third, k) for k in range(3)]).branches) == 3
    for odds in ([third, third, 0.3333], [1 / 3, 1 / 3, 1 / 3 + 1e-8]):
        with pytest.raises(ValueError, match="sum to 1"):
            extensive.chance([(p, k) for k, p in enumerate(odds)])
    tiny = Fraction(1, 2**21)
    with pytest.raises(ValueError, match="sum to 1"):
        extensive.chance([(Fraction(1, 2), 0), (Fraction(1, 2) + tiny, 1)])


def clones(rules, num_players, suits=2):
    """The game in which each player first draws a suit that means nothing to anyone."""

    def cloned(state):
        if not state:
            hands = list(itertools.product(range(suits), repeat=num_players))
            return extensive.chance([(Fraction(1, len(hands)), (h, ())) for h in hands])
        hand, inner = state
        node = rules(inner)
        if hasattr(node, "player"):
            key = (hand[node.player], node.information)
            return node._replace(
                information=key, branches=tuple((a, (hand, s)) for a, s in node.branches)
            )
        if hasattr(node, "branches"):
            return node._replace(branches=tuple((p, (hand, s)) for p, s in node.branches))
        return node

    return cloned


@pytest.mark.parametrize(("num_players", "seed"), [(2, 0), (2, 6), (2, 10), (3, 3), (3, 8)])
def test_suits_that_mean_nothing_merge_and_lifted_plans_are_worth_the_same(num_players, seed):
    rules = random_trees.random_rules(seed, num_players)
    plain = extensive.compile_tree(rules)
    game = extensive.compile_tree(clones(rules, num_players))
    merged = merging(game)
    rng = np.random.default_rng(seed)
    # The coarsest likeness may merge more than the suits.
    for small, one, cloned in zip(merged.trees, plain.form.trees, game.form.trees, strict=True):
        assert small.num_sets <= one.num_sets
        assert cloned.num_sets == 2 * one.num_sets
    require_same_worth(game, merged, rng)


def test_the_coarsest_likeness_is_found_on_trees_with_few_payoffs():
    """Merged plans are worth the same on trees whose likenesses nobody planned."""
    rng = np.random.default_rng(0)
    found = 0
    for seed in range(25):
        game = random_trees.random_tree(seed, 2, 6, payoffs=(0,) * 8 + (1,))
        merged = merging(game)
        if merged is None:
            continue
        found += 1
        require_same_worth(game, merged, rng)
    assert found >= 5


@pytest.mark.skipif(not SHARED.exists(), reason="the shared game files are not here")
def test_merged_game_files_are_worth_the_same():
    rng = np.random.default_rng(0)
    found = {}
    for path in sorted(SHARED.glob("*.efg")):
        game = games.load(path)
        if isinstance(game, extensive.SequenceFormGame):
            merged = merging(game)
            if merged is not None:
                found[path.stem] = [tree.num_sets for tree in merged.trees]
                require_same_worth(game, merged, rng)
    assert found == {"bayes2a": [10, 5], "ttt": [13, 16]}


ALIKE = {
    "cfr+": extensive.cfr_plus(merge=False),
    "predictive": extensive.predictive_cfr_plus(merge=False),
    "magnetic": SelfPlay(MagneticMirrorDescent(0.1, 0.1), averaged="next"),
    "discounted": extensive.discounted_cfr(merge=False),
    "cfr": SelfPlay(Counterfactual(RegretMatching())),
    "hedge": SelfPlay(Hedge()),
    "alternating cfr": extensive.cfr(merge=False),
    "linear": extensive.linear_cfr(merge=False),
    "optimistic hedge": SelfPlay(Hedge(0.1, optimism=1.0)),
    "fictitious play": FictitiousPlay(),
    "mirror prox": MirrorProx(0.1),
}
FAST = 3


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if number < FAST else pytest.mark.slow)
        for number, name in enumerate(ALIKE)
    ],
)
def test_merged_iterates_are_those_of_the_whole_game(poker, name):
    whole, merged = run(poker, ALIKE[name]), run(poker, extensive.Merged(ALIKE[name]))
    for x, y in zip(whole, merged, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-10)


def test_what_minds_the_scale_is_another_method_and_no_less_certified(poker):
    solver = SelfPlay(Counterfactual(Hedge(0.5)), averaged="next")
    whole, merged = run(poker, solver), run(poker, extensive.Merged(solver))
    assert np.abs(whole[0] - merged[0]).max() > 1e-3
    at_first = [tree.center(poker.dtype) for tree in poker.strategy_sets]
    gained = random_trees.fast_gains(poker, merged).max()
    assert gained < 0.5 * random_trees.fast_gains(poker, at_first).max()


def test_a_variation_that_breaks_the_likeness_is_not_merged(poker):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, poker.payoffs.shape)
    noisy = poker.payoffs + noise
    assert poker.with_payoffs(noisy).merged is None
    # The first leaf is one of two queens, who then differ; kings do not.
    bumped = poker.with_payoffs(poker.payoffs.at[:, 0].add(0.125))
    assert [tree.num_sets for tree in bumped.merged.form.trees] == [6, 6]
    assert poker.with_payoffs(2 * poker.payoffs).merged.form == poker.merged.form
    assert poker.with_payoffs(poker.payoffs, merge=False).merged is None
    # Chances count as payoffs do.
    chance = poker.chance * (1 + noise[0])
    assert poker.with_payoffs(poker.payoffs, chance).merged is None
    # Rounding does not.
    assert poker.with_payoffs(poker.payoffs + 1e-14 * noise).merged.form == poker.merged.form
    # Under transformations nobody knows the numbers, unless told.
    traced = jax.jit(lambda p: poker.with_payoffs(p))(noisy)
    assert traced.merged is None
    told = jax.jit(lambda p: poker.with_payoffs(p, merge=poker.merged.form))(poker.payoffs)
    for x, y in zip(told.merged.tables, poker.merged.tables, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)


def test_a_merging_that_is_wrong_shows_in_the_certificate(poker):
    bumped = poker.payoffs.at[:, 0].add(jnp.asarray([8.0, -8.0]))
    wrong = poker.with_payoffs(bumped, merge=poker.merged.form)
    found = solve(wrong, extensive.cfr_plus(), tol=1e-4, max_steps=2000, check_every=10)
    assert found.result == RESULTS.max_steps_reached
    assert found.gap > 1e-2
    gained = random_trees.fast_gains(wrong, found.profile).max()
    np.testing.assert_allclose(found.gap, gained, atol=1e-12)
    right = run(wrong, extensive.predictive_cfr_plus(merge=False), steps=2000)
    assert random_trees.fast_gains(wrong, right).max() < 1e-4


def test_variations_merge_where_all_of_them_do(poker):
    scales = jnp.asarray([1.0, 2.0, 0.5])
    alike = poker.variations(scales[:, None, None] * poker.payoffs[None])
    assert alike.merged.form == poker.merged.form
    assert alike.payoffs.shape == (3, *poker.payoffs.shape)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, poker.payoffs.shape)
    mixed = jnp.stack([poker.payoffs, poker.payoffs + noise])
    assert poker.variations(mixed).merged is None
    assert poker.variations(mixed[:1], poker.chance[None]).merged.form == poker.merged.form
    assert poker.variations(mixed[:1], merge=False).merged is None
    with pytest.raises(ValueError, match=r"shape \(games, players, leaves\)"):
        poker.variations(poker.payoffs)
    one = run(poker, extensive.cfr_plus())
    mapped = jax.vmap(lambda g: run(g, extensive.cfr_plus()))(alike)
    for x, y in zip(mapped, one, strict=True):
        np.testing.assert_allclose(x, np.stack([y] * 3), atol=1e-9)


@pytest.mark.slow
def test_batches_of_merged_games_are_certified_each_on_its_own_tree(poker):
    scales = jnp.asarray([1.0, 2.0, 0.5])
    alike = poker.variations(scales[:, None, None] * poker.payoffs[None])
    one = run(poker, extensive.cfr_plus())
    batch = solve_batch(alike, extensive.cfr_plus(), tol=0.0, max_steps=25, check_every=25)
    gain = random_trees.fast_gains(poker, one).max()
    np.testing.assert_allclose(batch.gap, scales * gain, rtol=1e-6)
    for x, y in zip(batch.profile, one, strict=True):
        np.testing.assert_allclose(x, np.stack([y] * 3), atol=1e-9)


def test_gradients_in_payoffs_pass_through_merged_entries(poker):
    """The value of lifted plans, differentiated: each leaf by how likely it is."""
    form = poker.merged.form
    low = random_trees.random_plans(poker.merged, np.random.default_rng(1))
    lifted = tuple(x[lift] for x, lift in zip(low, form.lifts, strict=True))

    def value(payoffs):
        return poker.with_payoffs(payoffs, merge=form).merged.expected_payoffs(low)[0]

    likely = np.asarray(poker.chance)
    for x, own in zip(lifted, poker.form.sequences, strict=True):
        likely = likely * x[own]
    gradient = jax.jit(jax.grad(value))(poker.payoffs)
    np.testing.assert_allclose(gradient[0], likely, atol=1e-12)
    np.testing.assert_allclose(gradient[1], 0, atol=1e-12)


def test_starts_are_lowered_and_runs_go_on(poker):
    solver = extensive.cfr_plus()
    drawn = random_trees.random_plans(poker, np.random.default_rng(4))
    started = solver.init(poker, key=None, dtype=poker.dtype, start=drawn)
    for x, mean, lift, own in zip(
        drawn, started.inner.strategies, poker.merged.form.lifts, poker.merged.strategy_sets,
        strict=True,
    ):  # fmt: skip
        assert own.violation(mean) <= 1e-12
        for k in np.unique(lift):
            np.testing.assert_allclose(mean[k], x[lift == k].mean(), atol=1e-12)
    budget = {"tol": 0.0, "check_every": 10}
    part = solve(poker, solver, max_steps=10, **budget)
    whole = solve(poker, solver, max_steps=30, **budget)
    joined = solve(poker, solver, max_steps=20, init=part, **budget)
    for x, y in zip(whole.profile, joined.profile, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)
    assert whole.stats["information_sets"] == 16
    assert whole.stats["merged_information_sets"] == 8
    gains = random_trees.fast_gains(poker, whole.profile)
    np.testing.assert_allclose(whole.stats["player_gaps"], gains, atol=1e-12)


def test_games_without_merging_and_other_games_are_played_as_they_are():
    kuhn = library.kuhn()
    solver = extensive.cfr_plus()
    for x, y in zip(run(kuhn, solver), run(kuhn, solver.solver), strict=True):
        np.testing.assert_array_equal(x, y)
    counts = solver.stats(kuhn, solver.init(kuhn, key=None, dtype=kuhn.dtype))
    assert counts["information_sets"] == counts["merged_information_sets"] == 12
    matrix = games.MatrixGame(np.random.default_rng(0).normal(size=(3, 4)))
    plain = SelfPlay(RegretMatching())
    for x, y in zip(run(matrix, plain), run(matrix, extensive.Merged(plain)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_games_with_nothing_to_tell_merge_by_their_shape():
    def rules(state):
        if len(state) == 2:
            return extensive.terminal((0, 0))
        if not state:
            half = Fraction(1, 2)
            return extensive.chance([(half, "a"), (half, "b")])
        return extensive.decide(0, state, [("x", state + "x"), ("y", state + "y")])

    game = extensive.compile_tree(rules, "")
    assert [tree.num_sets for tree in game.merged.form.trees] == [1, 0]
    profile = run(game, extensive.cfr())
    np.testing.assert_array_equal(profile[0], [1, 0.5, 0.5, 0.5, 0.5])
    assert (random_trees.fast_gains(game, profile) == 0).all()


@pytest.mark.slow
def test_merged_leduc_follows_the_known_course():
    """Exploitability of CFR+ after 1, 2, 3 and 10 iterations, and after 1,000."""
    game = library.leduc()
    for merge in (True, False):
        solver = extensive.cfr_plus(merge=merge)
        known = {1: 2.051111, 2: 1.841669, 3: 1.619841, 10: 0.5096880}
        for steps, expected in known.items():
            budget = {"tol": 0.0, "max_steps": steps, "check_every": 1000}
            found = solve(game, solver, gap=metrics.exploitability, **budget)
            np.testing.assert_allclose(found.gap, expected, rtol=2e-6)
        budget = {"tol": 0.0, "max_steps": 1000, "check_every": 1000}
        found = solve(game, solver, gap=metrics.exploitability, **budget)
        # Ties at zero regret fall by rounding, so that late iterates differ.
        np.testing.assert_allclose(found.gap, 2.51e-4, rtol=0.1)
        np.testing.assert_allclose(found.stats["payoffs"][0], -0.0856, atol=2e-5)


@pytest.mark.slow
def test_gradients_pass_through_the_steps_of_merged_play(poker):
    """Along a direction that keeps suits alike: differences of whole runs."""
    form = poker.merged.form
    scaled = poker.payoffs * jnp.asarray([[1.0], [-1.0]])
    weights = np.random.default_rng(3).uniform(0.5, 1, form.trees[0].num_sequences)
    direction = jnp.asarray(weights[form.sequences[0]])[None] * scaled

    def value(size):
        game = poker.with_payoffs(poker.payoffs + size * direction, merge=form)
        budget = {"tol": 0.0, "max_steps": 8, "check_every": 8}
        found = solve(game, extensive.Merged(smooth), adjoint=Unrolled(), **budget)
        return game.expected_payoffs(found.profile)[0]

    smooth = SelfPlay(MagneticMirrorDescent(0.1, 0.1), averaged="next")
    small = 1e-5
    expected = (value(small) - value(-small)) / (2 * small)
    np.testing.assert_allclose(jax.grad(value)(0.0), expected, rtol=1e-6)

"""Behaviors, realization plans, mixtures of pure plans; best responses and gaps by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import Joint, extensive, games, metrics
from gamejax.extensive import library
from tests import random_trees

TREES = [(1, 2, 4), (16, 3, 5)]
"""Seed, players, depth; the last has three players."""


@pytest.fixture(scope="module")
def trees():
    return [random_trees.random_tree(*case) for case in TREES]


def profiles(game, count, seed=0):
    rng = np.random.default_rng(seed)
    return [random_trees.random_plans(game, rng) for _ in range(count)]


def test_reduced_plans_are_the_distinct_plans_of_pure_strategies(trees):
    larger = [random_trees.random_tree(seed, 2, 5) for seed in (0, 2)]
    for game in trees + larger:
        for tree in game.form.trees:
            listed = extensive.reduced_plans(tree)
            assert listed.shape == (extensive.num_reduced_plans(tree), tree.num_sequences)
            assert np.array_equal(np.unique(listed, axis=0), random_trees.pure_plans(tree))
            first = random_trees.plan(tree, np.eye(tree.width)[[0] * tree.num_sets])
            assert np.array_equal(listed[0], first)


def test_reduced_plans_of_kuhn_poker():
    # Three cards; at each the first player bets, or checks and then folds or calls; the second
    # answers a check and a bet.
    first, second = library.kuhn().form.trees
    assert extensive.num_reduced_plans(first) == 3**3
    assert extensive.num_reduced_plans(second) == 4**3


@pytest.mark.slow
def test_forms_of_a_strategy_and_the_reduced_normal_form_agree(trees):

    @jax.jit
    def everything(game, stacked):
        normal = extensive.reduced_normal_form(game)

        def one(profile):
            mixed = tuple(map(extensive.mixed_strategy, game.form.trees, profile))
            again = tuple(map(extensive.realized_plan, game.form.trees, mixed))
            best = [extensive.best_response(game, i, profile) for i in range(game.num_players)]
            return {
                "mixed": mixed,
                "again": again,
                "best": best,
                "payoffs": (game.expected_payoffs(profile), normal.expected_payoffs(mixed)),
                "gains": (metrics.gains(game, profile), metrics.gains(normal, mixed)),
                "sums": (metrics.nash_conv(game, profile), metrics.exploitability(game, profile)),
            }

        return normal.payoffs, jax.vmap(one)(stacked)

    for game in trees:
        drawn = profiles(game, 6)
        stacked = tuple(jnp.stack(xs) for xs in zip(*drawn, strict=True))
        tensor, found = everything(game, stacked)
        pure = [extensive.reduced_plans(tree) for tree in game.form.trees]
        for index in np.ndindex(tensor.shape[1:]):
            plans = tuple(p[a] for p, a in zip(pure, index, strict=True))
            expected = random_trees.payoffs(game, plans)
            np.testing.assert_allclose(tensor[(slice(None), *index)], expected, atol=1e-12)
            if sum(index) > 20:
                break
        for i in range(game.num_players):
            np.testing.assert_allclose(found["mixed"][i].sum(-1), 1, atol=1e-12)
            assert found["mixed"][i].min() >= 0
            np.testing.assert_allclose(found["again"][i], stacked[i], atol=1e-12)
        for k, profile in enumerate(drawn):
            value, gain = random_trees.payoffs(game, profile), random_trees.gains(game, profile)
            np.testing.assert_allclose(random_trees.fast_gains(game, profile), gain, atol=1e-12)
            for form in range(2):
                np.testing.assert_allclose(found["payoffs"][form][k], value, atol=1e-12)
                np.testing.assert_allclose(found["gains"][form][k], gain, atol=1e-12)
            np.testing.assert_allclose(found["sums"][0][k], gain.sum(), atol=1e-12)
            np.testing.assert_allclose(found["sums"][1][k], gain.mean(), atol=1e-12)
            for i, best in enumerate(found["best"]):
                np.testing.assert_allclose(best.value[k], value[i] + gain[i], atol=1e-12)
                plan = np.asarray(best.plan[k])
                assert set(np.unique(plan)) <= {0, 1}
                against = (*profile[:i], plan, *profile[i + 1 :])
                reached = random_trees.payoffs(game, against)[i]
                np.testing.assert_allclose(reached, value[i] + gain[i], atol=1e-12)


def test_a_mixture_reaches_what_its_plan_reaches_against_everyone(trees):
    game = trees[0]
    rng = np.random.default_rng(3)
    tree = game.form.trees[1]
    listed = extensive.reduced_plans(tree)
    mixed = rng.dirichlet(np.ones(len(listed)))
    plan = np.asarray(extensive.realized_plan(tree, jnp.asarray(mixed)))
    np.testing.assert_allclose(plan, mixed @ listed, atol=1e-12)
    other = random_trees.random_plans(game, rng)[0]
    pure = [random_trees.payoffs(game, (other, row)) for row in listed]
    np.testing.assert_allclose(random_trees.payoffs(game, (other, plan)), mixed @ pure, atol=1e-12)


def test_behaviors_are_named_by_what_is_known_and_missing_ones_are_uniform():
    game = library.kuhn()
    uniform = tuple(s.center(game.dtype) for s in game.strategy_sets)
    empty = extensive.realization_plans(game, ({}, {}))
    for x, y in zip(uniform, empty, strict=True):
        np.testing.assert_allclose(x, y)
    found = extensive.behaviors(game, uniform)
    key = game.form.information_key(0, 0)
    assert len(found[0]) == len(found[1]) == 6
    np.testing.assert_allclose(found[0][key], [0.5, 0.5])
    rng = np.random.default_rng(2)
    drawn = random_trees.random_plans(game, rng)
    back = extensive.realization_plans(game, extensive.behaviors(game, drawn))
    for x, y in zip(drawn, back, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)
    bets = extensive.realization_plans(game, ({key: [0.25, 0.75]}, {}))
    np.testing.assert_allclose(extensive.behaviors(game, bets)[0][key], [0.25, 0.75])
    with pytest.raises(ValueError, match=r"player 0 has no information set 'queen'"):
        extensive.realization_plans(game, ({"queen": [1, 0]}, {}))
    with pytest.raises(ValueError, match=r"one probability for each of 2 actions"):
        extensive.realization_plans(game, ({key: [1.0]}, {}))
    with pytest.raises(ValueError, match="one entry per player, 2 in all, got 1"):
        extensive.realization_plans(game, ({},))


def test_a_reduced_normal_form_has_names_and_is_refused_where_it_cannot_fit():
    def rules(state):
        if state == "":
            return extensive.decide(0, "start", [("out", "o"), ("in", "i")])
        if state == "i":
            return extensive.decide(1, "other", [("left", "il"), ("right", "ir")])
        if state == "ir":
            return extensive.decide(0, "again", [("up", "iru"), ("down", "ird")])
        return extensive.terminal({"o": (1, 1), "il": (0, 2), "iru": (3, 0), "ird": (2, 3)}[state])

    labels = games.Labels("ladder", ("Ann", "Bob"))
    normal = extensive.reduced_normal_form(extensive.compile_tree(rules, "", labels=labels))
    assert normal.labels == games.Labels(
        "ladder", ("Ann", "Bob"), (("out/*", "in/up", "in/down"), ("left", "right"))
    )
    np.testing.assert_allclose(normal.payoffs[0], [[1, 1], [0, 3], [0, 2]])
    np.testing.assert_allclose(normal.payoffs[1], [[1, 1], [2, 0], [2, 3]])
    with pytest.raises(ValueError, match=r"reduced normal form with .* plans needs .* bytes"):
        extensive.reduced_normal_form(library.goofspiel())
    with pytest.raises(ValueError, match=r"listing .* pure plans needs .* bytes"):
        extensive.reduced_plans(library.leduc().form.trees[0])


def test_forgotten_names_every_set_at_which_a_player_does_not_recall():
    def driver(state):
        if len(state) == 2 or state == "e":
            return extensive.terminal([4 if state == "ce" else 1 if state == "cc" else 0])
        return extensive.decide(0, "exit?", [("exit", state + "e"), ("go", state + "c")])

    def guesser(state):
        if len(state) == 2:
            return extensive.terminal([int(state[0] == state[1])])
        return extensive.decide(0, len(state), [("a", state + "a"), ("b", state + "b")])

    absent_minded = extensive.walk(driver, "")
    (found,) = extensive.forgotten(absent_minded)
    assert (found.player, found.number, found.information_set.key) == (0, 0, "exit?")
    (found,) = extensive.forgotten(extensive.walk(guesser, ""))
    assert (found.player, found.information_set.key) == (0, 1)
    assert extensive.forgotten(library.kuhn().form.history) == ()
    with pytest.raises(extensive.RecallError, match=r"player 0 .* 'exit\?'"):
        extensive.compile_tree(driver, "")


def test_a_player_without_moves_has_one_plan():
    def rules(state):
        if state in ("x", "y"):
            return extensive.terminal({"x": (1, 3), "y": (2, 0)}[state])
        return extensive.decide(0, "", [("x", "x"), ("y", "y")])

    game = extensive.compile_tree(rules, "")
    normal = extensive.reduced_normal_form(game)
    np.testing.assert_array_equal(normal.payoffs, [[[1], [2]], [[3], [0]]])
    assert normal.labels.actions == (("x", "y"), ("",))
    still = game.form.trees[1]
    np.testing.assert_array_equal(extensive.reduced_plans(still), [[1]])
    np.testing.assert_array_equal(extensive.mixed_strategy(still, jnp.ones(1)), [1])
    joint = Joint(jnp.asarray([[0.75], [0.25]]))
    for gains in (
        extensive.extensive_correlated_gains,
        extensive.extensive_coarse_correlated_gains,
    ):
        np.testing.assert_allclose(jax.jit(gains)(game, joint), [0.75, 0])
    assert extensive.trigger_gains(game, joint, 1).informed.shape == (0, 1)

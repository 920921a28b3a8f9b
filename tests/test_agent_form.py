"""The agent form of trees: logit equilibria, their limits, beliefs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import extensive, games, metrics, solvers
from gamejax.extensive import (
    agent_form,
    beliefs,
    chance,
    compile_tree,
    decide,
    library,
    node_probabilities,
    sequential_equilibrium,
    terminal,
)

KUHN = library.kuhn()
AGENTS = agent_form(KUHN)

# Logit equilibria of the agent form of Kuhn poker, by another program: probabilities of passing.
PASSES = {
    1.0: {
        "J": 0.5780635086497545,
        "J pb": 0.7310585786300291,
        "Q": 0.5211620654522642,
        "Q pb": 0.3540122213246201,
        "K": 0.4717530623526956,
        "K pb": 0.04742587317755012,
        "Q p": 0.5590590806595513,
        "Q b": 0.31513260005552557,
        "K p": 0.38990639652642206,
        "K b": 0.0474258731775501,
        "J p": 0.5926565902165377,
        "J b": 0.7310585786300291,
    },
    10.0: {
        "J": 0.8101384550435362,
        "J pb": 0.9999546021312739,
        "Q": 0.8630746347494762,
        "Q pb": 0.45454163143969795,
        "K": 0.4084142410533724,
        "K pb": 9.357622983506851e-14,
        "Q p": 0.966148426298084,
        "Q b": 0.5699245400646056,
        "K p": 0.056583193220642404,
        "K b": 9.357622983506885e-14,
        "J p": 0.6778356563835811,
        "J b": 0.9999546021312739,
    },
}


def by_information(game, behaviors):
    """The first action's probability at each information set, by what is known there."""
    return {
        game.form.information_key(i, j): float(rows[j, 0])
        for i, rows in enumerate(behaviors)
        for j in range(game.form.trees[i].num_sets)
    }


def random_behaviors(key, game, count):
    """Behaviors of all players, `count` of them."""
    sets = agent_form(game).strategy_sets
    keys = jax.random.split(key, len(sets))
    return tuple(
        jax.vmap(lambda z, s=s: s.mirror(z, gamejax.regularizers.Entropy()))(
            jax.random.normal(k, (count, *s.shape))
        )
        for k, s in zip(keys, sets, strict=True)
    )


def slow_utilities(game, behaviors, player):
    """Payoffs given that a set is reached, from the tree of histories, node by node."""
    history = game.form.history
    place = [np.argsort(order) for order in game.form.order]

    def edge(node, excluded):
        parent = history.parent[node]
        mover = history.player[parent]
        if mover == excluded:
            return 1.0
        if mover < 0:
            return float(history.probability[node])
        return behaviors[mover][place[mover][history.information[parent]], history.branch[node]]

    def reach(node):
        return 1.0 if node == 0 else reach(history.parent[node]) * edge(node, player)

    below = {node: np.flatnonzero(history.parent == node) for node in range(len(history.parent))}
    below[0] = below[0][below[0] != 0]

    def value(node):
        if history.player[node] == -2:
            return float(history.payoffs[history.information[node], player])
        return sum(edge(child, None) * value(child) for child in below[node])

    found = np.zeros(behaviors[player].shape)
    total = np.zeros(len(found))
    for node in np.flatnonzero(history.player == player):
        j = place[player][history.information[node]]
        total[j] += reach(node)
        for child in below[node]:
            found[j, history.branch[child]] += reach(node) * value(child)
    return found / np.where(total == 0, 1, total)[:, None]


class TestUtilities:
    @pytest.mark.parametrize("game", [KUHN, library.seltens_horse(), library.beer_quiche()])
    def test_against_histories(self, game):
        behaviors = tuple(b[0] for b in random_behaviors(jax.random.key(0), game, 1))
        found = jax.jit(lambda b: agent_form(game).utilities(b))(behaviors)
        for i, utility in enumerate(found):
            expected = slow_utilities(game, [np.asarray(b) for b in behaviors], i)
            np.testing.assert_allclose(utility, expected, atol=1e-14)

    def test_unreached_sets_are_finite_and_differentiable(self):
        agents = agent_form(library.seltens_horse())
        across = tuple(jnp.array([[0.0, 1.0]]) for _ in range(3))
        assert (agents.utility(2, across) == 0).all()
        assert agents.reach(2, across) == 0

        def total(profile):
            return jnp.stack([u.sum() for u in agents.utilities(profile)]).sum()

        slope = jax.jit(jax.grad(total))(across)
        assert all(jnp.isfinite(s).all() for s in slope)

    def test_gaps_are_at_least_those_of_the_tree(self):
        behaviors = random_behaviors(jax.random.key(1), KUHN, 64)

        def gains(b):
            return metrics.gains(AGENTS, b), metrics.gains(KUHN, AGENTS.plans(b))

        agents, tree = jax.jit(jax.vmap(gains))(behaviors)
        assert (agents >= tree - 1e-12).all()
        assert (tree > 0).all()

    def test_an_agent_equilibrium_of_which_moves_taken_together_are_none(self):
        """Selten's agents leave later sets of the same player out; here they count."""

        def rules(state):
            ends = {"b": (2, 2), "aw0": (3, 0), "aw1": (0, 0), "ax0": (2, 3), "ax1": (4, 1)}
            if state in ends:
                return terminal(ends[state])
            if state == "":
                return decide(0, "first", [("a", "a"), ("b", "b")])
            if state == "a":
                return decide(1, "second", [("w", "aw"), ("x", "ax")])
            return decide(0, "third", [("y", state + "0"), ("z", state + "1")])

        game = compile_tree(rules, "")
        agents = agent_form(game)
        profile = (jnp.array([[0.0, 1.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0]]))
        assert metrics.nash_gap(game, agents.plans(profile)) == 1
        assert metrics.nash_gap(agents, profile) == 3

    def test_conversions(self):
        behaviors = tuple(b[0] for b in random_behaviors(jax.random.key(2), KUHN, 1))
        for b, c in zip(behaviors, AGENTS.behaviors(AGENTS.plans(behaviors)), strict=True):
            np.testing.assert_allclose(b, c, rtol=1e-12)
        np.testing.assert_allclose(
            AGENTS.expected_payoffs(behaviors), KUHN.expected_payoffs(AGENTS.plans(behaviors))
        )

    def test_other_games_are_refused(self):
        for function in (agent_form, sequential_equilibrium):
            with pytest.raises(TypeError, match="needs a SequenceFormGame, got a MatrixGame"):
                function(games.MatrixGame(jnp.eye(2)))
        with pytest.raises(TypeError, match="not a Joint"):
            AGENTS.expected_payoffs(gamejax.Joint(jnp.ones((1, 1))))


class TestLogit:
    def test_published_table(self):
        for precision, table in PASSES.items():
            behaviors = []
            for i, strategies in enumerate(AGENTS.strategy_sets):
                keys = [KUHN.form.information_key(i, j) for j in range(strategies.shape[0])]
                passes = jnp.array([table[key] for key in keys])
                behaviors.append(jnp.stack([passes, 1 - passes], axis=1))
            solver = solvers.LogitEquilibrium(precision)
            assert solver.certificate(AGENTS, tuple(behaviors)) < 1e-10

    @pytest.mark.slow
    def test_traced_to_the_published_table(self):
        def equilibrium(precision):
            return gamejax.solve(AGENTS, solvers.LogitEquilibrium(precision), tol=1e-12)

        found = jax.jit(jax.vmap(equilibrium))(jnp.array(list(PASSES)))
        assert (found.result == gamejax.RESULTS.successful).all()
        for number, table in enumerate(PASSES.values()):
            shown = by_information(KUHN, [b[number] for b in found.profile])
            for key, probability in table.items():
                np.testing.assert_allclose(shown[key], probability, rtol=1e-8)

    def test_centipede_by_backward_induction(self):
        """Every agent takes with the logistic probability of what it gains by that."""
        game = library.centipede(4)
        precision, gains = 2.0, [(0.4, 0.1), (0.8, 0.2), (1.6, 0.4), (3.2, 0.8), (6.4, 1.6)]
        take = [
            (large, small)[:: 1 if k % 2 == 0 else -1] for k, (large, small) in enumerate(gains)
        ]
        value, expected = np.array(take[4]), {}
        for k in reversed(range(4)):
            mover = k % 2
            chosen = 1 / (1 + np.exp(-precision * (take[k][mover] - value[mover])))
            expected[k] = chosen
            value = chosen * np.array(take[k]) + (1 - chosen) * value
        agents = agent_form(game)
        profile = tuple(
            jnp.array([[expected[k], 1 - expected[k]] for k in (player, player + 2)])
            for player in range(2)
        )
        assert [game.form.information_key(0, j) for j in range(2)] == [0, 2]
        assert solvers.LogitEquilibrium(precision).certificate(agents, profile) < 1e-14
        np.testing.assert_allclose(agents.expected_payoffs(profile), value)


class TestSequentialEquilibrium:
    @pytest.fixture(scope="class")
    @classmethod
    def horse(cls):
        return sequential_equilibrium(library.seltens_horse())

    def test_selects_the_sequential_equilibrium_of_seltens_horse(self, horse):
        first, second, third = horse.behaviors
        np.testing.assert_allclose([first[0, 1], second[0, 1]], 1, atol=1e-6)
        assert third[0, 1] >= 0.75
        assert horse.gap <= 1e-12
        assert horse.sequential_gap < 1e-3
        np.testing.assert_allclose(horse.beliefs[horse.beliefs > 0].sum(), 3, rtol=1e-12)
        # The third player believes that it was the first with at most 1/3: else left is better.
        game = library.seltens_horse()
        nodes = np.flatnonzero(game.form.history.player == 2)
        np.testing.assert_allclose(horse.beliefs[nodes].sum(), 1)
        assert horse.beliefs[nodes[0]] < 0.34

    def test_branch_begins_at_uniform_play_and_rises(self, horse):
        assert horse.branch.precision.shape == horse.branch.gap.shape == (200,)
        np.testing.assert_allclose(horse.branch.strategies[0][0], [[0.5, 0.5]], atol=0.2)
        assert (jnp.diff(horse.branch.precision) >= 0).all()

    @pytest.mark.slow
    def test_mixed_play_in_a_subgame_that_is_not_reached(self):
        """Matching pennies with stakes, to be avoided: 2/5 and 2/5 in the subgame."""

        def rules(state):
            if state == "":
                return decide(0, "enter", [("out", "o"), ("in", "i")])
            if state == "o":
                return terminal((2, 0))
            if len(state) == 3:
                gain = {"hh": 2, "ht": -1, "th": -1, "tt": 1}[state[1:]]
                return terminal((gain, -gain))
            return decide(len(state) - 1, "pennies", [(c, state + c) for c in "ht"])

        found = sequential_equilibrium(compile_tree(rules, ""))
        np.testing.assert_allclose(found.behaviors[0][0], [1, 0], atol=1e-9)
        np.testing.assert_allclose(found.behaviors[0][1], [0.4, 0.6], atol=5e-3)
        np.testing.assert_allclose(found.behaviors[1][0], [0.4, 0.6], atol=5e-3)
        assert found.gap < 1e-9
        assert found.sequential_gap < 5e-3

    @pytest.mark.slow
    def test_kuhn(self):
        found = sequential_equilibrium(KUHN)
        shown = by_information(KUHN, found.behaviors)
        bluff = 1 - shown["J"]
        assert 0 < bluff < 1 / 3
        np.testing.assert_allclose(1 - shown["K"], 3 * bluff, atol=1e-6)
        np.testing.assert_allclose(1 - shown["Q pb"], bluff + 1 / 3, atol=1e-6)
        np.testing.assert_allclose(shown["J p"], 2 / 3, atol=1e-6)
        assert found.gap < 1e-12

    @pytest.mark.slow
    def test_mapped_over_payoffs(self):
        tree = library.beer_quiche().form.history
        game = extensive.from_history(tree, keep_zeros=True)  # payoffs that are not known
        scales = jnp.array([1.0, 2.0])

        def solved(scale):
            return sequential_equilibrium(game.with_payoffs(game.payoffs * scale, merge=False))

        found = jax.vmap(solved)(scales)
        for b in found.behaviors:
            np.testing.assert_allclose(b[0], b[1], atol=1e-6)
        assert (found.gap < 1e-9).all()


class TestBeliefs:
    def test_bayes_by_hand(self):
        game = library.beer_quiche()
        agents = agent_form(game)
        behaviors = list(agents.behaviors(tuple(s.center(float) for s in game.strategy_sets)))
        behaviors[0] = jnp.array([[0.5, 0.5], [0.25, 0.75]])
        plans = agents.plans(tuple(behaviors))
        history = game.form.history
        probabilities = jax.jit(lambda x: node_probabilities(game, x))(plans)
        np.testing.assert_allclose(probabilities[0], 1)
        np.testing.assert_allclose(probabilities[history.leaves].sum(), 1)
        deciding = np.flatnonzero(history.player == 1)
        strong_beer, strong_quiche, weak_beer, weak_quiche = 0.45, 0.45, 0.025, 0.075
        expected = sorted(
            [strong_beer / 0.475, weak_beer / 0.475, strong_quiche / 0.525, weak_quiche / 0.525]
        )
        found = jax.jit(lambda x: beliefs(game, x))(plans)
        np.testing.assert_allclose(np.sort(found[deciding]), expected, rtol=1e-12)
        assert (found[history.leaves] == 0).all()

    def test_unreached_sets_are_uniform(self):
        game = library.seltens_horse()
        across = tuple(jnp.array([1.0, 0.0, 1.0]) for _ in range(3))
        found = jax.jit(lambda x: beliefs(game, x))(across)
        np.testing.assert_allclose(found[np.flatnonzero(game.form.history.player == 2)], 0.5)


def test_a_player_that_never_moves():
    game = compile_tree(
        lambda s: terminal((s, 1 - s)) if s else decide(0, "", [("a", 1), ("b", 2), ("c", 3)]),
        0,
    )
    agents = agent_form(game)

    @jax.jit
    def gaps(profile):
        plans = agents.plans(profile)
        solver = solvers.LogitEquilibrium(1.0)
        tree = metrics.nash_gap(game, plans)
        return solver.certificate(agents, profile), metrics.nash_gap(agents, profile), tree, plans

    residual, own, tree, plans = gaps((jax.nn.softmax(jnp.arange(3.0))[None], jnp.ones((1, 1))))
    assert residual < 1e-15
    np.testing.assert_allclose(own, tree)
    np.testing.assert_allclose(plans[1], [1.0])
    assert agents.behaviors(plans)[1].shape == (1, 1)


def test_float32():
    agents = agent_form(KUHN.with_payoffs(KUHN.payoffs.astype(jnp.float32), merge=False))
    center = tuple(s.center(agents.dtype) for s in agents.strategy_sets)
    shapes = jax.eval_shape(lambda b: (agents.utilities(b), agents.plans(b)), center)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


@pytest.mark.slow
def test_chance_may_change_under_differentiation():
    """Payoff and chance derivatives of an agent logit equilibrium, against differences."""

    def rules(state):
        if state == "":
            return chance([(0.5, "g"), (0.5, "b")])
        if len(state) == 2:
            table = {"ga": (3, 1), "gb": (0, 0), "ba": (1, 0), "bb": (2, 2)}
            return terminal(table[state])
        return decide(0, "", [("a", state + "a"), ("b", state + "b")])

    game = compile_tree(rules, "", keep_zeros=True)
    nodes = np.flatnonzero(game.form.history.parent == 0)[1:]

    def first(odds):
        probabilities = (
            jnp.ones(len(game.form.history.parent)).at[nodes].set(jnp.stack([odds, 1 - odds]))
        )
        moved = game.with_payoffs(game.payoffs, game.leaf_chances(probabilities), merge=False)
        found = gamejax.solve(
            agent_form(moved),
            solvers.LogitEquilibrium(1.0),
            tol=1e-12,
            adjoint=gamejax.Implicit(),
        )
        return found.profile[0][0, 0]

    value, slope = jax.jit(jax.value_and_grad(first))(0.5)
    # a pays 3 or 1, b 0 or 2: the difference is 4 p - 1 at odds p.
    expected = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    np.testing.assert_allclose(slope, 4 * expected * (1 - expected), rtol=1e-9)

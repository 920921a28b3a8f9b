"""Gaps of extensive-form correlated play, against listing all deviations."""

import itertools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import Joint, extensive, games, metrics
from gamejax.extensive import library
from tests import random_trees

TREES = [(38, 2, 3), (16, 3, 5)]
LIMIT = 5000
"""Rules of deviation that a test lists at most."""


@jax.jit
def everything(game, normal, joints):
    """All gains of joint distributions, on the tree and in its reduced normal form."""

    def one(probabilities):
        joint = Joint(probabilities)
        return {
            "coarse": metrics.coarse_correlated_gains(normal, joint),
            "extensive coarse": extensive.extensive_coarse_correlated_gains(game, joint),
            "extensive": extensive.extensive_correlated_gains(game, joint),
            "swap": metrics.correlated_gains(normal, joint),
            "triggers": [extensive.trigger_gains(game, joint, i) for i in range(game.num_players)],
        }

    return jax.vmap(one)(joints)


def after(tree, plan, option):
    """What a player does whose advice is `plan`, leaving it as `option(set, action)` says.

    An option is `None` for obeying, or the plan to follow from that set on.
    """
    reached = np.zeros(tree.num_sequences, np.int8)
    reached[0] = 1
    following = [None] * tree.num_sequences
    for j in range(tree.num_sets):
        parent, first = tree.parent[j], 1 + j * tree.width
        if not reached[parent]:
            continue
        followed = following[parent]
        if followed is None:
            action = int(plan[first : first + tree.width].argmax())
            followed = option(j, action)
        if followed is not None:
            action = followed[j]
        reached[first + action] = 1
        following[first + action] = followed
    return tuple(reached.tolist())


def best_deviation(game, joint, player, informed):
    """The largest gain of any rule of when and how to leave the advice, by listing the rules."""
    tree = game.form.trees[player]
    plans = [extensive.reduced_plans(t) for t in game.form.trees]
    where = {tuple(row.tolist()): k for k, row in enumerate(plans[player])}
    gained = np.zeros((len(where), len(where)))  # advice, plan played
    for index in np.ndindex(joint.shape):
        for k, own in enumerate(plans[player]):
            played = [p[a] for p, a in zip(plans, index, strict=True)]
            played[player] = own
            gained[index[player], k] += joint[index] * random_trees.payoffs(game, played)[player]
    choices = list(itertools.product(*(range(n) for n in tree.num_actions)))
    triggers = [
        (j, k) for j in range(tree.num_sets) for k in range(tree.num_actions[j] if informed else 1)
    ]
    # Rules that differ only before their trigger are the same; keep one of each.
    options = []
    for j, _ in triggers:
        below = {j}
        for later in range(j + 1, tree.num_sets):
            if tree.parent[later] and (tree.parent[later] - 1) // tree.width in below:
                below.add(later)
        kept = {tuple(c if i in below else 0 for i, c in enumerate(choice)) for choice in choices}
        options.append([None, *sorted(kept)])
    if math.prod(map(len, options)) > LIMIT:
        return None
    best = -np.inf
    for rule in itertools.product(*options):
        chosen = dict(zip(triggers, rule, strict=True))

        def option(j, k, chosen=chosen):
            return chosen[j, k if informed else 0]

        value = sum(
            gained[advice, where[after(tree, plan, option)]]
            for advice, plan in enumerate(plans[player])
        )
        best = max(best, value)
    return best - np.trace(gained)


@pytest.mark.parametrize("case", TREES)
def test_gains_are_those_of_the_best_of_all_deviations(case):
    game = random_trees.random_tree(*case)
    normal = extensive.reduced_normal_form(game)
    rng = np.random.default_rng(0)
    shape = normal.payoffs.shape[1:]
    joints = rng.dirichlet(np.full(np.prod(shape), 0.1), size=12).reshape(12, *shape)
    # The last six are products of independent plans, whose advice tells nothing.
    drawn = [random_trees.random_plans(game, rng) for _ in range(6)]
    for k, profile in enumerate(drawn):
        mixed = [
            np.asarray(extensive.mixed_strategy(tree, x))
            for tree, x in zip(game.form.trees, profile, strict=True)
        ]
        letters = "abc"[: len(mixed)]
        joints[6 + k] = np.einsum(",".join(letters) + "->" + letters, *mixed)
    found = jax.tree.map(np.asarray, everything(game, normal, jnp.asarray(joints)))
    for k, profile in enumerate(drawn):
        gain = random_trees.gains(game, profile)
        for name in ("coarse", "extensive coarse", "extensive", "swap"):
            np.testing.assert_allclose(found[name][6 + k], gain, atol=1e-12, err_msg=name)
    assert (found["extensive coarse"] >= found["coarse"] - 1e-12).all()
    assert (found["extensive"] >= found["extensive coarse"] - 1e-12).all()
    assert (found["swap"] >= found["extensive"] - 1e-12).all()
    compared = 0
    for i, tree in enumerate(game.form.trees):
        informed = found["triggers"][i].informed.reshape(12, -1)
        single, positive = informed.max(1, initial=0), np.maximum(informed, 0).sum(1)
        assert (found["extensive"][:, i] >= single - 1e-12).all()
        assert (found["extensive"][:, i] <= positive + 1e-12).all()
        for name, hears in (("extensive", True), ("extensive coarse", False)):
            for k in range(2):
                expected = best_deviation(game, joints[k], i, hears)
                if expected is not None:
                    np.testing.assert_allclose(found[name][k, i], expected, atol=1e-12)
                    compared += tree.num_sets > 1
    assert compared


def test_games_of_one_set_each_have_the_gaps_of_their_matrix():
    first = np.array([[3.0, 0.0, 1.0], [5.0, 1.0, -2.0]])
    second = np.array([[3.0, 5.0, 0.0], [0.0, 1.0, 4.0]])

    def rules(state):
        if len(state) < 2:
            names = "ab" if not state else "xyz"
            return extensive.decide(len(state), "", [(n, (*state, k)) for k, n in enumerate(names)])
        return extensive.terminal([first[state], second[state]])

    game, matrix = extensive.compile_tree(rules), games.bimatrix(first, second)
    rng = np.random.default_rng(1)
    joints = jnp.asarray(rng.dirichlet(np.ones(6), size=20).reshape(20, 2, 3))
    found = everything(game, matrix, joints)
    coarse = np.maximum(found["coarse"], 0)
    np.testing.assert_allclose(found["extensive"], found["swap"], atol=1e-12)
    np.testing.assert_allclose(found["extensive coarse"], coarse, atol=1e-12)
    for i in range(2):
        internal = jax.vmap(lambda p: metrics.internal_gains(matrix, Joint(p)))(joints)[:, i]
        largest = found["triggers"][i].informed.max((1, 2))
        np.testing.assert_allclose(np.maximum(largest, 0), internal, atol=1e-12)
        np.testing.assert_allclose(found["triggers"][i].coarse[:, 0], found["coarse"][:, i])


def signaling(state):
    """A student of type G or B sends one of two letters; a professor hires or not."""
    if state == "":
        half = Fraction(1, 2)
        return extensive.chance([(half, "G"), (half, "B")])
    if len(state) == 1:
        return extensive.decide(0, state, [(s, state + s) for s in "XY"])
    if len(state) == 2:
        return extensive.decide(1, state[1], [("hire", state + "h"), ("not", state + "n")])
    if state[2] == "n":
        return extensive.terminal((0, 6))
    return extensive.terminal((4, 10) if state[0] == "G" else (6, 0))


def test_hidden_advice_makes_a_signal_credible():
    """The good type is told a secret letter, the bad one any; the professor trusts the secret.

    Obeying, the student gets 1/2 * 4 + 1/2 * 1/2 * 6 = 3.5 and the professor
    1/2 * 10 + 1/2 * (1/2 * 0 + 1/2 * 6) = 6.5. Told both letters at once, the bad type would see
    the secret and gain 6 with probability 1/4: no correlated equilibrium, in all of which the
    professor does without letters.
    """
    game = extensive.compile_tree(signaling, "")
    normal = extensive.reduced_normal_form(game)
    assert normal.labels.actions == (
        ("X/X", "X/Y", "Y/X", "Y/Y"),
        ("hire/hire", "hire/not", "not/hire", "not/not"),
    )
    assert [game.form.information_key(0, j) for j in range(2)] == ["G", "B"]
    # Rows: letters of G and B. Columns: trusts X only, trusts Y only.
    advice = np.zeros((4, 4))
    advice[[0, 1], 1] = 0.25
    advice[[2, 3], 2] = 0.25
    found = everything(game, normal, jnp.asarray(advice)[None])
    np.testing.assert_allclose(normal.expected_payoffs(Joint(jnp.asarray(advice))), [3.5, 6.5])
    np.testing.assert_allclose(found["extensive"], [[0, 0]], atol=1e-15)
    np.testing.assert_allclose(found["extensive coarse"], [[0, 0]], atol=1e-15)
    np.testing.assert_allclose(found["swap"], [[1.5, 0]], atol=1e-15)
    assert found["triggers"][0].informed.max() <= 0


def test_a_profile_has_its_nash_gains_and_other_joints_are_refused():
    game = library.kuhn()
    uniform = tuple(s.center(game.dtype) for s in game.strategy_sets)
    gains = metrics.gains(game, uniform)
    np.testing.assert_allclose(extensive.extensive_correlated_gains(game, uniform), gains)
    np.testing.assert_allclose(
        extensive.extensive_coarse_correlated_gap(game, uniform), gains.max()
    )
    np.testing.assert_allclose(extensive.extensive_correlated_gap(game, uniform), gains.max())
    with pytest.raises(ValueError, match=r"shape \(27, 64\), got \(2, 2\)"):
        extensive.extensive_correlated_gap(game, Joint(jnp.full((2, 2), 0.25)))


def test_float32_joints_have_float32_gains():
    game = extensive.compile_tree(signaling, "")
    game = game.with_payoffs(game.payoffs.astype(jnp.float32), game.chance.astype(jnp.float32))
    joint = Joint(jnp.full((4, 4), 1 / 16, jnp.float32))
    gains = jax.jit(extensive.extensive_correlated_gains)(game, joint)
    assert gains.dtype == jnp.float32
    # Uniform advice tells nothing; not to be hired at all is what the professor should do.
    np.testing.assert_allclose(gains, [0, 0.5], atol=1e-6)

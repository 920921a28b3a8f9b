"""Treeplexes against the enumeration of their pure plans, linear programs and closed forms."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from gamejax.regularizers import Entropy, Euclidean
from gamejax.sets import Tree, Treeplex, balanced_weights
from gamejax.sets._ragged import Ragged

# Sets of 3, 2 and 1 actions on three levels, several below one sequence, some sequences without.
TREE = Tree([0, 0, 1, 1, 5, 8, 8], [3, 2, 3, 2, 1, 2, 3])
WEIGHTS = np.array([1.5, 0.5, 2.0, 1.0, 0.25, 3.0, 1.0])
SETS = {"plain": Treeplex(TREE), "weighted": Treeplex(TREE, WEIGHTS)}


@functools.cache
def pure_plans(tree):
    """Every pure plan, one a row."""
    found = set()
    for choice in itertools.product(*(range(n) for n in tree.num_actions)):
        plan = np.zeros(tree.num_sequences)
        plan[0] = 1
        for j, action in enumerate(choice):
            plan[1 + j * tree.width + action] = plan[tree.parent[j]]
        found.add(tuple(plan))
    return np.array(sorted(found))


def numpy_entropy(strategies, plan):
    """The dilated entropy, set by set."""
    tree, total = strategies.tree, 0.0
    weights = np.ones(tree.num_sets) if strategies.weights is None else strategies.weights
    for j in range(tree.num_sets):
        reach = plan[tree.parent[j]]
        for x in plan[1 + j * tree.width : 1 + j * tree.width + tree.num_actions[j]]:
            if x > 0:
                total += weights[j] * x * np.log(x / reach)
    return total


@functools.partial(jax.jit, static_argnums=0)
def answers(name, utilities, temperature):
    strategies = SETS[name]

    def one(utility):
        best = strategies.lmo(utility)
        smooth = strategies.mirror(utility / temperature, Entropy())
        again = strategies.mirror(strategies.dual(smooth, Entropy()), Entropy())
        shaken = strategies.restore(smooth * (1 + 1e-6 * jnp.sin(jnp.arange(float(smooth.size)))))
        return {
            "lmo": best,
            "support": strategies.support(utility),
            "smooth": smooth,
            "smooth_support": strategies.smooth_support(utility, temperature),
            "again": again,
            "restored": strategies.restore(smooth),
            "recentered": strategies.recenter(utility),
            "shaken": strategies.violation(shaken),
            "violations": jnp.stack([strategies.violation(x) for x in (best, smooth, again)]),
            "shifted": strategies.violation(smooth.at[1].add(0.125)),
            "negative": strategies.violation(-smooth),
        }

    return jax.vmap(one)(utilities)


@pytest.mark.parametrize("name", ["weighted", pytest.param("plain", marks=pytest.mark.slow)])
def test_treeplex_against_its_pure_plans(name):
    strategies, plans = SETS[name], pure_plans(TREE)
    rng, temperature = np.random.default_rng(0), 0.7
    utilities = rng.normal(size=(20, TREE.num_sequences)) * 10 ** rng.uniform(-1, 1.5, (20, 1))
    found = answers(name, jnp.asarray(utilities), temperature)
    payoffs = utilities @ plans.T
    np.testing.assert_allclose(found["support"], payoffs.max(1), rtol=1e-12)
    np.testing.assert_allclose((found["lmo"] * utilities).sum(1), payoffs.max(1), rtol=1e-12)
    assert found["violations"].max() < 1e-14
    assert found["shaken"].max() < 1e-14
    assert found["shifted"].min() > 0.12
    assert found["negative"].min() >= 1
    np.testing.assert_allclose(found["again"], found["smooth"], atol=1e-12)
    np.testing.assert_allclose(found["restored"], found["smooth"], atol=1e-14)
    # Plans are ranked as before, and the best of them at 0.
    shifts = payoffs - np.asarray(found["recentered"]) @ plans.T
    np.testing.assert_allclose(shifts, np.repeat(payoffs.max(1, keepdims=True), len(plans), 1))
    # No mixture of pure plans does better with the entropy than the mirror map.
    mixtures = rng.dirichlet(np.full(len(plans), 0.1), 15) @ plans
    for utility, smooth, value in zip(
        utilities, found["smooth"], found["smooth_support"], strict=True
    ):
        ours = utility @ smooth - temperature * numpy_entropy(strategies, np.asarray(smooth))
        np.testing.assert_allclose(ours, value, rtol=1e-12)
        for plan in mixtures:
            assert utility @ plan - temperature * numpy_entropy(strategies, plan) <= value + 1e-12
    widest = max(-numpy_entropy(strategies, p) for p in (strategies.center(jnp.float64),))
    assert strategies.entropy_range(jnp.float64) >= widest - 1e-12


def test_entropy_range_is_the_largest_divergence_from_the_center():
    expected = []
    for plan in pure_plans(TREE):
        reach = plan[TREE.parent]
        expected.append((WEIGHTS * reach * np.log(TREE.num_actions)).sum())
    np.testing.assert_allclose(SETS["weighted"].entropy_range(jnp.float64), max(expected))


def test_lmo_matches_a_linear_program():
    tree, utility = TREE, np.random.default_rng(1).normal(size=TREE.num_sequences)
    rows = np.zeros((1 + tree.num_sets, tree.num_sequences))
    rows[0, 0] = 1
    for j in range(tree.num_sets):
        rows[1 + j, 1 + j * tree.width : 1 + j * tree.width + tree.num_actions[j]] = 1
        rows[1 + j, tree.parent[j]] -= 1
    ghosts = np.append(False, ~tree.mask.reshape(-1))
    bounds = [(0, 0 if ghost else None) for ghost in ghosts]
    program = linprog(-utility, A_eq=rows, b_eq=np.eye(1 + tree.num_sets)[0], bounds=bounds)
    np.testing.assert_allclose(SETS["plain"].support(jnp.asarray(utility)), -program.fun)


def test_behaviors_and_plans():
    rng = np.random.default_rng(2)
    behaviors = np.where(TREE.mask, rng.uniform(0.1, 1, TREE.mask.shape), 0)
    behaviors /= behaviors.sum(1, keepdims=True)
    plan = SETS["plain"].plan(jnp.asarray(behaviors))
    np.testing.assert_allclose(SETS["plain"].behaviors(plan), behaviors, rtol=1e-13)
    pure = jnp.asarray(pure_plans(TREE)[0])
    unreached = SETS["plain"].behaviors(pure)[np.asarray(pure)[TREE.parent] == 0]
    assert len(unreached)
    counts = TREE.num_actions[np.asarray(pure)[TREE.parent] == 0]
    np.testing.assert_allclose(unreached.max(1), 1 / counts)
    # Averages that rounding or weights took off the set come back into it.
    np.testing.assert_allclose(SETS["plain"].restore(plan * 1.0), plan, atol=1e-15)


def test_gradients_pass():
    def outcome(utility):
        strategies = SETS["weighted"]
        return jnp.sin(strategies.mirror(utility, Entropy())).sum() + strategies.support(utility)

    utility = jnp.asarray(np.random.default_rng(3).normal(size=TREE.num_sequences))
    slope = jax.jit(jax.grad(outcome))(utility)
    changes = jax.jit(
        jax.vmap(lambda e: (outcome(utility + 1e-6 * e) - outcome(utility - 1e-6 * e)) / 2e-6)
    )(jnp.eye(len(utility)))
    np.testing.assert_allclose(slope, changes, atol=1e-8)


def test_a_player_without_a_move():
    nobody = Treeplex(Tree([], []))
    for dtype in (jnp.float32, jnp.float64):
        utility = jnp.array([2.5], dtype)
        for x in (nobody.center(dtype), nobody.lmo(utility), nobody.mirror(utility, Entropy())):
            chex.assert_trees_all_equal(x, jnp.ones(1, dtype))
            assert nobody.violation(x) == 0
        assert nobody.support(utility) == nobody.smooth_support(utility, 0.5) == 2.5
        assert nobody.entropy_range(dtype) == 0
        np.testing.assert_array_equal(nobody.dual(utility, Entropy()), [0])


def test_balanced_weights():
    def weight(j):
        below = [
            sum(weight(k) for k in range(TREE.num_sets) if TREE.parent[k] == 1 + 3 * j + a)
            for a in range(3)
        ]
        return 2 * (1 + max(below))

    expected = [weight(j) for j in range(TREE.num_sets)]
    np.testing.assert_allclose(balanced_weights(TREE), expected)


@pytest.mark.parametrize(
    "counts", [[2], [0, 1, 1, 0], [3, 0, 1, 4, 1, 0], [1] * 400 + [12] * 30 + [0] * 5, [0, 40]]
)
def test_sums_of_rows_of_different_lengths(counts):
    ragged, terms = Ragged(counts), np.random.default_rng(4).normal(size=sum(counts))
    padded = jnp.asarray(np.append(terms, 0))
    found = ragged.sums(lambda low, high: padded[ragged.items[low:high]])
    ends = np.cumsum(counts)
    expected = [terms[end - n : end].sum() for end, n in zip(ends, counts, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert len(ragged.items) <= 1.5 * sum(counts) + 200


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Tree([0, 0], [2]), ValueError, "one entry per information set"),
        (lambda: Tree([0], [0]), ValueError, "at least 1"),
        (lambda: Tree([0, 3], [2, 2]), ValueError, "ascending"),
        (lambda: Tree([1, 0], [2, 2]), ValueError, "ascending"),
        (lambda: Tree([0, 2], [1, 3]), ValueError, "earlier"),
        (lambda: Treeplex(TREE, np.ones(3)), ValueError, "7 in all"),
        (lambda: SETS["plain"].project(jnp.zeros(22)), TypeError, "no cheap Euclidean projection"),
        (lambda: SETS["plain"].mirror(jnp.zeros(22), Euclidean()), TypeError, "Entropy"),
    ],
)
def test_errors_say_what_is_wanted(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_trees_compare_by_what_they_hold():
    assert Tree(TREE.parent, TREE.num_actions) == TREE
    assert hash(Tree(TREE.parent, TREE.num_actions)) == hash(TREE)
    assert Tree([0], [2]) != Tree([0], [3])

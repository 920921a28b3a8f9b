"""Regularized equilibria of trees and gradients: published tables and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import games, learners, metrics, sets, solvers
from gamejax.extensive import compile_tree, decide, library, predictive_cfr_plus, terminal
from gamejax.regularizers import Entropy, Euclidean

KUHN = library.kuhn()
LAST = solvers.MirrorProx(averaging=solvers.Last())
# Logit equilibrium of Kuhn poker's reduced strategic form at precision 10, computed by others.
FIRST = {
    "J": ((0.75364232, 0.24635768), (0.64695966, 0.10668266)),
    "Q": ((0.70309809, 0.29690191), (0.25609184, 0.44700625)),
    "K": ((0.47546799, 0.52453201), (0.01290797, 0.46256001)),
}
SECOND = {
    "J": ((0.65005434, 0.34994566), (0.79722767, 0.20277233)),
    "Q": ((0.63415944, 0.36584056), (0.41154828, 0.58845172)),
    "K": ((0.28438486, 0.71561514), (0.0620185, 0.9379815)),
}


def moves(game, player, plan):
    """The plan's probabilities at each information set, by what is known there."""
    tree = game.form.trees[player]
    rows = np.asarray(plan)[1:].reshape(tree.num_sets, tree.width)
    return {game.form.information_key(player, j): rows[j] for j in range(tree.num_sets)}


NEVER = 2**30


@pytest.fixture(scope="module")
def magnetic():
    """Self-play of magnetic mirror descent, four kinds of magnets and temperatures at once."""

    def learner(rate, temperature, magnet, decay=0.0, every=NEVER):
        return learners.MagneticMirrorDescent(
            rate, temperature, magnet=magnet, decay=decay, magnet_every=every
        )

    def kinds(strategies):
        lowest = strategies.mirror(jnp.zeros(strategies.shape), Entropy())
        uniform = strategies.center(jnp.float64)
        own = [
            learner(0.1, 0.1, lowest),
            learner(0.1, 0.1, uniform),
            learner(1.0, 0.1, uniform, every=20),
            learner(2.0, 0.5, uniform, decay=0.5),
        ]
        return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *own)

    def run(pair):
        solver = solvers.SelfPlay(pair, averaging=solvers.Last())
        return gamejax.play(KUHN, solver, 10_000, record=1000)

    return jax.jit(jax.vmap(run))(tuple(map(kinds, KUHN.strategy_sets)))


@pytest.fixture(scope="module")
def found():
    return gamejax.solve(games.regularized(KUHN, 0.1), LAST, tol=1e-12, max_steps=20_000)


class TestRegularized:
    def test_published_table(self, found):
        assert found.result == gamejax.RESULTS.successful
        for player, table in enumerate((FIRST, SECOND)):
            shown = moves(KUHN, player, found.profile[player])
            for card, rows in table.items():
                own = [row for key, row in shown.items() if card in str(key)]
                np.testing.assert_allclose(
                    np.sort(np.ravel(own)), np.sort(np.ravel(rows)), atol=2e-7
                )

    def test_payoffs_less_costs(self, found):
        regularized = games.regularized(KUHN, 0.1)
        costs = [
            sum(
                above * np.sum(row * np.log(row))
                for above, row in zip(
                    np.asarray(plan)[s.tree.parent], np.asarray(s.behaviors(plan)), strict=True
                )
            )
            for s, plan in zip(KUHN.strategy_sets, found.profile, strict=True)
        ]
        expected = KUHN.expected_payoffs(found.profile) - 0.1 * np.array(costs)
        np.testing.assert_allclose(
            regularized.expected_payoffs(found.profile), expected, rtol=1e-12
        )

    def test_costs_of_products_add_up(self, found):
        parts = sets.Product((KUHN.strategy_sets[0], sets.Simplex(2)))
        strategy = (found.profile[0], jnp.array([0.25, 0.75]))
        costs = [s.regularization(x, Entropy()) for s, x in zip(parts.sets, strategy, strict=True)]
        np.testing.assert_allclose(parts.regularization(strategy, Entropy()), sum(costs))
        np.testing.assert_allclose(costs[1], 0.25 * np.log(0.25) + 0.75 * np.log(0.75))

    def test_magnetic_mirror_descent_has_it_as_fixed_point(self, found, magnetic):
        """With its magnet where the dilated entropy is least, which is not at uniform behaviors."""
        reached = [x[0] for x in magnetic.solution.profile]
        for x, y in zip(reached, found.profile, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-9)
        for x in games.regularized(KUHN, 0.1).residual(tuple(reached)):
            assert jnp.abs(x).max() < 1e-9

    def test_uniform_magnet(self, magnetic):
        profile = tuple(x[1] for x in magnetic.solution.profile)
        np.testing.assert_allclose(metrics.exploitability(KUHN, profile), 0.10991, atol=5e-6)
        np.testing.assert_allclose(magnetic.solution.stats["payoffs"][1, 0], -0.02984, atol=5e-6)

    def test_other_regularizers_are_refused(self):
        with pytest.raises(TypeError, match=r"Entropy\(\) only"):
            gamejax.solve(games.regularized(KUHN, 0.1, Euclidean()), LAST)


class TestAnnealing:
    """The last iterates of magnetic mirror descent go to a Nash equilibrium, two ways."""

    def test_moving_magnet(self, magnetic):
        gaps = magnetic.gaps[2]
        assert (gaps[:3] < jnp.array([1e-4, 1e-7, 1e-11])).all()

    def test_decaying_temperature(self, magnetic):
        gaps = magnetic.gaps[3]
        assert (gaps[jnp.array([0, -1])] < jnp.array([2e-2, 5e-3])).all()


def varied(change, chances, strength):
    """Kuhn poker with other payoffs and chances (need not sum to 1), regularized."""
    payoffs = KUHN.payoffs.astype(change.dtype) + change
    chance = KUHN.leaf_chances(chances)
    return games.regularized(KUHN.with_payoffs(payoffs, chance, merge=False), strength)


@pytest.fixture(scope="module")
def problem():
    generator = np.random.default_rng(0)
    chances = np.array([float(p) for p in KUHN.form.history.probability])
    zero_sum = generator.normal(size=(3, 1, 30)) * np.array([1.0, -1.0])[:, None]
    at = (0.3 * zero_sum, np.stack([chances] * 3), np.array([0.1, 0.3, 1.0]))
    ways = (
        generator.normal(size=(3, 2, 30)),
        generator.normal(size=(3, len(chances))) * 0.1,
        generator.normal(size=3) * 0.1,
    )
    return jax.tree.map(jnp.asarray, (at, ways, generator.normal(size=(3, 2, 13))))


class TestGradients:
    WIDTH = 1e-5

    @staticmethod
    def outcome(point, weights, adjoint):
        options = {"tol": 1e-11, "max_steps": 20_000}
        found = gamejax.solve(varied(*point), LAST, adjoint=adjoint, **options)
        return jnp.vdot(weights, jnp.stack(found.profile)), found.result

    def test_against_finite_differences(self, problem):
        at, ways, weights = problem
        steps = self.WIDTH * jnp.array([0.0, 1.0, -1.0])
        points = jax.tree.map(lambda x, d: jnp.concatenate([x + s * d for s in steps]), at, ways)

        def value(point, own):
            return self.outcome(point, own, gamejax.Implicit())

        both = jax.jit(jax.vmap(jax.value_and_grad(value, has_aux=True)))
        (values, result), slopes = both(points, jnp.concatenate([weights] * 3))
        assert (result == gamejax.RESULTS.successful).all()
        products = jax.tree.map(lambda s, d: (s[:3] * d).reshape(3, -1).sum(1), slopes, ways)
        difference = (values[3:6] - values[6:]) / (2 * self.WIDTH)
        np.testing.assert_allclose(sum(products), difference, rtol=1e-6, atol=1e-7)

    @pytest.mark.slow
    def test_unrolling_agrees(self, problem):
        at, _, weights = jax.tree.map(lambda x: x[2], problem)

        def value(point):
            found = gamejax.solve(
                varied(*point), LAST, tol=0.0, max_steps=1500, check_every=1500,
                adjoint=gamejax.Unrolled(),
            )  # fmt: skip
            return jnp.vdot(weights, jnp.stack(found.profile))

        unrolled = jax.jit(jax.grad(value))(at)
        exact = jax.jit(jax.grad(lambda p: self.outcome(p, weights, gamejax.Implicit())[0]))(at)
        for x, y in zip(unrolled, exact, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-9)

    @pytest.mark.slow
    def test_float32(self, problem):
        at, _, weights = jax.tree.map(lambda x: x[1], problem)

        def value(point, tol):
            found = gamejax.solve(
                varied(*point), LAST, tol=tol, max_steps=5000, adjoint=gamejax.Implicit()
            )
            return jnp.vdot(weights.astype(found.profile[0].dtype), jnp.stack(found.profile))

        slope = jax.jit(jax.grad(value))
        single = slope(jax.tree.map(lambda x: x.astype(jnp.float32), at), 2e-6)
        exact = slope(at, 1e-11)
        for x, y in zip(single, exact, strict=True):
            assert x.dtype == jnp.float32
            np.testing.assert_allclose(x, y, atol=2e-4 * jnp.abs(y).max())


class TestValue:
    """The payoffs that a solution reports follow the game at fixed strategies: the envelope."""

    def test_gradient(self):
        generator = np.random.default_rng(1)
        change, way = 0.3 * generator.normal(size=(2, 30)), generator.normal(size=(2, 30))
        chances = np.array([float(p) for p in KUHN.form.history.probability])
        tilt = np.where(chances < 1, 0.05 * generator.normal(size=chances.shape), 0)

        def value(step):
            payoff = KUHN.payoffs[0] + change[0] + step * way[0]
            game = KUHN.with_payoffs(
                jnp.stack([payoff, -payoff]), KUHN.leaf_chances(chances + step * tilt), merge=False
            )
            found = gamejax.solve(
                game, predictive_cfr_plus(merge=False), tol=1e-11, max_steps=20_000
            )
            return found.stats["payoffs"][0], found.gap

        steps = jnp.array([0.0, 1e-4, -1e-4])
        both = jax.jit(jax.vmap(jax.value_and_grad(value, has_aux=True)))
        (values, gaps), slopes = both(steps)
        assert (gaps < 1e-9).all()
        np.testing.assert_allclose(slopes[0], (values[1] - values[2]) / 2e-4, rtol=1e-6)


def pennies(bonus):
    """Matching pennies as a tree, one side worth more."""
    payoffs = jnp.array([1.0, -1.0, -1.0, 1.0]).at[0].add(bonus)
    return PENNIES.with_payoffs(jnp.stack([payoffs, -payoffs]), merge=False)


def coins(state):
    if len(state) == 2:
        return terminal((1, -1) if state[0] == state[1] else (-1, 1))
    return decide(len(state), len(state), [(side, state + side) for side in "ht"])


PENNIES = compile_tree(coins, "")


def test_residual_of_the_tree():
    """Zero at its equilibrium, the drift of mirror descent elsewhere."""
    residual = jax.jit(lambda profile: pennies(1.0).residual(profile))
    mixed = jnp.array([1, 0.4, 0.6])
    for x in residual((mixed, mixed)):
        np.testing.assert_allclose(x, 0, atol=1e-15)
    first, second = residual((mixed, jnp.array([1, 0.5, 0.5])))
    moved = 0.4 * np.exp(0.5) / (0.4 * np.exp(0.5) + 0.6)
    np.testing.assert_allclose(first, [0, 0.4 - moved, moved - 0.4], atol=1e-15)
    np.testing.assert_allclose(second, 0, atol=1e-15)


@pytest.mark.slow
def test_unregularized_equilibria_have_gradients_where_they_are_isolated():
    """x = y = 2 / (4 + bonus) for the first side, by indifference."""

    def heads(bonus):
        solver = predictive_cfr_plus(merge=False)
        found = gamejax.solve(
            pennies(bonus), solver, tol=1e-9, max_steps=50_000, adjoint=gamejax.Implicit()
        )
        return found.profile[0][1], found.profile

    slope, profile = jax.jit(jax.grad(heads, has_aux=True))(1.0)
    np.testing.assert_allclose([profile[0][1], profile[1][1]], [0.4, 0.4], atol=1e-8)
    np.testing.assert_allclose(slope, -2 / 25, atol=1e-7)


def test_one_information_set_each_is_a_matrix_game():
    """Its logit equilibrium of precision 1, as published."""
    tree = compile_tree(_square, "")
    profile = (jnp.array([1, 0.4886743, 0.5113257]), jnp.array([1, 0.3909379, 0.6090621]))
    for x in jax.jit(lambda p: games.regularized(tree, 1.0).residual(p))(profile):
        np.testing.assert_allclose(x, 0, atol=1e-7)


def _square(state):
    if len(state) == 2:
        payoff = {"00": 2, "01": -1, "10": -1, "11": 1}[state]
        return terminal((payoff, -payoff))
    return decide(len(state), len(state), [(a, state + a) for a in "01"])

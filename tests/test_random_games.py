"""Random games: distributions, structure, and the same numbers everywhere."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax.games import NormalFormGame, random, to_normal_form
from gamejax.metrics import nash_gap

KEYS = jax.random.split(jax.random.key(0), 64)

TENSOR_FAMILIES = {
    "zero_sum": lambda k, d: random.zero_sum(k, (3, 4), d),
    "general_sum": lambda k, d: random.general_sum(k, (2, 3, 4), d),
    "covariant": lambda k, d: random.covariant(k, (3, 2, 2), -0.25, d),
    "common_interest": lambda k, d: random.common_interest(k, (3, 2, 2), d),
    "coordination": lambda k, d: random.coordination(k, (3, 3, 2), d),
    "anti_coordination": lambda k, d: random.anti_coordination(k, (3, 3), d),
    "potential": lambda k, d: random.potential(k, (3, 2, 4), d),
    "dominance_solvable": lambda k, d: random.dominance_solvable(k, (4, 5, 2), d),
    "skew_symmetric": lambda k, d: random.skew_symmetric(k, 5, d),
    "cyclic": lambda k, d: random.cyclic(k, 5, d),
    "low_rank": lambda k, d: random.low_rank(k, (6, 7), 2, d),
    "sparse": lambda k, d: random.sparse(k, (20, 20), 0.3, d),
    "symmetric": lambda k, d: random.symmetric(k, 4, 3, d),
    "polymatrix": lambda k, d: random.polymatrix(k, 5, 3, 0.5, d),
    "zero_sum_polymatrix": lambda k, d: random.zero_sum_polymatrix(k, 3, 2, dtype=d),
    "congestion": lambda k, d: random.congestion(k, 3, 4, 5, d),
    "grab_the_dollar": lambda k, d: random.grab_the_dollar(k, 4, d),
    "location": lambda k, d: random.location(k, 7, d),
    "majority_voting": lambda k, d: random.majority_voting(k, 3, 3, d),
    "war_of_attrition": lambda k, d: random.war_of_attrition(k, 5, d),
}


@pytest.fixture(scope="module")
def batches():
    """64 games of every family from one program."""

    @jax.jit
    def draw(keys):
        return {
            name: jax.vmap(lambda k, build=build: build(k, float))(keys)
            for name, build in TENSOR_FAMILIES.items()
        }

    return draw(KEYS)


@pytest.fixture(scope="module")
def payoffs(batches):
    names = [n for n, g in batches.items() if isinstance(g, NormalFormGame)]
    return {n: np.asarray(batches[n].payoffs) for n in names} | {
        n: np.asarray(g.payoff) for n, g in batches.items() if hasattr(g, "payoff")
    }


def test_all_families_are_here():
    public = {n for n in vars(random) if not n.startswith("_")} - {"suite", "instance"}
    assert set(TENSOR_FAMILIES) == public


@pytest.mark.slow
def test_batches_equal_single_games(batches):
    names = ("zero_sum", "dominance_solvable", "congestion", "polymatrix")
    singles = jax.jit(lambda k: {n: TENSOR_FAMILIES[n](k, float) for n in names})(KEYS[5])
    for name, single in singles.items():
        same = jax.tree.map(lambda a, b: np.array_equal(a[5], b), batches[name], single)
        assert all(jax.tree.leaves(same)), name


@pytest.mark.parametrize("name", TENSOR_FAMILIES)
def test_types(name, batches):
    assert batches[name].dtype == np.float64
    shape = jax.eval_shape(lambda k: TENSOR_FAMILIES[name](k, jnp.float32), KEYS[0])
    kinds = {leaf.dtype for leaf in jax.tree.leaves(shape)}
    assert kinds <= {jnp.dtype(jnp.float32), jnp.dtype(bool)}


@pytest.mark.parametrize("name", ["zero_sum", "general_sum", "common_interest"])
def test_uniform_families(name, payoffs):
    values = payoffs[name]
    assert -1 <= values.min() < -0.95
    assert 0.95 < values.max() <= 1
    count = values.size / (3 if name == "common_interest" else 1)
    assert abs(values.mean()) < 4 / np.sqrt(3 * count)
    if name == "common_interest":
        assert np.ptp(values, axis=1).max() == 0


@pytest.mark.parametrize("correlation", [-0.5, -0.2, 0.0, 0.7, 1.0])
def test_covariant_correlation(correlation):
    game = random.covariant(jax.random.key(3), (25, 25, 32), correlation)
    samples = np.asarray(game.payoffs).reshape(3, -1)
    covariance = np.cov(samples)
    expected = (1 - correlation) * np.eye(3) + correlation
    np.testing.assert_allclose(covariance, expected, atol=0.04)
    if correlation == -0.5:
        np.testing.assert_allclose(samples.sum(0), 0, atol=1e-12)


def test_covariant_takes_traced_correlations():
    correlations = jnp.array([-1.0, 0.0, 1.0])
    games = jax.jit(jax.vmap(lambda c: random.covariant(KEYS[0], (8, 8), c)))(correlations)
    first, second = games.payoffs[:, 0], games.payoffs[:, 1]
    np.testing.assert_allclose(first[0], -second[0], atol=1e-12)
    np.testing.assert_allclose(first[2], second[2], atol=1e-12)
    slope = jax.grad(lambda c: random.covariant(KEYS[0], (8, 8), c).payoffs[0, 0, 0])(0.5)
    assert np.isfinite(slope)


def test_coordination_and_anti_coordination(payoffs):
    coordination = payoffs["coordination"]
    alike = np.zeros((3, 3, 2), bool)
    alike[[0, 1], [0, 1], [0, 1]] = True
    assert (coordination[:, :, alike] >= 0).all()
    assert (coordination[:, :, ~alike] <= 0).all()
    anti = payoffs["anti_coordination"]
    diagonal = np.eye(3, dtype=bool)
    assert (anti[:, :, diagonal] <= 0).all()
    assert (anti[:, :, ~diagonal] >= 0).all()


def test_potential_games_have_a_potential(payoffs):
    """Around every four-cycle of two players' moves the gains add up to zero."""
    u = payoffs["potential"]
    for i, j in itertools.combinations(range(3), 2):
        difference = u[:, i] - u[:, j]
        mixed = np.diff(np.diff(difference, axis=i + 1), axis=j + 1)
        assert abs(mixed).max() < 1e-12
    assert abs(u).max() <= 1


def strictly_undominated(payoffs, left):
    """One round: the actions of each player that no other remaining action beats everywhere."""
    keep = []
    for i, actions in enumerate(left):
        table = np.moveaxis(payoffs[i][np.ix_(*left)], i, 0).reshape(len(actions), -1)
        beaten = [(table > row).all(1).any() for row in table]
        keep.append([a for a, b in zip(actions, beaten, strict=True) if not b])
    return keep


def test_dominance_solvable(payoffs):
    order = set()
    for game in payoffs["dominance_solvable"]:
        left = [list(range(n)) for n in game.shape[1:]]
        for _ in range(5):
            left = strictly_undominated(game, left)
        assert [len(a) for a in left] == [1, 1, 1]
        order.add(tuple(a[0] for a in left))
    assert len(order) > 15  # of 40: the order is hidden
    assert abs(payoffs["dominance_solvable"]).max() <= 1


def test_zero_sum_structure(payoffs):
    for name in ("skew_symmetric", "cyclic", "location"):
        np.testing.assert_allclose(payoffs[name], -payoffs[name].swapaxes(1, 2), atol=1e-15)
    ahead = (np.arange(5)[:, None] - np.arange(5)) % 5
    assert (np.sign(payoffs["cyclic"]) == np.array([0, 1, 1, -1, -1])[ahead]).all()
    assert (np.linalg.matrix_rank(payoffs["low_rank"]) == 2).all()
    assert abs(payoffs["low_rank"]).max() <= 1
    assert abs((payoffs["sparse"] != 0).mean() - 0.3) < 0.02


def test_polymatrix_structure(batches):
    zero_sum = jax.vmap(to_normal_form)(batches["zero_sum_polymatrix"])
    np.testing.assert_allclose(zero_sum.payoffs.sum(1), 0, atol=1e-12)
    blocks = np.asarray(batches["polymatrix"].payoffs)
    met = (blocks != 0).any((-1, -2))
    assert (met == met.swapaxes(1, 2)).all()
    assert abs(met[:, ~np.eye(5, dtype=bool)].mean() - 0.5) < 0.06


def test_congestion_structure(batches):
    games = batches["congestion"]
    assert (np.diff(games.delays, axis=-1) >= 0).all()
    assert 0 <= games.delays.min() <= games.delays.max() <= 1
    assert all(np.asarray(s).any(-1).all() for s in games.strategies)
    assert np.unique(games.strategies[0][:, 0], axis=0).shape[0] > 10


def test_stories(payoffs):
    dollar = payoffs["grab_the_dollar"]
    low, middle, high = dollar[:, 0, 2, 2], dollar[:, 0, 2, 1], dollar[:, 0, 1, 2]
    assert ((low < middle) & (middle < high)).all()
    np.testing.assert_array_equal(dollar[:, 1], dollar[:, 0].swapaxes(1, 2))

    place = payoffs["location"]
    # The median customer's place is a saddle point of value 0: some row is nowhere negative.
    assert (place.min(2).max(1) > -1e-12).all()

    votes = payoffs["majority_voting"]
    np.testing.assert_array_equal(votes[:, :, 1, 2, 1], votes[:, :, 1, 1, 1])
    np.testing.assert_array_equal(votes[:, :, 2, 1, 0], votes[:, :, 0, 0, 0])

    war = payoffs["war_of_attrition"]
    prize = war[:, 0, 1, 0]
    cost = war[:, 0, 0, 1] - war[:, 0, 1, 2]
    np.testing.assert_allclose(war[:, 0, 3, 2], prize - 2 * cost, atol=1e-12)
    np.testing.assert_allclose(war[:, 0, 2, 2], prize / 2 - 2 * cost, atol=1e-12)
    assert ((cost >= 0) & (cost <= 0.2) & (prize >= 0) & (prize <= 1)).all()


def test_suite_builds_and_names_agree():
    suite = random.suite()
    assert len(suite) >= 90
    families = {name.split("-")[0].split("(")[0] for name in suite}
    assert families == set(TENSOR_FAMILIES)
    shapes = {
        "zero_sum-8x64-0": (8, 64),
        "general_sum-5x4x3-0": (5, 4, 3),
        "covariant(-0.5)-4x4x4-0": (4, 4, 4),
        "congestion-3x3x4-0": (3, 3, 3),
        "symmetric-5x3-0": (3,) * 5,
        "location-10-0": (10, 10),
    }
    for name, shape in shapes.items():
        game = suite[name]()
        assert tuple(s.shape[0] for s in game.strategy_sets) == shape
        center = tuple(s.center(game.dtype) for s in game.strategy_sets)
        assert 0 <= nash_gap(game, center) < 3
    assert random.suite(jnp.float32)["low_rank(2)-32x32-0"]().dtype == np.float32


PINNED = {
    "zero_sum-16x16-7": [0.6882138901647057, -0.9091748297466871, 0.3518021949455665],
    "covariant(-0.5)-4x4x4-0": [-0.22152016002886352, -0.11039962275603186, 0.1526947635464961],
    "dominance_solvable-4x4-0": [0.9827736233768034, 0.2302221882181854, -0.4468110741166149],
    "symmetric-5x3-0": [-0.16308577656722711, -0.5674090907889773, -0.08333989095798167],
}


@pytest.mark.parametrize("name", PINNED)
def test_instances_are_pinned(name):
    game = random.instance(name)
    leaf = np.asarray(jax.tree.leaves(game)[0]).ravel()
    np.testing.assert_allclose(leaf[[0, 1, -1]], PINNED[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: random.instance("poker-3x3-0"), ValueError, "name must be a family"),
        (lambda: random.instance("zero_sum-3x3"), ValueError, "name must be a family"),
        (lambda: random.instance("congestion-3x3-0"), ValueError, "does not fit its family"),
        (lambda: random.instance("zero_sum-3x3x3-0"), ValueError, "2 entries"),
        (lambda: random.zero_sum(KEYS[0], 3), TypeError, "shape must be a tuple"),
        (lambda: random.general_sum(KEYS[0], (2.5, 3)), TypeError, "must be an integer"),
        (lambda: random.general_sum(KEYS[0], ()), ValueError, "at least one entry"),
        (lambda: random.general_sum(KEYS[0], (3, 0)), ValueError, "at least 1"),
        (lambda: random.covariant(KEYS[0], (3, 3, 3), -0.6), ValueError, "between -1/2 and 1"),
        (lambda: random.cyclic(KEYS[0], 4), ValueError, "odd"),
    ],
)
def test_bad_arguments_are_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    "name", ["sparse(0.2)-32x32-0", "polymatrix(0.2)-32x3-0", "congestion-3x3x4-0"]
)
def test_float32_instances_are_the_same_without_x64(name):
    here = random.instance(name, jnp.float32)
    with jax.enable_x64(False):
        there = random.instance(name, jnp.float32)
    for x, y in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        np.testing.assert_array_equal(x, y)

"""Self-play: trajectory oracles, the regret identity, joint outputs, orders and keys."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import games, learners, metrics, solvers
from gamejax.feedback import BanditFeedback, FullInformation

TWO = games.MatrixGame(np.array([[2.0, -1.0], [-1.0, 1.0]]))
MATRICES = jax.random.uniform(jax.random.key(0), (24, 4, 6), jnp.float64, -1, 1)

# First coordinates of x^1, x^2, ... and y^1, y^2, ...
SIMULTANEOUS = {
    "hedge": (
        learners.Hedge(0.5),
        [0.5, 0.5621765, 0.5852975, 0.5495790],
        [0.5, 0.4378235, 0.3417644, 0.2462553],
    ),
    "optimistic-hedge": (
        learners.Hedge(0.5, optimism=1.0),
        [0.5, 0.6224593, 0.5343715, 0.3128536],
        [0.5, 0.3775407, 0.2038673, 0.1857287],
    ),
    "rm": (learners.RegretMatching(), [0.5, 1, 1 / 8, 0, 0, 0], [0.5, 0, 0, 0, 1 / 3, 1]),
    "rm+": (
        learners.RegretMatchingPlus(),
        [0.5, 1, 1 / 9, 0, 0.5044679, 0.8409904],
        [0.5, 0, 0, 52 / 61, 1, 0.7690670],
    ),
    "prm+": (
        learners.PredictiveRegretMatchingPlus(),
        [0.5, 1, 1 / 17, 0, 0.7151754, 1],
        [0.5, 0, 0, 0.9317269, 1, 0.3689149],
    ),
    "dcfr": (
        learners.DiscountedRegretMatching(1.5, 0.0),
        [0.5, 1, 1 / 16, 0, 0],
        [0.5, 0, 0, 0.5751106, 1],
    ),
}
ALTERNATING = {
    "rm": (
        learners.RegretMatching(),
        [0.5, 1, 1 / 8, 0, 0, 0.4537068],
        [0.5, 0, 0, 5 / 9, 0.8766520, 0.8139232],
    ),
    "rm+": (
        learners.RegretMatchingPlus(),
        [0.5, 1, 1 / 9, 0.2507553, 0.4660219, 0.5912549],
        [0.5, 0, 0.4905660, 0.6167251, 0.5593886, 0.4054171],
    ),
}


def strategies(learner, steps, **options):
    """What rounds 2, 3, ... play."""
    solver = solvers.SelfPlay(learner, **options)
    return gamejax.play(TWO, solver, steps, record=lambda s: s.strategies).records


@pytest.mark.parametrize("name", SIMULTANEOUS)
def test_simultaneous_trajectories(name):
    learner, x, y = SIMULTANEOUS[name]
    first, second = strategies(learner, len(x) - 1)
    np.testing.assert_allclose(first[:, 0], x[1:], atol=1e-7)
    np.testing.assert_allclose(second[:, 0], y[1:], atol=1e-7)


@pytest.mark.parametrize("name", ALTERNATING)
def test_alternating_trajectories(name):
    learner, x, y = ALTERNATING[name]
    first, second = strategies(learner, len(x) - 1, alternating=True)
    np.testing.assert_allclose(first[:, 0], x[1:], atol=1e-7)
    np.testing.assert_allclose(second[:, 0], y[1:], atol=1e-7)


def test_order_of_movers():
    # With the second player first, the game seen from the other side moves alike.
    swapped = games.MatrixGame(-TWO.payoff.T)
    rm = learners.RegretMatchingPlus()
    for order, game in (((1, 0), TWO), ((0, 1), swapped)):
        solver = solvers.SelfPlay(rm, alternating=True, order=order)
        way = gamejax.play(game, solver, 6, record=lambda s: s.strategies)
        if order == (1, 0):
            expected = way.records
        else:
            chex.assert_trees_all_close(way.records, expected[::-1], atol=1e-14)
    plain = strategies(rm, 6, alternating=True)
    assert jnp.abs(plain[0] - expected[0]).max() > 0.05
    chex.assert_trees_all_close(plain, strategies(rm, 6, alternating=True, order=(0, 1)))


@pytest.mark.parametrize(
    "learner", [learners.Hedge(), learners.RegretMatchingPlus()], ids=["hedge", "rm+"]
)
def test_gap_of_the_uniform_average_is_the_regret_sum_over_rounds(learner):
    def run(matrix):
        game = games.MatrixGame(matrix)
        solution = gamejax.play(game, solvers.SelfPlay(learner), 700, record=700).solution
        return metrics.nash_conv(game, solution.profile), solution.stats["regrets"].sum() / 700

    gaps, regrets = jax.vmap(run)(MATRICES)
    np.testing.assert_allclose(gaps, regrets, rtol=1e-10, atol=1e-13)


def test_regrets_by_hand():
    learner = learners.Hedge(0.3)
    way = gamejax.play(TWO, solvers.SelfPlay(learner), 9, record=lambda s: s.strategies)
    half = np.full((1, 2), 0.5)
    x, y = (np.concatenate([half, r[:-1]]) for r in way.records)
    a = np.asarray(TWO.payoff)
    value = np.einsum("ta,ab,tb->", x, a, y)
    expected = [(a @ y.sum(0)).max() - value, value - (x.sum(0) @ a).min()]
    np.testing.assert_allclose(way.solution.stats["regrets"], expected, atol=1e-13)


def test_joint_gap_is_the_largest_regret_over_rounds():
    tensors = jax.random.uniform(jax.random.key(1), (12, 3, 2, 3, 4), jnp.float64)
    solver = solvers.SelfPlay(learners.Hedge(), output="joint")

    def run(payoffs):
        way = gamejax.play(games.NormalFormGame(payoffs), solver, 300, record=100)
        return way.gaps[-1], way.solution.stats["regrets"].max() / 300, way.solution.profile

    gaps, regrets, joint = jax.vmap(run)(tensors)
    np.testing.assert_allclose(gaps, regrets, atol=1e-13)
    assert joint.probabilities.shape == (12, 2, 3, 4)
    np.testing.assert_allclose(joint.probabilities.sum((1, 2, 3)), 1, atol=1e-12)


def test_one_learner_each():
    pair = (learners.Hedge(0.5), learners.RegretMatching())
    mixed = strategies(pair, 1)
    np.testing.assert_allclose(mixed[0], strategies(pair[0], 1)[0], atol=1e-15)
    np.testing.assert_allclose(mixed[1], strategies(pair[1], 1)[1], atol=1e-15)
    # A tuple of equal learners is one learner for all.
    chex.assert_trees_all_equal(strategies(pair[0], 4), strategies((pair[0],) * 2, 4))


def test_each_player_with_its_own_feedback_and_key():
    solver = solvers.SelfPlay(learners.Hedge(0.1), feedback=(FullInformation(), BanditFeedback()))

    def run(seed):
        return gamejax.play(TWO, solver, 50, key=jax.random.key(seed)).solution.profile

    first, again, other = run(0), run(0), run(1)
    chex.assert_trees_all_equal(first, again)
    assert jnp.abs(first[1] - other[1]).max() > 1e-3


def test_best_responses_in_self_play_are_best_response_dynamics():
    table = jax.random.uniform(jax.random.key(4), (3, 4), jnp.float64)
    game = games.bimatrix(table, table)
    play = solvers.SelfPlay(learners.BestResponse(), averaging=solvers.Last(), alternating=True)
    dynamics = solvers.FictitiousPlay(step_size=1.0, alternating=True)
    first, second = (gamejax.play(game, s, 6).solution for s in (play, dynamics))
    chex.assert_trees_all_close(first.profile, second.profile)
    assert first.gap == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solvers.SelfPlay(learners.Hedge(), output="all"), "output must be"),
        (
            lambda: solvers.SelfPlay(learners.Hedge(), alternating=True, order=(0, 2)),
            "order must be a permutation",
        ),
        (lambda: solvers.SelfPlay(learners.Hedge(), order=(1, 0)), "only matters in alternating"),
        (
            lambda: gamejax.play(TWO, solvers.SelfPlay((learners.Hedge(),) * 3), 1),
            "learners must be one for all players or a tuple of 2",
        ),
        (
            lambda: gamejax.play(
                TWO, solvers.SelfPlay(learners.Hedge(), alternating=True, order=(0, 1, 2)), 1
            ),
            "order names 3 players, the game has 2",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()

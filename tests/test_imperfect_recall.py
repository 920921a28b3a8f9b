"""Trees whose players forget: evaluated right, refused by every solver."""

from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import extensive, games, metrics
from gamejax.extensive import ImperfectRecallGame, RecallError, chance, decide, terminal
from gamejax.games import Labels

EXAMPLES = Path(__file__).parents[1] / "examples" / "games"


def rules(path):
    """Two players who see only how long the game has lasted and one bit of its past; chance.

    The third player never moves. The first one may come twice to the same information set.
    """
    rng = np.random.default_rng([5, *path])
    if len(path) == 5 or (len(path) > 2 and rng.random() < 0.2):
        return terminal(rng.normal(size=3).tolist())
    if len(path) == 1:
        odds = rng.dirichlet(np.ones(3)).tolist()
        return chance([(p, (*path, k)) for k, p in enumerate(odds)])
    player = int(rng.integers(2))
    seen = ("early" if len(path) < 3 else "late", path[0] if path else None)
    count = 2 if seen[0] == "late" else 3
    paid = rng.normal(size=3).tolist()
    return decide(player, seen, [(f"a{k}", (*path, k)) for k in range(count)], payoffs=paid)


GAME = ImperfectRecallGame(extensive.walk(rules, ()), labels=Labels("", ("Ann", "Bob", "Cal")))


def random_behaviors(seed):
    """Random behaviors of all players."""
    rng = np.random.default_rng(seed)
    weights = [
        rng.exponential(size=s.shape) * (1 if s.mask is None else np.asarray(s.mask))
        for s in GAME.strategy_sets
    ]
    return tuple(jnp.asarray(w / w.sum(1, keepdims=True)) for w in weights)


def payoffs_by_hand(profile):
    """Expected payoffs by a walk over the tree, leaf by leaf."""
    history = GAME.history
    total = np.zeros(3)
    for node in history.leaves:
        weight, at = 1.0, node
        while at:
            above = history.parent[at]
            mover, number = history.player[above], history.information[above]
            own = (
                history.probability[at] if mover < 0 else profile[mover][number, history.branch[at]]
            )
            weight, at = weight * float(own), above
        total += weight * history.payoffs[history.information[node]].astype(float)
    return total


@jax.jit
@jax.vmap
def evaluate(profile):
    """Payoffs and gradients."""
    return GAME.expected_payoffs(profile), GAME.utilities(profile), metrics.gains(GAME, profile)


def test_payoffs_and_gradients_are_those_of_the_tree():
    assert {player for player, _ in GAME.forgets} == {0, 1}
    assert GAME.forgets == tuple(found[:2] for found in extensive.forgotten(GAME.history))
    assert [s.shape[0] for s in GAME.strategy_sets][2] == 1
    profile = random_behaviors(0)
    rows, unravel = jax.flatten_util.ravel_pytree(profile)
    step = 1e-5
    beside = np.asarray(rows) + step * np.concatenate([np.eye(rows.size), -np.eye(rows.size)])
    profiles = jax.vmap(unravel)(np.concatenate([[rows], beside]))
    payoffs, utilities, gaps = evaluate(profiles)
    np.testing.assert_allclose(payoffs[0], payoffs_by_hand(profile), atol=1e-13)
    slopes = np.subtract(*np.split(payoffs[1:], 2)) / (2 * step)
    first = 0
    for i, own in enumerate(utilities):
        rates = slopes[first : first + own[0].size, i].reshape(own[0].shape)
        np.testing.assert_allclose(own[0], rates, atol=1e-8)
        first += rates.size
    assert (gaps[0] >= -1e-12).all()
    assert not utilities[2].any()


@jax.jit
@jax.vmap
def drive(leave):
    """The absent-minded driver's payoff, and the gap of its gradient."""
    game = games.load(EXAMPLES / "absent_minded_driver.efg")
    profile = (jnp.stack([leave, 1 - leave])[None],)
    return game.expected_payoffs(profile)[0], metrics.nash_gap(game, profile)


def test_the_absent_minded_driver_leaves_with_probability_one_third():
    leave = np.array([0, 1 / 3, 1 / 2, 1])
    payoffs, gaps = map(np.asarray, drive(leave))
    stay = 1 - leave
    np.testing.assert_allclose(payoffs, 4 * stay * leave + stay**2, atol=1e-14)
    assert payoffs[1] == payoffs.max()
    np.testing.assert_allclose(gaps[1], 0, atol=1e-14)
    assert (gaps[[0, 2]] > 0.1).all()


def test_pure_behaviors_have_gradients_too():
    """No division by a probability of 0."""
    game = games.load(EXAMPLES / "forgetful_team.efg")
    profile = (jnp.array([[1.0, 0], [0, 1]]), jnp.array([[1.0, 0], [1, 0]]))
    payoffs, (own, other) = jax.jit(lambda x: (game.expected_payoffs(x), game.utilities(x)))(
        profile
    )
    np.testing.assert_array_equal(payoffs, [0, 1])
    np.testing.assert_array_equal(own, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(other, [[1, 1], [0, 0]])


REFUSED = (
    "player 1 ('Driver') does not recall its own past at its information set 1 ('Exit'), which"
)


@pytest.mark.parametrize(
    "front_door",
    [
        gamejax.solve,
        lambda game: gamejax.solve(game, extensive.cfr_plus()),
        lambda game: gamejax.play(game, None, 1),
        lambda game: gamejax.solve_batch([game, game]),
        lambda game: gamejax.solve_batch(jax.tree.map(lambda x: jnp.stack([x, x]), game)),
        gamejax.equilibria,
        gamejax.default_solver,
        gamejax.value,
        lambda game: jax.jit(lambda g: gamejax.solve(g).gap)(game),
    ],
)
def test_every_front_door_refuses_and_names_player_and_set(front_door):
    game = games.load(EXAMPLES / "absent_minded_driver.efg")
    with pytest.raises(RecallError, match=r"player 1 .'Driver'. does not recall") as refusal:
        front_door(game)
    assert str(refusal.value).startswith(REFUSED)
    assert (refusal.value.player, refusal.value.number) == (0, 0)


def test_the_rules_name_the_player_and_what_it_knows():
    with pytest.raises(
        RecallError, match=r"player 0 does not recall .* information set \('late', 0"
    ):
        extensive.compile_tree(rules)


def test_a_tree_of_perfect_recall_is_no_such_game():
    with pytest.raises(
        ValueError, match=r"history has perfect recall; gamejax.extensive.from_hist"
    ):
        ImperfectRecallGame(extensive.walk(lambda _: terminal([1, 2]), ()))


def test_games_on_one_tree_are_of_one_kind():
    one, two = (games.load(EXAMPLES / "forgetful_team.efg") for _ in range(2))
    assert jax.tree.structure(one) == jax.tree.structure(two)
    assert hash(one.paths) == hash(two.paths)
    other = games.load(EXAMPLES / "absent_minded_driver.efg")
    assert one.paths != other.paths
    with pytest.raises(TypeError, match="played with behaviors, not with a Joint"):
        one.expected_payoffs(gamejax.Joint(jnp.ones((1, 1))))


def test_float32():
    with jax.enable_x64(False):
        game = games.load(EXAMPLES / "forgetful_team.efg")
        sets = game.strategy_sets
        profile = tuple(jax.eval_shape(lambda s=s: s.center(game.dtype)) for s in sets)
        payoffs, utilities = jax.eval_shape(
            lambda x: (game.expected_payoffs(x), game.utilities(x)), profile
        )
        assert game.dtype == payoffs.dtype == np.float32
        assert [(u.shape, u.dtype) for u in utilities] == [((2, 2), np.float32)] * 2

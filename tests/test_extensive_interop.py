"""Trees of other packages, each checked against that package; skipped where it is absent."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import extensive, games
from gamejax.extensive import library
from gamejax.learners import Counterfactual, RegretMatchingPlus
from gamejax.solvers import SelfPlay
from gamejax.solvers._averaging import Linear
from tests.random_trees import fast_gains, payoffs, plan

# As OpenSpiel does it: what was played is averaged.
CFR_PLUS = SelfPlay(
    Counterfactual(RegretMatchingPlus()), averaging=Linear(), alternating=True, averaged="played"
)


@jax.jit
def averages(game, counts):
    """What ten or so rounds vouch for, after each of these further numbers of rounds."""

    def go(carry, count):
        state, first = carry
        state = CFR_PLUS.advance(game, state, first, count, key=None)
        return (state, first + count), CFR_PLUS.vouched(game, state)

    start = CFR_PLUS.init(game, key=None, dtype=game.dtype)
    return jax.lax.scan(go, (start, jnp.int32(0)), counts)[1]


def uniform(game):
    """Everybody's uniform plan, in NumPy."""
    return tuple(plan(tree, tree.mask / tree.num_actions[:, None]) for tree in game.form.trees)


def structure(game):
    """What does not depend on the order of chance's branches."""
    form = game.form
    sizes = [(t.num_sets, sorted(t.num_actions.tolist()), len(t.levels)) for t in form.trees]
    return sizes, form.num_entries


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("kuhn_poker", library.kuhn),
        ("kuhn_poker(players=3)", lambda: library.kuhn(4, 3)),
        ("leduc_poker", library.leduc),
        ("liars_dice(dice_sides=3)", lambda: library.liars_dice(1, 3)),
        (
            "goofspiel(num_cards=4,imp_info=False,points_order=descending)",
            library.goofspiel,
        ),
        (
            "goofspiel(num_cards=3,imp_info=True,points_order=random)",
            lambda: library.goofspiel(3, "random", bids_seen=False),
        ),
    ],
)
def test_open_spiel_has_the_same_trees(name, make):
    pytest.importorskip("pyspiel")
    theirs, ours = extensive.from_open_spiel(name), make()
    assert structure(theirs) == structure(ours)
    plans = uniform(theirs), uniform(ours)
    np.testing.assert_allclose(payoffs(theirs, plans[0]), payoffs(ours, plans[1]), atol=1e-12)
    np.testing.assert_allclose(fast_gains(theirs, plans[0]), fast_gains(ours, plans[1]), atol=1e-12)


@pytest.mark.parametrize(("name", "make"), [("kuhn_poker", library.kuhn), ("leduc_poker", None)])
def test_open_spiel_walks_the_same_way(name, make):
    pyspiel = pytest.importorskip("pyspiel")
    rounds = (3, 7)
    theirs = pyspiel.load_game(name)
    solver, expected = pyspiel.CFRPlusSolver(theirs), []
    for count in rounds:
        for _ in range(count):
            solver.evaluate_and_update_policy()
        expected.append(pyspiel.exploitability(theirs, solver.average_policy()))
    for game in [extensive.from_open_spiel(theirs), *([make()] if make else [])]:
        found = averages(game, jnp.asarray(rounds, jnp.int32))
        gaps = [fast_gains(game, [x[t] for x in found]).mean() for t in range(len(rounds))]
        np.testing.assert_allclose(gaps, expected, rtol=1e-9)


def test_open_spiel_games_at_once_take_turns():
    pyspiel = pytest.importorskip("pyspiel")
    game = extensive.from_open_spiel(pyspiel.load_game("matrix_rps"))
    assert [t.num_sets for t in game.form.trees] == [1, 1]
    table = np.asarray(game.payoffs[0]).reshape(3, 3)
    np.testing.assert_array_equal(table, [[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    assert game.labels is not None
    assert game.labels.players == ("player 1", "player 2")


def test_what_is_not_taken():
    pyspiel = pytest.importorskip("pyspiel")
    with pytest.raises(TypeError, match=r"must be a pyspiel\.Game or a name, got list"):
        extensive.from_open_spiel([])
    with pytest.raises(ValueError, match="one of single players' moves"):
        extensive.from_open_spiel("mfg_crowd_modelling")
    del pyspiel
    pygambit = pytest.importorskip("pygambit")
    with pytest.raises(TypeError, match=r"must be a pygambit\.Game, got str"):
        extensive.from_pygambit("kuhn")
    with pytest.raises(ValueError, match="must be a tree"):
        extensive.from_pygambit(pygambit.Game.new_table([2, 2]))


def random_tree(seed):
    """A tree of three players with chance, hidden moves and payoffs at random."""
    rng = np.random.default_rng(seed)

    def rules(path):
        if len(path) == 6:
            return extensive.terminal([int(x) for x in rng.integers(-9, 10, 3)])
        if len(path) % 4 == 3:
            chances = rng.multinomial(8, [0.5, 0.25, 0.25]) / 8
            return extensive.chance([(float(p), (*path, k)) for k, p in enumerate(chances)])
        player = len(path) % 4
        # The own past, the public half of the moves, and nothing of the last move.
        known = (len(path), path[player::4], tuple(move // 2 for move in path[:-1]))
        return extensive.decide(
            player, known, [(str(k), (*path, k)) for k in range(2 + player % 2)]
        )

    return extensive.compile_tree(rules)


@pytest.mark.parametrize("seed", range(3))
def test_pygambit_round_trip(seed):
    pygambit = pytest.importorskip("pygambit")
    ours = random_tree(seed)
    theirs = pygambit.read_efg(io.StringIO(games.dumps(ours)))
    again = extensive.from_pygambit(theirs)
    np.testing.assert_array_equal(np.asarray(again.payoffs), np.asarray(ours.payoffs))
    np.testing.assert_allclose(again.chance, ours.chance, rtol=1e-15)
    assert [t.num_actions.tolist() for t in again.form.trees] == [
        t.num_actions.tolist() for t in ours.form.trees
    ]
    profile = theirs.mixed_behavior_profile()
    expected = [float(profile.payoff(player)) for player in theirs.players]
    np.testing.assert_allclose(payoffs(again, uniform(again)), expected, rtol=1e-12)


def test_missing_packages_are_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(ImportError, match="pip install open_spiel"):
        extensive.from_open_spiel("kuhn_poker")
    with pytest.raises(ImportError, match="pip install pygambit"):
        extensive.from_pygambit(None)

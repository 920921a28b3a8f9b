"""Games of other packages, each checked against that package; skipped where it is absent."""

import io

import numpy as np
import pytest

import gamejax
from gamejax import games

A = np.array([[3.0, 0.0, 1.0], [5.0, 1.0, -2.0]])
B = np.array([[3.0, 5.0, 0.5], [0.0, 1.0, 4.0]])


def tables(game):
    """All players' payoffs as one array."""
    return np.asarray(games.to_normal_form(game).payoffs)


def test_pygambit_tables():
    pygambit = pytest.importorskip("pygambit")
    given = pygambit.Game.from_arrays(A, B, title="A game")
    first, second = given.players
    first.label = "Row"
    list(second.strategies)[2].label = "Right"
    found = games.from_pygambit(given)
    assert isinstance(found, games.NormalFormGame)
    np.testing.assert_allclose(tables(found), [A, B], rtol=0, atol=0)
    assert found.labels is not None
    assert found.labels.title == "A game"
    assert found.labels.players[0] == "Row"
    assert found.labels.actions[1][2] == "Right"
    zero_sum = games.from_pygambit(pygambit.Game.from_arrays(A, -A))
    assert isinstance(zero_sum, games.MatrixGame)
    with pytest.raises(TypeError, match=r"must be a pygambit\.Game, got list"):
        games.from_pygambit([[1]])


def test_pygambit_takes_our_files_back():
    pygambit = pytest.importorskip("pygambit")
    text = games.dumps(games.bimatrix(A, B))
    again = games.from_pygambit(pygambit.read_nfg(io.StringIO(text)))
    np.testing.assert_array_equal(tables(again), [A, B])


def test_pygambit_trees_become_their_strategic_form():
    pygambit = pytest.importorskip("pygambit")
    text = """EFG 2 R "Entry" { "One" "Two" }
p "" 1 1 "" { "out" "in" } 0
t "" 1 "" { 0, 4 }
p "" 2 1 "" { "fight" "share" } 0
t "" 2 "" { -1, -1 }
t "" 3 "" { 2, 2 }
"""
    tree = pygambit.read_efg(io.StringIO(text))
    found = games.from_pygambit(tree)
    np.testing.assert_array_equal(tables(found), [[[0, 0], [-1, 2]], [[4, 4], [-1, 2]]])


def test_nashpy():
    nashpy = pytest.importorskip("nashpy")
    np.testing.assert_array_equal(tables(games.from_nashpy(nashpy.Game(A, B))), [A, B])
    zero_sum = games.from_nashpy(nashpy.Game(A))
    assert isinstance(zero_sum, games.MatrixGame)
    np.testing.assert_array_equal(zero_sum.payoff, A)
    with pytest.raises(TypeError, match=r"must be a nashpy\.Game, got ndarray"):
        games.from_nashpy(A)


def test_open_spiel():
    pyspiel = pytest.importorskip("pyspiel")
    given = pyspiel.create_matrix_game("ab", "A and B", ["u", "d"], ["l", "m", "r"], A, B)
    found = games.from_open_spiel(given)
    np.testing.assert_array_equal(tables(found), [A, B])
    assert found.labels == games.Labels("A and B", (), (("u", "d"), ("l", "m", "r")))
    blotto = games.from_open_spiel(pyspiel.load_game("blotto(players=3,coins=3,fields=2)"))
    assert tables(blotto).shape == (3, 4, 4, 4)
    np.testing.assert_allclose(tables(blotto).sum(0), 0, atol=1e-12)
    rps = games.from_open_spiel(pyspiel.load_game("matrix_rps"))
    assert isinstance(rps, games.MatrixGame)
    with pytest.raises(ValueError, match="kuhn_poker is a tree"):
        games.from_open_spiel(pyspiel.load_game("kuhn_poker"))
    with pytest.raises(TypeError, match=r"must be a pyspiel\.Game, got str"):
        games.from_open_spiel("matrix_rps")


def test_numpy_in_and_out():
    solution = gamejax.solve(games.MatrixGame(np.array([[2, -1], [-1, 1]])))
    x, y = (np.asarray(strategy) for strategy in solution.profile)
    assert x.dtype == y.dtype == np.float64
    np.testing.assert_allclose([x, y], [[0.4, 0.6], [0.4, 0.6]], atol=1e-12)
    assert float(solution.gap) < 1e-12

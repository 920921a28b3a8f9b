"""Reading and writing Gambit's .nfg format: values, names and errors."""

import itertools
import re
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import games
from gamejax.games import GameFileError, Labels, MatrixGame, NormalFormGame
from gamejax.sets import Simplex

HEAD = 'NFG 1 R "t" { "a" "b" }'


def three_players() -> str:
    """A 2 x 3 x 2 game whose payoffs spell 1000 player + 100 a1 + 10 a2 + a3."""
    numbers = [
        str(1000 * i + 100 * a + 10 * b + c)
        for c, b, a in itertools.product(range(2), range(3), range(2))
        for i in range(3)
    ]
    return 'NFG 1 R "Three" { "x" "y" "z" } { 2 3 2 }\n' + " ".join(numbers)


OUTCOMES = """NFG 1 R "An \\"outcome\\" game" { "x" "" }
{
  { "up" "down" }
  { "left" "" "right" }
}
"the comment"
{
  { "first" 1, -2.5 }
  { "second" 3/4 1e2 }
}
1 0
2 2
0 1
"""


def test_the_first_players_action_varies_fastest():
    payoffs = np.asarray(games.loads(three_players()).payoffs)
    i, a, b, c = np.indices((3, 2, 3, 2))
    np.testing.assert_array_equal(payoffs, 1000 * i + 100 * a + 10 * b + c)


def test_outcome_form():
    game = games.loads(OUTCOMES)
    assert isinstance(game, NormalFormGame)
    np.testing.assert_array_equal(
        game.payoffs, [[[1, 0.75, 0], [0, 0.75, 1]], [[-2.5, 100, 0], [0, 100, -2.5]]]
    )
    assert game.labels == Labels(
        'An "outcome" game', ("x", "2"), (("up", "down"), ("left", "2", "right"))
    )


def test_numbers():
    words = ["3", "-3", "+3", "1.25", ".5", "5.", "-.5e1", "2E3", "1e-3", "3/4", "-1/3", "007"]
    game = games.loads(f'NFG 1 R "" {{ "x" }} {{ {len(words)} }} ' + ", ".join(words))
    expected = [3, -3, 3, 1.25, 0.5, 5, -5, 2000, 0.001, 0.75, -1 / 3, 7]
    np.testing.assert_array_equal(game.payoffs[0], expected)
    assert game.dtype == jnp.float64


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace("\n", "\n\n\t , \n"),
        lambda t: re.sub(r"\s*([{}])\s*", r"\1", t),
        lambda t: t.replace("1 R", "1 D"),
        lambda t: t.replace('"the comment"', ""),
        lambda t: t.replace("the comment", "\\\\ { } 1 2 \\\" 'x' \n EFG"),
        lambda t: t.rstrip(),
    ],
)
def test_layout_does_not_matter(change):
    game, same = games.loads(change(OUTCOMES)), games.loads(OUTCOMES)
    np.testing.assert_array_equal(game.payoffs, same.payoffs)
    assert game.labels == same.labels


def test_names_that_the_file_leaves_out():
    game = games.loads(HEAD.replace('"b"', '""') + "{ 2 3 } " + "0 " * 12)
    assert game.labels == Labels("t", ("a", "2"), (("1", "2"), ("1", "2", "3")))


def random_games():
    rng = np.random.default_rng(0)
    special = np.array([0.0, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 1e16, -1e-5, 2.0**60])
    for counts in [(3,), (2, 3), (1, 1), (2, 1, 3), (2, 2, 2, 2)]:
        shape = (len(counts), *counts)
        values = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300, size=shape)
        values.flat[: special.size] = special[: values.size]
        yield values


def test_round_trip_keeps_every_bit(tmp_path):
    for payoffs in random_games():
        counts = payoffs.shape[1:]
        names = tuple(
            tuple(f'{"ab"[i % 2]} "{j}" \\' for j in range(n)) for i, n in enumerate(counts)
        )
        players = tuple(f'\\"p\\{i}\n é \\alpha \\\\' for i in range(len(counts)))
        for labels in [Labels('a "title"\\', players, names), None]:
            game = NormalFormGame(payoffs, labels=labels)
            games.save(game, tmp_path / "game.nfg")
            loaded = games.load(tmp_path / "game.nfg")
            assert np.asarray(loaded.payoffs).tobytes() == payoffs.tobytes()
            if labels is not None:
                assert loaded.labels == labels
            assert games.dumps(loaded) == games.dumps(game)


def test_round_trip_of_float32():
    payoffs = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    text = games.dumps(NormalFormGame(payoffs))
    np.testing.assert_array_equal(games.loads(text).payoffs, payoffs.astype(np.float64))
    with jax.enable_x64(False):
        game = games.loads(text)
        assert game.dtype == jnp.float32
        np.testing.assert_array_equal(game.payoffs, payoffs)
        with pytest.raises(GameFileError, match=r"<text>:1: expected a finite float32 .*'1e300'"):
            games.loads('NFG 1 R "" { "x" } { 1 } 1e300')


def test_a_matrix_game_is_saved_with_two_players():
    payoff = np.array([[1.0, -2.0, 0.0], [0.5, 0.0, 3.0]])
    labels = Labels("M", ("R", "C"), (("u", "d"), ("l", "m", "r")))
    text = games.dumps(MatrixGame(payoff, labels=labels))
    game = games.loads(text)
    np.testing.assert_array_equal(game.payoffs, np.stack([payoff, -payoff]))
    assert game.labels == labels
    assert "-0 " not in text


def test_what_is_written():
    text = games.dumps(games.bimatrix([[1, 0.5], [2, 3]], [[4, 5], [6, 1e300]]))
    assert text == (
        'NFG 1 R ""\n{ "Player 1" "Player 2" }\n{ 2 2 }\n""\n\n1 4  2 6\n0.5 5  3 1e+300\n'
    )


NUMBER = "expected a finite float64 number such as 3, -0.5, 2e3 or 3/4, found "
COUNT = "expected a positive number of strategies for each of 2 players, found "
FIRST = "expected 'NFG' (a strategic game) or 'EFG' (a tree), found "
MALFORMED = [
    ("", 1, FIRST + "the end of the file"),
    ("\n\nEFX 2", 3, FIRST + "'EFX'"),
    ("nfg 1 R", 1, FIRST + "'nfg'"),
    ("NFG 2 R", 1, "expected format version 1, found '2'"),
    ("NFG 1 Q", 1, "expected number type R or D, found 'Q'"),
    ("NFG 1 R { }", 1, "expected the title in quotation marks, found '{'"),
    ('NFG 1 R "t\n', 1, "expected a closing quotation mark, found the end of the file"),
    ('NFG 1 R "t" "x"', 1, "expected '{' and the players' names, found the text 'x'"),
    ('NFG 1 R "t"\n{ }', 2, "expected a player's name in quotation marks, found '}'"),
    ('NFG 1 R "t" { "x" y', 1, "expected a player's name in quotation marks or '}', found 'y'"),
    (HEAD + "\n{ 2 }", 2, COUNT + "'}'"),
    (HEAD + "{ 2 0 }", 1, COUNT + "'0'"),
    (HEAD + "{ 2 -1 }", 1, COUNT + "'-1'"),
    (HEAD + "{ 2 2.0 }", 1, COUNT + "'2.0'"),
    (HEAD + "{ 2 2 2 }", 1, "expected '}' after the strategies of 2 players, found '2'"),
    (HEAD + '{ { "x" } { } }', 1, "expected a strategy's name in quotation marks, found '}'"),
    (HEAD + '{ { "x" } }', 1, "expected '{' and strategy names for each of 2 players, found '}'"),
    (HEAD + "{ 2 1 }\n\n1 2 3", 3, "expected 4 payoffs for 2 x 1 strategies"),
    (HEAD + "{ 2 1 }\n1 2\n3 4\n5", 4, "expected the end of the file after 4 payoffs, found '5'"),
    (HEAD + "{ 2 1 } 1 2 3 4 }", 1, "expected the end of the file after 4 payoffs, found '}'"),
    (HEAD + "{ 2 1 }\n1 2\nx 4", 3, NUMBER + "'x'"),
    (HEAD + '{ 1 1 } "c" "d" 1 2', 1, NUMBER + "'\"d\"'"),
    (HEAD + "{ 1 1 }\n{\n{ 1 2 }", 3, "expected the outcome's name in quotation marks, found '1'"),
    (HEAD + '{ 1 1 } { { "" 1 } } 1', 1, NUMBER + "'}'"),
    (HEAD + '{ 1 1 } { { "" 1 "2" } } 1', 1, NUMBER + "the text '2'"),
    (HEAD + '{ 1 1 } { { "" 1 2 3', 1, "expected '}' after the payoffs of 2 players, found '3'"),
    (HEAD + '{ 1 1 } { { "" 1 2 } 1', 1, "expected '{' and an outcome, or '}', found '1'"),
    (HEAD + '{ 1 1 } { { "" 1 2 } } 2', 1, "expected an outcome's number, 0 to 1, found '2'"),
    (HEAD + '{ 1 1 } { { "" 1 2 } } -1', 1, "expected an outcome's number, 0 to 1, found '-1'"),
    (HEAD + '{ 2 1 } { { "" 1 2 } } 1', 1, "expected 2 outcome numbers for 2 x 1 strategies"),
    (HEAD + "{ 1 1 } { } 0\n0", 2, "expected the end of the file after 1 outcome numbers"),
    ("#AGG\n2", 1, FIRST + "an action-graph game (.agg), which is not read yet"),
    ("#BAGG\n2", 1, FIRST + "a Bayesian action-graph game (.bagg), which is not read yet"),
]


@pytest.mark.parametrize(("text", "line", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_text_is_refused_with_its_line(text, line, message):
    with pytest.raises(GameFileError, match=f"^my.nfg:{line}: {re.escape(message)}"):
        games.loads(text, source="my.nfg")


def test_only_finite_numbers_are_payoffs():
    long = ["9" * 5000, "1/" + "9" * 5000, "1" * 10**6, "1" * 10**6 + "x"]
    odd = "nan inf -inf 1e400 1/0 0/0 1/-2 1.5/2 1/ /2 - . 1_000 0x10 ٣ 1e 1e5. --1 1; \x00"
    for word in [*odd.split(" "), *long]:
        with pytest.raises(GameFileError, match=re.escape(NUMBER)):
            games.loads('NFG 1 R "" { "x" } { 2 } 1 ' + word)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "{ 99999999999 2 }\n1 2", "<text>:2: expected 399,999,999,996 payoffs for "
         "99999999999 x 2 strategies (a game of 3,199,999,999,968 bytes), found 2"),
        (HEAD + '{ 99999999999 2 }\n{ { "" 1 2 } }\n1 1 0', "<text>:3: expected 199,999,999,998 "
         "outcome numbers for 99999999999 x 2 strategies (a game of 3,199,999,999,968 bytes)"),
        (HEAD + f"{{ {'9' * 18} {'9' * 18} }}\n1 2", "<text>:2: expected 2.00e+36 payoffs"),
        (HEAD + f"{{ {'9' * 5000} 1 }}\n1 2", "<text>:1: expected a positive number of strat"),
        ('NFG 1 R "" { ' + '"" ' * 64 + "}", "<text>:1: expected at most 63 players, found 64"),
    ],
    ids=range(5),
)  # fmt: skip
def test_a_size_that_the_text_cannot_fill_is_refused_before_it_is_allocated(text, message):
    tracemalloc.start()
    with pytest.raises(GameFileError, match=re.escape(message)):
        games.loads(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_as_many_players_as_arrays_have_axes():
    game = games.loads('NFG 1 R "" { ' + '"" ' * 63 + "} { " + "1 " * 63 + "}" + "7 " * 63)
    assert game.payoffs.shape == (63,) + (1,) * 63


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(FileNotFoundError):
        games.load(tmp_path / "none.nfg")
    path = tmp_path / "latin.nfg"
    path.write_bytes('NFG 1 R\n"é"'.encode("latin-1"))
    with pytest.raises(GameFileError, match=r"latin.nfg:2: expected text in UTF-8, found .*0xe9"):
        games.load(path)
    with pytest.raises(TypeError, match="text must be a str, got bytes"):
        games.loads(b"NFG")  # pyright: ignore[reportArgumentType]


def test_games_that_cannot_be_written(tmp_path):
    payoffs = np.zeros((2, 2, 2))
    sets = (Simplex(2, np.array([True, False])), Simplex(2))
    path = tmp_path / "kept.nfg"
    path.write_text("kept")
    refused = [
        (NormalFormGame(payoffs, sets), ValueError, "whole simplices"),
        (NormalFormGame(np.full((1, 2), np.nan)), ValueError, "finite payoffs"),
        (jax.vmap(NormalFormGame)(np.zeros((3, 2, 2, 2))), ValueError, "one by one"),
        (NormalFormGame(payoffs, labels=Labels("", ("one",))), ValueError, "must name 2 players"),
        (NormalFormGame(payoffs, labels=Labels(actions=(("a",), ("b",)))), ValueError, "actions"),
        (object(), TypeError, "game must be a gamejax game"),
    ]
    for game, error, message in refused:
        with pytest.raises(error, match=message):
            games.save(game, path)
    assert path.read_text() == "kept"

"""Reading and writing Gambit's .efg format: trees, names, errors, and games that forget."""

import os
import re
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest

from gamejax import extensive, games
from gamejax.extensive import ImperfectRecallGame, SequenceFormGame, chance, decide, terminal
from gamejax.games import GameFileError, Labels
from tests.random_trees import fast_gains, payoffs, plan
from tests.trees import reduced_plans, strategic_payoffs

EXAMPLES = Path(__file__).parents[1] / "examples" / "games"
HEAD = 'EFG 2 R "t" { "x" "y" }\n'

# Labels of nodes that are left out or repeated, lists that are left out, numbers of sets with gaps
# and out of order, outcomes that are referred to, at inner nodes, and split over lines.
EVERYTHING = r"""EFG 2 D "A \"tree\"
of two lines" { "x" "" }
"a comment { 1 } p"
c "same" 7 "weather" { "rain" 1/3 "" .25 "never" 0 "wind" 5/12 } 5 "fee" { -1, 1/2 }
p "same" 2 9 "north" { "go" "stay" } 0
p "same" 1 4 "" { "" "" } 1 "bonus" { 1e1 0 }
t 0
t "" 2 "" { 2 -.5 }
t "same" 2
p 2 9 0  p 1 4 1  t 2
t 3 "" { 1/7
  , 1/7 }
t 0
p 1 2 "other" { "only" } 0  t "" 1
p 2 9 "renamed" { "go" "wait" } 5
p 1 4 "" { "u" "v" } 0 t 1 t 2 t 3
"""


def history_of(game):
    return game.history if isinstance(game, ImperfectRecallGame) else game.form.history


def test_every_construct():
    game = games.loads(EVERYTHING)
    assert isinstance(game, SequenceFormGame)
    assert game.labels == Labels('A "tree"\nof two lines', ("x", "2"))
    history = game.form.history
    assert history.player.tolist() == [
        -1,
        1,
        0,
        -2,
        -2,
        -2,
        1,
        0,
        -2,
        -2,
        -2,
        0,
        -2,
        1,
        0,
        -2,
        -2,
        -2,
    ]
    assert [(s.key, s.actions, s.name, s.title) for s in history.information_sets[0]] == [
        (4, ("1", "2"), "", "set 4"),
        (2, ("only",), "other", "other"),
    ]
    assert [s[:3] for s in history.information_sets[1]] == [(9, ("go", "stay"), "north")]
    assert history.chance_labels == (("rain", "2", "never", "wind"),)
    assert history.chance_names == ("weather",)
    branches = history.probability[history.parent == 0][1:]
    assert branches.tolist() == [Fraction(1, 3), Fraction(1, 4), 0, Fraction(5, 12)]
    fee, bonus, two, three = (
        np.array([Fraction(a), Fraction(b)])
        for a, b in [("-1", "1/2"), ("10", "0"), ("2", "-1/2"), ("1/7", "1/7")]
    )
    expected = [
        fee + bonus,
        fee + bonus + two,
        fee + two,
        fee + bonus + two,
        fee + bonus + three,
        fee,
    ]
    expected += [fee + bonus, fee + fee + bonus, fee + fee + two, fee + fee + three]
    assert history.payoffs.tolist() == np.array(expected).tolist()
    np.testing.assert_array_equal(game.payoffs, np.array(expected, float).T)
    np.testing.assert_array_equal(game.chance, np.repeat([1 / 3, 1 / 4, 0, 5 / 12], [3, 3, 1, 3]))


def test_strategic_payoffs_add_up_along_the_way():
    game = games.load(EXAMPLES / "entry_deterrence.efg")
    table = strategic_payoffs(game, [reduced_plans(game, i) for i in range(2)])
    np.testing.assert_array_equal(table, [[[-3, 2], [0, 0]], [[-2, 3], [5, 5]]])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: re.sub(r"\n(?!of)", "\n\n\t , \n", t),
        lambda t: re.sub(r"\s*([{}])\s*", r"\1", t),
        lambda t: t.replace("2 D", "2 R"),
        lambda t: t.replace('"a comment { 1 } p"', ""),
        lambda t: t.replace("p 1 4 0", 'p "" 1 4 "" 0').replace("t 0", 't "" 0'),
    ],
)
def test_layout_does_not_matter(change):
    game, same = games.loads(change(EVERYTHING)), games.loads(EVERYTHING)
    np.testing.assert_array_equal(game.payoffs, same.payoffs)
    np.testing.assert_array_equal(game.chance, same.chance)
    assert game.form == same.form
    assert game.labels.players == same.labels.players


NODE = "expected a node, c, p or t "
SIMPLE = 'p "" 1 1 "" { "l" "r" } 0\n'
MALFORMED = [
    ("EFG 1 R", 1, "expected format version 2, found '1'"),
    ("EFG 2 X", 1, "expected number type R or D, found 'X'"),
    ('EFG 2 R "t" { }', 1, "expected a player's name in quotation marks, found '}'"),
    ('EFG 2 R "t" { ' + '"" ' * 64 + "}", 1, "expected at most 63 players, found 64"),
    (HEAD, 2, NODE + "(1 more to come after 0), found the end of the file"),
    (HEAD + SIMPLE + "t 0\n", 4, NODE + "(1 more to come after 2), found the end of the file"),
    (HEAD + SIMPLE + "t 0 t 0 t 0", 3, "expected the end of the file after 3 nodes, found 't'"),
    (HEAD + SIMPLE + "q 0", 3, NODE + "(2 more to come after 1), found 'q'"),
    (HEAD + SIMPLE, 3, NODE + "(2 more to come after 1), found the end of the file"),
    (HEAD + 'p "" 3 1 "" { "l" } 0', 2, "expected a player's number, 1 to 2, found '3'"),
    (HEAD + 'p "" 0 1 "" { "l" } 0', 2, "expected a player's number, 1 to 2, found '0'"),
    (HEAD + 'p "" -1 1 "" { "l" } 0', 2, "expected a player's number, 1 to 2, found '-1'"),
    (HEAD + 'p "" 1 x "" { "l" } 0', 2, "expected the number of player 1's information set"),
    (HEAD + 'p "" 1 1 0', 2, "expected a name and '{' with the actions of player 1's information "
     "set 1, which is new here, found '0'"),
    (HEAD + 'c "" 4 "" 0', 2, "expected a name and '{' with the actions of chance's set 4, which"),
    (HEAD + 'p "" 1 1 "" { } 0', 2, "expected an action's name in quotation marks, found '}'"),
    (HEAD + 'p "" 1 1 "" { "l" 1 } 0', 2, "expected an action's name in quotation marks or '}'"),
    (HEAD + SIMPLE + 'p "" 1 1 "" { "l" } 0', 3, "expected 2 actions, as player 1's information "
     "set 1 had before, found 1"),
    (HEAD + 'c "" 1 "" { "a" 1/2 "b" 1/3 } 0', 2, "expected probabilities of chance's set 1 that "
     "sum to 1, found { 1/2 1/3 }, in all 5/6"),
    (HEAD + 'c "" 1 "" { "a" 0.3333 "b" 0.6666 } 0', 2, "expected probabilities of chance's set 1"),
    (HEAD + 'c "" 1 "" { "a" 3/2 "b" -1/2 } 0', 2, "expected a probability of at least 0, found"),
    (HEAD + 'c "" 1 "" { "a" 1 } 0\nc "" 1 "" { "a" 1/2 "b" 1/2 } 0', 3, "expected 1 actions"),
    (HEAD + 'c 1 "" { "a" 1/4 "b" 3/4 } 0 t 0\nc 1 "" { "a" 1/2 "b" 1/2 } 0 t 0 t 0', 3,
     "expected the probabilities that chance's set 1 had before, { 1/4 3/4 }, found { 1/2 1/2 }"),
    (HEAD + 'c "" 1 "" { "a" p } 0', 2, "expected a finite float64 number such as 3, -0.5"),
    (HEAD + 't ""', 2, "expected the number of an outcome, or 0 for none, found the end"),
    (HEAD + 't "" -1', 2, "expected the number of an outcome, or 0 for none, found '-1'"),
    (HEAD + 't "" 1', 2, "expected an outcome that was given before, or its name here, found '1'"),
    (HEAD + 't "" 0 "" { 1 2 }', 2, "expected a positive number for an outcome with payoffs"),
    (HEAD + 't "" 1 "" { 1 }', 2, "expected a finite float64 number such as 3, -0.5, 2e3 or 3/4 of "
     "at most 1000 characters, found '}'"),
    (HEAD + 't "" 1 "" { 1 2 3 }', 2, "expected '}' after the payoffs of 2 players, found '3'"),
    (HEAD + 't "" 1 "" 1 2', 2, "expected '{' and the payoffs of outcome 1, found '1'"),
    (HEAD + SIMPLE + 't 1 "" { 1 2 }\nt 1 "" { 1 3 }', 4, "expected the payoffs that outcome 1 had "
     "before, { 1 2 }, found { 1 3 }"),
    (HEAD + 'p 1 1 "" { "" } 1 "" { 1e308 0 }\nt 1', 3, "expected payoffs whose sum is finite, fo"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_text_is_refused_with_its_line(text, line, message):
    with pytest.raises(GameFileError, match=f"^my.efg:{line}: {re.escape(message)}"):
        games.loads(text, source="my.efg")


def test_only_finite_numbers_are_read():
    odd = "nan inf 1e309 1/0 1/-2 1.5/2 1/ - . 1_000 0x10 1e 1e-9999 1e99999999999"
    for word in [*odd.split(" "), "9" * 5000, "1/" + "9" * 5000]:
        with pytest.raises(
            GameFileError, match=r"expected a finite float64 number such as 3, -0.5"
        ):
            games.loads(f'{HEAD} t "" 1 "" {{ {word} 2 }}')
    with jax.enable_x64(False):
        assert games.loads(EVERYTHING).dtype == np.float32
        with pytest.raises(
            GameFileError, match=r"expected a finite float32 number .* found '1e300'"
        ):
            games.loads(f'{HEAD} t "" 1 "" {{ 1e300 2 }}')


def test_few_words_cannot_ask_for_much(monkeypatch):
    with pytest.raises(
        GameFileError, match="expected 9999 more nodes, found 19999 more characters"
    ):
        games.loads(HEAD + 'p 1 1 "" { ' + '"" ' * 9999 + "} 0\n" + "t " * 9999)
    wide = HEAD + 'p 1 1 "" { ' + '"" ' * 200 + "} 0\n"
    wide += "".join(f'p 1 {k + 2} "" {{ "" }} 0 t 0\n' for k in range(200))
    assert games.loads(wide).strategy_sets[0].shape == (1 + 201 * 200,)
    monkeypatch.setattr(os, "sysconf", lambda name: 1000)
    with pytest.raises(GameFileError, match="expected a tree that fits into memory, found a tree"):
        games.loads(wide)


# The equilibria that the examples' comments state, by the information set's title; payoffs.
HALF = [1 / 2, 1 / 2]
KNOWN = {
    "bargaining": (
        [
            {"Ask": [1, 0], "Offered nothing": [0, 1], "Offered nothing after all": [0, 1]},
            {"Asked for half": [1, 0], "Asked for all": [0, 1], "Counter": [1, 0]},
        ],
        (1 / 2, 1 / 2),
    ),
    "beer_quiche": (
        [{"Strong": [1, 0], "Weak": [1, 0]}, {"Beer": [0, 1], "Quiche": [1, 0]}],
        (2.9, 0.9),
    ),
    "centipede": (
        [{"first": [1, 0], "third": [1, 0]}, {"second": [1, 0], "fourth": [1, 0]}],
        (0.4, 0.1),
    ),
    "entry_deterrence": ([{"Entry": [1, 0]}, {"Response": [0, 1]}], (2, 3)),
    "matching_pennies": ([{"Show": HALF}, {"Guess": HALF}], (0, 0)),
    "monty_hall": ([{"Door 2 is open": [0, 1], "Door 3 is open": [0, 1]}], (2 / 3,)),
    "one_card_poker": (
        [{"High": [1, 0], "Low": [1 / 3, 2 / 3]}, {"Bet": [2 / 3, 1 / 3]}],
        (1 / 3, -1 / 3),
    ),
    "seltens_horse": ([{"One": [1, 0]}, {"Two": [1, 0]}, {"Three": [0, 1]}], (1, 1, 1)),
    "sequential_rock_paper_scissors": ([{}, {}], (0, 0)),
    "trust": ([{"Send": [1, 0]}, {"Return": [0, 1]}], (1, 0)),
    "ultimatum": (
        [{"Offer": [0, 1]}, {"Fair offer": [1, 0], "Unfair offer": [1, 0]}],
        (3 / 4, 1 / 4),
    ),
}
FORGETFUL = {"absent_minded_driver", "forgetful_team"}


def test_every_example_is_listed():
    assert sorted(p.stem for p in EXAMPLES.glob("*.efg")) == sorted({*KNOWN, *FORGETFUL})


def plan_of(form, player, stated):
    """The realization plan of behaviors by title of the set; uniform where there is none."""
    tree = form.trees[player]
    behaviors = tree.mask / tree.num_actions[:, None]
    for j in range(tree.num_sets):
        where = form.information_set(player, j)
        behaviors[j, : len(where.actions)] = stated.get(
            where.title, behaviors[j, : len(where.actions)]
        )
    return plan(tree, behaviors)


@pytest.mark.parametrize("name", KNOWN)
def test_examples_have_the_equilibria_that_their_comments_state(name):
    behaviors, expected = KNOWN[name]
    game = games.load(EXAMPLES / f"{name}.efg")
    titles = [{s.title for s in sets} for sets in game.form.history.information_sets]
    assert all(set(own) <= known for own, known in zip(behaviors, titles, strict=True))
    profile = tuple(plan_of(game.form, i, own) for i, own in enumerate(behaviors))
    np.testing.assert_allclose(payoffs(game, profile), expected, atol=1e-12)
    assert abs(fast_gains(game, profile)).max() < 1e-12


def test_examples_come_back_bit_for_bit(tmp_path):
    for path in [*EXAMPLES.glob("*.efg"), None]:
        game = games.loads(EVERYTHING) if path is None else games.load(path)
        games.save(game, tmp_path / "game.efg")
        again = games.load(tmp_path / "game.efg")
        assert type(again) is type(game)
        assert again.labels == game.labels
        assert history_of(again).identity == history_of(game).identity
        assert history_of(again).payoffs.tolist() == history_of(game).payoffs.tolist()
        assert history_of(again).chance_names == history_of(game).chance_names
        np.testing.assert_array_equal(again.payoffs, game.payoffs)
        np.testing.assert_array_equal(again.chance, game.chance)
        assert games.dumps(again) == (tmp_path / "game.efg").read_text()


def test_what_is_written():
    game = games.load(EXAMPLES / "one_card_poker.efg")
    lines = games.dumps(game).splitlines()
    assert lines[:7] == [
        'EFG 2 R "One-card poker with two cards" { "Dealt" "Guessing" }',
        '""',
        "",
        'c "" 1 "Deal" { "high" 1/2 "low" 1/2 } 0',
        'p "" 1 4 "High" { "bet" "fold" } 0',
        'p "" 2 9 "Bet" { "call" "fold" } 0',
        't "" 1 "" { 2, -2 }',
    ]


def random_rules(seed):
    """A random tree of three players with floats for payoffs and probabilities."""

    def rules(path):
        rng = np.random.default_rng([seed, *path])
        if len(path) == 4 or (path and rng.random() < 0.2):
            return terminal((rng.normal(size=3) * 10.0 ** rng.integers(-200, 200, 3)).tolist())
        following = [(*path, k) for k in range(rng.integers(1, 4))]
        if rng.random() < 0.3:
            odds = rng.dirichlet(np.ones(len(following))).tolist()
            return chance(list(zip(odds, following, strict=True)))
        actions = [(f'"{p[-1]}"\\', p) for p in following]
        return decide(int(rng.integers(3)), path, actions, payoffs=rng.normal(size=3).tolist())

    return rules


def test_trees_of_floats_come_back_with_every_payoff():
    worst = 0
    for seed in range(40):
        game = extensive.compile_tree(random_rules(seed), labels=Labels('"t"', ("a", "b", "\\")))
        text = games.dumps(game)
        again = games.loads(text)
        assert np.asarray(again.payoffs).tobytes() == np.asarray(game.payoffs).tobytes()
        np.testing.assert_allclose(again.chance, game.chance, rtol=1e-15)
        old, new = (x.form.history.probability.astype(float) for x in (game, again))
        worst = max(worst, abs(old - new).max())
        assert again.labels == game.labels
        assert [s.title for own in again.form.history.information_sets for s in own] == [
            s.title for own in game.form.history.information_sets for s in own
        ]
        assert games.dumps(again) == text
    assert worst <= 2.3e-16


def coin(odds):
    """A move of nature with these odds, after which the only player says yes or no."""

    def rules(path):
        if not path:
            return chance([(p, (k,)) for k, p in enumerate(odds)])
        if len(path) == 1:
            return decide(0, path, [("yes", (*path, 1)), ("no", (*path, 2))])
        return terminal([float(path[0] * path[1])])

    return extensive.compile_tree(rules)


def test_probabilities_are_written_so_that_they_sum_to_one():
    assert '{ "1" 1/6 "2" 1/6 "3" 1/6 "4" 1/6 "5" 1/6 "6" 1/6 }' in games.dumps(coin([1 / 6] * 6))
    assert '"1" 1/10 "2" 1/5 "3" 7/10' in games.dumps(coin([0.1, 0.2, 0.7]))
    # Rounded fractions come back as they were, other floats to rounding.
    whole = np.random.default_rng(0).integers(1, 10**9, 50).tolist()
    odds = [n / sum(whole) for n in whole]
    np.testing.assert_array_equal(games.loads(games.dumps(coin(odds))).chance, np.repeat(odds, 2))
    odds = np.random.default_rng(0).dirichlet(np.ones(50))
    again = games.loads(games.dumps(coin(odds)))
    np.testing.assert_allclose(again.chance, np.repeat(odds, 2), rtol=1e-15)
    off = [0.1, 0.2, 0.7 + 1e-10]
    again = games.loads(games.dumps(coin(off)))
    np.testing.assert_allclose(again.chance, np.repeat(off, 2), rtol=2e-10)


def test_changed_payoffs_and_chances_are_written():
    game = games.load(EXAMPLES / "one_card_poker.efg")
    odds = np.where(game.form.history.branch == 0, 0.3, 0.7)
    paid = np.asarray(game.payoffs) * np.pi
    changed = game.with_payoffs(paid, game.leaf_chances(odds))
    again = games.loads(games.dumps(changed))
    np.testing.assert_array_equal(again.payoffs, paid)
    np.testing.assert_allclose(again.chance, np.repeat([0.3, 0.7], 3), rtol=1e-15)
    wrong = game.with_payoffs(paid, np.linspace(0.1, 0.6, 6))
    with pytest.raises(
        ValueError, match=r"game.chance is no product of probabilities along the tr"
    ):
        games.dumps(wrong)
    with pytest.raises(ValueError, match=r"game.chance must be 1 in all at the root, got 2"):
        games.dumps(game.with_payoffs(paid, 2 * game.chance))


def test_what_cannot_be_written(tmp_path):
    game = games.load(EXAMPLES / "trust.efg")
    stack = jax.tree.map(lambda x: jax.numpy.stack([x, x]), game)
    with pytest.raises(ValueError, match=r"payoffs of shape \(2, 4\), got \(2, 2, 4\); write"):
        games.dumps(stack)
    with pytest.raises(ValueError, match="must have finite payoffs"):
        games.dumps(SequenceFormGame(game.form, game.payoffs.at[0, 0].set(np.inf), game.chance))
    odd = SequenceFormGame(game.form, game.payoffs, game.chance, labels=Labels("", ("a",)))
    with pytest.raises(ValueError, match=r"game.labels must name 2 players, got 1"):
        games.dumps(odd)
    with pytest.raises(ValueError, match=r"path must end in \.efg, which this game is written as"):
        games.save(game, tmp_path / "trust.nfg")
    with pytest.raises(ValueError, match=r"path must end in \.nfg"):
        games.save(games.MatrixGame(np.eye(2)), tmp_path / "eye.efg")
    assert not list(tmp_path.iterdir())


def test_trees_that_are_hardly_trees():
    leaf = games.loads(f'{HEAD} t "" 1 "" {{ 1 -2 }}')
    assert isinstance(leaf, SequenceFormGame)
    assert [len(x) for x in reduced_plans(leaf, 0)] == [1]
    np.testing.assert_array_equal(games.loads(games.dumps(leaf)).payoffs, [[1], [-2]])
    alone = games.loads('EFG 2 R "" { "a" "b" "c" } p 2 1 "" { "only" } 0 t 0')
    assert [s.tree.num_sets for s in alone.strategy_sets] == [0, 1, 0]
    assert '{ "a" "b" "c" }' in games.dumps(alone)

"""How solutions of trees print and export, and `gamejax solve` on .efg files."""

import json
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from gamejax import extensive, games, solve, solve_batch
from gamejax.cli import app
from gamejax.extensive import chance, decide, terminal
from gamejax.games import Labels

EXAMPLES = Path(__file__).parents[1] / "examples" / "games"


@cache
def solved(name):
    game = games.load(EXAMPLES / f"{name}.efg")
    return solve(game, extensive.predictive_cfr_plus(), tol=1e-9)


def test_a_small_tree_prints_whole():
    solution = solved("one_card_poker")
    np.testing.assert_allclose(solution.stats["payoffs"], [1 / 3, -1 / 3], atol=1e-8)
    lines = str(solution).splitlines()
    assert lines[0].startswith("successful: gap ")
    assert lines[1:] == [
        "  Dealt (payoff 0.3333):",
        "    High: bet 1.0000",
        "    Low: fold 0.6667, bet 0.3333",
        "  Guessing (payoff -0.3333):",
        "    Bet: call 0.6667, fold 0.3333",
    ]


def wide_rules(path):
    """Nature shows one of twenty signs to the first player, who may go on to a second move."""
    if not path:
        return chance([(1 / 20, (k,)) for k in range(20)])
    if len(path) == 1:
        return decide(0, path, [(f"move {k}", (*path, k)) for k in range(10)])
    if len(path) == 2 and path[1] == 0:
        return decide(0, path, [("left", (*path, 0)), ("right", (*path, 1))], name="second move")
    return terminal([1, 0] if path[1:] == (3,) else [0, 1])


def test_a_large_tree_is_cut_and_sets_that_are_not_reached_are_left_out():
    game = extensive.compile_tree(wide_rules)
    solution = solve(game, extensive.predictive_cfr_plus())
    text = str(solution)
    lines = text.splitlines()
    assert lines[1] == "  player 1 (payoff 1):"
    assert lines[2] == "    (0,): move 3 1.0000"
    assert lines[14] == "    ... and 8 more"
    assert lines[15:] == ["  player 2 (payoff 0): never moves"]
    assert "second move" not in text
    uniform = tuple(s.center(game.dtype) for s in game.strategy_sets)
    parts = solution.labels.parts(0, uniform[0])
    assert [part.title for part in parts[19:]] == ["(19,)", *["second move"] * 20]
    assert parts[-1].reach == pytest.approx(0.1)
    lines = str(eqx.tree_at(lambda s: s.profile, solution, uniform)).splitlines()
    assert (
        lines[2] == "    (0,): " + ", ".join(f"move {k} 0.1000" for k in range(8)) + ", and 2 more"
    )
    assert lines[14] == "    ... and 28 more"


def test_solutions_of_trees_export():
    solution = solved("one_card_poker")
    report = json.loads(solution.to_json())
    assert report["title"] == "One-card poker with two cards"
    assert report["players"] == ["Dealt", "Guessing"]
    assert "actions" not in report
    dealt, guessing = report["behaviors"]
    assert [part["title"] for part in dealt] == ["High", "Low"]
    assert [part["actions"] for part in guessing] == [["call", "fold"]]
    for part in (*dealt, *guessing):
        assert sum(part["probabilities"]) == pytest.approx(1)
        assert part["reach"] == 1
    assert len(report["profile"][0]) == 5


def test_solutions_of_trees_are_tables():
    pytest.importorskip("pandas")
    table = solved("one_card_poker").to_pandas()
    assert list(table.columns) == ["player", "information_set", "action", "probability"]
    assert len(table) == 6
    low = table[(table.information_set == "Low") & (table.action == "bet")]
    assert low.probability.item() == pytest.approx(1 / 3)


def test_names_change_no_program():
    one = solved("one_card_poker")
    form = one.labels.form
    game = extensive.from_history(form.history, labels=Labels("Other", ("a", "b")))
    assert game.form == form
    two = solve(game, extensive.predictive_cfr_plus(), tol=1e-9)
    assert one.labels.players == ("Dealt", "Guessing")
    assert str(two).splitlines()[1] == "  a (payoff 0.3333):"
    behaviors = np.array([[0.25, 0.75]])
    (part,) = one.labels.parts(1, behaviors)
    np.testing.assert_array_equal(part.probabilities, behaviors[0])
    stacked = jax.tree.map(lambda x: jax.numpy.stack([x, x]), one)
    assert str(stacked).startswith("2 games: 2 successful; ")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def test_the_command_solves_trees():
    text = run("solve", EXAMPLES / "one_card_poker.efg").stdout
    for part in (
        "One-card poker with two cards", "2 players, 2 x 1 information sets", "Dealt (payoff 0.33",
        "    High: bet 1.0000", "successful, value 0.33", "nash gap",
    ):  # fmt: skip
        assert part in text
    (report,) = json.loads(run("solve", EXAMPLES / "one_card_poker.efg", "--json").stdout)
    assert report["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert [part["title"] for part in report["behaviors"][1]] == ["Bet"]


def test_the_command_refuses_what_no_solver_can_do():
    text = run("solve", EXAMPLES / "absent_minded_driver.efg", code=1).stderr
    assert "absent_minded_driver.efg: player 1 ('Driver') does not recall its own past" in text
    for option in (("--notion", "ce"), ("--solver", "simplex")):
        text = run("solve", EXAMPLES / "trust.efg", *option, code=1).stderr
        assert "gamejax.extensive.reduced_normal_form(game)" in text


@pytest.mark.slow
def test_batches_keep_the_names_of_each_tree():
    trees = [games.load(EXAMPLES / f"{name}.efg") for name in ("one_card_poker", "trust")]
    one, two = solve_batch(trees, extensive.cfr_plus(), max_steps=100)
    assert "    Low: fold" in str(one)
    assert "    Send: keep 1.0000" in str(two)
    stack = trees[0].variations(np.stack([trees[0].payoffs] * 3))
    assert solve_batch(stack, extensive.cfr_plus(), max_steps=100).labels == trees[0].names

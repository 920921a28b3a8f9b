"""The command line: what it prints, what it refuses, what it writes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import gamejax
from gamejax.cli import _is_zero_sum, app

EXAMPLES = Path(__file__).parents[1] / "examples/games"
runner = CliRunner()


def run(*arguments, code=0):
    result = runner.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def test_prints_players_actions_strategies_value_gap_and_result():
    text = run("solve", EXAMPLES / "penalty_kick.nfg").stdout
    for part in ("Shooter", "Left 0.36", "2 x 3 actions", "value 0.79", "nash gap", "successful"):
        assert part in text


def test_goes_on_after_a_broken_file_and_exits_non_zero(tmp_path):
    broken = tmp_path / "broken.nfg"
    broken.write_text('NFG 1 R "x" { "a" "b" } { 2 2 }\n\n1 2 3 oops 5 6 7 8\n')
    result = run("solve", broken, EXAMPLES / "chicken.nfg", tmp_path / "none.nfg", code=1)
    assert "broken.nfg:3: expected" in result.stderr
    assert "oops" in result.stderr
    assert "no such file" in result.stderr
    assert "2 of 3 games could not be solved" in result.stderr
    assert "Chicken" in result.stdout


def test_zero_sums_are_seen_through_rounding_and_at_every_scale():
    matrix = np.random.default_rng(0).uniform(-1, 1, (3, 4))
    for dtype in (np.float32, np.float64):
        for scale in (1e-10, 1, 1e6):
            for share, expected in ((1.0, True), (2.0, False)):
                pair = np.stack([matrix, 1 - share * matrix])
                game = gamejax.games.NormalFormGame((scale * pair).astype(dtype))
                assert _is_zero_sum(game) is expected


@pytest.mark.parametrize("notion", ["nash", "ce", "cce"])
def test_json_is_the_whole_report(notion, tmp_path):
    result = run(
        "solve", EXAMPLES / "chicken.nfg", "--notion", notion, "--json", "--output", tmp_path
    )
    (report,) = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "chicken.json").read_text())
    assert report["result"] == "successful"
    assert report["gap"] <= report["tol"]
    assert report["actions"][0] == ["Swerve", "Straight"]
    assert [p.name for p in tmp_path.iterdir()] == ["chicken.json"]
    if notion == "nash":
        assert np.allclose([sum(x) for x in report["profile"]], 1)
    else:
        assert np.isclose(np.sum(report["joint"]), 1)


@pytest.mark.parametrize("solver", ["hedge", "rm+", "extragradient"])
def test_solver_by_name(solver):
    assert "successful" in run("solve", "matching_pennies", "--solver", solver).stdout


def test_bad_options_say_what_is_wanted():
    result = run("solve", "chicken", "--solver", "magic", code=2)
    assert "optimistic-hedge" in result.stderr
    assert "'magic'" in result.stderr
    assert "at least 0" in run("solve", "chicken", "--tol", "-1", code=2).stderr
    assert "prm+" in run("solve", "chicken", "--solver", "help").stderr


def test_a_bad_output_is_told_before_solving(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    result = run("solve", "chicken", "--output", taken, code=2)
    assert "--output must be a folder" in result.stderr
    assert not result.stdout
    assert "this is a folder" in run("solve", tmp_path, code=1).stderr


def test_files_of_one_name_are_all_written(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(EXAMPLES / "umbrella.nfg", folder / "game.nfg")
    run("solve", *(folder / "game.nfg" for folder in folders), "--output", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["game.json", "game_2.json"]


def test_version():
    assert run("--version").stdout.startswith(f"gamejax {gamejax.__version__}, JAX ")


def test_an_unreached_tolerance_gives_advice():
    slow = ("--solver", "hedge", "--tol", "1e-9", "--max-steps", 50)
    text = run("solve", "biased_matching_pennies", *slow).stdout
    assert "max_steps_reached" in text
    assert "raise max_steps" in text


def test_games_lists_the_library():
    text = run("games").stdout
    for name in ("prisoners_dilemma", "shapley", "colonel_blotto"):
        assert name in text


def test_the_installed_command_runs_in_plain_text():
    command = Path(sys.executable).parent / "gamejax"
    done = subprocess.run(
        [command, "solve", "matching_pennies"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "Matching pennies" in done.stdout

"""The benchmarks run, tiny, and compare things that agree."""

import json
import math

import numpy as np
import pytest

from benchmarks import QUESTIONS, bandit_loops, bandits, report, timing
from benchmarks.__main__ import main


@pytest.fixture(scope="module")
def rows():
    return list(bandits.rows("tiny"))


def test_every_policy_is_played_by_every_implementation(rows):
    played = {(row["policy"], row["implementation"]) for row in rows}
    assert played == {
        (policy, name) for policy in bandits.POLICIES for name in ("NumPy", "gamejax float32")
    }
    for row in rows:
        assert row["rounds_per_s"] > 0
        assert abs(row["z"]) < 4, row
        assert row["min_s"] <= row["median_s"]


def test_rows_survive_json_and_markdown(rows, tmp_path):
    environment = {"question": bandits.ASKS, **timing.environment()}
    as_json, as_markdown = report.write(tmp_path, "bandits-tiny", [(environment, rows)])
    data = json.loads(as_json.read_text())
    assert data["question"].startswith("How many rounds")
    assert data["runs"][0]["rows"] == rows
    assert {"device", "cores", "commit", "jax", "numpy"} <= set(data["runs"][0]["environment"])
    lines = [line for line in as_markdown.read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    assert len({line.count("|") for line in lines}) == 1


def test_measure_separates_the_first_call():
    calls = []

    def call():
        calls.append(0)
        return sum(range(200_000)) if len(calls) == 1 else len(calls)

    found = timing.measure(call, budget_s=10, max_calls=4)
    assert (found.calls, found.result, len(calls)) == (4, 5, 5)
    assert found.compile_s > found.median_s
    assert "result" not in found.row()
    once = timing.measure(lambda: 1, warm_up=lambda: 2, budget_s=0)
    assert (once.calls, once.result) == (1, 1)


def test_unknown_questions_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "no question nothing; there are " + ", ".join(QUESTIONS) in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not bandits.NUMBA, reason="numba is not installed")
@pytest.mark.parametrize("policy", bandits.POLICIES)
@pytest.mark.parametrize("num_arms", [4, 40])
def test_the_loops_agree(policy, num_arms):
    means = np.full(num_arms, 0.4)
    means[0] = 0.8
    one = bandit_loops.NUMPY[policy](means, 1000, 300, 3)
    other = bandits.NUMBA[policy](means, 1000, 300, 4)
    error = math.hypot(one.std(), other.std()) / math.sqrt(300)
    assert abs(one.mean() - other.mean()) < 4 * error


@pytest.mark.slow
def test_the_runner_in_a_process_of_its_own(tmp_path):
    main(["bandits", "--profile", "tiny", "--cores", "1", "--results", str(tmp_path)])
    data = json.loads((tmp_path / "bandits-tiny.json").read_text())
    assert data["runs"][0]["environment"]["cores"] == 1
    assert (tmp_path / "bandits-tiny.md").exists()

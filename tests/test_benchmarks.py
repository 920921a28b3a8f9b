"""The benchmarks run, tiny, and compare things that agree."""

import importlib
import json
import math

import jax
import numpy as np
import pytest

from benchmarks import (
    QUESTIONS,
    bandit_loops,
    bandits,
    c_kernels,
    contest,
    devices,
    instances,
    iterations,
    peer_loops,
    peers,
    pictures,
    report,
    roofline,
    scaling,
    smooth,
    timing,
)
from benchmarks.__main__ import conclude, main
from gamejax import Joint, games, metrics

needs_gcc = pytest.mark.skipif(not c_kernels.available(), reason="there is no gcc")
needs_quantecon = pytest.mark.skipif(
    contest.missing(("numba", "quantecon")) is not None, reason="quantecon is not installed"
)


@pytest.fixture(scope="module")
def rows():
    return list(bandits.rows("tiny"))


@pytest.fixture(scope="module")
def zero_sum_payoffs():
    return instances.payoffs_of(instances.instances("zero_sum-8x8", 40))


def test_every_policy_is_played_by_every_implementation(rows):
    played = {(row["policy"], row["implementation"]) for row in rows}
    assert played == {
        (policy, name) for policy in bandits.POLICIES for name in ("NumPy", "gamejax float32")
    }
    for row in rows:
        assert row["per_s"] > 0
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


def test_rivals_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = timing.compare(calls, warm_ups={"a": lambda: order.append("w")}, max_calls=3)
    assert "".join(order) == "wb" + "ab" * 3
    assert [found[name].calls for name in "ab"] == [3, 3]


def test_unknown_questions_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "no question nothing; there are " + ", ".join(QUESTIONS) in capsys.readouterr().err


def test_instances_are_those_of_the_suite():
    stacked = instances.instances("zero_sum-4x4", 3)
    one = games.random.instance("zero_sum-4x4-2", "float32")
    np.testing.assert_array_equal(stacked.payoff[2], one.payoff)
    general = instances.payoffs_of(instances.instances("general_sum-2x2x2", 2))
    one = games.random.instance("general_sum-2x2x2-1", "float32")
    np.testing.assert_array_equal(general[1], np.asarray(one.payoffs, np.float64))


def test_certificates_are_those_of_the_library():
    rng = np.random.default_rng(0)
    payoffs, x, y = rng.uniform(-1, 1, (2, 4, 4)), *rng.dirichlet(np.ones(4), 2)
    profile = np.stack([x, y])
    zero_sum = metrics.nash_conv(games.MatrixGame(payoffs[0]), (x, y))
    bimatrix = metrics.nash_conv(games.bimatrix(*payoffs), (x, y))
    np.testing.assert_allclose(instances.nash_conv(payoffs[:1], profile[None])[0], zero_sum)
    np.testing.assert_allclose(instances.nash_conv(payoffs[None], profile[None])[0], bimatrix)
    # What is off the simplex is brought to it for all rivals alike.
    off = 2 * profile[None] - np.where(profile == profile.min(), 1e-20, 0)
    np.testing.assert_allclose(instances.nash_conv(payoffs[:1], off)[0], zero_sum)
    tensor = rng.uniform(-1, 1, (1, 3, 2, 3, 2))
    joint = rng.dirichlet(np.ones(12)).reshape(2, 3, 2)
    expected = metrics.coarse_correlated_gap(games.NormalFormGame(tensor[0]), Joint(joint))
    np.testing.assert_allclose(instances.coarse_correlated_gap(tensor, joint[None])[0], expected)
    total = (tensor[0].sum(0) * joint).sum()
    np.testing.assert_allclose(instances.welfare(tensor, joint[None])[0], total)


@needs_gcc
@pytest.mark.parametrize("cores", [1, 2])
def test_c_solves_zero_sum_games(zero_sum_payoffs, cores):
    exact, pivots = c_kernels.simplex(zero_sum_payoffs, cores=cores)
    assert instances.nash_conv(zero_sum_payoffs, exact).max() < 1e-12
    assert 40 < pivots < 40 * 30
    played = c_kernels.self_play(
        zero_sum_payoffs.astype(np.float32), "PRM+", 10_000, alternating=True, power=2,
        check_every=50, tol=1e-3, cores=cores,
    )  # fmt: skip
    gaps = instances.nash_conv(zero_sum_payoffs, played)
    assert 1e-4 < gaps.max() < 1e-3 * contest.SLACK


@needs_gcc
@pytest.mark.parametrize("learner", c_kernels.LEARNERS)
def test_c_plays_as_numpy(zero_sum_payoffs, learner):
    c = c_kernels.self_play(zero_sum_payoffs, learner, 30, learning_rate=iterations.RATE)
    numpy = iterations.numpy_self_play(zero_sum_payoffs, learner, 30)
    np.testing.assert_allclose(c, numpy, atol=1e-12)


def test_linear_programs_agree(zero_sum_payoffs):
    few = zero_sum_payoffs[:3]
    assert instances.nash_conv(few, peer_loops.highs(few)).max() < 1e-9
    tensor = instances.payoffs_of(instances.instances("general_sum-2x2x2", 2))
    for loop in (peer_loops.coarse_any, peer_loops.coarse_welfare):
        assert instances.coarse_correlated_gap(tensor, loop(tensor)).max() < 1e-9
    best = instances.welfare(tensor, peer_loops.coarse_welfare(tensor))
    assert np.all(best >= instances.welfare(tensor, peer_loops.coarse_any(tensor)) - 1e-9)


def test_a_race_says_who_is_faster_and_what_is_missing():
    def certify(answer):
        return np.asarray(answer)

    rivals = [
        contest.Rival("gamejax", lambda: [0.0, 0.0], amount=2, ours=True, flops=1e3),
        contest.Rival("rough", lambda: [0.0, 1.0], amount=2),
        contest.Rival("absent", note=contest.missing(("json", "no_such_module"))),
    ]
    found = contest.race({"n": 2}, rivals, certify, tol=0.5, cores=1, budget_s=0.0)
    ours, rough, absent = found
    assert (ours["within"], rough["within"], rough["certificate"]) == (1.0, 0.5, 1.0)
    assert ours["x_ours"] == 1
    np.testing.assert_allclose(rough["x_ours"], ours["per_s"] / rough["per_s"])
    assert absent["note"] == "not installed: no_such_module"
    assert "per_s" not in absent
    assert contest.fastest(found) is ours
    assert contest.fastest(found, ours=False) is None
    assert contest.over(ours, absent) is None


def test_reports_show_goals_pictures_and_an_index(tmp_path):
    shown = [
        {"implementation": name, "per_s": speed, "ours": name == "gamejax", "within": 1.0, "n": 2}
        for name, speed in (("gamejax", 3e5), ("other", 2.0), ("third", 1.0))
    ]
    run = ({"question": "Who?", "cores": 1}, shown)
    bars = pictures.speeds([run], tmp_path / "bars.png", "Speeds")
    goals = [report.Goal("faster", 2.0, 3.0), report.Goal("fastest", 9.0, 3.0)]
    report.write(tmp_path, "who", [run], goals=[goals], pictures=[bars], tried="Much.")
    text = (tmp_path / "who.md").read_text()
    for part in ("| faster | at least 2 | 3, met |", "3, missed", "![Speeds](bars.png)", "Much."):
        assert part in text
    assert "All rows: within 1, n 2" in text
    assert bars.path.stat().st_size > 1000
    assert "| faster |" in report.index(tmp_path).read_text()


def test_the_machine_is_measured():
    found = roofline.measured(1)
    assert found["copy_GB_per_s"] > 0.1
    if c_kernels.available():
        assert found["float32_Gflop_per_s"] > 1
        np.testing.assert_allclose(
            roofline.share(found["float32_Gflop_per_s"] * 5e8, "float32", 1), 0.5
        )
    assert roofline.share(None, "float32", 1) is None


@pytest.mark.parametrize("question", ["zero_sum", "iterations"])
def test_questions_run(question, tmp_path):
    check_question(question, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("question", ["map", "bimatrix", "correlated", "scaling", "extensive"])
def test_more_questions_run(question, tmp_path):
    check_question(question, tmp_path)


def check_question(question, folder):
    module = importlib.import_module(QUESTIONS[question])
    found = list(module.rows("tiny"))
    ours = [row for row in found if row.get("ours", True)]
    assert ours
    for row in ours:
        assert row["per_s"] > 0
        assert row.get("within") in (None, 1.0), row
    environment = {"question": module.ASKS, "cores": 1}
    for path in conclude(question, question, folder, [(environment, found)]):
        assert path.stat().st_size > 0


def test_a_straight_line_is_straight():
    x = np.arange(5.0)
    np.testing.assert_allclose(scaling.straightness(x, 3 + 2 * x), 1)
    assert scaling.straightness(x, x**4) < 0.9


def test_devices_are_the_cores():
    assert devices.count_cores() == jax.device_count()
    assert devices.mesh(1) is None
    doubled = devices.over_devices(lambda x: 2 * x, 1)
    np.testing.assert_array_equal(doubled(np.arange(3.0)), [0, 2, 4])


@pytest.mark.slow
@needs_quantecon
def test_quantecon_in_a_compiled_loop(zero_sum_payoffs):
    from benchmarks import peer_numba

    exact = peer_numba.quantecon_minmax(zero_sum_payoffs)
    assert instances.nash_conv(zero_sum_payoffs, exact).max() < 1e-9
    bimatrix = instances.payoffs_of(instances.instances("general_sum-8x8", 40))
    assert instances.nash_conv(bimatrix, peer_numba.quantecon_lemke_howson(bimatrix)).max() < 1e-9
    for learner, code in c_kernels.LEARNERS.items():
        by_hand = peer_numba.self_play(zero_sum_payoffs, code, 30, iterations.RATE)
        numpy = iterations.numpy_self_play(zero_sum_payoffs, learner, 30)
        np.testing.assert_allclose(by_hand, numpy, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("peer", [*peers.ZERO_SUM, *peers.BIMATRIX], ids=lambda peer: peer.name)
def test_packages_solve(peer):
    if contest.missing(peer.needs):
        pytest.skip(contest.missing(peer.needs))
    name = "general_sum-4x4" if peer in peers.BIMATRIX else "zero_sum-4x4"
    payoffs = instances.payoffs_of(instances.instances(name, 4))
    rival = peers.rival(peer, payoffs, 1, 0.1)
    gaps = instances.nash_conv(payoffs[: rival.games], rival.answer(rival.call()))
    assert gaps.max() < 1e-6


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
    assert "bandits-tiny" in (tmp_path / "README.md").read_text()


@pytest.mark.slow
def test_smooth_play_keeps_to_its_bounds(tmp_path):
    """Regrets below their bounds, certified gaps above what NumPy finds with other actions."""
    rows = list(smooth.rows("tiny"))
    assert [row["part"] for row in rows] == ["regret", "regret", "oracle"]
    assert all(0 < row["of_bound"] <= 1 and row["violation"] < 1e-6 for row in rows[:2])
    assert rows[2]["audit"] <= rows[2]["gap"] <= rows[2]["estimate"] + rows[2]["radius"]
    assert abs(rows[2]["audit"] - rows[2]["estimate"]) < 0.02
    met = [goal.measured >= goal.wanted for goal in smooth.goals(rows)]
    assert met == [True, True, True]
    drawn = smooth.draw([({}, rows)], tmp_path, "smooth-tiny")
    assert all(picture.path.stat().st_size > 5_000 for picture in drawn)


@pytest.mark.slow
def test_logit_rows_agree():
    rows = list(importlib.import_module("benchmarks.logit").rows("tiny"))
    assert [row["implementation"] for row in rows] == [
        "gamejax values", "gamejax unrolled", "gamejax implicit",
    ]  # fmt: skip
    assert all(row["residual"] < 1e-9 and row["games_per_s"] > 0 for row in rows)
    assert rows[-1]["apart"] < 1e-8
    assert rows[-1]["x_unrolled"] > 0

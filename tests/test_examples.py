"""Each example runs, with a tiny budget."""

import gzip

import jax
import numpy as np
import pytest

from examples import (
    calibrated_classifier,
    click_log,
    demo,
    demo_pictures,
    learn_payoffs,
    many_games,
    mechanism_design,
    poker,
    stackelberg,
    worst_group,
)
from gamejax import games


@pytest.mark.slow
def test_click_log_made_up(tmp_path, capsys):
    click_log.main(None, tmp_path / "picture.png", horizon=100, copies=2)
    said = capsys.readouterr().out
    assert said.startswith("a MADE-UP log, no data given")
    for words in ("doubly robust", "most clicked", "Thompson sampling", "Exp3"):
        assert words in said
    assert "nan" not in said
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_click_log_of_files(tmp_path, capsys):
    """Two files in the format of the Open Bandit Dataset, with clicks for item 3 only."""
    rng = np.random.default_rng(0)
    for name in ("obd_men_random.csv.gz", "obd_men_bts.csv.gz"):
        items, positions = rng.integers(0, 6, 600), rng.integers(1, 4, 600)
        clicks = (items == 3) & (rng.random(600) < 0.5)
        rows = [
            f"{i},{p},{int(c)},{1 / 6},a" for i, p, c in zip(items, positions, clicks, strict=True)
        ]
        header = "item_id,position,click,propensity_score,user_feature_0"
        with gzip.open(tmp_path / name, "wt") as file:
            file.write("\n".join([header, *rows]) + "\n")
    log, items, deployed = click_log.load(tmp_path)
    assert (len(log), items, len(deployed)) == (600, 6, 600)
    for policy, worth in ((np.full(6, 1 / 6), 1 / 12), (np.eye(6)[3], 1 / 2)):
        for found in click_log.estimate(log, policy):
            np.testing.assert_allclose(found.value, worth, atol=4 * found.standard_error)
    assert capsys.readouterr().out.startswith("Open Bandit: 600 rounds")


def test_the_demo_certifies_its_batch_and_draws(tmp_path):
    table = demo.report_many(count=64, size=4)
    recomputed = next(iter(table.columns[2].cells))
    assert float(recomputed.split()[0]) <= 1.01e-3
    named = {name: games.library.all_games()[name] for name in ("chicken", "hawk_dove")}
    rows = list(demo.report_named(named).columns[-1].cells)
    assert len(rows) == 2
    assert all(float(gap) <= demo.TOL for gap in rows)
    path = demo_pictures.gap_curves(tmp_path, num_games=2, size=3, steps=16)
    assert path.stat().st_size > 10_000


def test_many_games_agree_with_themselves(capsys):
    many_games.main(64)
    said = capsys.readouterr().out
    assert "OTHER" not in said
    assert said.count("the same") == 2


@jax.numpy_dtype_promotion("standard")  # optax needs it
def test_payoffs_are_learned_from_play(tmp_path, capsys):
    error = learn_payoffs.main(tmp_path / "picture.png", days=24, rounds=2000, steps=40)
    assert error < 0.25  # the values themselves vary by 0.35
    assert "of the truth" in capsys.readouterr().out
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.slow
def test_payments_raise_welfare(tmp_path, capsys):
    welfare = mechanism_design.main(tmp_path / "picture.png", num_budgets=3, steps=6)
    assert np.all(np.diff(welfare, axis=1) > 0)
    assert welfare[-1, -1] > welfare[-1, 0] + 0.5
    assert "the most welfare there is: 3.00" in capsys.readouterr().out
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@jax.numpy_dtype_promotion("standard")  # optax needs it
def test_a_leader_reaches_the_value_of_commitment(tmp_path, capsys):
    share = stackelberg.main(tmp_path / "picture.png", num_games=8, starts=4, steps=80)
    assert share > 0.97
    assert "value of commitment" in capsys.readouterr().out
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    # Announcing both actions alike makes the follower choose the second, which pays 4 or 3.
    a, b = np.array([[2.0, 4.0], [1.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert abs(stackelberg.commitment_value(a, b) - 3.5) < 1e-9


@jax.numpy_dtype_promotion("standard")  # so that NumPy's integers may meet JAX's
def test_the_worst_group_is_served(capsys):
    errors = worst_group.main(small=True)
    assert errors["worst group"] < 0.6 * errors["everyone alike"]
    said = capsys.readouterr().out
    assert "9,600 samples" in said
    assert "odd, yes" in said


def test_calibrated_classifier(capsys):
    report = calibrated_classifier.main(small=True)
    said = capsys.readouterr().out
    assert said.startswith("MADE-UP data: 1000 points to learn from, 500 to judge")
    assert "worst group ECE" in said
    assert report.log_loss[1] < report.log_loss[0] - 0.02
    assert (report.p_values[0] <= 0.02).all()


@pytest.mark.slow
def test_poker(tmp_path, capsys):
    gap = poker.main(tmp_path, steps=300, points=40, methods=("CFR+", "discounted CFR"))
    assert gap < 2e-3
    said = capsys.readouterr().out
    assert "bluffs with 0.202 of the jacks and bets 0.605 of the kings" in said
    for name in ("poker_gaps.png", "poker_tree.png"):
        assert (tmp_path / name).stat().st_size > 10_000

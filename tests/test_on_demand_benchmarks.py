"""The benchmarks of sampling on demand run, tiny, and their references agree."""

import gzip

import jax
import numpy as np
import pytest

from benchmarks import on_demand, worst_group
from benchmarks.__main__ import conclude
from examples import worst_group as example


def test_the_numpy_loop_plays_lazy_block_hedge():
    means = on_demand.tables("random", 16, 6, 3).astype(np.float32)
    best = np.array([on_demand.value(table)[0] for table in means])
    mixtures = on_demand.numpy_lazy(means, 3000)
    np.testing.assert_allclose(mixtures.sum(1), 1, rtol=1e-5)
    excess = np.einsum("gh,ghn->gn", mixtures, means).max(1) - best
    assert -1e-6 < excess.mean() < np.sqrt(np.log(6) / 6000) + np.sqrt(3 * np.log(3) / 6000)


def test_a_needle_has_one_good_hypothesis():
    means = on_demand.tables("needle", 3, 8, 4)
    for table in means:
        least, mixture = on_demand.value(table)
        np.testing.assert_allclose(least, 0.4, atol=1e-9)
        assert table[mixture.argmax()].max() == 0.4


def test_files_of_people_are_read(tmp_path):
    names = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
    names += ["workclass", "marital_status", "occupation", "relationship", "race", "sex"]
    rng, lines = np.random.default_rng(0), [",".join([*names, "income_gt_50k"])]
    for _ in range(400):
        person = [str(n) for n in rng.integers(1, 60, 5)] + [str(n) for n in rng.integers(0, 2, 6)]
        lines.append(",".join([*person, str(rng.integers(0, 2))]))
    with gzip.open(tmp_path / "people.csv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    x, y, groups, names = example.load(tmp_path / "people.csv.gz", fewest=90)
    assert x.shape == (len(y), 1 + 5 + 12)
    assert np.bincount(groups).min() >= 90
    assert len(names) == groups.max() + 1
    np.testing.assert_allclose(x[:, 0], 1)


@pytest.mark.slow
@pytest.mark.parametrize("module", [on_demand, worst_group], ids=["on_demand", "worst_group"])
def test_questions_run(module, tmp_path):
    name = module.__name__.split(".")[1]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = list(module.rows("tiny"))
    assert {row["ours"] for row in found} == {True, False}
    for row in found:
        assert row.get("per_s") is None or row["per_s"] > 0
    for path in conclude(name, name, tmp_path, [({"question": module.ASKS, "cores": 1}, found)]):
        assert path.stat().st_size > 0

"""The benchmark of rounds and samples runs, tiny, and its implementations agree."""

import pytest

from benchmarks import adaptivity, report, timing


@pytest.mark.slow
def test_rows_pictures_and_goals(tmp_path):
    rows = list(adaptivity.rows("tiny"))
    speed = [row for row in rows if row["part"] == "speed"]
    assert len(speed) == 3
    assert len({row["rounds"] for row in speed}) == 1
    agnostic = [row for row in rows if row["part"] == "agnostic"]
    for box, ellipsoid in zip(agnostic[::2], agnostic[1::2], strict=True):
        assert (box["geometry"], ellipsoid["geometry"]) == ("box", "ellipsoid")
        assert box["rounds"] >= ellipsoid["rounds"] >= 1
    realizable = [row for row in rows if row["part"] == "realizable"]
    assert all(row["theorem"] > row["train"] for row in realizable)
    environment = {"question": adaptivity.ASKS, **timing.environment()}
    made = adaptivity.draw([(environment, rows)], tmp_path, "adaptivity")
    assert all(picture.path.exists() for picture in made)
    goals = adaptivity.goals(rows)
    paths = report.write(
        tmp_path, "adaptivity", [(environment, rows)], goals=[goals], pictures=made
    )
    assert all(path.exists() for path in paths)

"""Pictures of calibration: drawn, with what was asked for on them."""

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt

from gamejax import calibration, plot


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def forecasts(size: int = 400):
    rng = np.random.default_rng(0)
    truth = rng.random(size)
    return {"before": truth**2, "after": truth}, rng.random(size) < truth


def test_reliability_has_a_panel_for_each_group():
    scores, labels = forecasts()
    groups = np.stack([np.ones(400), np.arange(400) % 4 == 0, np.zeros(400)], axis=1)
    names = ["all", "every fourth", "nobody"]
    panels = plot.reliability(scores, labels, groups=groups, names=names, num_bins=8)
    assert [ax.get_title() for ax in panels] == names
    diagonal, before, after = panels[0].get_lines()
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    # Squared forecasts are too low; what is honest stays within its band.
    assert (before.get_ydata() > before.get_xdata())[1:-1].all()
    low, high = (
        f(panels[0].collections[1].get_paths()[0].vertices[:, 1]) for f in (np.min, np.max)
    )
    assert low < after.get_ydata().min() < after.get_ydata().max() < high
    assert [t.get_text() for t in panels[0].get_legend().get_texts()] == list(scores)
    said = {text.get_text() for text in panels[1].texts}
    alone = calibration.smooth_ce(scores["before"][::4], labels[::4])
    assert {"smooth CE", f"{float(alone):.3f}"} <= said
    panels[0].figure.canvas.draw()


def test_reliability_keeps_equal_forecasts_together():
    scores = np.repeat([0.2, 0.2, 0.7, 0.9], 25)
    (ax,) = plot.reliability(scores, np.tile([0, 1], 50), num_bins=10)
    np.testing.assert_allclose(ax.get_lines()[1].get_xdata(), [0.2, 0.7, 0.9])
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), [0.5, 0.48, 0.52], atol=0.02)


def test_reliability_names_what_does_not_fit():
    scores, labels = forecasts()
    with pytest.raises(ValueError, match="'before' and labels must have one shape"):
        plot.reliability(scores, labels[:-1])
    with pytest.raises(ValueError, match="groups must have shape"):
        plot.reliability(scores, labels, groups=np.ones((3, 2)))
    with pytest.raises(ValueError, match="names must have one entry for each of 2"):
        plot.reliability(scores, labels, groups=np.ones((400, 2)), names=["one"])
    with pytest.raises(ValueError, match="level must lie"):
        plot.reliability(scores, labels, level=95)


def test_truthfulness_shows_what_a_lie_costs():
    def pay(*numbers: float) -> calibration.Payment:
        return calibration.Payment(*(jnp.asarray(float(x)) for x in numbers))

    paid = {
        "smooth_ce": pay(2, 0, 0.1, 0, 0),
        "ssce": pay(2, 1.5, 0.1, 0.1, 0.02),
        "u_calibration": pay(0, 0, 0, 0, 0),
        "ece": pay(1, 4, 0, 0, 0),
    }
    ax = plot.truthfulness(paid, title="a law")
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0, 0.75, 0, 1.3])
    assert [t.get_text() for t in ax.texts] == ["0%", "75%", "both pay 0", "400% →"]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["smooth CE", "SSCE", "U calibration", "ECE"]
    ax.figure.canvas.draw()

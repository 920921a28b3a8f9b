"""Online forecasters against adversaries: bounds, slopes, laws, adaptivity, several classes."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import gamejax
from gamejax import calibration as cal
from gamejax._joint import Sparse
from gamejax.calibration._forecaster import sign_change
from gamejax.calibration._level_forecaster import online_bound, weighted_sinh
from gamejax.feedback import Feedback
from gamejax.learners import SignChange
from gamejax.sets import Simplex
from gamejax.solvers import SelfPlay

KEY = jax.random.key(3)
HORIZONS = np.array([250, 1000, 4000])


def plain(num_levels, horizon, num_groups=1):
    rate = cal.online_rate(horizon, 2 * num_groups * num_levels)
    return cal.MulticalibratedForecaster(num_levels, num_groups, rate)


def slope(horizons, errors):
    return np.polyfit(np.log(horizons), np.log(errors), 1)[0]


def at_horizons(sequence, replications=32):
    """Errors (horizons, replications) of forecasters tuned for each, in one program."""
    used = np.round(np.sqrt(HORIZONS)).astype(np.int32)
    rates = np.sqrt(2 * np.log(2 * used) / HORIZONS)

    def run(used, rate, horizon):
        return cal.forecast_online(
            cal.MulticalibratedForecaster(64, 1, rate, used), sequence, int(HORIZONS.max()),
            key=KEY, num_replications=replications, horizon=horizon, dtype=jnp.float32,
        ).errors[:, -1]  # fmt: skip

    return np.asarray(jax.vmap(run)(used, rates, HORIZONS)), used


@pytest.mark.parametrize(
    "sequence",
    [cal.Coins(0.5, 0.5), cal.Contrarian(), cal.Coins(0.1, 0.9, 500.0)],
    ids=["fair-coin", "contrarian", "drift"],
)
def test_errors_stay_below_the_bound_and_grow_like_the_root(sequence):
    errors, used = at_horizons(sequence)
    for horizon, levels, found in zip(HORIZONS, used, errors, strict=True):
        # All 32 at once, so a 2% chance each.
        assert found.max() <= online_bound(int(horizon), 2 * int(levels), 1 / levels, 0.02)
        assert found.max() <= 2.5 * np.sqrt(horizon)
    assert 0.2 < slope(HORIZONS, errors.mean(1)) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("sequence", [cal.Coins(), cal.Contrarian()], ids=["coin", "contrarian"])
def test_full_slope(sequence):
    horizons = [1000, 2000, 4000, 8000, 16000, 32000]
    means = []
    for horizon in horizons:
        forecaster = plain(round(horizon**0.5), horizon)
        result = cal.forecast_online(
            forecaster, sequence, horizon, key=KEY, num_replications=32, dtype=jnp.float32
        )
        assert float(result.errors.max()) <= forecaster.bound(horizon, 0.02)
        means.append(float(result.errors.mean()))
    assert 0.4 < slope(horizons, means) < 0.6


class Rounded(cal.AbstractForecaster):
    """A deterministic rule: the level nearest to the mean of another forecaster's law."""

    inner: cal.MulticalibratedForecaster

    @property
    def num_points(self):
        return self.inner.num_points

    def init(self, *, dtype=None):
        return self.inner.init(dtype=dtype)

    def values(self, state):
        return self.inner.values(state)

    def law(self, state, context):
        values = self.values(state)
        best = jnp.argmin(jnp.abs(values - self.inner.law(state, context).mean)).astype(jnp.int32)
        return cal.Law(Sparse(best[None], jnp.ones_like(values[:1])), values[best][None])

    def learn(self, state, context, level, outcome):
        return self.inner.learn(state, context, level, outcome)


def test_deterministic_forecasts_fail_against_the_contrarian():
    horizon, inner = 2000, plain(10, 2000)
    failing, fine = (
        cal.forecast_online(f, cal.Contrarian(), horizon, key=KEY, num_replications=4)
        for f in (Rounded(inner), inner)
    )
    # Every round errs by at least 1/2 away from the middle, on one side of each level.
    sizes = np.abs(failing.residuals).sum((1, 2))
    assert sizes.min() >= horizon / 2
    assert failing.errors.min() >= horizon / 20
    assert np.abs(fine.residuals).sum((1, 2)).max() < horizon / 8
    assert fine.errors.max() <= inner.bound(horizon)


def test_sign_changes_are_sign_changes():
    """Whatever the outcome the expected gain is at most half the spacing, as by `SignChange`."""
    count, n = 400, 9
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(count, n)) * (rng.random((count, n)) < 0.8)
    scores[:100] = np.sort(rng.normal(size=(100, n)), axis=1)[:, ::-1]  # one change at most
    scores[100:120] = 0

    @jax.jit
    @jax.vmap
    def both(scores):
        zero = jnp.zeros_like(scores[0])
        found = sign_change(lambda i: (scores[i], zero), jnp.int32(n), n)
        learner, simplex = SignChange(), Simplex(n)
        feedback = Feedback(scores, scores, scores > 0)
        return found, learner.update(simplex, feedback, (), scores)[0]

    found, dense = both(scores)
    law = np.zeros((count, n))
    for i in range(2):
        np.add.at(law, (np.arange(count), np.asarray(found.actions)[:, i]),
                  np.asarray(found.probabilities)[:, i])  # fmt: skip
    np.testing.assert_allclose(law.sum(1), 1)
    assert law.min() >= 0
    values = (np.arange(n) + 0.5) / n
    for outcome in (0.0, 1.0, 0.3):
        gain = (law * scores * (outcome - values)).sum(1)
        assert np.all(gain <= np.abs(scores).max(1) / (2 * n) + 1e-12)
    np.testing.assert_allclose(law[:100], dense[:100], atol=1e-12)


def test_scores_do_not_overflow():
    rng = np.random.default_rng(1)
    sums, groups = rng.normal(size=(50, 4)) * 5, rng.random((50, 4))
    groups[:, 2] *= rng.random(50) < 0.5
    groups[0] = 0
    sums[1], sums[2] = 1e-9, 0
    sums[3], groups[3] = [500, 3, 2, 1], [0, 1, 0, 0]
    run = jax.jit(jax.vmap(weighted_sinh))
    value, unit = (np.asarray(x) for x in run(sums, groups))
    expected = (groups * np.sinh(sums.astype(np.longdouble))).sum(1)
    expected[3] = np.sinh(3.0)
    np.testing.assert_allclose(value * np.exp(unit) / 2, expected.astype(float), rtol=1e-6)
    value, unit = run(jnp.float32([[700.0, -700.0]]), jnp.float32([[1.0, 0.5]]))
    assert np.isfinite(value).all()
    assert value.dtype == jnp.float32
    assert value[0] > 0


def reference(outcomes, groups, levels, rate, lots):
    """The forecaster as the paper has it: all weights, all scores, the law by its definition."""
    n = levels
    values = (np.arange(n) + 0.5) / n
    sums = np.zeros((n, groups.shape[1]))
    for y, g, lot in zip(outcomes, groups, lots, strict=True):
        weights = np.exp(rate * sums), np.exp(-rate * sums)
        total = weights[0].sum() + weights[1].sum()
        score = ((weights[0] - weights[1]) / total) @ g
        yield sums.copy(), score
        law = np.zeros(n)
        if score[0] <= 0:
            law[0] = 1
        elif score[-1] >= 0:
            law[-1] = 1
        else:
            i = next(i for i in range(n - 1) if score[i] > 0 >= score[i + 1])
            law[i : i + 2] = [-score[i + 1], score[i]] / (score[i] - score[i + 1])
        level = np.searchsorted(np.cumsum(law), lot)
        sums[min(level, n - 1)] += g * (y - values[min(level, n - 1)])


def test_laws_answer_the_scores_of_the_paper():
    rng = np.random.default_rng(2)
    rounds, levels, rate = 300, 12, 0.15
    groups = np.column_stack([np.ones(rounds), rng.random((rounds, 2))])
    outcomes = (rng.random(rounds) < 0.2 + 0.6 * groups[:, 1]).astype(float)
    states, scores = zip(
        *reference(outcomes, groups, levels, rate, rng.random(rounds)), strict=True
    )
    forecaster = cal.MulticalibratedForecaster(levels, 3, rate)
    state = forecaster.init()

    @jax.jit
    @jax.vmap
    def look(sums, groups):
        here = state._replace(sums=sums)
        return forecaster.law(here, groups), forecaster.scores(here, groups)

    laws, found = look(np.array(states), groups)
    scores = np.array(scores)
    size = np.abs(scores).max(1, keepdims=True)
    ours = np.asarray(found) / np.maximum(np.abs(found).max(1, keepdims=True), 1e-300)
    np.testing.assert_allclose(ours, scores / np.maximum(size, 1e-300), atol=1e-9)
    first, second = np.asarray(laws.choice.actions).T
    chances = np.asarray(laws.choice.probabilities)
    rows = np.arange(rounds)
    inner = first != second
    assert inner.mean() > 0.3
    assert np.all(second[inner] == first[inner] + 1)
    assert np.all(scores[rows, first][inner] > 0)
    assert np.all(scores[rows, second][inner] <= 1e-15)
    balance = chances[:, 0] * scores[rows, first] + chances[:, 1] * scores[rows, second]
    np.testing.assert_allclose(balance[inner], 0, atol=1e-12)
    at_bottom, at_top = scores[:, 0] <= 0, (scores[:, 0] > 0) & (scores[:, -1] >= 0)
    assert np.all(first[at_bottom] == 0)
    assert np.all(first[at_top] == levels - 1)
    np.testing.assert_array_equal(~inner, at_bottom | at_top)


def test_a_loop_of_ones_own():
    forecaster = cal.MulticalibratedForecaster(20, 2)
    groups = jax.random.bernoulli(KEY, 0.5, (400, 2)).astype(jnp.float32)
    groups = groups.at[:, 0].set(1)

    def play(state, now):
        key, point = now
        prediction = forecaster.forecast(state, point, key=key)
        outcome = (prediction.law.mean < 0.6).astype(jnp.int32)  # reacts to the law
        return forecaster.update(state, prediction, outcome), (prediction, outcome)

    start = forecaster.init(dtype=jnp.float32)
    scan = jax.jit(lambda: jax.lax.scan(play, start, (jax.random.split(KEY, 400), groups)))
    state, (predictions, outcomes) = scan()
    residuals = np.asarray(outcomes) - np.asarray(predictions.value)
    sums = np.zeros((20, 2))
    np.add.at(sums, np.asarray(predictions.level), np.asarray(groups) * residuals[:, None])
    np.testing.assert_allclose(state.sums, sums, atol=1e-4)
    np.testing.assert_allclose(
        predictions.value, (np.asarray(predictions.level) + 0.5) / 20, rtol=1e-6
    )
    assert predictions.value.dtype == jnp.float32
    assert int(state.step) == 400
    assert np.abs(sums).max() <= forecaster.bound(400)
    with pytest.raises(ValueError, match="2 groups"):
        forecaster.forecast(start, jnp.ones(3), key=KEY)


def test_the_same_by_self_play_of_the_core():
    horizon, forecaster = 1000, plain(32, 1000)
    game = cal.ForecastingGame(forecaster, cal.Contrarian())
    way = gamejax.play(game, SelfPlay(SignChange()), horizon, key=KEY, record=horizon)
    state = way.solution.state.game
    assert float(jnp.abs(state.residuals).max()) <= forecaster.bound(horizon)
    np.testing.assert_allclose(state.residuals, state.forecaster.sums)
    assert int(state.forecaster.step) == horizon


def test_whole_sequences_as_data_and_their_records():
    rng = np.random.default_rng(4)
    groups = np.column_stack([np.ones(600), rng.random(600) < 0.3])
    outcomes = (rng.random(600) < np.where(groups[:, 1] > 0, 0.8, 0.3)).astype(float)
    forecaster = cal.MulticalibratedForecaster(15, 2)
    sequence = cal.Outcomes(outcomes, groups)
    one = cal.forecast_online(
        forecaster, sequence, 600, key=KEY, num_replications=3, record_every=200, keep=True
    )
    np.testing.assert_array_equal(one.times, [200, 400, 600])
    np.testing.assert_array_equal(one.outcomes, np.tile(outcomes, (3, 1)))
    np.testing.assert_array_equal(one.groups, np.tile(groups, (3, 1, 1)))
    terms = groups[None] * (outcomes[None] - np.asarray(one.forecasts))[:, :, None]
    for r, record in itertools.product(range(3), range(3)):
        sums = np.zeros((15, 2))
        upto = 200 * (record + 1)
        np.add.at(sums, np.asarray(one.levels)[r, :upto], terms[r, :upto])
        np.testing.assert_allclose(one.errors[r, record], np.abs(sums).max(), rtol=1e-9)
    np.testing.assert_allclose(one.residuals[2], sums, atol=1e-9)
    np.testing.assert_allclose(one.group_errors[2], np.abs(sums).max(0), atol=1e-9)
    assert not np.array_equal(one.forecasts[0], one.forecasts[1])


def test_one_program_for_all_numbers():
    from gamejax.calibration._online import _forecast

    before = _forecast._cache_size()
    for rate, chance in ((0.1, 0.2), (0.3, 0.4)):
        forecaster = cal.MulticalibratedForecaster(9, 1, rate)
        result = cal.forecast_online(
            forecaster, cal.Coins(chance), 40, key=KEY, num_replications=2, dtype=jnp.float32
        )
        assert result.errors.dtype == result.residuals.dtype == jnp.float32
    assert _forecast._cache_size() == before + 1


def test_ada_normal_hedge_weights():
    state = cal.AdaNormalHedge().init((5,), dtype=jnp.float64)
    regret = jnp.array([0.0, 2.0, -3.0, -0.5, 200.0])
    state = state._replace(regret=regret, total=jnp.array([0.0, 4.0, 5.0, 5.0, 250.0]))
    found = np.exp(cal.AdaNormalHedge().log_weights(state))
    np.testing.assert_allclose(found[:4], [0.19781, 0.37659, 0, 0.00699], atol=5e-6)
    expected = (np.exp(201**2 / 753) - np.exp(199**2 / 753)) / 2
    np.testing.assert_allclose(found[4], expected, rtol=1e-9)
    huge = state._replace(regret=regret + 1e5, total=state.total + 1e5)
    assert np.isfinite(cal.AdaNormalHedge().log_weights(huge)).all()


SWITCH = cal.Switching(cal.Coins(0.1), cal.Coins(0.9), 1500)


def switched(weighting=None, adaptive=True):
    forecaster = cal.adaptive_forecaster(2000, 20, weighting=weighting, adaptive=adaptive)
    result = cal.forecast_online(
        forecaster, SWITCH, 2000, key=KEY, num_replications=16, keep=True, dtype=jnp.float32
    )
    return forecaster, result


@pytest.mark.parametrize(
    "weighting",
    [cal.AdaNormalHedge(), pytest.param(cal.Prod(6), marks=pytest.mark.slow)],
    ids=["anh", "prod"],
)
def test_adaptive_on_every_interval(weighting):
    forecaster, result = switched(weighting)
    experts = np.log(20 * 2 * 2000 / 0.01)
    pairs = [(s, n) for n in (50, 200, 800, 2000) for s in range(1, 2002 - n, 25)]
    starts, lengths = np.array(pairs).T
    found = jax.vmap(
        lambda p, y, level: (
            cal.interval_residuals(
                p, y, starts, starts + lengths - 1, bins=jax.nn.one_hot(level, 20)
            ).raw
        )
    )(result.forecasts, result.outcomes, result.levels)
    # The bound is O(sqrt(length ln)) + spacing length; here with the constant 3.
    worst = np.asarray(found).max((0, 2))
    assert np.all(worst <= 3 * np.sqrt(lengths * experts) + lengths / 40)
    assert np.all(worst <= 4 * np.sqrt(lengths) + lengths / 40)  # far below
    assert forecaster.shape == (12, 1, 20, 1, 2)


def test_recovers_after_a_switch():
    """Within a few rounds of the change forecasts follow; with a single start they lag."""
    lags = []
    for adaptive in (True, False):
        _, result = switched(adaptive=adaptive)
        late = np.asarray(result.forecasts)[:, 1500:1700].mean(0)
        lags.append(np.argmax(late > 0.8) if (late > 0.8).any() else 200)
        error = np.asarray(result.outcomes - result.forecasts)[:, 1500:].sum(1)
        lags.append(error.mean())
    assert lags[0] < lags[2]
    assert lags[1] < lags[3]


def test_interval_residuals_by_hand():
    rng = np.random.default_rng(5)
    p, y, w = rng.random((60, 3)), rng.random((60, 3)), rng.random((60, 2))
    starts, stops = np.array([1, 7, 20]), np.array([60, 7, 41])
    found = cal.interval_residuals(p, y, starts, stops, bins=w)
    for row, (s, t) in enumerate(zip(starts, stops, strict=True)):
        terms = w[s - 1 : t, :, None] * (y - p)[s - 1 : t, None, :]
        raw = np.abs(terms.sum(0)).max(-1)
        np.testing.assert_allclose(found.raw[row], raw)
        np.testing.assert_allclose(found.per_round[row], raw / t)
        np.testing.assert_allclose(found.per_length[row], raw / (t - s + 1))
        np.testing.assert_allclose(found.per_mass[row], raw / w[s - 1 : t].sum(0))
    worst = max(
        np.abs((w[s:t, :, None] * (y - p)[s:t, None, :]).sum(0)).max()
        for s in range(60)
        for t in range(s + 1, 61)
    )
    np.testing.assert_allclose(cal.adaptive_error(p, y, bins=w), worst)
    with pytest.raises(ValueError, match="one shape"):
        cal.adaptive_error(p, y[:, 0])


def test_several_classes_stay_below_the_bound():
    horizon, parts = 600, 5
    forecaster = cal.multiclass_forecaster(3, parts)
    result = cal.forecast_online(
        forecaster, cal.Contrarian(3), horizon, key=KEY, num_replications=4
    )
    experts = 2 * 3 * forecaster.num_points
    bound = online_bound(horizon, experts, 2 / parts, 0.02, anytime=True)
    assert forecaster.num_points == 21
    assert result.residuals.shape == (4, 21, 1, 3)
    assert float(result.errors.max()) <= bound
    assert float(result.errors.max()) < 40  # far below
    # Forecasts and outcomes are probability vectors, so residuals sum to zero.
    np.testing.assert_allclose(np.asarray(result.residuals).sum(-1), 0, atol=1e-9)


def test_laws_over_a_net_solve_the_game():
    """The experts' expected gain is that of the linear program, and within the net's radius."""
    forecaster = cal.multiclass_forecaster(3, 4, num_groups=2)
    state, rng = forecaster.init(), np.random.default_rng(6)
    totals = rng.normal(size=(12, *forecaster.shape)) * 20
    totals[..., 1] = -totals[..., 0]
    groups = rng.random((12, 2))

    @jax.jit
    @jax.vmap
    def look(total, groups):
        here = eqx.tree_at(lambda s: s.experts.total, state, total)
        gradients = forecaster.gradients(here, groups)
        return gradients, forecaster.slack(here, groups), forecaster.law(here, groups)

    gradients, slack, law = look(totals, groups)
    points = np.asarray(forecaster.points)
    for g, found, chances in zip(gradients, slack, law.choice.probabilities, strict=True):
        gains = np.asarray(g) - (np.asarray(g) * points).sum(1)[:, None]
        size = len(points)
        exact = linprog(
            np.append(np.zeros(size), 1), np.column_stack([gains.T, -np.ones(3)]), np.zeros(3),
            np.append(np.ones(size), 0)[None], [1], bounds=[(0, 1)] * size + [(None, None)],
        )  # fmt: skip
        np.testing.assert_allclose(found, exact.fun, atol=1e-9)
        np.testing.assert_allclose(chances.sum(), 1)
        assert float(found) <= np.abs(g).sum(1).max() / 4 + 1e-12


@pytest.mark.slow
def test_best_response_bins_and_other_outcome_sets():
    """Binning functions of a user's: here the best responses of an agent (a Stackelberg game)."""
    utilities = np.array([[1.0, 0.0], [0.0, 1.0]])

    def responses(net):
        return jax.nn.one_hot(jnp.argmax(net @ utilities, axis=1), 2)

    forecaster = cal.adaptive_forecaster(
        400, points=cal.simplex_net(2, 20), vertices=[[0.8, 0.2], [0.2, 0.8]], bins=responses
    )
    assert forecaster.shape == (10, 1, 2, 2, 2)
    repeated = np.array([0.3, 0.7])
    result = cal.forecast_online(
        forecaster, cal.Constant(repeated), 400, key=KEY, num_replications=4, keep=True
    )
    # A principal who repeats himself: forecasts in the active bin go to what he plays.
    late = np.asarray(result.forecasts)[:, 200:]
    np.testing.assert_allclose(late.mean((0, 1)), repeated, atol=0.05)
    assert np.mean(late[..., 1] > 0.5) > 0.9


def test_prod_keeps_its_second_order_promise():
    weighting, rng = cal.Prod(6), np.random.default_rng(7)
    gains = rng.choice([-1.0, 0.0, 1.0], size=(500, 4), p=[0.2, 0.5, 0.3]) * [1, 0.1, 0.5, 1]
    state = weighting.init((4,), dtype=jnp.float64)
    for row in gains:
        state = weighting.update(state, jnp.asarray(row), jnp.zeros(()))
    rates = 0.5 ** np.arange(1, 7)
    np.testing.assert_allclose(state, np.log1p(rates * gains[:, :, None]).sum(0), rtol=1e-9)
    # ln(1 + x) >= x - x^2, which is the promise once ln W is bounded.
    lower = rates * gains.sum(0)[:, None] - rates**2 * (gains**2).sum(0)[:, None]
    assert np.all(np.asarray(state) >= lower)


def test_the_benchmark_runs_and_draws(tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    from benchmarks import online_calibration

    found = list(online_calibration.rows("tiny"))
    assert {row["part"] for row in found} == {"rates", "speed"}
    errors = {r["implementation"]: r["error"] for r in found if r["part"] == "speed"}
    assert errors["gamejax float32"] == pytest.approx(errors["NumPy"], rel=0.6)
    assert all(goal.measured is not None for goal in online_calibration.goals(found)[2:])
    pictures = online_calibration.draw([({"cores": 1}, found)], tmp_path, "tiny")
    assert all(picture.path.exists() for picture in pictures)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cal.MulticalibratedForecaster(0), "num_levels"),
        (lambda: cal.MulticalibratedForecaster(10, learning_rate=-1.0), "learning_rate"),
        (lambda: cal.adaptive_forecaster(100), "num_levels or points"),
        (lambda: cal.adaptive_forecaster(100, 5, bins=np.ones((4, 2))), "bins"),
        (lambda: cal.adaptive_forecaster(100, 5, vertices=np.eye(2)), "vertices"),
        (lambda: cal.multiclass_forecaster(1, 4), "num_classes"),
        (lambda: cal.Coins(1.5), "probability"),
        (lambda: cal.Outcomes(np.ones((2, 2, 2))), "outcomes"),
        (lambda: cal.Switching(cal.Contrarian(), cal.Contrarian(3), 5), "classes"),
        (
            lambda: cal.forecast_online(
                cal.multiclass_forecaster(3, 2), cal.Contrarian(), 5, key=KEY
            ),
            "shape",
        ),
        (
            lambda: cal.forecast_online(
                cal.MulticalibratedForecaster(5), cal.Outcomes(np.ones(4)), 5, key=KEY
            ),
            "has 4 rounds",
        ),
    ],
)
def test_unusable_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

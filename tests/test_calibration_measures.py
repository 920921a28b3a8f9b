"""Measures of calibration against linear programs, enumeration, closed forms and one another."""

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from gamejax import calibration as cal
from gamejax.calibration._transport import path_transport

SUMS = {"normalize": False}
KEY = jax.random.key(0)
MEASURES: dict[str, Callable] = {
    "ece": cal.ece,
    "ece, norm 2": functools.partial(cal.ece, norm=2),
    "ece, max": functools.partial(cal.ece, norm=math.inf),
    "smooth_ce": cal.smooth_ce,
    "ssce": cal.ssce,
    "distance": cal.distance_to_calibration,
    "interval_ce": cal.interval_ce,
    "laplace_kernel_ce": cal.laplace_kernel_ce,
    "two_bin_error": cal.two_bin_error,
    "u_calibration": cal.u_calibration,
    "v_calibration": cal.v_calibration,
    "swap_calibration": cal.swap_calibration,
}


def cases(num: int = 24, size: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and outcomes; a third of the cases on a coarse grid, so that forecasts tie."""
    rng = np.random.default_rng(seed)
    scores = rng.random((num, size))
    scores[::3] = np.round(scores[::3] * 6) / 6
    labels = (rng.random((num, size)) < rng.random((num, 1))).astype(float)
    return scores, labels


def linear_program(scores: np.ndarray, masses: np.ndarray) -> float:
    """The smooth calibration error as its definition."""
    order = np.argsort(scores)
    points, masses = scores[order], masses[order]
    step = np.diff(np.eye(len(points)), axis=0)
    gaps = np.diff(points)
    bounds = np.concatenate([gaps, gaps])
    found = linprog(-masses, np.concatenate([step, -step]), bounds, bounds=(-1, 1))
    return -found.fun


def grid_program(masses: np.ndarray) -> float:
    """Dynamic programming over a grid: values of f are multiples of the grid's width too."""
    cells = len(masses) - 1
    heights = np.arange(-cells, cells + 1) / cells
    value = masses[0] * heights
    for mass in masses[1:]:
        padded = np.pad(value, 1, constant_values=-np.inf)
        value = mass * heights + np.maximum(np.maximum(padded[:-2], padded[2:]), value)
    return value.max()


def set_partitions(items: list[int]):
    if not items:
        yield []
        return
    for rest in set_partitions(items[1:]):
        yield [[items[0]], *rest]
        for i, block in enumerate(rest):
            yield [*rest[:i], [items[0], *block], *rest[i + 1 :]]


def largest_regret(points: np.ndarray, gains: np.ndarray) -> float:
    """Maximum of a linear function of a proper loss in [-1, 1], given at some forecasts.

    `gains[i, y]` is the coefficient of the loss at forecast i and outcome y.
    """
    n = len(points)
    rows = []
    for i, j in itertools.permutations(range(n), 2):
        row = np.zeros((n, 2))
        row[i] += [1 - points[i], points[i]]
        row[j] -= [1 - points[i], points[i]]
        rows.append(row.ravel())
    bounds = np.zeros(len(rows))
    return -linprog(-gains.ravel(), np.asarray(rows), bounds, bounds=(-1, 1)).fun


@functools.cache
def measured(name: str) -> dict[str, np.ndarray]:
    """A measure of all cases, of their permutations and mirror images, and its gradients."""
    measure = functools.partial(MEASURES[name], **SUMS)
    scores, labels = cases()
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(2, *scores.shape))
    inside = np.clip(scores, 0.02, 0.98)
    width = 1e-6

    soft = 0.1 + 0.8 * labels + 0.1 * rng.random(labels.shape)
    order = np.argsort(rng.random(scores.shape), axis=1)
    move_scores, move_labels = directions
    inputs = [
        (scores, labels),
        tuple(np.take_along_axis(x, order, 1) for x in (scores, labels)),
        (1 - scores, 1 - labels),
        (inside, soft),
        (inside + width * move_scores, soft + width * move_labels),
        (inside - width * move_scores, soft - width * move_labels),
    ]
    run = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(measure, argnums=(0, 1)))))
    values, slopes = run(*(np.stack(x) for x in zip(*inputs, strict=True)))
    plain, permuted, mirrored, _, above, below = np.asarray(values)
    slope = (slopes[0][3] * move_scores + slopes[1][3] * move_labels).sum(1)
    return {
        "plain": plain,
        "permuted": permuted,
        "mirrored": mirrored,
        "slope": np.asarray(slope),
        "difference": (above - below) / (2 * width),
    }


@pytest.mark.parametrize("name", MEASURES)
def test_order_and_names_of_the_outcomes_do_not_matter(name):
    found = measured(name)
    np.testing.assert_allclose(found["permuted"], found["plain"], atol=1e-12)
    np.testing.assert_allclose(found["mirrored"], found["plain"], atol=1e-12)


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_are_finite_differences(name):
    found = measured(name)
    # Cases with ties sit on kinks; the others are smooth with probability one.
    smooth = np.arange(len(found["plain"])) % 3 > 0
    np.testing.assert_allclose(found["slope"][smooth], found["difference"][smooth], atol=2e-6)
    assert np.isfinite(found["slope"]).all()


@pytest.mark.parametrize("name", MEASURES)
def test_one_case_in_float32_with_padding_and_means(name):
    scores, labels = cases()
    padded = np.append(scores[1], [0.3, np.nan]).astype(np.float32)
    outcomes = np.append(labels[1], [1, 5]).astype(np.int32)
    weights = np.append(np.full(8, 2.0), [0, 0])
    found = MEASURES[name](padded, outcomes, weights=weights)
    assert found.dtype == jnp.float32
    mean = measured(name)["plain"][1] / (64 if name == "two_bin_error" else 8)
    np.testing.assert_allclose(found, mean, atol=2e-6)


def test_measures_are_ordered():
    of = {name: measured(name)["plain"] for name in MEASURES}
    slack = 1e-12
    assert (of["smooth_ce"] <= of["ece"] + slack).all()
    assert (of["smooth_ce"] <= 2 * of["distance"] + slack).all()
    assert (of["distance"] <= of["interval_ce"] + slack).all()
    assert (of["interval_ce"] <= of["ece"] + slack).all()
    assert (of["ssce"] >= of["smooth_ce"] / 2 - slack).all()
    assert (of["ece, max"] <= of["ece"] + slack).all()
    assert (of["ece"] ** 2 <= 8 * of["ece, norm 2"] + slack).all()
    assert (of["v_calibration"] <= of["u_calibration"] + slack).all()
    assert (of["u_calibration"] <= 2 * of["v_calibration"] + slack).all()
    assert (of["u_calibration"] <= of["swap_calibration"] + slack).all()
    assert (of["swap_calibration"] <= 4 * of["ece"] + slack).all()
    assert (of["laplace_kernel_ce"] >= 0).all()


def test_table():
    nan = math.nan
    rows = [  # labels, scores, ECE, smooth CE, distance, SSCE
        ((1, 0), (0.6, 0.6), 0.2, 0.2, 0.2, 0.3),
        ((1, 0), (0.4, 0.6), 1.2, 0.12, 0.2, 0.33),
        ((0, 1), (0.4, 0.6), 0.8, 0.08, 0.2, 0.22),
        ((1, 0, 1, 0), (0.5, 0.5, 0.5, 0.5), 0, 0, 0, 0.375),
        ((1, 1, 0, 0), (0.7, 0.7, 0.7, 0.2), 0.3, 0.3, 0.3, 0.39375),
        ((1, 0), (0.25, 0.75), nan, 0.375, nan, nan),
        ((0, 1), (0.25, 0.75), nan, 0.125, nan, nan),
        ((1, 1, 1, 1), (0.5, 0.5, 0.5, 0.5), 2, 2, 2, 1),
    ]

    def pad(values):
        return np.asarray([(*v, 0, 0)[:4] for v in values], float)

    labels, scores = pad(r[0] for r in rows), pad(r[1] for r in rows)
    weights = pad([(1,) * len(r[0]) for r in rows])
    for column, name in enumerate(["ece", "smooth_ce", "distance", "ssce"]):

        def error(p, x, w, name=name):
            return MEASURES[name](p, x, weights=w, **SUMS)

        found = np.asarray(jax.jit(jax.vmap(error))(scores, labels, weights))
        wanted = np.asarray([r[2 + column] for r in rows])
        known = ~np.isnan(wanted)
        np.testing.assert_allclose(found[known], wanted[known], atol=1e-12)


def test_smooth_ce_is_its_linear_program():
    scores, labels = cases(40, 24, seed=2)
    found = jax.jit(jax.vmap(lambda p, x: cal.smooth_ce_bounds(p, x, **SUMS)))(scores, labels)
    wanted = [linear_program(p, x - p) for p, x in zip(scores, labels, strict=True)]
    np.testing.assert_allclose(found.lower, wanted, atol=1e-9)
    np.testing.assert_allclose(found.upper, wanted, atol=1e-9)
    steps, gaps = np.diff(found.witness), np.diff(found.points)
    assert (np.abs(steps) <= gaps + 1e-12).all()
    assert (np.abs(found.witness) <= 1).all()
    curves = zip(scores, found.points, found.witness, strict=True)
    at = np.stack([np.interp(p, *curve) for p, *curve in curves])
    np.testing.assert_allclose((at * (labels - scores)).sum(1), wanted, atol=1e-9)


def test_smooth_ce_on_a_grid_is_bracketed():
    scores, labels = cases(40, 24, seed=3)
    gridded = np.round(scores * 16) / 16
    both = np.concatenate([scores, gridded]), np.concatenate([labels, labels])
    bounds = jax.vmap(lambda p, x: cal.smooth_ce_bounds(p, x, num_levels=16, **SUMS))
    found = jax.jit(bounds)(*both)
    exact = [linear_program(p, x - p) for p, x in zip(scores, labels, strict=True)]
    assert (found.lower[:40] <= np.asarray(exact) + 1e-9).all()
    assert (found.upper[:40] >= np.asarray(exact) - 1e-9).all()
    moved = np.abs(labels - scores).sum(1) / 32
    assert (found.upper[:40] - found.lower[:40] <= moved + 1e-9).all()
    masses = np.zeros((40, 17))
    for i, (p, x) in enumerate(zip(gridded, labels, strict=True)):
        np.add.at(masses[i], np.round(16 * p).astype(int), x - p)
    wanted = [grid_program(m) for m in masses]
    np.testing.assert_allclose(found.lower[40:], wanted, atol=1e-12)
    np.testing.assert_allclose(found.upper[40:], wanted, atol=1e-12)


def test_smooth_ce_of_two_forecasts():
    rng = np.random.default_rng(4)
    masses, gap = rng.normal(size=(300, 2)), rng.random(300)
    found = jax.jit(jax.vmap(path_transport))(masses, gap[:, None])
    apart = np.where(masses.prod(1) < 0, gap * np.abs(masses).min(1), 0)
    wanted = np.abs(masses.sum(1)) + apart
    np.testing.assert_allclose(found.lower, wanted, atol=1e-12)
    np.testing.assert_allclose(found.upper, wanted, atol=1e-12)


def test_smooth_ce_is_subadditive():
    scores, labels = cases(40, 24, seed=2)
    error = jax.jit(jax.vmap(lambda p, x, w: cal.smooth_ce(p, x, weights=w, **SUMS)))
    half = np.broadcast_to(np.arange(24) < 12, scores.shape).astype(float)
    whole = error(scores, labels, np.ones_like(half))
    assert (whole <= error(scores, labels, half) + error(scores, labels, 1 - half) + 1e-12).all()


@pytest.mark.slow
def test_exact_kernels_with_many_points():
    """Ten thousand forecasts, in float32: exact and on a grid, against each other."""
    rng = np.random.default_rng(5)
    scores = rng.random(10_000).astype(np.float32)
    labels = rng.random(10_000) < scores**1.2
    exact, grid = (cal.smooth_ce_bounds(scores, labels, num_levels=n) for n in (None, 1024))
    assert float(exact.upper - exact.lower) < 2e-6
    assert float(grid.lower) <= float(exact.upper) + 2e-6
    assert float(exact.lower) <= float(grid.upper) + 2e-6
    assert float(grid.upper - grid.lower) < 0.5 / 2048
    residuals = (labels - scores)[np.argsort(scores)]
    mean = np.mean(residuals * exact(np.sort(scores)))
    np.testing.assert_allclose(mean, exact.lower, atol=1e-6)
    laplace = [cal.laplace_kernel_ce(scores, labels, num_levels=n) for n in (None, 1024)]
    np.testing.assert_allclose(laplace[1], laplace[0], rtol=1e-4)
    binned = np.bincount((scores * 15).astype(int), labels - scores)
    np.testing.assert_allclose(
        cal.ece(scores, labels, num_levels=15), np.abs(binned).sum() / 10_000, rtol=1e-5
    )
    lower, upper = cal.distance_to_calibration(scores, labels, num_levels=256)
    assert float(lower) * 2 == pytest.approx(float(exact.lower), abs=1e-3)
    assert float(lower) <= float(upper) <= float(cal.interval_ce(scores, labels, num_levels=256))
    # On a grid that holds all forecasts: the same expectation, over other subsets.
    coarse = (np.round(scores[:200] * 8) / 8, labels[:200])
    pair = [cal.ssce(*coarse, key=KEY, num_levels=n) for n in (None, 8)]
    assert float(pair[1]) == pytest.approx(float(pair[0]), rel=0.2)
    # On a fine grid regrets are those of the forecasts, less what lies between the thresholds.
    u, v, swap = (
        float(measure(scores, labels, num_levels=1000))
        for measure in (cal.u_calibration, cal.v_calibration, cal.swap_calibration)
    )
    at = np.linspace(0, 1, 1001)[:, None]
    regret = np.abs((labels - at).mean(1)) - (np.sign(scores + 1e-7 - at) * (labels - at)).mean(1)
    assert v == pytest.approx(regret.max(), abs=1e-4)
    assert v <= u < swap + 1e-3


def test_ssce_closed_forms():
    labels = np.asarray([1, 0, 1, 0, 1, 0], float)
    weights = np.asarray([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1] * 6], float)
    labels = np.stack([labels, labels, labels, np.ones(6), np.ones(6)])
    weights = np.concatenate([weights, np.ones((2, 6))])
    scores = np.full((5, 6), 0.5)
    scores[4] = 0.9
    error = jax.jit(jax.vmap(lambda p, x, w: cal.ssce(p, x, weights=w, **SUMS)))
    found = error(scores, labels, weights)
    np.testing.assert_allclose(found, [0.25, 0.375, 0.46875, 1.5, 0.3], atol=1e-12)


def test_ssce_estimates_with_a_standard_error():
    n = 30
    scores, labels = np.full(2 * n, 0.5), np.arange(2 * n) % 2
    exact = n / 2 * math.comb(2 * n, n) / 4**n
    found = cal.ssce_estimate(scores, labels, key=KEY, num_subsets=2000, **SUMS)
    assert abs(float(found.value) - exact) < 4 * float(found.standard_error)
    assert 0 < float(found.standard_error) < 0.05 * exact
    ones = cal.ssce_estimate(scores, np.ones(2 * n), key=KEY, num_subsets=2000, **SUMS)
    np.testing.assert_allclose(ones.value, n / 2, rtol=1e-12)
    assert float(ones.standard_error) < 1e-12  # complements: every pair sums to the same


def test_distance_is_the_best_partition():
    scores, labels = cases()
    partitions = list(set_partitions(list(range(8))))
    for case in range(3):
        p, x = scores[case], labels[case]
        least = min(
            sum(np.abs(p[block] - x[block].mean()).sum() for block in partition)
            for partition in partitions
        )
        np.testing.assert_allclose(measured("distance")["plain"][case], least, atol=1e-12)


def test_intervals_are_the_best_partition():
    scores, labels = cases()
    for case in range(6):
        values = np.unique(scores[case])
        best = np.inf
        for cuts in itertools.product([False, True], repeat=len(values) - 1):
            interval = np.cumsum([0, *cuts])[np.searchsorted(values, scores[case])]
            cost = 0.0
            for block in range(interval.max() + 1):
                p, x = scores[case][interval == block], labels[case][interval == block]
                cost += abs((x - p).sum()) + np.ptp(p) * len(p)
            best = min(best, cost)
        np.testing.assert_allclose(measured("interval_ce")["plain"][case], best, atol=1e-12)


@pytest.mark.slow
def test_bounds_of_the_distance_hold():
    scores, labels = cases(1, 11)
    p, x = scores[0], labels[0]
    lower, upper = cal.distance_to_calibration(p, x, **SUMS)
    # Eleven points, the last without weight: the distance of the first ten, exactly.
    exact = cal.distance_to_calibration(p[:10], x[:10], **SUMS)
    weights = np.append(np.ones(10), 0)
    masked = cal.distance_to_calibration(p, x, weights=weights, **SUMS)
    assert masked[0] - 1e-12 <= exact <= masked[1] + 1e-12
    assert 0 <= lower <= upper


def test_regrets_are_linear_programs():
    scores, labels = cases()
    for case in range(6):
        p, x = scores[case], labels[case]
        levels = np.unique(p)
        means = np.asarray([x[p == v].mean() for v in levels])
        points = np.concatenate([levels, means, [x.mean()]])
        gains = np.zeros((len(points), 2))
        swap = np.zeros((len(points), 2))
        for v, y in zip(np.searchsorted(levels, p), x.astype(int), strict=True):
            gains[v, y] += 1
            gains[-1, y] -= 1
            swap[v, y] += 1
            swap[len(levels) + v, y] -= 1
        found = measured("u_calibration")["plain"][case]
        np.testing.assert_allclose(found, largest_regret(points, gains), atol=1e-8)
        found = measured("swap_calibration")["plain"][case]
        np.testing.assert_allclose(found, largest_regret(points, swap), atol=1e-8)


def test_v_calibration_is_the_largest_of_many_thresholds():
    scores, labels = cases()
    v = np.linspace(0, 1, 20_001)[:, None]
    for case in range(6):
        p, x = scores[case], labels[case]
        regret = -(np.sign(p - v) * (x - v)).sum(1) + np.abs((x - v).sum(1))
        found = measured("v_calibration")["plain"][case]
        assert regret.max() - 1e-9 <= found <= regret.max() + 2e-3


def test_quadratic_measures_are_their_definitions():
    scores, labels = cases()
    p, r = scores, labels - scores
    kernel = np.exp(-np.abs(p[:, :, None] - p[:, None, :]))
    wanted = np.sqrt(np.einsum("ns,nt,nst->n", r, r, kernel))
    np.testing.assert_allclose(measured("laplace_kernel_ce")["plain"], wanted, atol=1e-12)
    pairs = jax.vmap(lambda p, x: cal.laplace_kernel_ce(p, x, pairs=True, **SUMS))
    np.testing.assert_allclose(jax.jit(pairs)(scores, labels), wanted, atol=1e-12)
    cuts = (np.arange(50_000) + 0.5) / 50_000
    for case in range(4):
        below = ((p[case][:, None] < cuts) * r[case][:, None]).sum(0)
        wanted = (below**2 + (r[case].sum() - below) ** 2).mean()
        np.testing.assert_allclose(measured("two_bin_error")["plain"][case], wanted, atol=1e-3)


def test_ece_norms_and_bins():
    scores = np.asarray([0.05, 0.1, 0.1, 0.95, 1.0])
    labels = np.asarray([1, 0, 0, 1, 0])
    exact = [cal.ece(scores, labels, norm=n, **SUMS) for n in (1, 2, math.inf)]
    np.testing.assert_allclose(exact, [2.2, 0.95**2 + 0.02 + 0.05**2 + 1, 1], atol=1e-12)
    bins = [cal.ece(scores, labels, norm=n, num_levels=2) for n in (1, 2, math.inf)]
    wanted = [(0.75 + 0.95) / 5, (0.75**2 / 3 + 0.95**2 / 2) / 5, 0.95 / 5]
    np.testing.assert_allclose(bins, wanted, atol=1e-12)


def test_groups_in_three_scales():
    rng = np.random.default_rng(6)
    scores, labels = rng.random(60), rng.random(60) < 0.5
    groups = np.stack([np.ones(60), np.arange(60) < 15, np.zeros(60)], axis=1)
    of = {
        scale: cal.by_group(cal.smooth_ce, scores, labels, groups, normalization=scale)
        for scale in ("group", "sqrt", "points")
    }
    whole, alone = (cal.smooth_ce(scores, labels, weights=w) for w in groups.T[:2])
    np.testing.assert_allclose(of["group"][1], alone, rtol=1e-12)
    np.testing.assert_allclose(of["sqrt"][1], alone / 2, rtol=1e-12)
    np.testing.assert_allclose(of["points"][1], alone / 4, rtol=1e-12)
    for found in of.values():
        np.testing.assert_allclose(found[0], whole, rtol=1e-12)
        assert float(found[2]) == 0


def test_significance_of_honest_and_other_forecasts():
    rng = np.random.default_rng(7)
    scores = rng.random(200)
    honest = rng.random((40, 200)) < scores

    def errors(p, x):
        cell = (p * 5).astype(jnp.int32)
        return jnp.abs(jnp.zeros(5, p.dtype).at[cell].add(x - p))

    options = {"key": KEY, "num_draws": 99}
    tests = [cal.calibration_test(errors, scores, x, **options) for x in honest]
    single = np.asarray([t.p_value for t in tests])
    family = np.asarray([t.family_p_value for t in tests])
    assert single.shape == (40, 5)
    assert abs(single.mean() - 0.5) < 0.12
    assert abs(family.mean() - 0.5) < 0.2
    # Monte Carlo under the null hypothesis: variances of sums of independent residuals.
    variance = np.bincount((scores * 5).astype(int), scores * (1 - scores))
    np.testing.assert_allclose(tests[0].null_mean, np.sqrt(2 * variance / np.pi), rtol=0.4)
    off = cal.calibration_test(errors, scores, rng.random(200) < scores**3, **options)
    assert float(off.family_p_value) == 0.01
    assert float(off.z_score.max()) > 3
    assert float(off.excess.max()) > 0


def test_significance_of_many_classes_and_ties():
    rng = np.random.default_rng(8)
    scores = rng.dirichlet([2.0, 1.0, 1.0], 300)
    labels = np.asarray([rng.choice(3, p=p) for p in scores])

    def first_class(p, x):
        return jnp.abs((x == 0).astype(p.dtype).sum() - p[:, 0].sum())

    found = cal.calibration_test(first_class, scores, labels, key=KEY, num_draws=199)
    assert 0.005 <= float(found.p_value) <= 1
    deviation = math.sqrt((scores[:, 0] * (1 - scores[:, 0])).sum())
    np.testing.assert_allclose(found.null_mean, deviation * math.sqrt(2 / np.pi), rtol=0.25)
    # A statistic that never varies is never significant.
    same = cal.calibration_test(lambda p, x: p.sum(), scores, labels, key=KEY, num_draws=9)
    assert (float(same.p_value), float(same.family_p_value)) == (1, 1)


def test_bad_input_is_named():
    p, x = np.asarray([0.2, 0.7]), np.asarray([0, 1])
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\].*sigmoid"):
        cal.ece(p * 4, x)
    with pytest.raises(ValueError, match="labels must have one entry for each of 2"):
        cal.smooth_ce(p, x[:1])
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\]"):
        cal.ece(p, x + 1)
    with pytest.raises(ValueError, match="one column at a time"):
        cal.smooth_ce(p[None], x[:1])
    with pytest.raises(ValueError, match="weights must be finite"):
        cal.ece(p, x, weights=[0, 0])
    with pytest.raises(ValueError, match="weights must have shape"):
        cal.ece(p, x, weights=[1.0])
    with pytest.raises(ValueError, match="norm must be"):
        cal.ece(p, x, norm=3)
    with pytest.raises(ValueError, match="num_levels"):
        cal.v_calibration(p, x, num_levels=0)
    with pytest.raises(ValueError, match="needs key="):
        cal.ssce(np.tile(p, 7), np.tile(x, 7))
    with pytest.raises(ValueError, match="num_subsets"):
        cal.ssce(p, x, num_subsets=5)
    with pytest.raises(ValueError, match="give num_levels"):
        cal.interval_ce(np.zeros(40_000), np.zeros(40_000))
    with pytest.raises(ValueError, match="leave num_levels out"):
        cal.laplace_kernel_ce(p, x, pairs=True, num_levels=3)
    with pytest.raises(ValueError, match="row for each of 2 points"):
        cal.by_group(cal.ece, p, x, np.ones((3, 1)))
    with pytest.raises(ValueError, match="normalization must be"):
        cal.by_group(cal.ece, p, x, np.ones((2, 1)), normalization="mass")
    with pytest.raises(ValueError, match="num_draws"):
        cal.calibration_test(cal.ece, p, x, key=KEY, num_draws=0)

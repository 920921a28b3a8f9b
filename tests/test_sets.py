"""Strategy sets against closed forms, NumPy and scipy references, and their own definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.test_util import check_grads
from scipy.optimize import linprog

from gamejax.regularizers import Entropy, Euclidean, LogBarrier, Tsallis
from gamejax.sets import (
    AbstractStrategySet,
    Ball,
    Box,
    CappedSimplex,
    Product,
    Simplex,
    Unconstrained,
)

REGULARIZERS = [Entropy(), Euclidean(), Tsallis(), LogBarrier()]
CAPS = [None, 0.2, 0.25, 0.3, 0.37, 0.5, 1.0]
MASK = np.array([True, True, False, True, True, False, True])
TRIANGLE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
vectors = arrays(np.float64, 5, elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1e6]))
fast = settings(max_examples=25, deadline=None)


def make(shape, cap, mask=None) -> AbstractStrategySet:
    return Simplex(shape, mask) if cap is None else CappedSimplex(shape, cap, mask)


def numpy_projection(v):
    u = np.sort(v)[::-1]
    excess = np.cumsum(u) - 1
    rho = np.nonzero(u > excess / np.arange(1, v.size + 1))[0][-1]
    return np.maximum(v - excess[rho] / (rho + 1), 0)


def numpy_capped_projection(v, cap):
    ends = np.sort(np.concatenate([v, v - cap]))
    masses = np.clip(v[None] - ends[:, None], 0, cap).sum(1)
    i = np.nonzero(masses >= 1 - 1e-12)[0][-1]
    j = min(i + 1, len(ends) - 1)
    slope = (masses[i] - masses[j]) or 1.0
    level = ends[i] + (masses[i] - 1) / slope * (ends[j] - ends[i])
    return np.clip(v - level, 0, cap)


def test_projection_closed_forms():
    project = jax.jit(Simplex(3).project)
    np.testing.assert_allclose(project(jnp.array([0.4, 0.7, 0.6])), [1 / 6, 7 / 15, 11 / 30])
    np.testing.assert_allclose(project(jnp.array([1, 0.5, -1.0])), [0.75, 0.25, 0], atol=1e-15)
    capped = jax.jit(lambda v, cap: CappedSimplex(4, cap).project(v))
    x = capped(jnp.array([0.9, 0.8, 0.1, 0]), 0.4)
    np.testing.assert_allclose(x, [0.4, 0.4, 0.15, 0.05], atol=1e-15)
    x = capped(jnp.array([1, 0.5, 0, -0.2]), 0.5)
    np.testing.assert_allclose(x, [0.5, 0.5, 0, 0], atol=1e-15)


def test_capped_entropy_closed_forms():
    dual = jnp.log(jnp.array([8.0, 4, 2, 1]) / 15)
    mirror = jax.jit(lambda d, cap: CappedSimplex(4, cap).mirror(d, Entropy()))
    np.testing.assert_allclose(mirror(dual, 0.4), [0.4, 12 / 35, 6 / 35, 3 / 35], rtol=1e-14)
    np.testing.assert_allclose(mirror(dual, 0.3), [0.3, 0.3, 4 / 15, 2 / 15], rtol=1e-14)
    np.testing.assert_allclose(mirror(dual, 0.9), jax.nn.softmax(dual), rtol=1e-14)


@pytest.mark.parametrize("n", [4, 300])
def test_fractional_top_k(n):
    utility = jnp.concatenate([jnp.array([1, 0.5, 0.25, 0]), jnp.full(n - 4, -jnp.inf)])
    mask = jnp.arange(n) < 4  # the larger size ranks by sorting
    support = jax.jit(jax.vmap(lambda c: CappedSimplex(n, c, mask).support(utility)))
    caps = jnp.array([2 / 3, 1, 1 / 4, 1 / 2])
    np.testing.assert_allclose(support(caps), [5 / 6, 1, 0.4375, 0.75], rtol=1e-14)
    x = CappedSimplex(n, 2 / 3, mask).lmo(utility)
    np.testing.assert_allclose(x[:4], [2 / 3, 1 / 3, 0, 0], rtol=1e-14)
    ties = CappedSimplex(n, 0.4, mask).lmo(jnp.zeros(n))
    np.testing.assert_allclose(ties[:4], [0.4, 0.4, 0.2, 0], rtol=1e-14)
    assert not x[4:].any()
    assert not ties[4:].any()


def test_support_is_the_dual_of_cvar_and_concave_in_the_cap():
    utility = jnp.asarray(np.random.default_rng(0).normal(size=9))
    caps = jnp.linspace(1 / 9, 1, 50)
    values = jax.vmap(lambda c: CappedSimplex(9, c).support(utility))(caps)
    levels = utility[None, :, None]
    excess = jnp.maximum(utility[None, None, :] - levels, 0).sum(-1)
    dual = jnp.min(utility[None, :] + caps[:, None] * excess, axis=-1)
    np.testing.assert_allclose(values, dual, rtol=1e-13, atol=1e-14)
    assert (np.diff(values) >= -1e-12).all()
    assert (np.diff(values, 2) <= 1e-12).all()


def test_duplicated_actions_recover_the_ordinary_best_response():
    rng = np.random.default_rng(1)
    payoff, r = rng.normal(size=(4, 4)), 3
    strategy = rng.dirichlet(np.ones(4 * r))
    big = np.kron(payoff, np.ones((r, r)))
    smooth = CappedSimplex(4 * r, 1 / r).support(jnp.asarray(big @ strategy))
    np.testing.assert_allclose(smooth, (payoff @ strategy.reshape(4, r).sum(1)).max(), rtol=1e-12)


@pytest.mark.parametrize("cap", [0.2, 0.3, 0.45, 1.0])
def test_support_matches_a_linear_program(cap):
    utilities = np.random.default_rng(2).normal(size=(5, 5))
    values = jax.vmap(CappedSimplex(5, cap).support)(jnp.asarray(utilities))
    for u, value in zip(utilities, values, strict=True):
        program = linprog(-u, A_eq=np.ones((1, 5)), b_eq=[1], bounds=(0, cap))
        np.testing.assert_allclose(value, -program.fun, rtol=1e-9)
    if cap == 1.0:
        np.testing.assert_allclose(values, jax.vmap(Simplex(5).support)(jnp.asarray(utilities)))


_all_sets = {
    "simplex": Simplex(5),
    "masked": Simplex(5, [True, False, True, True, False]),
    "capped": CappedSimplex(5, 0.3),
    "tight": CappedSimplex(5, 0.2),
    "box": Box(-1.0, np.arange(5.0)),
    "ball": Ball(5, 2.0, np.ones(5)),
}
_projections = {k: jax.jit(lambda p, q, s=s: (s.project(p), s.project(q), s.project(s.project(p))))
                for k, s in _all_sets.items()}  # fmt: skip
_responses = {
    k: jax.jit(lambda u, p, s=s: (s.lmo(u), s.support(u), s.project(p), s.violation(s.lmo(u))))
    for k, s in _all_sets.items()
}


@pytest.mark.parametrize("name", list(_all_sets))
@fast
@given(p=vectors, q=vectors)
def test_projections_are_feasible_idempotent_and_non_expansive(name, p, q):
    x, y, again = _projections[name](p, q)
    scale = max(1.0, np.abs(p).max(), np.abs(q).max())
    assert _all_sets[name].violation(x) <= 1e-14
    np.testing.assert_allclose(again, x, atol=1e-14)
    assert np.linalg.norm(x - y) <= np.linalg.norm(p - q) + 1e-14 * scale


@pytest.mark.parametrize("name", list(_all_sets))
@fast
@given(u=vectors, p=vectors)
def test_lmo_beats_every_point_and_equals_support(name, u, p):
    best, value, other, violation = _responses[name](u, p)
    scale = max(1.0, float(np.abs(u).max()))
    assert violation <= 1e-14
    np.testing.assert_allclose(u @ np.asarray(best), value, atol=1e-14 * scale)
    assert u @ np.asarray(other) <= value + 1e-13 * scale


@fast
@given(v=vectors)
def test_projections_agree_with_numpy(v):
    x, _, _ = _projections["simplex"](v, v)
    scale = max(1.0, float(np.abs(v).max()))
    np.testing.assert_allclose(x, numpy_projection(v), atol=1e-15 * scale)
    x, _, _ = _projections["capped"](v, v)
    np.testing.assert_allclose(x, numpy_capped_projection(v, 0.3), atol=4e-15 * scale)


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("capped", [False, True])
def test_mirror_maps_satisfy_their_optimality_conditions(regularizer, capped):
    rng = np.random.default_rng(3)
    n = 7
    duals = rng.normal(size=(60, n)) * 10 ** rng.uniform(-2, 1.5, size=(60, 1))
    caps = rng.uniform(1 / n, 1, 60)

    @jax.jit
    @jax.vmap
    def conditions(dual, cap):
        s = CappedSimplex(n, cap) if capped else Simplex(n)
        x = s.mirror(dual, regularizer)
        slope = dual - regularizer.gradient(x)  # equals the threshold where x is free
        at_cap = (x >= cap * (1 - 1e-12)) if capped else jnp.zeros(n, bool)
        at_zero = x <= 1e-300
        low = jnp.max(slope, where=~at_cap, initial=-jnp.inf)
        high = jnp.min(slope, where=~at_zero, initial=jnp.inf)
        return x, s.violation(x), low - high, jnp.max(jnp.abs(dual)) + jnp.abs(slope).max()

    x, violation, spread, scale = conditions(jnp.asarray(duals), jnp.asarray(caps))
    np.testing.assert_allclose(x.sum(-1), 1, atol=1e-14)
    assert (violation <= 1e-14).all()
    assert (spread <= 1e-12 * scale).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("cap", ["none", "traced"])
def test_wild_inputs_sum_to_one(regularizer, dtype, cap):
    rng = np.random.default_rng(4)
    n = 40
    rows = [rng.normal(size=n) * s for s in (1e-6, 1, 1e3, 1e6)]
    rows += [np.zeros(n), np.full(n, 1e6), np.repeat([1e6, -1e6], n // 2), np.arange(n) * 1e5]
    duals = jnp.asarray(np.stack(rows), dtype)

    def mirrors(cap):
        s = Simplex(n) if cap is None else CappedSimplex(n, cap)
        xs = jax.vmap(lambda d: s.mirror(d, regularizer))(duals)
        return xs, jax.vmap(s.violation)(xs)

    if cap == "none":
        x, violation = jax.jit(lambda: mirrors(None))()
    else:
        caps = jnp.asarray([1 / n, 1.5 / n, 2 / n, 0.1, 1 / 3, 0.5, 1], dtype)
        x, violation = jax.jit(jax.vmap(mirrors))(caps)
        np.testing.assert_allclose(x[0], 1 / n, atol=8 * jnp.finfo(dtype).eps)
    assert x.dtype == dtype
    assert (violation <= 12 * jnp.finfo(dtype).eps).all()


def test_one_action():
    for s in (Simplex(1), CappedSimplex(1, 1.0)):
        for regularizer in (Entropy(), Euclidean(), LogBarrier()):
            assert s.mirror(jnp.array([-3.0]), regularizer) == 1
        assert s.entropy_range(jnp.float32) == 0


def test_nan_and_infinity_come_out_as_nan():
    for s in (Simplex(3), CappedSimplex(3, 0.5)):
        for regularizer in REGULARIZERS:
            f = jax.jit(lambda d, s=s, r=regularizer: s.mirror(d, r))
            assert jnp.isnan(f(jnp.array([0.0, jnp.nan, 1.0]))).any()
        assert jnp.isnan(s.project(jnp.array([0.0, jnp.inf, 1.0]))).any()


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("cap", [None, 0.3])
def test_padding_changes_nothing(regularizer, cap):
    rng = np.random.default_rng(5)
    n, short = MASK.size, int(MASK.sum())
    dual = rng.normal(size=short)
    padded = np.full(n, np.nan)
    padded[MASK] = dual
    small, big = make(short, cap), make(n, cap, MASK)
    weights = jnp.asarray(rng.normal(size=n))

    @jax.jit
    def answers(d, s: AbstractStrategySet, weights):
        f = lambda d: s.mirror(d, regularizer)  # noqa: E731
        x, pull = jax.vjp(f, d)
        return x, pull(weights)[0], s.lmo(d), s.project(d), s.recenter(d), s.center(jnp.float64)

    expected = answers(jnp.asarray(dual), small, weights[MASK])
    for wild in (np.nan, 1e9, -1e30, np.inf):
        padded[~MASK] = wild
        got = answers(jnp.asarray(padded), big, weights)
        for e, g in zip(expected, got, strict=True):
            np.testing.assert_allclose(g[MASK], e, rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(g[~MASK], 0)
        support, gradient = jax.value_and_grad(big.support)(jnp.asarray(padded))
        np.testing.assert_allclose(support, small.support(jnp.asarray(dual)), rtol=1e-12)
        np.testing.assert_allclose(gradient, expected[2].sum() * got[2], atol=1e-12)
    np.testing.assert_allclose(
        big.entropy_range(jnp.float64), small.entropy_range(jnp.float64), rtol=1e-12
    )


def test_blocks_are_independent_and_masks_differ_per_block():
    rng = np.random.default_rng(6)
    mask = np.array([[True, True, True], [True, False, True]])
    dual = jnp.asarray(rng.normal(size=(2, 3)))
    for cap in (None, 0.6):
        whole = make((2, 3), cap, mask)
        parts = [make(3, cap, m) for m in mask]
        for regularizer in (Euclidean(), LogBarrier()):
            mirror = jax.jit(lambda s, d, r=regularizer: s.mirror(d, r))
            x = mirror(whole, dual)
            for i, part in enumerate(parts):
                np.testing.assert_allclose(x[i], mirror(part, dual[i]), rtol=1e-13)
        np.testing.assert_allclose(
            whole.support(dual), sum(p.support(d) for p, d in zip(parts, dual, strict=True))
        )
        np.testing.assert_allclose(whole.lmo(dual)[1], parts[1].lmo(dual[1]))


@pytest.mark.parametrize("regularizer", [Euclidean(), Tsallis()], ids=lambda r: type(r).__name__)
def test_jit_equals_eager_and_vmap_equals_loop(regularizer):
    rng = np.random.default_rng(7)
    duals, caps = jnp.asarray(rng.normal(size=(8, 5))), jnp.linspace(0.2, 0.9, 8)
    f = lambda d, c: CappedSimplex(5, c).mirror(d, regularizer)  # noqa: E731
    batched, one = jax.jit(jax.vmap(f))(duals, caps), jax.jit(f)
    loop = jnp.stack([one(d, c) for d, c in zip(duals, caps, strict=True)])
    np.testing.assert_allclose(batched, loop, rtol=1e-13)
    np.testing.assert_allclose(f(duals[3], caps[3]), loop[3], rtol=1e-13)
    stacked = jax.vmap(lambda c: CappedSimplex(5, c))(caps)
    mapped = jax.vmap(lambda s, d: s.mirror(d, regularizer))(stacked, duals)
    np.testing.assert_allclose(mapped, loop, rtol=1e-13)


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("capped", [False, True])
def test_gradients_match_finite_differences(regularizer, capped):
    dual = np.array([0.3, 1.1, 0.45, 0.95, -0.2])
    points = jnp.asarray([[*dual, cap] for cap in (0.21, 0.42, 0.9)])  # the last entry is the cap
    weights = jnp.array([0.3, -1.0, 0.7, 0.2, 1.0])
    h = 1e-5

    def value(point):
        s = CappedSimplex(5, point[-1]) if capped else Simplex(5)
        return jnp.sin(3 * s.mirror(point[:-1], regularizer)) @ weights

    def derivatives(point):
        gradient, pull = jax.vjp(jax.grad(value), point)
        steps = h * jnp.eye(6)
        ahead, behind = (
            jax.vmap(jax.value_and_grad(value))(point[None] + e) for e in (steps, -steps)
        )
        slopes, bends = jax.tree.map(lambda a, b: (a - b) / (2 * h), ahead, behind)
        forward = jax.vmap(lambda e: jax.jvp(value, (point,), (e,))[1])(jnp.eye(6))
        second = jax.vmap(pull)(jnp.eye(6))[0]
        return gradient, forward, slopes, second, bends

    gradient, forward, slopes, second, bends = jax.jit(jax.vmap(derivatives))(points)
    np.testing.assert_allclose(gradient, forward, atol=1e-13)
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    np.testing.assert_allclose(second, bends, atol=1e-7)
    assert (np.abs(gradient[0, -1]) > 1e-3) == capped
    assert gradient[2, -1] == 0


def test_gradient_in_the_order_of_tsallis():
    dual = jnp.array([0.3, 1.1, 0.45, 0.95, -0.2])

    @jax.jit
    def derivatives(q):
        f = lambda q: CappedSimplex(5, 0.3).mirror(dual, Tsallis(q))[2]  # noqa: E731
        return jax.grad(f)(q), jax.vmap(f)(q + jnp.array([1e-6, -1e-6]))

    gradient, (ahead, behind) = derivatives(jnp.asarray(0.6))
    np.testing.assert_allclose(gradient, (ahead - behind) / 2e-6, rtol=1e-6)
    assert abs(gradient) > 1e-3


def test_derivative_of_the_support():
    utility = jnp.array([1, 0.5, 0.25, 0])
    f = lambda u, c: CappedSimplex(4, c).support(u)  # noqa: E731
    du, dc = jax.grad(f, (0, 1))(utility, jnp.asarray(0.6))
    np.testing.assert_allclose(du, [0.6, 0.4, 0, 0])
    np.testing.assert_allclose(dc, 0.5)


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=lambda r: type(r).__name__)
def test_gradients_at_the_corner_are_finite(regularizer):
    dual = jnp.array([1e6, 0, -1e6])

    @jax.jit
    def jacobians(caps):
        plain = jax.jacrev(lambda d: Simplex(3).mirror(d, regularizer))(dual)
        both = jax.jacrev(lambda d, c: CappedSimplex(3, c).mirror(d, regularizer), (0, 1))
        return plain, jax.vmap(both, (None, 0))(dual, caps)

    plain, (in_dual, in_cap) = jacobians(jnp.array([1 / 3, 0.5, 1.0]))
    for jacobian, actions in ((plain, 0), (in_dual, 1), (in_cap, 1)):
        assert jnp.isfinite(jacobian).all()
        np.testing.assert_allclose(jacobian.sum(actions), 0, atol=1e-12)


def test_recenter_keeps_the_mirror_map():
    dual = jnp.array([[5.0, 7.0, 6.5], [1e5, -3.0, 1e5 + 1]])
    for s in (Simplex((2, 3)), CappedSimplex((2, 3), 0.5)):
        moved = s.recenter(dual)
        np.testing.assert_array_equal(moved.max(-1), 0)
        np.testing.assert_allclose(s.mirror(moved, Entropy()), s.mirror(dual, Entropy()), 1e-9)
    point = jnp.array([3.0, -1.0])
    assert Box(0.0, 1.0, 2).recenter(point) is point


def test_violation_measures_each_constraint():
    assert Simplex(3).violation(jnp.array([0.5, 0.7, -0.2])) == pytest.approx(0.2)
    assert Simplex(3).violation(jnp.array([0.5, 0.2, 0.2])) == pytest.approx(0.1)
    masked = Simplex(3, [True, True, False])
    assert masked.violation(jnp.array([0.5, 0.2, 0.3])) == pytest.approx(0.3)
    assert CappedSimplex(3, 0.5).violation(jnp.array([0.7, 0.3, 0.0])) == pytest.approx(0.2)
    assert Box(0.0, 1.0, 2).violation(jnp.array([1.5, -0.25])) == pytest.approx(0.5)
    assert Ball(2).violation(jnp.array([3.0, 4.0])) == pytest.approx(4)
    for s in (*_all_sets.values(), Product([Simplex(2), Ball(3)])):
        assert s.violation(s.center(jnp.float64)) <= 1e-15


def test_entropy_range():
    assert Simplex(8).entropy_range(jnp.float64) == pytest.approx(np.log(8))
    assert Simplex((2, 8), [*MASK.tolist(), True]).entropy_range(jnp.float64) == pytest.approx(
        np.log(6)
    )
    for k in (1, 2, 4, 8):  # sigma n = 8 / k an integer: exactly ln(1 / sigma)
        assert CappedSimplex(8, 1 / k).entropy_range(jnp.float64) == pytest.approx(np.log(8 / k))
    vertex = np.array([0.3, 0.3, 0.3, 0.1])
    expected = (vertex * np.log(8 * vertex)).sum()
    assert CappedSimplex(8, 0.3).entropy_range(jnp.float64) == pytest.approx(expected)
    both = Product([Simplex(3), Simplex(5)])
    assert both.entropy_range(jnp.float64) == pytest.approx(np.log(5))
    with pytest.raises(TypeError, match="no entropy"):
        Ball(3).entropy_range(jnp.float64)


def test_box():
    box = Box(np.array([0.0, -1.0, 0.0]), np.array([1.0, 1.0, np.inf]))
    np.testing.assert_array_equal(box.center(jnp.float32), [0.5, 0, 0])
    assert box.shape == (3,)
    np.testing.assert_array_equal(box.lmo(jnp.array([-1.0, 2, 0])), [0, 1, 0])
    assert box.support(jnp.array([1.0, -2, -5])) == 3
    assert box.support(jnp.array([1.0, -2, 1e-9])) == jnp.inf
    np.testing.assert_array_equal(box.project(jnp.array([2.0, -3, 7])), [1, -1, 7])
    unit = Box(0.1, 1.0, 4)
    dual = jnp.array([-9.0, 0.2, 0.9, 30])
    np.testing.assert_allclose(unit.mirror(dual, Entropy())[:2], [0.1, np.exp(-0.8)], rtol=1e-14)
    for regularizer in REGULARIZERS:
        x = unit.mirror(dual, regularizer)
        assert unit.violation(x) == 0
        best = jnp.sum(dual * x) - regularizer.value(x)
        grid = jnp.linspace(0.1, 1, 2001)
        values = dual[:, None] * grid[None] - regularizer.terms(grid)[None]
        np.testing.assert_allclose(best, values.max(1).sum(), atol=1e-5)
        f = jax.jit(lambda d, r=regularizer: unit.mirror(d, r).sum())
        check_grads(f, (jnp.array([-0.9, -1.2, -0.5, -0.2]),), order=1, eps=1e-6, atol=1e-6)
        assert jnp.isfinite(jax.grad(f)(dual * 1e5)).all()


def test_ball():
    ball = Ball((2, 3), 2.0, np.ones((2, 3)))
    utility = jnp.asarray(np.random.default_rng(8).normal(size=(2, 3)))
    lengths = np.linalg.norm(utility, axis=1)
    np.testing.assert_allclose(ball.support(utility), utility.sum() + 2 * lengths.sum())
    far = ball.project(1 + 5 * utility / lengths[:, None])
    np.testing.assert_allclose(far, 1 + 2 * utility / lengths[:, None], rtol=1e-12)
    near = jnp.ones((2, 3)) + 0.1 * utility
    np.testing.assert_array_equal(ball.project(near), near)
    project = jax.jit(lambda p: ball.project(p))
    check_grads(project, (3 * utility,), order=1, atol=1e-6, rtol=1e-6)
    assert jnp.isfinite(jax.grad(Ball(3).support)(jnp.zeros(3))).all()
    huge = Ball(2).project(jnp.array([3e30, 4e30], jnp.float32))
    np.testing.assert_allclose(huge, [0.6, 0.8], rtol=1e-6)


def test_product():
    both = Product([Simplex(2), Box(0.0, 1.0, 3)])
    assert both.shape == ((2,), (3,))
    utility = (jnp.array([1.0, 2.0]), jnp.array([-1.0, 1.0, 3.0]))
    np.testing.assert_array_equal(both.lmo(utility)[0], [0, 1])
    assert both.support(utility) == 6
    x = both.mirror(utility, Euclidean())
    np.testing.assert_array_equal(x[0], [0, 1])
    np.testing.assert_array_equal(x[1], [0, 1, 1])
    np.testing.assert_array_equal(both.project(utility)[1], [0, 1, 1])
    np.testing.assert_array_equal(both.recenter(utility)[0], [-1, 0])
    with pytest.raises(TypeError, match="Euclidean"):
        Product([Simplex(2), Ball(2)]).mirror((jnp.zeros(2), jnp.zeros(2)), Entropy())


def test_unconstrained():
    free = Unconstrained({"w": jax.ShapeDtypeStruct((2, 3), jnp.float32), "b": np.zeros(3)})
    center = free.center(jnp.float32)
    assert center["w"].shape == (2, 3)
    assert center["b"].dtype == jnp.float32
    assert free.support(center) == 0
    moved = jax.tree.map(lambda x: x + 1, center)
    assert free.support(moved) == jnp.inf
    assert free.project(moved) is moved
    assert free.mirror(moved, Euclidean()) is moved
    assert free.violation(moved) == 0
    assert free.shape == ((3,), (2, 3))
    assert Unconstrained(jnp.zeros((4, 2))).shape == (4, 2)
    assert hash(free.structure) is not None


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_dtypes_are_kept(dtype):
    sets = [*_all_sets.values(), Simplex((2, 3)), CappedSimplex(5, jnp.asarray(0.4)), Ball((2, 2))]
    for s in sets:

        def answers(s):
            x = s.center(dtype)
            mirrored = s.mirror(x, Euclidean())
            return x, s.lmo(x), s.support(x), s.project(x), mirrored, s.recenter(x), s.violation(x)

        assert {r.dtype for r in jax.eval_shape(answers, s)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (lambda: Simplex(0), ValueError, "shape must hold positive"),
        (lambda: Simplex(()), ValueError, "shape must hold positive"),
        (lambda: Simplex(2.5), TypeError, "shape must be an integer"),
        (lambda: Simplex(2, [1, 0]), TypeError, "mask must be boolean"),
        (lambda: Simplex(3, [True, False]), ValueError, "mask must have shape"),
        (lambda: Simplex(2, [False, False]), ValueError, "at least one action"),
        (lambda: CappedSimplex(4, 0.2), ValueError, "cap must be at least 1 / 4"),
        (lambda: CappedSimplex(4, float("nan")), ValueError, "cap must be at least"),
        (lambda: CappedSimplex(3, 0.4, [True, True, False]), ValueError, "at least 1 / 2"),
        (lambda: CappedSimplex(4, [0.5, 0.5]), ValueError, "cap must be one number"),
        (lambda: CappedSimplex(4, "half"), TypeError, "cap must be a real number"),
        (lambda: CappedSimplex(4, True), TypeError, "cap must be a real number"),
        (lambda: Box(1.0, 0.0, 2), ValueError, "lower must not exceed upper"),
        (lambda: Box(np.zeros(3), 1.0, 2), ValueError, "must broadcast"),
        (lambda: Box(np.zeros(3), np.ones(2)), ValueError, "must broadcast"),
        (lambda: Ball(2, -1.0), ValueError, "radius must be at least 0"),
        (lambda: Ball(2, 1.0, np.zeros(3)), ValueError, "center must have shape"),
        (lambda: Product([]), ValueError, "at least one"),
        (lambda: Product([3]), TypeError, "strategy sets"),
        (lambda: Unconstrained("abc"), TypeError, "arrays"),
        (lambda: Unconstrained(np.zeros(2)).lmo(jnp.ones(2)), TypeError, "no maximizer"),
        (lambda: Ball(2).mirror(jnp.ones(2), Entropy()), TypeError, "Euclidean"),
        (lambda: Unconstrained(0.0).mirror(jnp.ones(()), LogBarrier()), TypeError, "Euclidean"),
        (lambda: Box(-1.0, 1.0, 2).mirror(jnp.ones(2), Entropy()), ValueError, "lower must be"),
    ],
)
def test_bad_arguments_are_named(build, error, match):
    with pytest.raises(error, match=match):
        build()


def test_caps_of_one_over_n_survive_rounding():
    for n in range(1, 200):
        assert CappedSimplex(n, 1 / n).cap == 1 / n
        CappedSimplex(n, np.float32(1 / n))

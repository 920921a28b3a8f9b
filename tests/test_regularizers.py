"""Regularizers: closed forms of their mirror maps, limits, derivatives, divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gamejax.regularizers import Entropy, Euclidean, LogBarrier, Tsallis
from gamejax.sets import Simplex

REGULARIZERS = [Entropy(), Euclidean(), Tsallis(), Tsallis(0.8), LogBarrier()]
names = [f"{type(r).__name__}{getattr(r, 'q', '')}" for r in REGULARIZERS]
every = pytest.mark.parametrize("regularizer", REGULARIZERS, ids=names)


@pytest.mark.parametrize(
    ("regularizer", "dual", "expected"),
    [
        (Entropy(), [1.0, 0, 0], np.exp([1, 0, 0]) / (np.e + 2)),
        (Euclidean(), [0.4, 0.7, 0.6], [1 / 6, 7 / 15, 11 / 30]),
        (LogBarrier(), [1.0, 0, 0], [np.sqrt(2) - 1, 1 - np.sqrt(0.5), 1 - np.sqrt(0.5)]),
        (LogBarrier(), [0.5, 0], [0.561553, 0.438447]),
        (Tsallis(), [1.0, 0, 0], [0.613983, 0.193008, 0.193008]),
        (Tsallis(), [0.5, 0], [0.664583, 0.335417]),
    ],
)
def test_mirror_maps_of_the_simplex(regularizer, dual, expected):
    x = Simplex(len(dual)).mirror(jnp.asarray(dual), regularizer)
    np.testing.assert_allclose(x, expected, atol=1e-6)


def test_tsallis_threshold_formula():
    q, dual = 0.3, jnp.array([0.3, -0.2, 1.0, 0.1])
    x = Simplex(4).mirror(dual, Tsallis(q))
    level = dual + q / (1 - q) * x ** (q - 1)  # x = [((1-q)/q)(level - dual)]^(1/(q-1))
    np.testing.assert_allclose(level, level[0], rtol=1e-13)
    assert dual.max() + q / (1 - q) <= level[0] <= dual.max() + q / (1 - q) * 4 ** (1 - q)


def test_tsallis_tends_to_entropy():
    dual = jnp.asarray(np.random.default_rng(0).normal(size=(20, 6)))
    softmax = jax.nn.softmax(dual, axis=-1)
    mirror = jax.jit(lambda q: Simplex((20, 6)).mirror(dual, Tsallis(q)))
    errors = [jnp.abs(mirror(q) - softmax).max() for q in (0.99, 0.999, 0.9999)]
    assert errors[2] < 1e-4
    np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=0.1)
    x = softmax[0]
    near = Tsallis(1 - 1e-7)
    np.testing.assert_allclose(near.value(x), Entropy().value(x), rtol=1e-5)
    np.testing.assert_allclose(near.gradient(x), Entropy().gradient(x), atol=1e-5)


def test_tsallis_value_on_probabilities():
    x = jnp.array([0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(Tsallis(0.5).value(x), (1 - (0.5**0.5 + 1)) / 0.5)


@every
def test_gradient_is_the_derivative_and_its_inverse_inverts(regularizer):
    x = jnp.linspace(0.01, 0.99, 25)
    np.testing.assert_allclose(jax.grad(regularizer.value)(x), regularizer.gradient(x), rtol=1e-11)
    np.testing.assert_allclose(regularizer.inverse_gradient(regularizer.gradient(x)), x, rtol=1e-11)


@every
def test_threshold_steps_are_newton_near_the_target_and_never_overshoot(regularizer):
    dual = jnp.array([0.0, -0.5, -3.0])

    def mass(level):
        return jnp.sum(jnp.maximum(regularizer.inverse_gradient(dual - level), 0))

    level = -regularizer.gradient(jnp.ones(()))
    values = []
    for _ in range(10):
        m, s = jax.value_and_grad(mass)(level)
        values.append(float(m))
        level = level + regularizer.threshold_step(m, -s, jnp.ones(()))
    assert min(values) >= 1 - 1e-12
    assert abs(values[-1] - 1) < 1e-12


@every
def test_infinite_slopes_stay_finite(regularizer):
    for dtype in (jnp.float32, jnp.float64):
        x = jnp.array([0.0, 0.5, 0.5], dtype)
        for f in (regularizer.value, lambda x: regularizer.gradient(x).sum()):
            value, gradient = jax.value_and_grad(f)(x)
            assert value.dtype == gradient.dtype == dtype
            assert jnp.isfinite(value)
            assert jnp.isfinite(gradient).all()


points = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda v: np.array(v) + 1e-9)
_divergences = [
    jax.jit(lambda x, y, r=r: (r.divergence(x, y), jax.grad(r.divergence, (0, 1))(x, y)))
    for r in REGULARIZERS
]


@pytest.mark.parametrize("i", range(len(REGULARIZERS)), ids=names)
@settings(max_examples=30, deadline=None)
@given(x=points, y=points)
def test_divergences_are_non_negative(i, x, y):
    value, gradients = _divergences[i](x, y)
    scale = np.abs(REGULARIZERS[i].gradient(jnp.asarray(y))).max()
    assert value >= -1e-14 * (1 + scale)
    assert abs(_divergences[i](x, x)[0]) <= 1e-14
    assert all(jnp.isfinite(g).all() for g in gradients)


def test_divergence_closed_forms_and_boundary():
    x, y = jnp.array([0.2, 0.3, 0.5]), jnp.array([0.4, 0.4, 0.2])
    np.testing.assert_allclose(Entropy().divergence(x, y), (x * jnp.log(x / y)).sum(), rtol=1e-14)
    np.testing.assert_allclose(Euclidean().divergence(x, y), ((x - y) ** 2).sum() / 2, rtol=1e-14)
    ratio = x / y
    itakura = (ratio - jnp.log(ratio) - 1).sum()
    np.testing.assert_allclose(LogBarrier().divergence(x, y), itakura, rtol=1e-13)
    corner, middle = jnp.array([1.0, 0, 0]), jnp.full(3, 1 / 3)
    np.testing.assert_allclose(Entropy().divergence(corner, middle), np.log(3), rtol=1e-14)
    for regularizer in REGULARIZERS:
        for pair in ((corner, middle), (middle, corner), (corner, corner)):
            value, gradients = jax.value_and_grad(regularizer.divergence, (0, 1))(*pair)
            assert not jnp.isnan(value)
            assert not any(jnp.isnan(g).any() for g in gradients)


def test_mapped_orders():
    dual = jnp.array([1.0, 0, 0])
    x = jax.vmap(lambda q: Simplex(3).mirror(dual, Tsallis(q)))(jnp.array([0.5, 0.9]))
    np.testing.assert_allclose(x[0], Simplex(3).mirror(dual, Tsallis()), rtol=1e-13)
    assert x[0, 0] > x[1, 0]


@pytest.mark.parametrize("q", [0, 1, 1.5, -0.5, float("nan")])
def test_orders_outside_the_unit_interval_are_refused(q):
    with pytest.raises(ValueError, match="q must lie strictly between 0 and 1"):
        Tsallis(q)

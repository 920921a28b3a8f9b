"""Learners: trajectories, invariances, warm starts and the rules that have closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gamejax import learners as gl
from gamejax.regularizers import Entropy, Euclidean, LogBarrier, Tsallis
from gamejax.sets import Box, CappedSimplex, Product, Simplex, Unconstrained
from tests.learner_runs import full, matrix_gap, run, self_play

A = np.array([[2.0, -1.0], [-1.0, 1.0]])
SGD = optax.sgd(0.1)
ADAM = optax.adam(0.05)

# Everything that plays on a simplex; `scale_free` marks play that does not change with the unit.
SCALE_FREE = [
    gl.Hedge(),
    gl.AdaHedge(),
    gl.RegretMatching(),
    gl.RegretMatchingPlus(),
    gl.PredictiveRegretMatchingPlus(),
    gl.PredictiveRegretMatchingPlus(2.0),
    gl.DiscountedRegretMatching(),
    gl.BestResponse(),
]
UNITS = [
    gl.Hedge(0.3),
    gl.Hedge(0.3, optimism=1.0),
    gl.FollowTheRegularizedLeader(Entropy(), 0.3),
    gl.FollowTheRegularizedLeader(Euclidean(), 0.3, optimism=1.0),
    gl.FollowTheRegularizedLeader(LogBarrier(), 0.3),
    gl.FollowTheRegularizedLeader(Tsallis(), 1.0, decay=0.5),
    gl.MirrorDescent(Entropy(), 0.3),
    gl.MirrorDescent(Euclidean(), 0.3, optimism=1.0),
    gl.MirrorDescent(LogBarrier(), 0.3, optimism=1.0),
    gl.MagneticMirrorDescent(0.2, 0.5),
    gl.MagneticMirrorDescent(0.2, 0.5, Euclidean(), decay=0.5, magnet_every=3),
    gl.SmoothPredictiveRegretMatchingPlus(0.2),
    gl.SmoothBestResponse(0.5),
    gl.SmoothBestResponse(0.5, averaging=1.0),
    gl.Replicator(0.1),
    gl.Replicator(0.1, temperature=0.5),
    gl.ProjectedReplicator(0.1, 1e-3),
    gl.GradientAscent(SGD),
    gl.UCB(),
]
ON_SIMPLEX = SCALE_FREE + UNITS


# Variants of what the others cover, for the long test run.
SLOW = [
    gl.PredictiveRegretMatchingPlus(2.0),
    gl.FollowTheRegularizedLeader(Entropy(), 0.3),
    gl.FollowTheRegularizedLeader(Tsallis(), 1.0, decay=0.5),
    gl.MirrorDescent(LogBarrier(), 0.3, optimism=1.0),
    gl.MagneticMirrorDescent(0.2, 0.5, Euclidean(), decay=0.5, magnet_every=3),
    gl.SmoothBestResponse(0.5, averaging=1.0),
    gl.Replicator(0.1, temperature=0.5),
]


def cases(learners):
    marks = [pytest.mark.slow]
    return [pytest.param(lr, marks=marks if lr in SLOW else ()) for lr in learners]


def name(learner):
    regularizer = getattr(learner, "regularizer", None)
    suffix = "" if regularizer is None else f"-{type(regularizer).__name__}"
    flags = [getattr(learner, f, 0.0) for f in ("optimism", "damping", "averaging", "temperature")]
    return type(learner).__name__ + suffix + "".join("+" if f else "" for f in flags)


run_jit = jax.jit(run)
run_all = jax.jit(jax.vmap(run, in_axes=(None, 0, 0)))


# --------------------------------------------------------------------------------------------
# Trajectories of section 3 of the theory notes: first coordinates on A, uniform start.

TRAJECTORIES = {
    "hedge": (
        gl.Hedge(0.5),
        False,
        [0.5, 0.5621765, 0.5852975, 0.5495790],
        [0.5, 0.4378235, 0.3417644, 0.2462553],
    ),
    "optimistic hedge": (
        gl.Hedge(0.5, optimism=1.0),
        False,
        [0.5, 0.6224593, 0.5343715, 0.3128536],
        [0.5, 0.3775407, 0.2038673, 0.1857287],
    ),
    "rm": (
        gl.RegretMatching(),
        False,
        [0.5, 1, 1 / 8, 0, 0, 0],
        [0.5, 0, 0, 0, 1 / 3, 1],
    ),
    "rm+": (
        gl.RegretMatchingPlus(),
        False,
        [0.5, 1, 1 / 9, 0, 0.5044679, 0.8409904],
        [0.5, 0, 0, 52 / 61, 1, 0.7690670],
    ),
    "prm+": (
        gl.PredictiveRegretMatchingPlus(),
        False,
        [0.5, 1, 1 / 17, 0, 0.7151754, 1],
        [0.5, 0, 0, 0.9317269, 1, 0.3689149],
    ),
    "alternating rm": (
        gl.RegretMatching(),
        True,
        [0.5, 1, 1 / 8, 0, 0, 0.4537068],
        [0.5, 0, 0, 5 / 9, 0.8766520, 0.8139232],
    ),
    "alternating rm+": (
        gl.RegretMatchingPlus(),
        True,
        [0.5, 1, 1 / 9, 0.2507553, 0.4660219, 0.5912549],
        [0.5, 0, 0.4905660, 0.6167251, 0.5593886, 0.4054171],
    ),
    "drm": (
        gl.DiscountedRegretMatching(),
        False,
        [0.5, 1, 1 / 16, 0, 0],
        [0.5, 0, 0, 0.5751106, 1],
    ),
}


@pytest.mark.parametrize("case", TRAJECTORIES)
def test_trajectories(case):
    learner, alternating, first, second = TRAJECTORIES[case]
    both = (Simplex(2), Simplex(2))
    x, y = self_play((learner, learner), both, (A, -A), len(first), alternating=alternating)
    np.testing.assert_allclose(x[:, 0], first, atol=1e-7)
    np.testing.assert_allclose(y[:, 0], second, atol=1e-7)


def test_gap_of_hedge_iterates():
    both = (Simplex(2), Simplex(2))
    x, y = self_play((gl.Hedge(0.5), gl.Hedge(0.5)), both, (A, -A), 4)
    gaps = [matrix_gap(A, x[t], y[t]) for t in range(4)]
    np.testing.assert_allclose(gaps, [0.5, 0.4378235, 0.4870661, 0.6066474], atol=6e-8)


def test_averages_of_discounted_regret_matching():
    learner = gl.DiscountedRegretMatching(1.5, 0.0)
    x, y = self_play((learner, learner), (Simplex(2), Simplex(2)), (A, -A), 4)
    weights = np.arange(1.0, 5.0) ** 2

    def average(z, steps):
        return np.average(z[:steps], axis=0, weights=weights[:steps])

    np.testing.assert_allclose(average(x, 2), [0.9, 0.1])
    np.testing.assert_allclose(average(y, 2), [0.1, 0.9])
    np.testing.assert_allclose(average(x, 4), [0.16875, 0.83125])
    np.testing.assert_allclose(average(y, 4), [0.3233923, 0.6766077], atol=1e-7)


@pytest.mark.parametrize("exponents", [(0.7, -0.5), (jnp.inf, jnp.inf), (jnp.inf, -jnp.inf)])
def test_discounted_regret_matching_by_hand(exponents):
    u = np.asarray(small_utilities())
    regrets, expected = np.zeros(3), []
    for t, utility in enumerate(u, start=1):
        positive = np.maximum(regrets, 0)
        x = positive / positive.sum() if positive.sum() > 0 else np.full(3, 1 / 3)
        expected.append(x)
        regrets = regrets + utility - x @ utility
        keep = [1 / (1 + float(t) ** -e) for e in exponents]
        regrets = np.where(regrets > 0, keep[0], keep[1]) * regrets
    actual = run_jit(gl.DiscountedRegretMatching(*exponents), Simplex(3), u)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


# --------------------------------------------------------------------------------------------
# Invariances, all in one program per learner: base, shifted, permuted, masked (zeros or garbage
# in the padded coordinates), scaled.

STEPS, N, KEPT = 12, 5, 3
KINDS = ["base", "shifted", "permuted", "padded", "garbage", "scaled", "zero", "constant", "alone"]
ORDER = np.array([3, 0, 4, 1, 2])


def instances():
    """Utilities (kinds, STEPS, N) and masks (kinds, N)."""
    u = jax.random.normal(jax.random.key(1), (STEPS, N))
    shift = jax.random.normal(jax.random.key(2), (STEPS, 1))
    kept = jnp.broadcast_to(jnp.arange(N) < KEPT, (STEPS, N))
    kinds = {
        "base": u,
        "shifted": u + shift,
        "permuted": u[:, ORDER],
        "padded": jnp.where(kept, u, 0),
        "garbage": jnp.where(kept, u, 1e3),
        "scaled": 4.0 * u,
        "zero": jnp.zeros_like(u),
        "constant": jnp.full_like(u, -3.0),
        "alone": u,
    }
    masks = np.ones((len(KINDS), N), bool)
    masks[3:5, KEPT:] = False
    masks[8, 1:] = False
    return jnp.stack([kinds[kind] for kind in KINDS]), jnp.asarray(masks)


def small_utilities():
    return instances()[0][0, :, :KEPT]


@pytest.mark.parametrize("learner", cases(ON_SIMPLEX), ids=name)
def test_invariances_masks_blocks_and_float32(learner):
    utilities, masks = instances()
    together = run_jit(learner, Simplex(masks.shape, masks), jnp.moveaxis(utilities, 0, 1))
    assert together.dtype == jnp.float64
    np.testing.assert_allclose(together.sum(-1), 1, atol=1e-12)
    assert float(together.min()) >= 0
    played = dict(zip(KINDS, np.moveaxis(np.asarray(together), 1, 0), strict=True))
    np.testing.assert_allclose(played["shifted"], played["base"], atol=1e-9)
    tries_in_order = isinstance(learner, gl.AbstractIndexPolicy)
    if not tries_in_order:
        np.testing.assert_allclose(played["permuted"], played["base"][:, ORDER], atol=1e-9)
    if learner in SCALE_FREE:
        np.testing.assert_allclose(played["scaled"], played["base"], atol=1e-9)
    assert np.all(played["padded"][:, KEPT:] == 0)
    np.testing.assert_array_equal(played["padded"], played["garbage"])
    if not (tries_in_order or isinstance(learner, gl.BestResponse)):
        np.testing.assert_allclose(played["zero"], 1 / N, atol=1e-12)
        np.testing.assert_allclose(played["constant"], 1 / N, atol=1e-12)
    np.testing.assert_array_equal(played["alone"], np.eye(N)[np.zeros(STEPS, int)])
    small = run_jit(learner, Simplex(KEPT), small_utilities())
    if not (isinstance(learner, gl.Hedge) and learner.learning_rate is None):
        # The anytime rate takes the ln n of the largest block.
        np.testing.assert_allclose(played["padded"][:, :KEPT], small, atol=1e-9)

    sets = jax.vmap(lambda m: Simplex(N, m))(masks)
    single = run_all(learner, sets, utilities.astype(jnp.float32))
    assert single.dtype == jnp.float32
    assert np.all(np.isfinite(single))
    if not (tries_in_order or isinstance(learner, gl.BestResponse)):
        np.testing.assert_allclose(single[KINDS.index("base")], played["base"], atol=2e-4)
        np.testing.assert_allclose(single[KINDS.index("padded")][:, :KEPT], small, atol=2e-4)
    _, state = learner.init(Simplex(N), dtype=jnp.float32)
    kinds = {leaf.dtype for leaf in jax.tree.leaves(state)}
    assert kinds <= {jnp.dtype("float32"), jnp.dtype("int32")}


@pytest.mark.parametrize("learner", [gl.Hedge(0.3, 1.0), gl.RegretMatchingPlus()], ids=name)
def test_jit_equals_eager(learner):
    u = small_utilities()
    x, state = learner.init(Simplex(3), dtype=u.dtype)
    played = []
    for utility in u[:4]:
        played.append(x)
        x, state = learner.update(Simplex(3), full(utility, x), state, x)
    np.testing.assert_allclose(played, run_jit(learner, Simplex(3), u)[:4], atol=1e-12)


def test_hyperparameters_do_not_retrace():
    count = 0

    def counted(learner, u):
        nonlocal count
        count += 1
        return run(learner, Simplex(3), u)

    u = jax.random.normal(jax.random.key(5), (5, 3))
    jitted = jax.jit(counted)
    a, b = jitted(gl.Hedge(0.1), u), jitted(gl.Hedge(0.7), u)
    assert count == 1
    assert not np.allclose(a, b)
    both = jax.vmap(lambda rate: run(gl.Hedge(rate), Simplex(3), u))(jnp.array([0.1, 0.7]))
    np.testing.assert_allclose(both, jnp.stack([a, b]), atol=1e-12)
    # A float64 array as a hyper-parameter does not promote float32 play.
    single = jax.jit(lambda r: run(gl.Hedge(r), Simplex(3), u.astype(jnp.float32)))
    assert single(jnp.array(0.1)).dtype == jnp.float32


# --------------------------------------------------------------------------------------------
# Gradients in hyper-parameters against central differences.

DIFFERENTIABLE = [
    gl.Hedge(0.3, optimism=0.5),
    gl.Hedge(utility_range=3.0),
    gl.FollowTheRegularizedLeader(LogBarrier(), 0.3, optimism=1.0, decay=0.5),
    gl.MirrorDescent(Euclidean(), 0.05, optimism=1.0),
    gl.MagneticMirrorDescent(0.2, 0.5, decay=0.3),
    gl.PredictiveRegretMatchingPlus(0.5),
    gl.SmoothPredictiveRegretMatchingPlus(0.2),
    gl.DiscountedRegretMatching(),
    gl.SmoothBestResponse(0.5, averaging=0.7),
    gl.Replicator(0.1, temperature=0.5),
    gl.ProjectedReplicator(0.1, 1e-3),
]


@pytest.mark.parametrize("learner", DIFFERENTIABLE, ids=name)
def test_gradients_in_hyperparameters(learner):
    u = jax.random.normal(jax.random.key(6), (7, 4))
    weights = jax.random.normal(jax.random.key(7), (7, 4))
    leaves, treedef = jax.tree.flatten(learner)
    values = jnp.array([float(leaf) for leaf in leaves])

    def loss(values):
        rebuilt = jax.tree.unflatten(treedef, list(values))
        return jnp.sum(weights * run(rebuilt, Simplex(4), u))

    step = 1e-6
    shifts = step * jnp.eye(len(values))
    both = jax.jit(jax.vmap(loss))(jnp.concatenate([values[None] + shifts, values[None] - shifts]))
    slopes = (both[: len(values)] - both[len(values) :]) / (2 * step)
    gradient = jax.jit(jax.grad(loss))(values)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-6)
    assert np.any(np.abs(slopes) > 1e-4)


@pytest.mark.parametrize("learner", SCALE_FREE[:-1], ids=name)
def test_gradients_in_utilities_are_finite(learner):
    # Constant, tied and zero utilities are the places where quotients are 0 / 0.
    u = jnp.zeros((STEPS, KEPT)).at[3].set(jnp.array([1.0, 1.0, 0.0]))
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(run(learner, Simplex(3), v)[:, 0])))(u)
    assert np.all(np.isfinite(gradient))


# --------------------------------------------------------------------------------------------
# Warm starts.


@pytest.mark.parametrize("learner", ON_SIMPLEX, ids=name)
def test_start_plays_the_given_strategy_first(learner):
    start = jnp.array([0.2, 0.7, 0.1])
    strategy, state = learner.start(Simplex(3), start, dtype=start.dtype)
    np.testing.assert_array_equal(strategy, start)
    _, fresh = learner.init(Simplex(3), dtype=start.dtype)
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, state, fresh)
    assert all(jax.tree.leaves(same))


STAYS = [
    gl.Hedge(utility_range=3.0),
    gl.FollowTheRegularizedLeader(LogBarrier(), 0.3),
    gl.MirrorDescent(Euclidean(), 0.3, optimism=1.0),
    gl.RegretMatching(),
    gl.RegretMatchingPlus(),
    gl.PredictiveRegretMatchingPlus(),
    gl.SmoothPredictiveRegretMatchingPlus(0.2),
    gl.DiscountedRegretMatching(),
    gl.Replicator(0.1),
    gl.ProjectedReplicator(0.1),
    gl.GradientAscent(SGD),
]


@pytest.mark.parametrize("learner", STAYS, ids=name)
def test_started_at_an_equilibrium_play_stays(learner):
    start = (jnp.array([0.4, 0.6]), jnp.array([0.4, 0.6]))
    sets = (Simplex(2), Simplex(2))
    x, y = self_play((learner, learner), sets, (A, -A), 6, start=start)
    np.testing.assert_allclose(x, np.broadcast_to(start[0], x.shape), atol=1e-9)
    np.testing.assert_allclose(y, np.broadcast_to(start[1], y.shape), atol=1e-9)


def test_start_is_a_prior_of_hedge():
    start = jnp.array([0.2, 0.7, 0.1])
    u = jnp.array([1.0, 0.0, 3.0])
    expected = start * jnp.exp(0.3 * u)
    for learner in (
        gl.Hedge(0.3),
        gl.FollowTheRegularizedLeader(Entropy(), 0.3),
        gl.MirrorDescent(Entropy(), 0.3),
        gl.Replicator(0.3),
    ):
        x, state = learner.start(Simplex(3), start, dtype=start.dtype)
        x, _ = learner.update(Simplex(3), full(u, x), state, x)
        np.testing.assert_allclose(x, expected / expected.sum(), rtol=1e-12)


# --------------------------------------------------------------------------------------------
# Relations between learners.


def test_learners_that_are_the_same():
    u = small_utilities()

    def play(learner):
        return np.asarray(run_jit(learner, Simplex(KEPT), u))

    hedge = play(gl.Hedge(0.3, optimism=1.0))
    for other in (gl.FollowTheRegularizedLeader, gl.MirrorDescent):
        np.testing.assert_allclose(play(other(Entropy(), 0.3, 1.0)), hedge, atol=1e-12)
    # Steep regularizers: leaders and mirror descent agree; Euclidean ones do not.
    leader, descent = (
        [play(other(r, 0.3, 1.0)) for r in (LogBarrier(), Euclidean())]
        for other in (gl.FollowTheRegularizedLeader, gl.MirrorDescent)
    )
    np.testing.assert_allclose(leader[0], descent[0], atol=1e-9)
    assert np.abs(leader[1] - descent[1]).max() > 0.1
    ascent = play(gl.GradientAscent(SGD))
    np.testing.assert_allclose(ascent, play(gl.MirrorDescent(Euclidean(), 0.1)), atol=1e-12)
    # No temperature: magnetic mirror descent is mirror descent, the replicator is Hedge.
    plain = play(gl.Hedge(0.3))
    np.testing.assert_allclose(play(gl.MagneticMirrorDescent(0.3, 0.0)), plain, atol=1e-12)
    np.testing.assert_allclose(play(gl.Replicator(0.3)), plain, atol=1e-12)
    # Hedge(eta) on c u is Hedge(c eta) on u.
    scaled = run_jit(gl.Hedge(0.15), Simplex(KEPT), 2 * u)
    np.testing.assert_allclose(scaled, plain, atol=1e-12)


def test_optimistic_gradient_by_hand():
    u = np.asarray(small_utilities())
    simplex, rate = Simplex(3), 0.2
    hat = x = np.full(3, 1 / 3)
    expected = []
    for utility in u:
        expected.append(x)
        hat = np.asarray(simplex.project(jnp.asarray(hat + rate * utility)))
        x = np.asarray(simplex.project(jnp.asarray(hat + rate * utility)))
    actual = run_jit(gl.MirrorDescent(Euclidean(), rate, optimism=1.0), simplex, u)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_smooth_predictive_regret_matching_by_hand():
    u = np.asarray(small_utilities())
    rate = 0.4

    def push_out(z):
        positive = np.maximum(z, 0)
        if positive.sum() >= 1:
            return positive
        return np.asarray(Simplex(3).project(jnp.asarray(z)))

    z = x = np.full(3, 1 / 3)
    expected = []
    for utility in u:
        expected.append(x)
        r = utility - x @ utility
        z = push_out(z + rate * r)
        w = push_out(z + rate * r)
        x = w / w.sum()
    actual = run_jit(gl.SmoothPredictiveRegretMatchingPlus(rate), Simplex(3), u)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_adahedge_by_hand():
    u = np.asarray(small_utilities())
    total, mixability, expected = np.zeros(3), 0.0, []
    for utility in u:
        if mixability == 0:
            x = (total == total.max()) / (total == total.max()).sum()
            mixed = (total + utility).max() - total.max()
        else:
            rate = np.log(3) / mixability
            weights = np.exp(rate * (total - total.max()))
            x = weights / weights.sum()
            mixed = np.log(x @ np.exp(rate * utility)) / rate
        expected.append(x)
        mixability += mixed - x @ utility
        total = total + utility
    np.testing.assert_allclose(run_jit(gl.AdaHedge(), Simplex(3), u), expected, atol=1e-10)


def test_hedge_range_and_anytime_rate():
    u = np.array([[1.0, 0.0, -1.0], [0.0, 3.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.0, 0.0]])
    played = np.asarray(run_jit(gl.Hedge(), Simplex(3), u))
    known = np.asarray(run_jit(gl.Hedge(utility_range=5.0), Simplex(3), u))
    for t, span in [(2, 2.0), (3, 3.0), (4, 3.0)]:
        for x, r in [(played[t - 1], span), (known[t - 1], 5.0)]:
            z = np.exp(np.sqrt(8 * np.log(3) / t) / r * u[: t - 1].sum(0))
            np.testing.assert_allclose(x, z / z.sum(), rtol=1e-12)
    told = gl.Hedge().with_utility_range(jnp.asarray(5.0))
    np.testing.assert_allclose(run_jit(told, Simplex(3), u), known, rtol=1e-12)
    fixed = gl.Hedge(0.3)
    assert fixed.with_utility_range(jnp.asarray(5.0)) is fixed
    assert gl.RegretMatching().with_utility_range(jnp.asarray(5.0)) == gl.RegretMatching()


# --------------------------------------------------------------------------------------------
# Other sets.


@pytest.mark.parametrize(
    "learner",
    [
        gl.Hedge(0.3),
        gl.MirrorDescent(Euclidean(), 0.3),
        gl.MagneticMirrorDescent(0.3, 0.5),
        gl.BestResponse(),
        gl.SmoothBestResponse(0.5),
    ],
    ids=name,
)
def test_products(learner):
    u = small_utilities()
    pair = jnp.stack([u, -u], axis=1)
    together = run_jit(learner, Product((Simplex(3), CappedSimplex((2, 3), 0.4))), (u, pair))
    np.testing.assert_allclose(together[0], run_jit(learner, Simplex(3), u), atol=1e-9)
    np.testing.assert_allclose(together[1].sum(-1), 1, atol=1e-9)
    assert float(together[1][1:].max()) == pytest.approx(0.4)


def test_anytime_hedge_on_a_capped_simplex():
    u = jax.random.normal(jax.random.key(14), (6, 4))
    x = run_jit(gl.Hedge(), CappedSimplex(4, 0.5), u)
    assert float(x.max()) <= 0.5 + 1e-9
    np.testing.assert_allclose(x.sum(-1), 1, atol=1e-9)
    assert np.abs(x[1] - x[0]).max() > 1e-3


def test_gradient_ascent_on_parameter_trees():
    target = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}
    like = jax.tree.map(jnp.zeros_like, target)
    learner = gl.GradientAscent(ADAM)

    @jax.jit
    def climb(target):
        free = Unconstrained(like)

        def step(carry, _):
            x, state = carry
            utility = jax.tree.map(lambda t, v: 2 * (t - v), target, x)
            return learner.update(free, full(utility, x), state, x), None

        begun = learner.init(free, dtype=jnp.result_type(float))
        return jax.lax.scan(step, begun, length=2000)[0][0]

    for actual, wanted in zip(jax.tree.leaves(climb(target)), jax.tree.leaves(target), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)


def test_gradient_ascent_on_a_box():
    u = jnp.tile(jnp.array([[1.0, -1.0]]), (50, 1))
    x = run_jit(gl.GradientAscent(SGD), Box(jnp.zeros(2), jnp.ones(2)), u)
    np.testing.assert_allclose(x[-1], [1.0, 0.0])


# --------------------------------------------------------------------------------------------
# Fixed points and rest points.

PRECISIONS = {0.5: (0.5170820, 0.4273418), 1.0: (0.4886743, 0.3909379)}


@pytest.mark.parametrize(
    ("learner", "precision", "steps", "tolerance"),
    [
        (gl.MagneticMirrorDescent(0.25, 1.0), 1.0, 200, 1e-7),
        (gl.MagneticMirrorDescent(0.25, 2.0), 0.5, 200, 1e-7),
        (gl.Replicator(0.05, temperature=1.0), 1.0, 800, 1e-7),
        (gl.SmoothBestResponse(2.0), 0.5, 200, 1e-7),
        (gl.SmoothBestResponse(1.0, averaging=1.0), 1.0, 5000, 1e-3),
    ],
    ids=str,
)
def test_logit_equilibria(learner, precision, steps, tolerance):
    x, y = self_play((learner, learner), (Simplex(2), Simplex(2)), (A, -A), steps)
    wanted = PRECISIONS[precision]
    np.testing.assert_allclose([x[-1, 0], y[-1, 0]], wanted, atol=tolerance)


def test_magnetic_mirror_descent_by_hand():
    rest = (np.array([0.4886743, 0.5113257]), np.array([0.3909379, 0.6090621]))
    start = (jnp.array([0.9, 0.1]), jnp.array([0.2, 0.8]))
    learner = gl.MagneticMirrorDescent(0.25, 1.0)
    play = self_play((learner, learner), (Simplex(2), Simplex(2)), (A, -A), 5, start=start)
    kl = sum(np.sum(z * (np.log(z) - np.log(p)), -1) for z, p in zip(rest, play, strict=True))
    np.testing.assert_allclose(kl[1:], [0.437017, 0.301214, 0.209967, 0.148139], atol=2e-6)
    bounds = kl[0] * 1.25 ** -np.arange(1.0, 5.0)
    np.testing.assert_allclose(bounds, [0.505520, 0.404416, 0.323533, 0.258826], atol=2e-6)
    assert np.all(kl[1:] <= bounds)


@pytest.mark.parametrize(
    "learner",
    [
        gl.MagneticMirrorDescent(1.0, 1.0, decay=0.5),
        gl.MagneticMirrorDescent(0.1, 0.5, magnet_every=50),
        gl.MagneticMirrorDescent(0.1, 0.5, Euclidean(), magnet_every=50),
        gl.MirrorDescent(Euclidean(), 0.1, optimism=1.0),
        gl.SmoothPredictiveRegretMatchingPlus(0.1),
    ],
    ids=name,
)
def test_last_iterates_converge(learner):
    x, y = self_play((learner, learner), (Simplex(2), Simplex(2)), (A, -A), 20_000)
    limit = 0.05 if getattr(learner, "decay", 0.0) else 1e-6
    assert float(matrix_gap(A, x[-1], y[-1])) < limit


def test_magnet_of_ones_own():
    magnet = (0.7, 0.2, 0.1)
    learner = gl.MagneticMirrorDescent(0.5, 1.0, magnet=jnp.array(magnet))
    x = run_jit(learner, Simplex(3), jnp.zeros((100, 3)))
    np.testing.assert_allclose(x[-1], magnet, atol=1e-9)


def test_slow_last_iterate_of_optimistic_hedge():
    payoff = jnp.array([[0.6, 0.5], [0.0, 1.0]])  # the row player minimises
    sets = (Simplex(2), Simplex(2))
    late = slice(999, 2000)
    gaps = jax.jit(jax.vmap(lambda x, y: matrix_gap(-payoff, x, y)))
    for learner, wanted in [
        (gl.Hedge(0.1, optimism=1.0), 0.409),
        (gl.MirrorDescent(Euclidean(), 0.1, optimism=1.0), 0.026),
    ]:
        x, y = self_play((learner, learner), sets, (-payoff, payoff), 2000)
        np.testing.assert_allclose(gaps(x, y)[late].max(), wanted, atol=6e-4)


def test_replicator_keeps_the_divergence():
    step, rest = 0.01, jnp.array([0.4, 0.6])
    learner = gl.Replicator(step)
    start = (jnp.array([0.3, 0.7]), jnp.array([0.6, 0.4]))
    x, y = self_play((learner, learner), (Simplex(2), Simplex(2)), (A, -A), 2000, start=start)
    divergence = -sum(np.log(z) @ np.asarray(rest) for z in (x, y))
    growth = np.diff(divergence)
    assert growth.min() > 0
    assert growth.max() <= 2 * 3.0**2 * step**2 / 8


def test_projected_replicator_reaches_the_dominant_action():
    payoff = jnp.array([[2.0, 1.0, 0.0], [0.0, -1.0, -2.0]])
    learner = gl.ProjectedReplicator(1e-3, 1e-8)
    sets = (Simplex(2), Simplex(3))
    x, y = self_play((learner, learner), sets, (payoff, payoff), 50_000)
    assert float(x[-1, 0]) > 0.999
    assert float(y.min()) >= 1e-8 * (1 - 1e-6)
    high = run_jit(gl.ProjectedReplicator(5.0, 0.2), Simplex(3), jnp.eye(3))
    assert float(high.min()) >= 0.2 - 1e-12
    point = gl.ProjectedReplicator(1.0, 0.2)
    u = jnp.array([0.0, 0.3, 0.2]) / jnp.array([0.4, 0.4, 0.4])
    moved, _ = point.update(Simplex(3), full(u, jnp.full(3, 1 / 3)), (), jnp.full(3, 1 / 3))
    raw = np.full(3, 1 / 3) * (1 + np.asarray(u) - np.mean(u))
    shifted = (raw - 0.2) / 0.4
    np.testing.assert_allclose(
        moved, 0.2 + 0.4 * np.asarray(Simplex(3).project(jnp.asarray(shifted))), atol=1e-12
    )


def test_responses():
    u = jnp.array([[0.0, 1.0, 1.0], [2.0, 0.0, 0.0]])
    x = run_jit(gl.BestResponse(jnp.array([0.0, 0.0, 1.0])), Simplex(3), u)
    np.testing.assert_array_equal(x, [[0, 0, 1], [0, 1, 0]])
    both = run_jit(gl.SmoothBestResponse(0.5), Simplex(3), u)
    np.testing.assert_allclose(both[1], jax.nn.softmax(u[0] / 0.5), rtol=1e-12)
    mean = run_jit(gl.SmoothBestResponse(0.5, averaging=1.0), Simplex(3), jnp.tile(u, (2, 1)))
    np.testing.assert_allclose(mean[2], jax.nn.softmax(u.mean(0) / 0.5), rtol=1e-12)


# --------------------------------------------------------------------------------------------
# Sign changes.


def test_sign_change():
    scores = np.array(
        [
            [-1.0, 2.0, 1.0, -1.0],  # already low enough at the lowest level
            [0.0, 2.0, 1.0, 3.0],
            [1.0, 2.0, 3.0, 0.5],  # never falls
            [1.0, -2.0, 3.0, 0.0],  # high at the highest level
            [1.0, 3.0, -1.0, -2.0],  # between levels 1 and 2, 1 : 3
            [2.0, 1.0, 0.0, -2.0],  # exactly 0 at level 2
            [1.0, -1.0, 1.0, -1.0],  # the first of two changes
        ]
    )
    wanted = np.array(
        [
            [1, 0, 0, 0],
            [1, 0, 0, 0],
            [0, 0, 0, 1],
            [0, 0, 0, 1],
            [0, 0.25, 0.75, 0],
            [0, 0, 1, 0],
            [0.5, 0.5, 0, 0],
        ]
    )
    learner = gl.SignChange()
    blocks = Simplex((7, 4))
    x, state = learner.init(blocks, dtype=jnp.float64)
    np.testing.assert_allclose(x, 0.25)
    x, _ = learner.update(blocks, full(jnp.asarray(scores), x), state, x)
    np.testing.assert_allclose(x, wanted, atol=1e-15)


def test_sign_change_with_padding_and_its_guarantee():
    n = 6
    scores = jax.random.normal(jax.random.key(15), (500, n))
    masks = jax.random.bernoulli(jax.random.key(16), 0.7, (500, n)).at[:, 2].set(True)
    blocks, learner = Simplex((500, n), masks), gl.SignChange()
    first, state = learner.init(blocks, dtype=scores.dtype)
    x, _ = jax.jit(learner.update)(blocks, full(scores, first), state, first)
    np.testing.assert_allclose(x.sum(-1), 1, atol=1e-12)
    assert np.all(x >= 0)
    assert np.all(np.where(masks, 0, x) == 0)
    levels = np.linspace(0, 1, n)
    for row in range(500):
        grid = levels[np.asarray(masks[row])]
        width = max(grid[0], 1 - grid[-1], np.diff(grid, prepend=grid[0]).max())
        size = np.abs(scores[row])[np.asarray(masks[row])].max()
        worst = max(np.sum(x[row] * scores[row] * (y - levels)) for y in (0.0, 1.0))
        assert worst <= size * width + 1e-12


# --------------------------------------------------------------------------------------------
# Index policies.


def bandit_pulls(learner, means, steps, key):
    simplex = Simplex(means.shape[0])
    draw, tie = jax.random.split(key)
    rewards = (jax.random.uniform(draw, (steps, means.size)) < means[None]).astype(means.dtype)

    def step(carry, inputs):
        (arm, state), (reward, t) = carry, inputs
        seen = arm > 0
        feedback = full(jnp.where(seen, reward, jnp.nan), arm)._replace(observed=seen)
        out = learner.update(simplex, feedback, state, arm, key=jax.random.fold_in(tie, t))
        return out, arm

    begun = learner.init(simplex, dtype=means.dtype)
    arms = jax.lax.scan(step, begun, (rewards, jnp.arange(steps, dtype=jnp.int32)))[1]
    return arms.sum(0), arms[: means.shape[0]]


def test_ucb_by_hand():
    u = np.array([[0.3, 0.9, 0.1], [0.2, 0.5, 0.8], [1.0, 0.0, 0.4]] * 4)
    learner, simplex = gl.UCB(), Simplex(3)
    arm, state = learner.init(simplex, dtype=jnp.float64)
    counts, sums = np.zeros(3), np.zeros(3)
    for t, utility in enumerate(u, start=1):
        if np.any(counts == 0):
            wanted = int(np.argmin(counts))
        else:
            wanted = int(np.argmax(sums / counts + np.sqrt(2 * np.log(t) / counts)))
        np.testing.assert_array_equal(arm, np.eye(3)[wanted])
        counts[wanted] += 1
        sums[wanted] += utility[wanted]
        feedback = full(jnp.asarray(utility), arm)._replace(observed=arm > 0)
        arm, state = learner.update(simplex, feedback, state, arm)
    np.testing.assert_array_equal(state.counts, counts)
    assert state.counts.dtype == jnp.int32


@pytest.mark.slow
def test_ucb_regret_on_two_arms():
    means = jnp.array([0.9, 0.8])
    keys = jax.random.split(jax.random.key(17), 400)
    pulls, first = jax.jit(jax.vmap(lambda key: bandit_pulls(gl.UCB(), means, 5000, key)))(keys)
    assert np.all(first.sum(1) == 1)
    regret = 0.1 * pulls[:, 1]
    # Measured independently: 64.45 +- .41 over 1000 replications.
    error = np.hypot(regret.std() / 20, 0.41)
    assert abs(regret.mean() - 64.45) < 4 * error


# --------------------------------------------------------------------------------------------
# Bad input.


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match=r"RegretMatching plays on a Simplex.*Box.*MirrorDescent"):
        gl.RegretMatching().init(Box(jnp.zeros(2), jnp.ones(2)), dtype=jnp.float64)
    with pytest.raises(ValueError, match=r"Hedge: learning_rate must be > 0, got -1"):
        gl.Hedge(-1.0)
    with pytest.raises(ValueError, match=r"optimism must be >= 0"):
        gl.Hedge(0.1, optimism=-0.5)
    with pytest.raises(ValueError, match=r"learning_rate must be > 0, got nan"):
        gl.FollowTheRegularizedLeader(Entropy(), float("nan"))
    with pytest.raises(ValueError, match=r"averaging must be >= 0 and <= 1"):
        gl.SmoothBestResponse(1.0, averaging=2.0)
    with pytest.raises(ValueError, match=r"magnet_every must be >= 1"):
        gl.MagneticMirrorDescent(0.1, 0.1, magnet_every=0)
    with pytest.raises(ValueError, match=r"floor must be <= 1/3"):
        gl.ProjectedReplicator(0.1, 0.5).init(Simplex(3), dtype=jnp.float64)
    with pytest.raises(TypeError, match=r"transformation must be an optax"):
        gl.GradientAscent(0.1)  # pyright: ignore[reportArgumentType]

"""LazyHedge, MDL-Hedge-VC, batch Hedge and boosting over distributions."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import gamejax
from gamejax import multidistribution as md
from gamejax.multidistribution import _totals
from gamejax.solvers import AbstractSolver


def value_of(means):
    """The best worst loss of a mixture, by linear programming."""
    size, count = means.shape
    rows = np.hstack([means.T, -np.ones((count, 1))])
    total = np.ones((1, size + 1))
    total[0, -1] = 0
    bounds = [(0, 1)] * size + [(None, None)]
    return linprog(np.eye(size + 1)[-1], rows, np.zeros(count), total, [1], bounds=bounds).fun


def thresholds(num_points, cut, probabilities):
    """Thresholds on a grid, labels from one of them."""
    points = np.arange(num_points)
    labels = points >= cut
    predictions = points[:, None] >= np.arange(num_points + 1)[None]
    return md.DiscreteLosses((predictions != labels[:, None]).astype(float), probabilities)


@pytest.mark.parametrize(
    ("k", "r", "theta", "inverse_edge", "tolerance", "num_test", "product"),
    [
        (16, 4, 0.5, 512, 1 / 30, 2826, 0.4971),
        (16, 2, 0.25, 512, 0.02, 4293, 0.5932),
        (256, 8, 0.5, 512, 1 / 30, 4073, 0.2471),
        (256, 4, 0.25, 512, 0.02, 6373, 0.3518),
    ],
)
def test_boosting_constants(k, r, theta, inverse_edge, tolerance, num_test, product):
    plan = md.boosting_plan(k, r, 0.1, 0.05, 1.0)
    assert float(plan.theta) == pytest.approx(theta)
    assert 1 / float(plan.edge) == pytest.approx(inverse_edge)
    assert float(plan.tolerance) == pytest.approx(tolerance)
    assert float(plan.step) == pytest.approx(np.log(511) / 2)
    assert float(plan.num_test) == num_test
    assert float(k * plan.margin_product) == pytest.approx(product, abs=5e-5)
    assert float(plan.learner_eps) == pytest.approx(tolerance / inverse_edge / 4)
    assert float(plan.learner_delta) == pytest.approx(0.05 / 2 / r)


def test_boosting_margin_holds_for_every_number_of_rounds():
    k, r = np.meshgrid(2.0 ** np.arange(0, 21), np.arange(1, 41))
    plan = jax.jit(lambda k, r: md.boosting_plan(k, r, 0.1, 0.05, 1.0))(k, r)
    assert (plan.theta <= 0.5).all()
    assert (plan.theta > 0).all()
    assert (k * plan.margin_product < 1).all()


def test_majority_lemma():
    rng = np.random.default_rng(0)
    rounds, size, tight = 9, 8, 0.0
    majority = jax.jit(
        lambda wrong, mass: md.DiscreteLosses(wrong, mass).majority_losses(
            jnp.full(rounds, 1 / rounds)
        )
    )
    for _ in range(20):
        mass = rng.dirichlet(np.full(size, 0.5), 64)
        wrong = rng.random((size, rounds)) < rng.random()
        voted = np.asarray(majority(wrong.astype(float), mass))
        np.testing.assert_allclose(voted, mass @ (wrong.mean(1) >= 0.5), atol=1e-12)
        errors = mass @ wrong
        for good in range(rounds // 2 + 1, rounds + 1):
            tau, theta = np.sort(errors, axis=1)[:, good - 1], 2 * (good / rounds - 0.5)
            limit = (1 + 1 / theta) * tau
            assert (voted <= limit + 1e-12).all()
            tight = max(tight, (voted[limit > 0] / limit[limit > 0]).max(initial=0))
        assert (voted <= 2 * errors.mean(1) + 1e-12).all()
    assert tight > 0.5


def test_collaborative_learning_on_thresholds():
    rng = np.random.default_rng(1)
    problem = thresholds(24, 15, rng.dirichlet(np.full(24, 0.1), 4))
    keys, eps = jax.random.split(jax.random.key(0), 4), 0.5

    def learn(num_rounds, key):
        return md.collaborative_learning(
            problem, rounds=num_rounds, eps=eps, key=key, num_fresh=200
        )

    counts = jnp.array([2, 2, 4, 4])
    found = jax.jit(jax.vmap(learn))(counts, keys)
    plan = jax.vmap(lambda r: md.boosting_plan(4, r, eps, 0.05, np.log(25)))(counts)
    expected = np.asarray(counts) * np.asarray(plan.num_train + 4 * plan.num_test)
    np.testing.assert_array_equal(found.num_samples, expected)
    np.testing.assert_array_equal(found.rounds, counts)
    exact = jax.jit(jax.vmap(problem.majority_losses))(found.predictor)
    assert exact.max() <= eps
    np.testing.assert_allclose(found.bound, eps)
    low, high = found.deterministic.interval
    assert (low <= exact.max(-1)).all()
    assert (exact.max(-1) <= high).all()
    assert (found.deterministic.worst <= eps).all()


def test_boosting_moves_to_the_distributions_it_fails_on():
    # Hypothesis h is right on distribution h alone, so that each round fails on all others.
    problem = md.DiscreteLosses(1 - np.eye(4), np.eye(4))
    game = md.MultiDistributionGame(problem)
    solver = md.FreshRounds(0.5, 2000, 5, threshold=0.1)
    states = gamejax.play(
        game, solver, 4, key=jax.random.key(0), record=lambda s: (s.latest, s.bad)
    )
    latest, bad = states.records
    assert sorted(np.asarray(latest)) == [0, 1, 2, 3]
    np.testing.assert_array_equal(bad[-1], 3)
    stats = states.solution.stats
    assert stats["num_rounds"] == 4
    assert stats["samples"].sum() == 4 * (2000 + 4 * 5)


def test_hard_instance_as_a_game_gives_the_table():
    k, m = 16, 4
    losses = np.zeros((k, m)) + np.arange(1, m + 1) / m**2
    losses[np.arange(m), np.arange(m)] += 1
    problem = md.DiscreteLosses(losses, np.eye(k), loss_bound=2.0, zero_one=False)
    game = md.MultiDistributionGame(problem)

    @jax.jit
    @jax.vmap
    def run(ellipsoid):
        solver = md.LazyHedge(0.01, 100.0, k, ellipsoid=ellipsoid, exact=True)
        return gamejax.solve(game, solver, tol=0.0, max_steps=20_000, check_every=20_000)

    found = run(jnp.array([False, True]))
    np.testing.assert_array_equal(found.stats["num_rounds"], [5, 2])
    np.testing.assert_allclose(found.stats["overhead"], [3.25429, 2.72891], atol=5e-6)
    risks = jax.vmap(lambda w: problem.expected_gradient(None, w).min())(found.profile[1])
    np.testing.assert_allclose(risks, 0.39906, atol=5e-6)
    np.testing.assert_array_equal(
        found.state.data.counts, np.ceil(100 * np.asarray(found.state.caps.cap))
    )


def lazy_hedge_numpy(means, steps, rate, margin, kind):
    """The slow readable version with expectations; `kind` is box, ellipsoid or doubling."""
    k = means.shape[1]
    scores, votes, average = np.zeros(k), np.zeros(len(means)), np.zeros(k)
    peak, cap, rounds = np.zeros(k), np.zeros(k), 0
    for _ in range(steps):
        w = np.exp(scores - scores.max())
        w /= w.sum()
        peak = np.maximum(peak, w)
        with np.errstate(divide="ignore"):
            inside = {
                "box": (w <= cap).all(),
                "ellipsoid": (w**2 / cap).sum() <= 1,
                "doubling": (w < cap).all(),
            }[kind]
        if not inside:
            cap = np.maximum(cap, margin * w) if kind == "doubling" else margin * peak
            rounds += 1
        best = np.argmin(means @ w)
        votes[best] += 1
        average += w
        scores += rate * means[best]
    return rounds, cap, votes / steps, average / steps


def test_256_instances_in_one_call_follow_numpy():
    rng = np.random.default_rng(2)
    count, steps = 256, 100
    means = rng.random((count, 6, 5))
    rates, margins = rng.uniform(0.05, 0.5, count), rng.uniform(1.3, 4, count)
    shapes = rng.random(count) < 0.5

    def run(rule, means, rate, margin, shape):
        game = md.MultiDistributionGame(md.BernoulliLosses(means))
        solver = md.LazyHedge(rate, 40.0, 5, margin, shape, rule=rule, exact=True)
        return gamejax.solve(game, solver, tol=0.0, max_steps=steps, check_every=steps)

    for rule, every in (("lazy", 16), ("doubling", 16)):
        found = jax.jit(jax.vmap(functools.partial(run, rule)))(means, rates, margins, shapes)
        for i in range(0, count, every):
            kind = "doubling" if rule == "doubling" else ("box", "ellipsoid")[int(shapes[i])]
            rounds, cap, votes, average = lazy_hedge_numpy(
                means[i], steps, rates[i], margins[i], kind
            )
            assert found.stats["num_rounds"][i] == rounds
            np.testing.assert_allclose(found.state.caps.cap[i], cap, rtol=1e-10)
            np.testing.assert_allclose(found.profile[0][i], votes, atol=1e-12)
            np.testing.assert_allclose(found.profile[1][i], average, atol=1e-11)
        caps, size = found.state.caps, 40 / margins[:, None] if rule == "doubling" else 40
        np.testing.assert_array_equal(found.state.data.counts, np.ceil(size * caps.cap))
        if rule == "doubling":
            what = caps.cap / margins[:, None]
            assert (what <= caps.peak * (1 + 1e-12)).all()
            assert (caps.peak <= margins[:, None] * what).all()
        else:
            assert (caps.cap <= margins[:, None] * caps.peak).all()
        # Hedge's regret bounds the game's gap, as the minimizer answers exactly.
        assert (found.gap <= np.log(5) / (rates * steps) + rates / 8 + 1e-12).all()


@functools.partial(jax.jit, static_argnames="method")
def learn(problem, keys, eps, margin, geometry, method):
    def one(key, eps, margin, geometry):
        return md.rounds(
            problem, method, eps=eps, margin=margin, geometry=geometry, key=key, num_fresh=400
        )

    return jax.vmap(one)(keys, eps, margin, geometry)


@pytest.mark.parametrize(
    "method",
    [
        "lazy_hedge",
        pytest.param("hedge_vc", marks=pytest.mark.slow),
        pytest.param("batch", marks=pytest.mark.slow),
    ],
)
def test_agnostic_methods_from_samples(method):
    rng = np.random.default_rng(3)
    means = rng.random((12, 4))
    keys = jax.random.split(jax.random.key(1), 8)
    eps = jnp.where(jnp.arange(8) < 4, 0.12, 0.2)
    margins = jnp.tile(jnp.array([1.5, 3.0]), 4)
    shapes = jnp.arange(8) % 4 < 2
    found = learn(md.BernoulliLosses(means), keys, eps, margins, shapes, method)
    value = value_of(means)
    steps = np.ceil(4 * np.log(4) / np.asarray(eps) ** 2)
    np.testing.assert_array_equal(found.num_steps, steps)
    assert (found.worst - value >= -1e-9).all()
    assert (found.worst - value <= eps).all()  # what was asked for, with practical numbers
    assert (found.worst - value <= found.bound).all()
    assert (found.worst - found.value_bound >= found.worst - value - 1e-9).all()
    low, high = found.losses.interval
    assert (low <= found.worst).all()
    assert (found.worst <= high).all()
    if method == "batch":
        np.testing.assert_array_equal(found.rounds, steps)
        trained = np.ceil(np.log(12) / np.asarray(eps) ** 2)
        np.testing.assert_array_equal(found.num_samples, steps * (trained + 4))
    else:
        most = 1 + 4 * (1 + np.log(4) / np.log(1.5))
        assert (np.asarray(found.rounds) <= most).all()
        assert (found.rounds < 20).all()


def test_waiting_in_a_batch_changes_nothing():
    problem = md.BernoulliLosses(np.random.default_rng(4).random((5, 3)))
    game, key = md.MultiDistributionGame(problem), jax.random.key(5)
    keys = jax.random.split(key, 4)
    margins = jnp.array([1.1, 1.3, 2.0, 4.0])

    def run(advance, key, margin):
        solver = md.LazyHedge(0.3, 60.0, 3.0, margin)
        start = solver.init(game, key=key, dtype=game.dtype)
        return advance(solver, game, start, jnp.int32(0), 50, key=key)

    own = jax.jit(jax.vmap(functools.partial(run, md.LazyHedge.advance)))(keys, margins)
    plain = jax.jit(jax.vmap(functools.partial(run, AbstractSolver.advance)))(keys, margins)
    for a, b in zip(*map(jax.tree.leaves, (own, plain)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert (own.caps.num_rounds[:-1] >= own.caps.num_rounds[1:]).all()
    assert own.caps.num_rounds[0] > own.caps.num_rounds[-1]


def play_lazily(problem, steps=300, rule="lazy", size=400.0):
    solver = md.LazyHedge(0.1, size, problem.num_distributions, rule=rule)
    game = md.MultiDistributionGame(problem)
    return gamejax.play(game, solver, steps, key=jax.random.key(7), record=steps).solution


LABELINGS = np.array([[h >> i & 1 for i in range(4)] for h in range(16)])
"""All labelings of four points; examples are (point, label 0), then (point, label 1)."""
MISTAKES = np.concatenate([y != LABELINGS.T for y in (0, 1)]).astype(float)


def test_point_masses_on_a_grid_of_thresholds():
    points, labels = np.array([1, 3, 4, 6]), np.array([0, 1, 0, 1])
    predictions = points[:, None] >= np.minimum(np.arange(16), 8)[None]
    losses = np.concatenate([predictions != labels[:, None], np.zeros((4, 16))]).astype(float)
    problem = md.DiscreteLosses(losses, np.eye(4, 8))
    best = np.asarray(problem.means).max(1).min()
    assert best == 1.0  # thresholds cannot fit these labels; mixtures do better
    found = play_lazily(problem)
    assert found.gap <= np.log(4) / (0.1 * 300) + 0.1 / 8
    assert problem.expected_losses(found.profile[0]).max() <= value_of(problem.means) + 0.07
    assert problem.expected_losses(found.profile[0]).max() <= best + 0.07


def test_disjoint_supports_are_separate_minimizations():
    rates = np.array([0.1, 0.4, 0.8, 0.0])
    # Distribution i lives on its own two examples.
    chances = np.concatenate([np.diag(1 - rates), np.diag(rates)], axis=1)
    problem = md.DiscreteLosses(MISTAKES, chances)
    np.testing.assert_allclose(problem.means.max(1).min(), 0.4)
    found = play_lazily(problem)
    errors = np.asarray(found.state.data.totals) / np.asarray(found.state.data.counts)[:, None]
    separate = [int(errors[i, 1 << i] < errors[i, 0]) for i in range(4)]
    np.testing.assert_array_equal(LABELINGS[int(found.state.latest)], separate)
    assert separate == [0, 0, 1, 0]
    assert float(problem.expected_losses(found.profile[0]).max()) == pytest.approx(0.4)
    assert found.profile[1][1] > 0.6  # the adversary goes where the best error is largest


def test_equal_distributions_keep_the_weights_near_uniform():
    chances = np.tile(np.repeat([0.7, 0.3], 4) / 4, (4, 1))
    found = play_lazily(md.DiscreteLosses(MISTAKES, chances))
    assert found.state.caps.peak.sum() < 1.5
    assert found.state.caps.num_rounds == 1
    np.testing.assert_allclose(found.profile[1], 1 / 4, atol=0.15)
    assert found.state.votes[0] == 300


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["lazy", "doubling"])
def test_one_distribution_is_one_minimization(rule):
    problem = md.BernoulliLosses(np.array([[0.6], [0.2], [0.5]]))
    state = play_lazily(problem, 20, rule).state
    assert state.caps.num_rounds == 1
    np.testing.assert_array_equal(state.weights, [1.0])
    np.testing.assert_array_equal(state.votes, [0, 20, 0])
    assert state.data.counts[0] == (800 if rule == "lazy" else 400)


def hits(key, distribution, params):
    return (jax.random.uniform(key) < params[:, distribution]).astype(params.dtype)


MEANS = np.random.default_rng(6).random((3, 4))
TABLE = (np.random.default_rng(7).random((10, 3)) < 0.5).astype(float)
PROBLEMS = {
    "coins": lambda: md.BernoulliLosses(MEANS),
    "shared": lambda: md.BernoulliLosses(MEANS, shared=True),
    "atoms": lambda: md.DiscreteLosses(TABLE, np.random.default_rng(8).dirichlet(np.ones(10), 4)),
    "sampler": lambda: md.SampledLosses(hits, 3, 4, params=jnp.asarray(MEANS), zero_one=True),
    "rows": lambda: md.ExampleLosses(TABLE, np.arange(10) % 4),
}


@pytest.mark.parametrize(
    "name",
    [
        "coins",
        "atoms",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("shared", "sampler", "rows")),
    ],
)
def test_totals_have_the_right_sizes_and_means(name):
    problem = PROBLEMS[name]()
    counts = jnp.array([0, 3000, 1, 2000], jnp.int32)

    @jax.jit
    def totals(key):
        pools = problem.init(key=key, dtype=problem.dtype)
        weights = counts.astype(float) / 5001
        return (
            _totals.of_each(problem, counts, pools, key=key),
            _totals.of_one(problem, jnp.int32(1), counts, pools, key=key),
            _totals.of_mixture(problem, weights, jnp.int32(5000), pools, key=key),
        )

    each, one, mixed = totals(jax.random.key(8))
    truth = MEANS if name == "sampler" else np.asarray(problem.means)
    np.testing.assert_array_equal(each.counts, counts)
    np.testing.assert_array_equal(one.counts, counts)
    assert mixed.counts.sum() == 5000
    assert mixed.counts[0] == 0
    np.testing.assert_allclose(mixed.counts[3], 2000, atol=200)
    rates = np.asarray(each.losses)[[1, 3]] / [[3000], [2000]]
    np.testing.assert_allclose(rates, truth.T[[1, 3]], atol=0.05)
    np.testing.assert_allclose(one.losses[1] / 3000, truth[1, 1], atol=0.05)
    np.testing.assert_allclose(mixed.losses / 5000, truth @ [0, 0.6, 0, 0.4], atol=0.05)
    np.testing.assert_array_equal(each.losses[0], 0)


@pytest.mark.slow
def test_pools_that_run_out_say_so_and_float32_stays():
    losses = (np.random.default_rng(9).random((40, 3)) < 0.4).astype(np.float32)
    problem = md.ExampleLosses(losses, np.arange(40) % 2, num_groups=3, replace=False)
    found = md.rounds(problem, eps=0.3, num_steps=10, key=jax.random.key(0), num_fresh=10)
    np.testing.assert_array_equal(found.exhausted, [True, True, False])
    assert found.bound == np.inf
    np.testing.assert_array_equal(found.samples, [20, 20, 0])  # the third does not exist
    assert found.adversary[2] == 0
    floats = [x for x in jax.tree.leaves(found) if eqx.is_inexact_array(x)]
    assert {x.dtype for x in floats} == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_masked_distributions_are_never_asked():
    means = np.array([[0.2, 0.9, 0.1], [0.3, 0.9, 0.4]])
    problem = md.BernoulliLosses(means, np.array([True, False, True]))
    for method in ("lazy_hedge", "boosting"):
        sizes = {"train_size": 50.0, "test_size": 5.0}
        found = md.rounds(problem, method, key=jax.random.key(0), num_fresh=50, **sizes)
        assert found.samples[1] == 0
        assert found.adversary[1] == 0
        assert found.worst < 0.45


def test_bad_input():
    problem = md.BernoulliLosses(np.full((2, 4), 0.5))
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="method must be one of"):
        md.rounds(problem, "lazy", key=key)
    with pytest.raises(TypeError, match="problem must have finitely many"):
        md.rounds(np.eye(2), key=key)
    with pytest.raises(ValueError, match="eps must lie between 0 and 1, got 0"):
        md.rounds(problem, eps=0, key=key)
    with pytest.raises(ValueError, match="num_rounds is of method"):
        md.rounds(problem, num_rounds=3, key=key)
    with pytest.raises(ValueError, match="takes num_rounds in place"):
        md.rounds(problem, "boosting", num_steps=3, key=key)
    with pytest.raises(ValueError, match="rounds cannot be chosen with agnostic"):
        md.collaborative_learning(problem, rounds=3, agnostic=True, key=key)
    with pytest.raises(ValueError, match="rounds must be an integer from 1"):
        md.collaborative_learning(problem, rounds=0, key=key)
    with pytest.raises(TypeError, match=r"key must be jax\.random\.key"):
        md.rounds(problem, key=0)
    with pytest.raises(ValueError, match="train_size must be positive"):
        md.rounds(problem, train_size=0, key=key)
    with pytest.raises(ValueError, match="losses must have shape"):
        md.DiscreteLosses(np.eye(3), np.eye(2))
    with pytest.raises(TypeError, match="needs a MultiDistributionGame"):
        gamejax.play(gamejax.games.MatrixGame(np.eye(2)), md.LazyHedge(0.1, 1.0, 1.0), 1)


def mistake(model, x, y):
    return ((jnp.vdot(model, x) > 0) != (y > 0)).astype(x.dtype)


def fit_logistic(start, examples, key):
    x, y = examples

    def loss(model):
        return jax.nn.softplus(-y * (x @ model)).mean()

    def descend(model, _):
        return model - 2.0 * jax.grad(loss)(model), None

    return jax.lax.scan(descend, start, None, length=100)[0]


@pytest.mark.slow
def test_boosting_of_fitted_models():
    rng = np.random.default_rng(10)
    truth, groups = np.array([1.0, -2.0, 0.5]), np.repeat(np.arange(4), 500)
    x = rng.normal(size=(2000, 3)) * np.array([[1], [3], [0.3], [1]])[groups]
    y = np.where(x @ truth > 0, 1.0, -1.0)
    problem = md.Parametric(jnp.zeros(3), mistake, (x, y), groups)
    found = md.collaborative_learning(
        problem, rounds=3, eps=0.2, train_size=200, test_size=40, fit=fit_logistic,
        num_fresh=300, key=jax.random.key(0),
    )  # fmt: skip
    assert found.predictor.shape == (3, 3)
    assert found.num_samples == 3 * (200 + 4 * 40)
    assert found.rounds == 3
    voted = np.sign(x @ np.asarray(found.predictor).T).sum(1)
    wrong = np.array([(voted[groups == g] * y[groups == g] <= 0).mean() for g in range(4)])
    low, high = found.deterministic.interval
    assert low <= wrong.max() <= high
    assert wrong.max() <= 0.2
    assert found.worst <= 0.2
    with pytest.raises(TypeError, match="a Parametric problem belong together"):
        md.collaborative_learning(problem, rounds=3, key=jax.random.key(0))
    with pytest.raises(TypeError, match="train_size must be an integer"):
        md.collaborative_learning(problem, rounds=3, fit=fit_logistic, key=jax.random.key(0))

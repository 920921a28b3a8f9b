"""Extragradient methods, clairvoyant Hedge, fictitious play: oracles, bounds, NumPy versions."""

import itertools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import games, learners, metrics, sets, solvers
from gamejax.regularizers import Entropy, Euclidean, LogBarrier, Tsallis
from tests.cases import SETS, payoffs

TWO = np.array([[2.0, -1.0], [-1.0, 1.0]])
MATRICES = payoffs(7, (32, 5, 5), jnp.float64)


# First steps, by hand in NumPy.


def softmax(z):
    weights = np.exp(z - z.max())
    return weights / weights.sum()


def onto_simplex(v):
    u = np.sort(v)[::-1]
    excess = (np.cumsum(u) - 1) / np.arange(1, len(v) + 1)
    return np.maximum(v - excess[np.flatnonzero(u > excess)[-1]], 0)


def entropy_prox(z, gradient):
    return softmax(np.log(z) + gradient)


def euclidean_prox(z, gradient):
    return onto_simplex(z + gradient)


def away_from_origin(z):
    positive = np.maximum(z, 0)
    return positive if positive.sum() >= 1 else onto_simplex(z)


def extragradient_by_hand(prox, eta):
    def run(utilities, z, steps):
        for _ in range(steps):
            w = [prox(x, eta * u) for x, u in zip(z, utilities(z), strict=True)]
            z = [prox(x, eta * u) for x, u in zip(z, utilities(w), strict=True)]
            yield z

    return run


def optimistic_by_hand(eta):
    def run(utilities, x, steps):
        z = x
        for _ in range(steps):
            u = utilities(x)
            z = [onto_simplex(p + eta * q) for p, q in zip(z, u, strict=True)]
            x = [onto_simplex(p + eta * q) for p, q in zip(z, u, strict=True)]
            yield x

    return run


def clairvoyant_by_hand(eta, num_inner):
    def run(utilities, x, steps):
        for _ in range(steps):
            z = x
            for _ in range(num_inner):
                z = [entropy_prox(p, eta * u) for p, u in zip(x, utilities(z), strict=True)]
            x = z
            yield x

    return run


def regret_matching_by_hand(eta):
    def regrets(utilities, z):
        x = [p / p.sum() for p in z]
        return [u - p @ u for p, u in zip(x, utilities(x), strict=True)]

    def run(utilities, z, steps):
        for _ in range(steps):
            r = regrets(utilities, z)
            w = [away_from_origin(p + eta * q) for p, q in zip(z, r, strict=True)]
            r = regrets(utilities, w)
            z = [away_from_origin(p + eta * q) for p, q in zip(z, r, strict=True)]
            yield [p / p.sum() for p in z]

    return run


def fictitious_by_hand(alternating, step_size=None, temperature=0.0):
    def respond(u):
        return softmax(u / temperature) if temperature else np.eye(len(u))[np.argmax(u)]

    def run(utilities, x, steps):
        for t in range(1, steps + 1):
            alpha = 1 / (t + 1) if step_size is None else step_size
            seen = list(x)
            for i in range(len(x)):
                u = utilities(seen if alternating else x)[i]
                seen[i] = x[i] + alpha * (respond(u) - x[i])
            x = seen
            yield x

    return run


LAST = solvers.Last()
SLOW = pytest.mark.slow
BY_HAND = {
    "mirror-prox": (
        solvers.MirrorProx(0.3, averaging=LAST),
        extragradient_by_hand(entropy_prox, 0.3),
    ),
    "mirror-prox-euclidean": (
        solvers.MirrorProx(0.4, Euclidean(), LAST),
        extragradient_by_hand(euclidean_prox, 0.4),
    ),
    "extragradient": (solvers.Extragradient(0.4), extragradient_by_hand(euclidean_prox, 0.4)),
    "optimistic": (solvers.OptimisticGradient(0.2), optimistic_by_hand(0.2)),
    "clairvoyant": (
        solvers.ClairvoyantHedge(0.2, 3, LAST, "marginals"),
        clairvoyant_by_hand(0.2, 3),
    ),
    "regret-matching": (
        solvers.ExtragradientRegretMatchingPlus(0.3),
        regret_matching_by_hand(0.3),
    ),
    "fictitious": (solvers.FictitiousPlay(), fictitious_by_hand(False)),
    "fictitious-alternating": (
        solvers.FictitiousPlay(alternating=True),
        fictitious_by_hand(True),
    ),
    "fictitious-smooth": (
        solvers.FictitiousPlay(temperature=0.3),
        fictitious_by_hand(False, temperature=0.3),
    ),
    "best-response-dynamics": (
        solvers.FictitiousPlay(step_size=0.25),
        fictitious_by_hand(False, 0.25),
    ),
}


MORE = ("mirror-prox-euclidean", "fictitious-smooth", "best-response-dynamics", "fictitious")


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=SLOW if k in MORE else ()) for k in BY_HAND]
)
def test_first_steps_by_hand(name):
    solver, by_hand = BY_HAND[name]
    three = name in ("clairvoyant", "fictitious-alternating")
    shape = (3, 4, 2) if three else (3, 4)
    tensors = np.asarray(payoffs(11, (len(shape), *shape), jnp.float64))

    def utilities(x):
        if not three:
            return [tensors[0] @ x[1], tensors[1].T @ x[0]]
        return [
            np.einsum("abc,b,c->a", tensors[0], x[1], x[2]),
            np.einsum("abc,a,c->b", tensors[1], x[0], x[2]),
            np.einsum("abc,a,b->c", tensors[2], x[0], x[1]),
        ]

    start = [np.full(n, 1 / n) for n in shape]
    way = gamejax.play(games.NormalFormGame(tensors), solver, 8, record=solver.profile)
    for t, expected in enumerate(by_hand(utilities, start, 8)):
        for own, want in zip(way.records, expected, strict=True):
            np.testing.assert_allclose(own[t], want, atol=1e-12)
    if "step_size" in way.solution.stats:
        assert way.solution.stats["step_size"] == solver.step_size


def test_averages_are_of_the_points_looked_at():
    eta = 0.3
    game = games.MatrixGame(TWO)
    z = (np.full(2, 0.5), np.full(2, 0.5))
    seen = []
    for _ in range(5):
        u = (TWO @ z[1], -TWO.T @ z[0])
        w = [entropy_prox(x, eta * v) for x, v in zip(z, u, strict=True)]
        seen.append(w)
        u = (TWO @ w[1], -TWO.T @ w[0])
        z = [entropy_prox(x, eta * v) for x, v in zip(z, u, strict=True)]
    profile = gamejax.play(game, solvers.MirrorProx(eta), 5).solution.profile
    for i in range(2):
        np.testing.assert_allclose(profile[i], np.mean([w[i] for w in seen], 0), atol=1e-14)


def test_optimistic_gradient_is_self_play_of_its_learner():
    game = games.MatrixGame(MATRICES[0])
    learner = learners.MirrorDescent(Euclidean(), 0.2, optimism=1.0)
    expected = gamejax.play(game, solvers.SelfPlay(learner, averaging=LAST), 50)
    found = gamejax.play(game, solvers.OptimisticGradient(0.2), 50)
    np.testing.assert_allclose(found.gaps, expected.gaps, atol=1e-12)


def test_fictitious_play_of_temperature_zero_is_exact():
    game = games.MatrixGame(MATRICES[0])
    exact = gamejax.play(game, solvers.FictitiousPlay(), 30)
    zero = gamejax.play(game, solvers.FictitiousPlay(temperature=0.0), 30)
    chex.assert_trees_all_close(exact.solution.profile, zero.solution.profile, atol=1e-15)
    np.testing.assert_allclose(exact.gaps, zero.gaps, atol=1e-12)


# Bounds, rates and convergence.


def test_mirror_prox_obeys_its_bound_at_every_step():
    largest = jnp.abs(MATRICES).max((1, 2))

    def gaps(matrix, eta):
        game, solver = games.MatrixGame(matrix), solvers.MirrorProx(eta)
        profiles = gamejax.play(game, solver, 400, record=lambda s: solver.profile(s)).records
        return jax.vmap(lambda *x: metrics.nash_conv(game, x))(*profiles)

    found = jax.vmap(gaps)(MATRICES, 1 / largest)
    ratios = found * np.arange(1.0, 401)[None] / (2 * jnp.log(5.0) * largest[:, None])
    assert ratios.max() <= 1
    assert ratios.max() > 0.2  # the bound is worth testing


def test_clairvoyant_hedge_obeys_its_bound_at_every_round():
    tensors = jax.random.uniform(jax.random.key(1), (20, 3, 3, 3, 3), jnp.float64)
    solver = solvers.ClairvoyantHedge(0.25, num_inner=60)

    def run(payoffs):
        game = games.NormalFormGame(payoffs)
        way = gamejax.play(game, solver, 200, record=lambda s: s.strategies)
        before = tuple(x[-2] for x in way.records)
        after = tuple(x[-1] for x in way.records)
        fixed = [x * jnp.exp(0.25 * u) for x, u in zip(before, game.utilities(after), strict=True)]
        missed = [jnp.abs(y / y.sum() - x).max() for y, x in zip(fixed, after, strict=True)]
        return way.gaps, jnp.stack(missed).max()

    gaps, missed = jax.vmap(run)(tensors)
    # The gap of the average joint play is the largest regret over T.
    assert (gaps * np.arange(1.0, 201)[None]).max() <= jnp.log(3.0) / 0.25
    assert missed.max() < 1e-14


def test_default_learning_rate_halves_the_error_of_the_fixed_point():
    tensors = 5 * jax.random.uniform(jax.random.key(2), (20, 3, 3, 3, 3), jnp.float64)

    def after(payoffs, num_inner):
        solver = solvers.ClairvoyantHedge(num_inner=num_inner)
        way = gamejax.play(games.NormalFormGame(payoffs), solver, 1, record=lambda s: s.strategies)
        return jnp.stack(way.records), way.solution.state.rate

    exact, rate = jax.vmap(lambda p: after(p, 40))(tensors)
    four, _ = jax.vmap(lambda p: after(p, 4))(tensors)
    # payoff ranges just below 5, three players: 1 / (2 * 5 * 2)
    np.testing.assert_allclose(rate, 0.05, rtol=0.1)
    assert jnp.abs(exact - four).sum(-1).max() < 2.0**-4


ADAPTIVE = {
    "extragradient": (solvers.Extragradient(), 1e-4, 1.0),
    "optimistic": (solvers.OptimisticGradient(), 1e-4, 2**0.5 - 1),
    "regret-matching": (solvers.ExtragradientRegretMatchingPlus(), 1e-4, None),
    "mirror-prox": (solvers.MirrorProx(), 2e-3, None),
}


@pytest.mark.parametrize(
    "name",
    ["extragradient", "mirror-prox"]
    + [pytest.param(name, marks=SLOW) for name in ("optimistic", "regret-matching")],
)
def test_default_steps_solve_every_game_whatever_its_scale(name):
    solver, tolerance, fraction = ADAPTIVE[name]

    def run(matrix, scale, shift):
        game = games.MatrixGame(scale * (matrix + shift))
        return gamejax.solve(game, solver, tol=scale * tolerance, max_steps=12_000)

    scales, shifts = jnp.array([1.0, 1e3, 1e-3, 1.0]), jnp.array([0.0, 0.0, 0.0, 10.0])
    many = jax.vmap(jax.vmap(run, in_axes=(0, None, None)), in_axes=(None, 0, 0))
    solution = many(MATRICES, scales, shifts)
    assert jnp.all(solution.result == gamejax.RESULTS.successful)
    steps = np.asarray(solution.stats["num_steps"])
    assert (abs(steps - steps[0]) <= 100).all()  # a check may fall on the other side
    rates = solution.stats["step_size"] * scales[:, None]
    np.testing.assert_allclose(rates, rates[:1] + 0 * rates, rtol=1e-5)
    if fraction is not None:
        # The slopes met never exceed the Lipschitz constant.
        norms = np.linalg.norm(MATRICES, 2, axis=(1, 2))
        assert (rates[0] * norms >= 0.9 * fraction * (1 - 1e-9)).all()


@pytest.mark.parametrize(
    "solver",
    [solvers.Extragradient(0.3), pytest.param(solvers.OptimisticGradient(0.15), marks=SLOW)],
)
def test_last_iterates_converge_on_the_two_by_two_game(solver):
    solution = gamejax.solve(games.MatrixGame(TWO), solver, tol=1e-12, max_steps=5000)
    assert solution.result == gamejax.RESULTS.successful
    np.testing.assert_allclose(np.stack(solution.profile), [[0.4, 0.6]] * 2, atol=1e-10)


def test_regret_matching_whose_strategies_converge():
    # Regret matching+ does not converge here, however long it runs.
    game = games.MatrixGame([[3.0, 0.0, -3.0], [0.0, 3.0, -4.0], [0.0, 0.0, 1.0]])
    found = gamejax.solve(
        game, solvers.ExtragradientRegretMatchingPlus(), tol=1e-12, max_steps=5000
    )
    assert found.result == gamejax.RESULTS.successful
    np.testing.assert_allclose(found.profile[0], [1 / 12, 1 / 12, 5 / 6], atol=1e-9)
    np.testing.assert_allclose(found.profile[1], [1 / 3, 5 / 12, 1 / 4], atol=1e-9)
    plus = solvers.SelfPlay(learners.RegretMatchingPlus(), averaging=LAST)
    assert gamejax.play(game, plus, 4000).gaps[2000:].max() > 0.1


SLOPES = {
    "hedge": (solvers.SelfPlay(learners.Hedge()), -0.75, -0.35),
    "optimistic-hedge": (solvers.SelfPlay(learners.Hedge(0.25, optimism=1.0)), -1.3, -0.85),
    "mirror-prox": (solvers.MirrorProx(), -1.3, -0.85),
    "extragradient": (solvers.Extragradient(averaging=solvers.Uniform()), -1.3, -0.85),
    "optimistic": (solvers.OptimisticGradient(averaging=solvers.Uniform()), -1.3, -0.85),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(k, marks=() if k in ("hedge", "mirror-prox") else SLOW) for k in SLOPES],
)
def test_rates_of_averages(name):
    solver, low, high = SLOPES[name]
    way = jax.vmap(lambda m: gamejax.play(games.MatrixGame(m), solver, 4096, record=64))(MATRICES)
    steps = np.asarray(way.steps[0])
    slope = np.polyfit(np.log(steps), np.log(np.asarray(way.gaps)).mean(0), 1)[0]
    assert low < slope < high


def slow_instance(delta):
    """Optimistic FTRL's last strategies need of the order of 1/delta rounds here; row minimizes."""
    return games.MatrixGame(-np.array([[0.5 + delta, 0.5], [0.0, 1.0]]))


def conv_of_last(solver, delta, first, last, every):
    game = slow_instance(delta)
    records = gamejax.play(
        game, solver, last, record=gamejax.Record(lambda s: s.strategies, every)
    ).records
    gaps = jax.vmap(lambda *x: metrics.nash_conv(game, x))(*records)
    return float(gaps[first // every - 1 :].max())


OPTIMISTIC_HEDGE = solvers.SelfPlay(learners.Hedge(0.1, optimism=1.0), averaging=LAST)


def test_slow_instance_for_optimistic_hedge():
    hedge = conv_of_last(OPTIMISTIC_HEDGE, 0.1, 1000, 2000, 1)
    gradient = conv_of_last(solvers.OptimisticGradient(0.1), 0.1, 1000, 2000, 1)
    np.testing.assert_allclose([hedge, gradient], [0.409, 0.026], atol=6e-4)


@SLOW
def test_slow_instance_over_long_runs():
    np.testing.assert_allclose(
        conv_of_last(OPTIMISTIC_HEDGE, 0.01, 10_000, 20_000, 1), 0.473, atol=6e-4
    )
    gradient = conv_of_last(solvers.OptimisticGradient(0.1), 0.01, 10_000, 20_000, 1)
    np.testing.assert_allclose(gradient, 9.9e-8, rtol=0.01)
    np.testing.assert_allclose(
        conv_of_last(OPTIMISTIC_HEDGE, 0.01, 100_000, 200_000, 1), 0.272, atol=6e-4
    )
    average = solvers.SelfPlay(learners.Hedge(0.1, optimism=1.0))
    game = slow_instance(0.01)
    profile = gamejax.play(game, average, 200_000, record=200_000).solution.profile
    np.testing.assert_allclose(metrics.nash_conv(game, profile), 1.3e-5, atol=1e-6)


# Fictitious play.


def test_fictitious_play_converges_in_zero_sum_games():
    def gaps(matrix):
        game = games.MatrixGame(matrix)
        return gamejax.play(game, solvers.FictitiousPlay(), 20_000, record=2000).gaps

    found = jax.vmap(gaps)(MATRICES)
    assert found[:, -1].max() < 0.02
    assert (found[:, -1] < 0.6 * found[:, 0] + 1e-12).mean() > 0.9


def test_fictitious_play_cycles_where_hedge_reaches_a_coarse_correlated_equilibrium():
    first = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    second = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    game = games.bimatrix(first, second)
    start = (jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0]))
    way = gamejax.play(game, solvers.FictitiousPlay(), 20_000, init=start)
    assert way.gaps[100:].min() > 0.1
    away = (jnp.array([0.6, 0.3, 0.1]), jnp.array([0.2, 0.3, 0.5]))
    hedge = solvers.SelfPlay(learners.Hedge(), output="joint")
    joint = gamejax.play(game, hedge, 4000, record=1000, init=away)
    assert joint.gaps[-1] < 0.02
    assert joint.gaps[-1] < joint.gaps[0]


def test_smooth_fictitious_play_finds_logit_equilibria():
    solver = solvers.FictitiousPlay(temperature=0.5)
    solution = gamejax.solve(games.MatrixGame(TWO), solver, tol=1e-8, max_steps=30_000)
    assert solution.result == gamejax.RESULTS.successful
    np.testing.assert_allclose(solution.profile[0][0], 0.4491322, atol=1e-4)
    np.testing.assert_allclose(solution.profile[1][0], 0.3795822, atol=1e-4)
    residual = solver.residual(games.MatrixGame(TWO), solution.profile)
    assert max(jnp.abs(r).max() for r in residual) < 1e-3
    # By Implicit, the derivative of the closed-form oracle.
    loss = lambda a: gamejax.solve(  # noqa: E731
        games.MatrixGame(a),
        solvers.FictitiousPlay(temperature=1.0),
        tol=1e-9,
        max_steps=30_000,
        adjoint=gamejax.Implicit(),
    ).profile[0][0]
    oracle = [[-0.0191710846, 0.1196262487], [-0.1004235293, -0.0000316348]]
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(TWO)), oracle, atol=1e-4)


def test_best_responses_in_turns_solve_potential_games():
    common = jax.random.uniform(jax.random.key(3), (16, 4, 4, 4), jnp.float64)
    solver = solvers.FictitiousPlay(step_size=1.0, alternating=True)

    def run(table):
        game = games.NormalFormGame(jnp.stack([table] * 3))
        way = gamejax.play(game, solver, 20, record=lambda s: s.strategies.total)
        values = jax.vmap(lambda *x: game.expected_payoffs(x)[0])(*way.records)
        return way.gaps[-1], values, way.solution.profile

    gaps, values, profile = jax.vmap(run)(common)
    assert jnp.all(gaps == 0)
    assert jnp.all(jnp.diff(values, axis=1) >= 0)
    assert all(jnp.all((x == 0) | (x == 1)) for x in profile)


# Sets, players, padding, starts.

SIMPLEX_SOLVERS = {
    "mirror-prox": lambda c: solvers.MirrorProx(0.2 * c),
    "mirror-prox-adaptive": lambda c: solvers.MirrorProx(averaging=solvers.Power(1.0 * c)),
    "mirror-prox-tsallis": lambda c: solvers.MirrorProx(0.2 * c, Tsallis(0.5)),
    "clairvoyant": lambda c: solvers.ClairvoyantHedge(0.1 * c, 4, output="marginals"),
    "fictitious-smooth": lambda c: solvers.FictitiousPlay(temperature=0.4 * c),
}
SOLVERS = {
    **SIMPLEX_SOLVERS,
    "extragradient": lambda c: solvers.Extragradient(0.2 * c),
    "extragradient-adaptive": lambda c: solvers.Extragradient(averaging=solvers.Power(1.0 * c)),
    "optimistic": lambda c: solvers.OptimisticGradient(0.2 * c),
    "optimistic-adaptive": lambda c: solvers.OptimisticGradient(averaging=solvers.Power(c)),
    "regret-matching": lambda c: solvers.ExtragradientRegretMatchingPlus(0.2 * c),
    "fictitious": lambda c: solvers.FictitiousPlay(0.4 * c),
}
PROBABILITY = ("simplex", "masked", "capped", "blocks")
# Concave games are certified by projections, which a treeplex refuses; tests/test_treeplex.py.
PROJECTED = [kind for kind in SETS if kind != "treeplex"]


def fits(solver, kind):
    if solver == "regret-matching":
        return kind in ("simplex", "masked", "blocks")
    if solver == "fictitious":
        return kind != "unconstrained"
    return solver not in SIMPLEX_SOLVERS or kind in PROBABILITY


QUICK = {("extragradient-adaptive", "box"), ("optimistic-adaptive", "unconstrained")}
GRID = [
    pytest.param(s, k, marks=() if (s, k) in QUICK else SLOW, id=f"{s}-{k}")
    for s, k in itertools.product(SOLVERS, PROJECTED)
    if fits(s, k)
]


def concave_utility(player):
    """A zero-sum bilinear part, minus a quarter of the own square, plus a linear part."""

    def utility(profile, params):
        flat = [jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(p)]) for p in profile]
        own = flat[player]
        n = own.shape[0]
        met = flat[0] @ params[:n, :n] @ flat[1]
        return (met if player == 0 else -met) - 0.25 * own @ own + params[n, :n] @ own

    return utility


UTILITIES = (concave_utility(0), concave_utility(1))


def concave(kind, dtype=jnp.float64):
    built = games.ContinuousGame(UTILITIES, (SETS[kind](), SETS[kind]()), payoffs(5, (7, 6), dtype))
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, built)


@pytest.mark.parametrize(("name", "kind"), GRID)
def test_protocol(name, kind):
    make = SOLVERS[name]

    def run(solver, game, steps=5):
        way = gamejax.play(game, solver, steps, record=lambda s: solver.profile(s))
        return way.records, way.solution.profile

    problem = concave(kind)
    chex.clear_trace_counter()
    traced = jax.jit(chex.assert_max_traces(run, n=1))
    first = traced(make(1.0), problem)
    other = jax.tree.map(lambda x: 0.5 * x if eqx.is_inexact_array(x) else x, problem.params)
    changed = eqx.tree_at(lambda g: g.params, problem, other)
    traced(make(0.7), changed)
    for own, strategies in zip(problem.strategy_sets, first[0], strict=True):
        chex.assert_tree_all_finite(strategies)
        assert jax.vmap(own.violation)(strategies).max() < 1e-9

    with jax.disable_jit():
        eager = run(make(1.0), problem, 2)[0]
    chex.assert_trees_all_close(eager, jax.tree.map(lambda x: x[:2], first[0]), atol=1e-10)

    stacked = jax.vmap(lambda c: eqx.tree_at(lambda g: g.params, problem, c * problem.params))(
        jnp.array([1.0, 0.5])
    )
    axes = jax.tree.map(lambda _: 0, stacked)
    mapped = jax.jit(jax.vmap(lambda g: run(make(1.0), g), in_axes=(axes,)))(stacked)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], mapped), first, atol=1e-10)

    single = run(make(1.0), concave(kind, jnp.float32))
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(single))
    if name != "fictitious":  # best responses jump at ties
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), single)
        chex.assert_trees_all_close(wide, first, atol=2e-3)


def distance(game, profile):
    """How far one projected gradient step moves: zero at equilibria, on every set."""
    moved = solvers.Extragradient().residual(game, profile)
    return sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(moved))


@pytest.mark.parametrize(
    ("solver", "kind"),
    [
        pytest.param(s, k, id=f"{n}-{k}", marks=() if (n, k) == ("eg", "product") else SLOW)
        for n, s in (("eg", solvers.Extragradient()), ("og", solvers.OptimisticGradient()))
        for k in PROJECTED
    ],
)
def test_concave_games_on_every_set(solver, kind):
    solution = gamejax.solve(concave(kind), solver, gap=distance, tol=1e-9, max_steps=2000)
    assert solution.result == gamejax.RESULTS.successful


@SLOW
@pytest.mark.parametrize("solver", [solvers.OptimisticGradient(), solvers.Extragradient()])
def test_zero_sum_polymatrix_games_of_three_players(solver):
    blocks = payoffs(9, (16, 3, 3, 4, 4), jnp.float64)
    blocks = blocks - blocks.transpose(0, 2, 1, 4, 3)

    def run(pairs):
        game = games.PolymatrixGame(pairs * (1 - jnp.eye(3))[:, :, None, None])
        return gamejax.solve(game, solver, tol=1e-4, max_steps=20_000).gap

    assert jax.vmap(run)(blocks).max() <= 1e-4


@pytest.mark.parametrize(
    ("solver", "tol"),
    [
        (solvers.Extragradient(), 1e-9),
        pytest.param(solvers.MirrorProx(averaging=LAST), 1e-4, marks=SLOW),
    ],
)
def test_capped_players(solver, tol):
    def run(matrix):
        game = games.smoothed(games.MatrixGame(matrix), cap=0.3)
        return gamejax.solve(game, solver, tol=tol, max_steps=5000)

    solution = jax.vmap(run)(MATRICES[:8])
    assert solution.gap.max() <= tol
    assert jnp.stack(solution.profile).max() <= 0.3 + 1e-12


ALL = [
    solvers.MirrorProx(),
    solvers.OptimisticGradient(),
    solvers.ClairvoyantHedge(output="marginals"),
    solvers.Extragradient(),
    solvers.ExtragradientRegretMatchingPlus(),
    solvers.FictitiousPlay(temperature=0.1),
]
FEW = [pytest.param(s, marks=() if i < 2 else SLOW, id=type(s).__name__) for i, s in enumerate(ALL)]


ONE = FEW[:1] + [p._replace(marks=(SLOW,)) for p in FEW[1:]]


@pytest.mark.parametrize("solver", ONE)
def test_padding_changes_nothing(solver):
    matrix = np.asarray(payoffs(4, (3, 2), jnp.float64))
    padded = np.full((5, 4), 1e3)
    padded[np.ix_([0, 2, 3], [1, 3])] = matrix
    rows, columns = np.zeros(5, bool), np.zeros(4, bool)
    rows[[0, 2, 3]], columns[[1, 3]] = True, True
    masked = games.MatrixGame(padded, (sets.Simplex(5, mask=rows), sets.Simplex(4, mask=columns)))
    small = gamejax.play(games.MatrixGame(matrix), solver, 60)
    large = gamejax.play(masked, solver, 60)
    np.testing.assert_allclose(large.gaps, small.gaps, atol=1e-9)
    for mask, own, want in zip(
        (rows, columns), large.solution.profile, small.solution.profile, strict=True
    ):
        assert jnp.all(own[~mask] == 0)
        np.testing.assert_allclose(own[mask], want, atol=1e-9)


@pytest.mark.parametrize("solver", FEW[:-1])
def test_started_at_an_equilibrium_play_stays(solver):
    start = (jnp.array([0.4, 0.6]), jnp.array([0.4, 0.6]))
    way = gamejax.play(games.MatrixGame(TWO), solver, 200, init=start)
    assert way.gaps.max() < 1e-12


@pytest.mark.parametrize("solver", ONE)
def test_going_on_equals_one_run_and_constant_games_are_solved(solver):
    game = games.MatrixGame(MATRICES[0])
    half = gamejax.solve(game, solver, tol=0.0, max_steps=30)
    rest = gamejax.solve(game, solver, tol=0.0, max_steps=20, init=half)
    whole = gamejax.solve(game, solver, tol=0.0, max_steps=50)
    chex.assert_trees_all_close(rest.profile, whole.profile, atol=1e-15)
    constant = gamejax.solve(games.MatrixGame(jnp.full((5, 5), 3.0)), solver, tol=0.0)
    chex.assert_tree_all_finite((constant.profile, constant.gap))
    assert constant.gap < 1e-12


@SLOW
@pytest.mark.parametrize("solver", ALL, ids=lambda s: type(s).__name__)
def test_gradients_match_finite_differences(solver):
    def outcome(factor):
        matrix = MATRICES[1] * factor + 0.1 * factor**2
        way = gamejax.play(games.MatrixGame(matrix), solver, 6)
        return sum(jnp.sum(jnp.sin(3 * x)) for x in way.solution.profile) + way.gaps[-1]

    point, width = 0.9, 1e-6
    derivative = jax.jit(jax.grad(outcome))(point)
    evaluate = jax.jit(outcome)
    difference = (evaluate(point + width) - evaluate(point - width)) / (2 * width)
    np.testing.assert_allclose(derivative, difference, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    "regularizer",
    [Entropy(), *(pytest.param(r, marks=SLOW) for r in (Tsallis(0.5), Euclidean(), LogBarrier()))],
)
def test_mirror_prox_with_every_regularizer(regularizer):
    solver = solvers.MirrorProx(regularizer=regularizer)
    gaps = jax.vmap(
        lambda m: gamejax.solve(games.MatrixGame(m), solver, tol=1e-2, max_steps=4000).gap
    )(MATRICES)
    assert gaps.max() <= 1e-2


def test_hyperparameters_can_be_mapped():
    rates = jnp.array([0.1, 0.2, 0.3])
    play = lambda r: gamejax.play(games.MatrixGame(TWO), solvers.MirrorProx(r), 40).gaps[-1]  # noqa: E731
    np.testing.assert_allclose(jax.vmap(play)(rates), [play(r) for r in rates], rtol=1e-9)


@SLOW
def test_joint_output_of_clairvoyant_hedge():
    game = games.NormalFormGame(payoffs(12, (3, 3, 3, 3), jnp.float64))
    solution = gamejax.solve(game, solvers.ClairvoyantHedge(), tol=5e-3)
    assert isinstance(solution.profile, gamejax.Joint)
    assert solution.result == gamejax.RESULTS.successful
    np.testing.assert_allclose(solution.profile.probabilities.sum(), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solvers.Extragradient(-1.0), "step_size must be a positive number"),
        (lambda: solvers.OptimisticGradient(0), "step_size must be a positive number"),
        (lambda: solvers.FictitiousPlay(2.0), r"step_size must lie in \(0, 1\]"),
        (lambda: solvers.FictitiousPlay(temperature=-1.0), "temperature must be at least 0"),
        (lambda: solvers.ClairvoyantHedge(0.0), "learning_rate must be positive"),
        (lambda: solvers.ClairvoyantHedge(num_inner=0), "num_inner must be an integer"),
        (lambda: solvers.ClairvoyantHedge(output="both"), "output must be"),
        (
            lambda: gamejax.solve(concave("simplex"), solvers.ClairvoyantHedge(output="marginals")),
            "learning_rate must be given",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_regret_matching_needs_simplices():
    with pytest.raises(TypeError, match=r"use solvers.Extragradient"):
        gamejax.solve(concave("box"), solvers.ExtragradientRegretMatchingPlus())

"""Smooth equilibria: closed forms, linear programs, exhaustive search, and both certificates."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gamejax
from gamejax import games, learners, metrics, regularizers, sets, solvers

rng = np.random.default_rng(7)
STRONG = {
    "self-play": (solvers.SelfPlay(learners.Hedge(0.5, 1.0)), 1e-3),
    "mirror-prox": (solvers.MirrorProx(), 1e-3),
    "extragradient": (solvers.Extragradient(), 1e-7),
    "optimistic": (solvers.OptimisticGradient(), 1e-7),
}


def best_smooth(utility, cap):
    """NumPy: the fractional top-k mean."""
    weights = np.clip(1 - np.arange(len(utility)) * cap, 0, cap)
    return weights @ np.sort(utility)[::-1]


def capped_value(matrix, row_cap, column_cap):
    """The value of a zero-sum game on capped simplices, by a linear program.

    Variables x, l, s: max l - d sum(s), s_j >= l - (A^T x)_j; the dual of the column's best reply.
    """
    n, k = matrix.shape
    cost = np.concatenate([np.zeros(n), [-1], np.full(k, column_cap)])
    above = np.hstack([-matrix.T, np.ones((k, 1)), -np.eye(k)])
    total = np.concatenate([np.ones(n), [0], np.zeros(k)])[None]
    bounds = [(0, row_cap)] * n + [(None, None)] + [(0, None)] * k
    found = scipy.optimize.linprog(cost, above, np.zeros(k), total, [1], bounds)
    assert found.status == 0
    return -found.fun


# sigma, value of diag(2, 1), value of diag(1, 2, 3, 4)
DIAGONALS = [
    (0.4, None, 0.48),
    (0.5, 2 / 3, 0.48),
    (0.6, 2 / 3, 0.526620),
    (0.75, 2 / 3, 0.583333),
    (0.8, 0.703125, None),
    (0.9, 0.740741, None),
    (1.0, 0.75, 0.625),
]


QUICK = {("self-play", "float64"), ("mirror-prox", "float32"), ("extragradient", "float64")}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
        for case in itertools.product(STRONG, ("float32", "float64"))
    ],
)
def test_strong_equilibria_of_games_times_caps_in_one_call(name, dtype):
    """Every game under every smoothness, traced, against closed forms and linear programs."""
    solver, tol = STRONG[name]
    tol = max(tol, 100 * float(jnp.finfo(dtype).eps))
    matrices = [jnp.diag(jnp.array(d, dtype)) for d in ([2.0, 1], [1.0, 2, 3, 4])]
    diagonals = games.pad_games([games.MatrixGame(a) for a in matrices])
    sigmas = np.array([s for s, _, _ in DIAGONALS])

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    @functools.partial(jax.vmap, in_axes=(0, None))
    def run(game, sigma):
        game = games.smoothed(game, sigma=sigma)
        solution = gamejax.solve(game, solver, tol=tol, max_steps=40_000, check_every=400)
        return solution, game.expected_payoffs(solution.profile)[0]

    solution, values = run(diagonals, jnp.asarray(sigmas, dtype))
    assert values.dtype == solution.profile[0].dtype == dtype
    assert solution.gap.max() <= tol
    for i, (sigma, two, four) in enumerate(DIAGONALS):
        for j, (n, known) in enumerate(((2, two), (4, four))):
            cap = 1 / (sigma * n)
            if cap > 1:  # more than the whole simplex
                continue
            diagonal = np.diag([2.0, 1] if n == 2 else [1.0, 2, 3, 4])
            assert abs(values[i, j] - capped_value(diagonal, cap, cap)) < 2 * tol
            assert known is None or abs(values[i, j] - known) < 1e-6 + 2 * tol
            # What was padded is not played, what is left keeps to the cap.
            x = np.asarray(solution.profile[0][i, j])
            assert x[n:].max(initial=0) == 0
            assert x.max() <= cap + 1e-6
    # sigma = 0.9: the row plays (c, 1 - c), the column (1 - c, c), c = 5/9.
    row, column = (np.asarray(x[5, 0, :2]) for x in solution.profile)
    np.testing.assert_allclose(row, [5 / 9, 4 / 9], atol=3 * tol)
    np.testing.assert_allclose(column, [4 / 9, 5 / 9], atol=3 * tol)


def test_random_games_against_linear_programs():
    """Different caps for the two players, one call for all games and caps."""
    matrices = rng.uniform(-1, 1, (4, 5, 7))
    caps = np.array([[0.2, 1.0], [0.25, 1 / 7], [0.5, 0.3], [1.0, 0.2]])

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    @functools.partial(jax.vmap, in_axes=(0, None))
    def run(matrix, pair):
        game = games.smoothed(games.MatrixGame(matrix), cap=pair)
        solution = gamejax.solve(game, solvers.Extragradient(), tol=1e-8)
        return solution.gap, game.expected_payoffs(solution.profile)[0]

    gaps, values = run(matrices, caps)
    assert gaps.max() <= 1e-8
    expected = [[capped_value(m, *pair) for m in matrices] for pair in caps]
    np.testing.assert_allclose(values, expected, atol=1e-7)


def test_projections():
    fifteenths = jnp.array([8, 4, 2, 1]) / 15
    for cap, expected in (
        (0.4, [0.4, 12 / 35, 6 / 35, 3 / 35]),
        (0.3, [0.3, 0.3, 4 / 15, 2 / 15]),
    ):
        found = sets.CappedSimplex(4, cap).mirror(jnp.log(fifteenths), regularizers.Entropy())
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    for cap, point, expected in (
        (0.4, [0.9, 0.8, 0.1, 0], [0.4, 0.4, 0.15, 0.05]),
        (0.5, [1, 0.5, 0, -0.2], [0.5, 0.5, 0, 0]),
    ):
        found = sets.CappedSimplex(4, cap).project(jnp.array(point))
        np.testing.assert_allclose(found, expected, atol=1e-15)


def test_symmetric_games():
    sigmas = jnp.array([0.4, 0.5, 0.7, 1.0])
    shapley = games.MatrixGame([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    uniform = (jnp.full(3, 1 / 3),) * 2
    gaps = jax.jit(jax.vmap(lambda s: metrics.smooth_gap(shapley, uniform, sigma=s)))(sigmas)
    np.testing.assert_allclose(gaps, 0, atol=1e-15)
    identity = games.smoothed(games.MatrixGame(np.eye(5)), sigma=0.5)
    even = (jnp.full(5, 0.2),) * 2
    np.testing.assert_allclose(metrics.nash_gap(identity, even), 0, atol=1e-15)
    np.testing.assert_allclose(identity.expected_payoffs(even), [0.2, -0.2])


def test_dominance():
    # Payoffs of the own action alone: the equilibrium is the fractional top-k vector.
    own = jnp.array([0.1, 0.9, 0.5, 0.3, 0.7])
    game = games.bimatrix(jnp.tile(own[:, None], (1, 2)), jnp.zeros((5, 2)))
    dominant = gamejax.solve(games.smoothed(game, cap=(0.4, 1)), solvers.Extragradient(), tol=1e-9)
    np.testing.assert_allclose(dominant.profile[0], [0, 0.4, 0.2, 0, 0.4], atol=1e-8)


def test_best_smooth_deviation_is_concave_and_piecewise_linear_in_the_cap():
    utility = jnp.asarray(rng.normal(size=6))
    caps = jnp.linspace(1 / 6, 1, 201)
    value = jax.jit(jax.vmap(lambda c: sets.CappedSimplex(6, c).support(utility)))(caps)
    np.testing.assert_allclose(
        value, [best_smooth(np.asarray(utility), c) for c in np.asarray(caps)]
    )
    assert np.diff(value).min() >= -1e-14
    assert np.diff(value, 2).max() <= 1e-14
    bent = np.abs(np.diff(value, 2)) > 1e-10
    assert bent.sum() <= 2 * 5  # it bends at 1/5, ..., 1/2 only


def test_value_grows_with_the_row_cap():
    matrix, caps = rng.uniform(size=(4, 5)), np.array([0.25, 0.3, 0.4, 0.7, 1.0])

    @jax.jit
    @jax.vmap
    def value(cap):
        game = games.smoothed(games.MatrixGame(matrix), cap=jnp.array([cap, 1.0]))
        return gamejax.solve(game, solvers.Extragradient(), tol=1e-8).stats["payoffs"][0]

    values = value(caps)
    assert np.diff(values).min() > 0
    np.testing.assert_allclose(values, [capped_value(matrix, c, 1.0) for c in caps], atol=1e-7)


@pytest.mark.parametrize("sigma", [0.2, 0.5])
def test_hedge_stays_within_its_radius_and_regret(sigma):
    """KL to uniform at most ln(1/sigma), regret at most sqrt(T ln(1/sigma) / 2): no n in either."""
    n, steps = 20, 400
    rate = np.sqrt(8 * np.log(1 / sigma) / steps)
    matrix = rng.integers(0, 2, (n, 6)).astype(float)
    game = games.smoothed(games.MatrixGame(matrix), sigma=(sigma, 1 / 6))
    solver = solvers.SelfPlay((learners.Hedge(rate), learners.BestResponse()))
    run = gamejax.play(game, solver, steps, record=lambda s: s.strategies[0])
    x = np.asarray(run.records)
    divergence = np.log(n) + np.sum(x * np.log(np.maximum(x, 1e-300)), 1)
    assert divergence.max() <= np.log(1 / sigma) + 1e-12
    assert x.max() <= 1 / (sigma * n) + 1e-12
    np.testing.assert_allclose(x.sum(1), 1)
    regret = run.solution.stats["regrets"][0]
    assert 0 < regret <= np.sqrt(steps * np.log(1 / sigma) / 2)
    np.testing.assert_allclose(
        game.strategy_sets[0].entropy_range(float), np.log(1 / sigma), rtol=1e-12
    )


def test_mirror_prox_rate():
    """The gap of the averages is at most (ln(1/sigma) + ln(1/sigma)) / T for payoffs in [0, 1]."""
    matrices = rng.uniform(size=(4, 50, 50))

    @jax.jit
    @jax.vmap
    def run(matrix):
        game = games.smoothed(games.MatrixGame(matrix), sigma=0.2)
        way = gamejax.play(game, solvers.MirrorProx(step_size=1.0), 1000, record=10)
        return way.gaps, metrics.nash_conv(game, way.solution.profile)

    gaps, total = run(matrices)
    # Each player's gap is at most the duality gap, which is bounded.
    assert np.all(np.asarray(gaps) <= 2 * np.log(5) / (10 * np.arange(1, 101)))
    assert np.all(total <= 2 * np.log(5) / 1000)


def test_weak_is_not_strong():
    game, nash = games.MatrixGame(np.diag([2.0, 1])), (jnp.array([1 / 3, 2 / 3]),) * 2

    @jax.jit
    @jax.vmap
    def both(cap):
        return metrics.smooth_gap(game, nash, cap=cap), metrics.cap_violation(game, nash, cap=cap)

    caps = jnp.array([[1, 1], [2 / 3, 2 / 3], [5 / 9, 5 / 9], [0.6, 0.5]])
    gaps, excess = both(caps)
    assert np.all(gaps <= 1e-15)
    np.testing.assert_allclose(excess, [0, 0, 2 / 3 - 5 / 9, 2 / 3 - 0.5], atol=1e-15)
    np.testing.assert_allclose(metrics.cap_violation(game, nash, sigma=0.9), 2 / 3 - 5 / 9)
    # A profile may beat every smooth deviation.
    best = (jnp.array([1.0, 0]),) * 2
    same = games.bimatrix(np.eye(2), np.eye(2))
    np.testing.assert_allclose(metrics.smooth_gap(same, best, cap=0.6), -0.4)


@pytest.mark.slow
def test_any_nash_solver_finds_weak_equilibria():
    game, weak = games.MatrixGame(np.diag([2.0, 1])), functools.partial(metrics.smooth_gap, cap=0.6)
    solution = gamejax.solve(game, solvers.MirrorProx(), gap=weak, tol=1e-4, check_every=1)
    assert solution.result == gamejax.RESULTS.successful
    np.testing.assert_allclose(solution.gap, weak(game, solution.profile))
    assert solution.stats["nash_gap"] > 2e-4


def test_logit_equilibria_are_weak_smooth_equilibria():
    """A logit equilibrium of temperature t has a smooth gap of at most t ln(1/sigma)."""
    a, b = rng.uniform(size=(2, 12, 12))
    game, temperature, x = games.bimatrix(a, b), 0.7, (jnp.full(12, 1 / 12),) * 2
    for _ in range(200):  # a contraction at this temperature
        x = tuple(jax.nn.softmax(u / temperature) for u in game.utilities(x))
    sigmas = jnp.array([1 / 12, 0.2, 0.5, 0.9, 1.0])
    gaps = jax.jit(jax.vmap(lambda s: metrics.smooth_gap(game, x, sigma=s)))(sigmas)
    assert np.all(gaps <= temperature * np.log(1 / sigmas) + 1e-12)
    assert metrics.cap_violation(game, x, sigma=np.exp(-1 / temperature)) == 0


def uniform_mixtures(n, k):
    """All strategies whose probabilities are multiples of 1/k."""
    combos = itertools.combinations_with_replacement(range(n), k)
    return np.array([np.bincount(c, minlength=n) / k for c in combos])


def test_exhaustive_search_finds_weak_equilibria_of_small_support():
    """The paper's deterministic solver: some profile of k-uniform strategies is nearly one."""
    a, b = rng.uniform(size=(2, 4, 4))
    game = games.bimatrix(a, b)
    best = []
    for k in (1, 4):
        mixtures = uniform_mixtures(4, k)
        pairs = np.array(list(itertools.product(range(len(mixtures)), repeat=2)))
        profiles = tuple(mixtures[pairs[:, i]] for i in (0, 1))
        gaps = jax.jit(jax.vmap(lambda *x: metrics.smooth_gap(game, x, sigma=0.5)))(*profiles)
        slow = [
            max(
                best_smooth(a @ y, 0.5) - x @ a @ y,
                best_smooth(x @ b, 0.5) - x @ b @ y,
            )
            for x, y in zip(*profiles, strict=True)
        ]
        np.testing.assert_allclose(gaps, slow, atol=1e-14)
        best.append(gaps.min())
    assert best[-1] <= 0.05
    assert best[1] <= best[0]


def sketch_program(a, b, cap, xh, yh):
    """The linear program that turns a guess of the sparse sketches into a strong equilibrium."""
    n, k = a.shape
    size = n + k + 1  # x, y, e; then l and s of each constraint on a best smooth deviation
    blocks = [
        (np.zeros((n, n)), a, -a @ yh),
        (np.zeros((n, n)), -a, a @ yh),
        (b.T, np.zeros((k, k)), -b.T @ xh),
        (-b.T, np.zeros((k, k)), b.T @ xh),
    ]
    total = size + sum(1 + len(c) for _, _, c in blocks)
    rows, limits, offset = [], [], size
    for in_x, in_y, constant in blocks:
        count = len(constant)
        spent = np.zeros(total)
        spent[offset], spent[offset + 1 : offset + 1 + count], spent[n + k] = 1, cap, -1
        rows.append(spent)
        limits.append(0)
        for i in range(count):
            row = np.zeros(total)
            row[:n], row[n : n + k] = in_x[i], in_y[i]
            row[offset], row[offset + 1 + i] = -1, -1
            rows.append(row)
            limits.append(-constant[i])
        offset += 1 + count
    for part, values in ((slice(0, n), a @ yh), (slice(n, n + k), b.T @ xh)):
        row = np.zeros(total)
        row[part], row[n + k] = -values, -1
        rows.append(row)
        limits.append(-best_smooth(values, cap))
    equal = np.zeros((2, total))
    equal[0, :n], equal[1, n : n + k] = 1, 1
    bounds = [(0, cap)] * (n + k) + [(0, None)]
    for _, _, constant in blocks:
        bounds += [(None, None)] + [(0, None)] * len(constant)
    cost = np.zeros(total)
    cost[n + k] = 1
    found = scipy.optimize.linprog(cost, np.array(rows), limits, equal, [1, 1], bounds)
    return found.x[:n], found.x[n : n + k], found.fun


def test_linear_programs_over_sketches_give_strong_equilibria():
    """Every output has a gap of at most 3e and keeps to the caps; the best is nearly exact."""
    a, b = rng.uniform(size=(2, 4, 4))
    game, mixtures = games.bimatrix(a, b), uniform_mixtures(4, 2)
    found = [sketch_program(a, b, 0.5, xh, yh) for xh, yh in itertools.product(mixtures, repeat=2)]
    xs, ys, slack = (np.array(part) for part in zip(*found, strict=True))
    gaps = jax.jit(jax.vmap(lambda *x: metrics.smooth_gap(game, x, sigma=0.5)))(xs, ys)
    assert np.all(gaps <= 3 * slack + 1e-9)
    assert np.all(gaps >= -1e-9)
    assert max(xs.max(), ys.max()) <= 0.5 + 1e-9
    assert gaps[np.argmin(slack)] <= 0.1


@pytest.mark.slow
def test_homotopy_solves_general_sum_games():
    """Strong equilibria of 3-player games, many at once, the best certified of several starts."""
    keys = jax.random.split(jax.random.key(0), 24)
    solver = solvers.MultiStart(solvers.SmoothHomotopy(num_stages=8, num_steps=30), 6)

    @jax.jit
    @jax.vmap
    def run(key, sigma):
        game = games.smoothed(games.random.general_sum(key, (5, 5, 5)), sigma=sigma)
        return gamejax.solve(game, solver, tol=1e-6, max_steps=12, check_every=3, key=key)

    sigmas = jnp.repeat(jnp.array([0.3, 0.6]), 12)
    solution = run(keys, sigmas)
    assert np.mean(solution.gap <= 1e-6) >= 0.9
    assert solution.gap.max() < 0.1
    for x in solution.profile:
        np.testing.assert_array_less(x.max(1), 1 / (5 * sigmas) + 1e-9)
    assert np.all(
        np.asarray(solution.result == gamejax.RESULTS.successful) == (solution.gap <= 1e-6)
    )


def test_homotopy_starts_uniform_and_ends_at_the_caps():
    game = games.smoothed(games.bimatrix(*rng.uniform(size=(2, 3, 4))), cap=(0.5, 0.6))
    homotopy = solvers.SmoothHomotopy(num_stages=4, num_steps=20)
    way = gamejax.play(game, homotopy, 6, record=homotopy.profile)
    for i, (n, cap) in enumerate(((3, 0.5), (4, 0.6))):
        largest = np.asarray(way.records[i]).max(1)
        caps = (n * cap) ** np.minimum(np.arange(1, 7) / 4, 1) / n
        assert np.all(largest <= caps + 1e-12)
    assert way.gaps[-1] < 1e-8
    # A start joins at the smallest caps that admit it.
    begun = [
        homotopy.init(game, key=None, dtype=float, start=start).step
        for start in (
            (jnp.full(3, 1 / 3), jnp.full(4, 1 / 4)),
            (jnp.array([0.4, 0.4, 0.2]), jnp.full(4, 1 / 4)),
            (jnp.array([0.5, 0.5, 0.0]), jnp.array([1.0, 0, 0, 0])),
        )
    ]
    assert begun == [1, 2, 4]
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        solvers.SmoothHomotopy(num_steps=0)

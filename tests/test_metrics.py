"""Gaps, regrets, welfare and rankings against tables, slow loops and linear programs."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from gamejax import metrics
from gamejax._joint import Joint, product
from gamejax.games import MatrixGame, NormalFormGame, bimatrix
from gamejax.sets import Box, CappedSimplex, Simplex

RPS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0.0]])
CHICKEN = np.array([[6, 2], [7, 0.0]])


@partial(jax.jit, static_argnums=(1, 2, 3))
def random_joints(key, batch, shape, dtype):
    """Random payoffs and joint distributions, a batch of them."""
    first, second, third = jax.random.split(key, 3)
    payoffs = jax.random.uniform(first, (batch, len(shape), *shape), dtype, -1, 1)
    weights = jax.random.exponential(second, (batch, *shape), dtype)
    weights = weights * jax.random.bernoulli(third, 0.6, (batch, *shape)).astype(dtype)
    return payoffs, weights / weights.reshape(batch, -1).sum(1).reshape(batch, 1, 1, 1)


CHICKEN_GAME = bimatrix(CHICKEN, CHICKEN.T)
SHAPLEY_1 = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]])
SHAPLEY_2 = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]])
OFF_DIAGONAL = (1 - np.eye(3)) / 6


@pytest.mark.parametrize(
    ("game", "joint", "coarse", "swap"),
    [
        (CHICKEN_GAME, np.array([[1, 1], [1, 0]]) / 3, -1 / 3, 0),
        (CHICKEN_GAME, np.full((2, 2), 0.25), 1 / 4, 1 / 4),
        (MatrixGame(RPS), OFF_DIAGONAL, 0, 1 / 2),
        (MatrixGame(RPS), np.eye(3) / 3, 0, 1),
        (bimatrix(SHAPLEY_1, SHAPLEY_2), OFF_DIAGONAL, -1 / 6, 0),
    ],
)
def test_correlated_gap_tables(game, joint, coarse, swap):
    joint = Joint(jnp.asarray(joint))
    np.testing.assert_allclose(metrics.coarse_correlated_gains(game, joint), coarse, atol=1e-15)
    np.testing.assert_allclose(metrics.correlated_gains(game, joint), swap, atol=1e-15)
    assert metrics.coarse_correlated_gap(game, joint) == pytest.approx(coarse, abs=1e-15)
    assert metrics.correlated_gap(game, joint) == pytest.approx(swap, abs=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
def test_correlated_gaps_against_loops(dtype):
    shape = (3, 2, 4)
    payoffs, weights = random_joints(jax.random.key(0), 200, shape, dtype)

    @jax.jit
    @jax.vmap
    def measure(payoff, weight):
        game, joint = NormalFormGame(payoff), Joint(weight)
        return (
            metrics.coarse_correlated_gains(game, joint),
            metrics.correlated_gains(game, joint),
            metrics.internal_gains(game, joint),
            metrics.welfare(game, joint),
        )

    coarse, swap, internal, total = measure(payoffs, weights)
    assert {coarse.dtype, swap.dtype, internal.dtype, total.dtype} == {jnp.dtype(dtype)}
    tol = 1e-5 if dtype == jnp.float32 else 1e-12
    counts = np.array(shape)
    coarse, swap, internal = (np.asarray(gains, float) for gains in (coarse, swap, internal))
    assert (swap >= np.maximum(coarse, 0) - tol).all()
    assert (internal <= swap + tol).all()
    assert (swap <= counts * internal + tol).all()
    for b in range(0, 200, 20):
        u, mu = np.asarray(payoffs[b], float), np.asarray(weights[b], float)
        assert total[b] == pytest.approx((mu * u).sum(), abs=tol)
        for i, n in enumerate(shape):
            table = np.zeros((n, n))
            for actions in np.ndindex(shape):
                for other in range(n):
                    deviation = (*actions[:i], other, *actions[i + 1 :])
                    table[actions[i], other] += mu[actions] * u[(i, *deviation)]
            own = np.diag(table)
            assert coarse[b, i] == pytest.approx(table.sum(0).max() - own.sum(), abs=tol)
            assert swap[b, i] == pytest.approx((table.max(1) - own).sum(), abs=tol)
            assert internal[b, i] == pytest.approx((table.max(1) - own).max(), abs=tol)


def test_profiles_are_their_products():
    key = jax.random.key(1)
    payoffs = jax.random.normal(key, (3, 3, 2, 4))
    game = NormalFormGame(payoffs)
    profile = tuple(
        jax.random.dirichlet(jax.random.fold_in(key, n), jnp.ones(n)) for n in (3, 2, 4)
    )
    joint = Joint(product(profile))

    @eqx.filter_jit
    def measure(game, profile):
        return (
            metrics.coarse_correlated_gains(game, profile),
            metrics.correlated_gains(game, profile),
            metrics.internal_gains(game, profile),
            metrics.coarse_correlated_gains(game, profile, temperature=0.3),
            metrics.correlated_gains(game, profile, temperature=0.3),
        )

    for apart, together in zip(measure(game, profile), measure(game, joint), strict=True):
        np.testing.assert_allclose(apart, together, atol=1e-14)
    np.testing.assert_allclose(
        metrics.correlated_gains(game, profile), metrics.gains(game, profile), atol=1e-14
    )
    with pytest.raises(TypeError, match="coarse_correlated_gap"):
        metrics.nash_gap(game, joint)


def test_masked_actions_do_not_count():
    u = np.array(jax.random.uniform(jax.random.key(2), (2, 3, 4), minval=-2.0, maxval=-1.0))
    small = NormalFormGame(u)
    padded = np.full((2, 5, 6), 7.0)
    padded[:, :3, :4] = u
    masks = jnp.arange(5) < 3, jnp.arange(6) < 4
    large = NormalFormGame(padded, [Simplex(5, masks[0]), Simplex(6, masks[1])])
    weights = np.array(jax.random.dirichlet(jax.random.key(3), jnp.ones(12)).reshape(3, 4))
    joint, wide = Joint(jnp.asarray(weights)), Joint(jnp.asarray(np.pad(weights, ((0, 2), (0, 2)))))

    @eqx.filter_jit
    def measure(game, joint):
        profile = joint.marginals
        numbers = (
            metrics.coarse_correlated_gains(game, joint),
            metrics.correlated_gains(game, joint),
            metrics.internal_gains(game, joint),
            metrics.correlated_gains(game, joint, temperature=0.1),
            metrics.gains(game, profile),
            metrics.well_supported_gains(game, profile),
            metrics.internal_gains(game, profile),
            metrics.price_of_anarchy(game, [profile, joint]),
        )
        zero_sum = MatrixGame(game.payoffs[0], game.strategy_sets)
        return numbers, metrics.alpha_rank(game), metrics.nash_averaging(zero_sum).profile

    numbers, ranks, profile = measure(small, joint)
    wide_numbers, wide_ranks, wide_profile = measure(large, wide)
    for number, other in zip(numbers, wide_numbers, strict=True):
        np.testing.assert_allclose(other, number, atol=1e-14)
    np.testing.assert_allclose(wide_ranks[:3, :4], ranks, atol=1e-14)
    assert wide_ranks.sum() == pytest.approx(1)
    assert wide_ranks[3:].max() == 0
    for x, z, n in zip(profile, wide_profile, (3, 4), strict=True):
        np.testing.assert_allclose(z[:n], x, atol=1e-9)
        assert (z[n:] == 0).all()


def test_constant_games_have_no_gap():
    game = NormalFormGame(jnp.full((2, 3, 2), 4.0))
    profile = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.3, 0.7])
    joint = Joint(product(profile))
    for of in (metrics.nash_gap, metrics.nash_conv, metrics.well_supported_gap):
        assert of(game, profile) == pytest.approx(0, abs=1e-14)
    for of in (metrics.coarse_correlated_gap, metrics.correlated_gap, metrics.internal_gap):
        assert of(game, joint) == pytest.approx(0, abs=1e-14)
    assert metrics.first_order_gap(game, profile) == pytest.approx(0, abs=1e-7)


def test_capped_sets_give_smooth_gaps():
    payoff = np.array([[2, -1, 0.5], [-1, 1, 0], [0, 3, -2.0]])
    cap = 0.4
    game = MatrixGame(payoff, [CappedSimplex(3, cap), CappedSimplex(3, cap)])
    weights = np.array([[0.1, 0.2, 0.0], [0.0, 0.3, 0.1], [0.1, 0.1, 0.1]])
    rows = payoff @ weights.sum(0)  # a deviation of the first player meets the others' marginal
    best = cap * np.sort(rows)[2] + cap * np.sort(rows)[1] + (1 - 2 * cap) * np.sort(rows)[0]
    joint = Joint(jnp.asarray(weights))
    found = metrics.coarse_correlated_gains(game, joint)
    assert found[0] == pytest.approx(best - (weights * payoff).sum())
    swap = 0.0
    for a in range(3):
        given = np.sort(payoff @ weights[a])
        swap += given @ [1 - 2 * cap, cap, cap] - payoff[a] @ weights[a]
    assert metrics.correlated_gains(game, joint)[0] == pytest.approx(swap)
    # At the cap the best action is no reason to move, below it every better action is.
    profile = jnp.array([0.4, 0.4, 0.2]), jnp.array([0.2, 0.4, 0.4])
    utility = payoff @ np.array(profile[1])
    assert metrics.well_supported_gains(game, profile)[0] == pytest.approx(
        max(utility[2] - utility.min(), 0)
    )


def test_matching_pennies_table_and_well_supported_gap():
    game = MatrixGame(np.array([[2, -1], [-1, 1.0]]))
    uniform = jnp.array([0.5, 0.5])
    assert metrics.nash_gap(game, (uniform, uniform)) == pytest.approx(0.25)
    assert metrics.nash_conv(game, (uniform, uniform)) == pytest.approx(0.5)
    assert metrics.exploitability(game, (uniform, uniform)) == pytest.approx(0.25)
    # u_1 = A y, u_2 = -A'x: the spread over played actions.
    profile = jnp.array([1.0, 0.0]), jnp.array([0.9, 0.1])
    np.testing.assert_allclose(metrics.well_supported_gains(game, profile), [0, 3], atol=1e-15)
    with pytest.raises(TypeError, match="Box"):
        metrics.well_supported_gap(
            MatrixGame(np.eye(2), [Simplex(2), Box(0.0, 1.0, 2)]), (uniform, uniform)
        )


def test_first_order_gap_is_the_projected_step():
    game = MatrixGame(RPS)
    uniform = jnp.full(3, 1 / 3)
    assert metrics.first_order_gap(game, (uniform, uniform)) == pytest.approx(0, abs=1e-12)
    corner = jnp.array([1.0, 0.0, 0.0])
    # Facing rock, u = (0, 1, -1): (1, 1, -1) projects to (1/2, 1/2, 0).
    assert metrics.first_order_gap(game, (corner, corner)) == pytest.approx(np.sqrt(0.5))
    gradient = jax.grad(lambda x: metrics.first_order_gap(game, (x, uniform)))(uniform)
    assert jnp.isfinite(gradient).all()


@pytest.mark.slow
def test_temperature_bounds_and_gradients():
    payoffs, weights = random_joints(jax.random.key(4), 50, (3, 2, 4), jnp.float64)
    tau = 0.05

    def measure(payoff, weight, temperature):
        game, joint = NormalFormGame(payoff), Joint(weight)
        gains = [metrics.gains(game, joint.marginals, temperature=temperature)]
        gains += [metrics.coarse_correlated_gains(game, joint, temperature=temperature)]
        return jnp.stack([*gains, metrics.correlated_gains(game, joint, temperature=temperature)])

    many = jax.jit(jax.vmap(measure, (0, 0, None)))
    exact, smooth = (np.asarray(many(payoffs, weights, t)) for t in (None, tau))
    assert (smooth >= exact - 1e-12).all()
    assert (smooth <= exact + tau * np.log([3, 2, 4]) + 1e-12).all()

    @jax.jit
    def total(weight):
        return measure(payoffs[0], weight, 0.5).sum()

    direction = jax.random.normal(jax.random.key(5), weights[0].shape) * weights[0]
    step = 1e-6 * direction
    slope = (total(weights[0] + step) - total(weights[0] - step)) / 2e-6
    gradient = jax.grad(total)(weights[0])
    assert jnp.vdot(gradient, direction) == pytest.approx(float(slope), rel=1e-6)


def test_regrets_against_loops():
    key = jax.random.key(6)
    strategies = jax.random.dirichlet(key, jnp.ones(4), (2, 3, 30))
    utilities = jax.random.normal(jax.random.fold_in(key, 1), (2, 3, 30, 4))

    @eqx.filter_jit
    def measure(strategy_set):
        return (
            metrics.external_regret(strategies, utilities, strategy_set),
            metrics.swap_regret(strategies, utilities, strategy_set),
            metrics.internal_regret(strategies, utilities, strategy_set),
        )

    external, swap, internal = measure(None)
    assert external.shape == swap.shape == internal.shape == (2, 3)
    for index in np.ndindex(2, 3):
        x, u = np.asarray(strategies[index]), np.asarray(utilities[index])
        earned = sum(x[t] @ u[t] for t in range(30))
        assert external[index] == pytest.approx(
            max(sum(u[t, a] for t in range(30)) for a in range(4)) - earned
        )
        pairs = [
            [sum(x[t, a] * (u[t, b] - u[t, a]) for t in range(30)) for b in range(4)]
            for a in range(4)
        ]
        assert swap[index] == pytest.approx(sum(max(row) for row in pairs))
        assert internal[index] == pytest.approx(max(max(row) for row in pairs))
        direct = metrics.regret(Simplex(4), utilities[index].sum(0), jnp.asarray(earned))
        assert direct == pytest.approx(float(external[index]))
    masked = Simplex(4, jnp.array([True, True, False, True]))
    expected = np.delete(np.asarray(utilities.sum(-2)), 2, -1).max(-1)
    earned = np.asarray((strategies * utilities).sum((-1, -2)))
    masked_external, masked_swap, _ = measure(masked)
    np.testing.assert_allclose(masked_external, expected - earned, atol=1e-12)
    assert (masked_swap <= swap + 1e-12).all()
    with pytest.raises(ValueError, match="one shape"):
        metrics.external_regret(strategies, utilities[0])
    with pytest.raises(ValueError, match="strategy_set"):
        metrics.swap_regret(strategies, utilities, Simplex(3))


def test_swap_regret_of_play_is_the_gap_of_its_joint():
    key = jax.random.key(7)
    payoffs = jax.random.normal(key, (2, 3, 4))
    x = jax.random.dirichlet(jax.random.fold_in(key, 1), jnp.ones(3), (20,))
    y = jax.random.dirichlet(jax.random.fold_in(key, 2), jnp.ones(4), (20,))

    @jax.jit
    def measure(payoffs, x, y):
        game = NormalFormGame(payoffs)
        u, v = jax.vmap(lambda a, b: game.utilities((a, b)))(x, y)
        joint = Joint(jnp.einsum("ta,tb->ab", x, y) / 20)
        of_play = [
            jnp.stack([of(x, u), of(y, v)]) / 20
            for of in (metrics.external_regret, metrics.swap_regret, metrics.internal_regret)
        ]
        return of_play, [
            metrics.coarse_correlated_gains(game, joint),
            metrics.correlated_gains(game, joint),
            metrics.internal_gains(game, joint),
        ]

    for regret, gap in zip(*measure(payoffs, x, y), strict=True):
        np.testing.assert_allclose(regret, gap, atol=1e-13)


def test_welfare_and_price_of_anarchy():
    # Prisoners' dilemma with positive payoffs: optimum 3 + 3, equilibrium 1 + 1.
    dilemma = np.array([[3, 0], [4, 1.0]])
    game = bimatrix(dilemma, dilemma.T)
    defect = jnp.array([0.0, 1.0])
    assert metrics.welfare(game, (defect, defect)) == 2
    assert metrics.price_of_anarchy(game, [(defect, defect)]) == 3
    stacked = (jnp.stack([defect, 1 - defect]), jnp.stack([defect, 1 - defect]))
    assert metrics.price_of_anarchy(game, stacked) == 3
    assert metrics.price_of_anarchy(game, [Joint(jnp.eye(2) / 2)], optimum=8.0) == 2
    # The same as costs: optimal cost 2, equilibrium cost 6.
    costs = bimatrix(-np.array([[1, 4], [0, 3.0]]), -np.array([[1, 0], [4, 3.0]]))
    assert metrics.price_of_anarchy(costs, [(defect, defect)]) == 3
    with pytest.raises(TypeError, match="profiles"):
        metrics.price_of_anarchy(game, (defect, defect))
    zero = bimatrix(np.zeros((2, 2)), np.zeros((2, 2)))
    assert metrics.price_of_anarchy(zero, [(defect, defect)]) == 1
    mixed = bimatrix(np.diag([1.0, -1.0]), np.zeros((2, 2)))
    assert metrics.price_of_anarchy(mixed, [(defect, defect)]) == np.inf


def test_kl():
    p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.5, 0.25])
    assert metrics.kl(p, q) == pytest.approx(0.5 * np.log(2))
    assert metrics.kl(q, p) == np.inf
    assert metrics.kl(p, p) == 0
    gradients = jax.grad(metrics.kl, (0, 1))(p, q)
    assert all(jnp.isfinite(g).all() for g in gradients)
    assert metrics.kl(jnp.stack([p, q]), jnp.stack([q, q])).shape == (2,)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_alpha_rank_of_one_population(dtype):
    rank = eqx.filter_jit(partial(metrics.alpha_rank, symmetric=True))
    rps = MatrixGame(jnp.asarray(RPS, dtype))
    for selection in (0.1, 1e4):
        shares = rank(rps, selection=jnp.asarray(selection, dtype))
        np.testing.assert_allclose(shares, 1 / 3, atol=1e-6)
        assert shares.dtype == dtype
    biased = jnp.asarray([[0, -0.5, 1], [0.5, 0, -0.1], [-1, 0.1, 0]], dtype)
    shares = rank(MatrixGame(biased), selection=jnp.asarray(1e3, dtype))
    np.testing.assert_allclose(shares, 1 / 3, atol=1e-5)
    # Han et al. (2013), the published test of this ranking: one population of 20, global selection.
    payoff = np.array(
        [
            [0.875, 0.75, 0, 2.75, 0.75],
            [1, 1, -1, -1, -1],
            [0, 2, 0, 0, 0],
            [-2, 2, 0, 0, 0],
            [1, 2, 0, 0, 0],
        ]
    )
    game = bimatrix(jnp.asarray(payoff, dtype), jnp.asarray(payoff.T, dtype))
    shares = rank(game, selection=0.1, population_size=20, local=False)
    expected = [0.40966787, 0.07959841, 0.20506998, 0.08505983, 0.2206039]
    np.testing.assert_allclose(shares, expected, atol=1e-5 if dtype == jnp.float32 else 1e-8)


def test_alpha_rank_of_populations_against_the_dense_chain():
    payoffs = np.array(jax.random.uniform(jax.random.key(8), (3, 2, 3, 2), minval=-1, maxval=1))
    payoffs[0, 1] = payoffs[0, 0]  # ties: fixation probability 1 / m
    alpha, size, shape = 0.7, 6, (2, 3, 2)
    states = list(np.ndindex(shape))
    chain = np.zeros((12, 12))
    for s, a in enumerate(states):
        for r, b in enumerate(states):
            moved = [i for i in range(3) if a[i] != b[i]]
            if len(moved) == 1:
                d = alpha * (payoffs[(moved[0], *b)] - payoffs[(moved[0], *a)])
                rho = 1 / size if d == 0 else (1 - np.exp(-d)) / (1 - np.exp(-size * d))
                chain[s, r] = rho / 4
        chain[s, s] = 1 - chain[s].sum()
    values, vectors = np.linalg.eig(chain.T)
    expected = np.real(vectors[:, np.argmin(abs(values - 1))])
    expected = (expected / expected.sum()).reshape(shape)

    @jax.jit
    def rank(payoffs, selection):
        return metrics.alpha_rank(
            NormalFormGame(payoffs), selection=selection, population_size=size
        )

    np.testing.assert_allclose(rank(payoffs, alpha), expected, atol=1e-12)
    extreme = rank(jnp.asarray(payoffs), 1e6)
    assert jnp.isfinite(extreme).all()
    assert extreme.sum() == pytest.approx(1)
    slope = jax.jit(jax.grad(lambda a: rank(payoffs, a)[0, 0, 0]))(alpha)
    high, low = rank(payoffs, alpha + 1e-5), rank(payoffs, alpha - 1e-5)
    assert slope == pytest.approx(float((high - low)[0, 0, 0]) / 2e-5, rel=1e-5)
    with pytest.raises(ValueError, match="symmetric"):
        metrics.alpha_rank(NormalFormGame(payoffs), symmetric=True)
    with pytest.raises(ValueError, match="population_size"):
        metrics.alpha_rank(NormalFormGame(payoffs), population_size=1)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_nash_averaging_examples(dtype):
    tol = 1e-5 if dtype == jnp.float32 else 1e-9

    solve = eqx.filter_jit(metrics.nash_averaging)

    def average(payoff):
        result = solve(MatrixGame(jnp.asarray(payoff, dtype)))
        assert result.profile[0].dtype == dtype
        return result

    cyclic = average(RPS)
    np.testing.assert_allclose(cyclic.profile[0], 1 / 3, atol=tol)
    np.testing.assert_allclose(cyclic.ratings[0], 0, atol=tol)
    transitive = average(np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0.0]]))
    np.testing.assert_allclose(transitive.profile[0], [1, 0, 0], atol=tol)
    np.testing.assert_allclose(transitive.ratings[0], [0, -1, -2], atol=tol)
    np.testing.assert_allclose(average(np.zeros((4, 4))).profile[0], 1 / 4, atol=tol)
    # A redundant copy of rock shares its probability and changes no rating.
    copy = [0, 0, 1, 2]
    redundant = average(RPS[np.ix_(copy, copy)])
    np.testing.assert_allclose(redundant.profile[0], np.array([1, 1, 2, 2]) / 6, atol=tol)
    np.testing.assert_allclose(redundant.ratings[0], 0, atol=tol)


def test_nash_averaging_maximises_entropy():
    payoffs = np.array(jax.random.randint(jax.random.key(9), (40, 4, 6), -1, 2), float)
    average = jax.jit(jax.vmap(lambda a: metrics.nash_averaging(MatrixGame(a))))
    rows, columns = average(jnp.asarray(payoffs)).profile
    for matrix, x, y in zip(payoffs, np.asarray(rows), np.asarray(columns), strict=True):
        value = x @ matrix @ y
        assert (matrix @ y).max() - (x @ matrix).min() < 1e-9
        for p, table, v in ((x, matrix, value), (y, -matrix.T, -value)):
            # The optimum of a concave function over the face: no point of the face lies uphill.
            slope = np.where(p > 0, np.log(np.maximum(p, 1e-300)), -40)
            best = linprog(
                slope,
                A_ub=-table.T,
                b_ub=np.full(table.shape[1], 1e-11 - v),
                A_eq=np.ones((1, len(p))),
                b_eq=[1],
            )
            assert best.status == 0
            assert p[p > 0] @ slope[p > 0] - best.fun < 1e-6

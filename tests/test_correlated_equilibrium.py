"""Best correlated equilibria: closed forms, linear programs, known totals, gradients."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gamejax
from gamejax import RESULTS, games, metrics, solvers
from gamejax.sets import CappedSimplex
from tests.test_game_files import needs_shared, reference
from tests.test_reference_solutions import deviation_rows, samples

CHICKEN = np.array([[[0.0, 7.0], [2.0, 6.0]], [[0.0, 2.0], [7.0, 6.0]]])
BATTLE = np.array([[[3.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 3.0]]])
PRISONERS = np.array([[[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]]])
CYCLE = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@cache
def runner(objective, coarse):
    """One program for a batch of games, compiled once per kind of solver and shape."""
    solver = solvers.CorrelatedEquilibrium(objective, coarse)
    return jax.jit(jax.vmap(lambda game, tol: gamejax.solve(game, solver, tol=tol)))


def run(payoffs, objective, coarse, tol=1e-9):
    """The solutions of a list of payoff tensors, padded to one shape, and their profiles."""
    stacked = games.pad_games([games.NormalFormGame(p) for p in payoffs])
    scales = np.array([max(np.ptp(p), 1e-12) for p in payoffs])
    solutions = jax.device_get(runner(objective, coarse)(stacked, jnp.asarray(tol * scales)))
    joints = []
    for k, p in enumerate(payoffs):
        full = solutions.profile.probabilities[k]
        inside = full[tuple(slice(n) for n in p.shape[1:])]
        assert inside.sum() == pytest.approx(1, abs=1e-12)
        assert (full >= 0).all()
        outside = full.copy()
        outside[tuple(slice(n) for n in p.shape[1:])] = 0
        assert (outside == 0).all()
        joints.append(inside)
    return solutions, joints, scales


def worst_gain(payoffs, joint, coarse):
    """The certificate, in NumPy, from its definition."""
    worst = -np.inf
    for player, own in enumerate(payoffs):
        table = np.moveaxis(own, player, 0).reshape(own.shape[player], -1)
        weights = np.moveaxis(joint, player, 0).reshape(own.shape[player], -1)
        G = weights @ table.T
        best = G.sum(0).max() if coarse else G.max(1).sum()
        worst = max(worst, best - np.trace(G))
    return worst


def linear_program(payoffs, objective, coarse):
    """The optimum by HiGHS."""
    scale = max(np.ptp(payoffs), 1e-12)
    rows = np.array([*deviation_rows(payoffs / scale, "cce" if coarse else "ce")])
    size = payoffs[0].size
    total = payoffs.sum(0).ravel()
    if objective == "max_min":
        cost = np.append(np.zeros(size), -1.0)
        floors = np.column_stack([-payoffs.reshape(len(payoffs), -1), np.ones(len(payoffs))])
        rows = np.vstack([np.column_stack([rows, np.zeros(len(rows))]), floors])
    else:
        cost = total if objective == "min_welfare" else -total
    equality = np.append(np.ones(size), np.zeros(len(cost) - size))[None]
    free = [(0, None)] * size + [(None, None)] * (len(cost) - size)
    program = scipy.optimize.linprog(
        cost, rows, np.zeros(len(rows)), equality, [1.0], free, method="highs"
    )
    assert program.status == 0
    return program.fun if objective == "min_welfare" else -program.fun


def random_payoffs(shape, count, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [rng.uniform(-1, 1, (len(shape), *shape)) for _ in range(count)]
    drawn[0] = np.round(2 * drawn[0])  # ties
    drawn[1][1] = -drawn[1][0] if len(shape) == 2 else drawn[1][1]  # zero-sum: no interior
    drawn[2][:, -1] = drawn[2][:, 0]  # copies of an action
    drawn[3] = np.zeros_like(drawn[3])  # everything is an equilibrium
    return drawn


CLOSED = {
    # Aumann's mediator for chicken; the equations of the two binding constraints.
    ("chicken", "welfare"): ([[0, 1 / 4], [1 / 4, 1 / 2]], 10.5),
    ("chicken", "min_welfare"): ([[0.2, 0.4], [0.4, 0]], 7.2),
    ("chicken", "max_min"): ([[0, 1 / 4], [1 / 4, 1 / 2]], 5.25),
    # A fair coin decides who gets the favorite.
    ("battle", "max_min"): ([[1 / 2, 0], [0, 1 / 2]], 2.5),
    # The mixed equilibrium (3/5, 2/5) x (2/5, 3/5) wastes most.
    ("battle", "min_welfare"): ([[0.24, 0.36], [0.16, 0.24]], 2.4),
}


def batch(shape):
    """Closed forms first (two players), then random and degenerate games and one to be padded."""
    payoffs = random_payoffs(shape, 12)
    payoffs.append(payoffs[4][(slice(None), *[slice(2)] * len(shape))])
    return [CHICKEN, BATTLE, PRISONERS, *payoffs] if len(shape) == 2 else payoffs


@cache
def solved(objective, coarse, shape):
    return run(batch(shape), objective, coarse)


def check(objective, coarse, shape):
    """Certificates, bounds and optima of a batch, against NumPy and HiGHS."""
    solutions, joints, scales = solved(objective, coarse, shape)
    assert (solutions.result == RESULTS.successful).all()
    assert (solutions.stats["iterations"] <= 80).all()
    for k, p in enumerate(batch(shape)):
        gain = worst_gain(p, joints[k], coarse)
        assert gain <= 1e-9 * scales[k]
        assert abs(gain - solutions.gap[k]) <= 1e-12
        value, bound = solutions.stats["objective"][k], solutions.stats["dual_bound"][k]
        if objective != "entropy":
            assert abs(value - bound) <= 1e-8 * scales[k]
            assert abs(value - linear_program(p, objective, coarse)) <= 1e-8 * scales[k]
        else:
            positive = joints[k][joints[k] > 0]
            assert abs(value + (positive * np.log(positive)).sum()) <= 1e-12
            # The incentives are relaxed by 1e-11, which multipliers of up to 1e4 price.
            assert abs(value - bound) <= 1e-6


@pytest.mark.parametrize("objective", ["welfare", slow("min_welfare"), slow("max_min"), "entropy"])
def test_two_players(objective):
    check(objective, False, (3, 4))
    solutions, joints, _ = solved(objective, False, (3, 4))
    for k, name in enumerate(("chicken", "battle")):
        if (name, objective) in CLOSED:
            joint, value = CLOSED[name, objective]
            np.testing.assert_allclose(joints[k], joint, atol=1e-8)
            np.testing.assert_allclose(solutions.stats["objective"][k], value, atol=1e-9)
            np.testing.assert_allclose(solutions.stats["dual_bound"][k], value, atol=1e-8)
    if objective == "welfare":
        # Any mixture of the two pure equilibria of the battle is best.
        np.testing.assert_allclose(solutions.stats["objective"][1], 5, atol=1e-9)
        assert joints[1][0, 1] + joints[1][1, 0] <= 1e-9
    # The only correlated equilibrium of the prisoners' dilemma.
    np.testing.assert_allclose(joints[2], [[0, 0], [0, 1]], atol=1e-9)


@pytest.mark.parametrize(("objective", "shape"), [("max_min", (2, 3, 2)), slow("welfare", (3, 4))])
def test_coarse(objective, shape):
    check(objective, True, shape)


@pytest.mark.slow
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2), (1, 3), (2, 2, 2, 2)])
@pytest.mark.parametrize("objective", ["welfare", "min_welfare", "max_min", "entropy"])
def test_every_objective(objective, shape, coarse):
    check(objective, coarse, shape)


def test_the_most_even_equilibrium_of_chicken():
    solutions, joints, _ = solved("entropy", False, (3, 4))
    # More even than the mixture of the best and the worst one, less than the uniform distribution.
    mixed = np.array([[0.1, 0.325], [0.325, 0.25]])
    assert worst_gain(CHICKEN, mixed, coarse=False) <= 1e-12
    assert -(mixed * np.log(mixed)).sum() < solutions.stats["objective"][0] < np.log(4)
    # Its optimality conditions: the logarithm, less a constant, is priced by what binds.
    rows = np.array([*deviation_rows(CHICKEN, "ce")])
    basis = np.vstack([rows[rows @ joints[0].ravel() > -1e-7], np.ones(4)])
    prices = np.linalg.lstsq(basis.T, np.log(joints[0].ravel()), rcond=None)[0]
    np.testing.assert_allclose(basis.T @ prices, np.log(joints[0].ravel()), atol=1e-7)
    assert (prices[:-1] <= 0).all()


def test_one_zero_sum_game_alone_in_float32_and_float64():
    # Rock-paper-scissors has one correlated equilibrium; coarse ones are many, all of value 0.
    for dtype, objective in ((jnp.float64, "max_min"), (jnp.float32, "welfare")):
        tol = float(jnp.finfo(dtype).eps) ** 0.6
        game = games.MatrixGame(jnp.asarray(CYCLE, dtype))
        solution = gamejax.solve(game, solvers.CorrelatedEquilibrium(objective), tol=tol)
        assert solution.result == RESULTS.successful
        assert solution.profile.probabilities.dtype == dtype
        assert solution.gap.dtype == dtype
        np.testing.assert_allclose(solution.profile.probabilities, 1 / 9, atol=tol)
        np.testing.assert_allclose(solution.stats["objective"], 0, atol=tol)


def test_float32_keeps_four_digits_of_entropy_wherever_payoffs_lie():
    draws = jax.random.uniform(jax.random.key(0), (16, 2, 6, 6), jnp.float64, -1, 1)
    for coarse in (False, True):
        for offset in (0, 1000):
            payoffs = (draws + offset).astype(jnp.float32)
            stacked = jax.vmap(games.NormalFormGame)(payoffs)
            solutions = runner("entropy", coarse)(stacked, jnp.full(16, 2e-4, jnp.float32))
            measure = metrics.coarse_correlated_gap if coarse else metrics.correlated_gap
            exact = jax.vmap(games.NormalFormGame)(payoffs.astype(jnp.float64))
            joints = gamejax.Joint(solutions.profile.probabilities.astype(jnp.float64))
            gaps = jax.jit(jax.vmap(measure))(exact, joints)
            assert (gaps < 1e-4).all()
            if not offset:
                assert (solutions.result == RESULTS.successful).all()


@pytest.mark.slow
def test_optimality_is_not_given_up_for_an_early_equilibrium():
    # Every joint distribution is a correlated equilibrium; the certificate is 0 from the start.
    payoffs = np.zeros((2, 2, 2))
    payoffs[0] = [[1.0, 2.0], [1.0, 2.0]]  # what the column player does to the row player
    solutions, _, _ = run([payoffs, CHICKEN, *batch((3, 4))[2:]], "welfare", True, tol=1.0)
    assert solutions.stats["objective"][0] == pytest.approx(2, abs=1e-9)
    loose = solvers.CorrelatedEquilibrium("welfare", True, accuracy=1e-2)
    solution = gamejax.solve(games.NormalFormGame(CHICKEN), loose, tol=1.0)
    assert solution.stats["iterations"] < solutions.stats["iterations"][1]
    assert abs(solution.stats["objective"] - 10.5) <= 0.2
    first = gamejax.solve(games.NormalFormGame(CHICKEN), loose, tol=1.0, max_steps=2)
    assert first.result == RESULTS.max_steps_reached
    again = gamejax.solve(games.NormalFormGame(CHICKEN), loose, tol=1.0, init=first)
    assert again.stats["iterations"] == solution.stats["iterations"]
    np.testing.assert_array_equal(again.profile.probabilities, solution.profile.probabilities)


@pytest.mark.parametrize("objective", [slow("max_min"), slow("entropy")])
def test_objective_has_the_gradient_of_the_envelope(objective):
    payoffs = random_payoffs((2, 3, 2), 6, seed=3)[4:]

    def value(p, objective):
        solver = solvers.CorrelatedEquilibrium(objective)
        return gamejax.solve(games.NormalFormGame(p), solver, tol=1e-9).stats["objective"]

    slope = jax.jit(jax.vmap(jax.value_and_grad(value), (0, None)), static_argnums=1)
    rng = np.random.default_rng(1)
    direction = rng.normal(size=payoffs[0].shape)
    step = 1e-5
    moved = [p + s * step * direction for p in payoffs for s in (0, 1, -1)]
    values, slopes = slope(jnp.asarray(np.stack(moved)), objective)
    values = np.asarray(values).reshape(-1, 3)
    for k in range(len(payoffs)):
        along = float((slopes[3 * k] * direction).sum())
        expected = (values[k, 1] - values[k, 2]) / (2 * step)
        assert along == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("objective", [slow("welfare"), "entropy"])
def test_implicit_gradient_of_the_distribution(objective):
    payoffs = jnp.asarray(CHICKEN)
    rng = np.random.default_rng(2)
    direction, weight = (
        jnp.asarray(rng.normal(size=(2, 2, 2))),
        jnp.asarray(rng.normal(size=(2, 2))),
    )

    @jax.jit
    def both(step):
        def read(s):
            solver = solvers.CorrelatedEquilibrium(objective)
            game = games.NormalFormGame(payoffs + s * direction)
            solution = gamejax.solve(game, solver, tol=1e-9, adjoint=gamejax.Implicit())
            return (weight * solution.profile.probabilities).sum()

        return jax.value_and_grad(read)(step)

    values = [float(both(jnp.asarray(s))[0]) for s in (1e-5, -1e-5)]
    slope = float(both(jnp.asarray(0.0))[1])
    assert slope == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-4)
    assert abs(slope) > 1e-3


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="objective must be one of"):
        solvers.CorrelatedEquilibrium("fairness")
    game = games.NormalFormGame(CHICKEN)
    center = tuple(s.center(jnp.float64) for s in game.strategy_sets)
    with pytest.raises(ValueError, match="init must be None or a Solution"):
        gamejax.solve(game, solvers.CorrelatedEquilibrium(), init=center)
    capped = games.NormalFormGame(CHICKEN, [CappedSimplex(2, 0.8)] * 2)
    with pytest.raises(TypeError, match="Simplex"):
        gamejax.solve(capped, solvers.CorrelatedEquilibrium())


def check_totals(group, notion):
    """The known smallest and largest totals of Gambit's games, to 1e-5 of the payoff range."""
    known = [(name, p) for name, p in group if notion in reference()[name]]
    if not known:
        return
    for objective, entry in (("welfare", "max_total"), ("min_welfare", "min_total")):
        coarse = notion == "cce"
        solutions, joints, scales = run([p for _, p in known], objective, coarse)
        for k, (name, p) in enumerate(known):
            assert worst_gain(p, joints[k], coarse) <= 1e-9 * scales[k], name
            expected = reference()[name][notion][entry]
            assert abs(solutions.stats["objective"][k] - expected) <= 1e-5 * scales[k], name
            assert abs((joints[k] * p).sum() - expected) <= 1e-5 * scales[k], name


def buckets():
    """Sample games of a like size together."""
    groups = {}
    for num_players, group in samples().items():
        for name, p in group:
            size = int(np.ceil(np.log2(max(p.shape[1:])) / 2))
            groups.setdefault((num_players, size), []).append((name, p))
    return groups


@needs_shared
@pytest.mark.slow
def test_known_totals_of_small_games():
    check_totals(buckets()[2, 1], "ce")


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("notion", ["ce", "cce"])
def test_known_totals_of_every_game(notion):
    for group in buckets().values():
        check_totals(group, notion)


def test_the_certificate_is_the_metric():
    game = games.NormalFormGame(CHICKEN)
    joint = gamejax.solve(game, solvers.CorrelatedEquilibrium(), tol=1e-9).profile
    for coarse, metric in ((False, metrics.correlated_gap), (True, metrics.coarse_correlated_gap)):
        solver = solvers.CorrelatedEquilibrium(coarse=coarse)
        assert solver.certificate(game, joint) == metric(game, joint)

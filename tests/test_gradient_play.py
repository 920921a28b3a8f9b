"""Gradient methods for smooth games: closed forms, dense Jacobians, known fates."""

import functools

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest

import gamejax
from gamejax import metrics
from gamejax.games import ContinuousGame, library
from gamejax.learners import GradientAscent
from gamejax.sets import Ball, Unconstrained
from gamejax.solvers import (
    LOLA,
    CompetitiveGradient,
    ConsensusOptimization,
    Extragradient,
    Last,
    OptimisticGradient,
    SelfPlay,
    StackelbergGradient,
    SymplecticGradientAdjustment,
)

ETA = 0.2
EXACT = lx.LU()


def ascent(rate, *, alternating=False):
    return SelfPlay(GradientAscent(optax.sgd(rate)), averaging=Last(), alternating=alternating)


def length(profile):
    return float(np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(profile))))


def end(game, solver, num_steps, start):
    return gamejax.play(game, solver, num_steps, init=start, record=num_steps).solution


BILINEAR = library.bilinear()
CONTRACTIONS = {
    # On x y the Jacobian is a rotation, so that every method multiplies lengths by one number.
    "simultaneous": (ascent(ETA), np.sqrt(1 + ETA**2)),
    "consensus": (ConsensusOptimization(ETA, 0.5), np.hypot(1 - ETA * 0.5, ETA)),
    "symplectic": (SymplecticGradientAdjustment(ETA, 0.7), np.hypot(1 - ETA * 0.7, ETA)),
    "lola": (LOLA(ETA, 0.3), np.hypot(1 - 2 * ETA * 0.3, ETA)),
    "competitive": (CompetitiveGradient(ETA, EXACT), 1 / np.sqrt(1 + ETA**2)),
    "extragradient": (Extragradient(ETA), np.hypot(1 - ETA**2, ETA)),
}


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_rate_on_the_bilinear_game(name):
    solver, factor = CONTRACTIONS[name]
    start = (jnp.array([1.0]), jnp.array([0.5]))
    found = length(end(BILINEAR, solver, 40, start).profile) / length(start)
    assert found == pytest.approx(factor**40, rel=1e-9)


def test_alternating_ascent_stays_bounded_and_optimism_converges():
    start = (jnp.array([1.0]), jnp.array([0.5]))
    path = gamejax.play(
        BILINEAR, ascent(ETA, alternating=True), 2000, init=start, record=lambda s: s.strategies
    )
    lengths = np.hypot(*[np.asarray(x)[:, 0] for x in path.records])
    assert 0.7 < lengths.min() < lengths.max() < 1.6
    assert length(end(BILINEAR, OptimisticGradient(ETA), 2000, start).profile) < 1e-8


def test_dirac_gan():
    @functools.partial(jax.vmap, in_axes=0)
    def solve(penalty):
        return gamejax.solve(
            library.dirac_gan(penalty), ConsensusOptimization(0.2, 0.5), tol=1e-10, init=start
        )

    start = (jnp.array(1.0), jnp.array(0.5))
    penalties = np.array([0.0, 0.3, 1.0, 1.5])
    solution = solve(jnp.asarray(penalties))
    assert np.all(solution.gap <= 1e-10)
    root = np.sqrt((penalties / 2) ** 2 - 0.25 + 0j)
    expected = np.stack([-penalties / 2 - root, -penalties / 2 + root], -1)
    found = np.asarray(solution.stats["eigenvalues"])
    order = functools.partial(np.sort_complex)
    np.testing.assert_allclose(order(found), order(expected), atol=1e-5)
    np.testing.assert_allclose(
        solution.stats["curvature"], np.stack([0 * penalties, -penalties], -1), atol=1e-9
    )
    away = end(library.dirac_gan(), ascent(0.2), 1000, start)
    assert length(away.profile) > length(start)
    near = end(library.dirac_gan(1.0), ascent(0.2), 1000, start)
    assert length(near.profile) < 1e-9


def test_tandem():
    start = (jnp.array(0.0), jnp.array(0.2))
    ends = {
        name: float(sum(end(library.tandem(), solver, 3000, start).profile))
        for name, solver in {
            "gradient": ascent(0.05),
            "stable": LOLA(0.05, 0.1, stable=True),
            "lola": LOLA(0.05, 0.1),
        }.items()
    }
    assert ends["gradient"] == pytest.approx(1, abs=1e-9)
    assert ends["stable"] == pytest.approx(1, abs=1e-3)
    assert ends["lola"] == pytest.approx(4 / 3, abs=1e-9)


DUOPOLY = library.quadratic(
    [[[-2.0, -1.0], [-1.0, 0.0]], [[0.0, -1.0], [-1.0, -2.0]]], (1, 1), [[1.0, 0.0], [0.0, 1.0]]
)
RIDGE = library.quadratic([[[6.0, -4.0], [-4.0, 2.0]], [[-6.0, 4.0], [4.0, -2.0]]], (1, 1))


def test_stackelberg():
    """Commitment moves the duopoly from (1/3, 1/3) to (1/2, 1/4), and ends where descent cannot."""
    solver = StackelbergGradient((0.05, 0.2), linear_solver=EXACT)
    led = gamejax.solve(DUOPOLY, solver, tol=1e-10)
    np.testing.assert_allclose(led.profile, [[1 / 2], [1 / 4]], atol=1e-8)
    follows = StackelbergGradient((0.2, 0.05), leader=1, linear_solver=EXACT)
    np.testing.assert_allclose(
        gamejax.solve(DUOPOLY, follows, tol=1e-10).profile, [[1 / 4], [1 / 2]], atol=1e-8
    )
    nash = gamejax.solve(DUOPOLY, ascent(0.2), tol=1e-10)
    np.testing.assert_allclose(nash.profile, [[1 / 3], [1 / 3]], atol=1e-8)
    assert metrics.first_order_gap(DUOPOLY, led.profile) > 0.1

    start = (jnp.array([0.3]), jnp.array([-0.2]))
    assert length(gamejax.solve(RIDGE, solver, tol=1e-10, init=start).profile) < 1e-8
    assert length(end(RIDGE, ascent(0.02), 500, start).profile) > 10
    far = gamejax.solve(RIDGE, ascent(5.0), init=start)
    assert far.result == gamejax.RESULTS.nonfinite
    assert not np.isfinite(far.gap)


def test_stackelberg_gradients_pass_through_the_residual():
    """The leader's quantity as a function of its demand intercept is a straight line."""

    def lead(intercept):
        game = ContinuousGame(DUOPOLY.functions, DUOPOLY.strategy_sets, (DUOPOLY.params[0], (
            jnp.stack([intercept, jnp.zeros(())]), jnp.array([0.0, 1.0]))))  # fmt: skip
        solver = StackelbergGradient((0.05, 0.2), linear_solver=EXACT)
        return gamejax.solve(
            game, solver, tol=1e-12, adjoint=gamejax.Implicit(), max_steps=5000
        ).profile[0][0]

    # f_0 = q_0 (c - q_0 - (1 - q_0) / 2), so that q_0 = c - 1/2.
    value, slope = jax.value_and_grad(lead)(jnp.array(1.2))
    assert value == pytest.approx(0.7, abs=1e-10)
    assert slope == pytest.approx(1.0, abs=1e-8)


def random_game(kind, seed=0):
    rng = np.random.default_rng(seed)
    size = 6
    if kind == "potential":
        q = rng.normal(size=(size, size))
        matrices = [q + q.T] * 3
    else:
        matrices = list(rng.normal(size=(3, size, size)))
    return library.quadratic(matrices, (1, 2, 3), list(rng.normal(size=(3, size))))


def bent(player, profile, params):
    """A payoff that is not quadratic, so that its Jacobian varies."""
    x = jnp.concatenate(profile)
    return jnp.sin(x @ params[player] @ x) + jnp.sum(x**3) * (player + 1)


BENT = ContinuousGame(
    [functools.partial(bent, i) for i in range(3)],
    [Unconstrained(np.zeros(n)) for n in (1, 2, 3)],
    jnp.asarray(np.random.default_rng(1).normal(size=(3, 6, 6))),
)
POINT = tuple(jnp.asarray(np.random.default_rng(2).normal(size=n)) / 3 for n in (1, 2, 3))
BLOCKS = np.repeat([0, 1, 2], [1, 2, 3])


@functools.cache
def dense():
    """At `POINT` of `BENT`: u, J, and each player's payoff gradient in all numbers."""

    @jax.jit
    def compute(profile):
        payoffs = jax.jacrev(BENT.expected_payoffs)(profile)
        return BENT.utilities(profile), metrics.game_jacobian(BENT, profile), payoffs

    u, jacobian, payoffs = compute(POINT)
    return np.concatenate(u), np.asarray(jacobian), np.concatenate(payoffs, 1)


def directions(solver):
    return np.concatenate(jax.jit(solver.direction)(BENT, POINT))


@pytest.mark.slow
def test_directions_are_those_of_the_dense_jacobian():
    u, jacobian, gradients = dense()
    own = BLOCKS[:, None] == BLOCKS[None, :]
    off = np.where(own, 0, jacobian)
    np.testing.assert_allclose(
        directions(ConsensusOptimization(0.1, 0.3)), u - 0.3 * jacobian.T @ u, rtol=1e-12
    )
    rotation = (jacobian.T - jacobian) @ u / 2
    np.testing.assert_allclose(
        directions(SymplecticGradientAdjustment(0.1, 0.3, aligned=False)),
        u - 0.3 * rotation,
        rtol=1e-12,
    )
    slope = jacobian.T @ u
    sign = np.sign(-(u @ slope) * (rotation @ slope) / 6 + 0.1)
    np.testing.assert_allclose(
        directions(SymplecticGradientAdjustment(0.1, 0.3)), u - 0.3 * sign * rotation, rtol=1e-12
    )
    np.testing.assert_allclose(
        directions(CompetitiveGradient(0.2, EXACT)),
        np.linalg.solve(np.eye(6) - 0.2 * off, u),
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        directions(CompetitiveGradient(0.01)),
        directions(CompetitiveGradient(0.01, EXACT)),
        rtol=1e-4,
    )
    # Row k of `shape` sums (d u_j / d x_k) d f_i / d x_j over the players j other than k's own, i.
    shape = np.array([off[:, k] @ gradients[BLOCKS[k]] for k in range(6)])
    np.testing.assert_allclose(directions(LOLA(0.1, 0.4)), u + 0.4 * (off @ u + shape), rtol=1e-11)
    first = BLOCKS == 1
    rest = ~first
    response = np.linalg.solve(
        (jacobian[np.ix_(rest, rest)] - 0.2 * np.eye(4)).T, gradients[1][rest]
    )
    expected = u.copy()
    expected[first] = gradients[1][first] - jacobian[np.ix_(rest, first)].T @ response
    np.testing.assert_allclose(
        directions(StackelbergGradient(0.1, leader=1, damping=0.2, linear_solver=EXACT)),
        expected,
        rtol=1e-10,
    )


def test_symplectic_adjustment_leaves_potential_games_alone():
    game = random_game("potential")
    jacobian = metrics.game_jacobian(game, POINT)
    np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-12)
    adjusted = SymplecticGradientAdjustment(0.1).direction(game, POINT)
    for a, b in zip(adjusted, game.utilities(POINT), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_symplectic_adjustment_ends_the_rotation_of_a_hamiltonian_game():
    rng = np.random.default_rng(3)
    pairing = np.eye(3) + rng.normal(size=(3, 3)) / 4
    block = np.block([[np.zeros((3, 3)), pairing], [pairing.T, np.zeros((3, 3))]])
    game = library.quadratic([block, -block], (3, 3))
    jacobian = np.asarray(metrics.game_jacobian(game, (jnp.zeros(3), jnp.zeros(3))))
    np.testing.assert_allclose(jacobian, -jacobian.T)
    start = (jnp.ones(3), jnp.ones(3))
    stopped = gamejax.solve(
        game, SymplecticGradientAdjustment(0.1), tol=1e-9, init=start, max_steps=20_000
    )
    assert stopped.gap <= 1e-9
    assert length(end(game, ascent(0.1), 300, start).profile) > 10


def riccati(a, b, q, r, horizon):
    """Feedback Nash gains of a linear-quadratic game, by dynamic programming in NumPy."""
    values, gains = list(q), []
    for _ in range(horizon):
        rows = [
            [r[i] + b[i].T @ values[i] @ b[j] if i == j else b[i].T @ values[i] @ b[j]
             for j in range(len(b))] for i in range(len(b))
        ]  # fmt: skip
        right = np.concatenate([b[i].T @ values[i] @ a for i in range(len(b))])
        stacked = np.linalg.solve(np.block(rows), right)
        now = np.split(stacked, np.cumsum([x.shape[1] for x in b])[:-1])
        closed = a - sum(x @ k for x, k in zip(b, now, strict=True))
        values = [
            q[i] + now[i].T @ r[i] @ now[i] + closed.T @ values[i] @ closed for i in range(len(b))
        ]
        gains.append(now)
    return [np.stack([now[i] for now in reversed(gains)]) for i in range(len(b))]


def test_linear_quadratic_game_against_coupled_riccati():
    rng = np.random.default_rng(5)
    a = np.eye(3) + rng.normal(size=(3, 3)) / 6
    b = [rng.normal(size=(3, 1)) / 2, rng.normal(size=(3, 2)) / 2]
    q = [np.eye(3) + x @ x.T / 9 for x in rng.normal(size=(2, 3, 3))]
    r = [5 * np.eye(1), 8 * np.eye(2)]
    game = library.linear_quadratic(a, b, q, r, horizon=2)
    known = tuple(jnp.asarray(k) for k in riccati(a, b, q, r, 2))
    assert metrics.first_order_gap(game, known) < 1e-13
    solution = gamejax.solve(game, ascent(0.02), tol=1e-10)
    assert solution.gap <= 1e-10
    for found, expected in zip(solution.profile, known, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-8)
    assert np.all(solution.stats["curvature"] < 0)
    assert np.all(solution.stats["eigenvalues"].real < 0)


def test_parameter_trees_and_transformations():
    like = {
        "w": jax.ShapeDtypeStruct((2,), jnp.float32),
        "b": jax.ShapeDtypeStruct((), jnp.float32),
    }

    def first(profile, target):
        x, y = profile
        return -jnp.sum((x["w"] - target - y["w"]) ** 2) - (x["b"] - 1) ** 2

    def second(profile, target):
        x, y = profile
        return -jnp.sum((y["w"] + x["w"]) ** 2) - y["b"] ** 2

    game = ContinuousGame(
        (first, second), (Unconstrained(like),) * 2, jnp.asarray([1.0, 2.0], jnp.float32)
    )
    solver = ConsensusOptimization(0.02, 0.1, optax.scale_by_adam())
    solution = gamejax.solve(game, solver, tol=1e-3, max_steps=20_000)
    assert solution.gap <= 1e-3
    assert {x.dtype for x in jax.tree.leaves(solution.profile)} == {jnp.dtype(jnp.float32)}
    # w_2 = -w_1 and w_1 = target + w_2.
    np.testing.assert_allclose(solution.profile[0]["w"], [0.5, 1.0], atol=2e-3)
    np.testing.assert_allclose(solution.profile[0]["b"], 1, atol=2e-3)


def test_learning_rates_map_and_bounded_sets_project():
    ball = ContinuousGame(BILINEAR.functions, (Ball(1, 1.0),) * 2, BILINEAR.params)
    start = (jnp.array([1.0]), jnp.array([0.5]))

    @jax.vmap
    def run(rate):
        solver = ConsensusOptimization((rate, 2 * rate), 0.5)
        return gamejax.solve(ball, solver, tol=1e-9, init=start)

    solution = run(jnp.array([0.05, 0.1, 0.2]))
    assert np.all(solution.gap <= 1e-9)
    assert np.all(np.diff(solution.stats["num_steps"]) < 0)


def test_messages():
    with pytest.raises(ValueError, match="tuple of 2, one per player, got 3"):
        gamejax.solve(BILINEAR, ConsensusOptimization((0.1, 0.1, 0.1)))
    with pytest.raises(TypeError, match="one learning_rate for all"):
        CompetitiveGradient((0.1, 0.1))
    with pytest.raises(ValueError, match="leader must be one of"):
        gamejax.solve(BILINEAR, StackelbergGradient(0.1, leader=2))
    with pytest.raises(ValueError, match="horizon must be at least 1"):
        library.linear_quadratic([[1.0]], [[[1.0]]], [[[1.0]]], [[[1.0]]], horizon=0)
    with pytest.raises(ValueError, match="one entry per player"):
        library.quadratic([[[1.0]]], (1, 1))

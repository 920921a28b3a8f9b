"""Gradients of equilibria: closed forms, finite differences, unrolling, and visible failure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import games, learners, regularizers, solvers

MATRIX = jnp.array([[2.0, -1.0], [-1.0, 1.0]])
ORACLE = [[-0.0191710846, 0.1196262487], [-0.1004235293, -0.0000316348]]
IMPLICIT = gamejax.Implicit()
WIDTH = 1e-5


def uniform(seed, shape):
    return jax.random.uniform(jax.random.key(seed), shape, jnp.float64, -1, 1)


def logit(payoffs, precision=1.0, adjoint=IMPLICIT, **options):
    game = games.MatrixGame(payoffs) if payoffs.ndim == 2 else games.NormalFormGame(payoffs)
    solver = solvers.LogitEquilibrium(precision)
    return gamejax.solve(game, solver, tol=1e-6, adjoint=adjoint, **options)


def flat(profile):
    return jnp.concatenate([jnp.ravel(x) for x in profile])


class TestOracle:
    def first(self, payoff):
        return logit(payoff).profile[0][0]

    def test_gradient(self):
        found = jax.jit(jax.grad(self.first))(MATRIX)
        np.testing.assert_allclose(found, ORACLE, atol=1e-9)
        assert abs(found.sum()) < 1e-12

    @pytest.mark.slow
    def test_unrolled_agrees(self):
        def first(payoff):
            return logit(payoff, adjoint=gamejax.Unrolled(), max_steps=6, check_every=2).profile[0][
                0
            ]

        np.testing.assert_allclose(jax.jit(jax.grad(first))(MATRIX), ORACLE, atol=1e-9)

    def test_second_derivatives(self):
        found = jax.jit(jax.hessian(self.first))(MATRIX)
        slope = jax.jit(jax.vmap(jax.grad(self.first)))
        moves = WIDTH * jnp.eye(4).reshape(4, 2, 2)
        difference = (slope(MATRIX[None] + moves) - slope(MATRIX[None] - moves)) / (2 * WIDTH)
        np.testing.assert_allclose(found, difference.reshape(2, 2, 2, 2), atol=1e-8)


def test_thousands_of_games_against_finite_differences():
    """Forward mode, reverse mode and differences that restart from the solution."""
    payoffs, directions = uniform(0, (2, 4096, 2, 4, 4))
    weights = uniform(1, (4096, 8))

    @jax.jit
    @jax.vmap
    def derivatives(own, direction, weight):
        solution = logit(own, 2.0)
        start = jax.lax.stop_gradient(solution.profile)

        def outcome(tables, precision):
            return flat(logit(tables, precision).profile)

        _, forward = jax.jvp(outcome, (own, 2.0), (direction, 1.0))
        by_payoff, by_precision = jax.grad(lambda *a: weight @ outcome(*a), (0, 1))(own, 2.0)

        def moved(width):
            tables = own + width * direction
            return flat(logit(tables, 2.0 + width, None, init=start).profile)

        difference = (moved(WIDTH) - moved(-WIDTH)) / (2 * WIDTH)
        reverse = (by_payoff * direction).sum() + by_precision
        return forward, weight @ forward - reverse, difference, solution

    forward, apart, difference, solution = jax.device_get(derivatives(payoffs, directions, weights))
    solved = np.asarray(solution.result == gamejax.RESULTS.successful)
    assert solved.mean() > 0.999
    scale = 1 / np.minimum(solution.stats["condition"][solved], 1)
    assert (np.abs(forward - difference)[solved].max(1) < 1e-6 * scale**3).all()
    assert (np.abs(apart[solved]) < 1e-9 * scale**2).all()


def test_gradients_of_exact_solutions_do_not_depend_on_the_unit_of_payoffs():
    payoffs, weights = uniform(3, (32, 5, 5)), uniform(4, (5,))

    @jax.jit
    @jax.vmap
    def slope(payoff):
        def outcome(own):
            solver = solvers.SimplexMethod()
            tol = 1e-3 * jnp.ptp(payoff)
            solution = gamejax.solve(games.MatrixGame(own), solver, tol=tol, adjoint=IMPLICIT)
            return weights.astype(own.dtype) @ solution.profile[0], solution

        return jax.grad(outcome, has_aux=True)(payoff)

    exact, solution = jax.device_get(slope(payoffs))
    assert (solution.result == gamejax.RESULTS.successful).all()
    for dtype, tol in ((jnp.float32, 1e-2), (jnp.float64, 1e-9)):
        for scale in (1e-6, 1e-4, 1e4, 1e6):
            found, solution = jax.device_get(slope((scale * payoffs).astype(dtype)))
            well = solution.stats["condition"] > 1e-2
            assert well.mean() > 0.8
            assert (solution.result == gamejax.RESULTS.successful)[well].all()
            np.testing.assert_allclose(scale * found[well], exact[well], rtol=tol, atol=tol)


def entropic(game):
    return games.regularized(game, 0.5)


def capped(game):
    return games.smoothed(game, cap=0.4)


def euclidean(game):
    return games.regularized(game, 0.5, regularizers.Euclidean())


def proximal(step_size):
    return solvers.MirrorProx(step_size, averaging=solvers.Last())


@pytest.mark.parametrize(
    ("make", "solver"),
    [
        pytest.param(entropic, proximal(0.5), id="entropic", marks=pytest.mark.slow),
        pytest.param(capped, solvers.Extragradient(), id="capped"),
        pytest.param(
            lambda g: entropic(capped(g)), proximal(0.3), id="both", marks=pytest.mark.slow
        ),
        pytest.param(euclidean, solvers.Extragradient(), id="euclidean", marks=pytest.mark.slow),
    ],
)
def test_monotone_games_against_finite_differences(make, solver):
    payoff, direction = uniform(2, (2, 4, 5))

    def solve(width):
        game = make(games.MatrixGame(payoff + width * direction))
        return gamejax.solve(game, solver, tol=1e-11, max_steps=20_000, adjoint=IMPLICIT)

    widths = jnp.array([0.0, 1.0, -1.0]) * WIDTH
    solution, slope = jax.jit(jax.vmap(lambda w: jax.jvp(solve, (w,), (jnp.ones_like(w),))))(widths)
    assert (solution.result == gamejax.RESULTS.successful).all()
    assert (solution.stats["condition"] > 0.01).all()
    for x, tangent in zip(solution.profile, slope.profile, strict=True):
        np.testing.assert_allclose(tangent[0], (x[1] - x[2]) / (2 * WIDTH), atol=1e-6)
    if make is entropic:
        exact = logit(payoff, 2.0).profile
        np.testing.assert_allclose(flat([x[0] for x in solution.profile]), flat(exact), atol=1e-8)


def test_unrolled_dynamics_agree_with_implicit():
    solver = solvers.SelfPlay(
        learners.MirrorDescent(regularizers.Entropy(), 0.3), averaging=solvers.Last()
    )

    def first(payoff, adjoint):
        game = games.regularized(games.MatrixGame(payoff), 1.0)
        return gamejax.solve(
            game, solver, tol=1e-9, max_steps=200, check_every=50, adjoint=adjoint
        ).profile[0][0]

    for adjoint in (IMPLICIT, gamejax.Unrolled()):
        found = jax.jit(jax.grad(lambda a, adjoint=adjoint: first(a, adjoint)))(MATRIX)
        np.testing.assert_allclose(found, ORACLE, atol=1e-8)


class TestFailure:
    def test_at_and_near_a_fork(self):
        def first(scale, precision):
            row = jnp.diag(jnp.stack([scale, jnp.ones_like(scale)]))
            solution = logit(jnp.stack([row, jnp.eye(2)]), precision)
            return solution.profile[0][0], solution

        slope = jax.jit(jax.vmap(jax.value_and_grad(first, has_aux=True), (None, 0)))
        (_, solution), found = slope(jnp.ones(()), jnp.array([1.0, 1 / 0.502, 2.0, 2.2]))
        np.testing.assert_allclose(found[:2], [1 / 6, 31.3124], rtol=1e-4)
        assert np.isnan(found[2])
        assert np.isfinite(found[3])
        assert solution.stats["condition"][2] < 1e-6
        ok = np.asarray(solution.result == gamejax.RESULTS.successful)
        assert ok.tolist() == [True, True, False, True]

    def test_many_equilibria(self):
        # Columns 1 and 3 are copies, so that the column player has a continuum.
        payoff = jnp.array([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])

        solver = solvers.SelfPlay(
            learners.PredictiveRegretMatchingPlus(),
            averaging=solvers.Quadratic(),
            alternating=True,
        )

        def second(a):
            solution = gamejax.solve(games.MatrixGame(a), solver, tol=1e-5, adjoint=IMPLICIT)
            return solution.profile[1][0], solution

        (_, solution), found = jax.jit(jax.value_and_grad(second, has_aux=True))(payoff)
        assert solution.result == gamejax.RESULTS.ill_conditioned
        assert solution.gap <= 1e-5
        assert solution.stats["condition"] < 1e-9
        assert jnp.isnan(found).any()

    def test_no_convergence(self):
        def first(a):
            return logit(a, 5.0, max_steps=1).profile[0][0]

        assert jnp.isnan(jax.jit(jax.grad(first))(MATRIX)).all()

    def test_a_failed_member_spoils_no_other(self):
        # The second game is degenerate at every vertex, where the equations have a kink.
        degenerate = jnp.zeros((2, 2))
        batch = jnp.stack([MATRIX, degenerate])

        def first(a):
            solution = gamejax.solve(games.MatrixGame(a), tol=1e-6, adjoint=IMPLICIT)
            return solution.profile[0][0]

        found = jax.jit(jax.vmap(jax.grad(first)))(batch)
        np.testing.assert_allclose(found[0], [[-0.08, 0.08], [-0.12, 0.12]], atol=1e-9)
        assert jnp.isnan(found[1]).any()


def test_shard_map_and_other_linear_solvers():
    lineax = pytest.importorskip("lineax")
    mesh = jax.make_mesh((1,), ("games",))
    spec = jax.sharding.PartitionSpec("games")
    krylov = gamejax.Implicit(lineax.GMRES(rtol=1e-10, atol=1e-10))
    np.testing.assert_allclose(
        jax.jit(jax.grad(lambda a: logit(a, adjoint=krylov).profile[0][0]))(MATRIX),
        ORACLE,
        atol=1e-7,
    )

    def slopes(batch):
        return jax.vmap(jax.grad(lambda a: logit(a).profile[0][0]))(batch)

    mapped = jax.jit(jax.shard_map(slopes, mesh=mesh, in_specs=spec, out_specs=spec))
    batch = jax.device_put(jnp.stack([MATRIX, MATRIX]), jax.NamedSharding(mesh, spec))
    found = mapped(batch)
    np.testing.assert_allclose(found[1], ORACLE, atol=1e-7)


def test_regularized_refuses_bad_input():
    game = games.MatrixGame(MATRIX)
    with pytest.raises(ValueError, match="strength must be positive"):
        games.regularized(game, 0.0)
    with pytest.raises(ValueError, match="one per player"):
        games.regularized(game, jnp.ones(3))
    own = games.regularized(game, jnp.array([0.5, 2.0]))
    x = (jnp.array([0.25, 0.75]), jnp.array([0.5, 0.5]))
    costs = [float((v * np.log(v)).sum()) for v in map(np.asarray, x)]
    value = float(x[0] @ MATRIX @ x[1])
    np.testing.assert_allclose(
        own.expected_payoffs(x), [value - 0.5 * costs[0], -value - 2 * costs[1]]
    )
    with pytest.raises(TypeError, match="not a Joint"):
        own.expected_payoffs(gamejax.Joint(jnp.full((2, 2), 0.25)))

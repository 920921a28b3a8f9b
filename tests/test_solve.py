"""The front doors: budgets, certificates, warm starts, records, traces, errors, gradients."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import RESULTS, games, learners, metrics, sets, solvers
from gamejax._loop import run_to_tolerance
from gamejax._reasons import result_name

A = jnp.array([[2.0, -1.0], [-1.0, 1.0]])
GAME = games.MatrixGame(A)
FAST = solvers.SelfPlay(
    learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
)
HEDGE = solvers.SelfPlay(learners.Hedge(0.5))
REGRET_MATCHING = solvers.SelfPlay(
    learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
)


def closed_form(a):
    """The row player's first probability in a 2 x 2 game without a saddle point."""
    return (a[1, 1] - a[1, 0]) / (a[0, 0] - a[0, 1] - a[1, 0] + a[1, 1])


def numpy_nash_conv(a, x, y):
    return (a @ y).max() - (x @ a).min()


def test_solves_and_certifies():
    solution = gamejax.solve(GAME, tol=1e-6)
    assert bool(solution.result == RESULTS.successful)
    x, y = map(np.asarray, solution.profile)
    np.testing.assert_allclose(x[0], 0.4, atol=1e-4)
    gains = (np.max(A @ y) - x @ A @ y, x @ A @ y - np.min(x @ A))
    np.testing.assert_allclose(solution.stats["player_gaps"], gains, atol=1e-12)
    np.testing.assert_allclose(solution.gap, max(gains), atol=1e-12)
    np.testing.assert_allclose(solution.stats["payoffs"], [0.2, -0.2], atol=1e-6)
    assert solution.stats["nash_gap"] == solution.gap


def test_custom_certificate_is_the_one_reported():
    solution = gamejax.solve(GAME, gap=metrics.nash_conv, tol=1e-4)
    x, y = solution.profile
    np.testing.assert_allclose(solution.gap, numpy_nash_conv(np.asarray(A), x, y), atol=1e-12)
    assert solution.gap <= 1e-4


@pytest.mark.parametrize("max_steps", [0, 1, 99, 100, 101, 250])
def test_budget_is_kept_exactly(max_steps):
    solution = gamejax.solve(GAME, HEDGE, tol=0.0, max_steps=max_steps)
    assert int(solution.stats["num_steps"]) == max_steps
    assert bool(solution.result == RESULTS.max_steps_reached)


def test_a_solved_start_takes_no_step():
    equilibrium = (jnp.array([0.4, 0.6]), jnp.array([0.4, 0.6]))
    solution = gamejax.solve(GAME, HEDGE, tol=1e-9, init=equilibrium)
    assert int(solution.stats["num_steps"]) == 0
    assert bool(solution.result == RESULTS.successful)


def test_stops_at_the_first_check_within_tolerance():
    solver = solvers.SelfPlay(learners.RegretMatchingPlus())
    loose = gamejax.solve(GAME, solver, tol=1e-2, check_every=7)
    gaps = gamejax.play(GAME, solver, int(loose.stats["num_steps"]), record=7).gaps
    assert gaps[-1] <= 1e-2 < gaps[-2]
    np.testing.assert_allclose(gaps[-1], loose.gap, rtol=1e-12)


@pytest.mark.parametrize("first", [30, 100, 137])
def test_going_on_from_a_solution_equals_one_run(first):
    whole = gamejax.solve(GAME, HEDGE, tol=0.0, max_steps=300)
    part = gamejax.solve(GAME, HEDGE, tol=0.0, max_steps=first)
    rest = gamejax.solve(GAME, HEDGE, tol=0.0, max_steps=300 - first, init=part)
    # Sums are cut into blocks elsewhere, so the last bits may differ.
    chex.assert_trees_all_close(whole.profile, rest.profile, atol=1e-15)
    chex.assert_trees_all_close(whole.state, rest.state, atol=1e-12)
    assert int(rest.stats["num_steps"]) == 300


def test_solve_and_play_agree():
    solved = gamejax.solve(GAME, HEDGE, tol=0.0, max_steps=40)
    played = gamejax.play(GAME, HEDGE, 40, record=gamejax.Record(lambda s: s.strategies, every=15))
    chex.assert_trees_all_close(solved.profile, played.solution.profile, atol=1e-15)
    assert played.steps.tolist() == [15, 30]
    assert played.records[0].shape == (2, 2)
    assert int(played.solution.stats["num_steps"]) == 40


def test_one_trace_across_payoffs_hyperparameters_tolerances_and_names():
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(run_to_tolerance, n=1)
    from gamejax import _solve

    original, _solve.run_to_tolerance = _solve.run_to_tolerance, traced
    try:
        for k, rate in enumerate((0.1, 0.2, 0.3)):
            labels = games.Labels(title=f"game {k}")
            game = games.MatrixGame(A.astype(jnp.float32) * rate, labels=labels)
            solver = solvers.SelfPlay(learners.Hedge(rate, optimism=rate))
            solution = gamejax.solve(
                game, solver, tol=rate / 10, max_steps=100 * (k + 3), check_every=10 + k
            )
            assert solution.labels.title == f"game {k}"
    finally:
        _solve.run_to_tolerance = original


def test_vmap_equals_loop():
    payoffs = jax.random.uniform(jax.random.key(0), (6, 3, 4), minval=-1, maxval=1)
    solve = lambda a: gamejax.solve(games.MatrixGame(a), tol=1e-4, max_steps=3000)  # noqa: E731
    mapped = jax.vmap(solve)(payoffs)
    for k, a in enumerate(payoffs):
        one = solve(a)
        assert int(one.stats["num_steps"]) == int(mapped.stats["num_steps"][k])
        chex.assert_trees_all_close(
            one.profile, jax.tree.map(lambda x, i=k: x[i], mapped.profile), atol=1e-10
        )
    assert bool(jnp.all(mapped.result == RESULTS.successful))


def test_padding_changes_nothing():
    padded = jnp.full((4, 5), 99.0).at[:2, :2].set(A)
    rows = sets.Simplex(4, mask=np.arange(4) < 2)
    columns = sets.Simplex(5, mask=np.arange(5) < 2)
    masked = gamejax.solve(games.MatrixGame(padded, (rows, columns)), tol=1e-6)
    plain = gamejax.solve(GAME, tol=1e-6)
    for full, part in zip(masked.profile, plain.profile, strict=True):
        np.testing.assert_allclose(full[:2], part, atol=1e-12)
        assert np.all(np.asarray(full[2:]) == 0)


def test_integer_payoffs_become_floats():
    assert games.MatrixGame([[1, 0], [0, 1]]).dtype == jnp.float64
    assert gamejax.solve(games.MatrixGame(np.eye(2, dtype=np.float32))).gap.dtype == jnp.float32


def test_nonfinite_payoffs_are_reported_not_raised():
    for bad in (jnp.nan, jnp.inf):
        solution = gamejax.solve(games.MatrixGame(A.at[0, 0].set(bad)), HEDGE)
        assert bool(solution.result == RESULTS.nonfinite)


def test_throw_raises_once_with_advice():
    with pytest.raises(RuntimeError, match="raise max_steps"):
        gamejax.solve(GAME, HEDGE, tol=1e-9, max_steps=10, throw=True)
    gamejax.solve(GAME, tol=1e-3, throw=True)
    with pytest.raises(TypeError, match=r"solution\.result"):
        jax.jit(lambda a: gamejax.solve(games.MatrixGame(a), throw=True).gap)(A)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gamejax.solve(A), "game must be a gamejax game, got"),
        (lambda: gamejax.solve(GAME, learners.Hedge()), "solver must be a gamejax solver"),
        (lambda: gamejax.solve(GAME, tol=-1.0), "tol must be a number of at least 0, got -1.0"),
        (lambda: gamejax.solve(GAME, tol=float("nan")), "tol must be a number"),
        (lambda: gamejax.solve(GAME, max_steps=-1), "max_steps must be an integer from 0"),
        (lambda: gamejax.solve(GAME, max_steps=1.5), "max_steps must be an integer of at least 0"),
        (lambda: gamejax.solve(GAME, check_every=0), "check_every must be an integer from 1"),
        (lambda: gamejax.solve(GAME, gap=1e-3), "gap must be a function"),
        (lambda: gamejax.solve(GAME, init=(A[0],)), "init has 1 strategies, the game has 2"),
        (lambda: gamejax.solve(GAME, init=(A[0], jnp.ones(3) / 3)), r"init\[1\] must have shape"),
        (lambda: gamejax.solve(GAME, init="center"), "init must be a profile"),
        (lambda: gamejax.play(GAME, HEDGE, 0), "num_steps must be an integer from 1"),
        (lambda: gamejax.play(GAME, HEDGE, 5, record="all"), "record must be None, an integer"),
        (lambda: gamejax.Record(every=0), r"record\.every must be an integer from 1"),
        (lambda: games.MatrixGame(jnp.ones((2, 2, 2))), "payoff must be a matrix"),
        (lambda: games.MatrixGame([[1, "a"]]), "payoff must hold real numbers, got dtype <U"),
        (lambda: games.MatrixGame([[1], [2, 3]]), "payoff must be a rectangular array"),
        (lambda: games.MatrixGame(np.eye(2) + 1j), "payoff must hold real numbers"),
        (lambda: games.NormalFormGame(jnp.ones((3, 2, 2))), r"payoffs must have shape \(m, n_1"),
        (lambda: games.NormalFormGame([A, jnp.ones((2, 3))]), "one array per player"),
        (lambda: games.bimatrix(A, jnp.ones((2, 3))), "a and b must be matrices of one shape"),
        (lambda: games.MatrixGame(A, (sets.Simplex(2),)), "one set per player"),
        (lambda: solvers.SelfPlay(learners.Hedge(), output="both"), "output must be"),
        (lambda: gamejax.Unrolled(checkpoints=0), "checkpoints must be at least 1"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_solution_of_another_solver_is_refused_as_init():
    part = gamejax.solve(GAME, HEDGE, max_steps=5)
    with pytest.raises(ValueError, match=r"init is the Solution of another solver"):
        gamejax.solve(GAME, solvers.SelfPlay(learners.RegretMatching()), init=part)


def test_solutions_print_names():
    game = games.library.prisoners_dilemma()
    text = str(gamejax.solve(game))
    for name in (game.labels.players[0], game.labels.actions[0][1]):
        assert name in text
    assert "successful" in text
    joint = gamejax.solve(game, solvers.SelfPlay(learners.Hedge(), output="joint"), max_steps=10)
    assert game.labels.actions[1][0] in str(joint)


def test_result_names_cover_every_result():
    for name in (
        "running", "successful", "max_steps_reached", "nonfinite", "ray", "cycled", "fold",
        "ill_conditioned", "stalled",
    ):  # fmt: skip
        assert result_name(getattr(RESULTS, name)) == name


def test_citation_names_the_papers_used():
    text = gamejax.citation(GAME, HEDGE)
    assert "freund" in text
    assert text.count("@") >= 2
    assert "dantzig1951" in gamejax.citation(GAME)


class TestGradients:
    def test_gap_is_differentiable_and_profile_says_it_is_not(self):
        profile = gamejax.solve(GAME).profile

        def gap(a):
            return metrics.nash_gap(games.MatrixGame(a), profile)

        def solve_gap(a):
            return gamejax.solve(games.MatrixGame(a)).gap

        def first(a):
            return gamejax.solve(games.MatrixGame(a)).profile[0][0]

        slope, batch = jax.grad(solve_gap)(A), jnp.stack([A, 2 * A])
        np.testing.assert_allclose(slope, jax.grad(gap)(A), atol=1e-12)
        slopes = jax.grad(lambda b: jax.vmap(solve_gap)(b).sum())(batch)
        np.testing.assert_allclose(slopes[0], slope, atol=1e-12)
        assert jnp.isfinite(jax.jvp(solve_gap, (A,), (A,))[1])
        assert jnp.isnan(jax.jvp(jax.vmap(first), (batch,), (batch,))[1]).all()
        for refused in (first, jax.jit(first), lambda a: jax.vmap(first)(a[None])[0]):
            with pytest.raises(ValueError, match=r"adjoint=gamejax\.Implicit"):
                jax.grad(refused)(A)

    @pytest.mark.parametrize(
        ("adjoint", "tol", "atol"),
        [
            (gamejax.Implicit(), 1e-5, 1e-12),
            pytest.param(gamejax.Unrolled(), 1e-9, 2e-4, marks=pytest.mark.slow),
            (gamejax.Unrolled(4), 1e-9, 2e-4),
        ],
    )
    def test_equilibrium_gradients_match_the_closed_form(self, adjoint, tol, atol):
        def first(a):
            return gamejax.solve(
                games.MatrixGame(a), FAST, tol=tol, adjoint=adjoint, max_steps=400
            ).profile[0][0]

        np.testing.assert_allclose(jax.grad(first)(A), jax.grad(closed_form)(A), atol=atol)
        batch = jnp.stack([A, A.T + 0.1])
        wanted = jax.vmap(jax.grad(closed_form))(batch)
        np.testing.assert_allclose(jax.vmap(jax.grad(first))(batch), wanted, atol=5 * atol)

    @pytest.mark.slow
    def test_implicit_has_second_derivatives_and_forward_mode(self):
        def first(a):
            return gamejax.solve(
                games.MatrixGame(a), tol=1e-10, adjoint=gamejax.Implicit()
            ).profile[0][0]

        np.testing.assert_allclose(jax.hessian(first)(A), jax.hessian(closed_form)(A), atol=1e-5)
        np.testing.assert_allclose(jax.jacfwd(first)(A), jax.grad(closed_form)(A), atol=1e-6)

    def test_joint_has_no_residual(self):
        solver = solvers.SelfPlay(learners.Hedge(0.5), output="joint")
        with pytest.raises(TypeError, match="Unrolled"):
            gamejax.solve(GAME, solver, adjoint=gamejax.Implicit(), max_steps=5)

    def test_play_differentiates_in_hyperparameters(self):
        def last_gap(rate):
            return gamejax.play(GAME, solvers.SelfPlay(learners.Hedge(rate)), 8).gaps[-1]

        slope, width = jax.grad(last_gap)(0.3), 1e-6
        difference = (last_gap(0.3 + width) - last_gap(0.3 - width)) / (2 * width)
        np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_learners_can_be_mapped_as_values():
    rates = jnp.array([0.1, 0.5, 1.0])
    gaps = jax.vmap(lambda r: gamejax.play(GAME, solvers.SelfPlay(learners.Hedge(r)), 20).gaps)(
        rates
    )
    for rate, row in zip(rates, gaps, strict=True):
        alone = gamejax.play(GAME, solvers.SelfPlay(learners.Hedge(float(rate))), 20).gaps
        np.testing.assert_allclose(row, alone, atol=1e-12)


def test_joint_output_holds_the_average_of_products():
    solver = solvers.SelfPlay(learners.Hedge(0.5), output="joint")
    trajectory = gamejax.play(GAME, solver, 30, record=lambda s: s.strategies)
    first = jnp.full((1, 2), 0.5)
    x = jnp.concatenate([first, trajectory.records[0][:-1]])
    y = jnp.concatenate([first, trajectory.records[1][:-1]])
    expected = jnp.einsum("ta,tb->ab", x, y) / 30
    np.testing.assert_allclose(trajectory.solution.profile.probabilities, expected, atol=1e-12)
    marginals = trajectory.solution.profile.marginals
    np.testing.assert_allclose(marginals[0], expected.sum(1), atol=1e-12)


def test_too_large_a_joint_is_refused_with_its_bytes():
    game = games.PolymatrixGame(jnp.zeros((40, 40, 3, 3)))
    with pytest.raises(ValueError, match=r"bytes"):
        gamejax.solve(game, solvers.SelfPlay(learners.Hedge(), output="joint"))


def test_the_default_solver_stays_inside_capped_sets():
    game = games.smoothed(games.library.prisoners_dilemma(), cap=0.75)
    solution = gamejax.solve(game, tol=1e-6, max_steps=500)
    for own, strategy in zip(game.strategy_sets, solution.profile, strict=True):
        assert own.violation(strategy) <= 1e-12
    np.testing.assert_allclose(solution.profile[0], [0.25, 0.75], atol=1e-6)


def test_unusable_leaf_types_do_not_reach_the_trace():
    solver = eqx.tree_at(lambda s: s.learners.learning_rate, HEDGE, jnp.float32(0.5))
    assert gamejax.solve(GAME, solver, max_steps=3, check_every=1).gap.dtype == jnp.float64

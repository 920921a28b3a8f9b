"""Logit equilibria against closed forms, tables, Gambit's values and their own definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import gamejax
from gamejax import games, learners, solvers
from tests.test_game_files import evaluate, needs_shared, payoffs_of, reference

MATRIX = jnp.array([[2.0, -1.0], [-1.0, 1.0]])
TABLE = {
    0.5: (0.5170820, 0.4273418),
    1: (0.4886743, 0.3909379),
    2: (0.4491322, 0.3795822),
    5: (0.4184262, 0.3868305),
    20: (0.4042166, 0.3961207),
    100: (0.4008176, 0.3991959),
}
BIASED = jnp.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
COORDINATION = jnp.stack([jnp.eye(2), jnp.eye(2)])
FORKED = {
    "sec3.nfg",
    "2s2x2x2.efg",
    "2x2x2_nfg_from_local_max_cut_2_pure_1_mixed_eq.nfg",
}
"""Symmetric games whose branch forks before precision 1; the reference turns off there."""


def uniform(seed, shape):
    return jax.random.uniform(jax.random.key(seed), shape, jnp.float64, -1, 1)


@jax.jit
@jax.vmap
def logit(game, precision):
    return gamejax.solve(game, solvers.LogitEquilibrium(precision), tol=1e-9)


@jax.jit
@jax.vmap
def limit(game):
    return gamejax.solve(game, solvers.LogitHomotopy(), tol=1e-9)


@jax.jit
@jax.vmap
def to_four_digits(game):
    return gamejax.solve(game, solvers.LogitHomotopy(), tol=2e-4, max_steps=1000, check_every=20)


@jax.jit
@jax.vmap
def to_precision_ten(game):
    return gamejax.solve(game, solvers.LogitEquilibrium(10.0), tol=2e-3, check_every=20)


def repeat(game, count):
    return jax.tree.map(lambda x: jnp.stack([x] * count), game)


@functools.cache
def folded():
    """Random games at a precision where the branches of some have folds."""
    payoffs = uniform(0, (400, 2, 4, 4))
    return payoffs, logit(jax.vmap(games.NormalFormGame)(payoffs), jnp.full(400, 10.0))


def responses(payoffs, profile, precision):
    """Softmax of the payoffs of each player's actions, in NumPy."""
    found = []
    for i, own in enumerate(payoffs):
        for j in reversed(range(len(profile))):
            if j != i:
                own = np.tensordot(own, profile[j], (j, 0))
        found.append(scipy.special.softmax(precision * own))
    return found


def check_fixed_points(payoffs, solutions, precision, atol=1e-9):
    for k, own in enumerate(np.asarray(payoffs)):
        profile = [np.asarray(x[k]) for x in solutions.profile]
        for x, response in zip(profile, responses(own, profile, precision), strict=True):
            np.testing.assert_allclose(x, response, atol=atol)


class TestLogitEquilibrium:
    def test_tables(self):
        found = logit(repeat(games.MatrixGame(MATRIX), len(TABLE)), jnp.array(list(TABLE)) * 1.0)
        assert (found.result == gamejax.RESULTS.successful).all()
        rows = np.stack([x[:, 0] for x in found.profile], 1)
        np.testing.assert_allclose(rows, list(TABLE.values()), atol=1e-7)
        assert (found.stats["num_points"] <= 12).all()

        game = repeat(games.MatrixGame(BIASED), 3)
        found = logit(game, jnp.array([0.0, 1.0, 4.0]))
        x, y = found.profile
        np.testing.assert_allclose(x[0], 1 / 3, atol=1e-12)
        np.testing.assert_allclose(x[1], [0.3489074, 0.3384089, 0.3126837], atol=1e-7)
        np.testing.assert_allclose(y[1], [0.3596876, 0.3826745, 0.2576379], atol=1e-7)
        np.testing.assert_allclose(found.stats["payoffs"][1, 0], 0.0879877, atol=1e-7)
        np.testing.assert_allclose(x[2], [0.2873672, 0.3939918, 0.3186410], atol=1e-7)
        np.testing.assert_allclose(y[2], [0.3510221, 0.4187010, 0.2302769], atol=1e-7)
        symmetric = repeat(games.MatrixGame(BIASED.at[0, 2].set(1.0)), 3)
        found = logit(symmetric, jnp.array([0.5, 4.0, 50.0]))
        np.testing.assert_allclose(found.profile[0], 1 / 3, atol=1e-9)

    def test_through_folds_of_random_games(self):
        payoffs, found = folded()
        solved = np.asarray(found.result == gamejax.RESULTS.successful)
        assert solved.mean() >= 0.99
        assert (found.gap[solved] < 1e-9).all()
        check_fixed_points(payoffs[:20], found, 10.0)
        folds = np.asarray(found.stats["num_folds"])
        assert (folds[solved] % 2 == 0).all()
        assert (folds > 0).sum() >= 3

        # Payoffs that a player cannot influence do not matter, nor does the unit of payoffs.
        shifts = 5 * uniform(1, (400, 2, 4))
        moved = payoffs.at[:, 0].add(shifts[:, 0][:, None, :])
        moved = moved.at[:, 1].add(shifts[:, 1][:, :, None]) * 1000
        again = logit(jax.vmap(games.NormalFormGame)(moved), jnp.full(400, 0.01))
        both = solved & np.asarray(again.result == gamejax.RESULTS.successful)
        same = np.abs(np.asarray(again.profile[0] - found.profile[0])).max(1) < 1e-8
        assert same[both].mean() >= 0.99

    @pytest.mark.slow
    def test_padding_polymatrix_and_three_players(self):
        pairs = uniform(2, (3, 3, 3, 3)) * (1 - jnp.eye(3))[:, :, None, None]
        polymatrix = games.PolymatrixGame(pairs)
        tensor = games.to_normal_form(polymatrix)
        padded = games.pad_games([tensor], (3, 4, 5))
        solver = solvers.LogitEquilibrium(jnp.array([1.0, 2.0, 3.0]))
        found = [gamejax.solve(polymatrix, solver, tol=1e-9)]
        found.append(
            jax.tree.map(
                lambda x: x[0], jax.vmap(lambda g: gamejax.solve(g, solver, tol=1e-9))(padded)
            )
        )
        for solution in found:
            assert solution.result == gamejax.RESULTS.successful
            for x, wanted in zip(solution.profile, found[0].profile, strict=True):
                np.testing.assert_allclose(x[:3], wanted, atol=1e-9)
                assert (x[3:] == 0).all()
        np.testing.assert_allclose(found[0].stats["precision"], [1, 2, 3])

    def test_condition_at_a_fork(self):
        # At uniform play the derivative of the responses has the eigenvalue precision / 2.
        precisions = jnp.array([1.0, 1.5, 1 / 0.502, 2.1])
        found = logit(repeat(games.NormalFormGame(COORDINATION), 4), precisions)
        np.testing.assert_allclose(found.profile[0], 0.5, atol=1e-9)
        np.testing.assert_allclose(
            found.stats["condition"], jnp.abs(1 - precisions / 2), rtol=1e-3, atol=1e-9
        )

    @pytest.mark.slow
    def test_warm_starts(self):
        game = games.NormalFormGame(COORDINATION)
        near = (jnp.array([0.9, 0.1]), jnp.array([0.8, 0.2]))
        found = gamejax.solve(game, solvers.LogitEquilibrium(3.0), tol=1e-9, init=near)
        assert found.result == gamejax.RESULTS.successful
        assert found.profile[0][0] > 0.9
        assert found.stats["num_points"] <= 2
        cold = gamejax.solve(game, solvers.LogitEquilibrium(3.0), tol=1e-9)
        part = gamejax.solve(game, solvers.LogitEquilibrium(3.0), tol=1e-9, max_steps=2)
        assert part.result == gamejax.RESULTS.max_steps_reached
        whole = gamejax.solve(game, solvers.LogitEquilibrium(3.0), tol=1e-9, init=part)
        np.testing.assert_array_equal(whole.profile[0], cold.profile[0])

    def test_bad_input(self):
        for bad in (-1.0, np.inf):
            with pytest.raises(ValueError, match="precision must be finite"):
                solvers.LogitEquilibrium(bad)
        game = games.MatrixGame(MATRIX)
        with pytest.raises(ValueError, match="one per player"):
            gamejax.solve(game, solvers.LogitEquilibrium(jnp.ones(3)))
        with pytest.raises(TypeError, match="regularized"):
            gamejax.solve(games.smoothed(game, cap=0.7), solvers.LogitEquilibrium(1.0))
        with pytest.raises(ValueError, match="max_precision must be positive"):
            solvers.LogitHomotopy(0.0)

    def test_gambit_agrees(self):
        gambit = pytest.importorskip("pygambit")
        payoffs, found = folded()
        for k, own in enumerate(np.asarray(payoffs[:10])):
            peer = gambit.qre.logit_solve_lambda(gambit.Game.from_arrays(*own), lam=[10.0])[0]
            strategies = [list(s) for _, s in peer.profile.mixed_strategies()]
            flat = [float(p) for s in strategies for _, p in s]
            np.testing.assert_allclose(
                np.concatenate([x[k] for x in found.profile]), flat, atol=1e-5
            )


def sample_groups(players):
    """Gambit's sample games by number of players, stacked."""
    groups = {}
    for name in reference():
        payoffs = payoffs_of(name)
        if payoffs is not None and len(payoffs) in players:
            groups.setdefault(len(payoffs), []).append((name, payoffs))
    for members in groups.values():
        yield members, games.pad_games([games.NormalFormGame(p) for _, p in members])


def check_reference(players):
    """How many sample games there are, and how many match at precision 1."""
    count = matched = 0
    for members, stacked in sample_groups(players):
        found = jax.device_get(logit(stacked, jnp.ones(len(members))))
        assert (found.gap < 1e-9).all()
        for k, (name, payoffs) in enumerate(members):
            count += 1
            wanted = reference()[name]["logit_qre_lambda1"]
            profile = [x[k][:n] for x, n in zip(found.profile, payoffs.shape[1:], strict=True)]
            error = max(np.abs(x - w).max() for x, w in zip(profile, wanted, strict=True))
            matched += error < 1e-5
            if name in FORKED:
                # Past the fork the symmetric arm is unstable under adjustment towards responses.
                derivative = jax.jacfwd(lambda x, payoffs=payoffs: flat_responses(payoffs, x))(
                    jnp.concatenate(profile)
                )
                assert np.linalg.eigvals(derivative).real.max() > 1, name
            else:
                assert error < 1e-5, name
    return count, matched


def flat_responses(payoffs, flat):
    game = games.NormalFormGame(payoffs)
    ends = np.cumsum(payoffs.shape[1:-1])
    return jnp.concatenate([jax.nn.softmax(u) for u in game.utilities(jnp.split(flat, ends))])


@needs_shared
def test_reference_at_precision_one():
    count, matched = check_reference({1, 2})
    assert (count, matched) == (86, 85)


@needs_shared
@pytest.mark.slow
def test_every_reference_at_precision_one():
    count, matched = check_reference({1, 2, 3, 4, 5})
    assert (count, matched) == (105, 102)


class TestLogitHomotopy:
    @pytest.mark.slow
    def test_random_games_of_two_and_three_players(self):
        for shape, count in (((6, 5), 100), ((3, 3, 3), 60)):
            payoffs = uniform(4, (count, len(shape), *shape))
            found = limit(jax.vmap(games.NormalFormGame)(payoffs))
            solved = np.asarray(found.result == gamejax.RESULTS.successful)
            assert solved.mean() >= 0.98
            for k in range(0, count, 10):
                profile = [np.asarray(x[k]) for x in found.profile]
                gap = evaluate(np.asarray(payoffs[k]), profile)[1].max()
                assert abs(gap - found.gap[k]) < 1e-12
            assert (found.gap[solved] <= 1e-9).all()

    def test_the_branch_is_recorded(self):
        payoffs, found = folded()
        own = payoffs[int(np.argmax(found.stats["num_folds"]))]
        trajectory = gamejax.play(
            games.NormalFormGame(own), solvers.LogitHomotopy(), 150, record=solvers.branch_point
        )
        points = jax.device_get(trajectory.records)
        rises = np.diff(points.precision)
        assert (rises < 0).any()  # it turned round,
        assert points.precision[-1] > 1e6  # and went on
        for k in range(0, 150, 10):
            profile = [x[k] for x in points.strategies]
            for x, r in zip(
                profile, responses(np.asarray(own), profile, points.precision[k]), strict=True
            ):
                np.testing.assert_allclose(x, r, atol=1e-6)
            gap = evaluate(np.asarray(own), profile)[1].max()
            np.testing.assert_allclose(points.gap[k], gap, atol=1e-12)
        steps = [np.abs(np.sqrt(x[1:]) - np.sqrt(x[:-1])).max() for x in points.strategies]
        assert max(steps) < 0.8
        assert trajectory.gaps[-1] < 1e-9
        assert (np.diff(trajectory.gaps) <= 0).all()

    @pytest.mark.slow
    def test_priors_lead_to_other_equilibria(self):
        game = games.NormalFormGame(COORDINATION)
        for prior, wanted in (([0.8, 0.2], 1.0), ([0.2, 0.8], 0.0)):
            start = (jnp.array(prior), jnp.array(prior))
            found = gamejax.solve(game, solvers.LogitHomotopy(), tol=1e-9, init=start)
            np.testing.assert_allclose(found.profile[0][0], wanted, atol=1e-6)
        several = solvers.MultiStart(solvers.LogitHomotopy(), num_starts=2)
        assert gamejax.solve(game, several, tol=1e-9, max_steps=5, check_every=5).gap < 1e-9

    def test_it_is_the_default_and_works_in_float32(self):
        game = games.NormalFormGame(uniform(5, (2, 5, 5)).astype(jnp.float32))
        assert isinstance(gamejax.default_solver(game), solvers.LogitHomotopy)
        assert isinstance(
            gamejax.default_solver(games.NormalFormGame(jnp.zeros((2, 300, 200)))),
            solvers.MultiStart,
        )
        found = gamejax.solve(game, tol=1e-5)
        assert found.result == gamejax.RESULTS.successful
        assert found.profile[0].dtype == found.gap.dtype == jnp.float32

    def test_paths_do_not_creep_in_float32(self):
        """Rounding keeps Newton steps above the sizes that float64 aims at."""
        payoffs = uniform(6, (100, 2, 8, 8)).astype(jnp.float32)
        found = jax.jit(
            jax.vmap(lambda u: gamejax.solve(games.NormalFormGame(u), tol=1e-3, max_steps=1000))
        )(payoffs)
        assert (found.gap < 1e-3).all()
        assert jnp.percentile(found.stats["num_points"], 95) < 150

    @pytest.mark.slow
    def test_float32_reaches_small_gaps_wherever_payoffs_lie(self):
        """Zero-sum games are the hardest; what payoffs have in common decides nothing."""
        matrices = uniform(7, (100, 8, 8))
        payoffs = jnp.stack([matrices, -matrices], axis=1)
        for offset in (0, 100, 1000):
            game = jax.vmap(games.NormalFormGame)((payoffs + offset).astype(jnp.float32))
            found = to_four_digits(game)
            assert (found.result == gamejax.RESULTS.successful).mean() > 0.95
            # The certificate itself is rounded like the payoffs.
            assert (found.gap < 3e-4).all()
            levels = to_precision_ten(game)
            assert (levels.result == gamejax.RESULTS.successful).all()
            exact = to_precision_ten(jax.vmap(games.NormalFormGame)(payoffs))
            for x, y in zip(levels.profile, exact.profile, strict=True):
                np.testing.assert_allclose(x, y, atol=2e-3 if offset else 1e-5)

    @pytest.mark.slow
    def test_offsets_change_no_derivative(self):
        game = games.NormalFormGame(uniform(8, (2, 3, 4)))

        def share(payoffs):
            game = games.NormalFormGame(payoffs)
            solver = solvers.LogitEquilibrium(3.0)
            found = gamejax.solve(game, solver, tol=1e-12, adjoint=gamejax.Implicit())
            return found.profile[0][0]

        slopes = jax.jit(jax.vmap(jax.grad(share)))
        here, moved = slopes(jnp.stack([game.payoffs, game.payoffs + 100]))
        np.testing.assert_allclose(here, moved, atol=1e-9)
        np.testing.assert_allclose(here.sum((1, 2)), 0, atol=1e-12)

    def test_failures_are_data(self):
        game = games.MatrixGame(MATRIX)
        short = gamejax.solve(game, solvers.LogitHomotopy(max_precision=5.0), tol=1e-9)
        assert short.result == gamejax.RESULTS.stalled
        np.testing.assert_allclose(short.stats["precision"], 5.0 / 3)
        broken = gamejax.solve(games.MatrixGame(MATRIX * jnp.nan), solvers.LogitHomotopy())
        assert broken.result == gamejax.RESULTS.nonfinite


def test_annealed_magnetic_mirror_descent_goes_to_nash():
    @jax.jit
    @jax.vmap
    def gap_after(matrix):
        learner = learners.MagneticMirrorDescent(1.0, 1.0, decay=0.5)
        solver = solvers.SelfPlay(learner, averaging=solvers.Last())
        return gamejax.play(games.MatrixGame(matrix), solver, 4000, record=400).gaps

    gaps = gap_after(uniform(6, (20, 3, 3)))
    assert (gaps[:, -1] < 0.5 * gaps[:, 0]).all()
    assert gaps[:, -1].max() < 0.06

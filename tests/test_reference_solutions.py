"""Gambit's sample games, solved: honest certificates, and correlated totals within their bounds."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gamejax
from gamejax import games, learners, metrics, solvers
from tests.test_game_files import evaluate, needs_shared, payoffs_of, reference


@cache
def samples():
    """By number of players: names, payoffs and payoff ranges of the 105 games with payoffs."""
    groups = {}
    for name in reference():
        payoffs = payoffs_of(name)
        if payoffs is not None:
            groups.setdefault(len(payoffs), []).append((name, payoffs))
    assert sum(map(len, groups.values())) == 105
    return groups


def solve_all(solver, gap, tol, max_steps):
    """Every sample game by one program per number of players; yields name, payoffs, solution."""

    def one(game, scale):
        return gamejax.solve(game, solver(game), gap=gap, tol=tol * scale, max_steps=max_steps)

    for group in samples().values():
        stacked = games.pad_games([games.NormalFormGame(payoffs) for _, payoffs in group])
        scales = jnp.array([max(np.ptp(payoffs), 1e-12) for _, payoffs in group])
        solutions = jax.device_get(jax.jit(jax.vmap(one))(stacked, scales))
        for k, (name, payoffs) in enumerate(group):
            yield name, payoffs, float(scales[k]), jax.tree.map(lambda x, k=k: x[k], solutions)


def deviation_matrix(payoffs, joint, player):
    """`G[a, b]` in NumPy, straight from its definition."""
    own = np.moveaxis(payoffs[player], player, 0).reshape(joint.shape[player], -1)
    weights = np.moveaxis(joint, player, 0).reshape(joint.shape[player], -1)
    return weights @ own.T


def check_nash(max_steps, least):
    reached = 0
    for name, payoffs, scale, solution in solve_all(gamejax.default_solver, None, 1e-6, max_steps):
        profile = [x[:n] for x, n in zip(solution.profile, payoffs.shape[1:], strict=True)]
        for full, own in zip(solution.profile, profile, strict=True):
            assert (own >= 0).all(), name
            assert abs(own.sum() - 1) < 1e-9, name
            assert (full[len(own) :] == 0).all(), name
        expected, gains = evaluate(payoffs, profile)
        assert abs(solution.gap - gains.max()) <= 1e-12 * scale, name
        np.testing.assert_allclose(solution.stats["payoffs"], expected, atol=1e-12 * scale)
        solved = bool(solution.result == gamejax.RESULTS.successful)
        assert solved == bool(solution.gap <= 1e-6 * scale), name
        reached += solved
    assert reached >= least
    return reached


def deviation_rows(payoffs, notion):
    """Incentive constraints as rows over flattened profiles: gains from deviating, at most eps."""
    shape = payoffs.shape[1:]
    index = np.indices(shape)
    for player, n in enumerate(shape):
        own = payoffs[player]
        for b in range(n):
            gain = np.take(own, [b], axis=player) - own
            if notion == "cce":
                yield gain.ravel()
                continue
            for a in set(range(n)) - {b}:
                yield np.where(index[player] == a, gain, 0.0).ravel()


def total_bounds(payoffs, notion, gap):
    """Smallest and largest total payoff of joint play whose single deviations gain at most gap."""
    scale = max(np.ptp(payoffs), 1e-12)
    total = payoffs.sum(0).ravel()
    rows = np.array([*deviation_rows(payoffs / scale, notion), np.zeros(total.size)])
    bounds = []
    for sign in (1, -1):
        program = scipy.optimize.linprog(
            sign * total / scale,
            A_ub=rows,
            b_ub=np.full(len(rows), gap / scale + 1e-9),
            A_eq=np.ones((1, total.size)),
            b_eq=[1.0],
            method="highs",
        )
        assert program.status == 0, program.message
        bounds.append(sign * program.fun * scale)
    return bounds


def check_correlated(notion, gap, learner, max_steps, tol, least):
    """Certificates are NumPy's, and totals lie where play with that gap must lie."""
    solver = solvers.SelfPlay(learner, averaging=solvers.Linear(), output="joint")
    reached = 0
    for name, payoffs, scale, solution in solve_all(lambda game: solver, gap, tol, max_steps):
        inside = solution.profile.probabilities[tuple(slice(n) for n in payoffs.shape[1:])]
        assert abs(inside.sum() - 1) < 1e-9, name
        worst = -np.inf
        for player in range(len(payoffs)):
            G = deviation_matrix(payoffs, inside, player)
            best = G.max(1).sum() if notion == "ce" else G.sum(0).max()
            worst = max(worst, best - np.trace(G))
        assert abs(solution.gap - worst) <= 1e-12 * scale, name
        reached += bool(solution.gap <= tol * scale)
        known = reference()[name].get(notion)
        if known is None:
            continue
        exact = total_bounds(payoffs, notion, 0.0)
        np.testing.assert_allclose(
            exact, [known["min_total"], known["max_total"]], atol=3e-6 * scale, err_msg=name
        )
        low, high = total_bounds(payoffs, notion, max(float(solution.gap), 0.0))
        total = float((inside * payoffs).sum())
        assert low - 1e-6 * scale <= total <= high + 1e-6 * scale, name
    assert reached >= least


@needs_shared
@pytest.mark.slow
def test_every_sample_game_is_solved_or_honestly_not():
    check_nash(max_steps=200, least=105)


@needs_shared
@pytest.mark.slow
def test_coarse_correlated_totals_stay_within_their_bounds():
    learner = learners.PredictiveRegretMatchingPlus()
    check_correlated("cce", metrics.coarse_correlated_gap, learner, 600, 1e-3, least=105)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("notion", ["ce", "cce"])
def test_correlated_totals_stay_within_their_bounds(notion):
    learner = learners.PredictiveRegretMatchingPlus()
    if notion == "ce":
        learner, gap = learners.BlumMansour(learner), metrics.correlated_gap
    else:
        gap = metrics.coarse_correlated_gap
    check_correlated(notion, gap, learner, 20_000, 1e-4, least=103)


@needs_shared
@pytest.mark.slow
def test_each_sample_game_alone():
    for group in samples().values():
        for name, payoffs in group:
            solution = gamejax.solve(games.NormalFormGame(payoffs), max_steps=200)
            gains = evaluate(payoffs, [np.asarray(x) for x in solution.profile])[1]
            assert abs(solution.gap - gains.max()) <= 1e-12 * max(np.ptp(payoffs), 1e-12), name

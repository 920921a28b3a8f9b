"""Pure and mixed equilibria, dominance, stability, potentials and values of known games."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from gamejax._equilibria import equilibria, value
from gamejax._interior_point import solve_matrix_game
from gamejax.games import (
    CongestionGame,
    MatrixGame,
    NormalFormGame,
    SymmetricGame,
    analysis,
    bimatrix,
    to_normal_form,
)
from gamejax.games._symmetric_equilibria import _check_symmetric as common_actions
from gamejax.games._symmetric_equilibria import _strictly_copositive
from gamejax.games.analysis import (
    is_evolutionarily_stable,
    iterated_dominance,
    pure_equilibria,
    pure_gains,
    symmetric_equilibria,
)
from gamejax.sets import CappedSimplex, Simplex

potential = eqx.filter_jit(analysis.potential)
CHICKEN = np.array([[6, 2], [7, 0.0]])
DILEMMA = np.array([[3, 0], [4, 1.0]])
RPS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0.0]])


def symmetric(payoff):
    return bimatrix(payoff, np.asarray(payoff).T)


def test_pure_equilibria_of_classics():
    assert pure_equilibria(symmetric(CHICKEN)) == [(0, 1), (1, 0)]
    assert pure_equilibria(symmetric(DILEMMA)) == [(1, 1)]
    assert pure_equilibria(MatrixGame(RPS)) == []
    assert pure_equilibria(MatrixGame(RPS), tol=2.0) == list(itertools.product(range(3), repeat=2))
    np.testing.assert_allclose(pure_gains(symmetric(DILEMMA))[0], [[1, 1], [0, 0]])


def test_pure_gains_against_loops():
    shape = (2, 3, 4)
    payoffs = np.array(jax.random.randint(jax.random.key(0), (3, *shape), 0, 4), float)
    game = NormalFormGame(payoffs)
    gains = np.asarray(jax.jit(pure_gains)(game))
    expected = []
    for a in np.ndindex(shape):
        found = [
            max(payoffs[(i, *a[:i], b, *a[i + 1 :])] for b in range(shape[i])) - payoffs[(i, *a)]
            for i in range(3)
        ]
        np.testing.assert_allclose(gains[(slice(None), *a)], found)
        if max(found) == 0:
            expected.append(a)
    assert pure_equilibria(game) == expected


def test_padded_actions_are_no_equilibria():
    payoff = np.full((3, 4), 9.0)
    payoff[:2, :2] = CHICKEN
    other = np.full((3, 4), 9.0)
    other[:2, :2] = CHICKEN.T
    masks = Simplex(3, jnp.array([True, True, False])), Simplex(4, jnp.arange(4) < 2)
    game = NormalFormGame([payoff, other], masks)
    assert pure_equilibria(game) == [(0, 1), (1, 0)]
    assert iterated_dominance(game).surviving == ((0, 1), (0, 1))
    found = equilibria(game)
    assert (found.count, found.complete) == (3, True)
    np.testing.assert_allclose(np.sort(found.profiles[0][:, 0]), [0, 2 / 3, 1], atol=1e-12)
    assert (found.profiles[0][:, 2] == 0).all()
    assert (found.profiles[1][:, 2:] == 0).all()
    with pytest.raises(TypeError, match="CappedSimplex"):
        pure_equilibria(MatrixGame(RPS, [CappedSimplex(3, 0.5), Simplex(3)]))


def test_iterated_dominance():
    result = iterated_dominance(symmetric(DILEMMA))
    assert result.surviving == ((1,), (1,))
    assert result.rounds == (((0, 0), (1, 0)),)
    # Two rounds: the column player's last action goes first, then the row player's second.
    game = bimatrix([[1, 1, 0], [0, 0, 2.0]], [[0, 2, 1], [3, 1, 0.0]])
    result = iterated_dominance(game)
    assert result.rounds == (((1, 2),), ((0, 1),), ((1, 0),))
    assert result.surviving == ((0,), (1,))
    # Equal actions dominate each other in no sense; weak dominance needs one strict inequality.
    weak = bimatrix([[1, 1], [1, 0.0]], np.zeros((2, 2)))
    assert iterated_dominance(weak).surviving == ((0, 1), (0, 1))
    assert iterated_dominance(weak, strict=False).surviving == ((0,), (0, 1))
    for mixed in (False, True):
        equal = MatrixGame(np.ones((2, 3)))
        assert iterated_dominance(equal, strict=False, mixed=mixed).rounds == ()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_dominance_by_mixtures(dtype):
    # Half of each of the first two rows earns 1.5 everywhere.
    payoff = jnp.asarray([[3, 0], [0, 3], [1, 1]], dtype)
    game = bimatrix(payoff, jnp.zeros_like(payoff))
    assert iterated_dominance(game).surviving == ((0, 1, 2), (0, 1))
    assert iterated_dominance(game, mixed=True).surviving == ((0, 1), (0, 1))
    # Equal to the mixture in one column, worse in the other: weakly dominated only.
    payoff = jnp.asarray([[4, 0, 1], [0, 4, 1], [2, 2, 0]], dtype)
    game = bimatrix(payoff, jnp.zeros_like(payoff))
    assert iterated_dominance(game, mixed=True).surviving[0] == (0, 1, 2)
    assert iterated_dominance(game, strict=False, mixed=True).surviving[0] == (0, 1)
    assert iterated_dominance(game, strict=False).surviving[0] == (0, 1, 2)


def test_mixed_dominance_against_linear_programs():
    payoffs = np.array(jax.random.normal(jax.random.key(1), (6, 5, 3)))
    for table in payoffs:
        game = bimatrix(table, np.zeros_like(table))
        first = iterated_dominance(game, mixed=True).rounds
        dominated = {a for player, a in (first[0] if first else ()) if player == 0}
        for a in range(5):
            # Largest e with p'U(., s) >= U(a, s) + e for all s.
            best = linprog(
                [*np.zeros(5), -1],
                A_ub=np.c_[-table.T, np.ones(3)],
                b_ub=-table[a],
                A_eq=[[1] * 5 + [0]],
                b_eq=[1],
                bounds=[(0, 1)] * 5 + [(None, None)],
            )
            assert (-best.fun > 1e-9) == (a in dominated)


def test_symmetric_equilibria():
    found = symmetric_equilibria(symmetric(CHICKEN))
    assert (found.count, found.complete) == (1, True)
    np.testing.assert_allclose(found.profiles[0][0], [2 / 3, 1 / 3], atol=1e-12)
    coordination = symmetric_equilibria(symmetric(np.diag([1.0, 2.0, 3.0])))
    assert (coordination.count, coordination.complete) == (7, True)
    assert np.max(coordination.gaps) < 1e-12
    redundant = symmetric_equilibria(symmetric(np.ones((2, 2))))
    assert not redundant.complete
    for wrong in (MatrixGame(np.eye(2)), bimatrix(CHICKEN, CHICKEN), MatrixGame(np.eye(2, 3))):
        with pytest.raises(ValueError, match=r"[Ss]ymmetric"):
            symmetric_equilibria(wrong)
    with pytest.raises(ValueError, match="131071"):
        symmetric_equilibria(symmetric(np.eye(17)))


def test_symmetric_equilibria_of_three_players():
    # Volunteer's dilemma, cost 1/4: nobody volunteers with probability q, q^2 = 1/4.
    game = SymmetricGame(np.array([[0.75, 0.75, 0.75], [1, 1, 0]]), 3)
    found = symmetric_equilibria(game)
    assert (found.count, found.complete, len(found.profiles)) == (1, False, 3)
    np.testing.assert_allclose(found.profiles[0][0], [0.5, 0.5], atol=1e-10)
    assert common_actions(to_normal_form(game)).all()
    biased = NormalFormGame(to_normal_form(game).payoffs.at[0, 0, 0, 1].add(1))
    with pytest.raises(ValueError, match="symmetric"):
        symmetric_equilibria(biased)


def test_evolutionary_stability_of_classics():
    hawk_dove = symmetric(np.array([[-1, 2], [0, 1.0]]))
    assert is_evolutionarily_stable(hawk_dove, [0.5, 0.5])
    assert not is_evolutionarily_stable(hawk_dove, [1.0, 0.0])
    assert not is_evolutionarily_stable(MatrixGame(RPS), [1 / 3] * 3)
    good = RPS - 0.1 * np.eye(3)  # a draw costs: now stable
    assert is_evolutionarily_stable(symmetric(good), [1 / 3] * 3)
    assert not is_evolutionarily_stable(symmetric(RPS + 0.1 * np.eye(3)), [1 / 3] * 3)
    coordination = symmetric(np.diag([1.0, 2.0]))
    assert is_evolutionarily_stable(coordination, [1.0, 0.0])
    assert not is_evolutionarily_stable(coordination, [2 / 3, 1 / 3])
    # A mutant that does as well against itself is not driven out.
    assert not is_evolutionarily_stable(symmetric(np.ones((2, 2))), [1.0, 0.0])
    assert is_evolutionarily_stable(symmetric(np.array([[1, 1], [1, 0.0]])), [1.0, 0.0])
    with pytest.raises(ValueError, match="probability vector"):
        is_evolutionarily_stable(hawk_dove, [0.5, 0.6])
    with pytest.raises(ValueError, match="two players"):
        is_evolutionarily_stable(SymmetricGame(np.ones((2, 3)), 3), [0.5, 0.5])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_verdicts_do_not_depend_on_rounding_scale_or_offset(dtype):
    # A draw costs a tenth: the one equilibrium of this rock-paper-scissors is stable.
    payoff = 0.7 * (RPS - 0.1 * np.eye(3))
    for scale, offset in ((1, 0), (1e4, 0), (1e-6, 0), (1, 10)):
        moved = jnp.asarray(scale * payoff + offset, dtype)
        game = bimatrix(moved, moved.T)
        found = symmetric_equilibria(game)
        assert found.count == 1
        np.testing.assert_allclose(found.profiles[0][0], 1 / 3, atol=1e-5)
        assert is_evolutionarily_stable(game, found.profiles[0][0])
        assert is_evolutionarily_stable(game, [1 / 3] * 3)
        cycle = jnp.asarray(scale * RPS + offset, dtype)
        assert not is_evolutionarily_stable(bimatrix(cycle, cycle.T), [1 / 3] * 3)
    volunteers = np.array([[0.75, 0.75, 0.75], [1, 1, 0]])
    for scale in (1, 1e4, 1e-6):
        game = SymmetricGame(jnp.asarray(scale * volunteers, dtype), 3)
        found = symmetric_equilibria(game)
        assert found.count == 1
        np.testing.assert_allclose(found.profiles[0][0], 0.5, atol=1e-5)
    biased = np.stack([payoff, payoff.T + 0.01 * np.eye(3)])
    with pytest.raises(ValueError, match="symmetric"):
        symmetric_equilibria(NormalFormGame(jnp.asarray(1e-6 * biased, dtype)))


def test_strict_copositivity_against_a_grid():
    rng = np.random.default_rng(0)
    grid = np.array([p for p in itertools.product(range(13), repeat=4) if sum(p) == 12]) / 12
    verdicts = []
    for _ in range(400):
        n = int(rng.integers(1, 5))
        matrix = rng.integers(-2, 4, (n, n)) + 2.0 * np.eye(n)
        matrix = (matrix + matrix.T) / 2
        points = grid[(grid[:, n:] == 0).all(1), :n]
        values = np.einsum("pi,ij,pj->p", points, matrix, points)
        verdict = _strictly_copositive(matrix, 1e-9)
        verdicts.append(verdict)
        assert not verdict or values.min() > 0
        if values.min() <= 0:
            assert not verdict
        elif not verdict:  # the witness lies between grid points: close to them all the same
            assert values.min() < 0.05
    assert 50 < sum(verdicts) < 350


def test_stability_against_invasion():
    # Small integers give best responses outside the support.
    rng = np.random.default_rng(1)
    draws = np.concatenate([rng.dirichlet(np.full(3, 0.4), 4000), np.eye(3)])
    draws = np.concatenate([draws, np.array([[k, 60 - k, 0] for k in range(61)]) / 60])
    draws = np.concatenate([draws, draws[-61:, [0, 2, 1]], draws[-61:, [2, 0, 1]]])
    stable = 0
    for _ in range(60):
        payoff = rng.integers(-1, 2, (3, 3)).astype(float)
        for k in range(3):
            p = np.eye(3)[k]
            utility = payoff @ p
            if utility[k] < utility.max():
                assert not is_evolutionarily_stable(symmetric(payoff), p)
                continue
            q = draws[(draws[:, utility < utility.max()] == 0).all(1) & (draws[:, k] < 1)]
            resists = np.einsum("qi,ij,qj->q", p - q, payoff, q)
            verdict = is_evolutionarily_stable(symmetric(payoff), p)
            stable += verdict
            assert verdict == bool((resists > 1e-12).all())
    assert stable > 10


def test_potential_of_known_games():
    common = np.array([[2, 0, 1], [0, 1, 5.0]])
    found = potential(bimatrix(common, common))
    np.testing.assert_allclose(found.values, common - common.mean(), atol=1e-14)
    assert found.defect == pytest.approx(0, abs=1e-14)
    found = potential(symmetric(DILEMMA))
    assert found.defect == pytest.approx(0, abs=1e-14)
    assert found.values[1, 1] - found.values[0, 1] == pytest.approx(1)
    assert potential(MatrixGame(RPS)).defect > 1
    # Weighted: a payoff is the weight times the potential, and something the player cannot move.
    scaled = bimatrix(2 * common + np.array([[1, 4, -2.0]]), 0.5 * common)
    assert potential(scaled).defect > 0.1
    weighted = potential(scaled, weights=[2.0, 0.5])
    np.testing.assert_allclose(weighted.values, common - common.mean(), atol=1e-14)
    assert weighted.defect == pytest.approx(0, abs=1e-13)
    with pytest.raises(ValueError, match="weights"):
        potential(scaled, weights=[1.0])


@pytest.mark.slow
def test_potential_of_congestion_games_is_rosenthals():
    delays = np.array(jax.random.uniform(jax.random.key(4), (4, 3)))
    uses = np.array(jax.random.bernoulli(jax.random.key(5), 0.5, (3, 3, 4)), float)
    game = CongestionGame(delays, uses)
    found = potential(game)
    actions = jnp.asarray(list(np.ndindex(3, 3, 3)))
    expected = np.asarray(jax.vmap(game.potential)(actions)).reshape(3, 3, 3)
    np.testing.assert_allclose(found.values, expected - expected.mean(), atol=1e-13)
    assert found.defect < 1e-13
    best = np.unravel_index(np.argmax(expected), expected.shape)
    assert tuple(int(a) for a in best) in pure_equilibria(game, tol=1e-12)


def test_nearest_potential_is_the_least_squares_one():
    shape = (2, 3, 2)
    payoffs = np.array(jax.random.normal(jax.random.key(2), (3, *shape)))
    center = [np.eye(n) - 1 / n for n in shape]
    blocks = []
    for i in range(3):
        factors = [center[j] if j == i else np.eye(n) for j, n in enumerate(shape)]
        blocks.append(np.kron(np.kron(factors[0], factors[1]), factors[2]))
    system = np.concatenate(blocks)
    target = np.concatenate([b @ u.reshape(-1) for b, u in zip(blocks, payoffs, strict=True)])
    expected = np.linalg.lstsq(system, target, rcond=None)[0]
    found = potential(NormalFormGame(payoffs))
    np.testing.assert_allclose(found.values.reshape(-1), expected - expected.mean(), atol=1e-12)
    rest = payoffs - np.asarray(found.values)
    assert found.defect == pytest.approx(max(np.ptp(rest[i], axis=i).max() for i in range(3)))
    padded = np.full((3, 3, 3, 3), 5.0)
    padded[:, :2, :, :2] = payoffs
    sets = [Simplex(3, jnp.arange(3) < n) for n in shape]
    wide = potential(NormalFormGame(padded, sets))
    np.testing.assert_allclose(wide.values[:2, :, :2], found.values, atol=1e-12)
    assert wide.defect == pytest.approx(float(found.defect))


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
def test_equilibria_of_classics(dtype):
    tol = 1e-5 if dtype == jnp.float32 else 1e-11

    def solve(first, second):
        return equilibria(bimatrix(jnp.asarray(first, dtype), jnp.asarray(second, dtype)))

    chicken = solve(CHICKEN, CHICKEN.T)
    assert (chicken.count, chicken.complete) == (3, True)
    assert chicken.profiles[0].dtype == dtype
    np.testing.assert_allclose(np.sort(chicken.profiles[0][:, 0]), [0, 2 / 3, 1], atol=tol)
    np.testing.assert_allclose(chicken.gaps, 0, atol=tol)
    rps = solve(RPS, -RPS)
    assert (rps.count, rps.complete) == (1, True)
    np.testing.assert_allclose(rps.profiles[1][0], 1 / 3, atol=tol)
    coordination = solve(np.diag([1, 2, 3, 4.0]), np.diag([2, 1, 1, 3.0]))
    assert (coordination.count, coordination.complete) == (15, True)
    # Both rows answer the first column: infinitely many equilibria.
    degenerate = solve([[1, 0], [1, 1.0]], [[1, 0], [1, 1.0]])
    assert not degenerate.complete
    assert degenerate.count >= 2


def test_equilibria_of_random_games():
    rng = np.random.default_rng(2)
    for _ in range(12):
        a, b = rng.normal(size=(2, 3, 4))
        game = bimatrix(a, b)
        found = equilibria(game, "supports")
        assert found.complete
        assert found.count % 2 == 1  # Wilson: an odd number, in non-degenerate games
        assert np.max(found.gaps) < 1e-12
        pure = equilibria(game, "pure")
        assert not pure.complete
        for x, y in zip(*pure.profiles, strict=True):
            apart = abs(found.profiles[0] - x[None]).max(1) + abs(found.profiles[1] - y[None]).max(
                1
            )
            assert apart.min() < 1e-12


def test_equilibria_of_other_games():
    payoffs = np.zeros((3, 2, 2, 2))
    payoffs[:, 1, 1, 1] = 1
    found = equilibria(NormalFormGame(payoffs))
    assert not found.complete
    assert found.count == len(pure_equilibria(NormalFormGame(payoffs)))
    assert (found.gaps == 0).all()
    assert equilibria(MatrixGame(RPS), "pure").count == 0
    with pytest.raises(ValueError, match="two players"):
        equilibria(NormalFormGame(payoffs), "supports")
    with pytest.raises(ValueError, match="601080389"):
        equilibria(MatrixGame(np.eye(16)), "supports")
    with pytest.raises(ValueError, match="method"):
        equilibria(MatrixGame(RPS), "all")  # pyright: ignore[reportArgumentType]


def program_value(payoff):
    rows, columns = payoff.shape
    best = linprog(
        [*np.zeros(rows), -1],
        A_ub=np.c_[-payoff.T, np.ones(columns)],
        b_ub=np.zeros(columns),
        A_eq=[[1] * rows + [0]],
        b_eq=[1],
        bounds=[(0, 1)] * rows + [(None, None)],
    )
    return -best.fun


def test_values_against_linear_programs():
    rng = np.random.default_rng(3)

    @jax.jit
    @jax.vmap
    def solve(payoff):
        saddle = solve_matrix_game(payoff)
        strictness = jnp.concatenate(
            [
                jnp.maximum(saddle.row, saddle.row_slack),
                jnp.maximum(saddle.column, saddle.column_slack),
            ]
        )
        return value(MatrixGame(payoff)), strictness.min(), saddle.num_steps

    for kind in (rng.uniform(-1, 1, (40, 5, 8)), rng.integers(-1, 2, (40, 5, 8)) * 3.0):
        expected = [program_value(payoff) for payoff in kind]
        values, strictness, num_steps = solve(jnp.asarray(kind))
        np.testing.assert_allclose(values, expected, atol=1e-11)
        assert strictness.min() > 1e-6  # every action is played or worse, ties or not
        assert num_steps.max() < 25
        single, _, _ = solve(jnp.asarray(kind, jnp.float32))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, expected, atol=2e-5)
    large = rng.uniform(-1, 1, (64, 64))
    assert value(MatrixGame(large)) == pytest.approx(program_value(large), abs=1e-10)


def test_values_of_constant_sum_games_and_gradients():
    constant = bimatrix((RPS + 1) / 2, (1 - RPS) / 2)
    assert value(constant) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="sum to a constant"):
        value(symmetric(CHICKEN))
    with pytest.raises(ValueError, match="two-player"):
        value(NormalFormGame(np.zeros((3, 2, 2, 2))))
    masked = MatrixGame(
        np.array([[1, -1, -9], [-1, 1, -9], [9, 9, 9.0]]),
        [Simplex(3, jnp.arange(3) < 2), Simplex(3, jnp.arange(3) < 2)],
    )
    assert value(masked) == pytest.approx(0, abs=1e-12)
    payoff = jnp.array([[2, -1], [-1, 1.0]])  # x = y = (2/5, 3/5), value 1/5
    solved, gradient = jax.value_and_grad(lambda a: value(MatrixGame(a)))(payoff)
    assert solved == pytest.approx(1 / 5, abs=1e-12)
    np.testing.assert_allclose(gradient, np.outer([0.4, 0.6], [0.4, 0.6]), atol=1e-10)

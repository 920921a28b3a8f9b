"""The simplex method, Lemke-Howson and support enumeration: exact, also where games degenerate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy.optimize import linprog

import gamejax
from gamejax import RESULTS, games, solvers
from gamejax._interior_point import solve_matrix_game
from gamejax.sets import Simplex
from gamejax.solvers import _pivoting
from gamejax.solvers._pivoting import leaving_row, perturbation
from tests.test_game_files import needs_shared, payoffs_of, reference

SIMPLEX = solvers.SimplexMethod()
KINDS = ("uniform", "integers", "signs", "repeated", "constant", "scaled")


def draw(rng, kind, shape):
    """Random matrices, most of them with ties."""
    if kind == "uniform":
        return rng.uniform(-1, 1, shape)
    if kind == "integers":
        return rng.integers(-2, 3, shape) * 1.0
    if kind == "signs":
        return rng.integers(0, 2, shape) * 1.0
    if kind == "constant":
        return np.full(shape, -2.5)
    matrices = rng.uniform(-1, 1, shape)
    if kind == "scaled":
        return 1e6 * matrices - 3e6
    matrices[:, shape[1] // 2 :] = matrices[:, : shape[1] - shape[1] // 2]
    return matrices


@jax.jit
@jax.vmap
def saddle(payoff):
    return gamejax.solve(games.MatrixGame(payoff), SIMPLEX, tol=1e-9)


@jax.jit
@jax.vmap
def path(a, b, label):
    return gamejax.solve(games.bimatrix(a, b), solvers.LemkeHowson(label), tol=1e-9)


def check_profile(profile, atol):
    for x in profile:
        x = np.asarray(x)
        assert (x >= 0).all()
        np.testing.assert_allclose(x.sum(-1), 1, atol=atol)


# Zero-sum games.


def mixed_bag(seed, shape):
    """Sixty matrices of every kind, and what one is relative to."""
    rng = np.random.default_rng(seed)
    matrices = np.concatenate([draw(rng, kind, (60, *shape)) for kind in KINDS])
    return matrices, np.maximum(np.ptp(matrices, axis=(1, 2)), 1)


def test_zero_sum_games_are_solved_exactly():
    matrices, sizes = mixed_bag(0, (5, 8))
    found = saddle(matrices)
    check_profile(found.profile, 1e-14)
    assert np.max(found.gap / sizes) < 1e-14
    assert 3 < np.max(found.stats["num_pivots"]) <= 20
    for k in range(0, len(matrices), 12):
        program = linprog(
            [*np.zeros(5), -1],
            A_ub=np.c_[-matrices[k].T, np.ones(8)],
            b_ub=np.zeros(8),
            A_eq=[[1] * 5 + [0]],
            b_eq=[1],
            bounds=[(0, 1)] * 5 + [(None, None)],
        )
        assert found.stats["payoffs"][k, 0] == pytest.approx(-program.fun, abs=1e-9, rel=1e-9)

    single = saddle(matrices.astype(np.float32))
    assert single.profile[0].dtype == single.gap.dtype == jnp.float32
    assert np.max(np.asarray(single.gap) / sizes) < 3e-6


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (8, 3), (16, 16), (64, 64), (96, 128)])
def test_zero_sum_games_of_many_sizes(shape):
    rng = np.random.default_rng(2)
    for kind in KINDS:
        matrices = draw(rng, kind, (max(2, 512 // shape[0]), *shape))
        sizes = np.maximum(np.ptp(matrices, axis=(1, 2)), 1)
        found = saddle(matrices)
        assert np.max(found.gap / sizes) < 1e-13, kind
        central = jax.vmap(solve_matrix_game)(matrices)
        value = np.einsum("bi,bij,bj->b", central.row, matrices, central.column)
        np.testing.assert_allclose(found.stats["payoffs"][:, 0] / sizes, value / sizes, atol=1e-10)
        single = saddle(matrices.astype(np.float32))
        assert np.max(np.asarray(single.gap) / sizes) < 3e-5, kind


@pytest.mark.slow
def test_padded_actions_are_never_played():
    rng = np.random.default_rng(3)
    ragged = [
        games.MatrixGame(rng.normal(size=shape)) for shape in [(2, 5), (4, 3), (5, 5), (1, 2)]
    ]
    stacked = games.pad_games(ragged)
    found = jax.jit(jax.vmap(lambda g: gamejax.solve(g, SIMPLEX, tol=1e-12)))(stacked)
    assert (found.result == RESULTS.successful).all()
    both = games.pad_games([games.bimatrix(g.payoff, g.payoff**2) for g in ragged])
    other = jax.jit(jax.vmap(lambda g: gamejax.solve(g, solvers.LemkeHowson(), tol=1e-12)))(both)
    assert (other.result == RESULTS.successful).all()
    for k, game in enumerate(ragged):
        n, m = game.payoff.shape
        assert (found.profile[0][k, n:] == 0).all()
        assert (found.profile[1][k, m:] == 0).all()
        assert (other.profile[0][k, n:] == 0).all()
        assert (other.profile[1][k, m:] == 0).all()
        value = gamejax.value(game)
        assert found.stats["payoffs"][k, 0] == pytest.approx(float(value), abs=1e-12)
        assert jnp.isfinite(found.stats["condition"][k])


def test_stopping_and_going_on():
    payoff = np.random.default_rng(8).uniform(-1, 1, (8, 8))
    game = games.MatrixGame(payoff)
    solve = functools.partial(gamejax.solve, game, SIMPLEX, tol=0.0)
    whole = solve(max_steps=1000)
    pivots = int(whole.stats["num_pivots"])
    assert pivots > 2
    for taken in range(pivots):
        part = solve(max_steps=taken)
        assert part.result == RESULTS.max_steps_reached
        assert part.stats["num_pivots"] == taken
        assert part.gap > 0
        rest = solve(max_steps=1000, init=part)
        assert rest.stats["num_pivots"] == pivots
        np.testing.assert_allclose(rest.profile[0], whole.profile[0], atol=1e-13)
    assert whole.result in (RESULTS.stalled, RESULTS.successful)
    np.testing.assert_array_equal(gamejax.play(game, SIMPLEX, pivots).solution.state.running, True)
    started = solve(max_steps=0, init=(np.eye(8)[0], np.eye(8)[6]))
    assert started.profile[1][6] == 1


def test_constant_sum_games_and_refusals():
    rock = jnp.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    found = gamejax.solve(games.bimatrix(rock, 1 - rock), SIMPLEX, tol=1e-12)
    np.testing.assert_allclose(found.profile[0], 1 / 3, atol=1e-14)
    with pytest.raises(ValueError, match="sum to a constant"):
        gamejax.solve(games.bimatrix(rock, rock), SIMPLEX)
    for solver in (SIMPLEX, solvers.LemkeHowson(), solvers.SupportEnumeration()):
        with pytest.raises(ValueError, match="two players"):
            gamejax.solve(games.NormalFormGame(np.zeros((3, 2, 2, 2))), solver)
        with pytest.raises(TypeError, match="CappedSimplex"):
            gamejax.solve(games.smoothed(games.MatrixGame(rock), cap=0.5), solver)
    with pytest.raises(ValueError, match="label"):
        solvers.LemkeHowson(-1)
    with pytest.raises(ValueError, match="below 6"):
        gamejax.solve(games.bimatrix(rock, rock), solvers.LemkeHowson(6))
    with pytest.raises(ValueError, match="601080389"):
        gamejax.solve(games.MatrixGame(np.eye(16)), solvers.SupportEnumeration())
    with pytest.raises(TypeError, match="Implicit"):
        jax.jacfwd(lambda a: gamejax.play(games.MatrixGame(a), SIMPLEX, 2).gaps)(rock)


# Transformations and derivatives.


def test_derivatives_of_value_and_strategies():
    matrices = jnp.asarray(np.random.default_rng(4).uniform(-1, 1, (200, 3, 3)))

    @jax.jit
    @jax.vmap
    def solve(a):
        adjoint = gamejax.Implicit()
        return gamejax.solve(games.MatrixGame(a), SIMPLEX, tol=1e-9, adjoint=adjoint)

    @jax.jit
    @jax.vmap
    def derivatives(a, direction):
        def both(a):
            adjoint = gamejax.Implicit()
            solution = gamejax.solve(games.MatrixGame(a), SIMPLEX, tol=1e-9, adjoint=adjoint)
            return solution.profile, solution.stats["payoffs"][0]

        return jax.jvp(both, (a,), (direction,))[1]

    direction, h = matrices[::-1], 1e-6
    tangent, rate = derivatives(matrices, direction)
    ahead, behind, solution = (solve(matrices + t * direction) for t in (h, -h, 0))
    outer = np.einsum("bi,bj->bij", *solution.profile)
    np.testing.assert_allclose(rate, (outer * direction).sum((1, 2)), atol=1e-12)
    margin = np.asarray(solution.state.margin)
    np.testing.assert_array_equal(np.isfinite(solution.state.condition), margin > 1e-9)
    safe = (solution.state.condition < 50) & (margin > 1e-4)
    assert safe.mean() > 0.9
    for own, p, q in zip(tangent, ahead.profile, behind.profile, strict=True):
        np.testing.assert_allclose(own[safe], ((p - q) / (2 * h))[safe], atol=1e-5)


def test_degenerate_games_say_so():
    matrices = np.zeros((4, 3, 3))
    matrices[0] = np.diag([1, 2, 3])  # one mixed equilibrium
    matrices[1] = [[1, 1, 2], [0, 0, 3], [0, 0, 1]]  # two columns alike
    matrices[2] = [[0, 1, 2], [0, -1, -1], [0, -2, -1]]  # rows tie at the saddle
    matrices[3] = [[2, 3, 3], [1, 0, 0], [1, 0, 0]]  # a strict saddle
    found = saddle(matrices)
    np.testing.assert_array_equal(np.isfinite(found.stats["condition"]), [True, False, False, True])
    assert (np.asarray(found.stats["margin"])[[1, 2]] < 1e-9).all()
    assert found.stats["margin"][3] == pytest.approx(1 / 3)


def test_batches_of_batches_chunks_and_shards(monkeypatch):
    matrices, _ = mixed_bag(0, (5, 8))

    def row(a):
        return gamejax.solve(games.MatrixGame(a), SIMPLEX, tol=1e-9).profile[0]

    once = saddle(matrices).profile[0]
    one = jax.jit(row)
    for k in range(0, len(matrices), 40):
        np.testing.assert_allclose(one(matrices[k]), once[k], atol=1e-13)
    # Small chunks, so that games are gathered and chunks follow one another.
    monkeypatch.setattr(_pivoting, "MOST_LANES", 16)
    twice = jax.jit(jax.vmap(jax.vmap(row)))(matrices.reshape(2, -1, 5, 8))
    np.testing.assert_allclose(twice.reshape(once.shape), once, atol=1e-13)

    mesh, spec = jax.make_mesh((1,), ("games",)), PartitionSpec("games")
    placed = jax.device_put(matrices[:100], NamedSharding(mesh, spec))
    sharded = jax.shard_map(jax.vmap(row), mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(sharded)(placed), once[:100], atol=1e-13)


def test_the_ratio_test():
    column = jnp.array([1.0, 2.0, -1.0, 0.0])
    row, found = leaving_row(column, jnp.array([3.0, 4.0, 0.0, 0.0]))
    assert (int(row), bool(found)) == (1, True)
    assert not leaving_row(-column[:1], column[:1])[1]
    noise = perturbation(300, jnp.float64)
    assert len(set(noise)) == 300
    assert 0 < noise.min() < noise.max() < 1e-11


# Bimatrix games.


def test_lemke_howson_ends_at_equilibria():
    rng = np.random.default_rng(6)
    pairs = [(draw(rng, kind, (60, 5, 7)), draw(rng, kind, (60, 5, 7))) for kind in KINDS]
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    sizes = np.maximum(np.maximum(np.ptp(a, axis=(1, 2)), np.ptp(b, axis=(1, 2))), 1)
    labels = jnp.asarray(rng.integers(0, 12, len(a)), jnp.int32)
    found = path(a, b, labels)
    check_profile(found.profile, 1e-14)
    assert np.max(found.gap / sizes) < 1e-13
    single = path(a.astype(np.float32), b.astype(np.float32), labels)
    assert single.gap.dtype == jnp.float32
    assert np.max(np.asarray(single.gap) / sizes) < 3e-6


def test_lemke_howson_goes_on_and_reports_rays():
    a, b = np.random.default_rng(7).normal(size=(2, 6, 6))
    game = games.bimatrix(a, b)
    solver = solvers.LemkeHowson(3)
    whole = gamejax.solve(game, solver, tol=0.0)
    rounds = int(whole.stats["num_rounds"])
    for taken in range(rounds):
        part = gamejax.solve(game, solver, tol=0.0, max_steps=taken)
        assert part.stats["num_rounds"] == taken
        rest = gamejax.solve(game, solver, tol=0.0, init=part)
        np.testing.assert_allclose(rest.profile[0], whole.profile[0], atol=1e-12)
    sets = [Simplex(6, jnp.arange(6) < 5), Simplex(6)]
    masked = games.NormalFormGame([a, b], sets)
    ended = gamejax.solve(masked, solvers.LemkeHowson(5), tol=0.0)
    assert ended.result == RESULTS.ray


def test_support_enumeration():
    rng = np.random.default_rng(9)
    solver = solvers.SupportEnumeration()
    a, b = rng.normal(size=(2, 10, 3, 4))

    @jax.jit
    @jax.vmap
    def scan(a, b):
        return solver.enumerate(games.bimatrix(a, b))

    scans = scan(a, b)
    assert scans.found.shape == (10, 34)
    for k in range(10):
        found = gamejax.equilibria(games.bimatrix(a[k], b[k]), "supports")
        assert found.count == scans.found[k].sum()
        one = gamejax.solve(games.bimatrix(a[k], b[k]), solver, tol=1e-9, check_every=1)
        assert one.result == RESULTS.successful
        apart = abs(found.profiles[0] - one.profile[0][None]).max(1)
        assert apart.min() < 1e-12
    never = gamejax.solve(
        games.bimatrix(a[0], b[0]), solver, tol=0.0, gap=lambda g, x: jnp.ones(())
    )
    assert never.result == RESULTS.stalled
    assert never.stats["num_pairs"] == 34


# Sample games with all their extreme equilibria.


@functools.cache
def two_players():
    names = [n for n, e in reference().items() if len(e.get("shape") or []) == 2]
    known = [(n, payoffs_of(n), reference()[n]) for n in names if reference()[n].get("equilibria")]
    return [(name, np.asarray(p, float), entry) for name, p, entry in known if p is not None]


@needs_shared
def test_paths_end_at_reference_equilibria():
    kept = [(name, p, e) for name, p, e in two_players() if max(p.shape) <= 9]
    assert len(kept) > 50
    stacked = games.pad_games([games.NormalFormGame(p) for _, p, _ in kept])
    labels = jnp.arange(18, dtype=jnp.int32)

    @jax.jit
    def all_ends(game):
        def end(label):
            return gamejax.solve(game, solvers.LemkeHowson(label), tol=1e-9)

        return jax.vmap(end)(labels)

    ends = jax.vmap(all_ends)(stacked)
    for k, (name, payoffs, entry) in enumerate(kept):
        n, m = payoffs.shape[1:]
        most = max(s.shape[-1] for s in stacked.strategy_sets[:1])
        real = np.array([*range(n), *range(most, most + m)])
        scale = max(np.ptp(payoffs), 1e-12)
        assert np.max(ends.gap[k][real]) <= 1e-12 * max(scale, 1), name
        if not entry.get("all_extreme_equilibria"):
            continue
        listed = [np.concatenate(e["profile"]) for e in entry["equilibria"]]
        for label in real:
            point = np.concatenate([ends.profile[0][k, label, :n], ends.profile[1][k, label, :m]])
            # The path ends at a vertex of each player's set: an extreme equilibrium.
            assert min(np.abs(point - other).max() for other in listed) < 1e-6, name


FEW_ACTIONS = ((2, 2), (3, 3), (4, 4))


@needs_shared
def test_all_equilibria_of_reference_games():
    checked = 0
    for name, payoffs, entry in two_players():
        if not entry.get("all_extreme_equilibria") or payoffs.shape[1:] not in FEW_ACTIONS:
            continue
        game = games.NormalFormGame(payoffs)
        listed = np.array([np.concatenate(e["profile"]) for e in entry["equilibria"]])
        found = gamejax.equilibria(game, "supports")
        points = np.concatenate(found.profiles, 1)
        if found.complete:
            assert found.count == len(listed), name
            nearest = np.abs(points[:, None] - listed[None]).max(-1).min(0)
            assert nearest.max() < 1e-7, name
            checked += 1
        assert (np.asarray(found.gaps) <= 1e-9 * max(np.ptp(payoffs), 1)).all(), name
    assert checked >= 8


def test_equilibria_by_labels():
    large = np.random.default_rng(10).normal(size=(2, 12, 14))
    several = gamejax.equilibria(games.NormalFormGame(large))
    assert not several.complete
    assert 1 <= several.count <= 26
    assert (several.gaps < 1e-11).all()


def test_the_default_for_zero_sum_games_is_exact():
    game = games.MatrixGame(np.random.default_rng(11).uniform(-1, 1, (6, 6)))
    assert isinstance(gamejax.default_solver(game), solvers.SimplexMethod)
    assert isinstance(gamejax.default_solver(games.MatrixGame(np.zeros((3, 99)))), solvers.SelfPlay)

"""Structured games against their payoff tensors, and games made from games."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import games
from gamejax._joint import Joint
from gamejax.games import (
    CongestionGame,
    ContinuousGame,
    Labels,
    MatrixGame,
    NormalFormGame,
    PolymatrixGame,
    SymmetricGame,
    count_vectors,
    normalized,
    pad_games,
    smoothed,
    to_normal_form,
)
from gamejax.metrics import gains, nash_conv, nash_gap
from gamejax.sets import Ball, Box, CappedSimplex, Simplex

rng = np.random.default_rng(0)


def symmetric_case(num_players, num_actions):
    counts = count_vectors(num_players - 1, num_actions)
    table = rng.uniform(-1, 1, (num_actions, len(counts)))
    column = {tuple(c): k for k, c in enumerate(counts.tolist())}
    tensor = np.empty((num_players, *(num_actions,) * num_players))
    for actions in np.ndindex(tensor.shape[1:]):
        for i in range(num_players):
            others = np.bincount(np.delete(actions, i), minlength=num_actions)
            tensor[(i, *actions)] = table[actions[i], column[tuple(others.tolist())]]
    return SymmetricGame(table, num_players), tensor


def polymatrix_tensor(blocks, num_actions):
    tensor = np.zeros((len(num_actions), *num_actions))
    for actions in np.ndindex(*num_actions):
        for (i, j), block in blocks.items():
            tensor[(i, *actions)] += block[actions[i], actions[j]]
    return tensor


def polymatrix_case():
    payoffs = rng.uniform(-1, 1, (3, 3, 4, 4))
    payoffs[np.arange(3), np.arange(3)] = 0
    blocks = {(i, j): payoffs[i, j] for i in range(3) for j in range(3) if i != j}
    return PolymatrixGame(payoffs), polymatrix_tensor(blocks, (4, 4, 4))


def ragged_polymatrix_case():
    sizes, joined = (2, 4, 3, 1), [(0, 1), (2, 1), (3, 0)]
    edges = [
        (i, j, rng.uniform(-1, 1, (sizes[i], sizes[j])), rng.uniform(-1, 1, (sizes[j], sizes[i])))
        for i, j in joined
    ]
    blocks = {(i, j): a for i, j, a, _ in edges} | {(j, i): b for i, j, _, b in edges}
    return PolymatrixGame.from_edges(edges), polymatrix_tensor(blocks, sizes)


def congestion_case():
    delays = rng.uniform(-0.2, 1, (5, 4))
    strategies = [rng.integers(0, 2, (n, 5)) for n in (3, 2, 4, 1)]
    tensor = np.zeros((4, *(len(s) for s in strategies)))
    for actions in np.ndindex(tensor.shape[1:]):
        chosen = np.stack([s[a] for s, a in zip(strategies, actions, strict=True)])
        paid = delays[np.arange(5), np.maximum(chosen.sum(0), 1) - 1]
        tensor[(slice(None), *actions)] = -chosen @ paid
    return CongestionGame(delays, strategies), tensor


CASES = {
    "symmetric-4x3": symmetric_case(4, 3),
    "symmetric-2x4": symmetric_case(2, 4),
    "symmetric-1x3": symmetric_case(1, 3),
    "polymatrix": polymatrix_case(),
    "polymatrix-ragged": ragged_polymatrix_case(),
    "congestion": congestion_case(),
}


def random_profiles(shape, count=8):
    return tuple(jnp.asarray(rng.dirichlet(np.ones(n), count)) for n in shape)


@eqx.filter_jit
def measure(game, profiles, joint):
    last = game.num_players - 1
    return (
        jax.vmap(game.utilities)(profiles),
        jax.vmap(lambda x: game.utility(last, x))(profiles),
        game.deviations(last, joint),
    )


def reference(tensor, profiles, joint):
    """The same three from the payoff tensor, in NumPy."""
    m = len(tensor)
    utilities = []
    for i in range(m):
        gains_ = np.broadcast_to(tensor[i], (8, *tensor[i].shape))
        for j in reversed(range(m)):
            if j != i:
                gains_ = np.einsum("k...n,kn->k...", np.moveaxis(gains_, j + 1, -1), profiles[j])
        utilities.append(gains_)
    others = tuple(range(m - 1))
    swaps = np.tensordot(np.asarray(joint.probabilities), tensor[-1], (others, others))
    return tuple(utilities), utilities[-1], swaps


def to_float32(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, tree)


@pytest.mark.parametrize("name", CASES)
def test_structured_games_equal_their_tensors(name):
    game, tensor = CASES[name]
    profiles = random_profiles(tensor.shape[1:])
    joint = Joint(jnp.asarray(rng.dirichlet(np.ones(tensor[0].size)).reshape(tensor.shape[1:])))
    actual, expected = measure(game, profiles, joint), reference(tensor, profiles, joint)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=1e-12), actual, expected)
    if name in ("polymatrix", "symmetric-2x4"):
        total = (np.asarray(joint.probabilities) * tensor).sum(tuple(range(1, tensor.ndim)))
        np.testing.assert_allclose(game.expected_payoffs(joint), total, atol=1e-12)


@pytest.mark.parametrize("name", ["symmetric-4x3", "polymatrix-ragged", "congestion"])
def test_writing_out_and_float32(name):
    game, tensor = CASES[name]
    single = to_float32(game)
    written = eqx.filter_jit(to_normal_form)(single).payoffs
    assert written.dtype == jnp.float32
    np.testing.assert_allclose(written, tensor, atol=2e-6)


@pytest.mark.parametrize("name", ["symmetric-4x3", "polymatrix-ragged", "congestion"])
def test_gradients(name):
    game, tensor = CASES[name]
    profile = tuple(x[0] for x in random_profiles(tensor.shape[1:], 1))
    numbers, rest = eqx.partition(game, eqx.is_inexact_array)

    @jax.jit
    def jacobians(numbers, profile):
        def payoffs(numbers, profile):
            return eqx.combine(numbers, rest).expected_payoffs(profile)

        full = eqx.combine(numbers, rest)
        jacobian = jax.jacrev(payoffs, argnums=(0, 1))(numbers, profile)
        return jacobian, full.utilities(profile), payoffs(numbers, profile)

    (to_game, to_profile), utilities, payoffs = jacobians(numbers, profile)
    for i, utility in enumerate(utilities):
        np.testing.assert_allclose(to_profile[i][i], utility, atol=1e-12)
    # Payoffs are linear in the numbers of the game (Euler's identity).
    products = jax.tree.map(lambda g, x: (g * x[None]).reshape(len(g), -1).sum(1), to_game, numbers)
    np.testing.assert_allclose(sum(jax.tree.leaves(products)), payoffs, atol=1e-12)


@pytest.mark.parametrize("name", ["symmetric-4x3", "polymatrix", "polymatrix-ragged"])
def test_utility_range_is_that_of_the_tensor(name):
    game, tensor = CASES[name]
    for i, payoffs in enumerate(tensor):
        np.testing.assert_allclose(game.utility_range(i), np.ptp(payoffs), atol=1e-12)


def test_utility_range_under_masks_and_congestion():
    game, tensor = CASES["polymatrix"]
    keep = np.array([True, False, True, True])
    sets = [Simplex(4), Simplex(4, jnp.asarray(keep)), Simplex(4)]
    masked = PolymatrixGame(game.payoffs, strategy_sets=sets)
    for i in range(3):
        np.testing.assert_allclose(masked.utility_range(i), np.ptp(tensor[i][:, keep]))
    symmetric = SymmetricGame.from_matrix(np.eye(4))
    assert SymmetricGame(symmetric.payoffs, 2, sets[:2]).utility_range(0) is None
    congestion, tensor = CASES["congestion"]
    for i, payoffs in enumerate(tensor):
        assert congestion.utility_range(i) >= np.ptp(payoffs) - 1e-12


def test_count_vectors_follow_the_documented_order():
    expected = [[2, 0, 0], [1, 1, 0], [1, 0, 1], [0, 2, 0], [0, 1, 1], [0, 0, 2]]
    np.testing.assert_array_equal(count_vectors(2, 3), expected)
    np.testing.assert_array_equal(count_vectors(1, 4), np.eye(4))
    np.testing.assert_array_equal(count_vectors(0, 2), [[0, 0]])


def test_symmetric_constructors():
    matrix = np.arange(9.0).reshape(3, 3)
    pair = SymmetricGame.from_matrix(matrix, labels=Labels("pair"))
    written = eqx.filter_jit(to_normal_form)(pair)
    np.testing.assert_array_equal(written.payoffs, [matrix, matrix.T])
    assert written.labels == Labels("pair")
    assert pair.labels == Labels("pair")
    counted = SymmetricGame.from_function(lambda a, c: 10 * a + c[1], 3, 2)
    np.testing.assert_array_equal(counted.payoffs, [[0, 1, 2], [10, 11, 12]])


def test_many_players_need_no_tensor():
    """Thirty players, two actions: 2**30 profiles; the counts are binomial."""
    game = SymmetricGame(jnp.stack([jnp.arange(30.0), jnp.arange(30.0) ** 2]), 30)
    p = 0.3
    utilities = jax.jit(lambda g, x: g.utilities(x))(game, (jnp.array([1 - p, p]),) * 30)
    mean, variance = 29 * p, 29 * p * (1 - p)
    np.testing.assert_allclose(utilities[7], [mean, variance + mean**2], rtol=1e-12)
    with pytest.raises(ValueError, match="bytes"):
        to_normal_form(game)


def test_games_map_over_a_batch():
    tables = jnp.asarray(rng.uniform(-1, 1, (5, 3, 10)))
    delays = jnp.asarray(rng.uniform(0, 1, (5, 4, 3)))
    strategies = jnp.asarray(rng.integers(0, 2, (5, 3, 2, 4)))
    batch = (
        jax.vmap(lambda t: SymmetricGame(t, 4))(tables),
        jax.vmap(CongestionGame)(delays, strategies),
    )
    profiles = ((jnp.full(3, 1 / 3),) * 4, (jnp.full(2, 1 / 2),) * 3)

    def payoffs(pair):
        return [g.expected_payoffs(x) for g, x in zip(pair, profiles, strict=True)]

    together = jax.jit(jax.vmap(payoffs))(batch)
    single = (SymmetricGame(tables[2], 4), CongestionGame(delays[2], strategies[2]))
    one = jax.jit(payoffs)(single)
    for many, alone in zip(together, one, strict=True):
        np.testing.assert_allclose(many[2], alone, atol=1e-14)


def test_rosenthal_potential():
    game, tensor = CASES["congestion"]
    shape = tensor.shape[1:]
    every = np.array(list(np.ndindex(shape)), np.int32)
    values = np.asarray(jax.jit(jax.vmap(game.potential))(jnp.asarray(every))).reshape(shape)
    for i in range(len(shape)):
        gain = tensor[i] - tensor[i].take([0], axis=i)
        np.testing.assert_allclose(values - values.take([0], axis=i), gain, atol=1e-12)
    profile = tuple(x[0] for x in random_profiles(shape, 1))
    product = np.einsum("a,b,c,d->abcd", *profile)
    value, slopes = jax.jit(jax.value_and_grad(game.expected_potential))(profile)
    np.testing.assert_allclose(value, (product * values).sum())
    utilities = jax.jit(lambda x: game.utilities(x))(profile)
    for slope, utility in zip(slopes, utilities, strict=True):
        np.testing.assert_allclose(slope - slope[0], utility - utility[0], atol=1e-12)


def cournot_payoff(player):
    def payoff(profile, params):
        price = params["intercept"] - sum(x.sum() for x in profile)
        return (profile[player] * (price - params["cost"][player])).sum()

    return payoff


DUOPOLY = (cournot_payoff(0), cournot_payoff(1))


def duopoly(cost):
    params = {"intercept": jnp.asarray(10.0), "cost": cost}
    boxes = (Box(jnp.zeros(1), jnp.full(1, 10.0)),) * 2
    return ContinuousGame(DUOPOLY, boxes, params)


def test_continuous_game():
    """Cournot with costs c: quantities (a - 2 c_i + c_j) / 3 leave no first-order gain."""
    costs = jnp.asarray(rng.uniform(0, 2, (6, 2)))

    def at_equilibrium(cost):
        game = duopoly(cost)
        quantities = (10 - 2 * cost + cost[::-1]) / 3
        profile = (quantities[:1], quantities[1:])
        return gains(game, profile), game.expected_payoffs(profile), quantities

    gap, payoffs, quantities = jax.jit(jax.vmap(at_equilibrium))(costs)
    np.testing.assert_allclose(gap, 0, atol=1e-12)
    np.testing.assert_allclose(payoffs, quantities**2)
    utility = duopoly(costs[0]).utility(1, (jnp.array([2.0]), jnp.array([3.0])))
    np.testing.assert_allclose(utility, [10 - 2 - 2 * 3 - costs[0, 1]])
    plain = ContinuousGame((lambda x: x[0] @ x[1], lambda x: -x[0] @ x[1]), (Ball(2, 1.0),) * 2)
    point = (jnp.array([0.5, 0.0]), jnp.array([0.0, 0.25]))
    np.testing.assert_allclose(plain.utility(1, point), -point[0])


def test_continuous_game_refuses_what_it_cannot_do():
    box = Box(jnp.zeros(1), jnp.ones(1))
    with pytest.raises(TypeError, match="sequence of functions"):
        ContinuousGame(lambda x: x[0], (box,))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="one entry per player"):
        ContinuousGame(DUOPOLY, (box,))
    game, joint = duopoly(jnp.ones(2)), Joint(jnp.ones((1, 1)))
    with pytest.raises(TypeError, match="no Joint"):
        game.expected_payoffs(joint)
    with pytest.raises(TypeError, match="no Joint"):
        game.deviations(0, joint)
    with pytest.raises(TypeError, match="one list of actions"):
        to_normal_form(game)
    with pytest.raises(TypeError, match="to_normal_form"):
        normalized(game)
    with pytest.raises(TypeError, match="player 0 has a Box"):
        smoothed(game, cap=0.5)


def test_smoothed_gap_is_the_fractional_top_k():
    """Payoffs of the own action only: the gap is the fractional top-k mean less what is got."""
    utility = jnp.array([1, 0.5, 0.25, 0])
    game = NormalFormGame([jnp.broadcast_to(utility[:, None], (4, 3)), jnp.zeros((4, 3))])
    profile = (jnp.array([0.0, 0, 0, 1]), jnp.full(3, 1 / 3))
    caps = jnp.array([2 / 3, 1, 1 / 4])
    gap = jax.jit(jax.vmap(lambda c: nash_gap(smoothed(game, cap=(c, 1)), profile)))(caps)
    np.testing.assert_allclose(gap, [5 / 6, 1, 0.4375])
    smooth_gap = jax.jit(jax.vmap(lambda s: nash_gap(smoothed(game, sigma=[s, 1 / 3]), profile)))
    by_sigma = smooth_gap(jnp.array([3 / 8, 1 / 4, 1]))
    np.testing.assert_allclose(by_sigma, [5 / 6, 1, 0.4375])


def test_smoothed_sets():
    game = games.library.kicker_goalie()
    capped = smoothed(game, sigma=0.8)
    assert capped.labels == game.labels
    assert isinstance(capped, MatrixGame)
    assert [s.cap for s in capped.strategy_sets] == [0.625, 0.625]
    again = smoothed(capped, cap=np.array([0.6, 0.7]))
    assert [float(s.cap) for s in again.strategy_sets] == [0.6, 0.7]
    # A smoothness that is a number counts the actions of each player; padded ones do not count.
    padded = pad_games([MatrixGame(np.eye(3)), MatrixGame(np.ones((2, 5)))])
    first, second = jax.vmap(lambda g: smoothed(g, sigma=0.5))(padded).strategy_sets
    np.testing.assert_allclose(first.cap, [2 / 3, 1])
    np.testing.assert_allclose(second.cap, [2 / 3, 2 / 5])
    structured = smoothed(CASES["congestion"][0], sigma=1.0)
    assert all(isinstance(s, CappedSimplex) for s in structured.strategy_sets)


def test_smoothing_follows_the_type_of_the_game():
    padded = pad_games(to_float32([MatrixGame(np.eye(3)), MatrixGame(np.ones((2, 5)))]))
    profile = to_float32((jnp.array([1.0, 0, 0]), jnp.full(5, 1 / 5)))
    for sigma in (0.5, np.float64(0.5), jnp.asarray(0.5), np.array([0.5, 0.5])):
        sets = jax.vmap(lambda g, s=sigma: smoothed(g, sigma=s))(padded).strategy_sets
        assert sets[0].cap.dtype == jnp.float32
    gap = jax.vmap(lambda g: nash_gap(smoothed(g, sigma=0.5), profile))(padded)
    assert gap.dtype == jnp.float32


def test_duplicated_actions_make_smooth_gaps_ordinary():
    """Duplicating each action r times with cap 1/r leaves the gap of the aggregated profile."""
    base = rng.uniform(-1, 1, (3, 3))
    copies = MatrixGame(np.kron(base, np.ones((4, 4))))
    fine = tuple(x[0] for x in random_profiles((12, 12), 1))
    coarse = tuple(x.reshape(3, 4).sum(1) for x in fine)
    expected = gains(MatrixGame(base), coarse)
    np.testing.assert_allclose(gains(smoothed(copies, sigma=1 / 3), fine), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "exactly one"),
        ({"cap": 0.5, "sigma": 0.5}, "exactly one"),
        ({"cap": 0.3}, "cap must lie between 1/n = 0.5 and 1 for player 0"),
        ({"cap": 1.5}, "cap must lie"),
        ({"sigma": 0.25}, "sigma must lie between 1/n = 0.5"),
        ({"sigma": np.nan}, "sigma must lie"),
        ({"cap": (0.5, 0.5, 0.5)}, "one per player"),
    ],
)
def test_smoothed_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        smoothed(MatrixGame(np.ones((2, 3))), **given)


def test_normalized():
    payoffs = rng.uniform(-3, 7, (2, 4, 5))
    game = NormalFormGame(payoffs)
    unit = normalized(game)
    np.testing.assert_allclose(unit.payoffs.min((1, 2)), 0)
    np.testing.assert_allclose(unit.payoffs.max((1, 2)), 1)
    profile = tuple(x[0] for x in random_profiles((4, 5), 1))
    ranges = np.ptp(payoffs, axis=(1, 2))
    np.testing.assert_allclose(gains(unit, profile) * ranges, gains(game, profile))
    matrix = normalized(MatrixGame(payoffs[0]))
    assert isinstance(matrix, MatrixGame)
    original = gains(MatrixGame(payoffs[0]), profile)
    np.testing.assert_allclose(gains(matrix, profile) * ranges[0], original)
    constant = normalized(NormalFormGame(np.stack([np.full((4, 5), 3.0), payoffs[1]])))
    np.testing.assert_array_equal(constant.payoffs[0], 0)
    table = normalized(CASES["symmetric-4x3"][0]).payoffs
    assert (table.min(), table.max()) == (0, 1)
    with pytest.raises(TypeError, match="PolymatrixGame"):
        normalized(CASES["polymatrix"][0])


def test_normalized_ignores_padding():
    small = MatrixGame(np.array([[5.0, 6.0], [7.0, 9.0]]))
    padded = pad_games([small], shape=(3, 4))
    unit = jax.vmap(normalized)(padded)
    np.testing.assert_allclose(unit.payoff[0, :2, :2], normalized(small).payoff)


@pytest.mark.parametrize("kind", ["zero-sum", "general-sum"])
def test_padding_changes_nothing(kind):
    shapes = [(2, 3), (4, 2), (3, 3), (1, 1)]
    if kind == "zero-sum":
        each = [MatrixGame(rng.uniform(1, 2, s)) for s in shapes]
    else:
        shapes = [(2, 3, 2), (4, 2, 1), (3, 3, 3)]
        each = [NormalFormGame(rng.uniform(1, 2, (3, *s))) for s in shapes]
    padded = pad_games(each)
    most = tuple(s.shape[0] for s in padded.strategy_sets)
    assert most == tuple(np.max(shapes, axis=0))
    profiles = [tuple(x[0] for x in random_profiles(s, 1)) for s in shapes]
    wide = tuple(
        jnp.stack([jnp.pad(p[i], (0, n - len(p[i]))) for p in profiles]) for i, n in enumerate(most)
    )
    ranges = jax.vmap(lambda g: jnp.stack([g.utility_range(i) for i in range(len(most))]))(padded)
    conv = jax.jit(jax.vmap(nash_conv))(padded, wide)
    centers = jax.vmap(lambda g: tuple(s.center(float) for s in g.strategy_sets))(padded)
    for k, (game, profile) in enumerate(zip(each, profiles, strict=True)):
        np.testing.assert_allclose(conv[k], nash_conv(game, profile), atol=1e-14)
        own = [game.utility_range(i) for i in range(len(most))]
        np.testing.assert_allclose(ranges[k], own, atol=1e-14)
        for center, n in zip(centers, shapes[k], strict=True):
            np.testing.assert_array_equal(center[k, n:], 0)


def test_padding_keeps_caps_and_masks():
    capped = [smoothed(MatrixGame(np.ones((n, n))), sigma=0.5) for n in (2, 4)]
    padded = pad_games(capped)
    np.testing.assert_allclose(jax.tree.leaves(padded.strategy_sets[0])[0], [1, 0.5])
    twice = pad_games([jax.tree.map(lambda x: x[0], padded)], shape=(6, 6)).strategy_sets[1]
    assert isinstance(twice, CappedSimplex)
    assert twice.mask is not None
    assert twice.mask.tolist() == [[True, True, False, False, False, False]]


def test_padding_refuses():
    square, wide = MatrixGame(np.eye(2)), MatrixGame(np.ones((2, 3)))
    with pytest.raises(ValueError, match="at least one game"):
        pad_games([])
    with pytest.raises(TypeError, match="all MatrixGame or all NormalFormGame"):
        pad_games([square, to_normal_form(square)])
    with pytest.raises(TypeError, match="SymmetricGame"):
        pad_games([SymmetricGame.from_matrix(np.eye(2))])
    with pytest.raises(ValueError, match="dtype"):
        pad_games([square, to_float32(wide)])
    with pytest.raises(ValueError, match="equally many players"):
        pad_games([to_normal_form(square), games.library.jordan()])
    with pytest.raises(ValueError, match="shape must hold"):
        pad_games([square, wide], shape=(2, 2))
    with pytest.raises(TypeError, match="same kind of strategy set"):
        pad_games([square, smoothed(wide, sigma=1.0)])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SymmetricGame(np.ones((2, 4)), 4), None),
        (lambda: SymmetricGame(np.ones((2, 3)), 4), "must have 4 columns"),
        (lambda: SymmetricGame(np.ones(3), 2), "must be a table"),
        (lambda: SymmetricGame(np.ones((2, 2)), 0), "num_players must be at least 1"),
        (lambda: PolymatrixGame(np.ones((2, 2, 3, 3))), "no player meets itself"),
        (lambda: PolymatrixGame(np.ones((2, 3, 3, 3))), "payoffs must have shape"),
        (lambda: PolymatrixGame(np.ones((1, 2, 2)), [(0, 1)]), "num_actions"),
        (lambda: PolymatrixGame(np.ones((1, 2, 2)), [(0, 0)], (2, 2)), "different players"),
        (lambda: PolymatrixGame(np.ones((2, 2, 2)), [(0, 1)] * 2, (2, 2)), "a pair twice"),
        (lambda: PolymatrixGame.from_edges([(0, 0, np.eye(2), np.eye(2))]), "once"),
        (lambda: PolymatrixGame.from_edges([(0, 1, np.eye(2), np.eye(3))]), "shape"),
        (lambda: PolymatrixGame.from_edges([(0, 2, np.eye(2), np.eye(2))]), r"\[1\]"),
        (lambda: PolymatrixGame.from_edges([]), "anyone"),
        (lambda: CongestionGame(np.ones((2, 3)), [np.eye(2)] * 2), "1 to 2"),
        (lambda: CongestionGame(np.ones((3, 2)), [np.eye(2)] * 2), r"one array \(n_i, 3\)"),
        (lambda: CongestionGame(np.ones((2, 1)), [[[0.5, 1]]]), "only 0 and 1"),
    ],
)
def test_constructors_refuse(build, message):
    if message is None:
        build()
    else:
        with pytest.raises(ValueError, match=message):
            build()

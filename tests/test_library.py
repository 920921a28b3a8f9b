"""Named games: what their docstrings say of equilibria, values and payoffs."""

import functools
import itertools

import equinox as eqx
import jax
import numpy as np
import pytest

from gamejax.games import MatrixGame, NormalFormGame, library, to_normal_form

write_out = eqx.filter_jit(to_normal_form)


@functools.cache
def named(name):
    return library.entry(name).build()


def tensor_of(game):
    return np.asarray(write_out(game).payoffs, float)


@functools.cache
def tensor(name):
    return tensor_of(named(name))


def payoff_gradients(tensors, profile):
    """Every player's payoff of each action, in NumPy."""
    result = []
    for i, payoffs in enumerate(tensors):
        for j in reversed(range(len(tensors))):
            if j != i:
                payoffs = np.tensordot(payoffs, profile[j], (j, 0))
        result.append(payoffs)
    return result


def gap(tensors, profile):
    utilities = payoff_gradients(tensors, profile)
    return max(u.max() - x @ u for x, u in zip(profile, utilities, strict=True))


def pure_equilibria(tensors):
    best = [u >= u.max(i, keepdims=True) - 1e-9 for i, u in enumerate(tensors)]
    return {tuple(a) for a in np.argwhere(np.logical_and.reduce(best)).tolist()}


def test_there_are_many_games():
    assert len(library.names()) >= 40
    assert set(library.all_games()) == set(library.names())
    public = {n for n in vars(library) if not n.startswith("_")}
    assert set(library.names()) < public


@pytest.mark.parametrize("name", library.names())
def test_known_equilibria(name):
    payoffs, known = tensor(name), library.entry(name)
    profiles = [[np.asarray(x) for x in p] for p in library.known_equilibria(name)]
    assert len(profiles) == len(known.equilibria) > 0
    for profile in profiles:
        for strategy, size in zip(profile, payoffs.shape[1:], strict=True):
            assert strategy.shape == (size,)
            assert strategy.min() >= 0
            np.testing.assert_allclose(strategy.sum(), 1, atol=1e-12)
        assert gap(payoffs, profile) < 1e-12
    pure = {tuple(int(x.argmax()) for x in p) for p in profiles if all(max(x) == 1 for x in p)}
    assert pure == pure_equilibria(payoffs)
    assert (known.value is not None) == isinstance(named(name), MatrixGame)
    if known.value is not None:
        values = [x @ payoff_gradients(payoffs, (x, y))[0] for x, y in profiles]
        np.testing.assert_allclose(values, known.value, atol=1e-12)


@pytest.mark.parametrize("name", library.names())
def test_labels_name_everything(name):
    labels, shape = named(name).labels, tensor(name).shape[1:]
    assert labels is not None
    assert labels.title
    assert len(labels.players) == len(shape)
    assert tuple(len(a) for a in labels.actions) == shape
    assert all(len(set(a)) == len(a) for a in labels.actions)


def supported_equilibria(a, b):
    """All equilibria of a bimatrix game that are alone on their supports; whether others exist."""

    def indifferent(payoffs):
        """Weights of columns that make all rows equal, and whether they are unique."""
        rows, columns = payoffs.shape
        system = np.block(
            [[payoffs, -np.ones((rows, 1))], [np.ones((1, columns)), np.zeros((1, 1))]]
        )
        right = np.append(np.zeros(rows), 1)
        solution, _, rank, _ = np.linalg.lstsq(system, right, rcond=None)
        return solution[:-1], rank == columns + 1, abs(system @ solution - right).max() < 1e-9

    supports = [
        [s for k in range(1, n + 1) for s in itertools.combinations(range(n), k)] for n in a.shape
    ]
    found, alone = [], True
    for rows, columns in itertools.product(*supports):
        block = np.ix_(rows, columns)
        (y_, y_alone, y_fits), (x_, x_alone, x_fits) = (
            indifferent(a[block]),
            indifferent(b[block].T),
        )
        if x_fits and y_fits and min(x_.min(), y_.min()) > 1e-9:
            x, y = np.zeros(a.shape[0]), np.zeros(a.shape[1])
            x[list(rows)], y[list(columns)] = x_, y_
            if gap(np.stack([a, b]), (x, y)) < 1e-9:
                found.append((x, y))
                alone &= bool(x_alone and y_alone)
    return found, alone


COMPLETE = [n for n in library.names() if library.entry(n).complete]


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_lists_of_two_player_games(name):
    payoffs = tensor(name)
    if len(payoffs) > 2 or max(payoffs.shape) > 6:
        return  # the next two tests, and the proofs cited, are for these
    found, alone = supported_equilibria(*payoffs)
    known = [tuple(np.asarray(x) for x in p) for p in library.known_equilibria(name)]
    assert alone
    assert len(found) == len(known)
    for x, y in known:
        assert any(abs(x - a).max() + abs(y - b).max() < 1e-9 for a, b in found)


@pytest.mark.parametrize("name", ["public_goods", "diners_dilemma", "braess"])
def test_dominant_actions_leave_one_equilibrium(name):
    (profile,) = library.entry(name).equilibria
    for i, (payoffs, action) in enumerate(zip(tensor(name), profile, strict=True)):
        rest = np.delete(payoffs, action, axis=i)
        assert (payoffs.take([action], axis=i) > rest + 1e-9).all()


def test_three_player_lists_are_complete():
    """Two actions: with p_i the chance of action 0, every player mixes, or is at 0 or 1."""
    grid = np.linspace(0, 1, 61)
    points = np.stack(np.meshgrid(grid, grid, grid), -1).reshape(-1, 3)
    for name in ("volunteers_dilemma", "jordan"):
        profile = [np.stack([p, 1 - p], -1) for p in points.T]
        others = [np.delete(np.arange(3), i) for i in range(3)]
        gaps = np.zeros(len(points))
        for i, (j, k) in enumerate(others):
            u = np.einsum(
                "abc,kb,kc->ka", np.moveaxis(tensor(name)[i], i, 0), profile[j], profile[k]
            )
            gaps = np.maximum(gaps, u.max(1) - (profile[i] * u).sum(1))
        known = np.array([[x[0] for x in p] for p in library.known_equilibria(name)])
        close = points[gaps < 0.01]
        distance = abs(close[:, None] - known[None]).max(-1).min(-1)
        assert distance.max() < 0.1, name


def test_correlated_equilibria_of_the_docstrings():
    def swap_gain(tensors, joint):
        gains = []
        for i, payoffs in enumerate(tensors):
            u, mu = np.moveaxis(payoffs, i, 0), np.moveaxis(joint, i, 0)
            swaps = mu.reshape(len(mu), -1) @ u.reshape(len(u), -1).T
            gains.append((swaps.max(1) - np.diag(swaps)).sum())
        return max(gains)

    chicken = np.array([[1, 1], [1, 0]]) / 3
    assert swap_gain(tensor("chicken"), chicken) < 1e-12
    np.testing.assert_allclose((tensor("chicken") * chicken).sum((1, 2)), 5)
    shapley = (1 - np.eye(3)) / 6
    assert swap_gain(tensor("shapley"), shapley) < 1e-12
    np.testing.assert_allclose((tensor("shapley") * shapley).sum((1, 2)), 0.5)


def mixed(p):
    return (p, 1 - p)


@pytest.mark.parametrize(
    ("game", "profile"),
    [
        (library.stag_hunt(5, 2), (mixed(2 / 5),) * 2),
        (library.battle_of_the_sexes(5, 1), (mixed(5 / 6), mixed(1 / 6))),
        (library.hawk_dove(3, 5), (mixed(3 / 5),) * 2),
        (library.coordination(4, 1), (mixed(1 / 5),) * 2),
        (library.inspection(5, 2, 1, 9), (mixed(1 / 5), mixed(2 / 5))),
        (library.weighted_rock_paper_scissors(2, 3, 5), ((0.5, 0.2, 0.3),) * 2),
        (library.slow_oftrl(0.01), (mixed(1 / 1.01), mixed(1 / 2.02))),
        (library.hide_and_seek((1, 2)), (mixed(2 / 3),) * 2),
        (library.all_pay_auction(5), ((0.2,) * 5 + (0,),) * 2),
        (library.cyclic(5), ((0.2,) * 5,) * 2),
        (library.volunteers_dilemma(4, 8, 1), (mixed(1 / 2),) * 4),
        (library.market_entry(5, 2), (mixed(1 / 4),) * 5),
        (library.minority_game(5), (mixed(1 / 2),) * 5),
        (library.chaotic_rock_paper_scissors(0.1, 0.3), ((1 / 3,) * 3,) * 2),
        (library.mendelsohn(3), ((0.25, 0.5, 0.25),) * 2),
        (library.travelers_dilemma(3, 7, 1.5), ((1, 0, 0, 0, 0),) * 2),
    ],
)
def test_formulas_hold_at_other_parameters(game, profile):
    assert gap(tensor_of(game), [np.asarray(x, float) for x in profile]) < 1e-12


def test_payoffs_of_the_docstrings():
    assert tensor("chicken")[0].tolist() == [[6, 2], [7, 0]]
    assert tensor("morra")[0].tolist() == [
        [0, 2, -3, 0],
        [-2, 0, 0, 3],
        [3, 0, 0, -4],
        [0, -3, 4, 0],
    ]
    for name in ("rock_paper_scissors_lizard_spock", "cyclic", "mendelsohn", "colonel_blotto"):
        np.testing.assert_array_equal(tensor(name)[0], -tensor(name)[0].T)
    np.testing.assert_array_equal(tensor_of(library.cyclic(3))[0], tensor("rock_paper_scissors")[0])
    without = tensor_of(library.braess(shortcut=False))
    assert pure_equilibria(without) == set(itertools.permutations((0, 0, 1, 1)))
    np.testing.assert_allclose(without[:, 0, 0, 1, 1], -65)
    np.testing.assert_allclose(tensor("braess")[:, 2, 2, 2, 2], -80)
    takes = tensor("centipede")
    assert takes[:, 0, 0].tolist() == [4, 1]
    assert takes[:, 1, 0].tolist() == [2, 8]
    assert takes[:, 2, 2].tolist() == [64, 16]
    np.testing.assert_allclose(tensor("guess_two_thirds")[:, 0, 0, 3], [0.5, 0.5, 0])
    assert library.three_player_matching_pennies().labels == library.jordan().labels


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: library.prisoners_dilemma(3, 5, 1, 0), "temptation > reward"),
        (lambda: library.stag_hunt(1, 2), "stag > hare"),
        (lambda: library.battle_of_the_sexes(1, 2), "favorite > other"),
        (lambda: library.hawk_dove(5, 4), "injury > prize"),
        (lambda: library.coordination(1, 2), "high >= low"),
        (lambda: library.inspection(wage=1), "inspection needs"),
        (lambda: library.weighted_rock_paper_scissors(0), "positive"),
        (lambda: library.bad_rock_paper_scissors(0), "positive"),
        (lambda: library.chaotic_rock_paper_scissors(1.0), "between -1 and 1"),
        (lambda: library.cyclic(4), "odd"),
        (lambda: library.hide_and_seek(()), "positive"),
        (lambda: library.morra(0), "at least 1"),
        (lambda: library.mendelsohn(2), "at least 3"),
        (lambda: library.colonel_blotto(0), "at least 1"),
        (lambda: library.slow_oftrl(0.5), "between 0 and 1/2"),
        (lambda: library.pure_coordination(0), "at least 1"),
        (lambda: library.travelers_dilemma(5, 5), "low < high"),
        (lambda: library.ultimatum(0), "at least 1"),
        (lambda: library.centipede(3), "even"),
        (lambda: library.all_pay_auction(0), "at least 1"),
        (lambda: library.bertrand(10, 10), "cost < highest"),
        (lambda: library.cournot(1, 1), "cost < intercept"),
        (lambda: library.el_farol(3, 3), "capacity < num_players"),
        (lambda: library.minority_game(4), "odd"),
        (lambda: library.public_goods(4, 4), "multiplier < num_players"),
        (lambda: library.volunteers_dilemma(cost=4), "cost < benefit"),
        (lambda: library.market_entry(3, 3), "capacity < num_players"),
        (lambda: library.diners_dilemma(2), "extra_joy"),
        (lambda: library.tragedy_of_the_commons(largest=0), "at least 1"),
        (lambda: library.guess_two_thirds(1), "num_players >= 2"),
        (lambda: library.braess(0), "at least 1"),
        (lambda: library.pigou(degree=0), "degree > 0"),
        (lambda: library.entry("poker"), "name must be one of"),
        (lambda: library.known_equilibria("poker"), "got 'poker'"),
    ],
)
def test_bad_parameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_payoffs_have_the_default_type():
    assert {str(game.dtype) for game in map(named, library.names())} == {"float64"}
    with jax.enable_x64(False):
        assert library.travelers_dilemma().dtype == np.float32
        assert isinstance(library.jordan(), NormalFormGame)

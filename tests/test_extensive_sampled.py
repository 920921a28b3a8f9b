"""Monte-Carlo sampling of trees: exact unbiasedness by enumeration, convergence, certificates."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from benchmarks import monte_carlo
from gamejax import extensive, metrics
from gamejax.extensive import library, sampled
from gamejax.extensive._descent import descent
from gamejax.extensive._history import NATURE
from tests.random_trees import plan

KINDS = ("external", "outcome", "chance")


@functools.cache
def tree(name):
    def pennies(state):
        """Biased matching pennies after a coin that only the first player sees, for nothing."""
        if len(state) == 3:
            gain = (2 - state[1]) if state[1] == state[2] else -1
            return extensive.terminal((gain, -gain))
        after = [(str(k), (*state, k)) for k in range(2)]
        if not state:
            return extensive.chance([(0.5, branch) for _, branch in after])
        return extensive.decide(len(state) - 1, state[:1] if len(state) == 1 else "", after)

    make = {
        "kuhn": library.kuhn,
        "kuhn of 3": lambda: library.kuhn(4, 3),
        "horse": library.seltens_horse,
        "pennies": lambda: extensive.compile_tree(pennies),
    }
    return make[name]()


def halves(game, seed):
    """Random behaviors whose probabilities are multiples of one half, many of them 0."""
    rng = np.random.default_rng(seed)
    profile = []
    for t in game.form.trees:
        moves = np.zeros(t.mask.shape)
        for _ in range(2):
            picked = rng.integers(t.num_actions)
            moves[np.arange(t.num_sets), picked] += 0.5
        profile.append(plan(t, moves))
    return tuple(profile)


def all_noise(game, player, parts):
    """The midpoints of a grid on whose lines all breakpoints of the draws lie."""
    axes = []
    for depth in descent(game.game.form, game.followed(player)).depths:
        if depth.width:
            by_nature = (depth.table[:, 0] == NATURE).any()
            num = depth.width if by_nature else parts
            axes += [(np.arange(num) + 0.5) / num] * depth.num_slots
    assert len(axes) == game.num_draws(player)
    return np.array(list(itertools.product(*axes))).reshape(-1, len(axes))


@functools.partial(jax.jit, static_argnums=1)
def mean_estimate(game, player, profile, noise):
    return jax.vmap(lambda u: game.estimate(player, profile, u))(noise).mean(0)


def check_unbiased(game, player, profile, parts):
    """The mean over all draws, each as often as its probability says, is the gradient."""
    noise = all_noise(game, player, parts)
    profile = jax.tree.map(jnp.asarray, profile)
    found = mean_estimate(game, player, profile, noise)
    rows = [np.asarray(game.game.payoffs[player] * game.game.chance)]
    for other, sequences in enumerate(game.game.form.sequences):
        if other != player:
            rows.append(np.asarray(profile[other])[sequences])
    worth = np.prod(rows, axis=0)
    exact = np.bincount(game.game.form.sequences[player], worth, len(found))
    np.testing.assert_allclose(found, exact, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "kind", "players"),
    [
        *itertools.product(["kuhn"], KINDS, [(0, 1)]),
        ("horse", "external", (0, 2)),
        ("horse", "outcome", (1,)),
        ("kuhn of 3", "external", (1,)),
        pytest.param("kuhn of 3", "outcome", (0, 1, 2), marks=pytest.mark.slow),
        pytest.param("kuhn of 3", "external", (0, 2), marks=pytest.mark.slow),
        pytest.param("kuhn of 3", "chance", (0, 1, 2), marks=pytest.mark.slow),
    ],
)
def test_unbiased_by_enumeration(name, kind, players):
    game = tree(name)
    explores = {"exploration": 0.5} if kind == "outcome" else {}
    for player in players:
        for seed in range(3):
            # Exploring by halves turns halves into quarters.
            check_unbiased(
                sampled(game, kind, **explores), player, halves(game, seed), 4 if explores else 2
            )


def test_unbiased_under_other_chances():
    game = tree("kuhn")
    rng = np.random.default_rng(0)
    nodes = len(game.form.history.parent)
    chances = game.leaf_chances(jnp.asarray(rng.dirichlet(np.ones(nodes)) * 6))
    other = game.with_payoffs(rng.normal(size=game.payoffs.shape), chances)
    check_unbiased(sampled(other), 0, halves(game, 5), 2)


def test_unbiased_where_information_sets_merge():
    game = sampled(tree("pennies"), "external")
    assert game.merged is not None
    assert [t.num_sets for t in game.game.form.trees] == [2, 1]
    assert [t.num_sets for t in game.merged.game.form.trees] == [1, 1]
    for player in range(2):
        check_unbiased(game.merged, player, halves(game.merged.game, 0), 2)


@jax.jit
def many_samples(game, profile, keys):
    return jax.vmap(lambda k: game.sample(profile, (), key=k, step=jnp.int32(0))[0])(keys)


@pytest.mark.parametrize("kind", ["outcome", pytest.param("external", marks=pytest.mark.slow)])
def test_samples_are_the_gradient_on_average(kind):
    game = tree("kuhn")
    profile = jax.tree.map(jnp.asarray, halves(game, 1))
    keys = jax.random.split(jax.random.key(0), 20_000)
    for i, draws in enumerate(many_samples(sampled(game, kind), profile, keys)):
        draws, exact = np.asarray(draws), np.asarray(game.utility(i, profile))
        error = np.abs(draws.mean(0) - exact)
        assert (error <= 5 * draws.std(0) / np.sqrt(len(keys)) + 1e-12).all()
        assert (draws.std(0)[np.abs(exact) > 0.2] > 0).all()


@jax.jit
def gaps_after(game, keys):
    """Exploitability after 100 and after 1,600 rounds, with regrets, for each key."""
    solver = extensive.cfr()

    def one(key):
        def go(carry, count):
            state, first = carry
            state = solver.advance(game, state, first, count, key=key)
            gap = metrics.exploitability(game, solver.vouched(game, state))
            return (state, first + count), (gap, solver.stats(game, state)["regrets"])

        start = solver.init(game, key=key, dtype=game.dtype)
        return jax.lax.scan(go, (start, jnp.int32(0)), jnp.array([100, 1500], jnp.int32))[1]

    return jax.vmap(one)(keys)


@pytest.mark.parametrize("kind", ["external", pytest.param("outcome", marks=pytest.mark.slow)])
def test_monte_carlo_converges(kind):
    game, keys = sampled(tree("kuhn"), kind), jax.random.split(jax.random.key(1), 16)
    gaps, regrets = gaps_after(game, keys)
    early, late = gaps.T
    # A rate of one over the root of the rounds: a quarter, with room for luck.
    assert late.mean() < 0.45 * early.mean()
    assert late.mean() < (0.03 if kind == "external" else 0.15)
    if kind == "external":
        # Regret matching at six sets with two actions, whose values differ by at most 4.
        assert (regrets[:, 1] <= 6 * 4 * np.sqrt(2 * 1600)).all()


def test_merged_sets_are_played_as_one():
    game = tree("pennies")
    found = gamejax.solve(
        sampled(game), extensive.cfr(), key=jax.random.key(0), max_steps=200, tol=0.0
    )
    first = game.strategy_sets[0].behaviors(found.profile[0])
    np.testing.assert_array_equal(first[0], first[1])
    assert found.gap == metrics.nash_gap(game, found.profile) < 0.3
    assert "(1,): 1 0." in str(found)


def test_certificates_and_ranges_are_those_of_the_tree():
    game = tree("kuhn")
    drawn = sampled(game)
    profile = jax.tree.map(jnp.asarray, halves(game, 3))
    assert metrics.nash_gap(drawn, profile) == metrics.nash_gap(game, profile)
    assert drawn.utility_range(0) == game.utility_range(0) == 4
    assert drawn.labels == game.labels


def test_exploration_matters():
    game = tree("kuhn")
    profile = jax.tree.map(jnp.asarray, halves(game, 1))
    noise = jnp.asarray(
        np.random.default_rng(0).random((1000, sampled(game, "outcome").num_draws(0)))
    )

    @jax.jit
    def estimates(exploration):
        drawn = sampled(game, "outcome", exploration=exploration)
        return jax.vmap(lambda u: drawn.estimate(0, profile, u))(noise)

    little, much = jnp.abs(estimates(0.1)), jnp.abs(estimates(1.0))
    # With uniform draws at two sets of two actions every leaf is weighed by 2 or by 4.
    assert set(np.unique(much)) <= {0, 2, 4, 8}
    assert little.max() > 8


def test_float32_stays_float32():
    game = jax.tree.map(lambda x: x.astype(jnp.float32), tree("horse"))
    drawn = sampled(game, "outcome", exploration=0.3)
    profile = tuple(jnp.asarray(x, jnp.float32) for x in halves(game, 0))
    found = jax.eval_shape(
        lambda k: drawn.sample(profile, (), key=k, step=jnp.int32(1)), jax.random.key(0)
    )
    assert all(x.dtype == jnp.float32 for x in found[0])


def test_refusals():
    game = tree("kuhn")
    profile = jax.tree.map(jnp.asarray, halves(game, 0))
    with pytest.raises(ValueError, match=r"pass key=jax\.random\.key"):
        sampled(game).sample(profile, (), key=None, step=jnp.int32(0))
    with pytest.raises(TypeError, match="must be a SequenceFormGame, got SampledGame"):
        sampled(sampled(game))
    with pytest.raises(ValueError, match="got 'average'"):
        sampled(game, "average")
    with pytest.raises(ValueError, match="belongs to"):
        sampled(game, "external", exploration=0.5)
    for wrong in (0.0, -1.0, 1.5, np.array([0.5, 0.0])):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            sampled(game, "outcome", exploration=wrong)
    never = library.beer_quiche(1)
    reached = never.with_payoffs(never.payoffs, jnp.full_like(never.chance, 1 / 8))
    with pytest.raises(ValueError, match="had probability 0"):
        sampled(reached)


@pytest.mark.slow
def test_the_benchmark_compares_like_with_like():
    found = {row["implementation"]: row for row in monte_carlo.rows("tiny")}
    whole = found["gamejax, whole"]
    assert whole["leaves"] == 60
    for kind in KINDS:
        row = found[f"gamejax, {kind}"]
        assert row["per_s"] > 0
        assert whole["certificate"] < row["certificate"] < 1
        assert row["leaves"] < whole["leaves"]
    for row in found.values():
        assert row["note"] is not None or row["certificate"] < 1

"""Swap and internal regret: identities, proved bounds on random and adversarial utilities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import feedback as fb
from gamejax._linalg import stationary
from gamejax.feedback import Feedback
from gamejax.learners import (
    BlumMansour,
    Every,
    FollowTheRegularizedLeader,
    HartMasColell,
    Hedge,
    RegretMatching,
    RegretMatchingPlus,
    StoltzLugosi,
    TreeSwap,
)
from gamejax.regularizers import LogBarrier
from gamejax.sets import Ball, CappedSimplex, Simplex
from tests.learner_runs import full, run, self_play

N, T, BATCH = 4, 300, 100
CHAIN = jnp.asarray([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]])


# -- the stationary distribution ------------------------------------------------------------------


def test_stationary_distributions():
    solve = jax.jit(stationary)
    np.testing.assert_allclose(solve(CHAIN), np.asarray([12, 32, 7]) / 51, rtol=1e-12)
    low = solve(CHAIN.astype(jnp.float32))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, np.asarray([12, 32, 7]) / 51, rtol=2e-5)
    two = jnp.asarray([[0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_allclose(solve(two), [0.75, 0.25], rtol=1e-12)
    four = np.random.default_rng(3).dirichlet(np.ones(4), 4)
    lead = np.linalg.matrix_power(four, 200)[0]
    np.testing.assert_allclose(solve(jnp.asarray(four)), lead, rtol=1e-11)
    np.testing.assert_array_equal(solve(jnp.ones((1, 1))), [1])
    np.testing.assert_allclose(solve(jnp.eye(2)), [0.5, 0.5])


@pytest.mark.parametrize("n", [2, 3, 6])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_stationary_distributions_of_reducible_chains(n, dtype):
    rng = np.random.default_rng(1)
    chains = rng.random((400, n, n)) * (rng.random((400, n, n)) < 0.25)
    stuck = chains.sum(2) == 0
    chains[stuck, np.nonzero(stuck)[1]] = 1
    chains = jnp.asarray(chains / chains.sum(2, keepdims=True), dtype)
    chains = jnp.concatenate([chains, jnp.eye(n, dtype=dtype)[None]])
    played = jax.jit(stationary)(chains)
    assert played.dtype == dtype
    assert jnp.all(played >= 0)
    moved = jnp.einsum("ka,kab->kb", played, chains, precision="highest")
    np.testing.assert_allclose(played.sum(-1), 1, rtol=1e-5)
    assert jnp.abs(moved - played).sum(-1).max() < 300 * jnp.finfo(dtype).eps


def test_stationary_distributions_have_derivatives():
    def score(chain):
        return stationary(chain / chain.sum(-1, keepdims=True)) @ jnp.asarray([1.0, -2.0, 3.0])

    direction = jnp.asarray(np.random.default_rng(0).random((3, 3)))
    slope = jnp.vdot(jax.jit(jax.grad(score))(CHAIN), direction)
    step, score = 1e-6, jax.jit(score)
    finite = (score(CHAIN + step * direction) - score(CHAIN - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, finite, rtol=1e-7)


def test_padded_states_have_probability_zero():
    chain = jnp.full((5, 5), 0.2).at[:3, :3].set(CHAIN).at[:3, 3:].set(0)
    center = jnp.asarray([1, 1, 1, 0, 0]) / 3
    played = jax.jit(stationary)(chain, center)
    np.testing.assert_array_equal(played[3:], 0)
    np.testing.assert_allclose(played[:3], np.asarray([12, 32, 7]) / 51, rtol=1e-12)


# -- regrets on given and on adversarial utilities ------------------------------------------------


def random_utilities(seed=0, shape=(BATCH, T, N)):
    """Utilities in [0, 1]: uniform, drifting, switching and rare, 25 sequences of each."""
    rng = np.random.default_rng(seed)
    u = rng.random(shape)
    time = np.arange(shape[1])[None, :, None]
    phase = rng.random((25, 1, shape[2])) * 6
    u[25:50] = 0.5 + 0.5 * np.sin(time / rng.integers(3, 60, (25, 1, 1)) + phase)
    u[50:75] = (u[50:75] < 0.5) * ((time // 20 + np.arange(shape[2])) % 3 > 0)
    u[75:] = u[75:] ** 8
    return jnp.asarray(u)


def swap_gains(plays, utilities):
    """G[a, b] = sum_t x_a (u_b - u_a)."""
    gains = jnp.einsum("ta,tb->ab", plays, utilities, precision="highest")
    return gains - jnp.diagonal(gains)[:, None]


def swap_regret(plays, utilities):
    return swap_gains(plays, utilities).max(1).sum()


def internal_regret(plays, utilities):
    return swap_gains(plays, utilities).max()


@functools.partial(jax.jit, static_argnames="steps")
def against_adversary(learner, sets, steps):
    """Utilities that punish the last strategy's favorites: 1 on the least played actions."""

    def step(carry, _):
        x, state = carry
        u = (x <= jnp.median(x)).astype(x.dtype)
        return learner.update(sets, full(u, x), state, x), (x, u)

    return jax.lax.scan(step, learner.init(sets, dtype=jnp.float64), length=steps)[1]


SHARP_RATE = np.sqrt(8 * N * np.log(N) / T)
PAIRS = N * (N - 1)
BOUNDS = {
    "bm_rm": (BlumMansour(RegretMatching()), swap_regret, N * np.sqrt(T)),
    "bm_rm+": (BlumMansour(RegretMatchingPlus()), swap_regret, N * np.sqrt(T)),
    "bm_hedge": (
        BlumMansour(Hedge(SHARP_RATE)),
        swap_regret,
        np.sqrt(N * T * np.log(N) / 2),
    ),
    "bm_hedge_anytime": (
        BlumMansour(Hedge()).with_utility_range(1.0),
        swap_regret,
        3 / np.sqrt(8) * np.sqrt(N * T * np.log(N)) + np.sqrt(N * np.log(N) / 8),
    ),
    "stoltz_lugosi": (
        StoltzLugosi(np.sqrt(8 * np.log(PAIRS) / T)),
        internal_regret,
        np.sqrt(T * np.log(PAIRS) / 2),
    ),
    "stoltz_lugosi_anytime": (
        StoltzLugosi(utility_range=1.0),
        internal_regret,
        2 * np.sqrt(T * np.log(PAIRS) / 2) + np.sqrt(np.log(PAIRS) / 8),
    ),
    "hart_mas_colell": (HartMasColell(), internal_regret, np.sqrt((N - 1) * T)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_regret_bounds(name):
    learner, regret, bound = BOUNDS[name]
    utilities = random_utilities()

    @jax.jit
    def regrets(learner):
        plays = jax.vmap(lambda u: run(learner, Simplex(N), u))(utilities)
        return jax.vmap(regret)(plays, utilities), plays

    values, plays = regrets(learner)
    np.testing.assert_allclose(plays.sum(-1), 1, atol=1e-12)
    assert plays.min() >= 0
    assert values.max() <= bound
    adversarial = regret(*against_adversary(learner, Simplex(N), T))
    assert adversarial <= bound
    # The bounds bite: some sequence comes within a factor of 15.
    assert max(values.max(), adversarial) >= bound / 15


def trace(learner, utilities):
    """Strategies and the copies' strategies of Blum and Mansour's reduction."""
    sets = Simplex(utilities.shape[-1])

    def step(carry, u):
        x, state = carry
        return learner.update(sets, full(u, x), state, x), (x, state.rows)

    return jax.lax.scan(step, learner.init(sets, dtype=utilities.dtype), utilities)[1]


@pytest.mark.parametrize("learner", [RegretMatching(), Hedge(0.5)], ids=lambda f: type(f).__name__)
def test_swap_regret_is_the_sum_of_the_copies_external_regrets(learner):
    utilities = random_utilities(1)

    @jax.jit
    def both(utilities):
        def one(u):
            x, rows = trace(BlumMansour(learner), u)
            fed = x[:, :, None] * u[:, None, :]
            gained = jnp.einsum("tab,tab->a", rows, fed)
            return swap_regret(x, u), (fed.sum(0).max(-1) - gained).sum()

        return jax.vmap(one)(utilities)

    swap, external = both(utilities)
    np.testing.assert_allclose(swap, external, atol=1e-10)


def test_self_play_reaches_correlated_equilibria():
    # Shapley's game, where unconditional play cycles: internal regret bounds the gap at every T.
    a = jnp.asarray([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    sets = (Simplex(3), Simplex(3))
    start = (jnp.asarray([0.6, 0.3, 0.1]), jnp.asarray([0.2, 0.3, 0.5]))
    gaps = []
    for steps in (500, 2000):
        x, y = self_play((HartMasColell(),) * 2, sets, (a, a.T), steps, start=start)
        joint = jnp.einsum("ta,tb->ab", x, y) / steps
        gains = joint @ a.T
        gaps.append(float(jnp.max(gains - jnp.diagonal(gains)[:, None])))
        assert 0 <= gaps[-1] <= np.sqrt(2 / steps) + 1 / steps
    assert gaps[1] < gaps[0]


def test_inertia_is_one_step_of_the_chain():
    utilities = random_utilities(3)[0]
    learner, sets = HartMasColell(mu=8.0), Simplex(N)
    plays = np.asarray(jax.jit(run)(learner, sets, utilities))
    regrets, x = np.zeros((N, N)), np.full(N, 1 / N)
    for t in range(T):
        np.testing.assert_allclose(plays[t], x, atol=1e-12)
        u = np.asarray(utilities[t])
        regrets += x[:, None] * (u[None, :] - u[:, None])
        chain = np.maximum(regrets, 0) / (8.0 * (t + 1))
        np.fill_diagonal(chain, 0)
        np.fill_diagonal(chain, 1 - chain.sum(1))
        x = x @ chain
    other = jax.jit(run)(HartMasColell(mu=4.0), sets, utilities)
    assert np.abs(np.asarray(other) - plays).max() > 1e-3
    # A drawn action moves by its own row.
    x, state = learner.init(sets, dtype=jnp.float64)
    drawn = Feedback(utilities[0], jnp.eye(N)[2], jnp.ones(N, bool))
    moved, state = jax.jit(lambda seen: learner.update(sets, seen, state, x))(drawn)
    row = np.maximum(np.asarray(state.regrets.total)[2], 0) / 8
    row[2] = 1 - row.sum()
    np.testing.assert_allclose(moved, row, atol=1e-15)


# -- TreeSwap -------------------------------------------------------------------------------------


def test_one_layer_is_the_learner():
    utilities = random_utilities(4)[:, :7]
    for_all = jax.jit(jax.vmap(run, in_axes=(None, None, 0)), static_argnums=())
    alone = for_all(Hedge(0.3), Simplex(N), utilities)
    tree = for_all(TreeSwap(Hedge(0.3), base=8, layers=1), Simplex(N), utilities)
    np.testing.assert_allclose(tree, alone, atol=1e-15)


def tree_trace(learner, sets, utilities):
    def step(carry, u):
        x, state = carry
        return learner.update(sets, full(u, x), state, x), (x, state.strategies)

    return jax.lax.scan(step, learner.init(sets, dtype=utilities.dtype), utilities)[1]


def test_layers_follow_their_clocks():
    base, layers = 3, 3
    learner, sets = TreeSwap(Hedge(0.7), base, layers), Simplex(N)
    utilities = random_utilities(5, (BATCH, 60, N))[0]
    plays, held = jax.jit(tree_trace)(learner, sets, utilities)
    np.testing.assert_allclose(plays, held.mean(1), atol=1e-15)
    u = np.asarray(utilities)
    for t in range(60):
        for k in range(layers):
            # Layer k holds softmax(rate * the block means since it last began anew).
            began = t - t % base ** (k + 1)
            blocks = (t - began) // base**k
            means = u[began : began + blocks * base**k].reshape(blocks, base**k, N).mean(1)
            logits = 0.7 * means.sum(0)
            expected = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(held[t, k], expected, atol=1e-13)


def test_tree_swap_bound():
    base, layers, n = 16, 2, 6
    rounds = base**layers
    rate = np.sqrt(8 * np.log(n) / base)
    learner, sets = TreeSwap(Hedge(rate), base, layers), Simplex(n)
    bound = rounds * (np.sqrt(np.log(n) / (2 * base)) + 1 / layers)
    utilities = random_utilities(6, (BATCH, rounds, n))

    def layer_regret(held, u):
        """The swap regret over the layers' strategies, larger than that over actions."""
        total = 0.0
        for k in range(layers):
            blocks = u.reshape(-1, base**k, n).sum(1)
            strategies = held[:: base**k, k]
            total += blocks.max(1).sum() - jnp.vdot(strategies, blocks)
        return total / layers

    @jax.jit
    def regrets(utilities):
        plays, held = jax.vmap(lambda u: tree_trace(learner, sets, u))(utilities)
        over_layers = jax.vmap(layer_regret)(held, utilities)
        return jax.vmap(swap_regret)(plays, utilities), over_layers

    over_actions, over_layers = regrets(utilities)
    assert jnp.all(over_actions <= over_layers + 1e-9)
    assert over_layers.max() <= bound
    assert over_layers.max() >= bound / 3
    assert swap_regret(*against_adversary(learner, sets, rounds)) <= bound


# -- Every ----------------------------------------------------------------------------------------


def test_every_moves_on_the_mean_of_its_observations():
    utilities = random_utilities(7)[:, :30]
    for_all = jax.jit(jax.vmap(run, in_axes=(None, None, 0)))
    lazy = for_all(Every(RegretMatching(), 5), Simplex(N), utilities)
    means = utilities.reshape(BATCH, 6, 5, N).mean(2)
    eager = for_all(RegretMatching(), Simplex(N), means)
    np.testing.assert_allclose(lazy, jnp.repeat(eager, 5, axis=1), atol=1e-12)
    once = for_all(Every(RegretMatching(), 1), Simplex(N), utilities)
    np.testing.assert_allclose(once, for_all(RegretMatching(), Simplex(N), utilities), atol=1e-15)
    swept = jax.jit(jax.vmap(lambda n: run(Every(Hedge(0.4), n), Simplex(N), utilities[0])))
    np.testing.assert_array_equal(
        swept(jnp.asarray([1, 5], jnp.int32))[1],
        jax.jit(run)(Every(Hedge(0.4), 5), Simplex(N), utilities[0]),
    )


def test_every_counts_arrivals_only():
    sets, learner, late = Simplex(N), Every(Hedge(0.5), 2), fb.Delayed(delay=3)
    utilities = random_utilities(8)[0, :12]
    (x, state), seen_state = (
        learner.init(sets, dtype=jnp.float64),
        late.init(sets, dtype=jnp.float64),
    )
    plays = []

    @jax.jit
    def step(u, x, state, seen_state):
        seen, seen_state = late.observe(u, x, seen_state, key=None, step=jnp.int32(1))
        return *learner.update(sets, seen, state, x), seen_state

    for t in range(12):
        plays.append(x)
        x, state, seen_state = step(utilities[t], x, state, seen_state)
    # Arrivals in rounds 3, 4, ...: moves after rounds 4, 6, 8, 10.
    for t, arrived in [(4, 0), (5, 2), (6, 2), (7, 4), (11, 8)]:
        logits = 0.5 * utilities[:arrived].sum(0) / 2
        np.testing.assert_allclose(plays[t], jax.nn.softmax(logits), atol=1e-14)


def test_every_has_the_lazy_block_bound():
    block, n = 10, N
    utilities = random_utilities(9)
    rate = np.sqrt(8 * np.log(n) / (T / block))
    plays = jax.jit(jax.vmap(run, in_axes=(None, None, 0)))(
        Every(Hedge(rate), block), Simplex(n), utilities
    )
    regret = utilities.sum(1).max(1) - jnp.einsum("kta,kta->k", plays, utilities)
    assert regret.max() <= np.sqrt(T * block * np.log(n) / 2)


# -- all of them ----------------------------------------------------------------------------------

LEARNERS = [
    BlumMansour(RegretMatchingPlus()),
    BlumMansour(Hedge(), utility_range=2.0),
    StoltzLugosi(),
    HartMasColell(),
    HartMasColell(6.0),
    TreeSwap(Hedge(0.4), 3, 3),
    Every(Hedge(0.3), 3),
]
IDS = [f"{i}-{type(learner).__name__}" for i, learner in enumerate(LEARNERS)]
ROUNDS = 40


@pytest.mark.parametrize("learner", LEARNERS, ids=IDS)
def test_masks_blocks_batches_and_float32(learner):
    utilities = jnp.asarray(np.random.default_rng(11).normal(size=(ROUNDS, 2, 3)))
    mask = jnp.asarray([True, False, True, True, False])
    padded = jnp.full((ROUNDS, 5), 100.0).at[:, mask].set(utilities[:, 0])

    @jax.jit
    def all_ways(learner, utilities, padded):
        batch = jax.vmap(run, in_axes=(None, None, 1), out_axes=1)(learner, Simplex(3), utilities)
        blocks = run(learner, Simplex((2, 3)), utilities)
        hidden = run(learner, Simplex(5, mask), padded)
        low = run(learner, Simplex(3), utilities[:, 0].astype(jnp.float32))
        return batch, blocks, hidden, low

    batch, blocks, hidden, low = all_ways(learner, utilities, padded)
    np.testing.assert_allclose(batch.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(blocks, batch, atol=1e-12)
    np.testing.assert_array_equal(hidden[:, ~mask], 0)
    np.testing.assert_allclose(hidden[:, mask], batch[:, 0], atol=1e-12)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, batch[:, 0], atol=2e-4)


@pytest.mark.parametrize("learner", LEARNERS[::2], ids=IDS[::2])
def test_eager_equals_jit_and_starts_are_kept(learner):
    sets, start = Simplex(3), jnp.asarray([0.2, 0.5, 0.3])
    x, state = learner.start(sets, start, dtype=jnp.float64)
    np.testing.assert_array_equal(x, start)
    utility = jnp.asarray([0.1, 0.4, -0.2])
    eager = learner.update(sets, full(utility, x), state, x)
    jitted = jax.jit(lambda lr, u, s, x: lr.update(sets, full(u, x), s, x))(
        learner, utility, state, x
    )
    assert jax.tree.structure(eager[1]) == jax.tree.structure(state)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-13), eager, jitted)
    # Nothing to regret: a warm start stays where it is.
    still = learner.update(sets, full(jnp.zeros(3), x), state, x)[0]
    if not isinstance(learner, BlumMansour | TreeSwap):
        np.testing.assert_allclose(still, start, atol=1e-12)


@pytest.mark.parametrize("learner", LEARNERS[::2], ids=IDS[::2])
def test_one_and_two_actions(learner):
    utilities = jnp.asarray(np.random.default_rng(2).normal(size=(ROUNDS, 2)))
    lone = jax.jit(run)(learner, Simplex(1), utilities[:, :1])
    np.testing.assert_allclose(lone, 1)
    pair = jax.jit(run)(learner, Simplex(2), utilities)
    assert jnp.all(jnp.isfinite(pair))
    still = jax.jit(run)(learner, Simplex(2), jnp.zeros_like(utilities))
    np.testing.assert_allclose(still, 0.5, atol=1e-12)


def test_scale_and_shift_change_nothing():
    utilities = random_utilities(12)[0]
    single = jax.jit(run)
    for learner in (BlumMansour(RegretMatching()), HartMasColell(), StoltzLugosi()):
        plain = single(learner, Simplex(N), utilities)
        changed = single(learner, Simplex(N), 1000 * utilities + 5)
        np.testing.assert_allclose(changed, plain, atol=1e-6)


def test_blum_mansour_stays_in_a_capped_simplex():
    sets = CappedSimplex(N, cap=0.4)
    plays = jax.jit(run)(BlumMansour(Hedge(2.0)), sets, random_utilities(13)[0])
    assert plays.max() <= 0.4 + 1e-12
    assert plays.max() > 0.39


def test_utility_ranges_reach_the_learners_inside():
    assert TreeSwap(Hedge(), 3, 2).with_utility_range(2.0).learner == Hedge(utility_range=2.0)
    assert Every(Hedge(), 3).with_utility_range(2.0).learner == Hedge(utility_range=2.0)
    assert StoltzLugosi().with_utility_range(2.0) == StoltzLugosi(utility_range=2.0)
    assert StoltzLugosi(0.1).with_utility_range(2.0) == StoltzLugosi(0.1)
    utilities = random_utilities(14)[0]
    known = jax.jit(run)(BlumMansour(Hedge(), 4.0), Simplex(N), utilities)
    own = jax.jit(run)(BlumMansour(Hedge(utility_range=2.0)), Simplex(N), utilities)
    np.testing.assert_allclose(known, own, atol=1e-12)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="BlumMansour plays on a Simplex or a CappedSimplex"):
        BlumMansour(RegretMatching()).init(Ball(2), dtype=jnp.float64)
    for learner in (StoltzLugosi(), HartMasColell()):
        with pytest.raises(TypeError, match=f"{type(learner).__name__} plays on a Simplex"):
            learner.init(CappedSimplex(4, 0.5), dtype=jnp.float64)
    with pytest.raises(ValueError, match="mu must be > 0"):
        HartMasColell(-1.0)
    with pytest.raises(ValueError, match="base must be an integer >= 2, got 1"):
        TreeSwap(Hedge(), 1, 3)
    with pytest.raises(ValueError, match="layers must be an integer >= 1"):
        TreeSwap(Hedge(), 4, 0)
    with pytest.raises(ValueError, match=r"must be below 2\*\*31"):
        TreeSwap(Hedge(), 10, 10)
    with pytest.raises(ValueError, match="num_observations must be >= 1, got 0"):
        Every(Hedge(), 0)


@pytest.mark.slow
def test_log_barrier_copies_have_logarithmic_swap_regret_and_short_paths():
    # Two players, utilities in [-1, 1]: the constants of Theorem 4.1, and a rate 200 times larger.
    a = 2 * jnp.asarray([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) - 1
    sets, steps, n = (Simplex(3), Simplex(3)), 20_000, 3
    start = (jnp.asarray([0.6, 0.3, 0.1]), jnp.asarray([0.2, 0.3, 0.5]))
    total = 2 * n**2.5
    for speed in (1, 200):
        rate = speed / (128 * np.sqrt(n))
        copy = FollowTheRegularizedLeader(LogBarrier(), rate, optimism=1.0)
        learner = BlumMansour(copy)
        x, y = self_play((learner, learner), sets, (a, a.T), steps, start=start)
        path = sum(jnp.square(jnp.abs(jnp.diff(z, axis=0)).sum(-1)).sum() for z in (x, y))
        regret = swap_regret(x, y @ a.T)
        assert regret <= 256 * (n**2.5 + total) * np.log(steps)
        assert path <= 8192 * np.sqrt(n) * total * np.log(steps)
    # At the larger rate regret stops growing.
    quarter = swap_regret(x[: steps // 4], y[: steps // 4] @ a.T)
    assert quarter - 1e-9 <= regret <= min(quarter + 0.01, 15)

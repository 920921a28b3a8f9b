"""The simulation: same bits whatever the chunks, batches, records; environments that compose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import bandits, feedback, learners

MEANS = jnp.asarray([0.7, 0.5, 0.4], jnp.float32)
ENV = bandits.Bernoulli(MEANS)
KEY = jax.random.key(11)


def same(a, b, **slices):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
    "policy",
    [
        bandits.ucb1(),
        pytest.param(bandits.thompson(), marks=pytest.mark.slow),
        pytest.param(bandits.exp3(3, 300), marks=pytest.mark.slow),
    ],
    ids=["ucb", "ts", "exp3"],
)
def test_same_bits_whatever_the_chunks(policy):
    whole = bandits.simulate(ENV, policy, 300, key=KEY, num_replications=70, record_every=100)
    for size in (64, 32):
        parts = bandits.simulate(
            ENV, policy, 300, key=KEY, num_replications=70, record_every=100, chunk_size=size
        )
        same(whole, parts)
    devices = jax.make_mesh((1,), ("copies",), devices=jax.devices()[:1])
    spread = bandits.simulate(
        ENV, policy, 300, key=KEY, num_replications=70, record_every=100, mesh=devices
    )
    same(whole, spread)
    fewer = bandits.simulate(ENV, policy, 300, key=KEY, num_replications=40, record_every=50)
    np.testing.assert_array_equal(fewer.pulls[:, 1::2], whole.pulls[:40])
    np.testing.assert_array_equal(whole.times, [100, 200, 300])


def test_maps_over_hyper_parameters_and_environments():
    widths = jnp.asarray([0.5, 2.0], jnp.float32)

    def run(width, means):
        return bandits.simulate(
            bandits.Bernoulli(means), bandits.ucb1(width), 200, key=KEY, num_replications=16
        )

    grid = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))
    batch = grid(widths, jnp.stack([MEANS, MEANS[::-1]]))
    assert batch.regret.shape == (2, 2, 16, 1)
    assert batch.mean().shape == batch.standard_error().shape == (2, 2, 1)
    for i, width in enumerate(widths):
        alone = run(width, MEANS)
        np.testing.assert_array_equal(batch.pulls[i, 0], alone.pulls)


def test_one_trace_for_all_hyper_parameters():
    # Counted by compiled programs: other numbers reuse the first.
    before = bandits._simulate._simulate._cache_size()
    for width in (0.5, 1.0, 2.0):
        bandits.simulate(ENV, bandits.ucb1(width), 77, key=KEY, num_replications=3)
    assert bandits._simulate._simulate._cache_size() == before + 1


def test_result_statistics_and_picture():
    pytest.importorskip("matplotlib").use("Agg")
    result = bandits.simulate(
        ENV, bandits.ucb1(), 60, key=KEY, num_replications=50, record_every=10
    )
    regret = np.asarray(result.regret)
    np.testing.assert_allclose(result.mean(), regret.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        result.standard_error(), regret.std(0, ddof=1) / np.sqrt(50), rtol=1e-4
    )
    np.testing.assert_allclose(
        result.quantiles([0.25, 0.75]), np.quantile(regret, [0.25, 0.75], axis=0), rtol=1e-5
    )
    ax = result.plot(label="UCB1")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), regret.mean(0), rtol=1e-5)
    with pytest.raises(ValueError, match="several records"):
        bandits.simulate(ENV, bandits.ucb1(), 5, key=KEY, num_replications=2).plot()


def test_float64_environments_give_float64():
    env = bandits.Bernoulli(MEANS.astype(jnp.float64))
    for policy in (bandits.exp3(3, 50), bandits.thompson(), bandits.kl_ucb()):
        result = bandits.simulate(env, policy, 50, key=KEY, num_replications=4)
        assert result.regret.dtype == jnp.float64


def test_delays_only_move_information():
    table = jnp.asarray(np.random.default_rng(0).uniform(size=(40, 3)), jnp.float32)
    env = bandits.LossTable(table)
    policy = bandits.Policy(learners.UCB(0.5))
    run = {"key": KEY, "num_replications": 8}
    same(
        bandits.simulate(env, policy, 40, **run).pulls,
        bandits.simulate(bandits.Delayed(env, 0), policy, 40, **run).pulls,
    )
    late = bandits.simulate(bandits.Delayed(env, 7), policy, 40, **run, record_every=1)
    # What was pulled up to round t - 7 has been seen by round t.
    np.testing.assert_array_equal(late.observed[:, 7:], late.pulls[:, :-7])
    np.testing.assert_array_equal(late.observed[:, :7], 0)
    # Nothing is known before round 8, so the arms not seen are tried at random.
    mixed = bandits.Delayed(env, 4, [0.1, 0.2, 0.3, 0.2, 0.2])
    result = bandits.simulate(mixed, bandits.thompson(), 40, **run, record_every=1)
    assert np.all(result.observed <= result.pulls)
    outstanding = (result.pulls - result.observed).sum(-1)
    assert outstanding.max() <= 4
    assert outstanding.max() > 0


@pytest.mark.slow
def test_delay_costs_what_the_bound_says():
    horizon, delay = 2000, 50
    env = bandits.Delayed(bandits.Bernoulli(MEANS), delay)
    rate = np.sqrt(np.log(3) / ((3 + delay) * horizon))
    result = bandits.simulate(
        env, bandits.exp3(3, learning_rate=rate), horizon, key=KEY, num_replications=50
    )
    assert float(result.mean()[-1]) <= 3 * np.sqrt((3 + delay) * horizon * np.log(3))
    plain = bandits.simulate(ENV, bandits.ucb1(0.5), horizon, key=KEY, num_replications=50)
    late = bandits.simulate(env, bandits.ucb1(0.5), horizon, key=KEY, num_replications=50)
    gaps = float(jnp.sum(MEANS.max() - MEANS))
    assert float(late.mean()[-1]) <= float(plain.mean()[-1]) + gaps * delay + 10


@pytest.mark.slow
def test_corruption_stays_within_its_budget():
    env = bandits.Corrupted(bandits.Bernoulli(MEANS), 12.5)
    state = env.init(key=KEY, dtype=jnp.float32)
    total, left = 0.0, [12.5]
    for step in range(40):
        key = jax.random.fold_in(KEY, step)
        count = jnp.asarray(step + 1)
        (clean,), _ = env.environment.sample((), (), key=key, step=count)
        (rewards,), state = env.sample((), state, key=key, step=count)
        total += float(jnp.max(jnp.abs(rewards - clean)))
        left.append(float(state.left))
        assert np.all((rewards >= 0) & (rewards <= 1))
    assert total == pytest.approx(12.5)
    assert left[-1] == 0
    runs = [
        bandits.simulate(e, bandits.tsallis_inf(), 2000, key=KEY, num_replications=50)
        for e in (ENV, bandits.Corrupted(ENV, 100.0))
    ]
    clean, corrupted = (float(r.mean()[-1]) for r in runs)
    assert clean < corrupted < clean + 2 * 100 + 50
    none = bandits.simulate(
        bandits.Corrupted(ENV, 0.0), bandits.ucb1(), 100, key=KEY, num_replications=4
    )
    same(none.pulls, bandits.simulate(ENV, bandits.ucb1(), 100, key=KEY, num_replications=4).pulls)


def test_wrappers_compose():
    env = bandits.Corrupted(
        bandits.Switching(jnp.stack([MEANS, MEANS[::-1]]), [101], "every_round"), 5.0
    )
    env = bandits.Delayed(bandits.ProbabilisticFeedback(env, 0.5), 3, [0.25] * 4)
    result = bandits.simulate(
        env, bandits.exp3(3, 200), 200, key=KEY, num_replications=100, record_every=100
    )
    share = result.observed[:, -1].sum() / result.pulls[:, -1].sum()
    assert abs(float(share) - 0.5) < 0.02
    assert np.all(np.diff(result.regret, axis=1) >= 0)


def test_environments_are_games():
    game = bandits.Bernoulli(MEANS)
    (rewards,), _ = game.sample((), (), key=KEY, step=jnp.asarray(1))
    assert rewards.shape == (3,)
    assert game.num_players == 1
    np.testing.assert_array_equal(game.utilities(())[0], MEANS)
    with pytest.raises(ValueError, match="pass key"):
        game.sample((), (), key=None, step=jnp.asarray(1))
    # A bandit is self-play of one player: Exp3 through the library's own front door.
    import gamejax
    from gamejax.solvers import SelfPlay

    solver = SelfPlay(
        learners.Hedge(0.05), feedback.BanditFeedback(feedback.ImportanceWeighting(1.0))
    )
    solution = gamejax.play(game, solver, 1500, key=KEY).solution
    assert float(solution.profile[0][0]) > 0.6

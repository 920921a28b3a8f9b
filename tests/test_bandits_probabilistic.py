"""Rewards seen only sometimes: transforms, three-phase Exp3, monotonicity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import bandits, learners
from gamejax.learners import AbstractIndexPolicy

KEY = jax.random.key(21)
TWO = bandits.Bernoulli(jnp.asarray([0.6, 0.4], jnp.float32))


class RoundRobin(AbstractIndexPolicy):
    """Plays the arm observed least."""

    def index(self, record, step, *, key):
        return -record[0]


def play(env, policy, horizon, replications=20, **options):
    return bandits.simulate(env, policy, horizon, key=KEY, num_replications=replications, **options)


@pytest.mark.parametrize(
    "policy",
    [
        bandits.ucb1(),
        pytest.param(bandits.successive_elimination(), marks=pytest.mark.slow),
        pytest.param(bandits.exp3(2, 300), marks=pytest.mark.slow),
    ],
    ids=["ucb", "aae", "exp3"],
)
def test_with_all_rates_one_everything_is_the_policy_bit_for_bit(policy):
    plain = play(TWO, policy, 300)
    seen = bandits.ProbabilisticFeedback(TWO, 1.0)
    for other in (policy, bandits.bb_pull(policy), bandits.bb_divide(policy, block=1)):
        result = play(seen, other, 300)
        np.testing.assert_array_equal(result.pulls, plain.pulls)
        np.testing.assert_array_equal(result.observed, plain.pulls)


@pytest.mark.slow
def test_round_robin_inside_gives_the_shares_of_renewal_theory():
    rates, horizon = np.array([0.5, 1.0, 0.25]), 20_000
    env = bandits.ProbabilisticFeedback(
        bandits.Bernoulli(jnp.full(3, 0.5, jnp.float32)), jnp.asarray(rates, jnp.float32)
    )
    policy = bandits.Policy(RoundRobin())
    expected = {
        "pull": (bandits.bb_pull(policy), (1 / rates) / (1 / rates).sum()),
        "divide": (bandits.bb_divide(policy, block=40), np.full(3, 1 / 3)),
        "adjusted": (bandits.bb_da(policy, block=40), (1 + rates) / (1 + rates).sum()),
    }
    for name, (transformed, share) in expected.items():
        result = play(env, transformed, horizon)
        np.testing.assert_array_equal(result.pulls[:, -1].sum(-1), horizon)
        np.testing.assert_allclose(
            result.pulls[:, -1].mean(0) / horizon, share, atol=0.01, err_msg=name
        )
        np.testing.assert_allclose(
            result.observed[:, -1].mean(0) / horizon, share * rates, atol=0.01, err_msg=name
        )


def test_divide_shows_the_mean_of_what_was_seen():
    # With certain observation and blocks of 4, an index policy sees the mean of 4 rewards.
    table = jnp.asarray(np.random.default_rng(1).uniform(size=(12, 1)), jnp.float32)
    policy = bandits.bb_divide(bandits.Policy(learners.UCB()), block=4)
    state = policy.init(bandits.LossTable(table).strategy_sets[0], dtype=jnp.float32)
    for step in range(12):
        arm, state = policy.pull(state, key=KEY)
        seen = policy.report(1 - table[step], arm, state, step=jnp.asarray(step + 1))
        state = policy.update(TWO.strategy_sets[0], seen, arm, state, key=KEY)
    assert int(state.rounds) == 4
    np.testing.assert_allclose(
        state.inner.learner.sums.total, [(1 - table).reshape(3, 4).mean(1).sum()], rtol=1e-6
    )


def test_regret_of_transforms_stays_within_the_papers_bounds():
    horizon, rates = 5000, (0.4, 0.6)
    env = bandits.ProbabilisticFeedback(TWO, jnp.asarray(rates, jnp.float32))
    gap, low = 0.2, min(rates)

    def ucb_bound(rounds):
        return 8 * np.log(max(rounds, 2)) / gap + (1 + np.pi**2 / 3) * gap

    log = np.log(horizon)
    bounds = {
        "pull": (bandits.bb_pull(bandits.ucb1()), ucb_bound(horizon) / low),
        "divide": (
            bandits.bb_divide(bandits.ucb1(), horizon, low),
            np.ceil(log / low) * ucb_bound(horizon * low / log),
        ),
        "adjusted": (
            bandits.bb_da(bandits.ucb1(), horizon, low),
            6 * log / low * ucb_bound(horizon * low / (3 * log)),
        ),
    }
    for name, (policy, bound) in bounds.items():
        result = play(env, policy, horizon, 40)
        assert float(result.mean()[-1]) <= bound, name
    sharp = np.sqrt(horizon * log * sum(1 / f for f in rates))
    assert float(play(env, bounds["pull"][0], horizon, 40).mean()[-1]) <= sharp


def test_exp3_needs_the_rates():
    # Losses .5 and .4, arm 1 (better) seen always, arm 0 seldom: ignored coins mislead Exp3.
    horizon, rates = 10_000, jnp.asarray([0.1, 1.0], jnp.float32)
    env = bandits.ProbabilisticFeedback(
        bandits.Bernoulli(jnp.asarray([0.4, 0.6], jnp.float32)), rates
    )
    known = play(env, bandits.exp3_known_rates(rates, horizon), horizon, 40)
    bound = np.sqrt(2 * horizon * np.log(2) * (1 / np.asarray(rates)).sum())
    assert float(known.mean()[-1]) <= bound
    ignored = play(env, bandits.exp3(2, horizon), horizon, 40)
    assert float(ignored.mean()[-1]) > 0.15 * horizon
    phases = play(env, bandits.three_phase_exp3(horizon, 5, 5), horizon, 40)
    assert float(phases.mean()[-1]) <= 2 * bound


def test_three_phase_exp3_answers_to_the_rate_as_in_the_poster():
    # T = 1000, two arms: pulls of arm 0 fall with its rate where it is worse, else they rise.
    options = {"grid": [0.01, 0.1, 0.5], "horizon": 1000, "key": KEY, "num_replications": 100}
    policy = bandits.three_phase_exp3(1000)
    worse = bandits.Bernoulli(jnp.asarray([0.1, 0.9], jnp.float32))
    better = bandits.Bernoulli(jnp.asarray([0.9, 0.1], jnp.float32))
    falls = bandits.monotonicity_report(worse, policy, [0.5, 0.5], **options).pulls[..., 0].mean(1)
    rises = bandits.monotonicity_report(better, policy, [0.5, 0.5], **options).pulls[..., 0].mean(1)
    assert falls[0] > 1.5 * falls[2]
    assert rises[0] < rises[2]


@pytest.mark.parametrize(("name", "sign"), [("pull", -1), ("divide", 0), ("adjusted", 1)])
def test_the_three_directions(name, sign):
    env = bandits.Bernoulli(jnp.asarray([0.1, 0.9], jnp.float32))
    horizon = 4000
    inner = bandits.successive_elimination(log_term=4 * np.log(horizon))
    policy = {
        "pull": bandits.bb_pull(inner),
        "divide": bandits.bb_divide(inner, block=20),
        "adjusted": bandits.bb_da(inner, block=20),
    }[name]
    report = bandits.monotonicity_report(
        env, policy, [1.0, 0.5], grid=[0.25, 0.5, 1.0], horizon=horizon, key=KEY,
        num_replications=40,
    )  # fmt: skip
    slope, width = (x[0] for x in report.slope())
    seen, _ = report.slope("observed")
    scale = float(report.pulls[..., 0].mean())
    if sign:
        assert sign * slope > width
        assert abs(slope) > 0.1 * scale
    else:
        assert abs(slope) <= max(width, 0.1 * scale)
    assert sign < 0 or seen[0] > 0
    np.testing.assert_allclose(report.pulls.sum(-1), horizon)


def test_direct_policies_with_observed_counts():
    means = jnp.asarray([0.3, 0.7], jnp.float32)
    env, grid, horizon = bandits.Bernoulli(means), [0.25, 1.0], 20_000
    options = {"grid": grid, "horizon": horizon, "key": KEY, "num_replications": 40}
    ucb = bandits.monotonicity_report(env, bandits.ucb1(), [1.0, 1.0], **options)
    observed = ucb.observed[..., 0].mean(1)
    assert abs(float(observed[0] / observed[1]) - 1) < 0.1
    inner = bandits.successive_elimination(log_term=4 * np.log(horizon))
    aae = bandits.monotonicity_report(env, inner, [1.0, 1.0], **options)
    pulls = aae.pulls[..., 0].mean(1)
    # ((1/sqrt f + 1) / 2)^2 with f = 1/4.
    assert float(pulls[0] / pulls[1]) == pytest.approx(2.25, rel=0.15)


@pytest.mark.slow
def test_elimination_inside_matches_the_reference_counts():
    horizon, low = 200_000, 0.25
    env = bandits.Bernoulli(jnp.asarray([0.1, 0.9], jnp.float32))
    inner = bandits.successive_elimination(log_term=4 * np.log(horizon))
    reference = {
        "pull": (bandits.bb_pull(inner), [613, 296, 155], [10, 5, 2]),
        "adjusted": (bandits.bb_da(inner, horizon, low), [27958, 33344, 43872], [101, 331, 564]),
        # 49 times a mean of 150.5 blocks; without stated errors: those of "pull" at rate 1.
        "divide": (bandits.bb_divide(inner, horizon, low), [7373] * 3, [98] * 3),
    }
    for policy, counts, errors in reference.values():
        report = bandits.monotonicity_report(
            env, policy, [1.0, 0.5], grid=[0.25, 0.5, 1.0], horizon=horizon, key=KEY,
            num_replications=40,
        )  # fmt: skip
        pulls = np.asarray(report.pulls[..., 0], float)
        own = pulls.std(1, ddof=1) / np.sqrt(40)
        assert np.all(np.abs(pulls.mean(1) - counts) <= 4 * np.hypot(own, errors)), pulls.mean(1)


def test_report_draws_itself():
    pytest.importorskip("matplotlib").use("Agg")
    report = bandits.monotonicity_report(
        TWO, bandits.ucb1(), [0.5, 0.5], grid=[0.5, 1.0], horizon=100, key=KEY, num_replications=5
    )
    assert report.plot(label="UCB1").get_xlabel() == "rate of observation of arm 0"
    with pytest.raises(ValueError, match="rates must have one entry"):
        bandits.monotonicity_report(TWO, bandits.ucb1(), [0.5], horizon=10, key=KEY)

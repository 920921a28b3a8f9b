"""Replay of logs: what counts, what it estimates, and what learners see of it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import bandits, learners
from gamejax.bandits import BanditLog, LoggedBandit
from gamejax.feedback import BanditFeedback

SHARED = Path(__file__).parents[2] / "shared" / "data"
MEANS = np.array([0.2, 0.5, 0.7])


class Fixed(learners.AbstractLearner):
    """Plays one mixed strategy whatever happens; counts the rounds it was told of."""

    strategy: jax.Array

    def init(self, strategies, *, dtype):
        return self.strategy, jnp.zeros((), jnp.int32)

    def update(self, strategies, feedback, state, strategy, *, key=None):
        return strategy, state + 1


def fixed(strategy):
    return bandits.Policy(Fixed(jnp.asarray(strategy)), BanditFeedback())


def share_of_arms(found):
    pulls = np.asarray(found.pulls).sum(0)
    return pulls / pulls.sum()


def bernoulli_log(logging, rounds, seed=0):
    rng = np.random.default_rng(seed)
    actions = rng.choice(3, rounds, p=logging)
    rewards = (rng.uniform(size=rounds) < MEANS[actions]).astype(float)
    return BanditLog(actions, rewards, np.asarray(logging)[actions])


def test_replay_of_a_uniform_log_estimates_the_value_of_a_policy():
    log = bernoulli_log([1 / 3] * 3, 3000)
    target = np.array([0.1, 0.6, 0.3])
    found = bandits.replay(
        LoggedBandit(log, 3), fixed(target), key=jax.random.key(0), num_replications=200
    )
    # A third of the rounds counts, and their arms are the policy's.
    assert abs(float(found.accepted.mean()) - 1000) < 4 * np.sqrt(3000 * 2 / 9 / 200)
    shares = share_of_arms(found)
    np.testing.assert_allclose(shares, target, atol=0.01)
    np.testing.assert_array_equal(np.asarray(found.pulls).sum(1), found.accepted)
    # The mean over many replays is what inverse propensities say of the same log.
    weighted = float(bandits.self_normalized(log, jnp.asarray(target)).value)
    error = float(found.values.std() / np.sqrt(200))
    assert abs(float(found.values.mean()) - weighted) < 5 * error
    truth = target @ MEANS
    assert abs(float(found.values.mean()) - truth) < 4 * np.sqrt(truth * (1 - truth) / 3000 * 2)
    values = np.asarray(found.values)
    spread = np.sqrt(values * (1 - values) / (np.asarray(found.accepted) - 1))
    np.testing.assert_allclose(found.standard_errors, spread, rtol=1e-9)
    assert "200 replays" in str(found)


def test_every_round_counts_with_one_probability_whatever_the_arm():
    # Exactly, by enumeration: arm drawn with the target, coin q / pi_0, against the log's arm.
    logging, target = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.6, 0.3])
    floor = logging.min()
    counted = {a: logging[a] * target[a] * floor / logging[a] for a in range(3)}
    assert np.allclose([counted[a] / floor for a in range(3)], target)
    # And in the program: the log's own bias is gone.
    log = bernoulli_log(logging, 4000, seed=1)
    found = bandits.replay(
        LoggedBandit(log, 3), fixed(target), key=jax.random.key(1), num_replications=100
    )
    np.testing.assert_allclose(share_of_arms(found), target, atol=0.015)
    assert abs(float(found.accepted.mean()) / 4000 - floor) < 0.005
    # A larger floor counts more rounds, and now favors what the log shows often.
    greedy = LoggedBandit(log, 3, floor=1.0)
    biased = bandits.replay(greedy, fixed(target), key=jax.random.key(1), num_replications=100)
    tilted = logging * target / (logging @ target)
    np.testing.assert_allclose(share_of_arms(biased), tilted, atol=0.015)


def test_replay_is_the_algorithm_of_the_paper():
    """UCB on a short log, step by step in plain Python."""
    log = bernoulli_log([1 / 3] * 3, 60, seed=4)
    found = bandits.replay(LoggedBandit(log, 3), bandits.ucb1(), key=jax.random.key(0))
    # Ties are broken at random, so the run must be one of those that are possible.
    possible = ucb_runs(np.asarray(log.actions), np.asarray(log.rewards))
    assert (
        int(found.accepted[0]),
        *found.pulls[0].tolist(),
        round(float(found.values[0]), 9),
    ) in possible


def ucb_runs(actions, rewards):
    """Every outcome of Li et al.'s replay of UCB1, over all ways to break ties."""
    runs = {((0,) * 3, (0.0,) * 3, arm) for arm in range(3)}
    for a, r in zip(actions, rewards, strict=True):
        moved = set()
        for counts, sums, arm in runs:
            if arm != a:
                moved.add((counts, sums, arm))
                continue
            counts = tuple(n + (k == a) for k, n in enumerate(counts))
            sums = tuple(x + float(r) * (k == a) for k, x in enumerate(sums))
            moved |= {(counts, sums, best) for best in largest(np.array(counts), np.array(sums))}
        runs = moved
    return {(sum(counts), *counts, round(sum(sums) / sum(counts), 9)) for counts, sums, _ in runs}


def largest(counts, sums):
    if counts.min() == 0:
        return np.flatnonzero(counts == 0)
    index = sums / counts + np.sqrt(2 * np.log(counts.sum() + 1) / counts)
    return np.flatnonzero(index > index.max() - 1e-12)


def test_the_log_runs_out_and_is_used_once():
    log = BanditLog(jnp.zeros(5, int), jnp.arange(5.0), jnp.ones(5))
    always = bandits.replay(LoggedBandit(log, 1), fixed([1.0]), key=jax.random.key(0))
    assert always.accepted.tolist() == [5]
    assert always.values.tolist() == [2.0]
    run = bandits.simulate(
        LoggedBandit(log, 1), fixed([1.0]), 5, key=jax.random.key(0), record_every=1
    )
    assert run.observed[0, :, 0].tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="the environment has 5 rounds"):
        bandits.simulate(LoggedBandit(log, 1), fixed([1.0]), 6, key=jax.random.key(0))
    never = LoggedBandit(BanditLog(jnp.zeros(5, int), jnp.arange(5.0), jnp.ones(5)), 2)
    found = bandits.replay(never, fixed([0.0, 1.0]), key=jax.random.key(0))
    assert found.accepted.tolist() == [0]
    assert jnp.isnan(found.values[0])


def test_bootstrap_spread_is_that_of_the_log():
    log = bernoulli_log([1 / 3] * 3, 900, seed=2)
    target = jnp.asarray([0.0, 0.0, 1.0])
    environment = LoggedBandit(log, 3, resample=True)
    found = bandits.replay(environment, fixed(target), key=jax.random.key(3), num_replications=400)
    estimate = bandits.self_normalized(log, target)
    assert found.values.mean() == pytest.approx(float(estimate.value), abs=0.01)
    assert found.values.std() == pytest.approx(float(estimate.standard_error), rel=0.15)
    # In order, a policy that never draws meets the same rounds each time.
    again = bandits.replay(
        LoggedBandit(log, 3), fixed(target), key=jax.random.key(3), num_replications=5
    )
    np.testing.assert_allclose(again.values, estimate.value, rtol=1e-12)


def test_learners_learn_only_from_what_counts():
    log = bernoulli_log([1 / 3] * 3, 3000, seed=5)
    environment = LoggedBandit(log, 3)
    ucb = bandits.replay(environment, bandits.ucb1(0.5), key=jax.random.key(0), num_replications=20)
    uniform = bandits.replay(
        environment, fixed([1 / 3] * 3), key=jax.random.key(0), num_replications=20
    )
    assert ucb.values.mean() > uniform.values.mean() + 0.1
    assert (ucb.pulls[:, 2] > 600).all()
    truth = np.array(
        [np.asarray(log.rewards)[np.asarray(log.actions) == a].mean() for a in range(3)]
    )
    np.testing.assert_allclose(environment.means, truth)


def test_contextual_policies_see_the_features_of_the_round():
    """Arm 1 pays where its feature is 1, arm 0 where it is not: no fixed arm tells them apart."""
    rng = np.random.default_rng(7)
    context, actions = rng.integers(0, 2, 1500), rng.integers(0, 2, 1500)
    rewards = (rng.random(1500) < np.where(actions == context, 0.8, 0.2)).astype(float)
    log = BanditLog(actions, rewards, np.full(1500, 0.5))
    features = np.stack([np.eye(4)[context], np.eye(4)[2 + context]], axis=1)
    environment = LoggedBandit(log, 2, features=features)
    found = bandits.replay(
        environment, bandits.lin_ucb(width=0.3), key=jax.random.key(0), num_replications=10
    )
    assert float(found.values.mean()) > 0.7
    blind = bandits.replay(
        environment, bandits.ucb1(0.5), key=jax.random.key(0), num_replications=10
    )
    assert abs(float(blind.values.mean()) - 0.5) < 0.06
    with pytest.raises(ValueError, match=r"features must have shape \(2, d\) or \(1500, 2, d\)"):
        LoggedBandit(log, 2, features=features[:5])


def test_replications_do_not_depend_on_their_number():
    log = bernoulli_log([1 / 3] * 3, 200, seed=6)
    run = [
        bandits.replay(
            LoggedBandit(log, 3), bandits.ucb1(), key=jax.random.key(1), num_replications=n
        )
        for n in (3, 7)
    ]
    assert (run[0].pulls == run[1].pulls[:3]).all()


def test_bad_arguments():
    log = bernoulli_log([1 / 3] * 3, 20)
    with pytest.raises(ValueError, match="num_arms is 2, but the log plays arm 2"):
        LoggedBandit(log, 2)
    with pytest.raises(ValueError, match=r"floor must lie in \(0, 1\]"):
        LoggedBandit(log, 3, floor=0.0)
    with pytest.raises(ValueError, match="num_replications must be at least 1"):
        bandits.replay(
            LoggedBandit(log, 3), bandits.ucb1(), key=jax.random.key(0), num_replications=0
        )


@pytest.mark.skipif(
    not (SHARED / "obd_men_random.csv.gz").exists(), reason="no Open Bandit sample here"
)
def test_open_bandit_replay_of_uniform_play_is_the_click_rate():
    data = bandits.load_open_bandit(SHARED / "obd_men_random.csv.gz")
    found = bandits.replay(
        LoggedBandit(data.log, data.num_actions),
        fixed(np.full(34, 1 / 34)),
        key=jax.random.key(0),
        num_replications=100,
    )
    assert abs(float(found.accepted.mean()) - 10_000 / 34) < 10
    error = float(found.values.std() / 10)
    assert abs(float(found.values.mean()) - 0.0046) < 4 * error

"""Bandit policies: oracles, the reference table of regrets, bounds, estimators by enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from gamejax import bandits, feedback, learners, sets
from gamejax._trailing import vmap_last
from gamejax.bandits._index_policies import kl_upper
from gamejax.bandits._linear import sherman_morrison
from gamejax.regularizers import Entropy, LogBarrier, Tsallis

TWO = jnp.asarray([0.9, 0.8], jnp.float32)
TEN = jnp.asarray([0.5] + [0.4] * 9, jnp.float32)
HORIZON = 5000

# Mean regret and standard error at T = 5000 over 1000 replications, measured independently (NumPy).
TABLE = [
    ("ucb1", TWO, lambda k: bandits.ucb1(), 64.45, 0.41),
    ("half", TWO, lambda k: bandits.ucb1(0.5), 24.44, 0.32),
    ("moss", TWO, lambda k: bandits.moss(HORIZON), 24.45, 0.28),
    ("kl_ucb", TWO, lambda k: bandits.kl_ucb(), 12.62, 0.23),
    ("thompson", TWO, lambda k: bandits.thompson(), 9.01, 0.26),
    ("exp3", TWO, lambda k: bandits.exp3(k, HORIZON), 62.99, 0.34),
    ("exp3_ix", TWO, lambda k: bandits.exp3_ix(k, HORIZON), 65.47, 0.36),
    ("tsallis_iw", TWO, lambda k: bandits.tsallis_inf(reduced_variance=False), 29.84, 0.33),
    ("tsallis_rv", TWO, lambda k: bandits.tsallis_inf(), 22.93, 0.49),
    ("ucb1", TEN, lambda k: bandits.ucb1(), 356.1, 0.7),
    ("half", TEN, lambda k: bandits.ucb1(0.5), 200.1, 1.3),
    ("moss", TEN, lambda k: bandits.moss(HORIZON), 143.3, 1.2),
    ("kl_ucb", TEN, lambda k: bandits.kl_ucb(), 200.2, 1.3),
    ("thompson", TEN, lambda k: bandits.thompson(), 144.5, 1.6),
    ("exp3", TEN, lambda k: bandits.exp3(k, HORIZON), 303.4, 1.8),
    ("exp3_ix", TEN, lambda k: bandits.exp3_ix(k, HORIZON), 341.3, 1.4),
]
QUICK = {"ucb1", "moss", "thompson", "exp3", "tsallis_rv"}


@pytest.mark.parametrize(
    ("name", "means", "make", "regret", "error"),
    [
        pytest.param(*row, marks=[] if row[0] in QUICK and len(row[1]) == 2 else pytest.mark.slow)
        for row in TABLE
    ],
)
def test_regret_agrees_with_the_reference_table(name, means, make, regret, error):
    result = bandits.simulate(
        bandits.Bernoulli(means),
        make(len(means)),
        HORIZON,
        key=jax.random.key(3),
        num_replications=1000,
    )
    assert result.regret.dtype == jnp.float32
    mean, own = float(result.mean()[-1]), float(result.standard_error()[-1])
    assert abs(mean - regret) <= 4 * np.hypot(error, own), (mean, own)
    np.testing.assert_array_equal(result.pulls[:, -1].sum(-1), HORIZON)
    gaps = np.asarray(means.max() - means, float)
    np.testing.assert_allclose(
        result.regret[:, -1], np.asarray(result.pulls[:, -1]) @ gaps, rtol=1e-4
    )


# Roots and indices ------------------------------------------------------------------------------


def test_strategies_of_leader_policies_have_their_closed_forms():
    losses, simplex = jnp.asarray([0.0, 3.0]), sets.Simplex(2)
    # The library's Tsallis regularizer is half the usual one, so eta = 1/2 is 1/4 here.
    tsallis = simplex.mirror(-0.25 * losses, Tsallis(0.5))
    np.testing.assert_allclose(tsallis, [0.7290614236, 0.2709385764], atol=1e-9)
    x = -4.68465843842649
    np.testing.assert_allclose(tsallis, 4 / (0.5 * (losses - x)) ** 2, atol=1e-9)
    barrier = simplex.mirror(-0.5 * losses, LogBarrier())
    np.testing.assert_allclose(barrier, [2 / 3, 1 / 3], atol=1e-9)
    hedge = simplex.mirror(-0.5 * losses, Entropy())
    np.testing.assert_allclose(hedge[0], 0.8175744762, atol=1e-9)


def test_kl_index_solves_its_equation():
    assert float(kl_upper(jnp.asarray(0.5), jnp.asarray(0.1))) == pytest.approx(
        (1 + np.sqrt(1 - np.exp(-0.2))) / 2, abs=1e-12
    )
    means, levels = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (2, 500)))
    levels = levels * 5
    q = jax.jit(kl_upper)(means, levels)

    def kl(p, q):
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    inside = q < 1 - 1e-9  # where 1 - q has digits
    assert inside.mean() > 0.8
    np.testing.assert_allclose(kl(means, q)[inside], levels[inside], rtol=1e-6)
    assert np.all(q <= means + np.sqrt(levels / 2) + 1e-9)
    zero = kl_upper(jnp.zeros_like(levels), levels)
    np.testing.assert_allclose(zero, 1 - np.exp(-levels), atol=1e-12)
    assert float(kl_upper(jnp.asarray(1.0), jnp.asarray(0.3))) == 1
    single = kl_upper(means.astype(jnp.float32), levels.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, q, atol=2e-4)


def test_moss_index_is_the_mean_once_an_arm_has_its_share():
    means = jnp.asarray([0.3, 0.6, 0.2])
    counts = jnp.asarray([1000 / 3 + 1, 400.0, 10.0])
    index = bandits.MOSS(1000).index((counts, means), jnp.asarray(900.0), key=None)
    np.testing.assert_array_equal(index[:2], means[:2])
    assert index[2] == pytest.approx(0.2 + np.sqrt(np.log(1000 / 30) / 10))


def test_beta_draws_are_exact():
    shapes = [(1, 1), (1, 7), (3, 1), (2, 5), (60, 40), (1000, 3), (20_000, 90_000)]
    a, b = (jnp.repeat(jnp.asarray(x, jnp.float32), 20_000) for x in zip(*shapes, strict=True))
    draws = np.asarray(jax.jit(bandits.beta)(jax.random.fold_in(jax.random.key(5), 1), a, b))
    for part, (first, second) in zip(draws.reshape(len(shapes), -1), shapes, strict=True):
        assert scipy.stats.kstest(part, scipy.stats.beta(first, second).cdf).pvalue > 1e-3
    double = bandits.beta(jax.random.key(6), jnp.full(5000, 1.0), jnp.full(5000, 2.5))
    assert double.dtype == jnp.float64
    assert scipy.stats.kstest(np.asarray(double), scipy.stats.beta(1, 2.5).cdf).pvalue > 1e-3
    assert np.isnan(bandits.beta(jax.random.key(0), jnp.asarray([-1.0]), jnp.asarray([1.0]))).all()


def test_draws_across_keys_are_independent_and_uniform():
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(1), jnp.arange(3000))
    draw = jax.vmap(lambda key: bandits._policy.uniform(key, jnp.float32, (8,)))
    draws = np.asarray(jax.jit(draw)(keys), float)
    assert scipy.stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(draws.T) - np.eye(8)).max() < 0.08
    assert np.abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.08


# Estimators -------------------------------------------------------------------------------------


def enumerated(estimator, utility, probabilities, step):
    arms = jnp.eye(len(utility))
    each = jax.vmap(lambda arm: estimator.estimate(utility, arm, probabilities, step=step))(arms)
    return each, probabilities @ each


def test_estimates_are_unbiased_by_enumeration():
    utility, p = jnp.asarray([0.2, 0.9, 0.5]), jnp.asarray([0.1, 0.7, 0.2])
    for estimator in (
        feedback.ImportanceWeighting(1.0),
        feedback.ReducedVariance(threshold=16.0),
    ):
        for step in (1, 50, 1000):
            _, mean = enumerated(estimator, utility, p, step)
            np.testing.assert_allclose(mean, utility, atol=1e-12)
    _, mean = enumerated(feedback.ImplicitExploration(0.3, 1.0), utility, p, 1)
    np.testing.assert_allclose(1 - mean, (1 - utility) * p / (p + 0.3), atol=1e-12)
    _, mean = enumerated(feedback.OptimisticWeighting(0.2), utility, p, 1)
    np.testing.assert_allclose(mean, utility + 0.2 / p, atol=1e-12)
    rates = jnp.asarray([0.5, 0.25, 1.0])
    each, _ = enumerated(bandits.RateWeighting(rates), utility, p, 1)
    mean = sum(p[a] * (rates[a] * each[a] + (1 - rates[a])) for a in range(3))
    np.testing.assert_allclose(mean, utility, atol=1e-12)


def test_magnitude_reduced_estimates_are_unbiased_and_bounded_below():
    rng = np.random.default_rng(2)
    phi, theta = rng.normal(size=(6, 3)), rng.normal(size=3)
    losses = phi @ theta
    scale = (losses.max() - losses.min()) * 1.01
    # A linear loss in [0, 1]: the constant needs a feature of its own.
    phi = np.concatenate([phi, np.ones((6, 1))], axis=1)
    losses = (losses - losses.min()) / scale
    p = rng.dirichlet(np.ones(6))
    exact = bandits.MagnitudeReduced(jnp.asarray(phi), 0.0)
    each, mean = enumerated(exact, 1 - jnp.asarray(losses), jnp.asarray(p), 1)
    np.testing.assert_allclose(1 - mean, losses, atol=1e-10)
    ridge = 0.01
    each, mean = enumerated(
        bandits.MagnitudeReduced(jnp.asarray(phi), ridge),
        1 - jnp.asarray(losses),
        jnp.asarray(p),
        1,
    )
    kernel = phi @ np.linalg.solve((phi.T * p) @ phi + ridge * np.eye(4), phi.T)
    assert np.all(1 - each >= -(np.abs(kernel) @ p)[None] - 1e-12)
    assert np.all(np.abs(kernel) @ p <= np.sqrt(np.diag(kernel)) + 1e-12)
    np.testing.assert_allclose(1 - mean, kernel @ (p * losses), atol=1e-10)


def test_the_refined_barrier_bound_holds_for_any_losses():
    k, horizon, eta = 4, 200, 0.5
    rng = np.random.default_rng(3)
    losses = rng.standard_t(1.5, size=(60, horizon, k)) * rng.choice([0.1, 1, 10], size=(60, 1, 1))
    learner = learners.FollowTheRegularizedLeader(LogBarrier(), eta)
    simplex = sets.Simplex(k)

    @jax.jit
    @jax.vmap
    def run(losses):
        def step(carry, loss):
            strategy, state = carry
            seen = feedback.Feedback(-loss, strategy, strategy > 0)
            return learner.update(simplex, seen, state, strategy), strategy

        return jax.lax.scan(step, learner.init(simplex, dtype=losses.dtype), losses)[1]

    played = np.asarray(run(jnp.asarray(losses)))
    quadratic = eta * (played**2 * losses**2).sum((1, 2))
    for arm in range(k):
        y = np.full(k, 1 / (k * horizon)) + (1 - 1 / horizon) * np.eye(k)[arm]
        regret = ((played - y) * losses).sum((1, 2))
        divergence = -np.log(y).sum() - k * np.log(k)
        assert divergence <= k * np.log(horizon)
        assert np.all(regret <= divergence / eta + quadratic + 1e-6)


# Equivalences -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_exp4_with_one_expert_per_arm_is_exp3():
    env = bandits.Bernoulli(jnp.asarray([0.6, 0.4, 0.5]))
    runs = [
        bandits.simulate(env, policy, 400, key=jax.random.key(7), num_replications=20)
        for policy in (
            bandits.Policy(
                learners.Hedge(bandits.exp3(3, 400).learning_rate),
                feedback.BanditFeedback(feedback.ImportanceWeighting(1.0)),
            ),
            bandits.exp4(jnp.eye(3), 400),
        )
    ]
    np.testing.assert_array_equal(runs[0].pulls, runs[1].pulls)
    tables = bandits.exp4(jnp.broadcast_to(jnp.eye(3), (400, 3, 3)), 400)
    again = bandits.simulate(env, tables, 400, key=jax.random.key(7), num_replications=20)
    np.testing.assert_array_equal(runs[0].pulls, again.pulls)
    with pytest.raises(ValueError, match="advice must have shape"):
        bandits.exp4([0.5, 0.5], 10)


def test_exp3_in_blocks_is_hedge():
    k, horizon = 40, 400
    policy, simplex = bandits.exp3(k, horizon, learning_rate=0.05), sets.Simplex(k)
    hedge = bandits.Policy(
        learners.Hedge(0.05), feedback.BanditFeedback(feedback.ImportanceWeighting(1.0))
    )
    rewards = jnp.asarray(np.random.default_rng(1).uniform(size=(60, k)))

    def step(states, seen):
        rewards, key = seen
        now = {"step": jnp.asarray(1), "key": key}
        fast, slow, other = states
        arm, fast = policy.pull(fast, key=key)
        told = policy.report(rewards, arm, slow, step=now["step"])
        other_told = hedge.report(rewards, arm, other, step=now["step"])
        return (
            policy.learn(simplex, rewards[arm], arm, fast, **now),
            policy.update(simplex, told, arm, slow, key=key),
            hedge.update(simplex, other_told, arm, other, key=key),
        ), None

    start = policy.init(simplex, dtype=jnp.float64)
    start = (start, start, hedge.init(simplex, dtype=jnp.float64))
    steps = jax.random.split(jax.random.key(5), 60)
    (fast, slow, other), _ = jax.jit(lambda: jax.lax.scan(step, start, (rewards, steps)))()
    np.testing.assert_allclose(fast.losses.total[:k], slow.losses.total[:k], atol=1e-9)
    np.testing.assert_allclose(fast.scores, slow.scores, atol=1e-9)
    scores = -0.05 * fast.losses.total[:k]
    np.testing.assert_allclose(jax.nn.softmax(scores), other.strategy, rtol=1e-9)
    # Draws have these probabilities: chi-squared.
    keys = jax.random.split(jax.random.key(3), 40_000)
    draws = jax.jit(jax.vmap(lambda key: policy.pull(fast, key=key)[0]))(keys)
    expected = 40_000 * np.asarray(other.strategy)
    statistic = ((np.bincount(draws, minlength=k) - expected) ** 2 / expected).sum()
    assert scipy.stats.chi2(k - 1).sf(statistic) > 1e-3


def test_linear_policies_take_several_rewards_at_once():
    phi = jnp.asarray(np.random.default_rng(7).normal(size=(4, 3)))
    counts, sums = jnp.asarray([2, 0, 1, 3]), jnp.asarray([1.5, 9.0, -0.5, 0.25])
    learner, choices = bandits.LinUCB(0.5, width=1.0), bandits.ContextualSimplex(phi)
    strategy, state = learner.init(choices, dtype=jnp.float64)
    seen = feedback.Feedback(sums, counts.astype(float), counts.astype(jnp.int32))
    _, state = learner.update(choices, seen, state, strategy)
    x, n = np.asarray(phi), np.asarray(counts)
    precision = 0.5 * np.eye(3) + (x.T * n) @ x
    np.testing.assert_allclose(state.inverse, np.linalg.inv(precision), atol=1e-12)
    np.testing.assert_allclose(state.response, x.T @ (np.asarray(sums) * (n > 0)), atol=1e-12)
    late = bandits.Delayed(bandits.Linear(phi, [0.5, -0.2, 0.1]), 3, [0.25] * 4)
    run = {"key": jax.random.key(0), "num_replications": 4}
    result = bandits.simulate(late, bandits.lin_ucb(noise=0.1), 300, **run)
    assert float(result.mean()[-1]) < 40
    moving = bandits.Delayed(bandits.LinearContextual([1.0, 0.0], 3), 2)
    with pytest.raises(ValueError, match="environment delays rewards"):
        bandits.simulate(moving, bandits.lin_ts(), 10, **run)


def test_linucb_on_orthonormal_arms_is_an_index_policy():
    ridge, width = 0.5, 0.7
    learner = bandits.LinUCB(ridge, width=width)
    rng = np.random.default_rng(4)
    choices = bandits.ContextualSimplex(jnp.eye(4))
    strategy, state = learner.init(choices, dtype=jnp.float64)
    update = jax.jit(learner.update)
    counts, sums = np.zeros(4), np.zeros(4)
    for _ in range(30):
        reward = rng.uniform()
        arm = int(np.argmax(strategy))
        counts[arm] += 1
        sums[arm] += reward
        seen = feedback.Feedback(reward * strategy, strategy, strategy > 0)
        strategy, state = update(choices, seen, state, strategy)
        index = sums / (counts + ridge) + width / np.sqrt(counts + ridge)
        assert int(np.argmax(strategy)) == int(np.argmax(index))
    np.testing.assert_allclose(np.diag(state.inverse), 1 / (counts + ridge), atol=1e-12)


def test_sherman_morrison_follows_the_inverse():
    xs = np.random.default_rng(5).normal(size=(300, 5)).astype(np.float32)
    start = jnp.eye(5, dtype=jnp.float32)
    final, _ = jax.jit(
        lambda xs: jax.lax.scan(lambda inv, x: (sherman_morrison(inv, x), None), start, xs)
    )(xs)
    np.testing.assert_allclose(final, np.linalg.inv(np.eye(5) + xs.T @ xs), atol=1e-5)


def test_linear_policies_learn_within_their_bound():
    theta, horizon, noise = jnp.asarray([0.6, -0.5, 0.3]), 1000, 0.1
    env = bandits.LinearContextual(theta, 8, noise)
    policy = bandits.lin_ucb(noise=noise, delta=0.01)
    result = bandits.simulate(env, policy, horizon, key=jax.random.key(1), num_replications=30)
    d = 3
    beta = noise * np.sqrt(d * np.log((1 + horizon) / 0.01)) + 1
    bound = 2 * beta * np.sqrt(2 * horizon * d * np.log(1 + horizon / d))
    assert np.all(result.regret <= bound)
    sampled = bandits.simulate(
        env, bandits.lin_ts(scale=noise), horizon, key=jax.random.key(1), num_replications=30
    )
    # Uniform play loses about 0.6 a round.
    assert float(sampled.mean()[-1]) < 40
    assert float(result.mean()[-1]) < 120
    with pytest.raises(TypeError, match="needs features"):
        bandits.simulate(bandits.Bernoulli(TWO), bandits.lin_ucb(), 10, key=jax.random.key(0))


def test_linear_exp3_is_within_its_bound():
    rng = np.random.default_rng(6)
    phi = rng.dirichlet(np.ones(3), size=10)
    env = bandits.Linear(jnp.asarray(phi), [0.9, 0.4, 0.1], noise=0.0)
    horizon = 1000
    result = bandits.simulate(
        env,
        bandits.linear_exp3(jnp.asarray(phi), horizon),
        horizon,
        key=jax.random.key(2),
        num_replications=20,
    )
    assert float(result.mean()[-1]) <= 3 * np.sqrt(horizon * 3 * np.log(10))
    uniform = horizon * float(np.max(phi @ [0.9, 0.4, 0.1]) - np.mean(phi @ [0.9, 0.4, 0.1]))
    assert float(result.mean()[-1]) < 0.75 * uniform


# Bounds -----------------------------------------------------------------------------------------


def test_adversarial_bounds_are_never_violated():
    horizon, k = 2000, 4
    rng = np.random.default_rng(8)
    table = (rng.uniform(size=(horizon, k)) < np.linspace(0.3, 0.7, k)).astype(np.float32)
    table[horizon // 2 :] = table[horizon // 2 :, ::-1]
    env = bandits.LossTable(jnp.asarray(table))
    log = np.log(k)
    root = np.sqrt(2 * k * horizon)
    delta = 0.05
    bounds = {
        "exp3": (bandits.exp3(k, horizon), np.sqrt(2 * horizon * k * log)),
        "anytime": (bandits.exp3(k), 2 * np.sqrt(horizon * k * log)),
        "iw": (bandits.tsallis_inf(reduced_variance=False), 4 * np.sqrt(k * horizon) + 1),
        "rv": (bandits.tsallis_inf(), 2 * root + 10 * k * np.log(horizon) + 16),
        "ppp": (bandits.exp3_plus_plus(), 4 * np.sqrt(horizon * k * log)),
        "barrier": (
            bandits.log_barrier(k, horizon),
            2 * k * np.sqrt(horizon * np.log(horizon)),
        ),
    }
    high = {
        "ix": (
            bandits.exp3_ix(k, horizon),
            2 * root * np.sqrt(log) + (root / np.sqrt(log) + 1) * np.log(2 / delta),
        ),
        "p": (
            bandits.exp3_p(k, horizon, delta),
            5.15 * np.sqrt(horizon * k * np.log(k / delta)),
        ),
    }
    for name, (policy, bound) in (bounds | high).items():
        result = bandits.simulate(env, policy, horizon, key=jax.random.key(0), num_replications=40)
        assert float(result.mean()[-1]) <= bound, name
        if name in high:
            assert np.mean(np.asarray(result.regret[:, -1]) > bound) <= delta, name


def test_only_adversarial_policies_survive_a_switch():
    horizon = 10_000
    env = bandits.Switching(jnp.asarray([[0.6, 0.4], [0.4, 0.6]], jnp.float32), [horizon // 2 + 1])
    regret = {
        name: float(
            bandits.simulate(
                env, policy, horizon, key=jax.random.key(1), num_replications=50
            ).mean()[-1]
        )
        for name, policy in {
            "ucb": bandits.ucb1(0.5),
            "exp3": bandits.exp3(2, horizon),
            "tsallis": bandits.tsallis_inf(),
        }.items()
    }
    assert regret["exp3"] <= np.sqrt(2 * horizon * 2 * np.log(2))
    assert regret["tsallis"] <= 2 * np.sqrt(4 * horizon) + 20 * np.log(horizon) + 16


def test_simple_policies_do_what_they_say():
    env = bandits.Bernoulli(jnp.asarray([0.2, 0.8], jnp.float32))
    run = {"key": jax.random.key(4), "num_replications": 200}
    result = bandits.simulate(env, bandits.explore_then_commit(20), 200, **run, record_every=40)
    np.testing.assert_array_equal(result.pulls[:, 0], 20)
    assert np.all(np.sort(result.pulls[:, -1], axis=-1) == [20, 180])
    greedy = bandits.simulate(env, bandits.epsilon_greedy(0.2), 1000, **run)
    # The worse arm: half of the explored rounds, little else.
    assert abs(float(greedy.pulls[:, -1, 0].mean()) - 100) < 15
    elimination = bandits.simulate(env, bandits.successive_elimination(0.05), 1000, **run)
    assert float(elimination.pulls[:, -1, 0].max()) < 200
    assert np.mean(elimination.pulls[:, -1, 1] > 500) > 0.95
    normal = bandits.Gaussian(jnp.asarray([0.0, 1.0], jnp.float32))
    sampled = bandits.simulate(normal, bandits.thompson_gaussian(), 500, **run)
    assert float(sampled.mean()[-1]) < 25


def test_thompson_takes_any_reward_between_zero_and_one():
    def draw(key):
        return jax.random.uniform(key, (3,)) ** jnp.arange(1.0, 4.0)

    env = bandits.Sampler(draw, [1 / 2, 1 / 3, 1 / 4])
    result = bandits.simulate(
        env, bandits.thompson(), 2000, key=jax.random.key(9), num_replications=20
    )
    assert float(result.mean()[-1]) < 60


# The batch in the last axis ---------------------------------------------------------------------


def test_vmap_last_is_vmap():
    def function(x, y, key):
        total = jnp.cumsum(x) + jnp.max(y) * 2
        first = jnp.argmax(x)
        root = jax.lax.while_loop(lambda v: v < 10, lambda v: v * 1.5 + jnp.sum(x) ** 2, y[0])
        mixed = jnp.concatenate([x[1:], x[:1]]) @ jnp.arange(x.size * 2.0).reshape(-1, 2)
        noise = jax.random.normal(key, x.shape)
        branch = jax.lax.cond(y[1] > 0, lambda: x, lambda: -x)
        many = jnp.tile(x, 5)
        entry = jax.lax.dynamic_index_in_dim(many, first + 7, keepdims=False)
        constant = jax.lax.dynamic_index_in_dim(jnp.arange(6.0) ** 2, first)
        written = jax.lax.dynamic_update_index_in_dim(many.reshape(5, 5), x * entry, first, 0)
        broken = jnp.where(x < 0, x, jnp.nan)
        return (
            jnp.cumsum(many),
            jax.lax.cumsum(many, reverse=True),
            entry,
            constant,
            written,
            jax.lax.dynamic_slice(many.reshape(5, 5), (first, 9), (2, 3)),
            jnp.argmin(many.reshape(5, 5), axis=1),
            jnp.argmax(broken),
            total,
            first,
            root,
            mixed,
            noise,
            jnp.where(x > 0, x, y[2]).reshape(5, 1),
            branch,
            7.0,
        )

    rng = np.random.default_rng(10)
    x, y = jnp.asarray(rng.normal(size=(5, 6))), jnp.asarray(rng.uniform(0.1, 1, size=(3, 6)))
    keys = jax.random.split(jax.random.key(0), 6)
    expected = jax.vmap(function, in_axes=-1, out_axes=-1)(x, y, keys)
    for got, want in zip(jax.jit(vmap_last(function))(x, y, keys), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_argument_errors_name_the_argument():
    env, key = bandits.Bernoulli(TWO), jax.random.key(0)
    with pytest.raises(ValueError, match="horizon must be an integer"):
        bandits.simulate(env, bandits.ucb1(), 0, key=key)
    with pytest.raises(ValueError, match="record_every must be at most"):
        bandits.simulate(env, bandits.ucb1(), 5, key=key, record_every=6)
    with pytest.raises(TypeError, match="policy must be a policy"):
        bandits.simulate(env, learners.UCB(), 5, key=key)
    with pytest.raises(TypeError, match="environment must be a bandit"):
        bandits.simulate(TWO, bandits.ucb1(), 5, key=key)
    with pytest.raises(ValueError, match="environment has 3 rounds"):
        bandits.simulate(bandits.LossTable(np.zeros((3, 2))), bandits.ucb1(), 5, key=key)
    with pytest.raises(ValueError, match="means must be a vector"):
        bandits.Bernoulli([[0.5, 0.5]])
    with pytest.raises(ValueError, match="horizon and rate"):
        bandits.bb_divide(bandits.ucb1())
    with pytest.raises(ValueError, match="other way round"):
        bandits.ProbabilisticFeedback(bandits.Delayed(env, 2), 0.5)

"""Off-policy estimators: enumeration, limits, invariances; portfolios of policies."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import bandits
from gamejax.bandits import BanditLog

SHARED = Path(__file__).parents[2] / "shared" / "data"
EXACT = {"rtol": 1e-12, "atol": 1e-13}


def random_log(seed=0, rounds=40, actions=4, features=None):
    rng = np.random.default_rng(seed)
    logging = rng.dirichlet(np.ones(actions), rounds)
    target = rng.dirichlet(np.ones(actions), rounds)
    played = np.array([rng.choice(actions, p=p) for p in logging])
    rewards = rng.uniform(size=rounds)
    contexts = None if features is None else rng.normal(size=(rounds, features))
    log = BanditLog(played, rewards, logging[np.arange(rounds), played], contexts)
    return (
        log,
        jnp.asarray(target),
        jnp.asarray(logging),
        jnp.asarray(rng.uniform(size=target.shape)),
    )


LOG, TARGET, LOGGING, MODEL = random_log()
WEIGHTS = np.asarray(TARGET)[np.arange(40), LOG.actions] / np.asarray(LOG.propensities)
R, Q_LOGGED = np.asarray(LOG.rewards), np.asarray(MODEL)[np.arange(40), LOG.actions]
DM = (np.asarray(TARGET) * np.asarray(MODEL)).sum(1)


def every_estimate(log, target, model, logging):
    return {
        "ips": bandits.inverse_propensity(log, target),
        "clipped": bandits.inverse_propensity(log, target, clip=1.5),
        "snips": bandits.self_normalized(log, target),
        "dm": bandits.direct_method(log, target, model),
        "dr": bandits.doubly_robust(log, target, model),
        "dr clipped": bandits.doubly_robust(log, target, model, clip=1.5),
        "switch": bandits.switch(log, target, model, logging, threshold=1.5),
        "switch dr": bandits.switch_doubly_robust(log, target, model, threshold=1.5),
    }


ESTIMATES = jax.jit(every_estimate)(LOG, TARGET, MODEL, LOGGING)


def test_means_and_standard_errors_match_numpy():
    heavy = np.asarray(TARGET) > 1.5 * np.asarray(LOGGING)
    terms = {
        "ips": WEIGHTS * R,
        "clipped": np.minimum(WEIGHTS, 1.5) * R,
        "dm": DM,
        "dr": DM + WEIGHTS * (R - Q_LOGGED),
        "dr clipped": DM + np.minimum(WEIGHTS, 1.5) * (R - Q_LOGGED),
        "switch": WEIGHTS * R * (WEIGHTS <= 1.5) + (np.asarray(TARGET * MODEL) * heavy).sum(1),
        "switch dr": DM + WEIGHTS * (WEIGHTS <= 1.5) * (R - Q_LOGGED),
    }
    for name, term in terms.items():
        np.testing.assert_allclose(ESTIMATES[name].value, term.mean(), **EXACT)
        error = term.std(ddof=1) / np.sqrt(40)
        np.testing.assert_allclose(ESTIMATES[name].standard_error, error, **EXACT)
    assert (WEIGHTS > 1.5).any()
    assert (WEIGHTS <= 1.5).any()
    value = (WEIGHTS * R).sum() / WEIGHTS.sum()
    np.testing.assert_allclose(ESTIMATES["snips"].value, value, **EXACT)
    error = np.sqrt((WEIGHTS**2 * (R - value) ** 2).sum()) / WEIGHTS.sum()
    np.testing.assert_allclose(ESTIMATES["snips"].standard_error, error, **EXACT)
    size = WEIGHTS.sum() ** 2 / (WEIGHTS**2).sum()
    np.testing.assert_allclose(ESTIMATES["ips"].effective_size, size, **EXACT)
    np.testing.assert_allclose(ESTIMATES["dm"].effective_size, 40, **EXACT)


def enumerate_logs(rounds=3, actions=3):
    """Every log of a small instance (action and binary reward each round), its probability."""
    rng = np.random.default_rng(5)
    logging, target = (
        rng.dirichlet(np.ones(actions), rounds),
        rng.dirichlet(np.ones(actions), rounds),
    )
    means, model = rng.uniform(size=(rounds, actions)), rng.uniform(size=(rounds, actions))
    rows = np.arange(rounds)
    logs, chances = [], []
    for played in itertools.product(range(actions), repeat=rounds):
        for rewards in itertools.product((0.0, 1.0), repeat=rounds):
            a, r = np.array(played), np.array(rewards)
            hit = means[rows, a]
            chances.append(np.prod(logging[rows, a] * np.where(r == 1, hit, 1 - hit)))
            logs.append(BanditLog(a, r, logging[rows, a]))
    return (
        jax.tree.map(lambda *x: jnp.stack(x), *logs),
        np.array(chances),
        logging,
        target,
        means,
        model,
    )


def test_unbiasedness_by_enumeration():
    logs, chances, logging, target, means, model = enumerate_logs()
    assert chances.sum() == pytest.approx(1)
    truth = (target * means).sum(1).mean()
    run = jax.jit(jax.vmap(every_estimate, in_axes=(0, None, None, None)))
    found = run(logs, jnp.asarray(target), jnp.asarray(model), jnp.asarray(logging))
    expected = {name: float(chances @ np.asarray(e.value)) for name, e in found.items()}
    assert expected["ips"] == pytest.approx(truth, abs=1e-12)
    assert expected["dr"] == pytest.approx(truth, abs=1e-12)
    # The biases that the docstrings state.
    weights = target / logging
    lost = (logging * np.maximum(weights - 1.5, 0) * means).sum(1).mean()
    assert expected["clipped"] == pytest.approx(truth - lost, abs=1e-12)
    assert expected["dm"] == pytest.approx((target * model).sum(1).mean(), abs=1e-12)
    wrong = (target * (model - means) * (weights > 1.5)).sum(1).mean()
    assert lost > 0.01
    assert expected["switch"] == pytest.approx(truth + wrong, abs=1e-12)
    assert expected["switch dr"] == pytest.approx(truth + wrong, abs=1e-12)


def test_standard_error_of_inverse_propensity_is_unbiased_in_squares():
    # Identically distributed rounds: the mean of se^2 over all logs is the variance of the value.
    logging, target, means = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6]), [0.3, 0.5, 0.8]
    logs, chances = [], []
    for played in itertools.product(range(3), repeat=3):
        for rewards in itertools.product((0.0, 1.0), repeat=3):
            hit = np.take(means, played)
            chances.append(np.prod(logging[list(played)] * np.where(rewards, hit, 1 - hit)))
            logs.append(BanditLog(np.array(played), np.array(rewards), logging[list(played)]))
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *logs)
    found = jax.vmap(bandits.inverse_propensity, in_axes=(0, None))(stacked, jnp.asarray(target))
    value, p = np.asarray(found.value), np.array(chances)
    variance = p @ value**2 - (p @ value) ** 2
    assert p @ np.asarray(found.standard_error) ** 2 == pytest.approx(variance, rel=1e-12)


def test_exact_model_leaves_no_variance_to_the_corrections():
    actions = np.arange(40) % 4
    exact = jnp.asarray(np.linspace(0.1, 0.9, 160).reshape(40, 4))
    log = BanditLog(actions, exact[jnp.arange(40), actions], np.full(40, 0.25))
    robust = bandits.doubly_robust(log, TARGET, exact)
    direct = bandits.direct_method(log, TARGET, exact)
    assert robust.value == direct.value
    assert robust.standard_error == direct.standard_error
    # Without contexts nothing varies at all.
    same = jnp.asarray([0.1, 0.5, 0.2, 0.9])
    log = BanditLog(actions, same[actions], np.full(40, 0.25))
    assert bandits.doubly_robust(log, TARGET[0], same).standard_error < 1e-16


def test_self_normalized_invariances():
    snips = bandits.self_normalized
    base = snips(LOG, TARGET).value
    half = BanditLog(LOG.actions, LOG.rewards, LOG.propensities / 2)
    shifted = BanditLog(LOG.actions, LOG.rewards + 3, LOG.propensities)
    np.testing.assert_allclose(snips(half, TARGET).value, base, **EXACT)
    np.testing.assert_allclose(snips(shifted, TARGET).value, base + 3, **EXACT)
    assert LOG.rewards.min() <= base <= LOG.rewards.max()
    one = BanditLog(LOG.actions, jnp.ones(40), LOG.propensities)
    np.testing.assert_allclose(snips(one, TARGET).value, 1, **EXACT)
    assert snips(one, TARGET).standard_error < 1e-15
    nowhere = BanditLog(jnp.zeros(5, int), jnp.ones(5), jnp.ones(5))
    assert snips(nowhere, jnp.array([0.0, 1.0])).value == 0


def test_limits():
    ips, dm, dr = ESTIMATES["ips"], ESTIMATES["dm"], ESTIMATES["dr"]
    thresholds = jnp.asarray([0.0, jnp.inf])
    low, high = jax.vmap(lambda t: bandits.switch(LOG, TARGET, MODEL, LOGGING, threshold=t).value)(
        thresholds
    )
    np.testing.assert_allclose([low, high], [dm.value, ips.value], **EXACT)
    low, high = jax.vmap(
        lambda t: bandits.switch_doubly_robust(LOG, TARGET, MODEL, threshold=t).value
    )(thresholds)
    np.testing.assert_allclose([low, high], [dm.value, dr.value], **EXACT)
    zero = jnp.zeros(4)
    np.testing.assert_allclose(bandits.doubly_robust(LOG, TARGET, zero).value, ips.value, **EXACT)
    # The logging policy evaluates itself by the plain mean; all estimators then agree.
    mean = LOG.rewards.mean()
    itself = every_estimate(LOG, LOGGING, MODEL, LOGGING)
    for name in ("ips", "clipped", "snips", "switch"):
        np.testing.assert_allclose(itself[name].value, mean, **EXACT)
    np.testing.assert_allclose(itself["ips"].effective_size, 40, **EXACT)


def test_intervals():
    estimate = ESTIMATES["clipped"]
    low, high = estimate.interval(0.95)
    error = estimate.standard_error
    np.testing.assert_allclose(high - low, 2 * 1.959963984540054 * error, rtol=1e-9)
    low, high = estimate.bernstein(1.5, 0.9)
    log_term = np.log(4 / 0.1)
    reach = np.sqrt(2 * log_term) * error + 7 * 1.5 * log_term / (3 * 39)
    np.testing.assert_allclose([low, high], [estimate.value - reach, estimate.value + reach])
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\)"):
        estimate.interval(95)


def test_interval_covers():
    logging, target = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.2, 0.2, 0.6])
    means = jnp.array([0.3, 0.5, 0.8])

    def one(key):
        first, second = jax.random.split(key)
        actions = jax.random.choice(first, 3, (400,), p=logging)
        rewards = (jax.random.uniform(second, (400,)) < means[actions]).astype(jnp.float64)
        log = BanditLog(actions, rewards, logging[actions])
        found = [
            bandits.inverse_propensity(log, target),
            bandits.self_normalized(log, target),
            bandits.doubly_robust(log, target, jnp.full(3, 0.5)),
        ]
        truth = target @ means
        ends = jnp.array([e.interval(0.9) for e in found])
        low, high = found[0].bernstein(3.0, 0.9)
        return (ends[:, 0] < truth) & (truth < ends[:, 1]), (low < truth) & (truth < high)

    normal, bernstein = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 2000))
    # 90 % within 4 standard errors of 2,000 coins and 1 % for the normal approximation.
    np.testing.assert_allclose(normal.mean(0), 0.9, atol=4 * np.sqrt(0.09 / 2000) + 0.01)
    assert bernstein.mean() >= 0.9


def test_gradient_is_the_policy_gradient():
    def value(logits):
        return bandits.inverse_propensity(LOG, jax.nn.softmax(logits)).value

    logits = jnp.asarray([0.3, -0.2, 0.1, 0.0])
    policy = np.asarray(jax.nn.softmax(logits))
    played, w = np.asarray(LOG.actions), policy[LOG.actions] / np.asarray(LOG.propensities)
    score = np.eye(4)[played] - policy
    np.testing.assert_allclose(jax.grad(value)(logits), (w * R) @ score / 40, **EXACT)
    grads = jax.grad(
        lambda t: sum(e.standard_error for e in every_estimate(LOG, t, MODEL, LOGGING).values())
    )
    assert jnp.isfinite(grads(TARGET)).all()


def test_float32_stays_float32():
    log = BanditLog(LOG.actions, LOG.rewards.astype(jnp.float32), LOG.propensities)
    found = jax.jit(every_estimate)(log, TARGET.astype(jnp.float32), MODEL, LOGGING)
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(found["dr"].value, ESTIMATES["dr"].value, rtol=1e-5)


def test_fit_rewards_matches_ridge_regression():
    log, *_ = random_log(3, rounds=60, actions=3, features=2)
    found = np.asarray(bandits.fit_rewards(log, 4, regularization=0.7, folds=3))
    X = np.column_stack([np.ones(60), np.asarray(log.contexts)])
    y, a, fold = np.asarray(log.rewards), np.asarray(log.actions), np.arange(60) % 3
    for held in range(3):
        kept = fold != held
        mean = y[kept].mean()
        for action in range(3):
            rows = kept & (a == action)
            slope = np.linalg.solve(
                X[rows].T @ X[rows] + 0.7 * np.eye(3), X[rows].T @ (y[rows] - mean)
            )
            np.testing.assert_allclose(found[~kept, action], mean + X[~kept] @ slope)
        np.testing.assert_allclose(found[~kept, 3], mean)
    whole = np.asarray(
        bandits.fit_rewards(BanditLog(log.actions, log.rewards, log.propensities), 3, folds=1)
    )
    mean, ones = y.mean(), a == 1
    np.testing.assert_allclose(whole[:, 1], mean + (y[ones] - mean).sum() / (ones.sum() + 1))
    with pytest.raises(ValueError, match="folds must be from 1"):
        bandits.fit_rewards(log, 3, folds=61)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"propensities": [0.5, 0.0]}, ValueError, r"propensities must be .* got 0.0 in round 1"),
        ({"propensities": [0.5, 1.5]}, ValueError, "propensities must be probabilities"),
        ({"propensities": [0.5]}, ValueError, "one entry per reward"),
        ({"actions": [0, -1]}, ValueError, "actions must be integers from 0"),
        ({"actions": [0.0, 1.0]}, TypeError, "actions must be integers"),
        ({"rewards": [0.0, np.nan]}, ValueError, "rewards must be finite"),
        ({"rewards": []}, ValueError, "rounds >= 1"),
        ({"contexts": [1.0, 2.0]}, ValueError, "contexts must have shape"),
        ({"positions": [0, 1, 2]}, ValueError, "positions must have one entry"),
    ],
)
def test_bad_logs(change, error, message):
    good = {"actions": [0, 1], "rewards": [0.0, 1.0], "propensities": [0.5, 0.5]}
    arrays = {k: np.asarray(v) for k, v in (good | change).items()}
    with pytest.raises(error, match=message):
        BanditLog(**arrays)


def test_bad_tables():
    with pytest.raises(ValueError, match=r"target must have shape .* got \(3, 4\)"):
        bandits.inverse_propensity(LOG, TARGET[:3])
    with pytest.raises(ValueError, match="model has 3 actions, target has 4"):
        bandits.direct_method(LOG, TARGET, MODEL[:, :3])
    with pytest.raises(ValueError, match="the log plays action 3"):
        bandits.inverse_propensity(LOG, TARGET[:, :3])
    with pytest.raises(ValueError, match="clip must be > 0"):
        bandits.inverse_propensity(LOG, TARGET, clip=0)
    with pytest.raises(ValueError, match="threshold must be >= 0"):
        bandits.switch_doubly_robust(LOG, TARGET, MODEL, threshold=-1.0)


portfolio = jax.jit(bandits.portfolio_metrics, static_argnames="ddof")
VALUES, ESTIMATED = jnp.asarray([5.0, 7, 6, 3, 9]), jnp.asarray([0.0, 4, 3, 5, 1])


def test_sharpe_ratio_oracles():
    found = portfolio(VALUES, ESTIMATED, 5.0)
    assert found.order.tolist() == [3, 1, 2, 4, 0]
    assert found.best.tolist() == [3, 7, 7, 9, 9]
    assert found.worst.tolist() == [3, 3, 3, 3, 3]
    assert found.regret.tolist() == [6, 2, 2, 0, 0]
    np.testing.assert_allclose(found.mean, [3, 5, 16 / 3, 25 / 4, 6])
    np.testing.assert_allclose(found.std[2], 1.6996732, rtol=1e-7)
    np.testing.assert_allclose(found.sharpe_ratio[2], 1.1766968, rtol=1e-7)
    np.testing.assert_allclose(found.violation_rate, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert found.sharpe_ratio[0] == -jnp.inf
    sample = portfolio(VALUES, ESTIMATED, 5.0, ddof=1)
    np.testing.assert_allclose(sample.sharpe_ratio[2], 0.9607689, rtol=1e-7)
    np.testing.assert_allclose(
        sample.std[1:], [np.std(VALUES[found.order[:k]], ddof=1) for k in (2, 3, 4, 5)]
    )


def test_portfolio_with_the_baseline_and_limits():
    found = portfolio(VALUES, ESTIMATED, 5.0, baseline_estimate=4.5, threshold=6.5)
    assert found.order.tolist() == [3, 5, 1, 2, 4, 0]
    assert found.sharpe_ratio[1] == 0
    np.testing.assert_allclose(found.violation_rate[:4], [1, 1, 2 / 3, 3 / 4])
    clipped = portfolio(VALUES, ESTIMATED, jnp.asarray(2.0), clip=100.0)
    assert clipped.sharpe_ratio[0] == 100
    lower = portfolio(VALUES, ESTIMATED, 8.0, clip=100.0)
    assert lower.sharpe_ratio[:3].tolist() == [0, 0, 0]
    # k = 1: nothing risked for nothing gained is 0; a gain without any risk is infinite.
    assert portfolio(VALUES, ESTIMATED, 3.0).sharpe_ratio[0] == 0
    assert portfolio(VALUES, ESTIMATED, 2.0).sharpe_ratio[0] == jnp.inf


def test_portfolio_batches_scales_and_keeps_digits():
    rng = np.random.default_rng(1)
    values, estimates = jnp.asarray(rng.normal(size=(7, 6))), jnp.asarray(rng.normal(size=(7, 6)))
    baselines = jnp.asarray(rng.normal(size=7))
    batch = portfolio(values, estimates, baselines)
    mapped = jax.vmap(bandits.portfolio_metrics)(values, estimates, baselines)
    moved = portfolio(10 * values - 3, estimates, 10 * baselines - 3)
    for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(mapped), strict=True):
        np.testing.assert_allclose(one, other)
    np.testing.assert_allclose(moved.sharpe_ratio[:, 1:], batch.sharpe_ratio[:, 1:], rtol=1e-9)
    for k in range(1, 7):
        top = np.take_along_axis(np.asarray(values), np.argsort(-np.asarray(estimates))[:, :k], 1)
        np.testing.assert_allclose(batch.std[:, k - 1], top.std(1), atol=1e-14)
    # Float32 values far from 0 with a small spread; equal values have none at all.
    small = portfolio(
        jnp.float32(1000) + jnp.arange(4, dtype=jnp.float32) / 8,
        jnp.arange(4.0, dtype=jnp.float32),
        jnp.float32(1000),
    )
    assert small.std.dtype == jnp.float32
    np.testing.assert_allclose(
        small.std,
        [np.std(np.arange(k)) / 8 for k in (1, 2, 3, 4)],
        rtol=1e-5,
    )
    flat = portfolio(jnp.full(7, 0.1), jnp.arange(7.0), jnp.asarray(0.1))
    assert (flat.std == 0).all()
    assert (flat.sharpe_ratio == 0).all()
    grads = jax.grad(lambda v: portfolio(v, estimates, baselines).std.sum())(values)
    assert jnp.isfinite(grads).all()


def test_bad_portfolios():
    with pytest.raises(ValueError, match="one shape"):
        bandits.portfolio_metrics(VALUES, ESTIMATED[:3], 5.0)
    with pytest.raises(ValueError, match="ddof must be 0 or 1"):
        bandits.portfolio_metrics(VALUES, ESTIMATED, 5.0, ddof=2)
    with pytest.raises(ValueError, match="baseline must be a number or have shape"):
        bandits.portfolio_metrics(VALUES, ESTIMATED, jnp.zeros(5))


AFFINITIES = ",".join(f"user-item_affinity_{i}" for i in range(3))
ROWS = f"""timestamp,item_id,position,click,propensity_score,user_feature_0,{AFFINITIES}
t0,1,1,0,0.5,blue,0,1,0
t1,0,3,1,0.25,red,2,0,0
"""


def test_load_open_bandit(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(ROWS)
    data = bandits.load_open_bandit(path)
    assert (data.num_actions, data.num_positions) == (3, 3)
    assert data.log.actions.tolist() == [1, 0]
    assert data.log.positions.tolist() == [0, 2]
    assert data.log.rewards.tolist() == [0, 1]
    assert data.log.propensities.tolist() == [0.5, 0.25]
    assert data.features[:3] == (
        "user_feature_0=blue",
        "user_feature_0=red",
        "user_item_affinity_0",
    )
    assert data.log.contexts.tolist() == [[1, 0, 0, 1, 0], [0, 1, 2, 0, 0]]
    other = tmp_path / "other.csv"
    other.write_text(ROWS.replace("red", "green"))
    again = bandits.load_open_bandit(other, like=data)
    assert again.features == data.features
    assert again.log.contexts.tolist() == [[1, 0, 0, 1, 0], [0, 0, 2, 0, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("click", "klick", "lacks the columns click"),
        ("t1,0,3,1,", "t1,0,3,2,", r"row 2: click must be an integer from 0 to 1, got '2'"),
        ("t1,0,3,", "t1,0,0,", "row 2: position must be an integer from 1"),
        ("t0,1,", "t0,1.5,", "row 1: item_id must be an integer"),
        ("t0,1,", "t0,,", "row 1: item_id must be an integer"),
        (",0.25,", ",0,", "row 2: propensity_score must be a number"),
        ("blue,0,", "blue,", "row 1: 8 entries, the header has 9"),
        (ROWS[ROWS.index("t0") :], "", "no rows"),
    ],
)
def test_unreadable_open_bandit_logs(tmp_path, old, new, message):
    path = tmp_path / "log.csv"
    path.write_text(ROWS.replace(old, new))
    with pytest.raises(ValueError, match=message):
        bandits.load_open_bandit(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        bandits.load_open_bandit(tmp_path / "none.csv.gz")


@pytest.mark.skipif(
    not (SHARED / "obd_men_bts.csv.gz").exists(), reason="no Open Bandit sample here"
)
def test_open_bandit_sample():
    random = bandits.load_open_bandit(SHARED / "obd_men_random.csv.gz")
    thompson = bandits.load_open_bandit(SHARED / "obd_men_bts.csv.gz", like=random)
    assert (random.num_actions, random.num_positions, len(random.log)) == (34, 3, 10_000)
    np.testing.assert_allclose(random.log.propensities, 1 / 34)
    assert random.log.rewards.sum() == 46
    assert thompson.log.rewards.sum() == 69
    uniform = jnp.full(34, 1 / 34)
    on_policy = bandits.inverse_propensity(random.log, uniform)
    assert on_policy.value == pytest.approx(0.0046)
    # Thompson sampling's log says the same of the uniform policy, within its own error bars.
    off_policy = bandits.self_normalized(thompson.log, uniform)
    both = np.hypot(on_policy.standard_error, off_policy.standard_error)
    assert abs(on_policy.value - off_policy.value) < 3 * both
    assert off_policy.effective_size < 2_000

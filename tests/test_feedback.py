"""Feedback: draws, estimators, delays and partial observation, enumerated where possible."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import feedback as fb
from gamejax.feedback._sampled import stratified
from gamejax.learners import FollowTheRegularizedLeader, Hedge
from gamejax.regularizers import Tsallis
from gamejax.sets import Box, CappedSimplex, Product, Simplex

KEY = jax.random.key(7)
STEP = jnp.asarray(1, jnp.int32)
UTILITY = jnp.asarray([0.3, -0.8, 0.9, 0.2])
STRATEGY = jnp.asarray([0.5, 0.0, 0.2, 0.3])
U, P = np.asarray(UTILITY), np.asarray(STRATEGY)


def observe(feedback, utility, strategy, sets, key=KEY, step=STEP):
    dtype = jax.tree.leaves(utility)[0].dtype
    state = feedback.init(sets, dtype=dtype)
    return feedback.observe(utility, strategy, state, key=key, step=step)[0]


@jax.jit
def observe_all(feedback, utility, strategy, sets, keys):
    return jax.vmap(lambda key: observe(feedback, utility, strategy, sets, key))(keys)


def integrate(probabilities, num_draws):
    """Every outcome of `stratified` with its exact probability: it is piecewise constant in U."""
    cumulative = np.cumsum(np.asarray(probabilities, np.float64)) * num_draws
    breaks = np.unique(np.concatenate([[0, 1], np.clip(np.mod(cumulative, 1), 0, 1)]))
    middles, weights = (breaks[1:] + breaks[:-1]) / 2, np.diff(breaks)
    uniform = jnp.asarray(middles)[:, None]
    outcomes = jax.vmap(lambda u: stratified(jnp.asarray(probabilities), u, num_draws))(uniform)
    return np.asarray(outcomes), weights


@pytest.mark.parametrize("num_draws", [1, 2, 3, 7])
def test_draws_integrate_to_the_probabilities(num_draws):
    outcomes, weights = integrate(STRATEGY, num_draws)
    np.testing.assert_allclose(weights @ outcomes, STRATEGY, atol=1e-14)
    np.testing.assert_allclose(outcomes.sum(1), 1)
    assert np.all(outcomes[:, 1] == 0)
    counts = np.round(outcomes * num_draws)
    assert np.all(np.abs(counts - num_draws * P) < 1)


def test_impossible_actions_are_never_drawn_in_float32():
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=(300, 257)) * (rng.random((300, 257)) < 0.3)
    weights[:, 5] += 1e-9
    probabilities = jnp.asarray(weights / weights.sum(1, keepdims=True), jnp.float32)
    edges = jnp.asarray([2**-24, 2**-23, 0.5, 1 - 2**-23, 1.0], jnp.float32)
    uniform = jnp.concatenate([edges, jnp.asarray(rng.random(200), jnp.float32)])
    drawn = jax.jit(
        jax.vmap(
            lambda p: jax.vmap(lambda u: stratified(p, u, 2))(uniform[:, None]),
        )
    )(probabilities)
    assert drawn.dtype == jnp.float32
    assert not np.any(np.asarray(drawn) * (np.asarray(probabilities) == 0)[:, None])
    np.testing.assert_array_equal(np.asarray(drawn).sum(-1), 1)


@pytest.mark.parametrize(
    "estimator",
    [
        fb.ImportanceWeighting(),
        fb.ImportanceWeighting(offset=1.0),
        fb.ReducedVariance(),
        fb.ReducedVariance(baseline=jnp.asarray([0.1, 0.2, 0.3, 0.4]), threshold=0.5, offset=2.0),
    ],
)
@pytest.mark.parametrize("num_draws", [1, 3])
def test_estimators_are_unbiased(estimator, num_draws):
    outcomes, weights = integrate(STRATEGY, num_draws)
    estimates = jax.vmap(lambda f: estimator.estimate(UTILITY, f, STRATEGY, step=2))(
        jnp.asarray(outcomes)
    )
    possible = np.asarray(STRATEGY > 0)
    mean = weights @ np.asarray(estimates)
    np.testing.assert_allclose(mean[possible], UTILITY[possible], atol=1e-13)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_implicit_exploration_is_biased_by_p_over_p_plus_gamma(offset):
    gamma = 0.15
    estimator = fb.ImplicitExploration(gamma, offset)
    estimates = jax.vmap(lambda f: estimator.estimate(UTILITY, f, STRATEGY, step=1))(jnp.eye(4))
    factor = STRATEGY / (STRATEGY + gamma)
    expected = offset + factor * (UTILITY - offset)
    np.testing.assert_allclose(STRATEGY @ estimates, expected, atol=1e-14)
    assert np.all(np.abs(np.asarray(estimates) - offset) <= np.abs(U - offset) / gamma)
    none = fb.ImplicitExploration(0.0, offset).estimate(UTILITY, jnp.eye(4)[0], STRATEGY, step=1)
    same = fb.ImportanceWeighting(offset).estimate(UTILITY, jnp.eye(4)[0], STRATEGY, step=1)
    np.testing.assert_array_equal(none, same)


def test_reduced_variance_guesses():
    estimator = fb.ReducedVariance(threshold=1.0, offset=1.0)
    nothing = jnp.zeros(4)
    # In round 4 probabilities from 1/4 on are large.
    guess = estimator.estimate(UTILITY, nothing, STRATEGY, step=4)
    np.testing.assert_array_equal(guess, [0.5, 1, 1, 0.5])
    np.testing.assert_array_equal(
        estimator.estimate(UTILITY, nothing, STRATEGY, step=10), [0.5, 1, 0.5, 0.5]
    )
    # Second moments: (u - b)^2 (1/p - 1), by enumeration.
    p = jnp.asarray([0.25, 0.75])
    u = jnp.asarray([0.6, 0.1])
    for estimator, guess in [(fb.ReducedVariance(), 0.5), (fb.ImportanceWeighting(1.0), 1.0)]:
        values = jax.vmap(lambda f, e=estimator: e.estimate(u, f, p, step=1))(jnp.eye(2))
        variance = np.asarray(p) @ (np.asarray(values) - np.asarray(u)) ** 2
        np.testing.assert_allclose(variance, (u - guess) ** 2 * (1 / p - 1), rtol=1e-12)


def test_bandit_feedback_sees_one_utility():
    feedback = fb.BanditFeedback(fb.ImportanceWeighting(offset=1.0))
    keys = jax.random.split(KEY, 400)
    seen = observe_all(feedback, UTILITY, STRATEGY, Simplex(4), keys)
    np.testing.assert_array_equal(seen.observed, seen.played > 0)
    np.testing.assert_array_equal(seen.played.sum(1), 1)
    assert jnp.all(seen.played[:, 1] == 0)
    drawn = jnp.argmax(seen.played, 1)
    expected = 1 + np.asarray(seen.played) * ((U - 1) / np.where(P > 0, P, 1))
    np.testing.assert_allclose(seen.utility, expected, rtol=1e-14)
    # What was not drawn has no influence.
    hidden = jax.vmap(
        lambda k, f: observe(feedback, jnp.where(f > 0, UTILITY, jnp.nan), STRATEGY, Simplex(4), k)
    )(keys, seen.played)
    np.testing.assert_array_equal(hidden.utility, seen.utility)
    # Frequencies within four standard errors.
    share = np.bincount(np.asarray(drawn), minlength=4) / 400
    assert np.all(np.abs(share - P) <= 4 * np.sqrt(P * (1 - P) / 400))


def test_exploration_mixes_in_the_center_and_spares_padded_actions():
    mask = jnp.asarray([True, True, False, True])
    sets = Simplex(4, mask)
    strategy = jnp.asarray([1.0, 0.0, 0.0, 0.0])
    keys = jax.random.split(KEY, 600)

    def draws(exploration):
        feedback = fb.BanditFeedback(exploration=exploration)
        return observe_all(feedback, UTILITY, strategy, sets, keys)

    half = draws(0.5)
    counts = np.asarray(half.played.sum(0)) / 600
    expected = np.asarray([2 / 3, 1 / 6, 0, 1 / 6])
    assert np.all(np.abs(counts - expected) <= 4 * np.sqrt(expected * (1 - expected) / 600))
    largest = np.asarray(half.utility.max(0))
    np.testing.assert_allclose(largest[[0, 3]], [0.3 * 1.5, 0.2 * 6], rtol=1e-12)
    np.testing.assert_array_equal(draws(0.0).played[:, 0], 1)
    assert jnp.all(draws(jnp.asarray(1.0)).played[:, 1].sum() > 100)


def test_blocks_and_products_draw_independently():
    sets = Simplex((2, 3))
    strategy = jnp.asarray([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]])
    utility = jnp.arange(6.0).reshape(2, 3) + 1
    keys = jax.random.split(KEY, 400)
    feedback = fb.BanditFeedback(fb.ReducedVariance(jnp.asarray([0.1, 0.2, 0.3])))
    seen = observe_all(feedback, utility, strategy, sets, keys)
    np.testing.assert_array_equal(seen.played.sum(-1), 1)
    both = jnp.mean(seen.played[:, 0, 0] * seen.played[:, 1, 0])
    assert abs(both - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)
    parts = Product((Simplex(2), Simplex(3)))
    pair = (jnp.asarray([0.5, 0.5]), jnp.asarray([0.25, 0.25, 0.5]))
    gains = (jnp.asarray([1.0, 2.0]), jnp.asarray([1.0, 2.0, 3.0]))
    late = fb.Partial(0.5, fb.BanditFeedback())
    tree = observe_all(late, gains, pair, parts, keys)
    assert [leaf.shape for leaf in tree.utility] == [(400, 2), (400, 3)]
    both = jnp.mean(tree.played[0][:, 0] * tree.played[1][:, 2])
    assert abs(both - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_semi_bandits():
    one = fb.SemiBanditFeedback(1, fb.ImportanceWeighting(0.5), exploration=0.1)
    bandit = fb.BanditFeedback(fb.ImportanceWeighting(0.5), exploration=0.1)
    for a, b in zip(
        observe(one, UTILITY, STRATEGY, Simplex(4)),
        observe(bandit, UTILITY, STRATEGY, Simplex(4)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    # On a capped simplex, s different actions, each with probability s x.
    strategy = jnp.asarray([0.5, 0.2, 0.3])
    keys = jax.random.split(KEY, 500)
    feedback = fb.SemiBanditFeedback(2)
    seen = observe_all(feedback, UTILITY[:3], strategy, CappedSimplex(3, 0.5), keys)
    np.testing.assert_array_equal(seen.observed.sum(1), 2)
    np.testing.assert_array_equal(seen.played, np.asarray(seen.observed) / 2)
    share = np.asarray(seen.observed).mean(0)
    expected = 2 * np.asarray(strategy)
    assert np.all(np.abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / 500))


def deliveries(feedback, rounds, key=KEY):
    """Row t: what arrives in round t when the utility of round s is the s-th unit vector."""
    sets = Simplex(rounds)

    def step(state, inputs):
        utility, round_key, number = inputs
        seen, state = feedback.observe(
            utility, sets.center(utility.dtype), state, key=round_key, step=number
        )
        return state, seen

    keys = jax.random.split(key, rounds)
    numbers = jnp.arange(1, rounds + 1, dtype=jnp.int32)
    first = feedback.init(sets, dtype=jnp.float32)
    return jax.jit(
        lambda: jax.lax.scan(step, first, (jnp.eye(rounds, dtype=jnp.float32), keys, numbers))
    )()


@pytest.mark.parametrize("delay", [0, 1, 4])
def test_fixed_delays_deliver_in_order(delay):
    _, seen = deliveries(fb.Delayed(delay=delay), 12)
    np.testing.assert_array_equal(seen.utility, np.eye(12, k=-delay))
    assert seen.utility.dtype == jnp.float32
    arrived = np.arange(12) >= delay
    np.testing.assert_array_equal(seen.observed, np.repeat(arrived[:, None], 12, 1))
    np.testing.assert_allclose(seen.played.sum(1), arrived, rtol=1e-6)


def test_random_delays_deliver_exactly_once_within_bounds():
    feedback = fb.Delayed(delay=3, probabilities=jnp.asarray([0.4, 0.0, 0.2, 0.4]))
    rounds = 400
    state, seen = deliveries(feedback, rounds)
    arrived = np.asarray(seen.utility)
    total = arrived.sum(0) + np.asarray(state.queue.utility).sum(0)
    np.testing.assert_array_equal(total, 1)
    delivered = arrived.sum(0) == 1
    delays = arrived.argmax(0)[delivered] - np.arange(rounds)[delivered]
    share = np.bincount(delays[: rounds - 3], minlength=4) / (rounds - 3)
    expected = np.asarray([0.4, 0, 0.2, 0.4])
    assert np.all(np.abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / rounds))
    counts = arrived.sum(1)
    assert counts.max() >= 2
    np.testing.assert_array_equal(np.asarray(seen.observed).all(1), counts > 0)
    np.testing.assert_allclose(seen.played.sum(1), counts, rtol=1e-5)


def test_delays_wrap_other_feedback():
    now = observe(fb.BanditFeedback(), UTILITY, STRATEGY, Simplex(4))
    late = observe(fb.Delayed(fb.BanditFeedback(), 0), UTILITY, STRATEGY, Simplex(4))
    for a, b in zip(now, late, strict=True):
        np.testing.assert_array_equal(a, b)
    nothing = observe(fb.Delayed(fb.BanditFeedback(), 2), UTILITY, STRATEGY, Simplex(4))
    for leaf in nothing:
        assert not jnp.any(leaf)


def test_partial_keeps_everything_at_rate_one_and_nothing_at_zero():
    inner = fb.BanditFeedback(fb.ImportanceWeighting(1.0))
    key, _ = jax.random.split(KEY)
    seen = observe(inner, UTILITY, STRATEGY, Simplex(4), key)
    same = observe(fb.Partial(1.0, inner), UTILITY, STRATEGY, Simplex(4))
    for a, b in zip(seen, same, strict=True):
        np.testing.assert_array_equal(a, b)
    none = observe(fb.Partial(0.0, inner), UTILITY, STRATEGY, Simplex(4))
    np.testing.assert_array_equal(none.utility, jnp.ones(4))
    assert not jnp.any(none.observed)
    np.testing.assert_array_equal(none.played, seen.played)


@pytest.mark.parametrize("reweight", [True, False])
def test_partial_rates(reweight):
    rates = np.asarray([0.25, 1.0, 0.5, 0.8])
    feedback = fb.Partial(rates, reweight=reweight)
    keys = jax.random.split(KEY, 800)
    seen = observe_all(feedback, UTILITY, STRATEGY, Simplex(4), keys)
    share = np.asarray(seen.observed).mean(0)
    assert np.all(np.abs(share - rates) <= 4 * np.sqrt(rates * (1 - rates) / 800))
    scaled = U / np.asarray(rates) if reweight else U
    np.testing.assert_allclose(seen.utility, np.asarray(seen.observed) * scaled, rtol=1e-14)


def test_partial_bandits_are_unbiased_and_weigh_by_probability_times_rate():
    rates = jnp.asarray([0.25, 1.0, 0.5, 0.8])
    estimator = fb.ImportanceWeighting(1.0)
    feedback = fb.Partial(rates, fb.BanditFeedback(estimator))
    unseen = feedback.unseen(STRATEGY, (), step=STEP)
    np.testing.assert_array_equal(unseen, jnp.ones(4))
    mean = jnp.zeros(4)
    for action, heads in itertools.product(range(4), [True, False]):
        drawn = jnp.eye(4)[action]
        estimate = estimator.estimate(UTILITY, drawn, STRATEGY, step=1)
        coins = jnp.full(4, heads)
        passed = feedback._pass_on(coins, rates, estimate, unseen)
        chance = np.where(P > 0, P * np.asarray(rates), 1)
        direct = 1 + heads * np.asarray(drawn) * (U - 1) / chance
        if STRATEGY[action] > 0:
            np.testing.assert_allclose(passed, direct, atol=1e-13)
        coin = rates[action] if heads else 1 - rates[action]
        mean = mean + STRATEGY[action] * coin * passed
    np.testing.assert_allclose(mean[STRATEGY > 0], UTILITY[STRATEGY > 0], atol=1e-13)


FEEDBACKS = [
    fb.FullInformation(),
    fb.BanditFeedback(fb.ImplicitExploration(0.1, 1.0), exploration=0.2),
    fb.SemiBanditFeedback(3, fb.ReducedVariance(threshold=0.3)),
    fb.Partial(0.7, fb.BanditFeedback()),
    fb.Delayed(fb.Partial(0.7), 2, probabilities=np.asarray([0.5, 0.2, 0.3])),
]


@pytest.mark.parametrize("feedback", FEEDBACKS, ids=lambda f: type(f).__name__)
def test_protocol(feedback):
    sets, dtype = Simplex(4), jnp.float32
    utility, strategy = UTILITY.astype(dtype), STRATEGY.astype(dtype)
    state = feedback.init(sets, dtype=dtype)

    def call(feedback, utility, key):
        return feedback.observe(utility, strategy, state, key=key, step=STEP)

    eager = call(feedback, utility, KEY)
    jitted = jax.jit(call)(feedback, utility, KEY)
    keys = jax.random.split(KEY, 3)
    mapped = jax.jit(jax.vmap(call, in_axes=(None, 0, 0)))(feedback, jnp.stack([utility] * 3), keys)
    single = jax.jit(call)
    looped = jax.tree.map(lambda *a: jnp.stack(a), *[single(feedback, utility, k) for k in keys])
    assert jax.tree.structure(eager) == jax.tree.structure((eager[0], state))
    for leaf in jax.tree.leaves((eager[0].utility, eager[0].played, eager[1])):
        assert leaf.dtype in (dtype, bool, jnp.int32)
    for a, b in [(eager, jitted), (looped, mapped)]:
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), a, b)


@pytest.mark.parametrize(
    "feedback",
    [fb.BanditFeedback(), fb.SemiBanditFeedback(2), fb.Partial(0.5), FEEDBACKS[-1]],
    ids=lambda f: type(f).__name__,
)
def test_missing_keys_are_named(feedback):
    with pytest.raises(ValueError, match=r"pass key=jax\.random\.key"):
        observe(feedback, UTILITY, STRATEGY, Simplex(4), None)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="exploration must lie in"):
        fb.BanditFeedback(exploration=1.5)
    with pytest.raises(ValueError, match="num_draws must be an integer >= 1, got 0"):
        fb.SemiBanditFeedback(0)
    with pytest.raises(ValueError, match="gamma must be >= 0"):
        fb.ImplicitExploration(-0.1)
    with pytest.raises(ValueError, match=r"delay must be an integer >= 0, got 1\.5"):
        fb.Delayed(delay=1.5)
    with pytest.raises(ValueError, match=r"shape \(3,\), got shape \(2,\)"):
        fb.Delayed(delay=2, probabilities=jnp.ones(2) / 2)
    with pytest.raises(ValueError, match="rates must lie in"):
        fb.Partial(1.2)
    with pytest.raises(ValueError, match=r"Delayed\(Partial"):
        fb.Partial(0.5, fb.Delayed())
    with pytest.raises(TypeError, match="strategies of a Box are not probability vectors"):
        fb.BanditFeedback().init(Box(-1.0, 1.0, shape=(2,)), dtype=jnp.float64)


def bandit_regret(learner, feedback, means, horizon, replications):
    """Mean pseudo-regret of play against Bernoulli arms, and its standard error."""
    sets = Simplex(len(means))
    means = jnp.asarray(means)

    def play(key):
        def step(carry, number):
            strategy, state, seen_state, regret = carry
            reward_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
            reward = (jax.random.uniform(reward_key, means.shape) < means).astype(means.dtype)
            seen, seen_state = feedback.observe(
                reward, strategy, seen_state, key=draw_key, step=number
            )
            regret = regret + means.max() - seen.played @ means
            strategy, state = learner.update(sets, seen, state, strategy)
            return (strategy, state, seen_state, regret), None

        begun = learner.init(sets, dtype=means.dtype)
        carry = (*begun, feedback.init(sets, dtype=means.dtype), jnp.zeros_like(means[0]))
        numbers = jnp.arange(1, horizon + 1, dtype=jnp.int32)
        return jax.lax.scan(step, carry, numbers)[0][-1]

    regrets = jax.jit(jax.vmap(play))(jax.random.split(KEY, replications))
    return float(regrets.mean()), float(regrets.std() / np.sqrt(replications))


def test_exp3_stays_below_its_bound():
    horizon, n = 400, 3
    rate = np.sqrt(2 * np.log(n) / (horizon * n))
    feedback = fb.BanditFeedback(fb.ImportanceWeighting(offset=1.0))
    regret, _ = bandit_regret(Hedge(rate), feedback, [0.7, 0.5, 0.4], horizon, 200)
    assert 0 < regret <= np.sqrt(2 * horizon * n * np.log(n))


@pytest.mark.slow
def test_reference_regrets():
    # Two Bernoulli arms, T = 5000; reference runs in NumPy with 1000 replications.
    horizon, means, replications = 5000, [0.9, 0.8], 500
    rate = np.sqrt(2 * np.log(2) / (horizon * 2))
    tsallis = functools.partial(FollowTheRegularizedLeader, Tsallis(0.5), decay=0.5)
    # The potential -4 sum sqrt(p) of the reference is twice ours, -2 sum sqrt(p).
    cases = [
        (Hedge(rate), fb.ImportanceWeighting(1.0), 62.99, 0.34),
        (Hedge(rate), fb.ImplicitExploration(rate / 2, 1.0), 65.47, 0.36),
        (tsallis(learning_rate=1.0), fb.ImportanceWeighting(1.0), 29.84, 0.33),
        (tsallis(learning_rate=2.0), fb.ReducedVariance(0.5, 16.0, 1.0), 22.93, 0.49),
    ]
    for learner, estimator, expected, error in cases:
        mean, own = bandit_regret(
            learner, fb.BanditFeedback(estimator), means, horizon, replications
        )
        assert abs(mean - expected) <= 4 * np.hypot(error, own), (learner, mean, own)

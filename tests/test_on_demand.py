"""Sampling on demand: the game, its plans and `solve_on_demand`, against programs and bounds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from gamejax import learners, metrics, solvers
from gamejax import multidistribution as md

KEY = jax.random.key(0)


def value(means):
    """The least worst loss of a mixture of rows, by linear programming."""
    rows, columns = means.shape
    found = linprog(
        np.append(np.zeros(rows), 1),
        A_ub=np.hstack([means.T, -np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=[np.append(np.ones(rows), 0)],
        b_eq=[1],
        bounds=[(0, None)] * rows + [(None, None)],
    )
    return found.fun


def tables(seed, count, hypotheses, distributions):
    return np.random.default_rng(seed).random((count, hypotheses, distributions))


@functools.partial(jax.jit, static_argnames=("method", "batch_size"))
def many(means, steps, keys, *, method, batch_size=1):
    """Every table with its own number of steps and key, in one program."""
    solve = functools.partial(
        md.solve_on_demand, method=method, batch_size=batch_size, num_fresh=100
    )
    return jax.vmap(
        lambda table, count, key: solve(md.BernoulliLosses(table), num_steps=count, key=key)
    )(means, steps, keys)


@pytest.fixture(scope="module")
def lazy():
    """Eight tables, each for 2,000 and 8,000 steps, twelve times: 192 runs."""
    means = tables(0, 8, 20, 5)
    steps = np.repeat([2000, 8000], 96)
    stacked = np.tile(np.repeat(means, 12, axis=0), (2, 1, 1))
    found = many(stacked, steps, jax.random.split(KEY, 192), method="lazy")
    values = np.tile(np.repeat([value(m) for m in means], 12), 2)
    return found, values, steps


def test_lazy_block_hedge_is_within_its_bounds(lazy):
    found, values, steps = lazy
    excess = np.asarray(found.worst) - values
    assert np.all(excess > -1e-12)
    regrets = np.sqrt(np.log(20) / (2 * steps)) + np.sqrt(5 * np.log(5) / (2 * steps))
    np.testing.assert_allclose([regrets[0], regrets[-1]], [0.072, 0.036], atol=5e-4)
    assert np.all(excess < 2 * regrets)
    assert np.all(excess < found.bound)
    noise = np.sqrt(2 * np.log(2 / 0.05)) + np.sqrt(2 * 5 * np.log(2 * 5 / 0.05))
    np.testing.assert_allclose(found.bound, regrets + noise / np.sqrt(steps))
    # Four times the steps, half the excess.
    means = excess.reshape(2, 96).mean(1)
    assert 1.7 < means[0] / means[1] < 2.5
    assert 0.005 < means[1] < 0.02  # .014 +- .002 in one run elsewhere


def test_the_certificate_brackets_the_value(lazy):
    found, values, _ = lazy
    assert np.all(found.value_bound <= values + 1e-12)
    assert np.all(found.worst >= values - 1e-12)
    np.testing.assert_allclose(found.gap, found.worst - found.value_bound)
    assert found.gap[96:].mean() < found.gap[:96].mean()


def test_samples_are_counted(lazy):
    found, _, steps = lazy
    np.testing.assert_array_equal(found.num_samples, 2 * steps)
    np.testing.assert_array_equal(found.num_steps, steps)
    np.testing.assert_array_equal(found.rounds, steps // 5)
    # Each distribution is looked at T/n times in turn, and in proportion to q for the learner.
    share = (np.asarray(found.samples) - steps[:, None] / 5) / steps[:, None]
    assert np.abs(share - found.adversary).max() < 5 / np.sqrt(4 * 2000)


@pytest.mark.parametrize(
    ("method", "batch", "per_step"),
    [("bandit", 1, 1), pytest.param("semi_bandit", 4, 4, marks=pytest.mark.slow)],
)
def test_bandit_adversaries_are_within_their_bounds(method, batch, per_step):
    means = tables(1, 8, 20, 5)
    keys = jax.random.split(KEY, 64)
    found = many(
        np.repeat(means, 8, axis=0), np.full(64, 8000), keys, method=method, batch_size=batch
    )
    excess = np.asarray(found.worst) - np.repeat([value(m) for m in means], 8)
    np.testing.assert_array_equal(found.num_samples, per_step * 8000)
    np.testing.assert_array_equal(found.rounds, 8000)
    assert np.all(excess < found.bound)
    assert -1e-12 < excess.mean() < 0.05
    if method == "bandit":
        log, union = np.log(5), np.log(2 * 5 / 0.05)
        regret = np.sqrt(np.log(20) / 2) + 3 * np.sqrt(5 * log / 2)  # and one more within `luck`
        luck = union * np.sqrt(5 / (2 * log)) + np.sqrt(np.log(2 / 0.05) / 2)
        bound = (regret + luck) / np.sqrt(8000) + 5 * union / 8000
        np.testing.assert_allclose(found.bound, bound)


@pytest.mark.slow
def test_everywhere_and_exactly():
    means = tables(2, 8, 20, 5)
    values = np.array([value(m) for m in means])
    keys, steps = jax.random.split(KEY, 8), np.full(8, 2000)
    full = many(means, steps, keys, method="full")
    np.testing.assert_array_equal(full.samples, 2000)
    assert np.all(full.worst - values < full.bound)
    exact = many(means, steps, keys, method="exact")
    np.testing.assert_array_equal(exact.samples, 0)
    excess = np.asarray(exact.worst) - values
    bound = np.sqrt(np.log(20) / 4000) + np.sqrt(np.log(5) / 4000)
    np.testing.assert_allclose(exact.bound, bound)
    assert np.all(excess <= bound)
    # The bound holds for the certificate too, not only for the excess.
    assert np.all(exact.gap <= bound)


def test_exact_gradients_keep_the_deterministic_bound_of_lazy_blocks():
    means = np.concatenate([tables(3, 24, 20, 5), np.tile(np.eye(20)[:, :5], (8, 1, 1))])

    def run(table):
        game = md.MultiDistributionGame(md.BernoulliLosses(table))
        rates = np.sqrt(8 * np.log(20) / 1000), np.sqrt(8 * np.log(5) / 200)
        solver = solvers.SelfPlay(
            (learners.Hedge(rates[0]), learners.Every(learners.Hedge(rates[1]), 5))
        )
        state = solver.init(game, key=None, dtype=game.dtype)
        state = solver.advance(game, state, jnp.int32(0), 1000, key=None)
        return metrics.nash_conv(game, solver.profile(state)), solver.stats(game, state)["regrets"]

    gaps, regrets = jax.jit(jax.vmap(run))(means)
    bound = np.sqrt(np.log(20) / 2000) + np.sqrt(5 * np.log(5) / 2000)
    assert np.all(gaps <= bound)
    # ... of which the gap is the sum of both regrets over T.
    np.testing.assert_allclose(gaps, regrets.sum(1) / 1000, atol=1e-10)


def test_two_complementary_hypotheses():
    """Of two kinds of hypotheses each errs where the other is right: play both, half and half."""
    means = np.zeros((20, 5))
    means[:10, 1:3], means[10:, 3:5] = 1, 1
    found = many(
        np.stack([means] * 64), np.full(64, 8000), jax.random.split(KEY, 64), method="bandit"
    )
    np.testing.assert_allclose(found.predictor[:, :10].sum(1), 0.5, atol=0.05)
    assert np.all((found.worst >= 0.5) & (found.worst < 0.55))
    # The majority is the better half, right on some distributions and always wrong on others.
    np.testing.assert_array_equal(found.deterministic.worst, 1)
    assert np.all(found.deterministic.worst <= 2 * found.worst)
    tie = md.BernoulliLosses(np.eye(2)).deterministic_loss(jnp.full(2, 0.5), jnp.eye(2))
    np.testing.assert_array_equal(tie, 1)


def test_counts_concentrate_on_the_hard_distribution():
    means = np.zeros((20, 5))
    means[:, 2] = 0.5
    found = many(
        np.stack([means] * 64), np.full(64, 8000), jax.random.split(KEY, 64), method="bandit"
    )
    assert np.all(found.adversary.argmax(1) == 2)
    assert np.all(found.samples[:, 2] > 6400)
    np.testing.assert_allclose(found.worst, 0.5)
    low, high = found.losses.interval
    assert np.mean((low <= 0.5) & (high >= 0.5)) > 0.95


def test_a_thousand_instances_of_different_numbers_of_distributions():
    """In one program, each with its own eps. What is masked is never drawn and has no influence."""
    counts = np.arange(1024, dtype=np.int32) % 5 + 2
    means = tables(5, 1024, 8, 6).astype(np.float32)
    eps = np.linspace(0.5, 1, 1024, dtype=np.float32)
    mask = np.arange(6) < counts[:, None]

    @jax.jit
    def run(means, mask, eps, keys):
        def one(table, exists, eps, key):
            problem = md.BernoulliLosses(table, exists)
            return md.solve_on_demand(problem, eps=eps, num_fresh=1, key=key)

        return jax.vmap(one)(means, mask, eps, keys)

    keys = jax.random.split(KEY, 1024)
    found = run(means, mask, eps, keys)
    assert np.all(np.asarray(found.samples)[~mask] == 0)
    assert np.all(np.asarray(found.adversary)[~mask] == 0)
    np.testing.assert_array_equal(found.losses.counts, mask)
    assert np.all(found.losses.worst <= 1)
    assert found.bound.dtype == found.losses.high.dtype == found.predictor.dtype == np.float32
    assert np.all(found.bound <= eps * (1 + 1e-5))
    assert np.all(found.bound > 0.97 * eps)  # of whole blocks
    steps = np.asarray(found.num_steps)
    assert np.all(steps % counts == 0)
    np.testing.assert_array_equal(found.num_samples, 2 * steps)
    values = [value(means[i][:, : counts[i]].astype(float)) for i in range(0, 1024, 64)]
    excess = np.asarray(found.worst)[::64] - values
    assert np.all((excess > -1e-6) & (excess < eps[::64]))
    other = run(np.where(mask[:, None], means, np.float32(0.123)), mask, eps, keys)
    for name in ("predictor", "adversary", "samples", "worst", "bound"):
        np.testing.assert_array_equal(getattr(other, name), getattr(found, name))


def coins(key, distribution, rates):
    """Thresholds: one uniform number decides for all hypotheses."""
    return (jax.random.uniform(key, (), rates.dtype) < rates[:, distribution]).astype(rates.dtype)


def test_samplers_have_no_expectations_but_fresh_losses():
    rates = jnp.asarray(tables(6, 1, 5, 3)[0])
    problem = md.SampledLosses(coins, 5, 3, params=rates, zero_one=True)
    found = md.solve_on_demand(problem, num_steps=6000, num_fresh=3000, key=KEY)
    assert found.expected is None
    assert found.gap == np.inf
    low, high = found.losses.interval
    assert low <= (found.predictor @ rates).max() <= high
    assert high - low < 0.12
    assert (found.predictor @ rates).max() - value(np.asarray(rates)) < found.bound
    # With thresholds the majority errs exactly where the median hypothesis does.
    order = np.argsort(-np.asarray(rates), axis=0)
    heavy = np.cumsum(np.asarray(found.predictor)[order], axis=0) >= 0.5
    median = np.take_along_axis(np.asarray(rates), order, 0)[heavy.argmax(0), np.arange(3)]
    assert np.all((found.deterministic.low <= median) & (median <= found.deterministic.high))
    with pytest.raises(TypeError, match="by their samples only"):
        problem.expected_losses(found.predictor)
    with pytest.raises(ValueError, match="needs expectations"):
        md.solve_on_demand(problem, "exact", num_steps=5, key=KEY)


def test_draws_have_the_right_law():
    """Bernoulli losses: means, and the law of two hypotheses together."""
    means = jnp.asarray([[0.2, 0.7], [0.5, 0.4]])
    each = jnp.tile(jnp.arange(2, dtype=jnp.int32), 20_000)
    for shared in (False, True):
        problem = md.BernoulliLosses(means, shared=shared)
        (losses, available), _ = jax.jit(lambda p: p.draw(each, (), key=KEY))(problem)
        assert available.all()
        table = np.asarray(losses).reshape(-1, 2, 2)
        np.testing.assert_allclose(table.mean(0).T, means, atol=0.015)
        both = (table[:, :, 0] * table[:, :, 1]).mean(0)
        joint = means.min(0) if shared else means.prod(0)
        np.testing.assert_allclose(both, joint, atol=0.015)


@pytest.mark.parametrize(
    "plan",
    [
        md.InTurn(),
        pytest.param(md.Drawn(), marks=pytest.mark.slow),
        pytest.param(md.Drawn(3), marks=pytest.mark.slow),
        md.Drawn(2, exploration=0.5),
        md.OneEach(),
    ],
    ids=["in turn", "one", "minibatch", "exploring", "one each"],
)
def test_plans_are_unbiased(plan):
    """What players are told is, on average, the expectation; over whole blocks for `InTurn`."""
    means, p, q = tables(7, 1, 4, 3)[0], np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.3, 0.2])
    game = md.MultiDistributionGame(md.BernoulliLosses(means), plan)
    repeats = 20_000

    @jax.jit
    def run(keys):
        def one(key):
            state = game.init(key=key, dtype=game.dtype)
            total = [jnp.zeros(4), jnp.zeros(3)]
            for step in range(3):
                told, state = game.sample(
                    (p, q), state, key=jax.random.fold_in(key, step), step=jnp.int32(step + 1)
                )
                total = [t + u / 3 for t, u in zip(total, told, strict=True)]
            return total, state.counts

        return jax.vmap(one)(keys)

    (learner, adversary), counts = run(jax.random.split(KEY, repeats))
    expected = game.utilities((p, q))
    for told, truth in ((learner, expected[0]), (adversary, expected[1])):
        error = np.asarray(told).std(0) / np.sqrt(repeats)
        assert np.all(np.abs(np.asarray(told).mean(0) - truth) < 4.5 * error + 1e-12)
    share = np.asarray(counts).mean(0) / 3
    looks = {1: q, 3: 3 * q, 2: q + 1 / 3}.get(getattr(plan, "num_draws", None), np.ones(3))
    np.testing.assert_allclose(
        share, q + 1 / 3 if isinstance(plan, md.InTurn) else looks, atol=0.015
    )


def test_example_losses_and_pools_that_run_out():
    rng = np.random.default_rng(0)
    losses, groups = rng.integers(0, 2, (300, 4)).astype(float), rng.integers(0, 3, 300)
    problem = md.ExampleLosses(losses, groups, num_groups=4)
    table = np.stack([losses[groups == j].mean(0) for j in range(3)], 1)
    np.testing.assert_allclose(problem.means[:, :3], table, atol=1e-12)
    np.testing.assert_array_equal(problem.mask, [True, True, True, False])
    found = md.solve_on_demand(problem, num_steps=3000, test=problem, key=KEY)
    assert found.num_samples == 6000
    assert not found.exhausted.any()
    assert found.worst - value(table) < found.bound
    np.testing.assert_allclose(found.losses.losses[:3], found.predictor @ table, rtol=1e-9)
    text = str(found)
    assert text.startswith("lazy-block Hedge: worst loss 0.")
    for part in ("majority vote", "no predictor is below", "proved: within", "6,000 samples in 3"):
        assert part in text
    data = found.to_dict()
    assert (data["num_samples"], data["result"], len(data["mixture"])) == (6000, "successful", 4)
    assert data["judged"]["interval"][0] <= data["judged"]["worst"]
    with pytest.raises(TypeError, match="no model"):
        _ = found.model
    pools = md.ExampleLosses(losses, groups, num_groups=4, replace=False)
    found = md.solve_on_demand(pools, num_steps=60, num_fresh=1000, key=KEY)
    sizes = np.bincount(groups, minlength=4)
    assert found.num_samples == 120
    assert not found.exhausted.any()
    # What was not drawn is fresh: together they are the whole pool.
    np.testing.assert_array_equal(found.samples + found.losses.counts, sizes)
    found = md.solve_on_demand(pools, num_steps=3000, num_fresh=1000, key=KEY)
    assert found.exhausted[:3].all()
    np.testing.assert_array_equal(found.samples, sizes)
    assert np.isnan(found.losses.losses).all()
    assert "RAN OUT of examples of distribution 0, 1, 2" in str(found)


def test_pools_are_drawn_once_each():
    rows = np.arange(40)
    groups = np.array([0] * 25 + [1] * 15)
    problem = md.ExampleLosses(rows[:, None] / 40.0, groups, replace=False)
    state = jax.jit(lambda: problem.init(key=KEY, dtype=problem.dtype))()
    seen = []
    draw = jax.jit(lambda s: problem.draw(jnp.asarray([0, 1, 0, 0, 1], jnp.int32), s, key=KEY))
    for _ in range(10):
        (losses, available), state = draw(state)
        seen += list(np.rint(40 * np.asarray(losses[available])[:, 0]))
    assert sorted(seen) == list(rows)
    assert problem.exhausted(state).all()


def test_intervals_of_binomial_means():
    """Ends of the interval have the tail probability that Chernoff grants, at least."""
    problem = md.BernoulliLosses(np.array([[0.0, 0.3, 1.0]]))
    found = md.evaluate(problem, jnp.ones(1), num_samples=400, key=KEY, delta=0.06)
    low, high = np.asarray(found.low), np.asarray(found.high)
    mean = np.asarray(found.losses)
    np.testing.assert_array_equal(mean[[0, 2]], [0, 1])
    assert low[0] == 0
    assert high[2] == 1
    # kl(0, q) = -ln(1 - q) and kl(1, q) = -ln q have closed forms.
    edge = np.exp(-np.log(2 * 3 / 0.06) / 400)
    np.testing.assert_allclose([high[0], low[2]], [1 - edge, edge], rtol=1e-9)
    for q in (low[1], high[1]):
        kl = mean[1] * np.log(mean[1] / q) + (1 - mean[1]) * np.log((1 - mean[1]) / (1 - q))
        np.testing.assert_allclose(kl, np.log(100) / 400, rtol=1e-9)
    assert found.interval == (low[2], high[2])


def test_play_goes_on_where_it_stopped():
    """The game on the core: counters, turns and sums go on as if there had been no stop."""
    game = md.MultiDistributionGame(md.BernoulliLosses(tables(9, 1, 4, 3)[0]), md.InTurn())
    solver = solvers.SelfPlay((learners.Hedge(0.1), learners.Every(learners.Hedge(0.3), 3)))

    @jax.jit
    def advance(state, first, count):
        return solver.advance(game, state, first, count, key=KEY)

    start = jax.jit(lambda: solver.init(game, key=KEY, dtype=game.dtype))()
    whole = advance(start, 0, 60)
    rest = advance(advance(start, 0, 25), 25, 35)
    np.testing.assert_array_equal(whole.game.counts, rest.game.counts)
    assert int(whole.game.counts.sum()) == 120
    for a, b in zip(whole.strategies, rest.strategies, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "best"}, "method must be one of"),
        ({"batch_size": 3}, 'needs method="semi_bandit"'),
        ({"num_steps": None}, "either eps or num_steps"),
        ({"eps": 0.1}, "either eps or num_steps"),
        ({"num_steps": 0}, "num_steps must be"),
        ({"num_steps": None, "eps": -0.1}, "eps must be positive"),
        ({"delta": 1.5}, "delta must be below 1"),
        ({"key": 3}, "key must be jax.random.key"),
        ({"num_fresh": 0}, "num_fresh must be"),
        ({"problem": np.eye(2)}, "finitely many hypotheses"),
        ({"test": md.BernoulliLosses(np.eye(3))}, "test has 3 distributions"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"problem": md.BernoulliLosses(np.eye(2)), "num_steps": 10, "key": KEY, **change}
    with pytest.raises((TypeError, ValueError), match=message):
        md.solve_on_demand(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: md.BernoulliLosses([1.0, 0.5]), "must have shape"),
        (lambda: md.BernoulliLosses([[1.5]]), "between 0 and 1"),
        (lambda: md.BernoulliLosses([[np.nan]]), "finite"),
        (lambda: md.BernoulliLosses(np.eye(2), [True]), r"mask must have shape \(2,\)"),
        (lambda: md.BernoulliLosses(np.eye(2), [False, False]), "at least one"),
        (lambda: md.BernoulliLosses(np.eye(2), [1, 0]), "boolean"),
        (lambda: md.ExampleLosses(np.eye(2), [0.0, 1.0]), "one integer per row"),
        (lambda: md.ExampleLosses(np.eye(2), [0]), "one entry per group number"),
        (lambda: md.ExampleLosses(np.eye(2), [0, 5], num_groups=2), "numbers from 0 to 1"),
        (lambda: md.ExampleLosses(-np.eye(2), [0, 1]), "negative"),
        (lambda: md.SampledLosses(3, 2, 2), "must be a function"),
        (lambda: md.SampledLosses(lambda k, d: jnp.ones(3), 2, 2), r"shape \(2,\)"),
        (lambda: md.Drawn(0), "num_draws"),
        (lambda: md.Drawn(exploration=2.0), "exploration"),
        (lambda: md.MultiDistributionGame(np.eye(2)), "must be one such as"),
        (lambda: md.evaluate(md.BernoulliLosses(np.eye(2)), jnp.ones(2)), "num_samples must"),
    ],
)
def test_bad_problems_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()

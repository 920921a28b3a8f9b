"""Theory as tests: regrets and divergences below their bounds, on 100 random instances each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import learners as gl
from gamejax._numerics import Sum
from gamejax.regularizers import Euclidean, LogBarrier, Tsallis
from gamejax.sets import Simplex
from tests.learner_runs import PRECISE, full, matrix_gap, self_play

COUNT, STEPS, N = 100, 400, 5


@jax.jit
def sequences(key):
    """Utilities in [-1, 1], (COUNT, STEPS, N): noise, drifts, switches, alternations, jumps."""
    keys = jax.random.split(key, 6)
    shape = (COUNT, STEPS, N)
    t = jnp.arange(STEPS)[None, :, None] / STEPS
    noise = jax.random.uniform(keys[0], shape, minval=-1)
    speed = jax.random.uniform(keys[1], (COUNT, 1, N), minval=1, maxval=40)
    drift = jnp.sin(speed * t + 6 * jax.random.uniform(keys[2], (COUNT, 1, N)))
    phases = jax.random.randint(keys[3], (COUNT, 8), 0, N)
    switches = 2 * jax.nn.one_hot(jnp.repeat(phases, STEPS // 8, axis=1), N) - 1
    alternating = jnp.where(jnp.arange(STEPS)[None, :, None] % 2 == 0, 1, -1) * jnp.sign(noise)
    sparse = jnp.where(jax.random.uniform(keys[4], shape) < 0.02, jnp.sign(noise), 0)
    kinds = jnp.stack([noise, drift, switches, alternating, sparse])
    return kinds[jnp.arange(COUNT) % 5, jnp.arange(COUNT)]


@jax.jit
def play_against(learner, utilities, hostility):
    """Play against given utilities plus, on some instances, an adversary who punishes the play."""
    simplex = Simplex(N)

    def one(sequence, hostile):
        def step(carry, u):
            x, state = carry
            u = jnp.where(hostile, jnp.where(x >= jnp.sort(x)[-2], -jnp.abs(u), u), u)
            return learner.update(simplex, full(u, x), state, x), (x, u)

        begun = learner.init(simplex, dtype=sequence.dtype)
        (_, state), (x, u) = jax.lax.scan(step, begun, sequence)
        payoff = jnp.cumsum(jnp.sum(x * u, -1))
        regret = jnp.cumsum(u, 0).max(-1) - payoff
        return x, u, regret, state

    return jax.vmap(one)(utilities, hostility)


def against(learner, utilities, hostility):
    """`play_against` in NumPy: strategies, utilities, regrets after every round, last state."""
    return jax.tree.map(np.asarray, play_against(learner, utilities, hostility))


@pytest.fixture(scope="module")
def instances():
    return sequences(jax.random.key(0)), jnp.arange(COUNT) % 3 == 0


def changes(z):
    """Differences from round to round, the first from 0."""
    return np.diff(z, axis=1, prepend=0)


HORIZONS = np.arange(1.0, STEPS + 1)


@pytest.mark.parametrize("rate", [0.02, 0.2, 1.0])
def test_hedge_with_a_fixed_rate(instances, rate):
    regret = against(gl.Hedge(rate), *instances)[2]
    bound = np.log(N) / rate + rate * 2**2 * HORIZONS / 8
    assert np.all(regret <= bound)


def test_hedge_at_any_time(instances):
    regret = against(gl.Hedge(utility_range=2.0), *instances)[2]
    bound = 2 * (2 * np.sqrt(HORIZONS * np.log(N) / 2) + np.sqrt(np.log(N) / 8))
    assert np.all(regret <= bound)
    # Without a known range: every round in which the range grows costs at most the new range more.
    _, u, regret, _ = against(gl.Hedge(), *instances)
    span = np.ptp(u, axis=-1)
    largest = np.maximum.accumulate(span, axis=1)
    grows = np.diff(largest, axis=1, prepend=0) > 0
    extra = np.cumsum(np.where(grows, span, 0), axis=1)
    assert np.all(regret <= largest / 2 * bound + extra)


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_optimistic_hedge(instances, rate):
    x, u, regret, _ = against(gl.Hedge(rate, optimism=1.0), *instances)
    variation = np.cumsum(np.abs(changes(u)).max(-1) ** 2, axis=1)
    path = np.abs(changes(x)).sum(-1)
    path[:, 0] = 0
    bound = np.log(N) / rate + rate * variation - np.cumsum(path**2, axis=1) / (4 * rate)
    assert np.all(regret <= bound + 1e-9)


@pytest.mark.parametrize("optimism", [0.0, 1.0])
@pytest.mark.parametrize("regularizer", [Euclidean(), Tsallis(0.5)], ids=["euclidean", "tsallis"])
def test_follow_the_regularized_leader(instances, regularizer, optimism):
    rate = 0.2
    learner = gl.FollowTheRegularizedLeader(regularizer, rate, optimism)
    x, u, regret, _ = against(learner, *instances)
    # Strongly convex with modulus 1 in the Euclidean norm; Tsallis-1/2 has r'' = x^(-3/2)/2 >= 1/2.
    modulus = 1.0 if isinstance(regularizer, Euclidean) else 0.5
    vertex, center = jnp.eye(N)[0], jnp.full(N, 1 / N)
    width = float(regularizer.value(vertex) - regularizer.value(center)) / modulus
    step = rate / modulus
    if optimism:
        variation = np.cumsum((changes(u) ** 2).sum(-1), axis=1)
        path = (changes(x) ** 2).sum(-1)
        path[:, 0] = 0
        bound = width / step + step * variation - np.cumsum(path, axis=1) / (4 * step)
    else:
        bound = width / step + step / 2 * np.cumsum((u**2).sum(-1), axis=1)
    # u - <u> serves as well as u; the bound holds as it stands.
    assert np.all(regret <= bound + 1e-9)


@pytest.mark.parametrize("rate", [1 / 16, 1 / 64])
def test_optimistic_log_barrier_in_local_norms(instances, rate):
    learner = gl.FollowTheRegularizedLeader(LogBarrier(), rate, optimism=1.0)
    x, u, _, _ = against(learner, *instances)
    total, payoff = np.cumsum(u, axis=1), np.cumsum((x * u).sum(-1), axis=1)
    local = np.cumsum((x**2 * changes(u) ** 2).sum(-1), axis=1)
    steps = np.diff(x, axis=1) / x[:, :-1]
    path = np.cumsum(np.pad((steps**2).sum(-1), ((0, 0), (1, 0))), axis=1)
    for action in range(N):
        point = np.full(N, 1 / (N * STEPS)) + (1 - 1 / STEPS) * np.eye(N)[action]
        width = -np.log(point).sum() - N * np.log(N)
        regret = total @ point - payoff
        assert np.all(regret <= width / rate + 2 * rate * local - path / (16 * rate) + 1e-8)
    # Multiplicative stability: no probability moves by more than a factor 1 + O(eta).
    assert np.abs(steps).max() <= 8 * rate


def test_adahedge(instances):
    x, u, regret, state = against(gl.AdaHedge(), *instances)
    assert np.all(regret[:, -1] <= 2 * state.mixability[:, 0] + 1e-9)
    # The closed form of the guarantee, with the variances and ranges met.
    variance = (x * u**2).sum(-1) - (x * u).sum(-1) ** 2
    span = np.ptp(u, axis=-1).max(-1)
    bound = 2 * np.sqrt(variance.sum(1) * np.log(N)) + span * (4 / 3 * np.log(N) + 2)
    assert np.all(regret[:, -1] <= bound)


@pytest.mark.parametrize(
    "learner", [gl.RegretMatching(), gl.RegretMatchingPlus()], ids=["rm", "rm+"]
)
def test_regret_matching(instances, learner):
    x, u, regret, _ = against(learner, *instances)
    instantaneous = u - (x * u).sum(-1, keepdims=True)
    bound = np.sqrt(np.cumsum((instantaneous**2).sum(-1), axis=1))
    assert np.all(regret <= bound + 1e-9)
    assert np.all(bound <= 2 * np.sqrt(N * HORIZONS))


def test_regret_matching_plus_against_switching(instances):
    """Tracking: best sequences that change k times lose to at most (k + 1) times the bound."""
    x, u, _, _ = against(gl.RegretMatchingPlus(), *instances)
    instantaneous = u - (x * u).sum(-1, keepdims=True)
    bound = np.sqrt((instantaneous**2).sum((1, 2)))
    for pieces in (2, 4, 8):
        parts = instantaneous.reshape(COUNT, pieces, STEPS // pieces, N).sum(2)
        assert np.all(parts.max(-1).sum(1) <= pieces * bound)


def test_predictive_regret_matching(instances):
    learner = gl.PredictiveRegretMatchingPlus()
    x, u, regret, _ = against(learner, *instances)
    instantaneous = u - (x * u).sum(-1, keepdims=True)
    bound = np.sqrt(2 * np.cumsum((changes(instantaneous) ** 2).sum(-1), axis=1))
    assert np.all(regret <= bound + 1e-9)


def test_smooth_predictive_regret_matching(instances):
    """Optimistic descent on the lifted set: regret <= |z - z^0|^2 / (2 eta) + eta sum |r - v|^2."""
    rate = 0.1
    learner = gl.SmoothPredictiveRegretMatchingPlus(rate)
    x, u, regret, _ = against(learner, *instances)
    instantaneous = u - (x * u).sum(-1, keepdims=True)
    variation = np.cumsum((changes(instantaneous) ** 2).sum(-1), axis=1)
    start = ((np.eye(N)[0] - 1 / N) ** 2).sum()
    assert np.all(regret <= start / (2 * rate) + rate * variation + 1e-9)


@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_mirror_descent(instances, optimism):
    rate = 0.1
    learner = gl.MirrorDescent(Euclidean(), rate, optimism)
    _, u, regret, _ = against(learner, *instances)
    start = ((np.eye(N)[0] - 1 / N) ** 2).sum()
    seen = changes(u) if optimism else u
    weight = rate if optimism else rate / 2
    bound = start / (2 * rate) + weight * np.cumsum((seen**2).sum(-1), axis=1)
    assert np.all(regret <= bound + 1e-9)


# --------------------------------------------------------------------------------------------
# Self-play.


@pytest.fixture(scope="module")
def games():
    return jax.random.uniform(jax.random.key(1), (COUNT, 3, 4), minval=-1)


@functools.partial(jax.jit, static_argnames="steps")
def play_all(learner, games, steps):
    sets = (Simplex(3), Simplex(4))
    return jax.vmap(lambda a: self_play((learner, learner), sets, (a, -a), steps))(games)


def test_optimistic_hedge_averages_at_rate_one_over_t(games):
    rate, steps = 0.5, 1000
    x, y = play_all(gl.Hedge(rate, optimism=1.0), games, steps)
    gaps = jax.vmap(matrix_gap)(games, x.mean(1), y.mean(1))
    assert np.all(gaps <= ((np.log(3) + np.log(4)) / rate + 2 * rate) / steps)
    # The gap of the uniform averages is the sum of the regrets over T.
    u = jnp.einsum("gij,gtj->gti", games, y)
    v = -jnp.einsum("gij,gti->gtj", games, x)
    regrets = [w.sum(1).max(-1) - jnp.sum(z * w, (1, 2)) for z, w in ((x, u), (y, v))]
    np.testing.assert_allclose(gaps, sum(regrets) / steps, atol=1e-12)


def test_magnetic_mirror_descent_at_its_linear_rate(games):
    temperature = 0.5
    size = jnp.abs(games).max((1, 2))
    rates = temperature / size**2
    sets = (Simplex(3), Simplex(4))

    @functools.partial(jax.jit, static_argnames="steps")
    def play(games, rates, steps):
        def one(a, rate):
            learner = gl.MagneticMirrorDescent(rate, temperature)
            return self_play((learner, learner), sets, (a, -a), steps)

        return jax.vmap(one)(games, rates)

    path = [np.asarray(z) for z in play(games, rates, 400)]
    rest = [z[:, -1:] for z in path]
    # The limit is the logit equilibrium of precision 1 / temperature.
    logit = jax.nn.softmax(jax.vmap(PRECISE)(games, rest[1][:, 0]) / temperature, -1)
    np.testing.assert_allclose(rest[0][:, 0], logit, atol=1e-9)
    kl = sum((r * np.log(r / z)).sum(-1) for r, z in zip(rest, path, strict=True))
    shrink = (1 + np.asarray(rates) * temperature)[:, None] ** -np.arange(60.0)[None]
    assert np.all(kl[:, :60] <= kl[:, :1] * shrink + 1e-12)


# --------------------------------------------------------------------------------------------
# Long runs in float32.


@functools.partial(jax.jit, static_argnames="steps")
def long_averages(learner, game, steps):
    """Uniform averages of play, by a sum that keeps its digits."""
    sets = (Simplex(3), Simplex(3))
    begun = tuple(learner.init(s, dtype=game.dtype) for s in sets)

    def step(carry, _):
        ((x, state_x), (y, state_y)), sums = carry
        first = learner.update(sets[0], full(PRECISE(game, y), x), state_x, x)
        second = learner.update(sets[1], full(-PRECISE(game.T, x), y), state_y, y)
        return ((first, second), sums.add((x, y))), None

    sums = Sum.zeros_like(tuple(strategy for strategy, _ in begun))
    (_, sums), _ = jax.lax.scan(step, (begun, sums), length=steps)
    return [total / steps for total in sums.total]


@pytest.mark.slow
@pytest.mark.parametrize(
    "learner",
    [
        gl.Hedge(0.1, optimism=1.0),
        gl.FollowTheRegularizedLeader(Euclidean(), 0.1, optimism=1.0),
        gl.MirrorDescent(Euclidean(), 0.1, optimism=1.0),
        gl.AdaHedge(),
        gl.PredictiveRegretMatchingPlus(),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_float32_follows_float64_for_a_million_rounds(learner):
    game = jnp.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    gaps = []
    for dtype in (jnp.float32, jnp.float64):
        x, y = long_averages(learner, game.astype(dtype), 1_000_000)
        gaps.append(float(matrix_gap(game, x.astype(game.dtype), y.astype(game.dtype))))
    assert abs(gaps[0] - gaps[1]) <= 1e-6 + 0.01 * gaps[1]

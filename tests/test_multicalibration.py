"""Multicalibration by games: bounds, invariances, the published runs, replays."""

import math
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import calibration, learners
from gamejax.calibration import (
    GridProd,
    Levels,
    MulticalibrationGame,
    PointGradient,
    PointHedge,
    PointProd,
    multiaccuracy_error,
    multicalibrate,
    multicalibration_error,
)
from gamejax.calibration._groups import Membership
from gamejax.feedback import Feedback
from gamejax.sets import Simplex

DATA = Path(__file__).parents[2] / "shared" / "data"


def slow_error(scores, labels, groups, num_levels, kind="joint", power=0.0):
    """Multicalibration error by loops over groups and dictionaries of cells."""
    num_points, k = scores.shape
    targets = np.eye(k)[labels]
    worst = 0.0
    for group in groups.T:
        cells = {}
        for x in range(num_points):
            cell = np.minimum((scores[x] * num_levels).astype(int), num_levels - 1)
            for j in range(k):
                level = {"joint": tuple(cell), "coordinate": cell[j], "none": 0}[kind]
                change = group[x] * (scores[x, j] - targets[x, j])
                cells[level, j] = cells.get((level, j), 0.0) + change
        size = group.mean() ** power
        if size > 0:
            worst = max(worst, max(abs(v) for v in cells.values()) / num_points / size)
    return worst


def problem(seed, num_points, k, num_groups):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(k), num_points)
    labels = rng.integers(0, k, num_points)
    groups = rng.random((num_points, num_groups)) * (rng.random((num_points, num_groups)) < 0.4)
    groups[:, 0] = 1
    return scores, labels, groups


@pytest.mark.parametrize(
    ("k", "kind"), [(2, "joint"), (3, "joint"), (4, "coordinate"), (3, "none")]
)
def test_error_is_what_loops_find(k, kind):
    scores, labels, groups = problem(k, 60, k, 5)
    for power, normalization in ((0, "points"), (1, "group"), (0.5, "sqrt")):
        found = multicalibration_error(
            scores, labels, groups, 4, levels=kind, normalization=normalization
        )
        expected = slow_error(scores, labels, groups, 4, kind, power)
        assert float(found) == pytest.approx(expected, rel=1e-12)
        place = found.violations[found.group, found.level, found.label - int(k == 2)]
        assert float(place) == pytest.approx(float(found.sign * found.error))


def test_error_of_labels_and_of_the_base_rate():
    _, labels, groups = problem(0, 80, 3, 6)
    member = groups > 0
    assert float(multicalibration_error(np.eye(3)[labels], labels, member, 5)) == 0
    rate = np.bincount(labels, minlength=3) / 80
    found = multicalibration_error(np.tile(rate, (80, 1)), labels, member, 1)
    own = [np.abs(np.eye(3)[labels][m].mean(0) - rate).max() * m.mean() for m in member.T]
    assert float(found) == pytest.approx(max(own))
    accuracy = multiaccuracy_error(np.tile(rate, (80, 1)), labels, member)
    assert float(accuracy) == pytest.approx(float(found))


def test_error_does_not_depend_on_the_order_of_classes_groups_and_points():
    scores, labels, groups = problem(1, 70, 3, 5)
    rng = np.random.default_rng(0)
    classes, order, points = rng.permutation(3), rng.permutation(5), rng.permutation(70)
    before = float(multicalibration_error(scores, labels, groups, 4))
    renamed = np.argsort(classes)[labels]
    after = multicalibration_error(
        scores[points][:, classes], renamed[points], groups[points][:, order], 4
    )
    assert float(after) == pytest.approx(before, rel=1e-12)


def test_weights_of_points_count_like_copies_and_float32_stays():
    scores, labels, groups = problem(2, 40, 2, 4)
    copies = np.random.default_rng(0).integers(0, 4, 40)
    weighted = multicalibration_error(scores[:, 1], labels, groups, 5, weights=copies)
    rows = np.repeat(np.arange(40), copies)
    repeated = multicalibration_error(scores[rows], labels[rows], groups[rows], 5)
    assert float(weighted) == pytest.approx(float(repeated), rel=1e-12)
    single = multicalibration_error(scores.astype(np.float32), labels, groups, 5)
    assert single.error.dtype == jnp.float32
    traced = jax.jit(lambda g: multicalibration_error(scores, labels, g, 5).error)(groups)
    assert float(traced) == pytest.approx(float(multicalibration_error(scores, labels, groups, 5)))


@pytest.mark.parametrize(("k", "m"), [(3, 3), (7, 3), (4, 10)])
def test_joint_levels_are_told_apart(k, m):
    levels = Levels(m)
    rng = np.random.default_rng(k)
    scores = np.concatenate([rng.dirichlet(np.full(k, a), 400) for a in (0.1, 1.0, 5.0)])
    scores = np.concatenate([scores, np.eye(k), np.full((1, k), 1 / k)])
    cells = np.minimum((scores * m).astype(int), m - 1)
    codes = np.asarray(levels.codes(jnp.asarray(scores)))[:, 0]
    assert codes.max() < levels.count(k) == math.comb(m + k, k)
    assert len(np.unique(codes)) == len(np.unique(cells, axis=0))
    for code, cell in list(zip(codes, cells, strict=True))[:50]:
        assert levels.intervals(int(code), k) == tuple((c / m, (c + 1) / m) for c in cell)


@pytest.mark.parametrize(("k", "rounds", "kind"), [(2, 100, "points"), (3, 60, "sqrt")])
def test_the_bound_holds_on_any_data(k, rounds, kind):
    """min_t MC <= sqrt(ln k / (2 T)), also relative to the root of the group's mass."""

    def run(key):
        keys = jax.random.split(key, 4)
        bias = jax.random.normal(keys[3], (k,))
        labels = jax.random.categorical(keys[0], bias, shape=(150,))
        groups = jax.random.bernoulli(keys[1], jax.random.uniform(keys[2], (1, 8)), (150, 8))
        options = {"num_levels": 5, "normalization": kind}
        found = multicalibrate(labels, groups, num_classes=k, num_rounds=rounds, **options)
        again = found.predictor(groups)
        recomputed = multicalibration_error(found.scores, labels, groups, **options).error
        return found, again, recomputed

    found, again, recomputed = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(k), 40))
    assert found.error.max() <= math.sqrt(math.log(k) / (2 * rounds))
    np.testing.assert_allclose(found.error, found.errors[:, :, 0].min(1), atol=1e-12)
    np.testing.assert_allclose(found.error, recomputed, atol=1e-12)
    np.testing.assert_allclose(again, found.scores, atol=1e-12)


def test_a_step_of_hedge():
    """Class 1 was predicted too often: L = (1/2, 1)."""
    learner = PointHedge(0.8)
    first = learner.init(Simplex((1, 2)), dtype=jnp.float64)
    utility = jnp.array([[-0.5, -1.0]])
    moved, _ = learner.update(Simplex((1, 2)), Feedback(utility, first[0], None), *first[::-1])
    assert float(moved[0, 1]) == pytest.approx(0.401312, abs=1e-6)


def test_each_round_lowers_the_divergence_from_the_labels():
    """By at least rate * error / 2 - rate^2 / 32, the step of the proof of the bound."""
    _, labels, groups = problem(9, 200, 3, 6)
    found = multicalibrate(
        labels, groups > 0, num_levels=4, num_rounds=60, learner=PointHedge(0.3), tol=0
    )

    def divergence(number):
        predictor = eqx.tree_at(lambda p: p.num_rounds, found.predictor, number)
        return -jnp.log(predictor(groups > 0)[jnp.arange(200), labels]).mean()

    left = jax.jit(jax.vmap(divergence))(jnp.arange(1, 61, dtype=jnp.int32))
    assert (left[:-1] - left[1:] >= 0.15 * found.errors[:-1, 0] - 0.09 / 32 - 1e-12).all()
    assert left[-1] < left[0] - 0.01


@pytest.mark.slow
def test_every_learner_and_auditor_lowers_the_error_and_replays():
    scores, labels, groups = problem(5, 300, 3, 6)
    held = np.arange(300) < 60
    for learner in (
        PointHedge(0.5, 0.95, 1.0), PointGradient(0.3), PointProd(0.5), learners.Hedge(0.5)
    ):  # fmt: skip
        found = multicalibrate(
            labels, groups, base_scores=scores, num_levels=3, num_rounds=40, learner=learner,
            levels="coordinate", weights=~held, monitors=held,
        )  # fmt: skip
        first, best = found.errors[0], found.errors[int(found.chosen_round) - 1]
        assert float(found.errors[:, 0].min()) < 0.5 * float(first[0])
        assert (
            float(best[1]) == float(found.error) == pytest.approx(float(found.errors[:, 1].min()))
        )
        new = found.predictor(groups[held], scores[held])
        np.testing.assert_allclose(new, found.scores[held], atol=1e-9)
        expected = multicalibration_error(
            found.scores[~held], labels[~held], groups[~held], 3, levels="coordinate"
        )
        assert float(found.violation.error) == pytest.approx(float(expected), rel=1e-9)


def test_no_regret_auditors_promise_for_a_random_round():
    """The mixture's error falls; with GridProd small groups have small biases."""
    scores, labels, groups = problem(6, 300, 2, 6)
    groups = groups > 0
    errors = []
    for auditor in (learners.Hedge(8.0), learners.Hedge(8.0, 1.0), GridProd()):
        found = multicalibrate(
            labels, groups, base_scores=scores, num_levels=4, num_rounds=150,
            learner=PointHedge(0.8), auditor=auditor,
        )  # fmt: skip
        errors.append(float(found.mixture_error))
        shares = found.predictor(groups, scores, mixture=True)
        mean = float(multiaccuracy_error(shares, labels, groups))
        assert mean <= float(found.mixture_error) * 4 + 1e-9  # four levels add up
    start = float(multicalibration_error(scores, labels, groups, 4))
    assert max(errors) < 0.35 * start


def test_an_auditor_who_sees_a_few_points_a_round():
    """Unbiased, and enough for a random round: the dynamics of a sample per round."""
    scores, labels, groups = problem(6, 300, 2, 6)
    options = {"base_scores": scores, "num_levels": 4, "learner": PointHedge(0.2)}
    found = multicalibrate(
        labels, groups > 0, num_rounds=1500, auditor=learners.Hedge(0.2), batch_size=4,
        key=jax.random.key(0), **options,
    )  # fmt: skip
    start = float(multicalibration_error(scores, labels, groups > 0, 4))
    assert float(found.mixture_error) < 0.4 * start
    game = MulticalibrationGame(
        jax.nn.one_hot(labels, 2), Membership.of(groups > 0, jnp.float64), jnp.full(300, 1 / 300),
        Levels(4, "joint"), "sqrt", jnp.zeros((0, 300)), 2,
    )  # fmt: skip
    profile = (jnp.asarray(scores), jnp.ones(game.strategy_sets[1].shape))

    def draw(key):
        return game.sample(profile, (), key=key, step=jnp.int32(0))[0][1]

    draws = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 20_000)))
    error = draws.mean(0) - np.asarray(game.utility(1, profile))
    assert (np.abs(error) <= 5 * draws.std(0) / math.sqrt(20_000) + 1e-12).all()
    with pytest.raises(ValueError, match="batch_size draws points"):
        multicalibrate(labels, groups, num_classes=2, batch_size=2)


def test_it_maps_over_rates_and_stops_early():
    _, labels, groups = problem(8, 100, 2, 4)

    def run(rate, optimism):
        learner = PointHedge(rate, 1.0, optimism)
        return multicalibrate(labels, groups, num_rounds=100, learner=learner, tol=0.05)

    found = jax.jit(jax.vmap(run))(jnp.array([0.3, 0.5, 0.001]), jnp.array([0.0, 0.2, 0.0]))
    assert (found.error[:2] <= 0.05).all()
    assert (found.solution.stats["num_steps"][:2] < 100).all()
    assert not jnp.isfinite(found.errors[:2, -1, 0]).any()
    assert found.error[2] > 0.05
    assert int(found.solution.stats["num_steps"][2]) == 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.full(20, 3)}, "labels must be classes 0 to 1"),
        ({"groups": np.ones(20)}, r"groups must be a matrix of shape \(20, groups\)"),
        ({"groups": 2 * np.ones((20, 2))}, r"weights in \[0, 1\]"),
        ({"weights": -np.ones(20)}, "weights must be at least 0"),
        ({"weights": np.ones(3)}, r"weights must have shape \(20,\)"),
        ({"levels": "cells"}, "levels must be"),
        ({"normalization": "size"}, "normalization must be"),
        ({"num_levels": 0}, "num_levels must be at least 1"),
        ({"monitors": np.ones((2, 3))}, "monitors must have shape"),
        ({"num_rounds": 0}, "num_rounds"),
        ({"base_scores": np.ones((20, 1))}, "base_scores must have shape"),
        ({"base_scores": np.ones(20, int)}, "base_scores must be floating-point"),
    ],
)
def test_arguments_that_cannot_be_used(change, words):
    given = {"labels": np.zeros(20, int), "groups": np.ones((20, 2)), "num_classes": 2}
    given = given | change
    with pytest.raises((TypeError, ValueError), match=words):
        multicalibrate(given.pop("labels"), given.pop("groups"), **given)


class Deficient(learners.AbstractLearner):
    """The published projected gradient: vectors whose entries sum to less than one stay."""

    learning_rate: float
    decay: float

    def init(self, strategies, *, dtype):
        return strategies.center(dtype), jnp.zeros((), jnp.int32)

    def update(self, strategies, feedback, state, strategy, *, key=None):
        active = jnp.any(feedback.utility != 0, axis=-1, keepdims=True)
        rate = self.learning_rate * self.decay ** (state + 1).astype(strategy.dtype)
        point = strategy + rate * feedback.utility
        stays = (point >= 0).all(-1, keepdims=True) & (point.sum(-1, keepdims=True) <= 1)
        moved = jnp.where(stays, point, strategies.project(point))
        return jnp.where(active, moved, strategy), state + 1


@pytest.fixture(scope="module")
def beans():
    pandas = pytest.importorskip("pandas")
    if not (DATA / "dry_beans.csv.gz").exists():
        pytest.skip("no shared data")
    table = pandas.read_csv(DATA / "dry_beans.csv.gz", encoding="utf-8-sig")
    labels = np.unique(table["Class"], return_inverse=True)[1]
    ranges = [pandas.cut(table[c], 10, labels=False) for c in table.columns[:8]]
    return labels, np.concatenate([np.eye(10)[r] for r in ranges], axis=1)


def parts(num_points, seed):
    """Training, test and validation rows of the published experiment."""

    def cut(rows):
        order = np.random.RandomState(seed).permutation(len(rows))
        first = math.ceil(0.15 * len(rows))
        return rows[order[first:]], rows[order[:first]]

    rest, test = cut(np.arange(num_points))
    train, validation = cut(rest)
    return train, test, validation


class Slip(calibration.MulticalibrationGame):
    """The published slip: held-out points move by the level of the training point in their row."""

    def utility(self, player, profile):
        if player == 1:
            return super().utility(player, profile)
        scores, mixture = profile
        train, test, _ = parts(len(scores), 0)
        confused = [scores[: len(train)], scores[: len(test)]]
        confused = jnp.concatenate([*confused, scores[: len(scores) - len(train) - len(test)]])
        return self.objectives.utility(mixture, confused, self.groups)


def bean_errors(beans, learner, rounds, seed=0, kind=calibration.MulticalibrationGame):
    """Errors on training, test and validation rows; row t is after t rounds."""
    labels, groups = beans
    rows = np.concatenate(parts(len(labels), seed))
    part = np.repeat(np.arange(3), [len(p) for p in parts(len(labels), seed)])
    game = kind(
        jnp.asarray(np.eye(7)[labels[rows]]),
        Membership.of(groups[rows], jnp.float64),
        jnp.asarray((part == 0) / (part == 0).sum()),
        Levels(3),
        "points",
        jnp.stack([jnp.asarray((part == i) / (part == i).sum()) for i in (1, 2)]),
    )
    solver = calibration.Audit(learner, learners.BestResponse(), rounds + 1)
    found = gamejax.solve(game, solver, tol=0, max_steps=rounds + 1, check_every=rounds + 1)
    return np.asarray(found.state.errors)


HEDGE, OPTIMISTIC = PointHedge(1.0, 0.95), PointHedge(1.0, 0.9, 1.0)
GRADIENT = Deficient(1.0, 0.95)
OWN_LEVELS = {
    (HEDGE, 1): [0.16026019, 0.17355804, 0.13704703],
    (HEDGE, 13): [0.07671901, 0.08863489, 0.07764469],
    (HEDGE, 397): [0.04435638, 0.05632130, 0.04667416],
    (OPTIMISTIC, 1): [0.12190193, 0.13592411, 0.10786378],
    (OPTIMISTIC, 397): [0.06270585, 0.07464992, 0.06802719],
    (GRADIENT, 1): [0.09924307, 0.09850287, 0.09973667],
    (GRADIENT, 13): [0.02426048, 0.03283749, 0.02503406],
    (GRADIENT, 397): [0.00812171, 0.01172013, 0.01037074],
}
SLIPPED = {
    (HEDGE, 13): [0.08336991, 0.08297108],
    (HEDGE, 397): [0.07692773, 0.08330230],
    (OPTIMISTIC, 397): [0.07920566, 0.08531458],
    (GRADIENT, 13): [0.06520218, 0.05776827],
    (GRADIENT, 397): [0.06608836, 0.05838346],
}


def check_beans(beans, rounds, choice, slips):
    for learner in choice:
        own = slipped = bean_errors(beans, learner, rounds)
        if learner in slips:
            slipped = bean_errors(beans, learner, rounds, kind=Slip)
        for (who, after), expected in OWN_LEVELS.items():
            if who is learner and after <= rounds:
                np.testing.assert_allclose(own[after], expected, atol=6e-9)
                np.testing.assert_allclose(slipped[after, 0], expected[0], atol=6e-9)
        for (who, after), expected in SLIPPED.items():
            if who is learner in slips and after <= rounds:
                np.testing.assert_allclose(slipped[after, 1:], expected, atol=6e-9)


def test_dry_beans_as_published(beans):
    check_beans(beans, 13, (HEDGE, GRADIENT), (HEDGE,))


@pytest.mark.slow
def test_dry_beans_as_published_to_the_last_round(beans):
    every = (HEDGE, OPTIMISTIC, GRADIENT)
    check_beans(beans, 397, every, every)


FIVE_SEEDS = {
    "gradient": ((0.0571, 0.0605), (0.0376, 0.0412), (0.0205, 0.0229), (0.0081, 0.0124)),
    "hedge": ((0.0874, 0.0931), (0.0808, 0.0872), (0.0704, 0.0775), (0.0451, 0.0528)),
    "optimistic": ((0.0871, 0.0933), (0.0756, 0.0824), (0.0631, 0.0708), (0.0346, 0.0381)),
    "prod": ((0.0855, 0.0909), (0.0776, 0.0826), (0.0671, 0.0740), (0.0385, 0.0411)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIVE_SEEDS)
def test_dry_beans_of_five_seeds(beans, name):
    make = {
        "gradient": lambda rate: Deficient(1.0, rate),
        "hedge": lambda rate: PointHedge(1.0, rate),
        "optimistic": lambda rate: PointHedge(1.0, rate, 1.0),
        "prod": lambda rate: PointProd(1.0, rate),
    }[name]
    for rate, expected in zip((0.8, 0.85, 0.9, 0.95), FIVE_SEEDS[name], strict=True):
        errors = [bean_errors(beans, make(rate), 109, seed)[109] for seed in range(5)]
        np.testing.assert_allclose(np.mean(errors, axis=0)[:2], expected, atol=6e-5)

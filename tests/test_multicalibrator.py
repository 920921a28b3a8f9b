"""`Multicalibrator`: conventions, held-out stopping, auditors, reports."""

import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gamejax
from benchmarks import multicalibration
from gamejax.calibration import (
    Boosted,
    Boosting,
    GroupAuditor,
    LinearAuditor,
    Multicalibrator,
    NetworkAuditor,
    PredictionGame,
    TreeAuditor,
    group_matrix,
    multicalibration_error,
    report,
)
from gamejax.calibration._encoding import CategoricalColumn, Encoder

OPTIMIZER = optax.adam(0.01)


def network(inputs, outputs, *, key):
    return eqx.nn.MLP(inputs, outputs, 8, 1, key=key)


def people(num_points=1200, seed=0, k=2):
    """A table of numbers, a column of categories, labels, and scores that ignore the categories."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 60, num_points)
    town = rng.choice(np.array(["here", "there", "far", "sea"]), num_points)
    shift = np.where(town == "far", 3.0, np.where(town == "sea", -3.0, 0.0))
    logit = (age - 40) / 10 + np.where(age > 45, shift, 0.3 * shift)
    own = 1 / (1 + np.exp(-logit))
    base = 1 / (1 + np.exp(-(age - 40) / 10))
    labels = (rng.random(num_points) < own).astype(int)
    if k > 2:
        labels = labels + (rng.random(num_points) < 0.3)
        base = np.stack([0.7 * (1 - base), 0.3 * (1 - base) + 0.7 * base, 0.3 * base], axis=1)
    table = np.empty((num_points, 2), object)
    table[:, 0], table[:, 1] = age, town
    return table, labels, base


def log_loss(found, labels):
    return -np.log(found[np.arange(len(labels)), labels]).mean()


@pytest.fixture(scope="module")
def fitted():
    table, labels, base = people()
    model = Multicalibrator(num_rounds=64)
    return model.fit(table, labels, base_scores=base)


def test_it_corrects_scores_on_new_points(fitted):
    table, labels, base = people(seed=1)
    found = fitted.predict_proba(table, base_scores=base)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    before = np.stack([1 - base, base], axis=1)
    assert log_loss(found, labels) < log_loss(before, labels) - 0.03
    groups = group_matrix(table)
    assert groups.shape == (1200, 9)
    np.testing.assert_array_equal(group_matrix(table[:500], like=table), groups[:500])
    error = [float(multicalibration_error(s, labels, groups)) for s in (before, found)]
    assert error[1] < 0.6 * error[0]
    assert fitted.score(table, labels, base_scores=base) > 0.7
    assert set(fitted.predict(table, base_scores=base)) <= {0, 1}


def test_rounds_are_chosen_where_the_held_out_loss_is_least(fitted):
    held_out = fitted.losses_[:, 1]
    assert fitted.num_rounds_ == held_out.argmin() > 0
    assert fitted.losses_[fitted.num_rounds_, 0] < fitted.losses_[0, 0]


def test_predictions_of_the_training_points_are_those_of_the_training_run():
    """Replaying the complaints is what boosting did."""
    table, labels, base = people(300)
    model = Multicalibrator(num_rounds=20, num_folds=0).fit(table, labels, base_scores=base)
    found = model.predict_proba(table, base_scores=base)
    assert log_loss(found, labels) == pytest.approx(float(model.losses_[20, 0]), abs=1e-6)


def test_a_pickle_and_a_copy_predict_alike(fitted):
    table, _, base = people(50, seed=2)
    again = pickle.loads(pickle.dumps(fitted))
    one, other = (m.predict_proba(table, base_scores=base) for m in (fitted, again))
    np.testing.assert_array_equal(one, other)
    assert repr(fitted) == "Multicalibrator(num_rounds=64)"


@pytest.mark.parametrize(
    "auditor",
    ["linear", "groups", TreeAuditor(depth=2), NetworkAuditor(network, OPTIMIZER, 60, 64)],
    ids=lambda a: a if isinstance(a, str) else type(a).__name__,
)
def test_auditors_of_three_classes(auditor):
    table, labels, base = people(k=3)
    names = np.array(["a", "b", "c"])
    model = Multicalibrator(
        auditor=auditor, num_rounds=16, num_folds=2, learning_rate=0.3, refit="all"
    )
    model.fit(table, names[labels], groups=table[:, 1:], base_scores=base)
    new, truth, before = people(seed=3, k=3)
    found = model.predict_proba(new, groups=new[:, 1:], base_scores=before)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert log_loss(found, truth) < log_loss(before, truth) - 0.01


def test_the_classical_algorithm_reaches_its_tolerance():
    """Patches of the worst cell: the squared error falls by the square of each bias."""
    table, labels, base = people(800)
    groups = jnp.asarray(group_matrix(table))
    scores = jnp.asarray(np.stack([1 - base, base], axis=1))
    none = jnp.zeros((0, 800))
    game = PredictionGame(jnp.asarray(np.eye(2)[labels]), groups, jnp.ones(800), none)
    solver = Boosting(GroupAuditor(choice="bias", ridge=0.0), 60, 1.0, "probability")
    run = gamejax.solve(game, solver, tol=0, max_steps=60, check_every=60, init=(scores,))
    errors = [
        float(multicalibration_error(s, labels, groups, 10)) for s in (scores, run.profile[0])
    ]
    assert errors[1] < 0.4 * errors[0]
    replay = Boosted(solver.auditor, run.state.complaints, 1.0, "probability")
    np.testing.assert_allclose(replay(groups, scores, 60), run.profile[0], atol=1e-12)


def test_a_linear_step_is_a_ridge_regression():
    rng = np.random.default_rng(0)
    design, scores = rng.normal(size=(50, 3)), rng.dirichlet([1, 1], 50)
    residuals, curvature = rng.normal(size=(50, 1)), rng.random((50, 1))
    slopes, change = LinearAuditor(2.0).respond(
        *map(jnp.asarray, (design, scores, residuals, curvature))
    )
    logit = np.log(scores[:, 1:] / scores[:, :1])
    full = np.concatenate([design, np.ones((50, 1)), logit], axis=1)
    gram = full.T @ (curvature * full) + 2 * np.eye(5)
    expected = np.linalg.solve(gram, full.T @ residuals)
    np.testing.assert_allclose(slopes, expected, rtol=1e-8)
    np.testing.assert_allclose(change, full @ expected, rtol=1e-8)


def test_a_tree_of_one_question_asks_the_best():
    rng = np.random.default_rng(1)
    design = (rng.random((6, 80)) < 0.5).astype(float)
    scores = np.tile([0.6, 0.4], (80, 1))
    residuals = design[3][:, None] - 0.5 + 0.1 * rng.normal(size=(80, 1))
    curvature = np.full((80, 1), 0.25)
    tree, change = TreeAuditor(depth=1, ridge=0.0).respond(
        *map(jnp.asarray, (design, scores, residuals, curvature))
    )
    assert tree.questions.tolist() == [3]
    means = [residuals[design[3] == side].mean() / 0.25 for side in (1, 0)]
    np.testing.assert_allclose(tree.values[:, 0], means, rtol=1e-9)
    np.testing.assert_allclose(change[:, 0], np.where(design[3] > 0, *means), rtol=1e-9)


def test_a_tree_asks_about_the_own_prediction_and_replays():
    rng = np.random.default_rng(2)
    design, scores = jnp.asarray(rng.random((5, 300)) < 0.5), rng.dirichlet([1, 1], 300)
    residuals = (scores[:, 1:] >= 0.5) * np.where(design[2], 0.6, 0.3)[:, None] - 0.2
    curvature = np.full((300, 1), 0.25)
    auditor = TreeAuditor(depth=2, num_levels=4, ridge=0.0)
    tree, change = auditor.respond(design, *map(jnp.asarray, (scores, residuals, curvature)))
    assert tree.questions.tolist()[:2] == [6, 2]  # of levels 1/4, 1/2 and 3/4 the second
    np.testing.assert_allclose(change, residuals / 0.25, rtol=1e-9)
    np.testing.assert_array_equal(auditor.change(tree, design, jnp.asarray(scores)), change)


def test_a_tree_with_a_key_asks_a_share_of_the_questions():
    rng = np.random.default_rng(3)
    design = jnp.asarray(rng.random((6, 80)) < 0.5)
    residuals = jnp.asarray(np.asarray(design[3])[:, None] - 0.5)
    scores, curvature = jnp.full((80, 2), 0.5), jnp.full((80, 1), 0.25)

    def best(key):
        auditor = TreeAuditor(depth=1, ridge=0.0, share=0.5)
        return auditor.respond(design, scores, residuals, curvature, key=key)[0].questions[0]

    asked = jax.vmap(best)(jax.random.split(jax.random.key(0), 400))
    assert 0.4 < (np.asarray(asked) == 3).mean() < 0.6


def test_models_side_by_side_are_those_one_by_one():
    """Weights with an axis in front: a player for each row, and the same lots for all."""
    rng = np.random.default_rng(4)
    targets = jnp.asarray(rng.dirichlet([1, 1, 1], 60))
    design = jnp.asarray(rng.random((7, 60)) < 0.5)
    weights = jnp.asarray(rng.random((2, 60)))
    monitors = jnp.asarray(rng.random((2, 1, 60)))
    solver = Boosting(TreeAuditor(depth=2, ridge=1.0, share=0.6), 4, 0.5)
    options = {"tol": 0.0, "max_steps": 4, "check_every": 4, "key": jax.random.key(0)}
    both = gamejax.solve(PredictionGame(targets, design, weights, monitors), solver, **options)
    assert both.profile[0].shape == (2, 60, 3)
    for i in range(2):
        game = PredictionGame(targets, design, weights[i], monitors[i])
        one = gamejax.solve(game, solver, **options)
        np.testing.assert_allclose(both.profile[0][i], one.profile[0], rtol=1e-10)
        np.testing.assert_allclose(both.state.losses[:, i], one.state.losses, rtol=1e-10)
        scores = np.asarray(one.profile[0])
        log_losses = -(np.asarray(targets) * np.log(scores)).sum(1)
        expected = np.average(log_losses, weights=monitors[i, 0])
        assert float(one.state.losses[4, 1]) == pytest.approx(expected, rel=1e-10)
        assert float(one.gap) == pytest.approx(np.average(log_losses, weights=weights[i]))


def test_categories_missing_and_unknown():
    values = np.array(["a", float("nan"), "b", None, "a", "c"], object)
    outcome = np.eye(2)[[0, 1, 0, 1, 0, 1]]
    column = CategoricalColumn.learn(values, outcome)
    assert set(column.categories) == {"a", "b", "c", None}
    groups = column.encode(values, "groups")
    np.testing.assert_array_equal(groups.sum(0), 1)
    np.testing.assert_array_equal(groups[:, 1], groups[:, 3])
    assert not column.encode(np.array(["d"], object), "groups").any()
    splits = column.encode(np.array(["d", "a", "b"], object), "splits")
    assert splits.shape == (3, 3)
    assert not splits[:, 0].any()
    table = [("x", values), ("y", np.arange(6.0))]
    matrix = Encoder.learn(table, outcome, "splits")(table, "float32")
    assert matrix.dtype == bool
    assert not matrix[-1].any()


def test_report_says_what_chance_would_give(fitted):
    table, labels, base = people(seed=4)
    found = fitted.report(table, labels, base_scores=base, num_draws=99)
    assert found.errors.shape == (2, 3)
    assert (found.p_values[0] == 0.01).all()  # the base ignores the towns
    excess = found.errors - found.chance
    assert (excess[1] < 0.5 * excess[0]).all()
    assert found.p_values[1, 0] > 0.01
    assert found.log_loss[1] < found.log_loss[0]
    expected = multicalibration_error(
        fitted.predict_proba(table, base_scores=base), labels, group_matrix(table)
    )
    assert float(found.errors[1, 0]) == pytest.approx(float(expected), rel=1e-5)
    said = str(found)
    assert "worst group ECE" in said
    assert said.count("\n") == 2
    rng = np.random.default_rng(0)
    truth = rng.random(500)
    alone = report(
        truth, (rng.random(500) < truth).astype(int), rng.random((500, 4)) < 0.5,
        key=jax.random.key(0), num_draws=99,
    )  # fmt: skip
    assert (alone.p_values > 0.01).all()
    assert alone.names == ("after",)


def test_conventions_of_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.base import clone, is_classifier
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3))
    labels = np.where(rng.random(400) < 1 / (1 + np.exp(-features[:, 0] * 2)), "yes", "no")
    assert is_classifier(Multicalibrator())
    copy = clone(Multicalibrator(LogisticRegression(), num_rounds=16))
    assert copy.get_params()["num_rounds"] == 16
    assert copy.set_params(estimator__C=2.0, patience=3).get_params()["estimator__C"] == 2.0
    small = Multicalibrator(num_rounds=16, num_folds=2)
    piped = make_pipeline(StandardScaler(), small).fit(features, labels)
    assert piped.predict_proba(features).shape == (400, 2)
    assert piped.score(features, labels) > 0.6
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": features[:, 0], "kind": np.where(features[:, 1] > 0, "a", "b")})
    pick = ColumnTransformer([("x", "passthrough", ["x"])])
    prefit = make_pipeline(pick, LogisticRegression()).fit(frame[:100], labels[:100])
    model = Multicalibrator(prefit, num_rounds=16, num_folds=2)
    model.fit(frame, labels, groups=frame[["kind"]])
    assert model.predict_proba(frame, groups=frame[["kind"]]).shape == (400, 2)


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ({"auditor": "forest"}, {}, "auditor must be one of"),
        ({"num_rounds": 0}, {}, "num_rounds must be at least 1"),
        ({"num_folds": 1}, {}, "num_folds must be 0 or at least 2"),
        ({"num_folds": 2.0}, {}, "num_folds must be an integer"),
        ({"refit": "one"}, {}, 'refit must be "all" or "average"'),
        ({}, {"base_scores": np.ones(3)}, "base_scores must have shape"),
        ({}, {"base_scores": -np.ones(20)}, "base_scores must be probabilities"),
        ({}, {"sample_weight": -np.ones(20)}, "sample_weight"),
        ({}, {"groups": np.ones((3, 2))}, "has 3 rows, but there are 20 points"),
        ({}, {"groups": np.ones(20)}, "groups must be a table"),
    ],
)
def test_arguments_that_cannot_be_used(options, given, words):
    features, labels = np.ones((20, 2)), np.arange(20) % 2
    with pytest.raises((TypeError, ValueError), match=words):
        Multicalibrator(**options).fit(features, labels, **given)


def test_more_arguments_that_cannot_be_used(fitted):
    with pytest.raises(ValueError, match="share must be above 0"):
        TreeAuditor(share=0.0)
    with pytest.raises(ValueError, match="depth must be an integer from 1"):
        TreeAuditor(depth=0)
    features = np.ones((20, 2))
    with pytest.raises(ValueError, match="at least 2 classes"):
        Multicalibrator().fit(features, np.zeros(20))
    with pytest.raises(ValueError, match="call fit first"):
        Multicalibrator().predict_proba(features)
    with pytest.raises(ValueError, match="no parameter 'rounds'"):
        Multicalibrator().set_params(rounds=3)
    with pytest.raises(ValueError, match="columns of the fit"):
        fitted.predict_proba(np.ones((20, 5)), base_scores=np.full(20, 0.5))


@pytest.mark.slow
def test_the_benchmark_runs():
    rows = list(multicalibration.rows("tiny"))
    by_name = {row["method"]: row for row in rows}
    assert by_name["gamejax trees"]["log_loss"] < by_name["base"]["log_loss"] - 0.02
    games = [by_name[f"{who} game, 300 rounds"] for who in ("gamejax", "NumPy")]
    for figure in ("error", "worst_ece", "log_loss"):
        assert games[0][figure] == pytest.approx(games[1][figure], rel=0.05)
    assert all(goal.measured is None for goal in multicalibration.goals(rows))
    widths = multicalibration.half_widths(np.array([[1.0], [2.0], [3.0]]))
    assert float(widths[0]) == pytest.approx(4.302653 / 3**0.5, rel=1e-6)

"""`Multicalibrator`: a classifier in the manner of scikit-learn, unbiased on every group."""

import inspect
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from gamejax._solve import solve
from gamejax.calibration._auditors import AbstractAuditor, GroupAuditor, LinearAuditor
from gamejax.calibration._boosting import Boosted, Boosting, PredictionGame, to_point, to_scores
from gamejax.calibration._encoding import Encoder, Table, columns_of, group_matrix
from gamejax.calibration._multicalibration_error import as_targets
from gamejax.calibration._report import MulticalibrationReport, report
from gamejax.calibration._trees import TreeAuditor

_BLOCK = 8
"""Rounds between two looks at the losses held out."""

_ROOM = 32
"""Complaints are kept in multiples of this, so that few programs replay them."""


class Multicalibrator:
    r"""Makes a model's probabilities right on average, on every group and at every level.

    Boosts the log-odds of given scores by what an auditor finds: $z^{t+1} = z^t + \eta f^t$ (see
    `Boosting`). By default the auditor grows small trees over the features, the groups and the
    given scores. The number of rounds is chosen by cross-validation: as many models as folds are
    boosted side by side in one program, until the mean log loss held out has not improved for
    `patience` rounds.

    Follows scikit-learn's conventions (`get_params`, `set_params`, `clone`, pipelines) and does
    not need it.

    Args:
        estimator: a fitted classifier whose `predict_proba` is to be corrected; it must not have
            seen the points of `fit`. `None`: `base_scores` are given, or class frequencies.
        auditor: `"trees"`, `"linear"`, `"groups"` (the worst cell of groups $\times$ levels of a
            round), or an `AbstractAuditor`.
        num_rounds: at most so many.
        learning_rate: $\eta$.
        num_folds: how many folds choose the number of rounds; 0: all rounds, no holding out.
        patience: see above.
        refit: `"average"`: the mean log-odds of the folds' models; `"all"`: a model of all points,
            boosted beside them.
        num_cuts: into how many ranges numeric columns are cut for trees, less one.
        random_state: seed of the folds.
        dtype: floating-point type.

    Attributes:
        classes_: the labels.
        num_rounds_: how many rounds were chosen.
        losses_: mean log loss after each round, `(rounds + 1, 2)`: of the models used on the points
            they learned from, and held out.
        predictor_: a `Boosted`.

    References:
        hebertjohnson2018; haghtalab2023; friedman2001.
    """

    classes_: NDArray[Any]
    num_rounds_: int
    losses_: NDArray[Any]
    predictor_: Boosted
    frequencies_: NDArray[Any]
    auditor_: AbstractAuditor
    encoder_: Encoder
    n_features_in_: int

    def __init__(
        self,
        estimator: Any = None,
        *,
        auditor: Literal["trees", "linear", "groups"] | AbstractAuditor = "trees",
        num_rounds: int = 400,
        learning_rate: float = 0.3,
        num_folds: int = 4,
        patience: int = 16,
        refit: Literal["average", "all"] = "average",
        num_cuts: int = 31,
        random_state: int = 0,
        dtype: Any = "float32",
    ):
        self.estimator = estimator
        self.auditor = auditor
        self.num_rounds = num_rounds
        self.learning_rate = learning_rate
        self.num_folds = num_folds
        self.patience = patience
        self.refit = refit
        self.num_cuts = num_cuts
        self.random_state = random_state
        self.dtype = dtype

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor; with `deep` those of the estimator too."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        params = {name: getattr(self, name) for name in names}
        if deep and hasattr(self.estimator, "get_params"):
            inner = self.estimator.get_params()
            params |= {f"estimator__{name}": value for name, value in inner.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor.

        Raises:
            ValueError: there is no such argument.
        """
        names = self.get_params(deep=False)
        for name, value in params.items():
            outer, _, inner = name.partition("__")
            if outer not in names:
                raise ValueError(f"Multicalibrator has no parameter {name!r}; it has {[*names]}.")
            if inner:
                getattr(self, outer).set_params(**{inner: value})
            else:
                setattr(self, outer, value)
        return self

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        base_scores: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learn to correct scores.

        Args:
            X: features: an array, or a data frame whose columns are numbers or categories.
            y: labels.
            groups: more columns, by which predictions shall be unbiased: booleans or weights
                `(points, groups)`, or columns of categories.
            base_scores: probabilities to correct, `(points,)` of the second class or
                `(points, classes)`; default the estimator's.
            sample_weight: of the points.

        Raises:
            TypeError, ValueError: an argument is unusable; the message names it.
        """
        self._check()
        labels = np.asarray(y)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if labels.ndim != 1 or len(self.classes_) < 2:
            raise ValueError(
                f"y must be one-dimensional with at least 2 classes, got shape {labels.shape} and "
                f"classes {self.classes_[:5].tolist()}."
            )
        frequencies = np.bincount(codes) / len(codes)
        self.frequencies_ = frequencies
        self.auditor_ = _auditor(self.auditor)
        base = self._base(X, base_scores, len(codes))
        table = self._table(X, groups, base)
        self.n_features_in_ = len(table)
        self.encoder_ = Encoder.learn(
            table, np.eye(len(self.classes_))[codes], self.auditor_.encoding, self.num_cuts
        )
        weights = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, float)
        if weights.shape != codes.shape or not (weights >= 0).all() or weights.sum() <= 0:
            raise ValueError("sample_weight must hold one number of at least 0 for each point.")
        game = PredictionGame(
            as_targets(codes, len(codes), len(self.classes_), self.dtype),
            jnp.asarray(self.encoder_(table, self.dtype)),
            jnp.asarray(weights / weights.mean(), self.dtype),
            jnp.zeros((0, len(codes)), self.dtype),
        )
        self._boost(game, base)
        return self

    def predict_proba(
        self,
        X: Any,
        *,
        groups: Any = None,
        base_scores: Any = None,
    ) -> NDArray[Any]:
        """Probabilities of the classes, `(points, classes)`.

        Args:
            X: features, with the columns of `fit`.
            groups: as for `fit`, where it was given there.
            base_scores: as for `fit`, where it was given there.
        """
        if not hasattr(self, "predictor_"):
            raise ValueError("This Multicalibrator has not been fitted; call fit first.")
        num_points = len(groups) if X is None else len(X)
        base = self._base(X, base_scores, num_points)
        design = jnp.asarray(self.encoder_(self._table(X, groups, base), self.dtype))
        return np.asarray(_predict(self.predictor_, design, base, self.num_rounds_))

    def predict(self, X: Any, *, groups: Any = None, base_scores: Any = None) -> NDArray[Any]:
        """The most probable class of each point."""
        found = self.predict_proba(X, groups=groups, base_scores=base_scores)
        return self.classes_[found.argmax(1)]

    def score(self, X: Any, y: Any, **given: Any) -> float:
        """Accuracy."""
        return float(np.mean(self.predict(X, **given) == np.asarray(y)))

    def report(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        base_scores: Any = None,
        num_levels: int = 10,
        num_draws: int = 199,
    ) -> MulticalibrationReport:
        """Errors of the predictions on other points, before and after, with p-values.

        The groups judged are `groups`, or every category of the columns of `X`.
        """
        after = self.predict_proba(X, groups=groups, base_scores=base_scores)
        codes = np.searchsorted(self.classes_, np.asarray(y))
        matrix = group_matrix(X if groups is None else groups)
        key = jax.random.key(self.random_state)
        return report(
            after, codes, matrix, before=self._base(X, base_scores, len(codes)),
            num_levels=num_levels, num_draws=num_draws, key=key,
        )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn wants to know; called by it alone."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(string=True, categorical=True, allow_nan=True),
        )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params(deep=False).items()
            if value is not defaults[name].default
        ]
        return f"Multicalibrator({', '.join(changed)})"

    def _check(self) -> None:
        for name, least in (("num_rounds", 1), ("num_folds", 0), ("patience", 1), ("num_cuts", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} must be an integer, got {value!r}.")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if self.num_folds == 1:
            raise ValueError("num_folds must be 0 or at least 2, got 1.")
        if self.refit not in ("all", "average"):
            raise ValueError(f'refit must be "all" or "average", got {self.refit!r}.')

    def _table(self, features: Any, groups: Any, base: Array) -> Table:
        """The columns that the auditor reads: groups alone for groups, else features and scores."""
        by_groups = self.auditor_.encoding == "groups" and groups is not None
        given = [(groups, "groups")] if by_groups else [(features, "X"), (groups, "groups")]
        table = [c for part, name in given if part is not None for c in columns_of(part, name)]
        for name, values in table:
            if len(values) != len(base):
                raise ValueError(
                    f"column {name} has {len(values)} rows, but there are {len(base)} points."
                )
        if not table:
            raise ValueError("X and groups are both None; at least one must have columns.")
        if self.auditor_.encoding != "groups":
            scores = np.asarray(to_point(base, "log-odds"))
            table += [(f"score {j}", row) for j, row in enumerate(scores)]
        return table

    def _base(self, features: Any, base_scores: Any, num_points: int) -> Array:
        """The scores to correct, as probabilities strictly between 0 and 1."""
        if base_scores is None and self.estimator is not None:
            base_scores = self.estimator.predict_proba(features)
        if base_scores is None:
            base_scores = np.broadcast_to(self.frequencies_, (num_points, len(self.frequencies_)))
        scores = np.asarray(base_scores, float)
        if scores.ndim == 1:
            scores = np.stack([1 - scores, scores], axis=1)
        if scores.shape != (num_points, len(self.classes_)):
            raise ValueError(
                f"base_scores must have shape ({num_points},) or ({num_points}, "
                f"{len(self.classes_)}), got {np.shape(base_scores)}."
            )
        if not (np.isfinite(scores).all() and scores.min() >= 0):
            raise ValueError("base_scores must be probabilities; some are negative or not finite.")
        scores = np.clip(scores, 1e-6, None)
        return jnp.asarray(scores / scores.sum(1, keepdims=True), self.dtype)

    def _boost(self, game: PredictionGame, base: Array) -> None:
        """Boost one model per fold and one of all points, side by side, until no use."""
        own = int(self.refit == "all" or self.num_folds == 0)  # the model of all points
        lanes = own + self.num_folds
        folds = np.random.default_rng(self.random_state).permutation(len(base)) % max(
            self.num_folds, 1
        )
        held = folds == np.arange(-own, self.num_folds)[:, None]
        every = jnp.broadcast_to(game.weights, held.shape)
        side_by_side = PredictionGame(
            game.targets, game.design,
            jnp.where(held, 0, every), jnp.where(held, every, 0)[:, None],
        )  # fmt: skip
        start = jnp.broadcast_to(base, (lanes, *base.shape))
        key = jax.random.key(self.random_state)
        solver = Boosting(self.auditor_, self.num_rounds, self.learning_rate)
        run: Any = (start,)
        losses, best = np.zeros((1, lanes, 2)), 0
        for done in range(0, self.num_rounds, _BLOCK):
            count = min(_BLOCK, self.num_rounds - done)
            run = solve(
                side_by_side, solver, tol=0.0, max_steps=count, check_every=count, key=key, init=run
            )
            losses = np.asarray(run.state.losses)[: done + count + 1]
            if self.num_folds:
                best = int(losses[:, own:, 1].mean(1).argmin())
                if done + count - best >= self.patience:
                    break
            else:
                best = done + count
        kept = slice(0, 1) if own else slice(None)
        learned = losses[:, kept, 0].mean(1)
        held_out = losses[:, own:, 1].mean(1) if self.num_folds else learned
        self.losses_ = np.stack([learned, held_out], axis=1)
        self.num_rounds_ = best
        used = slice(0, max(1, -(-best // _ROOM) * _ROOM))
        complaints = jax.tree.map(
            lambda leaf: jnp.moveaxis(leaf[used, kept], 0, 1), run.state.complaints
        )
        self.predictor_ = Boosted(self.auditor_, complaints, self.learning_rate)


@jax.jit
def _predict(predictor: Boosted, design: Array, base: Array, num_rounds: Array) -> Array:
    """The mean log-odds of the predictor's models, as probabilities."""

    def one(complaints: Any) -> Array:
        own = Boosted(predictor.auditor, complaints, predictor.learning_rate, predictor.scale)
        return to_point(own(design, base, num_rounds), predictor.scale)

    points = jax.vmap(one)(predictor.complaints)
    return to_scores(points.mean(0), predictor.scale)


def _auditor(auditor: Any) -> AbstractAuditor:
    named = {"trees": TreeAuditor, "linear": LinearAuditor, "groups": GroupAuditor}
    if isinstance(auditor, AbstractAuditor):
        return auditor
    if auditor not in named:
        raise ValueError(
            f"auditor must be one of {sorted(named)} or an AbstractAuditor, got {auditor!r}."
        )
    return named[auditor]()

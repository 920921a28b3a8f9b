"""Auditors: learners that find, among features, where predictions are biased."""

import abc
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._linalg import cho_solve, cholesky
from gamejax._numerics import HIGHEST, safe_divide
from gamejax._types import Scalar
from gamejax.calibration._encoding import Encoding
from gamejax.calibration._level_sets import Levels, coordinates


class AbstractAuditor(eqx.Module):
    """A learner of residuals over features, with the point's own prediction among them.

    `encoding` says which matrix of features it reads: `"splits"`, `(questions, points)`, booleans,
    the answers to yes-no questions; `"dense"`, `(points, columns)`, standardized numbers and
    one-hot categories; `"groups"`, `(points, groups)`.
    """

    @property
    @abc.abstractmethod
    def encoding(self) -> Encoding:
        """Which matrix of features is read."""

    @abc.abstractmethod
    def respond(
        self,
        design: Array,
        scores: Float[Array, "points classes"],
        residuals: Float[Array, "points coordinates"],
        curvature: Float[Array, "points coordinates"],
        *,
        key: PRNGKeyArray | None,
    ) -> tuple[Any, Float[Array, "points coordinates"]]:
        r"""A complaint, as a tree of arrays, and the change that it asks for at every point.

        Args:
            design: features.
            scores: current predictions.
            residuals: label minus prediction, times the weight of the point.
            curvature: second derivatives of the loss in log-odds, times the weight; the change
                sought is about the sum of residuals over that of curvatures.
            key: for auditors that draw.
        """

    @abc.abstractmethod
    def change(
        self, complaint: Any, design: Array, scores: Float[Array, "points classes"]
    ) -> Float[Array, "points coordinates"]:
        """What a complaint asks for at other points, each with its own prediction."""


class Cell(NamedTuple):
    """A group, a level set and a coordinate, and the change asked for there."""

    group: Array
    level: Array
    coordinate: Array
    value: Array


class GroupAuditor(AbstractAuditor):
    r"""The worst cell of groups $\times$ level sets of the point's own prediction.

    Args:
        num_levels: level sets per coordinate.
        choice: the worst cell is that of the largest `"bias"`, the sum of residuals $G$ (the
            classical algorithm), or of the largest `"gain"` $G^2/(H + \lambda)$ by its repair.
        ridge: $\lambda \ge 0$; the change is $G/(H + \lambda)$, $H$ the sum of curvatures: on the
            scale of probabilities with $\lambda = 0$ the mean residual of the cell.

    References:
        hebertjohnson2018; haghtalab2023.
    """

    num_levels: int = eqx.field(static=True, default=10)
    choice: Literal["gain", "bias"] = eqx.field(static=True, default="gain")
    ridge: float | Scalar = 1.0

    @property
    def encoding(self) -> Encoding:
        return "groups"

    @property
    def _levels(self) -> Levels:
        return Levels(self.num_levels, "coordinate")

    def respond(
        self, design: Array, scores: Array, residuals: Array, curvature: Array,
        *, key: PRNGKeyArray | None = None,
    ) -> tuple[Cell, Array]:  # fmt: skip
        codes = self._levels.codes(scores)
        alike = jax.nn.one_hot(codes, self.num_levels, dtype=scores.dtype, axis=1)
        bias, steep = (
            jnp.einsum("ns,nvj->svj", design, alike * part[:, None, :], precision=HIGHEST)
            for part in (residuals, curvature)
        )
        gain = jnp.abs(bias)
        if self.choice == "gain":
            gain = safe_divide(bias**2, steep + self.ridge)
        worst = jnp.argmax(gain).astype(jnp.int32)
        group, level, coordinate = jnp.unravel_index(worst, gain.shape)
        total = bias[group, level, coordinate]
        value = safe_divide(total, steep[group, level, coordinate] + self.ridge)
        cell = Cell(group, level, coordinate, value)
        return cell, self.change(cell, design, scores)

    def change(self, complaint: Cell, design: Array, scores: Array) -> Array:
        codes = self._levels.codes(scores)
        here = jnp.arange(codes.shape[1], dtype=jnp.int32) == complaint.coordinate
        inside = (codes == complaint.level) & here[None, :]
        return jnp.where(inside, design[:, complaint.group, None] * complaint.value, 0)


class LinearAuditor(AbstractAuditor):
    r"""A ridge regression of residuals on features: one Newton step of a logistic regression.

    $\beta_j = (A^\top \mathrm{diag}(c_j) A + \lambda I)^{-1} A^\top r_j$ for each coordinate, where
    $A$ holds the features, a constant and the log-odds of the point's own prediction.

    Args:
        ridge: $\lambda > 0$, in points.

    References:
        kim2019.
    """

    ridge: float | Scalar = 10.0

    @property
    def encoding(self) -> Encoding:
        return "dense"

    def respond(
        self, design: Array, scores: Array, residuals: Array, curvature: Array,
        *, key: PRNGKeyArray | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        features = _with_score(design, scores)

        def solve(residual: Array, steep: Array) -> Array:
            gram = jnp.dot((features * steep[:, None]).T, features, precision=HIGHEST)
            gram = gram + jnp.diag(jnp.full_like(gram[0], self.ridge))
            right = jnp.dot(features.T, residual, precision=HIGHEST)
            return cho_solve(cholesky(gram), right)

        slopes = jax.vmap(solve, in_axes=1, out_axes=1)(residuals, curvature)
        return slopes, jnp.dot(features, slopes, precision=HIGHEST)

    def change(self, complaint: Array, design: Array, scores: Array) -> Array:
        return jnp.dot(_with_score(design, scores), complaint, precision=HIGHEST)


def _with_score(design: Array, scores: Array) -> Array:
    """Features, a constant and the log-odds of each coordinate."""
    own = jnp.clip(coordinates(scores), 1e-6, 1 - 1e-6)
    return jnp.concatenate([design, jnp.ones_like(own[:, :1]), jnp.log(own / (1 - own))], axis=1)


class NetworkAuditor(AbstractAuditor):
    r"""A network fitted to the residuals of each round by an optax transformation.

    Minimizes $\sum_x c(x) f(x)^2 - 2 r(x) f(x)$, whose minimum is the Newton change $r/c$, over
    networks $f$ of the features, a constant and the log-odds of the point's own prediction.

    Args:
        make: a function `(inputs, outputs, *, key) -> eqx.Module`, such as
            `lambda i, o, *, key: eqx.nn.MLP(i, o, 32, 2, key=key)`; called for every round.
        transformation: the optimizer; build it once, each new one compiles anew.
        num_steps: steps of each round.
        batch_size: points drawn for each step.

    References:
        kim2019.
    """

    make: Callable[..., Any] = eqx.field(static=True)
    transformation: optax.GradientTransformation = eqx.field(static=True)
    num_steps: int = eqx.field(static=True, default=200)
    batch_size: int = eqx.field(static=True, default=512)

    @property
    def encoding(self) -> Encoding:
        return "dense"

    def respond(
        self, design: Array, scores: Array, residuals: Array, curvature: Array,
        *, key: PRNGKeyArray | None = None,
    ) -> tuple[Any, Array]:  # fmt: skip
        if key is None:
            raise ValueError("NetworkAuditor draws points: pass key=jax.random.key(seed).")
        features = _with_score(design, scores)
        model = self.make(features.shape[1], residuals.shape[1], key=jax.random.fold_in(key, 0))
        params, rest = eqx.partition(model, eqx.is_inexact_array)
        params = jax.tree.map(lambda leaf: leaf.astype(features.dtype), params)

        def loss(params: Any, rows: Array) -> Scalar:
            found = jax.vmap(eqx.combine(params, rest))(features[rows])
            return (curvature[rows] * found**2 - 2 * residuals[rows] * found).sum(1).mean()

        def one_step(carry: Any, step: Array) -> tuple[Any, None]:
            params, state = carry
            draw = jax.random.fold_in(key, step + 1)
            rows = jax.random.randint(draw, (self.batch_size,), 0, len(features), jnp.int32)
            slope = jax.grad(loss)(params, rows)
            with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
                updates, state = self.transformation.update(slope, state, params)
            return (optax.apply_updates(params, updates), state), None

        steps = jnp.arange(self.num_steps, dtype=jnp.int32)
        (params, _), _ = jax.lax.scan(one_step, (params, self.transformation.init(params)), steps)
        return params, jax.vmap(eqx.combine(params, rest))(features)

    def change(self, complaint: Any, design: Array, scores: Array) -> Array:
        features = _with_score(design, scores)
        like = self.make(features.shape[1], coordinates(scores).shape[1], key=jax.random.key(0))
        rest = eqx.partition(like, eqx.is_inexact_array)[1]
        return jax.vmap(eqx.combine(complaint, rest))(features)

"""Problems made of data: the losses of hypotheses on examples, or a model and a loss."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from gamejax._types import PyTree, Scalar, State, Strategy, Utility
from gamejax.multidistribution._pools import GroupedRows, grouped
from gamejax.multidistribution._problem import (
    AbstractProblem,
    AbstractTableProblem,
    Draw,
    Losses,
    Table,
    as_floats,
)
from gamejax.sets import AbstractStrategySet, Unconstrained


class ExampleLosses(AbstractTableProblem):
    r"""A finite class and a data set: the losses of all hypotheses on every example.

    One group is one distribution, uniform on its examples.

    Args:
        losses: the loss of each hypothesis on each example, shape `(examples, hypotheses)`, not
            negative.
        groups: the group of each example, integers from 0, shape `(examples,)`.
        num_groups: how many groups; default the largest number and one. Groups without examples
            do not exist.
        replace: draw with replacement. Otherwise groups are pools in random order, which run out:
            `exhausted` says so.
        loss_bound: $C$; default 1, or the largest loss where that is larger.

    Raises:
        ValueError: a loss is negative, or shapes do not fit.
    """

    data: GroupedRows
    means: Table
    mask: Bool[Array, " distributions"] | None
    loss_bound: float | Float[Array, ""]
    zero_one: bool = eqx.field(static=True)

    def __init__(
        self,
        losses: ArrayLike,
        groups: ArrayLike,
        *,
        num_groups: int | None = None,
        replace: bool = True,
        loss_bound: float | None = None,
    ):
        table = as_floats(losses, "losses")
        if table.ndim != 2:
            raise ValueError(f"losses must have shape (examples, hypotheses), got {table.shape}.")
        self.data = grouped(table, groups, num_groups, replace)
        values = np.asarray(table)
        if values.min() < 0:
            raise ValueError("losses must not be negative.")
        self.means = self.data.means(self.data.rows).T
        self.mask = self.data.sizes > 0
        self.loss_bound = max(1.0, float(values.max())) if loss_bound is None else loss_bound
        self.zero_one = bool(np.isin(values, (0, 1)).all())

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        return self.data.init(key)

    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        losses, available, state = self.data.draw(distributions, state, key)
        return Draw(losses, available), state

    def exhausted(self, state: State) -> Bool[Array, " distributions"]:
        return self.data.exhausted(state)


class Parametric(AbstractProblem):
    r"""A model with parameters, a loss, and data in groups.

    One group is one distribution, uniform on its examples. The learner's strategies are the
    model's floating-point arrays.

    Args:
        model: any Equinox module, or any tree of arrays.
        loss: a function `(model, *example) -> scalar`, of one example; not negative. Static: name
            it once.
        rows: the examples, a tuple of arrays with a common leading axis, such as `(X, y)`.
        groups: the group of each example, integers from 0.
        num_groups: how many groups; default the largest number and one. Groups without examples
            do not exist.
        replace: draw with replacement. Otherwise groups are pools in random order, which run out.
        loss_bound: $C$, what the adversary takes larger losses for.
        domain: a bounded set of parameters, for models that are a single array or trees for which
            there is a set; default `Unconstrained`.

    Raises:
        TypeError: `loss` is no function, or `rows` no tuple.
        ValueError: the model has no floating-point arrays, or lengths differ.
    """

    parameters: PyTree[Array]
    static: Any = eqx.field(static=True)
    function: Callable[..., Scalar] = eqx.field(static=True)
    data: GroupedRows
    mask: Bool[Array, " distributions"] | None
    loss_bound: float | Float[Array, ""]
    domain: AbstractStrategySet

    def __init__(
        self,
        model: PyTree[Any],
        loss: Callable[..., Scalar],
        rows: tuple[ArrayLike, ...],
        groups: ArrayLike,
        *,
        num_groups: int | None = None,
        replace: bool = True,
        loss_bound: float | Float[Array, ""] = 1.0,
        domain: AbstractStrategySet | None = None,
    ):
        if not callable(loss):
            raise TypeError(f"loss must be a function, got {type(loss).__name__}.")
        if not isinstance(rows, tuple):
            raise TypeError(f"rows must be a tuple such as (X, y), got {type(rows).__name__}.")
        self.parameters, self.static = eqx.partition(model, eqx.is_inexact_array)
        if not jax.tree.leaves(self.parameters):
            raise ValueError("model must have floating-point arrays to be learned.")
        self.function, dtype = loss, self.dtype
        self.data = grouped(
            tuple(_of_type(row, dtype) for row in rows), groups, num_groups, replace
        )
        self.mask = self.data.sizes > 0
        self.loss_bound = loss_bound
        self.domain = Unconstrained(self.parameters) if domain is None else domain

    @property
    def num_distributions(self) -> int:
        return self.data.num_groups

    @property
    def dtype(self) -> Any:
        return jnp.result_type(*jax.tree.leaves(self.parameters))

    @property
    def predictors(self) -> AbstractStrategySet:
        return self.domain

    def model(self, predictor: Strategy) -> Any:
        """The model with these parameters."""
        return eqx.combine(predictor, self.static)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        return self.data.init(key)

    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        examples, available, state = self.data.draw(distributions, state, key)
        return Draw(examples, available), state

    def exhausted(self, state: State) -> Bool[Array, " distributions"]:
        return self.data.exhausted(state)

    def loss(self, predictor: Strategy, examples: tuple[Array, ...]) -> Float[Array, " draws"]:
        model = self.model(predictor)
        losses = jax.vmap(lambda example: self.function(model, *example))(examples)
        return losses.astype(self.dtype)

    def gradient(
        self,
        predictor: Strategy,
        examples: tuple[Array, ...],
        weights: Float[Array, " draws"],
    ) -> Utility:
        return jax.grad(lambda p: jnp.vdot(weights, self.loss(p, examples)))(predictor)

    def expected_losses(self, predictor: Strategy) -> Losses:
        return self.data.means(self.loss(predictor, self.data.rows))

    def expected_gradient(self, predictor: Strategy, weights: Losses) -> Utility:
        return jax.grad(lambda p: jnp.vdot(weights, self.expected_losses(p)))(predictor)


def _of_type(row: ArrayLike, dtype: Any) -> Any:
    """Floating-point rows in the type of the parameters; others as they are."""
    if isinstance(row, Tracer):
        return row  # refused with a sentence of its own
    array = np.asarray(row)
    return array.astype(dtype) if array.dtype.kind == "f" else array

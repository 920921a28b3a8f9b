"""Problems: some distributions, and losses on what is drawn from them."""

import abc
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, uniform
from gamejax._types import PyTree, State, Strategy, Utility
from gamejax.sets import AbstractStrategySet, Simplex

FEW = 4
"""Up to so many vectors are added one by one; small batched products are slow on a CPU."""
Losses = Float[Array, " distributions"]
"""One loss per distribution."""
Table = Float[Array, "hypotheses distributions"]
"""Mean losses of hypotheses on distributions."""


class Draw(NamedTuple):
    """Examples drawn, one after another.

    Attributes:
        examples: whatever the problem's `loss` reads, with a leading axis of draws; for finite
            classes the losses of all hypotheses, shape `(draws, hypotheses)`.
        available: whether there was an example left to draw, shape `(draws,)`.
    """

    examples: PyTree[Array]
    available: Bool[Array, " draws"]


class AbstractProblem(eqx.Module):
    r"""Distributions $D_1, ..., D_n$ and what a learner may choose to be good on all of them.

    `mask` says which distributions exist (`None`: all), so that problems of different numbers of
    distributions can be stacked. Losses lie in $[0, C]$ with $C$ the `loss_bound`.
    """

    mask: eqx.AbstractVar[Bool[Array, " distributions"] | None]
    loss_bound: eqx.AbstractVar[float | Float[Array, ""]]

    @property
    @abc.abstractmethod
    def num_distributions(self) -> int:
        """How many distributions there are, those that the mask hides included."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """The floating-point type of losses."""

    @property
    @abc.abstractmethod
    def predictors(self) -> AbstractStrategySet:
        """Where the learner may be: mixtures of hypotheses, or parameters."""

    @abc.abstractmethod
    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        """One example from each of the distributions named, in order."""

    @abc.abstractmethod
    def loss(self, predictor: Strategy, examples: PyTree[Array]) -> Float[Array, " draws"]:
        """The loss of a predictor on each example."""

    @abc.abstractmethod
    def gradient(
        self, predictor: Strategy, examples: PyTree[Array], weights: Float[Array, " draws"]
    ) -> Utility:
        r"""The gradient of $\sum_k w_k\, \ell(p, z_k)$ in the predictor."""

    @abc.abstractmethod
    def expected_losses(self, predictor: Strategy) -> Losses:
        """The expected loss of a predictor on each distribution.

        Raises:
            TypeError: the problem knows its distributions by their samples only.
        """

    @abc.abstractmethod
    def expected_gradient(self, predictor: Strategy, weights: Losses) -> Utility:
        r"""The gradient of $\sum_j q_j\, \mathbb E_{D_j} \ell(p, z)$ in the predictor.

        Raises:
            TypeError: the problem knows its distributions by their samples only.
        """

    @property
    def knows_expectations(self) -> bool:
        """Whether `expected_losses` and `expected_gradient` answer; by default they do."""
        return True

    def deterministic_loss(
        self, predictor: Strategy, examples: PyTree[Array]
    ) -> Float[Array, " draws"] | None:
        """The loss of the deterministic predictor made of this one; `None` if there is none."""
        return None

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> State:
        """What draws change, such as pools; by default nothing."""
        return ()

    def exhausted(self, state: State) -> Bool[Array, " distributions"]:
        """Which distributions have no example left; by default none ever."""
        return jnp.zeros(self.num_distributions, bool)

    def exists(self) -> Bool[Array, " distributions"]:
        """The mask, all true where there is none."""
        return jnp.ones(self.num_distributions, bool) if self.mask is None else self.mask


class AbstractFiniteProblem(AbstractProblem):
    r"""A problem with $H$ hypotheses; predictors are mixtures of them.

    An example is the vector of the losses of all hypotheses on it, shape `(hypotheses,)`. Where
    losses are mistakes (0 or 1, `zero_one`), the deterministic predictor is the weighted majority,
    which is wrong where hypotheses of weight at least 1/2 are: its loss is at most twice the
    mixture's, on every distribution.
    """

    num_hypotheses: eqx.AbstractVar[int]
    zero_one: eqx.AbstractVar[bool]

    @property
    def predictors(self) -> Simplex:
        return Simplex(self.num_hypotheses)

    def loss(self, predictor: Strategy, examples: Array) -> Float[Array, " draws"]:
        return jnp.matmul(examples, predictor, precision=HIGHEST)

    def gradient(
        self, predictor: Strategy, examples: Array, weights: Float[Array, " draws"]
    ) -> Utility:
        if len(weights) <= FEW:
            return functools.reduce(
                jnp.add, [weights[k] * examples[k] for k in range(len(weights))]
            )
        return jnp.matmul(weights, examples, precision=HIGHEST)

    def deterministic_loss(
        self, predictor: Strategy, examples: Array
    ) -> Float[Array, " draws"] | None:
        if not self.zero_one:
            return None
        # A tie is a mistake; sums of many weights reach 1/2 up to rounding only.
        half = 0.5 - 4 * float(jnp.finfo(predictor.dtype).eps)
        return (self.loss(predictor, examples) >= half).astype(predictor.dtype)


class AbstractTableProblem(AbstractFiniteProblem):
    """A finite problem whose mean losses are known, in `means`, `(hypotheses, distributions)`."""

    means: eqx.AbstractVar[Table]

    @property
    def num_hypotheses(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> int:
        return self.means.shape[0]

    @property
    def num_distributions(self) -> int:
        return self.means.shape[1]

    @property
    def dtype(self) -> Any:
        return self.means.dtype

    def expected_losses(self, predictor: Strategy) -> Losses:
        return jnp.matmul(predictor, self.means, precision=HIGHEST)

    def expected_gradient(self, predictor: Strategy, weights: Losses) -> Utility:
        return jnp.matmul(self.means, weights, precision=HIGHEST)


class BernoulliLosses(AbstractTableProblem):
    r"""Hypothesis $h$ errs on an example of distribution $j$ with probability `means[h, j]`.

    The smallest problem there is, for theory, tests and benchmarks.

    Args:
        means: error rates in $[0, 1]$, shape `(hypotheses, distributions)`.
        mask: which distributions exist, shape `(distributions,)`; the entries of `means` of others
            have no influence.
        shared: whether hypotheses err together: one uniform number per example decides for all,
            so that of two hypotheses the better one errs only where the other does (thresholds).
            By default they err independently.

    Raises:
        ValueError: `means` is no matrix of numbers in $[0, 1]$, or `mask` does not fit it.
    """

    means: Table
    mask: Bool[Array, " distributions"] | None
    shared: bool = eqx.field(static=True)

    def __init__(self, means: ArrayLike, mask: ArrayLike | None = None, *, shared: bool = False):
        means = as_floats(means, "means")
        if means.ndim != 2:
            raise ValueError(
                f"means must have shape (hypotheses, distributions), got {means.shape}."
            )
        if not isinstance(means, Tracer) and not (means.min() >= 0 and means.max() <= 1):
            raise ValueError("means must be error rates between 0 and 1.")
        self.means, self.shared = means, shared
        self.mask = as_distribution_mask(mask, means.shape[1])

    @property
    def loss_bound(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> float:
        return 1.0

    @property
    def zero_one(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> bool:
        return True

    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        count = 1 if self.shared else self.num_hypotheses
        numbers = uniform(key, self.dtype, (len(distributions), count))
        errs = numbers < self.means[:, distributions].T
        return Draw(errs.astype(self.dtype), jnp.ones(len(distributions), bool)), state


class SampledLosses(AbstractFiniteProblem):
    r"""A finite class known by a sampler: `draw(key, distribution)` gives all losses on an example.

    Args:
        sampler: a function `(key, distribution) -> losses` of shape `(hypotheses,)`, or
            `(key, distribution, params)` where `params` are given; `distribution` is an integer
            from 0. All losses are those of **one** example. Static: name the function once.
        num_hypotheses: $H$.
        num_distributions: $n$.
        params: a tree of arrays that the sampler reads.
        mask: which distributions exist, shape `(distributions,)`.
        loss_bound: $C$, the largest loss.
        zero_one: whether losses are mistakes, 0 or 1, of predictions with two values, so that a
            majority vote makes sense.
        dtype: of losses; default the floating-point type in force.

    Raises:
        TypeError: `sampler` is no function.
        ValueError: it returns something else than `(hypotheses,)` numbers.
    """

    sampler: Callable[..., Array] = eqx.field(static=True)
    num_hypotheses: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    params: PyTree[Array]
    mask: Bool[Array, " distributions"] | None
    loss_bound: float | Float[Array, ""]
    zero_one: bool = eqx.field(static=True)
    kind: Any = eqx.field(static=True)

    def __init__(
        self,
        sampler: Callable[..., Array],
        num_hypotheses: int,
        num_distributions: int,
        *,
        params: PyTree[Array] = None,
        mask: ArrayLike | None = None,
        loss_bound: float | Float[Array, ""] = 1.0,
        zero_one: bool = False,
        dtype: Any = None,
    ):
        if not callable(sampler):
            raise TypeError(f"sampler must be a function, got {type(sampler).__name__}.")
        self.sampler, self.params = sampler, params
        self.num_hypotheses, self.count = num_hypotheses, num_distributions
        self.mask = as_distribution_mask(mask, num_distributions)
        self.loss_bound, self.zero_one = loss_bound, zero_one
        self.kind = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
        shape = jax.eval_shape(lambda: self._sample(jax.random.key(0), jnp.int32(0))).shape
        if shape != (num_hypotheses,):
            raise ValueError(
                f"sampler must return losses of shape ({num_hypotheses},), one per hypothesis, "
                f"got {shape}."
            )

    def _sample(self, key: PRNGKeyArray, distribution: Array) -> Array:
        rest = () if self.params is None else (self.params,)
        return jnp.asarray(self.sampler(key, distribution, *rest))

    @property
    def num_distributions(self) -> int:
        return self.count

    @property
    def dtype(self) -> Any:
        return self.kind

    @property
    def knows_expectations(self) -> bool:
        return False

    def draw(
        self, distributions: Int[Array, " draws"], state: State, *, key: PRNGKeyArray
    ) -> tuple[Draw, State]:
        keys = jax.random.split(key, len(distributions))
        losses = jax.vmap(self._sample)(keys, distributions).astype(self.kind)
        return Draw(losses, jnp.ones(len(distributions), bool)), state

    def expected_losses(self, predictor: Strategy) -> Losses:
        raise TypeError(_NO_MEANS)

    def expected_gradient(self, predictor: Strategy, weights: Losses) -> Utility:
        raise TypeError(_NO_MEANS)


_NO_MEANS = (
    "SampledLosses knows its distributions by their samples only; estimate losses with "
    "gamejax.multidistribution.evaluate, or use BernoulliLosses or ExampleLosses."
)


def as_floats(values: ArrayLike, name: str) -> Array:
    """An array of floating-point numbers; integers become the default float.

    Raises:
        ValueError: something is NaN or infinite.
    """
    array = jnp.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if not isinstance(array, Tracer) and not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite numbers.")
    return array


def as_distribution_mask(
    mask: ArrayLike | None, count: int
) -> Bool[Array, " distributions"] | None:
    """The mask as a boolean array.

    Raises:
        TypeError: it is not boolean.
        ValueError: it has another shape, or hides everything.
    """
    if mask is None:
        return None
    array = jnp.asarray(mask)
    if array.dtype != bool:
        raise TypeError(f"mask must be boolean, got {array.dtype}.")
    if array.shape != (count,):
        raise ValueError(f"mask must have shape ({count},), got {array.shape}.")
    if not isinstance(array, Tracer) and not array.any():
        raise ValueError("mask must leave at least one distribution.")
    return array

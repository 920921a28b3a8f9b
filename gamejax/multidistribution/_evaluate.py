"""Losses of a predictor on every distribution, with confidence intervals."""

import functools
import math
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._export import AbstractResult
from gamejax._numerics import safe_divide, vary_like
from gamejax._types import State, Strategy
from gamejax.multidistribution._data import ExampleLosses, Parametric
from gamejax.multidistribution._problem import AbstractProblem, Losses

CHUNK = 256
"""How many examples of each distribution are looked at together."""


class WorstLoss(AbstractResult):
    r"""Losses on every distribution, and the worst of them.

    With probability $1 - \delta$ over the samples all intervals hold together, and so does that of
    the worst: $\max_j \text{low}_j \le \max_j L_j \le \max_j \text{high}_j$.

    Attributes:
        losses: the mean loss seen on each distribution; NaN where nothing was seen.
        low, high: ends of the confidence intervals, shape `(distributions,)`.
        counts: how many examples of each distribution were seen.
        mask: which distributions exist.
    """

    losses: Losses
    low: Losses
    high: Losses
    counts: Int[Array, "*batch distributions"]
    mask: Any

    @property
    def worst(self) -> Float[Array, "*batch"]:
        """The largest mean loss of a distribution of which something was seen."""
        seen = self.counts > 0
        return jnp.max(jnp.where(seen, self.losses, -jnp.inf), -1)

    @property
    def interval(self) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """The confidence interval of the worst expected loss."""
        exists = self.counts >= 0 if self.mask is None else self.mask
        return (
            jnp.max(jnp.where(exists, self.low, -jnp.inf), -1),
            jnp.max(jnp.where(exists, self.high, -jnp.inf), -1),
        )

    def __str__(self) -> str:
        if self.losses.ndim > 1:
            return repr(self)
        low, high = self.interval
        return f"{float(self.worst):.4f} in [{float(low):.4f}, {float(high):.4f}]"


def evaluate(
    problem: AbstractProblem,
    predictor: Strategy,
    *,
    num_samples: int | None = None,
    key: PRNGKeyArray | None = None,
    delta: float | Float[Array, ""] = 0.05,
) -> WorstLoss:
    r"""The losses of a predictor on the distributions of a problem, from samples of them.

    Intervals are those of Chernoff and Hoeffding, $m\, \mathrm{kl}(\hat L / C, L / C) \le
    \ln(2n/\delta)$, valid for every loss in $[0, C]$ (larger ones count as $C$).

    Args:
        problem: the distributions; for instance the test set as another `Parametric`.
        predictor: a mixture of hypotheses, or parameters.
        num_samples: so many fresh examples of each distribution; `None` for all rows of a data
            set, once each.
        key: of the draws.
        delta: $\delta$, the probability that some interval is wrong.

    Raises:
        ValueError: there are no rows to look at all of, or `key` is missing.
    """
    if num_samples is None:
        if not has_rows(problem):
            raise ValueError(
                f"num_samples must be given for {type(problem).__name__}, which has no rows to "
                "look at all of."
            )
        return _all_rows(problem, predictor, delta)[0]
    if key is None:
        raise ValueError("fresh samples are drawn at random: pass key=jax.random.key(seed).")
    return _samples(problem, predictor, num_samples, key, delta)[0]


def has_rows(problem: AbstractProblem) -> TypeGuard[Parametric | ExampleLosses]:
    """Whether the problem is a data set."""
    return isinstance(problem, Parametric | ExampleLosses)


def of_all_rows(
    problem: Parametric | ExampleLosses, predictor: Strategy, delta: Any
) -> tuple[WorstLoss, WorstLoss | None]:
    """Losses of the predictor and of the deterministic one made of it, on every row once."""
    rows = problem.data.rows
    kinds = problem.loss(predictor, rows), problem.deterministic_loss(predictor, rows)
    table = jnp.stack([jnp.minimum(k, problem.loss_bound) for k in kinds if k is not None], 1)
    return intervals(problem, problem.data.means(table).T, problem.data.sizes, delta)


_all_rows = jax.jit(of_all_rows)


@functools.partial(jax.jit, static_argnums=2)
def _samples(
    problem: AbstractProblem, predictor: Strategy, num_samples: int, key: PRNGKeyArray, delta: Any
) -> tuple[WorstLoss, WorstLoss | None]:
    state = problem.init(key=jax.random.fold_in(key, 0), dtype=problem.dtype)
    return fresh(problem, predictor, state, num_samples, jax.random.fold_in(key, 1), delta)


def fresh(
    problem: AbstractProblem,
    predictor: Strategy,
    state: State,
    num_samples: int,
    key: PRNGKeyArray,
    delta: Any,
) -> tuple[WorstLoss, WorstLoss | None]:
    """Losses of the predictor and of the deterministic one made of it, on the same examples."""
    count = problem.num_distributions
    chunk = min(CHUNK, num_samples)
    each = jnp.tile(jnp.arange(count, dtype=jnp.int32), chunk)
    chunks = math.ceil(num_samples / chunk)

    kinds = 1 if _majority(problem, predictor, each[:1], state, key) is None else 2

    def look(carry: Any, number: Array) -> tuple[Any, None]:
        sums, seen, state = carry
        drawn, state = problem.draw(each, state, key=jax.random.fold_in(key, number))
        losses = problem.loss(predictor, drawn.examples)
        losses = losses, problem.deterministic_loss(predictor, drawn.examples)
        within = number * chunk + jnp.arange(chunk, dtype=jnp.int32) < num_samples
        able = drawn.available.reshape(chunk, count) & within[:, None] & problem.exists()[None]

        table = jnp.stack([jnp.minimum(k, problem.loss_bound) for k in losses if k is not None])
        sums = sums + jnp.where(able[None], table.reshape(kinds, chunk, count), 0).sum(1)
        return (sums, seen + able.sum(0, dtype=jnp.int32), state), None

    zero = jnp.zeros((kinds, count), problem.dtype)
    begin = vary_like((zero, jnp.zeros(count, jnp.int32), state), problem)
    (sums, seen, _), _ = jax.lax.scan(look, begin, jnp.arange(chunks, dtype=jnp.int32))
    means = safe_divide(sums, seen.astype(sums.dtype)[None], jnp.nan)
    return intervals(problem, means, seen, delta)


def _majority(
    problem: AbstractProblem, predictor: Strategy, one: Array, state: State, key: Any
) -> Any:
    """The shape of losses of the deterministic predictor; `None` if there is none."""

    def losses() -> Any:
        return problem.deterministic_loss(predictor, problem.draw(one, state, key=key)[0].examples)

    return jax.eval_shape(losses)


def intervals(
    problem: AbstractProblem,
    means: Float[Array, "kinds distributions"],
    counts: Int[Array, " distributions"],
    delta: Any,
) -> tuple[WorstLoss, WorstLoss | None]:
    """Confidence intervals of one or two kinds of mean losses; the whole range where none seen."""
    bound, seen = jnp.asarray(problem.loss_bound, means.dtype), (counts > 0)[None]
    number = problem.exists().sum().astype(means.dtype)
    width = jnp.log(2 * number / jnp.asarray(delta, means.dtype))
    radius = safe_divide(width, counts.astype(means.dtype), jnp.inf)
    scaled = jnp.clip(jnp.nan_to_num(means / bound), 0, 1)
    low, high = kl_interval(scaled, jnp.broadcast_to(radius, means.shape))
    low, high = bound * jnp.where(seen, low, 0), bound * jnp.where(seen, high, 1)
    means = jnp.where(seen, means, jnp.nan)
    found = [WorstLoss(means[k], low[k], high[k], counts, problem.mask) for k in range(len(means))]
    return found[0], found[1] if len(found) > 1 else None


def kl_interval(
    mean: Float[Array, "..."], radius: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""The $q$ with $\mathrm{kl}(\text{mean}, q) \le$ radius: both ends, by bisection."""
    tiny = float(jnp.finfo(mean.dtype).tiny)

    def divergence(q: Array) -> Array:
        def term(a: Array, b: Array) -> Array:
            ratio = jnp.where(a > 0, a, 1) / jnp.maximum(b, tiny)
            return jnp.where(a > 0, a * jnp.log(ratio), 0)

        return term(mean, q) + term(1 - mean, 1 - q)

    def halve(ends: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], None]:
        low, inner_low, inner_high, high = ends
        left, right = (low + inner_low) / 2, (inner_high + high) / 2
        wide_left, wide_right = divergence(left) > radius, divergence(right) > radius
        return (
            jnp.where(wide_left, left, low),
            jnp.where(wide_left, inner_low, left),
            jnp.where(wide_right, inner_high, right),
            jnp.where(wide_right, right, high),
        ), None

    start = (jnp.zeros_like(mean), mean, mean, jnp.ones_like(mean))
    (low, _, _, high), _ = jax.lax.scan(halve, start, None, length=50)
    return low, high

"""Is an error of calibration more than chance? Labels redrawn from the forecasts tell."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._checks import check_key
from gamejax._export import AbstractResult
from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecasts import as_probabilities, check_labels, map_in_batches


class CalibrationTest(AbstractResult):
    r"""What a statistic is, and what it would be if the forecasts were perfectly calibrated.

    Attributes:
        statistic: of the labels given; any shape.
        p_value: of each entry by itself: the share of redrawn labels whose statistic is at least
            as large, the given labels counted among them. Never below `1 / (num_draws + 1)`.
        null_mean: mean of the statistic over redrawn labels, the part of it that is chance.
        null_std: its standard deviation.
        family_p_value: of all entries at once: that of the largest standardized entry. A family of
            true null hypotheses falls below $\alpha$ with probability at most $\alpha$.
    """

    statistic: Float[Array, "..."]
    p_value: Float[Array, "..."]
    null_mean: Float[Array, "..."]
    null_std: Float[Array, "..."]
    family_p_value: Scalar

    @property
    def excess(self) -> Float[Array, "..."]:
        """The statistic less what chance alone would make of it."""
        return self.statistic - self.null_mean

    @property
    def z_score(self) -> Float[Array, "..."]:
        """How many standard deviations of chance the statistic lies above its mean."""
        return safe_divide(self.excess, self.null_std)


def calibration_test(
    statistic: Callable[[Array, Array], Array],
    scores: Numbers,
    labels: Numbers,
    *,
    key: PRNGKeyArray,
    num_draws: int = 999,
) -> CalibrationTest:
    r"""Monte Carlo test of perfect calibration, exact at every sample size.

    Under the null hypothesis labels are independent draws from the forecasts. With $s_0$ the
    statistic of the labels given and $s_1, \ldots, s_n$ those of redrawn labels,

    $$p = \frac{1 + \#\{i \ge 1 : s_i \ge s_0\}}{n + 1},$$

    which falls below any $\alpha$ with probability at most $\alpha$ if the null hypothesis is true:
    $s_0, \ldots, s_n$ are exchangeable. Labels are redrawn for a few million points at a time.

    Args:
        statistic: a function `(scores, labels) -> array` that JAX can trace, large for bad
            forecasts; labels come as numbers of the type of the scores, classes
            as `int32`. For instance `ece`, errors per group, the largest of them. It is compiled
            once for each function object; arrays that it needs are best bound with
            `jax.tree_util.Partial`.
        scores: probabilities, `(T,)` of label 1, or `(T, k)` of each of `k` classes.
        labels: `(T,)`, 0 or 1, or the index of the class.
        key: the random key.
        num_draws: $n$.

    Raises:
        ValueError: `num_draws` below 1, or scores and labels that do not fit.

    References:
        brocker2007, davison1997 (4.2).
    """
    check_key(key)
    if not isinstance(num_draws, int) or num_draws < 1:
        raise ValueError(f"num_draws must be an integer of at least 1, got {num_draws!r}.")
    scores = as_probabilities(scores)
    labels = check_labels(labels, scores)
    labels = labels.astype(scores.dtype if scores.ndim == 1 else jnp.int32)
    return _test(statistic, scores, labels, key, num_draws)


def redraw_labels(scores: Array, *, key: PRNGKeyArray) -> Array:
    """Labels drawn from forecasts: 0 and 1 as numbers, or class indices where scores are `(T, k)`.

    Args:
        scores: probabilities, `(T,)` or `(T, k)`.
        key: the random key.
    """
    uniform = jax.random.uniform(key, scores.shape[:1], scores.dtype)
    if scores.ndim == 1:
        return (uniform < scores).astype(scores.dtype)
    below = jnp.cumsum(scores, axis=1)[:, :-1] <= uniform[:, None]
    return below.sum(1, dtype=jnp.int32)


@eqx.filter_jit
def _test(
    statistic: Callable[[Array, Array], Array],
    scores: Array,
    labels: Array,
    key: PRNGKeyArray,
    num_draws: int,
) -> CalibrationTest:
    def redrawn(number: Array) -> Array:
        fresh = redraw_labels(scores, key=jax.random.fold_in(key, number))
        return jnp.asarray(statistic(scores, fresh))

    found = jnp.asarray(statistic(scores, labels))
    null = map_in_batches(redrawn, jnp.arange(num_draws, dtype=jnp.int32), scores.size)
    mean, std = null.mean(0), null.std(0)

    every = jnp.concatenate([found[None], null])
    center, scale = every.mean(0), every.std(0)

    def largest(values: Array) -> Array:
        return safe_divide(values - center, scale).max()

    largest_found, largest_null = largest(found), jax.vmap(largest)(null)
    return CalibrationTest(
        found, _share(null, found), mean, std, _share(largest_null, largest_found)
    )


def _share(null: Array, found: Array) -> Array:
    """The share of a sample, with what was found in it, that is at least as large."""
    # Sums of the same numbers in another order must count as ties.
    slack = 16 * jnp.finfo(found.dtype).eps * jnp.abs(found)
    as_large = jax.vmap(lambda values: values >= found - slack)(null)
    return (1 + as_large.sum(0).astype(found.dtype)) / (1 + null.shape[0])

"""Off-policy evaluation: what would a policy have earned, from a log that another one wrote?"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from gamejax._export import AbstractResult
from gamejax._numerics import safe_divide
from gamejax._types import Scalar
from gamejax.bandits._log import BanditLog, Table, logged, tables


class Estimate(AbstractResult):
    r"""An off-policy estimate and how far to trust it.

    Attributes:
        value: the estimated expected reward of one round.
        standard_error: of `value`, from the spread of the rounds (`ddof=1`); NaN for one round.
        effective_size: $(\sum w)^2 / \sum w^2$, how many rounds of the target policy the log is
            worth; the number of rounds for the direct method.
        rounds: the length of the log.
    """

    value: Scalar
    standard_error: Scalar
    effective_size: Scalar
    rounds: int = eqx.field(static=True)

    def interval(self, level: float | Scalar = 0.95) -> tuple[Scalar, Scalar]:
        """The interval of the normal approximation: too short where few large weights decide.

        Args:
            level: the probability that it is meant to cover, in (0, 1).
        """
        _check_level(level)
        level = jnp.asarray(level, self.value.dtype)
        reach = norm.ppf((1 + level) / 2) * self.standard_error
        return self.value - reach, self.value + reach

    def bernstein(
        self, width: float | Scalar, level: float | Scalar = 0.95
    ) -> tuple[Scalar, Scalar]:
        r"""An interval that covers the expectation of `value` at every length of log.

        The empirical Bernstein bound $\sqrt{2 V \ln(4/\delta)/n} + 7b\ln(4/\delta)/(3(n-1))$ on
        both sides, for a mean of independent terms in an interval of length $b$ with sample
        variance $V$: not for `self_normalized`. Clipping makes $b$ small; the bias it brings is
        outside the interval's promise.

        Args:
            width: $b$, largest minus smallest possible term: `clip` for clipped inverse
                propensities and rewards in $[0, 1]$.
            level: $1 - \delta$.

        References:
            maurer2009 (Theorem 4).
        """
        _check_level(level)
        dtype, n = self.value.dtype, self.rounds
        log_term = jnp.log(4 / (1 - jnp.asarray(level, dtype)))
        spread = self.standard_error * jnp.sqrt(2 * log_term)
        reach = spread + 7 * jnp.asarray(width, dtype) * log_term / (3 * max(n - 1, 1))
        return self.value - reach, self.value + reach


def inverse_propensity(
    log: BanditLog, target: Table, *, clip: float | Scalar | None = None
) -> Estimate:
    r"""Inverse propensity scoring: $\frac1n\sum_i \min(w_i, c)\, r_i$, $w_i = \pi(a_i)/\pi_0(a_i)$.

    Unbiased without a clip wherever $\pi_0 > 0$ on the support of $\pi$. With a clip $c$ and
    rewards of one sign it is biased towards 0 by $\mathbb E[(w - c)_+ r]$ and its terms stay below
    $c\max r$. Differentiable in `target`: its gradient is the off-policy policy gradient.

    Args:
        log: what was played.
        target: $\pi(a \mid x_i)$, shape `(rounds, actions)`, or `(actions,)` without contexts.
        clip: $c > 0$, a ceiling of the weights; `None` for none.

    References:
        horvitz1952, ionides2008.
    """
    weights = importance_weights(log, target)
    if clip is not None:
        _check_positive("clip", clip)
        weights = jnp.minimum(weights, jnp.asarray(clip, weights.dtype))
    return _mean(weights * log.rewards, weights)


def self_normalized(log: BanditLog, target: Table) -> Estimate:
    r"""Self-normalised inverse propensities: $\sum_i w_i r_i / \sum_i w_i$.

    Consistent, not unbiased; unlike `inverse_propensity` it lies between the smallest and the
    largest reward, moves by $b$ when $b$ is added to every reward, and does not change when all
    propensities are off by one factor. Its standard error is the delta method's,
    $\sqrt{\sum_i w_i^2 (r_i - \hat V)^2}/\sum_i w_i$. 0 where every weight is 0.

    Args:
        log: what was played.
        target: $\pi(a \mid x_i)$, shape `(rounds, actions)`, or `(actions,)` without contexts.

    References:
        swaminathan2015.
    """
    weights = importance_weights(log, target)
    total = weights.sum()
    value = safe_divide((weights * log.rewards).sum(), total)
    residuals = weights * (log.rewards - value)
    variance = safe_divide((residuals**2).sum(), total**2, jnp.nan)
    return Estimate(value, _sqrt(variance), effective_size(weights), len(log))


def direct_method(log: BanditLog, target: Table, model: Table) -> Estimate:
    r"""The direct method: $\frac1n\sum_i\sum_a \pi(a \mid x_i)\,\hat q(x_i, a)$.

    As biased as the model, and with little variance: its standard error tells of the spread of the
    contexts, not of the model's errors.

    Args:
        log: what was played.
        target: $\pi(a \mid x_i)$, shape `(rounds, actions)`, or `(actions,)` without contexts.
        model: $\hat q(x_i, a)$, predicted rewards, shaped as `target`; `fit_rewards` makes one.
    """
    target, model = tables(log, target=target, model=model)
    return _mean(_expected(target, model), jnp.ones_like(log.rewards))


def doubly_robust(
    log: BanditLog, target: Table, model: Table, *, clip: float | Scalar | None = None
) -> Estimate:
    r"""Doubly robust: the direct method plus inverse propensities of what the model got wrong.

    $\frac1n\sum_i\bigl[\sum_a\pi(a\mid x_i)\hat q(x_i,a) + w_i(r_i - \hat q(x_i,a_i))\bigr]$.
    Unbiased if the propensities are right, whatever the model, and if the model is right (and not
    fitted to the same rounds), whatever the propensities. $\hat q = 0$ is `inverse_propensity`.

    Args:
        log: what was played.
        target: $\pi(a \mid x_i)$, shape `(rounds, actions)`, or `(actions,)` without contexts.
        model: $\hat q(x_i, a)$, predicted rewards, shaped as `target`; `fit_rewards` makes one.
        clip: a ceiling of the weights; `None` for none.

    References:
        dudik2014.
    """
    target, model = tables(log, target=target, model=model)
    weights = importance_weights(log, target)
    if clip is not None:
        _check_positive("clip", clip)
        weights = jnp.minimum(weights, jnp.asarray(clip, weights.dtype))
    corrections = weights * (log.rewards - logged(log, model))
    return _mean(_expected(target, model) + corrections, weights)


def switch(
    log: BanditLog, target: Table, model: Table, logging: Table, *, threshold: float | Scalar
) -> Estimate:
    r"""Switch: inverse propensities where the weight is at most $\tau$, the model elsewhere.

    $\frac1n\sum_i\bigl[w_i r_i 1\{w_i\le\tau\} +
    \sum_a\pi(a\mid x_i)\hat q(x_i,a)1\{w(x_i,a)>\tau\}\bigr]$ with
    $w(x, a) = \pi(a\mid x)/\pi_0(a\mid x)$. $\tau = 0$ is the direct method, $\tau = \infty$
    inverse propensities. Its bias is the model's error on the actions of large weight alone.

    Args:
        log: what was played.
        target: $\pi(a \mid x_i)$, shape `(rounds, actions)`, or `(actions,)` without contexts.
        model: $\hat q(x_i, a)$, predicted rewards, shaped as `target`; `fit_rewards` makes one.
        logging: $\pi_0(a \mid x_i)$ for **every** action, shaped as `target`.
        threshold: $\tau \ge 0$.

    References:
        wang2017.
    """
    _check_positive("threshold", threshold, strict=False)
    target, model, logging = tables(log, target=target, model=model, logging=logging)
    threshold = jnp.asarray(threshold, target.dtype)
    weights = importance_weights(log, target)
    weighted = jnp.where(weights <= threshold, weights * log.rewards, 0)
    heavy = (target > threshold * logging).astype(target.dtype)
    return _mean(weighted + _expected(target * heavy, model), weights)


def switch_doubly_robust(
    log: BanditLog, target: Table, model: Table, *, threshold: float | Scalar
) -> Estimate:
    r"""Doubly robust without its heaviest corrections: those of weight above $\tau$ are left out.

    $\frac1n\sum_i\bigl[\sum_a\pi(a\mid x_i)\hat q(x_i,a) +
    w_i 1\{w_i\le\tau\}(r_i - \hat q(x_i,a_i))\bigr]$. $\tau = 0$ is the direct method,
    $\tau = \infty$ doubly robust. Needs the propensities of logged actions only.

    Args:
        log: what was played.
        target: $\pi(a \mid x_i)$, shape `(rounds, actions)`, or `(actions,)` without contexts.
        model: $\hat q(x_i, a)$, predicted rewards, shaped as `target`; `fit_rewards` makes one.
        threshold: $\tau \ge 0$.

    References:
        wang2017.
    """
    _check_positive("threshold", threshold, strict=False)
    target, model = tables(log, target=target, model=model)
    weights = importance_weights(log, target)
    kept = jnp.where(weights <= jnp.asarray(threshold, weights.dtype), weights, 0)
    corrections = kept * (log.rewards - logged(log, model))
    return _mean(_expected(target, model) + corrections, kept)


def importance_weights(log: BanditLog, target: Table) -> Float[Array, " rounds"]:
    r"""$w_i = \pi(a_i \mid x_i) / \pi_0(a_i \mid x_i)$ of the logged actions."""
    (target,) = tables(log, target=target)
    return logged(log, target) / log.propensities


def effective_size(weights: Float[Array, " rounds"]) -> Scalar:
    r"""$(\sum w)^2/\sum w^2$: how many equally weighted rounds are worth as much. 0 for no weight.

    References:
        kong1992.
    """
    return safe_divide(weights.sum() ** 2, (weights**2).sum())


def _mean(terms: Float[Array, " rounds"], weights: Float[Array, " rounds"]) -> Estimate:
    n = terms.shape[0]
    value = terms.mean()
    variance = ((terms - value) ** 2).sum() / (n - 1) if n > 1 else jnp.full_like(value, jnp.nan)
    return Estimate(value, _sqrt(variance / n), effective_size(weights), n)


def _sqrt(x: Scalar) -> Scalar:
    """The square root, of gradient 0 at 0."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))


def _expected(target: Array, model: Array) -> Array:
    return (target * model).sum(-1)


def _check_positive(name: str, value: Any, *, strict: bool = True) -> None:
    if isinstance(value, int | float) and not (value > 0 or (value == 0 and not strict)):
        raise ValueError(f"{name} must be {'>' if strict else '>='} 0, got {value}.")


def _check_level(level: Any) -> None:
    if isinstance(level, int | float) and not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")

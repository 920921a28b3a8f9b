"""Off-policy evaluation: what would a policy have earned, from a log that another one wrote?"""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int, Num

from gamejax._numerics import HIGHEST, safe_divide
from gamejax._types import Scalar

Table = Float[Array, "rounds actions"] | Float[Array, " actions"]
"""One row of numbers per logged round, or one row for all of them."""


class BanditLog(eqx.Module):
    r"""Rounds that a logging policy $\pi_0$ played: what it did, what it got, how likely that was.

    Logs of one length stack; map an estimator over them with `jax.vmap`.

    Args:
        actions: $a_i$, integers from 0, shape `(rounds,)`.
        rewards: $r_i$, shape `(rounds,)`; their dtype is the dtype of the estimates.
        propensities: $\pi_0(a_i \mid x_i) \in (0, 1]$, the probability of the logged action.
        contexts: $x_i$, shape `(rounds, features)`; what a reward model or a policy may look at.
        positions: where the action was shown, integers from 0; `None` where there is one place.

    Raises:
        ValueError: shapes disagree, a propensity is outside $(0, 1]$, an action is negative, or a
            reward is not finite.
        TypeError: actions or positions are not integers.
    """

    actions: Int[Array, " rounds"]
    rewards: Float[Array, " rounds"]
    propensities: Float[Array, " rounds"]
    contexts: Float[Array, "rounds features"] | None = None
    positions: Int[Array, " rounds"] | None = None

    def __init__(
        self,
        actions: Any,
        rewards: Any,
        propensities: Any,
        contexts: Any = None,
        positions: Any = None,
    ):
        rewards = jnp.asarray(rewards)
        if not jnp.issubdtype(rewards.dtype, jnp.floating):
            rewards = rewards.astype(float)
        dtype = rewards.dtype
        self.actions = _integers("actions", actions)
        self.rewards = rewards
        self.propensities = jnp.asarray(propensities, dtype)
        self.contexts = None if contexts is None else jnp.asarray(contexts, dtype)
        self.positions = None if positions is None else _integers("positions", positions)
        self._check_shapes()
        self._check_values()

    def __len__(self) -> int:
        return self.rewards.shape[0]

    def _check_shapes(self) -> None:
        shape = self.rewards.shape
        if len(shape) != 1 or shape[0] == 0:
            raise ValueError(f"rewards must have shape (rounds,) with rounds >= 1, got {shape}.")
        for name in ("actions", "propensities", "positions"):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(
                    f"{name} must have one entry per reward, shape {shape}, got {value.shape}."
                )
        if self.contexts is not None and (
            self.contexts.ndim != 2 or self.contexts.shape[0] != shape[0]
        ):
            raise ValueError(
                f"contexts must have shape ({shape[0]}, features), got {self.contexts.shape}."
            )

    def _check_values(self) -> None:
        def broken(name: str, test: Callable[[Array], Array], wanted: str) -> None:
            value = getattr(self, name)
            if value is None or isinstance(value, jax.core.Tracer):
                return
            wrong = ~test(value)
            if bool(wrong.any()):
                at = int(jnp.argmax(wrong))
                raise ValueError(f"{name} must be {wanted}, got {value[at]} in round {at}.")

        broken("propensities", lambda p: (p > 0) & (p <= 1), "probabilities in (0, 1]")
        broken("actions", lambda a: a >= 0, "integers from 0")
        broken("positions", lambda a: a >= 0, "integers from 0")
        broken("rewards", jnp.isfinite, "finite")


def _integers(name: str, value: Any) -> Array:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be integers, got {array.dtype}.")
    return array.astype(jnp.int32)


class Estimate(eqx.Module):
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
    target, model = _tables(log, target=target, model=model)
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
    target, model = _tables(log, target=target, model=model)
    weights = importance_weights(log, target)
    if clip is not None:
        _check_positive("clip", clip)
        weights = jnp.minimum(weights, jnp.asarray(clip, weights.dtype))
    corrections = weights * (log.rewards - _logged(log, model))
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
    target, model, logging = _tables(log, target=target, model=model, logging=logging)
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
    target, model = _tables(log, target=target, model=model)
    weights = importance_weights(log, target)
    kept = jnp.where(weights <= jnp.asarray(threshold, weights.dtype), weights, 0)
    corrections = kept * (log.rewards - _logged(log, model))
    return _mean(_expected(target, model) + corrections, kept)


def importance_weights(log: BanditLog, target: Table) -> Float[Array, " rounds"]:
    r"""$w_i = \pi(a_i \mid x_i) / \pi_0(a_i \mid x_i)$ of the logged actions."""
    (target,) = _tables(log, target=target)
    return _logged(log, target) / log.propensities


def effective_size(weights: Float[Array, " rounds"]) -> Scalar:
    r"""$(\sum w)^2/\sum w^2$: how many equally weighted rounds are worth as much. 0 for no weight.

    References:
        kong1992.
    """
    return safe_divide(weights.sum() ** 2, (weights**2).sum())


@functools.partial(jax.jit, static_argnames=("num_actions", "folds"))
def fit_rewards(
    log: BanditLog, num_actions: int, *, regularization: float | Scalar = 1.0, folds: int = 2
) -> Float[Array, "rounds actions"]:
    r"""A reward model for a log: ridge regression per action, each round predicted by the others.

    With features $z = (1, x)$, or $z = 1$ without contexts, and $\bar r$ the mean reward,
    $\hat q(x, a) = \bar r + z^\top(\lambda I + \sum_{i: a_i = a} z_i z_i^\top)^{-1}
    \sum_{i: a_i = a} z_i (r_i - \bar r)$: an action that was never seen gets $\bar r$. Rounds
    $i \equiv j \bmod$ `folds` are predicted from all the others, $\bar r$ too (cross-fitting), so
    that `doubly_robust` stays unbiased for independent rounds. Positions enter only through
    contexts: append their indicators to `contexts` for a model per position.

    Args:
        log: what was played.
        num_actions: the number of actions.
        regularization: $\lambda > 0$.
        folds: at least 2; or 1 to predict each round from all rounds, its own too.

    Raises:
        ValueError: `folds` is below 1 or above the number of rounds.
    """
    n, dtype = len(log), log.rewards.dtype
    if not 1 <= folds <= n:
        raise ValueError(f"folds must be from 1 to the number of rounds, {n}, got {folds}.")
    ones = jnp.ones((n, 1), dtype)
    features = ones if log.contexts is None else jnp.concatenate([ones, log.contexts], axis=1)
    played = jax.nn.one_hot(log.actions, num_actions, dtype=dtype)
    fold = jnp.arange(n, dtype=jnp.int32) % folds

    def predict(held_out: Array) -> Array:
        kept = ((fold != held_out) | (folds == 1)).astype(dtype)
        mean = (kept * log.rewards).sum() / kept.sum()

        def one_action(played_now: Array) -> Array:
            weighted = features * (kept * played_now)[:, None]
            gram = jnp.matmul(weighted.T, features, precision=HIGHEST)
            ridge = jnp.asarray(regularization, dtype) * jnp.eye(features.shape[1], dtype=dtype)
            moments = jnp.matmul(weighted.T, log.rewards - mean, precision=HIGHEST)
            slope = jnp.linalg.solve(gram + ridge, moments)
            return mean + jnp.matmul(features, slope, precision=HIGHEST)

        predictions = jax.lax.map(one_action, played.T)
        return jnp.where((fold == held_out)[:, None] | (folds == 1), predictions.T, 0)

    return jax.lax.map(predict, jnp.arange(folds, dtype=jnp.int32)).sum(0)


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


def _logged(log: BanditLog, table: Array) -> Array:
    return jnp.take_along_axis(table, log.actions[:, None], axis=1)[:, 0]


def _tables(log: BanditLog, **tables: Num[Array, "..."]) -> list[Array]:
    """Each table with one row per round, in the dtype of the rewards."""
    n, dtype = len(log), log.rewards.dtype
    found, actions = [], None
    for name, given in tables.items():
        table = jnp.asarray(given)
        if table.ndim not in (1, 2) or (table.ndim == 2 and table.shape[0] != n):
            raise ValueError(
                f"{name} must have shape (actions,) or (rounds, actions) with {n} rounds, "
                f"got {table.shape}."
            )
        actions = table.shape[-1] if actions is None else actions
        if table.shape[-1] != actions:
            raise ValueError(f"{name} has {table.shape[-1]} actions, target has {actions}.")
        found.append(jnp.broadcast_to(table.astype(dtype), (n, actions)))
    return found


def _check_positive(name: str, value: Any, *, strict: bool = True) -> None:
    if isinstance(value, numbers.Real) and not (value > 0 or (value == 0 and not strict)):
        raise ValueError(f"{name} must be {'>' if strict else '>='} 0, got {value}.")


def _check_level(level: Any) -> None:
    if isinstance(level, numbers.Real) and not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}.")

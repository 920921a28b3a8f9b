"""Estimators: whole utility vectors from the coordinates that were seen."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._numerics import safe_divide
from gamejax._types import Scalar

Vector = Float[Array, "*blocks actions"]


class AbstractEstimator(eqx.Module):
    r"""A rule that fills in the utilities of actions that were not seen.

    All members have the form $\hat u_a = b_a + f_a (u_a - b_a) / q_a$: a guess $b_a$, corrected
    where action $a$ was drawn. Utilities are **maximized**. Estimators for losses in $[0, 1]$ are
    the same ones with utilities $u = 1 - \ell \le 1$ and the guess $b = 1$ ($\ell = 0$).
    """

    @abc.abstractmethod
    def estimate(
        self, utility: Vector, frequency: Vector, probability: Vector, *, step: ArrayLike
    ) -> Vector:
        r"""The estimate $\hat u$ of one round.

        Args:
            utility: the utilities; those of actions that were not drawn have no influence.
            frequency: $f_a$, the share of the round's draws that fell on action $a$ (0 or 1 when
                one action is drawn).
            probability: the expectation of `frequency`.
            step: the number of the round, from 1.
        """


class ImportanceWeighting(AbstractEstimator):
    r"""Importance weighting: what was seen, divided by the probability of seeing it.

    $$\hat u_a = b + \frac{f_a}{p_a}(u_a - b).$$

    Unbiased for every $b$, wherever $p_a > 0$; $\hat u_a$ has variance
    $(u_a - b)^2 (1/p_a - 1)$. With $b$ the largest possible utility the estimate never exceeds $b$
    (the loss form): then Hedge keeps Exp3's expected regret $\sqrt{2 T n \ln n}$ for utilities in
    $[b - 1, b]$ without extra exploration.

    Args:
        offset: the guess $b$.

    References:
        auer2002b.
    """

    offset: float | Scalar = 0.0

    def estimate(
        self, utility: Vector, frequency: Vector, probability: Vector, *, step: ArrayLike
    ) -> Vector:
        guess = jnp.full_like(utility, self.offset)
        return _correct(guess, utility, frequency, probability)


class ImplicitExploration(AbstractEstimator):
    r"""Implicit exploration: importance weighting with $\gamma$ added to the probability.

    $$\hat u_a = b + \frac{f_a}{p_a + \gamma}(u_a - b), \qquad
    \mathbb E\,\hat u_a = b + \frac{p_a}{p_a + \gamma}(u_a - b).$$

    Bounded by $1/\gamma$; with $b$ at least the largest utility it is biased upwards, in favor of
    actions rarely played. Exp3-IX is Hedge with rate $\eta = \sqrt{2 \ln n / (T n)}$,
    $\gamma = \eta/2$ and $b = 1$ for utilities in $[0, 1]$: regret $O(\sqrt{T n \ln n})$ with high
    probability.

    Args:
        gamma: $\gamma \ge 0$.
        offset: the guess $b$; set it to the largest possible utility.

    Raises:
        ValueError: `gamma` is a negative number.

    References:
        neu2015.
    """

    gamma: float | Scalar
    offset: float | Scalar = 0.0

    def __check_init__(self) -> None:
        if isinstance(self.gamma, int | float) and not self.gamma >= 0:
            raise ValueError(f"ImplicitExploration: gamma must be >= 0, got {self.gamma}.")

    def estimate(
        self, utility: Vector, frequency: Vector, probability: Vector, *, step: ArrayLike
    ) -> Vector:
        guess = jnp.full_like(utility, self.offset)
        return _correct(
            guess, utility, frequency, probability + jnp.asarray(self.gamma, utility.dtype)
        )


class OptimisticWeighting(AbstractEstimator):
    r"""Importance weighting with a bonus for actions rarely played.

    $$\hat u_a = \frac{f_a u_a + \beta}{p_a}.$$

    Biased upwards by $\beta/p_a$: with high probability the sum of estimates is above that of the
    utilities, as Exp3.P needs.

    Args:
        bonus: $\beta \ge 0$.

    References:
        auer2002b; bubeck2012 (Section 3.2).
    """

    bonus: float | Scalar

    def __check_init__(self) -> None:
        if isinstance(self.bonus, int | float) and not self.bonus >= 0:
            raise ValueError(f"OptimisticWeighting: bonus must be >= 0, got {self.bonus}.")

    def estimate(
        self, utility: Vector, frequency: Vector, probability: Vector, *, step: ArrayLike
    ) -> Vector:
        # What was not seen may be anything, NaN too.
        gain = jnp.where(frequency > 0, frequency * utility, 0)
        return safe_divide(gain + jnp.asarray(self.bonus, utility.dtype), probability)


class ReducedVariance(AbstractEstimator):
    r"""Importance weighting around a baseline.

    $$\hat u_a = b_a + \frac{f_a}{p_a}(u_a - b_a), \qquad
    b_a = \begin{cases} \text{baseline}_a & p_a \ge \text{threshold} / t \\
    \text{offset} & \text{otherwise.}\end{cases}$$

    Unbiased wherever $p_a > 0$; the variance of a well guessed coordinate is small. A baseline in
    the middle of the range can make estimates exceed the largest utility by
    $(u_a - b_a)(1/p_a - 1)$, so rarely played actions keep the safe `offset`. The defaults are for
    utilities in $[0, 1]$; `threshold=16.0` is the estimator of Tsallis-INF with learning rates
    $4/\sqrt t$.

    Args:
        baseline: the guess, one for all actions or one each, shape `(actions,)`.
        threshold: below $\text{threshold}/t$ a probability counts as small in round $t$.
        offset: the guess for actions of small probability, the largest possible utility.

    References:
        zimmert2021.
    """

    baseline: float | Float[Array, "..."] = 0.5
    threshold: float | Scalar = 0.0
    offset: float | Scalar = 1.0

    def estimate(
        self, utility: Vector, frequency: Vector, probability: Vector, *, step: ArrayLike
    ) -> Vector:
        dtype = utility.dtype
        small = jnp.asarray(self.threshold, dtype) / jnp.maximum(jnp.asarray(step, dtype), 1)
        guess = jnp.where(
            probability >= small,
            jnp.broadcast_to(jnp.asarray(self.baseline, dtype), utility.shape),
            jnp.asarray(self.offset, dtype),
        )
        return _correct(guess, utility, frequency, probability)


def _correct(guess: Vector, utility: Vector, frequency: Vector, probability: Vector) -> Vector:
    # What was not seen may be anything, NaN too.
    error = jnp.where(frequency > 0, utility - guess, 0)
    return guess + safe_divide(frequency * error, probability)

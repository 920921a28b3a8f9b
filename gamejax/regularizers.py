"""Regularizers: the functions whose mirror maps learners play by."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from gamejax._numerics import safe_log, tiniest
from gamejax._types import Scalar


class AbstractRegularizer(eqx.Module):
    r"""A separable convex function $R(x) = \sum_a r(x_a)$.

    A regularizer knows nothing of strategy sets: they build their mirror maps from
    `inverse_gradient`, and (capped) simplices find their threshold with `threshold_step`.
    """

    @abc.abstractmethod
    def terms(self, strategy: Array) -> Array:
        r"""$r(x_a)$, coordinate by coordinate, finite also on the boundary."""

    @abc.abstractmethod
    def gradient(self, strategy: Array) -> Array:
        r"""$\nabla R(x)$, finite also on the boundary: there that of the tiniest number."""

    @abc.abstractmethod
    def inverse_gradient(self, dual: Array) -> Array:
        r"""$\phi = (r')^{-1}$ coordinate by coordinate: the unconstrained mirror map.

        Infinite where $r'$ never reaches the argument from below.
        """

    def threshold_step(self, mass: Array, slope: Array, target: Array) -> Array:
        r"""How far to raise $\lambda$ to bring $m = \sum_a \phi(\theta_a - \lambda)$ to `target`.

        A Newton step on a transform of the mass in which it is (nearly) linear, from its value
        `mass` and `slope` $= -m'(\lambda) > 0$. Default $(m - m^\star) / s$, plain Newton.
        """
        return (mass - target) / slope

    def value(self, strategy: Array) -> Scalar:
        r"""$R(x)$, summed over all coordinates."""
        return jnp.sum(self.terms(strategy))

    def divergence(self, x: Array, y: Array) -> Scalar:
        r"""The Bregman divergence $R(x) - R(y) - \langle \nabla R(y), x - y\rangle$.

        Never NaN: where `y` lies on a boundary with infinite slope, the slope at the tiniest
        number stands in.
        """
        return jnp.sum(self.terms(x) - self.terms(y) - self.gradient(y) * (x - y))


def _apart(x: Array) -> tuple[Array, Array, Array]:
    """Which numbers are safely positive, those numbers (others 1), and the tiniest such number.

    A function of the second, chosen by the first, keeps all its derivatives free of NaN.
    """
    tiny = tiniest(x)
    positive = x > tiny
    return positive, jnp.where(positive, x, 1), tiny


class Entropy(AbstractRegularizer):
    r"""Negative entropy $R(x) = \sum_a x_a \ln x_a$.

    $\phi(z) = e^{z - 1}$: the mirror map of a simplex is softmax. 1-strongly convex in $\ell_1$ on
    the simplex; its divergence is the Kullback-Leibler divergence.
    """

    def terms(self, strategy: Array) -> Array:
        return strategy * safe_log(strategy)

    def gradient(self, strategy: Array) -> Array:
        return safe_log(strategy) + 1

    def inverse_gradient(self, dual: Array) -> Array:
        return jnp.exp(dual - 1)

    def threshold_step(self, mass: Array, slope: Array, target: Array) -> Array:
        return mass / slope * jnp.log(mass / target)


class Euclidean(AbstractRegularizer):
    r"""Half the squared length, $R(x) = \frac12 \|x\|_2^2$.

    $\phi(z) = z$: the mirror map of any set is the Euclidean projection of the dual vector.
    """

    def terms(self, strategy: Array) -> Array:
        return strategy**2 / 2

    def gradient(self, strategy: Array) -> Array:
        return strategy

    def inverse_gradient(self, dual: Array) -> Array:
        return dual


class Tsallis(AbstractRegularizer):
    r"""Negative Tsallis entropy of order $q \in (0, 1)$.

    $R(x) = \sum_a (x_a - x_a^q) / (1 - q)$, on probability vectors the usual
    $(1 - \sum_a x_a^q) / (1 - q)$; $\phi(z) = [(1 - (1 - q) z) / q]^{1 / (q - 1)}$. As
    $q \to 1$ everything tends to `Entropy`; $q = 1/2$ gives the best-of-both-worlds bandit
    algorithm.

    Args:
        q: the order, a number strictly between 0 and 1 (or an array or tracer).

    Raises:
        ValueError: `q` is a Python number outside (0, 1).

    References:
        zimmert2021.
    """

    q: ArrayLike = 0.5

    def __check_init__(self) -> None:
        if isinstance(self.q, int | float) and not 0 < self.q < 1:
            raise ValueError(
                f"q must lie strictly between 0 and 1, got {self.q}; "
                "use Entropy() for q = 1 and LogBarrier() for q = 0."
            )

    def _order(self, like: Array) -> Array:
        return jax.lax.convert_element_type(self.q, like.dtype)

    def terms(self, strategy: Array) -> Array:
        q = self._order(strategy)
        positive, x, _ = _apart(strategy)
        return jnp.where(positive, (x - x**q) / (1 - q), 0)

    def gradient(self, strategy: Array) -> Array:
        q = self._order(strategy)
        positive, x, tiny = _apart(strategy)
        power = jnp.where(positive, x ** (q - 1), tiny ** (q - 1))
        return (1 - q * power) / (1 - q)

    def inverse_gradient(self, dual: Array) -> Array:
        q = self._order(dual)
        inside = ~((1 - q) * dual >= 1)  # a NaN stays a NaN
        logarithm = jnp.log1p(-(1 - q) * jnp.where(inside, dual, 0)) - jnp.log(q)
        return jnp.where(inside, jnp.exp(-logarithm / (1 - q)), jnp.inf)

    def threshold_step(self, mass: Array, slope: Array, target: Array) -> Array:
        q = self._order(mass)
        return mass / slope * jnp.expm1((1 - q) * jnp.log(mass / target)) / (1 - q)


class LogBarrier(AbstractRegularizer):
    r"""The logarithmic barrier $R(x) = -\sum_a \ln x_a$.

    $\phi(z) = -1 / z$ for $z < 0$; strategies stay in the interior and move by bounded factors.

    References:
        anagnostides2022.
    """

    def terms(self, strategy: Array) -> Array:
        return -safe_log(strategy)

    def gradient(self, strategy: Array) -> Array:
        positive, x, tiny = _apart(strategy)
        return jnp.where(positive, -1 / x, -1 / tiny)

    def inverse_gradient(self, dual: Array) -> Array:
        inside = ~(dual >= 0)  # a NaN stays a NaN
        return jnp.where(inside, -1 / jnp.where(inside, dual, -1), jnp.inf)

    def threshold_step(self, mass: Array, slope: Array, target: Array) -> Array:
        return mass / slope * (mass / target - 1)

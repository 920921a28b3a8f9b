"""Regularizers: the functions whose mirror maps learners play by."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from gamejax._numerics import safe_log
from gamejax._types import Scalar


class AbstractRegularizer(eqx.Module):
    r"""A separable convex function $R(x) = \sum_a r(x_a)$."""

    @abc.abstractmethod
    def value(self, strategy: Array) -> Scalar:
        r"""$R(x)$, summed over all coordinates."""

    @abc.abstractmethod
    def gradient(self, strategy: Array) -> Array:
        r"""$\nabla R(x)$, finite also on the boundary (the argument is kept above the tiniest number)."""


class Entropy(AbstractRegularizer):
    r"""Negative entropy $R(x) = \sum_a x_a \ln x_a$."""

    def value(self, strategy: Array) -> Scalar:
        return jnp.sum(strategy * safe_log(strategy))

    def gradient(self, strategy: Array) -> Array:
        return safe_log(strategy) + 1

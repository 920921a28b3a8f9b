"""Mixtures of exponential families: densities, expectation maximization, banks of fits."""

import abc
import functools
import math
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._linalg import cholesky
from gamejax._numerics import HIGHEST, hash_key, safe_divide, safe_log, uniform
from gamejax._types import Numbers, Scalar
from gamejax.calibration._forecaster import pick
from gamejax.games._normal_form import as_payoffs

STARTS = 4
"""Random starts of the fit to the points themselves, of which the likeliest is kept."""

Point = Float[Array, " dimension"]


class AbstractFamily(eqx.Module):
    r"""An exponential family: densities fitted by their mean sufficient statistics.

    Subclasses give `statistics` $T(x)$, `fit`, the maximum-likelihood parameters from the mean of
    $T$, and `log_density`; that is all that expectation maximization needs.
    """

    @abc.abstractmethod
    def statistics(self, x: Point) -> Float[Array, " statistics"]:
        """$T(x)$."""

    @abc.abstractmethod
    def fit(self, mean: Float[Array, " statistics"]) -> Any:
        """The parameters of largest likelihood for data whose mean of $T$ this is."""

    @abc.abstractmethod
    def log_density(self, parameters: Any, x: Point) -> Scalar:
        """The logarithm of the density at a point."""

    @abc.abstractmethod
    def sample(self, parameters: Any, key: PRNGKeyArray) -> Point:
        """A point."""


class GaussianParameters(eqx.Module):
    r"""A Gaussian: mean, lower triangular $L$ with covariance $L L^\top$, and $L^{-1}$."""

    mean: Point
    factor: Float[Array, "dimension dimension"]
    inverse: Float[Array, "dimension dimension"]

    @classmethod
    def of(cls, mean: Point, covariance: Float[Array, "dimension dimension"]) -> Self:
        """From mean and covariance."""
        factor = cholesky(covariance)
        identity = jnp.eye(len(mean), dtype=mean.dtype)
        inverse = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
        return cls(mean, factor, inverse)


class Gaussian(AbstractFamily):
    r"""Gaussians in any dimension; $T(x) = (x, x x^\top)$.

    Args:
        ridge: added to the variances when fitted, so that no component collapses on a point.
    """

    ridge: float | Scalar = 1e-3

    def statistics(self, x: Point) -> Float[Array, " statistics"]:
        return jnp.concatenate([x, (x[:, None] * x[None, :]).reshape(-1)])

    def fit(self, mean: Float[Array, " statistics"]) -> GaussianParameters:
        d = (math.isqrt(4 * len(mean) + 1) - 1) // 2
        center = mean[:d]
        covariance = mean[d:].reshape(d, d) - center[:, None] * center[None, :]
        ridge = jnp.asarray(self.ridge).astype(mean.dtype) * jnp.eye(d, dtype=mean.dtype)
        return GaussianParameters.of(center, covariance + ridge)

    def log_density(self, parameters: GaussianParameters, x: Point) -> Scalar:
        z = jnp.matmul(parameters.inverse, x - parameters.mean, precision=HIGHEST)
        scale = jnp.log(jnp.diagonal(parameters.factor)).sum()
        return -0.5 * (z * z).sum() - scale - 0.5 * len(x) * math.log(2 * math.pi)

    def sample(self, parameters: GaussianParameters, key: PRNGKeyArray) -> Point:
        mean = parameters.mean
        z = jax.scipy.special.ndtri(uniform(key, mean.dtype, mean.shape))
        return mean + jnp.matmul(parameters.factor, z, precision=HIGHEST)


class Poisson(AbstractFamily):
    """Vectors of independent Poisson counts; the statistics are the counts."""

    def statistics(self, x: Point) -> Float[Array, " statistics"]:
        return x

    def fit(self, mean: Float[Array, " statistics"]) -> Float[Array, " dimension"]:
        return jnp.maximum(mean, jnp.finfo(mean.dtype).eps)

    def log_density(self, parameters: Float[Array, " dimension"], x: Point) -> Scalar:
        terms = x * jnp.log(parameters) - parameters - jax.scipy.special.gammaln(x + 1)
        return terms.sum()

    def sample(self, parameters: Float[Array, " dimension"], key: PRNGKeyArray) -> Point:
        counts = jax.random.poisson(key, parameters, dtype=jnp.int32)
        return counts.astype(parameters.dtype)


class Mixture(eqx.Module):
    r"""A mixture $\sum_j w_j f_j$ of one family's densities.

    Args:
        weights: $w$, shape `(components,)`.
        parameters: the family's, with a leading axis of components.
        family: an `AbstractFamily`.
    """

    weights: Float[Array, " components"]
    parameters: Any
    family: AbstractFamily = Gaussian()

    @property
    def num_components(self) -> int:
        """How many components there are."""
        return self.weights.shape[-1]

    def log_joint(self, x: Point) -> Float[Array, " components"]:
        r"""$\ln w_j + \ln f_j(x)$ of every component."""
        densities = jax.vmap(self.family.log_density, (0, None))(self.parameters, x)
        return safe_log(self.weights) + densities

    def disc(self, x: Point) -> Float[Array, " components"]:
        """The discriminants: 1 for the likeliest component (the first of several), else 0."""
        best = jnp.argmax(self.log_joint(x))
        return jax.nn.one_hot(best, self.num_components, dtype=self.weights.dtype)

    def lik(self, x: Point) -> Float[Array, " components"]:
        """The probability of each component, given the point."""
        return jax.nn.softmax(self.log_joint(x))

    def sample(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Point]:
        """A component and a point of it."""
        edges = jnp.cumsum(self.weights)
        lot = uniform(hash_key(key, 0), edges.dtype) * edges[-1]
        component = (lot >= edges[:-1]).sum(dtype=jnp.int32)
        own = jax.tree.map(lambda leaf: pick(leaf, component), self.parameters)
        return component, self.family.sample(own, hash_key(key, 1))


def gaussian_mixture(
    weights: Numbers, means: Numbers, covariances: Numbers | None = None
) -> Mixture:
    r"""A mixture of Gaussians.

    Args:
        weights: $w$, shape `(components,)`.
        means: shape `(components,)` in one dimension, else `(components, dimension)`.
        covariances: shape `(components,)` or `(components, dimension, dimension)`; default unit.

    Raises:
        ValueError: the shapes do not fit.
    """
    w, m = as_payoffs(weights, "weights"), as_payoffs(means, "means")
    m = m[:, None] if m.ndim == 1 else m
    if w.ndim != 1 or m.ndim != 2 or len(m) != len(w):
        raise ValueError(
            "weights must have shape (components,) and means (components, dimension), got "
            f"{w.shape} and {m.shape}."
        )
    k, d = m.shape
    c = jnp.ones(k) if covariances is None else as_payoffs(covariances, "covariances")
    c = c[:, None, None] * jnp.eye(d, dtype=c.dtype)[None] if c.ndim == 1 else c
    if c.shape != (k, d, d):
        raise ValueError(f"covariances must have shape {(k, d, d)}, got {c.shape}.")
    dtype = jnp.result_type(w, m)
    parameters = jax.vmap(GaussianParameters.of)(m.astype(dtype), c.astype(dtype))
    return Mixture(w.astype(dtype), parameters, Gaussian())


def expectation_maximization(
    family: AbstractFamily,
    points: Float[Array, "points dimension"],
    num_components: int,
    *,
    key: PRNGKeyArray,
    num_steps: int = 50,
    importance: Float[Array, " points"] | None = None,
) -> tuple[Mixture, Scalar]:
    """A mixture fitted to points by expectation maximization, and its mean log-likelihood.

    Starts at the softened cells of random points, chosen far from each other (as k-means++ does).

    Args:
        family: of the components.
        points: one row each.
        num_components: how many.
        key: for the start.
        num_steps: how many steps.
        importance: a weight for each point; default equal ones.
    """
    n, _ = points.shape
    importance = jnp.ones(n, points.dtype) if importance is None else importance
    statistics = jax.vmap(family.statistics)(points)
    spread = jnp.var(points, axis=0)

    def distance(center: Array) -> Array:
        return (safe_divide((points - center[None, :]) ** 2, spread[None, :])).sum(1)

    near, starts = jnp.full(n, jnp.inf, points.dtype), []
    for j in range(num_components):
        odds = jnp.cumsum(importance * jnp.where(jnp.isinf(near), 1, near))
        lot = uniform(hash_key(key, j), odds.dtype) * odds[-1]
        chosen = jnp.minimum((odds < lot).sum(dtype=jnp.int32), n - 1)
        starts.append(distance(pick(points, chosen)))
        near = jnp.minimum(near, starts[-1])
    shares = jax.nn.softmax(-2 * num_components * jnp.stack(starts, axis=1), axis=1)

    def maximize(shares: Array) -> Mixture:
        weighted = shares * importance[:, None]
        mass = weighted.sum(0)
        totals = jnp.matmul(weighted.T, statistics, precision=HIGHEST)
        # A component that lost every point becomes the average of all of them.
        average = totals.sum(0) / mass.sum()
        alive = (mass > jnp.finfo(mass.dtype).eps * mass.sum())[:, None]
        means = jnp.where(alive, safe_divide(totals, mass[:, None]), average[None, :])
        return Mixture(mass / mass.sum(), jax.vmap(family.fit)(means), family)

    def step(_: Array, shares: Array) -> Array:
        return jax.vmap(maximize(shares).lik)(points)

    fitted = maximize(jax.lax.fori_loop(0, num_steps, step, shares))
    log_density = jax.nn.logsumexp(jax.vmap(fitted.log_joint)(points), axis=1)
    return fitted, (importance * log_density).sum() / importance.sum()


class Bank(eqx.Module):
    r"""Distinguishers of several mixtures: a finite cover of the plausible ones.

    Args:
        mixtures: one mixture whose leaves have a leading axis of $M$ draws.
        form: `"likelihood"` or `"discriminant"`.
    """

    mixtures: Mixture
    form: str = eqx.field(static=True, default="likelihood")

    @property
    def num_groups(self) -> int:
        """Draws times components."""
        return self.mixtures.weights.shape[-2] * self.mixtures.num_components

    def __call__(self, x: Point) -> Float[Array, " groups"]:
        """The values of all distinguishers at a point."""

        def values(mixture: Mixture) -> Array:
            return mixture.lik(x) if self.form == "likelihood" else mixture.disc(x)

        return jax.vmap(values)(self.mixtures).reshape(-1)


def cover(
    family: AbstractFamily,
    points: Float[Array, "points dimension"],
    num_components: int,
    num_draws: int,
    *,
    key: PRNGKeyArray,
    form: str = "likelihood",
    num_steps: int = 50,
) -> Bank:
    r"""A bank of $M$ mixtures that the points make plausible.

    Draw 0 is the likeliest of a few fits, the others are fitted to the points
    with random exponential weights (the Bayesian bootstrap), from random starts: draws around
    every mode of the likelihood. The bank stands in for a cover of all mixtures at radius
    $1/\sqrt T$; see `forecast_subpopulations`.

    Args:
        family: of the components.
        points: unlabeled, one row each.
        num_components: $k$.
        num_draws: $M$.
        key: for weights and starts.
        form: `"likelihood"` or `"discriminant"`.
        num_steps: of expectation maximization.
    """
    fit = functools.partial(
        expectation_maximization, family, points, num_components, num_steps=num_steps
    )
    keys = jax.vmap(hash_key, (None, 0))(key, jnp.arange(STARTS + num_draws - 1, dtype=jnp.int32))

    def importance(key: PRNGKeyArray) -> Array:
        return -jnp.log(uniform(hash_key(key, num_components), points.dtype, points.shape[:1]))

    plain = (jnp.arange(len(keys), dtype=jnp.int32) < STARTS)[:, None]
    weights = jnp.where(plain, 1, jax.vmap(importance)(keys))
    fits, likelihoods = jax.vmap(lambda k, w: fit(key=k, importance=w))(keys, weights)
    best = jnp.argmax(likelihoods[:STARTS])
    bank = jax.tree.map(lambda x: jnp.concatenate([x[best][None], x[STARTS:]]), fits)
    return Bank(bank, form)

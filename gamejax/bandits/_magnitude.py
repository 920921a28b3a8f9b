"""The magnitude-reduced estimator for linear adversarial problems."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax._linalg import solve
from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.bandits._policy import Policy
from gamejax.feedback import AbstractEstimator, BanditFeedback
from gamejax.games._normal_form import as_payoffs
from gamejax.learners import Hedge


class MagnitudeReduced(AbstractEstimator):
    r"""Least squares on the arm pulled, shifted so that estimates of losses are not very negative.

    With $\Sigma = \sum_a p_a \phi_a\phi_a^\top + \gamma I$, $z_a = \phi_a^\top\Sigma^{-1}\phi_I$
    for the arm $I$ pulled, its loss $\ell \in [0, H]$, and $(u)_- = \min(u, 0)$,
    $$\hat\ell_a = z_a \ell - H (z_a)_- + H \sum_b p_b (\phi_a^\top\Sigma^{-1}\phi_b)_-.$$
    The last two terms cancel in expectation, so that $\hat\ell$ is unbiased for linear losses where
    $z\ell$ is ($\gamma = 0$). The first two are non-negative together, so that
    $\hat\ell_a \ge -H\sqrt{\phi_a^\top\Sigma^{-1}\phi_a}$: magnitude $\gamma^{-1/2}$ where plain
    least squares has $\gamma^{-1}$.

    In place of the last sum the paper averages over fresh draws of the policy; here features and
    probabilities are at hand and the expectation is computed. Utilities are $H$ minus losses.

    Args:
        features: $\phi$, shape `(K, d)`.
        ridge: $\gamma \ge 0$.
        loss_range: $H > 0$.

    References:
        dai2023.
    """

    features: Float[Array, "arms dimension"]
    ridge: float | Scalar
    loss_range: float | Scalar

    def __init__(self, features: Numbers, ridge: Any, loss_range: Any = 1.0):
        self.features = as_payoffs(features, "features")
        if self.features.ndim != 2:
            raise ValueError(f"features must have shape (arms, d), got {self.features.shape}.")
        self.ridge = ridge
        self.loss_range = loss_range

    def estimate(
        self, utility: Array, frequency: Array, probability: Array, *, step: ArrayLike
    ) -> Array:
        phi, dtype = self.features.astype(utility.dtype), utility.dtype
        top, ridge = jnp.asarray(self.loss_range, dtype), jnp.asarray(self.ridge, dtype)
        weighted = jnp.matmul(phi.T * probability[None], phi, precision=HIGHEST)
        sigma = weighted + ridge * jnp.eye(phi.shape[1], dtype=dtype)
        kernel = jnp.matmul(phi, solve(sigma, phi.T), precision=HIGHEST)
        loss = jnp.sum(jnp.where(frequency > 0, frequency * (top - utility), 0))
        z = jnp.matmul(kernel, frequency, precision=HIGHEST)
        shift = jnp.matmul(jnp.minimum(kernel, 0), probability, precision=HIGHEST)
        return top - (z * loss - top * jnp.minimum(z, 0) + top * shift)


def linear_exp3(features: Numbers, horizon: Any, *, learning_rate: Any = None) -> Policy:
    r"""Hedge on magnitude-reduced estimates of linear adversarial losses in $[0, 1]$.

    $\eta = \sqrt{\ln K/(d T)}$ and ridge $\gamma = \eta^2$ times the squared length of the longest
    feature vector, so that $\eta\hat\ell \ge -1$ always, as Hedge needs. (These rates were derived
    for this library; the paper states its own for Markov decision processes.)

    Args:
        features: shape `(K, d)`.
        horizon: $T$.
        learning_rate: $\eta$ instead.

    References:
        dai2023.
    """
    array = as_payoffs(features, "features")
    num_arms, dimension = array.shape
    if learning_rate is None:
        learning_rate = (math.log(num_arms) / dimension / horizon) ** 0.5
    ridge = learning_rate**2 * jnp.max(jnp.sum(array**2, axis=-1))
    return Policy(Hedge(learning_rate), BanditFeedback(MagnitudeReduced(array, ridge)))

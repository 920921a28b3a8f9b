"""The numbers of boosting over distributions: how much is drawn and reweighted in r rounds."""

from typing import Any

import jax.numpy as jnp

from gamejax._export import AbstractResult
from gamejax._types import Scalar


class BoostingPlan(AbstractResult):
    r"""The constants of realizable collaborative learning in $r$ rounds.

    $\theta = \min\{r/(2 \log_2 k), 1/2\}$, $p = \frac12 (4 k^{2/r})^{-1/(1-\theta)}$,
    $\tau = \varepsilon/(1 + 1/\theta)$, $\alpha = \frac12 \ln\frac{1-p}{p}$,
    $\varepsilon_A = \tau p/4$, $\delta_A = \delta/(2r)$.

    If each learner errs by at most $\tau p$ on its mixture, at most a mass $p$ of distributions has
    error above $\tau$; AdaBoost's margin then leaves less than one distribution on which more than
    $1/2 - \theta/2$ of the $r$ voters are bad, since $k$ times `margin_product` is below 1; and
    where no more are bad the majority errs by at most $(1 + 1/\theta)\tau = \varepsilon$.

    Attributes:
        theta, edge, tolerance, step: $\theta$, $p$, $\tau$, $\alpha$.
        learner_eps, learner_delta: $\varepsilon_A$, $\delta_A$.
        num_train: $m = \lceil (d + \ln(1/\delta_A))/\varepsilon_A\rceil$, samples of a mixture.
        num_test: $n = \lceil (12/\tau) \ln(2rk/\delta)\rceil$, samples of each distribution.
        margin_product: $(2\sqrt{(1-p)^{1+\theta} p^{1-\theta}})^r < 1/k$.
    """

    theta: Scalar
    edge: Scalar
    tolerance: Scalar
    step: Scalar
    learner_eps: Scalar
    learner_delta: Scalar
    num_train: Scalar
    num_test: Scalar
    margin_product: Scalar


def boosting_plan(
    num_distributions: Any,
    num_rounds: Any,
    eps: Any,
    delta: Any,
    dimension: Any,
    dtype: Any = None,
) -> BoostingPlan:
    r"""The constants for $k$ distributions, $r$ rounds, error $\varepsilon$, confidence $1-\delta$.

    All arguments may be arrays or traced, so that plans can be mapped over. The paper has
    $r \le \log_2 k$; for more rounds (and for $k = 1$) $\theta$ stays at $1/2$, for which the
    same chain holds. The paper gives $m$ up to a constant: with $d = \ln|H|$ the constant 1 is
    right for a finite class and any learner that returns a hypothesis without training error.

    Args:
        num_distributions: $k$.
        num_rounds: $r \ge 1$.
        eps: error wanted on every distribution.
        delta: probability of failure allowed.
        dimension: $d$: $\ln |H|$ of a finite class, else a VC dimension.
        dtype: default the default float.

    References:
        haghtalab2025 (realizable case).
    """
    dtype = jnp.result_type(float) if dtype is None else dtype
    k, r, eps, delta, d = (
        jnp.asarray(x).astype(dtype) for x in (num_distributions, num_rounds, eps, delta, dimension)
    )
    bits = jnp.log2(jnp.maximum(k, 1))
    theta = r / jnp.maximum(2 * bits, 2 * r)
    edge = 0.5 * (4 * k ** (2 / r)) ** (-1 / (1 - theta))
    tolerance = eps / (1 + 1 / theta)
    learner_eps, learner_delta = tolerance * edge / 4, delta / (2 * r)
    factor = 2 * jnp.sqrt((1 - edge) ** (1 + theta) * edge ** (1 - theta))
    return BoostingPlan(
        theta=theta,
        edge=edge,
        tolerance=tolerance,
        step=0.5 * jnp.log((1 - edge) / edge),
        learner_eps=learner_eps,
        learner_delta=learner_delta,
        num_train=jnp.ceil((d - jnp.log(learner_delta)) / learner_eps),
        num_test=jnp.ceil(12 / tolerance * jnp.log(2 * r * k / delta)),
        margin_product=factor**r,
    )

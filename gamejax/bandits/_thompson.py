"""Thompson sampling: play the arm that is best in a draw from the posterior."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._numerics import uniform
from gamejax._types import Scalar
from gamejax.bandits._beta import beta
from gamejax.bandits._index_play import IndexPlay
from gamejax.learners import AbstractIndexPolicy
from gamejax.learners._base import check_number
from gamejax.learners._dual import number


class ThompsonBeta(AbstractIndexPolicy):
    r"""Thompson sampling of Bernoulli arms: $\theta_a \sim \mathrm{Beta}(1 + S_a, 1 + F_a)$.

    $S_a$ and $F_a$ count the ones and zeros seen of arm $a$; the prior is uniform.
    """

    tries_all: ClassVar[bool] = False

    def record(self, counts: Array, means: Array) -> tuple[Array, Array]:
        ones = jnp.round(means * counts)
        return 1 + ones, 1 + counts - ones

    def index(
        self, record: tuple[Array, Array], step: Scalar, *, key: PRNGKeyArray | None
    ) -> Array:
        return beta(_required(key), *record)


class ThompsonGaussian(AbstractIndexPolicy):
    r"""Thompson sampling with normal posteriors: $\theta_a \sim N(m_a, \sigma^2/(N_a + 1))$."""

    scale: float | Scalar = 1.0
    tries_all: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_number(self, "scale", 0)

    def record(self, counts: Array, means: Array) -> tuple[Array, Array]:
        return means, number(self.scale, means) * jax.lax.rsqrt(counts + 1)

    def index(
        self, record: tuple[Array, Array], step: Scalar, *, key: PRNGKeyArray | None
    ) -> Array:
        means, widths = record
        noise = jax.scipy.special.ndtri(uniform(_required(key), means.dtype, means.shape, 2))
        return means + widths * noise


def thompson() -> IndexPlay:
    r"""Thompson sampling with Beta posteriors, for rewards in $[0, 1]$.

    $\theta_a \sim \mathrm{Beta}(1 + S_a, 1 + F_a)$, play the largest. For Bernoulli arms the regret
    is asymptotically optimal, $\sum_a D_a \ln T/\mathrm{kl}(\mu_a, \mu^\star)$, and
    $O(\sqrt{K T \ln T})$ whatever the gaps. Rewards between 0 and 1 are replaced by coins.

    References:
        thompson1933; agrawal2012; kaufmann2012.
    """
    return IndexPlay(ThompsonBeta(), coins=True)


def thompson_gaussian(scale: Any = 1.0) -> IndexPlay:
    r"""Thompson sampling with normal posteriors, $\theta_a \sim N(m_a, \sigma^2/(N_a + 1))$.

    Regret $O(\sqrt{K T \ln K})$ for rewards whose noise has scale at most $\sigma$.

    Args:
        scale: $\sigma > 0$.

    References:
        agrawal2013.
    """
    return IndexPlay(ThompsonGaussian(scale))


def _required(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("Thompson sampling draws at random: pass key=jax.random.key(seed).")
    return key

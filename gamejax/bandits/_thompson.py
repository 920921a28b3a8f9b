"""Thompson sampling: play the arm that is best in a draw from the posterior."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._types import Scalar, State, Strategy
from gamejax.bandits._beta import beta
from gamejax.bandits._policy import Policy, uniform
from gamejax.feedback import Feedback
from gamejax.learners import AbstractIndexPolicy, AbstractLearner
from gamejax.learners._base import check_number
from gamejax.learners._dual import number
from gamejax.sets import AbstractStrategySet


class ThompsonBeta(AbstractIndexPolicy):
    r"""Thompson sampling of Bernoulli arms: $\theta_a \sim \mathrm{Beta}(1 + S_a, 1 + F_a)$.

    $S_a$ and $F_a$ count the ones and zeros seen of arm $a$; the prior is uniform.
    """

    tries_all: ClassVar[bool] = False

    def index(
        self, counts: Array, means: Array, step: Scalar, *, key: PRNGKeyArray | None
    ) -> Array:
        ones = jnp.round(means * counts)
        return beta(_required(key), 1 + ones, 1 + counts - ones)


class ThompsonGaussian(AbstractIndexPolicy):
    r"""Thompson sampling with normal posteriors: $\theta_a \sim N(m_a, \sigma^2/(N_a + 1))$."""

    scale: float | Scalar = 1.0
    tries_all: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_number(self, "scale", 0)

    def index(
        self, counts: Array, means: Array, step: Scalar, *, key: PRNGKeyArray | None
    ) -> Array:
        normal = jax.scipy.special.ndtri(uniform(_required(key), means.dtype, means.shape, 2))
        return means + number(self.scale, means) * normal * jax.lax.rsqrt(counts + 1)


class Resampled(AbstractLearner):
    r"""A learner that sees rewards $X \in [0, 1]$ as coins: 1 with probability $X$, else 0.

    Sums of several rewards (delays) keep their integer part. Makes learners for Bernoulli rewards
    work with all rewards in $[0, 1]$; changes nothing where they are 0 or 1 already.

    References:
        agrawal2012.
    """

    learner: AbstractLearner

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, State]:
        return self.learner.init(strategies, dtype=dtype)

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: State,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, State]:
        whole = jnp.floor(feedback.utility)
        coin = uniform(_required(key), whole.dtype) < feedback.utility - whole
        seen = feedback._replace(utility=whole + coin.astype(whole.dtype))
        return self.learner.update(strategies, seen, state, strategy, key=key)


def thompson() -> Policy:
    r"""Thompson sampling with Beta posteriors, for rewards in $[0, 1]$.

    $\theta_a \sim \mathrm{Beta}(1 + S_a, 1 + F_a)$, play the largest. For Bernoulli arms the regret
    is asymptotically optimal, $\sum_a D_a \ln T/\mathrm{kl}(\mu_a, \mu^\star)$, and
    $O(\sqrt{K T \ln T})$ whatever the gaps. Rewards between 0 and 1 are replaced by coins.

    References:
        thompson1933; agrawal2012; kaufmann2012.
    """
    return Policy(Resampled(ThompsonBeta()))


def thompson_gaussian(scale: Any = 1.0) -> Policy:
    r"""Thompson sampling with normal posteriors, $\theta_a \sim N(m_a, \sigma^2/(N_a + 1))$.

    Regret $O(\sqrt{K T \ln K})$ for rewards whose noise has scale at most $\sigma$.

    Args:
        scale: $\sigma > 0$.

    References:
        agrawal2013.
    """
    return Policy(ThompsonGaussian(scale))


def _required(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("Thompson sampling draws at random: pass key=jax.random.key(seed).")
    return key

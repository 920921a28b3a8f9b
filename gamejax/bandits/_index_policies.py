"""Index policies for stochastic rewards."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._numerics import hash_words, safe_log, uniform
from gamejax._types import Scalar
from gamejax.bandits._index_play import IndexPlay
from gamejax.learners import UCB, AbstractIndexPolicy
from gamejax.learners._base import check_number
from gamejax.learners._dual import number

NEWTON_STEPS = 10
"""The KL index starts near its root and on the side from which Newton steps are monotone."""


class KLUCB(AbstractIndexPolicy):
    r"""KL-UCB for Bernoulli rewards.

    The index $\max\{q \ge m_a : N_a\,\mathrm{kl}(m_a, q) \le \ln t + c \ln\ln t\}$, by Newton's
    method.

    Args:
        c: 0 in practice, 3 in the proof.
    """

    c: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "c", 0, strict=False)

    def index(self, record: Any, step: Scalar, *, key: PRNGKeyArray | None) -> Array:
        counts, means = record
        logarithm = jnp.log(step)
        level = logarithm + number(self.c, means) * jnp.log(jnp.maximum(logarithm, 1))
        return kl_upper(means, level / counts)


def kl_upper(means: Array, level: Array) -> Array:
    r"""$\max\{q : \mathrm{kl}(m, q) \le f\}$, the largest mean not refuted; $f \ge 0$.

    Newton's method in $y = \ln(1 - q)$, where $g(y) = \mathrm{kl}(m, q) - f$ is convex with
    $g' = (m - q)/q$, from the left of the root: the nearer of two upper bounds of $q$, Pinsker's
    $m + \sqrt{f/2}$ and $1 - e^{-(f + H(m))/(1 - m)}$ with $H$ the entropy, exact at $m = 0$.
    """
    eps = jnp.asarray(jnp.finfo(means.dtype).eps, means.dtype)
    rest = 1 - means
    certain = rest <= eps
    rest = jnp.where(certain, 1, rest)
    entropy = -means * safe_log(means) - rest * safe_log(rest)
    pinsker = safe_log(rest - jnp.sqrt(level / 2))
    y = jnp.maximum(-(level + entropy) / rest, pinsker)
    for _ in range(NEWTON_STEPS):
        q = -jnp.expm1(y)
        excess = -entropy - means * safe_log(q) - rest * y - level
        ahead = q > means
        y = y + jnp.where(ahead, excess * q / jnp.where(ahead, q - means, 1), 0)
    return jnp.where(certain, means, jnp.maximum(-jnp.expm1(y), means))


class MOSS(AbstractIndexPolicy):
    r"""MOSS: the index $m_a + \sqrt{\max(\ln(T/(K N_a)), 0)/N_a}$.

    Args:
        horizon: $T$.
    """

    horizon: float | Scalar

    def __check_init__(self) -> None:
        check_number(self, "horizon", 1, strict=False)

    def index(self, record: Any, step: Scalar, *, key: PRNGKeyArray | None) -> Array:
        counts, means = record
        share = number(self.horizon, means) / (counts.shape[-1] * counts)
        return means + jnp.sqrt(jnp.maximum(jnp.log(share), 0) / counts)


class EpsilonGreedy(AbstractIndexPolicy):
    r"""Plays the best mean, or with probability $\varepsilon_t = \min(1, \varepsilon/t^p)$ any arm.

    Args:
        epsilon: $\varepsilon \ge 0$.
        decay: $p$, 0 or 1.
    """

    epsilon: float | Scalar
    decay: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "epsilon", 0, strict=False)
        check_number(self, "decay", 0, strict=False)

    def record(self, counts: Array, means: Array) -> Array:
        return means

    def index(self, record: Any, step: Scalar, *, key: PRNGKeyArray | None) -> Array:
        if key is None:
            raise ValueError("EpsilonGreedy draws at random: pass key=jax.random.key(seed).")
        rate = number(self.epsilon, record) * step ** -number(self.decay, record)
        explore = uniform(key, record.dtype, (), 2) < rate
        lots = (hash_words(key, record.shape, 4) >> 8).astype(record.dtype)
        return jnp.where(explore, lots, record)


class ExploreThenCommit(AbstractIndexPolicy):
    r"""Explores every arm $m$ times, then plays the one with the best mean for ever.

    Args:
        num_pulls: $m \ge 1$.
    """

    num_pulls: int | Array

    def __check_init__(self) -> None:
        check_number(self, "num_pulls", 1, strict=False)

    def record(self, counts: Array, means: Array) -> Array:
        budget = number(self.num_pulls, means)
        large = jnp.asarray(jnp.finfo(means.dtype).max / 4, means.dtype)
        # Fewest pulls first; once all have theirs, the arm that has more was committed to.
        committed = jnp.where(counts > budget, large * (1 - 1 / counts), means)
        return jnp.where(counts < budget, large * (1 + 1 / counts), committed)

    def index(self, record: Any, step: Scalar, *, key: PRNGKeyArray | None) -> Array:
        return record


def ucb1(exploration: Any = 2.0, scale: Any = 1.0) -> IndexPlay:
    r"""UCB1: play the largest $m_a + R\sqrt{c \ln t/N_a}$, each arm once first.

    See `gamejax.learners.UCB`. $c = 2$ has the proved bound $E R_T \le \sum_{D_a > 0} 8 \ln T/D_a +
    (1 + \pi^2/3)\sum_a D_a$; $c = 1/2$ is usual in practice.

    Args:
        exploration: $c \ge 0$.
        scale: $R > 0$, largest minus smallest reward.

    References:
        auer2002 (Theorem 1).
    """
    return IndexPlay(UCB(exploration, scale))


def kl_ucb(c: Any = 0.0) -> IndexPlay:
    r"""KL-UCB for rewards in $[0, 1]$: play the largest mean that is not refuted.

    Index $\max\{q \ge m_a : N_a\,\mathrm{kl}(m_a, q) \le \ln t + c \ln\ln t\}$ with the Bernoulli
    divergence; $\limsup E R_T/\ln T = \sum_a D_a/\mathrm{kl}(\mu_a, \mu^\star)$, which no policy
    that does well everywhere can beat (Bernoulli arms).

    Args:
        c: 0 in practice, 3 in the proof.

    References:
        garivier2011 (Theorem 1).
    """
    return IndexPlay(KLUCB(c))


def moss(horizon: Any) -> IndexPlay:
    r"""MOSS: play the largest $m_a + \sqrt{\max(\ln(T/(K N_a)), 0)/N_a}$.

    Minimax: $E R_T \le 49\sqrt{T K}$ for rewards in $[0, 1]$.

    Args:
        horizon: $T$.

    References:
        audibert2009 (Theorem 5).
    """
    return IndexPlay(MOSS(horizon))


def epsilon_greedy(epsilon: Any, decay: Any = 0.0) -> IndexPlay:
    r"""Best mean so far, or with probability $\min(1, \varepsilon t^{-p})$ an arm at random.

    With $p = 1$ and $\varepsilon = cK/d^2$, $c > 5$ and $d$ at most the smallest gap, regret
    $O(\ln T)$; a fixed $\varepsilon$ loses $\varepsilon$ times the mean gap in every round.

    Args:
        epsilon: $\varepsilon \ge 0$.
        decay: $p \ge 0$.

    References:
        auer2002 (Theorem 3).
    """
    return IndexPlay(EpsilonGreedy(epsilon, decay))


def explore_then_commit(num_pulls: Any) -> IndexPlay:
    r"""Every arm $m$ times, then the one with the best mean for ever.

    Two arms of gap $D$ with noise of unit scale and $m = \lceil (4/D^2)\ln(T D^2/4)\rceil$: regret
    at most $D + (4/D)(1 + \max(\ln(T D^2/4), 0))$.

    Args:
        num_pulls: $m \ge 1$.

    References:
        lattimore2020 (Theorem 6.1).
    """
    return IndexPlay(ExploreThenCommit(num_pulls))

"""Policies against adversarial rewards: learners of full information under bandit feedback.

Rewards lie in [0, 1]; their losses are one minus rewards.
"""

import math
from typing import Any

from gamejax._types import Numbers
from gamejax.bandits._exp3 import Exp3
from gamejax.bandits._experts import Experts, ExpThreePlusPlus, as_advice
from gamejax.bandits._policy import Policy
from gamejax.feedback import (
    AbstractEstimator,
    BanditFeedback,
    ImportanceWeighting,
    OptimisticWeighting,
    ReducedVariance,
)
from gamejax.learners import FollowTheRegularizedLeader, Hedge
from gamejax.regularizers import Entropy, LogBarrier, Tsallis

LOSSES = ImportanceWeighting(1.0)
"""Importance weighting of losses: the guess for arms not pulled is the largest reward."""


def exp3(num_arms: int, horizon: Any = None, *, learning_rate: Any = None) -> Exp3 | Policy:
    r"""Exp3: Hedge on the importance-weighted losses $\hat\ell_a = \ell_a 1\{I = a\}/p_a$.

    $p_{t+1} \propto \exp(-\eta \sum_{s \le t} \hat\ell_s)$. With $\eta = \sqrt{2 \ln K/(T K)}$ the
    expected regret is at most $\sqrt{2 T K \ln K}$; without a horizon
    $\eta_t = \sqrt{\ln K/(t K)}$ and at most $2\sqrt{T K \ln K}$ at every $T$.

    Args:
        num_arms: $K$.
        horizon: $T$; `None` for the anytime rate.
        learning_rate: $\eta$ itself, instead.

    References:
        auer2002b; bubeck2012 (Theorem 3.1).
    """
    if learning_rate is None and horizon is None:
        rate = math.sqrt(math.log(num_arms) / num_arms)
        learner = FollowTheRegularizedLeader(Entropy(), rate, decay=0.5)
        return Policy(learner, BanditFeedback(LOSSES))
    if learning_rate is None:
        learning_rate = _rate(num_arms, horizon)
    return Exp3(learning_rate)


def exp3_ix(num_arms: int, horizon: Any) -> Exp3:
    r"""Exp3-IX: Exp3 with implicit exploration, $\hat\ell_a = \ell_a 1\{I = a\}/(p_a + \gamma)$.

    $\eta = \sqrt{2 \ln K/(T K)}$, $\gamma = \eta/2$. With probability $1 - \delta$ the regret is at
    most $2\sqrt{2 K T \ln K} + (\sqrt{2 K T/\ln K} + 1)\ln(2/\delta)$.

    Args:
        num_arms: $K$.
        horizon: $T$.

    References:
        neu2015 (Theorem 1).
    """
    rate = _rate(num_arms, horizon)
    return Exp3(rate, rate / 2)


def exp3_p(num_arms: int, horizon: Any, delta: Any = 0.05) -> Policy:
    r"""Exp3.P: Exp3 on gains with a bonus and forced exploration.

    $\tilde g_a = (g_a 1\{I = a\} + \beta)/p_a$ with $\beta = \sqrt{\ln(K/\delta)/(T K)}$,
    $\eta = 0.95\sqrt{\ln K/(T K)}$, and a share $\gamma = 1.05\sqrt{K \ln K/T}$ of uniform play.
    With probability $1 - \delta$ the regret is at most $5.15\sqrt{T K \ln(K/\delta)}$.

    Args:
        num_arms: $K$.
        horizon: $T \ge 1.1 K \ln K$ (so that $\gamma \le 1$).
        delta: $\delta \in (0, 1)$.

    References:
        auer2002b; bubeck2012 (Theorem 3.3).
    """
    share = 1.05 * (num_arms * math.log(num_arms) / horizon) ** 0.5
    rate = 0.95 * (math.log(num_arms) / num_arms / horizon) ** 0.5
    bonus = (math.log(num_arms / delta) / num_arms / horizon) ** 0.5
    return Policy(Hedge(rate), BanditFeedback(OptimisticWeighting(bonus), share))


def exp4(advice: Numbers, horizon: Any) -> Policy:
    r"""Exp4: Hedge over experts who advise probabilities of arms.

    With $q$ the weights of the experts, arm $a$ has probability $\sum_m q_m \xi_m(a)$, and expert
    $m$ loses $\langle \xi_m, \hat\ell\rangle$. With $\eta = \sqrt{2 \ln M/(T K)}$ the expected
    regret against the best expert is at most $\sqrt{2 T K \ln M}$.

    Args:
        advice: $\xi$, shape `(M, K)`, rows are distributions; or one such matrix per round,
            `(T, M, K)`.
        horizon: $T$.

    Raises:
        ValueError: `advice` has another shape.

    References:
        auer2002b; bubeck2012 (Theorem 4.2).
    """
    advice = as_advice(advice)
    num_experts, num_arms = advice.shape[-2:]
    rate = (2 * math.log(num_experts) / num_arms / horizon) ** 0.5
    return Policy(Experts(advice, rate), BanditFeedback(LOSSES))


def exp3_plus_plus(c: Any = 18.0) -> Policy:
    r"""Exp3++: Exp3 with exploration that learns the gaps; for both worlds.

    $\eta_t = \frac12\sqrt{\ln K/(t K)}$ and arm $a$ gets the extra probability
    $\varepsilon_a = \min\{\frac1{2K}, \frac12\sqrt{\frac{\ln K}{t K}},
    \frac{c \ln t}{t \hat D_a^2}\}$, with $\hat D_a$ the gap of the importance-weighted losses per
    round. Adversarial regret at most $4\sqrt{T K \ln K}$.

    Args:
        c: $c > 0$; the proof of polylogarithmic stochastic regret wants 18, small values work.

    References:
        seldin2014.
    """
    return Policy(ExpThreePlusPlus(c), BanditFeedback(LOSSES))


def tsallis_inf(*, reduced_variance: bool = True) -> Policy:
    r"""1/2-Tsallis-INF: follow the leader regularized by $-4\sum_a(\sqrt{p_a} - p_a/2)/\eta_t$.

    $p_a = 4/(\eta_t(\hat L_a - x))^2$ with $x$ such that $\sum_a p_a = 1$. With importance
    weighting $\eta_t = 2/\sqrt t$ and the adversarial regret is at most $4\sqrt{K T} + 1$; with
    reduced variance ($\hat\ell_a = (\ell_a - B_a)1\{I = a\}/p_a + B_a$, $B_a = \frac12 1\{p_a \ge
    \eta_t^2\}$) $\eta_t = 4/\sqrt t$ and $2\sqrt{2 K T} + 10 K \ln T + 16$. With one best arm and
    stochastic rewards $O(\sum_a \ln T/D_a)$, also under corruption.

    Args:
        reduced_variance: which estimator.

    References:
        zimmert2021 (Theorem 1).
    """
    # The library's Tsallis regularizer is half of the paper's, so its rates are half of those.
    rate, estimator = 1.0, LOSSES
    if reduced_variance:
        rate, estimator = 2.0, ReducedVariance(threshold=16.0)
    learner = FollowTheRegularizedLeader(Tsallis(0.5), rate, decay=0.5)
    return Policy(learner, BanditFeedback(estimator))


def log_barrier(
    num_arms: int,
    horizon: Any,
    *,
    learning_rate: Any = None,
    estimator: AbstractEstimator = LOSSES,
) -> Policy:
    r"""Follow the leader regularized by the barrier $\Psi(p) = -\sum_a \ln p_a$.

    For **any** estimates $\hat\ell_t \in \mathbb R^K$, also very negative ones, and every $y$,
    $$\sum_t\langle p_t - y, \hat\ell_t\rangle \le \frac{\Psi(y) - \Psi(p_1)}{\eta} +
    \eta\sum_t\sum_a p_{t,a}\hat\ell_{t,a}^2,$$
    with $\Psi(y) - \Psi(p_1) \le K \ln T$ for $y = (1 - 1/T)e_a + 1/(K T)$. With losses in
    $[0, 1]$ the last sum has expectation at most $\sum_t \sum_a \ell_{t,a} \le K T$, which gives
    the default $\eta = \sqrt{\ln T/T}$.

    Args:
        num_arms: $K$.
        horizon: $T$.
        learning_rate: $\eta$ instead.
        estimator: of the losses.

    References:
        dai2023 (the refined bound); foster2016.
    """
    if num_arms < 1:
        raise ValueError(f"num_arms must be at least 1, got {num_arms}.")
    if learning_rate is None:
        learning_rate = (math.log(horizon) / horizon) ** 0.5
    learner = FollowTheRegularizedLeader(LogBarrier(), learning_rate)
    return Policy(learner, BanditFeedback(estimator))


def _rate(num_arms: int, horizon: Any) -> Any:
    return (2 * math.log(num_arms) / num_arms / horizon) ** 0.5

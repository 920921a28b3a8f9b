"""Mirror descent, optimistic mirror descent and magnetic mirror descent."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._types import Scalar, Strategy, Utility
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner, check_number
from gamejax.learners._dual import combine, decayed, keeps_dual
from gamejax.regularizers import AbstractRegularizer, Entropy
from gamejax.sets import AbstractStrategySet


class MirrorState(NamedTuple):
    r"""What `MirrorDescent` carries: $\nabla R(\hat x)$ up to a constant, the rounds so far."""

    dual: Utility
    step: Int[Array, ""]


class MirrorDescent(AbstractLearner):
    r"""Mirror descent, for maximisers an ascent; with `optimism=1.0` its optimistic form.

    Two sequences, both starting at $x^1$:
    $$\hat x^{t+1} = \arg\max_{x \in X}\ \eta_t\langle x, u^t\rangle - D_R(x, \hat x^t), \qquad
    x^{t+1} = \arg\max_{x \in X}\ \omega\eta_t\langle x, u^t\rangle - D_R(x, \hat x^{t+1}),$$
    $\eta_t = \eta\, t^{-p}$. For $\omega = 0$ both agree. With `Euclidean` it is projected gradient
    ascent and, for $\omega = 1$, optimistic gradient (OGDA), whose strategies themselves converge
    in zero-sum games for $\eta < 1/(2L)$, $L$ the spectral norm of the payoffs (proved linear for
    $\eta \le 1/(8L)$). With `Entropy` on a simplex it equals `Hedge`, also far in the corners: it
    is computed in log space.
    For $p = \omega = 0$ and $R$ 1-strongly convex the regret is at most
    $\frac{D_R(x, x^1)}{\eta} + \frac{\eta}{2}\sum_t\|u^t\|_*^2$.

    Args:
        regularizer: $R$, from `gamejax.regularizers`.
        learning_rate: $\eta > 0$.
        optimism: weight $\omega \ge 0$ of the last utility as a prediction of the next.
        decay: $p \ge 0$.

    References:
        nemirovski1983; rakhlin2013; cai2022; wei2021.
    """

    regularizer: AbstractRegularizer
    learning_rate: float | Scalar
    optimism: float | Scalar = 0.0
    decay: float | Scalar = 0.0

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "optimism", 0, strict=False)
        check_number(self, "decay", 0, strict=False)

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, MirrorState]:
        return self.start(strategies, strategies.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, MirrorState]:
        dual = strategies.dual(strategy, self.regularizer)
        return strategy, MirrorState(dual, jnp.zeros((), jnp.int32))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: MirrorState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, MirrorState]:
        utility = feedback.utility
        rate = decayed(self.learning_rate, self.decay, state.step + 1, utility)
        dual = combine((1, state.dual), (rate, utility))
        if keeps_dual(strategies, self.regularizer):
            dual = strategies.recenter(dual)
        else:
            moved = strategies.mirror(dual, self.regularizer)
            dual = strategies.dual(moved, self.regularizer)
        state = MirrorState(dual, state.step + 1)
        ahead = combine((1, dual), (rate * jnp.asarray(self.optimism, rate.dtype), utility))
        return strategies.mirror(ahead, self.regularizer), state


class MagneticState(NamedTuple):
    r"""What `MagneticMirrorDescent` carries: $\nabla R(x)$, $\nabla R(\rho)$, the rounds so far."""

    dual: Utility
    magnet: Utility
    step: Int[Array, ""]


class MagneticMirrorDescent(AbstractLearner):
    r"""Magnetic mirror descent: mirror descent pulled towards a magnet $\rho$.

    $$x^{t+1} = \arg\max_{x \in X}\ \eta_t\langle x, u^t\rangle - \eta_t\alpha_t D_R(x, \rho) -
    D_R(x, x^t), \qquad (\eta_t, \alpha_t) = (\eta, \alpha)\, t^{-p},$$
    that is $\nabla R(x^{t+1}) = (\nabla R(x^t) + \eta\alpha\nabla R(\rho) + \eta u^t)/(1 +
    \eta\alpha)$ before projection. With entropy, a uniform magnet and $\eta \le \alpha/L^2$ ($L$
    the largest absolute payoff) self-play of a zero-sum game converges to its logit equilibrium of
    precision $1/\alpha$: the sum over players of $\mathrm{KL}(x^* \| x^{t+1})$ is at most
    $(1 + \eta\alpha)^{-t}$ times the first. For a Nash equilibrium let both decay (`decay=0.5`) or
    let the magnet follow (`magnet_every`).

    On a `Treeplex` the divergence is dilated, $\sum_j x_{p_j} \mathrm{KL}(b_j \| \rho_j)$. Pulled
    towards uniform behaviors, the default, play differs from the equilibrium of
    `games.regularized(game, temperature)` by the pay for reaching sets; with
    `magnet=strategies.mirror(zeros, Entropy())` it is that one.

    Args:
        learning_rate: $\eta > 0$.
        temperature: $\alpha \ge 0$, in units of utility.
        regularizer: $R$; default `Entropy()`.
        magnet: the strategy $\rho$; default the center of the set.
        decay: $p \ge 0$, for the learning rate and the temperature alike.
        magnet_every: move the magnet to the current strategy after every so many rounds; `None`
            leaves it.

    References:
        sokota2023.
    """

    learning_rate: float | Scalar
    temperature: float | Scalar
    regularizer: AbstractRegularizer = Entropy()
    magnet: Strategy | None = None
    decay: float | Scalar = 0.0
    magnet_every: int | Array | None = None

    def __check_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "temperature", 0, strict=False)
        check_number(self, "decay", 0, strict=False)
        check_number(self, "magnet_every", 1, strict=False)

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Strategy, MagneticState]:
        return self.start(strategies, strategies.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, MagneticState]:
        magnet = strategies.center(dtype) if self.magnet is None else self.magnet
        magnet = jax.tree.map(lambda m: jnp.asarray(m, dtype), magnet)
        duals = [strategies.dual(point, self.regularizer) for point in (strategy, magnet)]
        return strategy, MagneticState(duals[0], duals[1], jnp.zeros((), jnp.int32))

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: MagneticState,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, MagneticState]:
        step = state.step + 1
        rate = decayed(self.learning_rate, self.decay, step, feedback.utility)
        pull = rate * decayed(self.temperature, self.decay, step, feedback.utility)
        keep = 1 / (1 + pull)
        dual = combine(
            (keep, state.dual), (keep * pull, state.magnet), (keep * rate, feedback.utility)
        )
        strategy = strategies.mirror(dual, self.regularizer)
        if keeps_dual(strategies, self.regularizer):
            dual = strategies.recenter(dual)
        else:
            dual = strategies.dual(strategy, self.regularizer)
        magnet = state.magnet
        if self.magnet_every is not None:
            moves = step % jnp.asarray(self.magnet_every, jnp.int32) == 0
            magnet = jax.tree.map(lambda d, m: jnp.where(moves, d, m), dual, magnet)
        return strategy, MagneticState(dual, magnet, step)

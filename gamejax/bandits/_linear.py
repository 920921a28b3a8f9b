"""Linear bandits: arms with features, rewards linear in them."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._linalg import cholesky
from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar, State, Strategy, Utility
from gamejax.bandits._environments import AbstractEnvironment, Benchmark, normal
from gamejax.bandits._policy import Policy, Values
from gamejax.feedback import Feedback
from gamejax.games._normal_form import as_payoffs
from gamejax.learners import AbstractLearner
from gamejax.learners._base import check_number
from gamejax.learners._dual import number
from gamejax.regularizers import AbstractRegularizer
from gamejax.sets import AbstractStrategySet, Simplex

Features = Float[Array, "arms dimension"]


class ContextualSimplex(AbstractStrategySet):
    """The simplex of arms of one round, with what is known of each of them.

    Args:
        features: one row per arm, shape `(K, d)`.
    """

    features: Features
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, features: Features):
        self.features = features
        self.shape = (features.shape[-2],)

    @property
    def simplex(self) -> Simplex:
        """The same set without features."""
        return Simplex(self.shape)

    def center(self, dtype: Any) -> Strategy:
        return self.simplex.center(dtype)

    def lmo(self, utility: Utility) -> Strategy:
        return self.simplex.lmo(utility)

    def support(self, utility: Utility) -> Scalar:
        return self.simplex.support(utility)

    def project(self, point: Strategy) -> Strategy:
        return self.simplex.project(point)

    def mirror(self, dual: Utility, regularizer: AbstractRegularizer) -> Strategy:
        return self.simplex.mirror(dual, regularizer)

    def violation(self, strategy: Strategy) -> Scalar:
        return self.simplex.violation(strategy)

    def recenter(self, dual: Utility) -> Utility:
        return self.simplex.recenter(dual)

    def entropy_range(self, dtype: Any) -> Scalar:
        return self.simplex.entropy_range(dtype)


class Linear(AbstractEnvironment):
    r"""Arms with fixed features: arm $a$ pays $\langle\phi_a, \theta\rangle + \sigma z$.

    Args:
        features: $\phi$, shape `(K, d)`.
        theta: $\theta$, shape `(d,)`.
        noise: $\sigma \ge 0$.

    Raises:
        ValueError: the shapes do not fit.
    """

    features: Features
    theta: Float[Array, " dimension"]
    noise: float | Scalar

    def __init__(self, features: Numbers, theta: Numbers, noise: Any = 0.1):
        self.features = as_payoffs(features, "features")
        self.theta = as_payoffs(theta, "theta")
        self.noise = noise
        if self.features.ndim != 2 or self.theta.shape != self.features.shape[1:]:
            raise ValueError(
                "features must have shape (arms, d) and theta shape (d,), got "
                f"{self.features.shape} and {self.theta.shape}."
            )

    @property
    def num_arms(self) -> int:
        return self.features.shape[-2]

    def choices(self, state: State) -> ContextualSimplex:
        return ContextualSimplex(self.features)

    def expected(self, state: State, *, step: Array) -> Values:
        return jnp.matmul(self.features, self.theta, precision=HIGHEST)

    def sample(
        self, profile: Any, state: State, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], State]:
        noise = jnp.asarray(self.noise, self.dtype) * normal(key, self.dtype)
        return (self.expected(state, step=step) + noise,), state


class LinearContextual(AbstractEnvironment):
    r"""Arms with new features in every round, uniform on the unit sphere.

    Arm $a$ pays $\langle\phi_{t,a}, \theta\rangle + \sigma z$; regret is measured against the best
    arm of every round.

    Args:
        theta: $\theta$, shape `(d,)`.
        num_arms: $K$.
        noise: $\sigma \ge 0$.

    Raises:
        ValueError: `theta` is no vector.
    """

    theta: Float[Array, " dimension"]
    offered: int = eqx.field(static=True)
    noise: float | Scalar

    def __init__(self, theta: Numbers, num_arms: int, noise: Any = 0.1):
        self.theta = as_payoffs(theta, "theta")
        self.offered = num_arms
        self.noise = noise
        if self.theta.ndim != 1:
            raise ValueError(f"theta must be a vector, got shape {self.theta.shape}.")

    @property
    def num_arms(self) -> int:
        return self.offered

    @property
    def benchmark(self) -> Benchmark:
        return "every_round"

    @property
    def changes(self) -> bool:
        return True

    def choices(self, state: Features) -> ContextualSimplex:
        return ContextualSimplex(state)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> Features:
        # Another stream than the first round's draws, which use the same key.
        return self._features(None if key is None else jax.random.fold_in(key, 0), dtype)

    def _features(self, key: PRNGKeyArray | None, dtype: Any) -> Features:
        points = normal(key, dtype, (self.num_arms, len(self.theta)))
        return points / jnp.sqrt(jnp.sum(points**2, axis=-1, keepdims=True))

    def expected(self, state: Features, *, step: Array) -> Values:
        return jnp.matmul(state, self.theta, precision=HIGHEST)

    def sample(
        self, profile: Any, state: Features, *, key: PRNGKeyArray | None, step: Array
    ) -> tuple[tuple[Values, ...], Features]:
        noise = jnp.asarray(self.noise, self.dtype) * normal(key, self.dtype)
        rewards = self.expected(state, step=step) + noise
        following = None if key is None else jax.random.fold_in(key, 1)
        return (rewards,), self._features(following, state.dtype)


class LinearState(NamedTuple):
    r"""Ridge regression so far: $V^{-1}$, $b = \sum x r$; the features on offer; rounds."""

    inverse: Float[Array, "dimension dimension"]
    response: Float[Array, " dimension"]
    features: Features
    step: Int[Array, ""]


class _AbstractLinear(AbstractLearner):
    """Plays an optimistic or drawn ridge regression."""

    ridge: eqx.AbstractVar[float | Scalar]

    @abc.abstractmethod
    def index(self, state: LinearState, key: PRNGKeyArray | None) -> Values:
        """What each arm on offer is worth."""

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Values, LinearState]:
        features = _features(strategies).astype(dtype)
        d = features.shape[-1]
        inverse = jnp.eye(d, dtype=dtype) / jnp.asarray(self.ridge, dtype)
        state = LinearState(inverse, jnp.zeros(d, dtype), features, jnp.zeros((), jnp.int32))
        return strategies.lmo(jnp.zeros_like(features[:, 0])), state

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: LinearState,
        strategy: Values,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Values, LinearState]:
        dtype = state.response.dtype
        arrived = jnp.asarray(feedback.observed)
        rewards = jnp.where(arrived.astype(bool), feedback.utility, 0)
        response = state.response + jnp.matmul(rewards, state.features, precision=HIGHEST)
        if arrived.dtype == bool:
            x = jnp.matmul(arrived.astype(dtype), state.features, precision=HIGHEST)
            inverse = sherman_morrison(state.inverse, x)
        else:
            inverse = _with_all(state.inverse, state.features, arrived.astype(dtype))
        features = _features(strategies).astype(dtype)
        state = LinearState(inverse, response, features, state.step + 1)
        return strategies.lmo(self.index(state, key)), state


def sherman_morrison(
    inverse: Float[Array, "dimension dimension"], x: Float[Array, " dimension"]
) -> Float[Array, "dimension dimension"]:
    r"""$(V + x x^\top)^{-1}$ from a symmetric $V^{-1}$."""
    y = jnp.matmul(inverse, x, precision=HIGHEST)
    return inverse - y[:, None] * y[None] / (1 + jnp.sum(x * y))


def _with_all(inverse: Array, features: Features, counts: Values) -> Array:
    r"""$(V + \sum_a n_a x_a x_a^\top)^{-1}$, where several rewards arrive at once (delays)."""

    def one(inverse: Array, arm: tuple[Array, Array]) -> tuple[Array, None]:
        x, count = arm
        return sherman_morrison(inverse, jnp.sqrt(count) * x), None

    return jax.lax.scan(one, inverse, (features, counts))[0]


def _features(strategies: AbstractStrategySet) -> Features:
    if isinstance(strategies, ContextualSimplex):
        return strategies.features
    raise TypeError(
        "A linear policy needs features of the arms: play it in an environment that offers them "
        f"(Linear, LinearContextual); got a {type(strategies).__name__}."
    )


class LinUCB(_AbstractLinear):
    """Optimism over the ellipsoid of plausible parameters; see `lin_ucb`."""

    ridge: float | Scalar = 1.0
    noise: float | Scalar = 1.0
    delta: float | Scalar = 0.01
    theta_bound: float | Scalar = 1.0
    width: float | Scalar | None = None

    def __check_init__(self) -> None:
        check_number(self, "ridge", 0)
        check_number(self, "noise", 0, strict=False)
        check_number(self, "delta", 0, 1)
        check_number(self, "theta_bound", 0, strict=False)
        check_number(self, "width", 0, strict=False)

    def index(self, state: LinearState, key: PRNGKeyArray | None) -> Values:
        mean, spread = _predicted(state)
        return mean + self._width(state) * jnp.sqrt(spread)

    def _width(self, state: LinearState) -> Scalar:
        if self.width is not None:
            return number(self.width, state.response)
        ridge, noise, delta, bound = (
            number(x, state.response)
            for x in (self.ridge, self.noise, self.delta, self.theta_bound)
        )
        d, t = state.response.shape[-1], state.step.astype(ridge.dtype)
        largest = jnp.max(jnp.sum(state.features**2, axis=-1))
        return noise * jnp.sqrt(d * jnp.log((1 + t * largest / ridge) / delta)) + (
            jnp.sqrt(ridge) * bound
        )


class LinTS(_AbstractLinear):
    """Thompson sampling over parameters; see `lin_ts`."""

    ridge: float | Scalar = 1.0
    scale: float | Scalar = 1.0

    def __check_init__(self) -> None:
        check_number(self, "ridge", 0)
        check_number(self, "scale", 0, strict=False)

    def index(self, state: LinearState, key: PRNGKeyArray | None) -> Values:
        theta = jnp.matmul(state.inverse, state.response, precision=HIGHEST)
        noise = normal(key, theta.dtype, theta.shape)
        root = cholesky(state.inverse)
        drawn = theta + number(self.scale, theta) * jnp.matmul(root, noise, precision=HIGHEST)
        return jnp.matmul(state.features, drawn, precision=HIGHEST)


def _predicted(state: LinearState) -> tuple[Values, Values]:
    r"""$\langle x, \hat\theta\rangle$ and $x^\top V^{-1} x$ of every arm."""
    theta = jnp.matmul(state.inverse, state.response, precision=HIGHEST)
    mean = jnp.matmul(state.features, theta, precision=HIGHEST)
    moved = jnp.matmul(state.features, state.inverse, precision=HIGHEST)
    return mean, jnp.maximum(jnp.sum(moved * state.features, axis=-1), 0)


def lin_ucb(
    ridge: Any = 1.0,
    noise: Any = 1.0,
    delta: Any = 0.01,
    theta_bound: Any = 1.0,
    *,
    width: Any = None,
) -> Policy:
    r"""LinUCB: play the largest $\langle x, \hat\theta\rangle + \beta_t\sqrt{x^\top V^{-1}x}$.

    $V = \lambda I + \sum x x^\top$, $\hat\theta = V^{-1}\sum x r$ and $\beta_t = \sigma\sqrt{d
    \ln((1 + t L^2/\lambda)/\delta)} + \sqrt\lambda S$, $L$ the longest feature vector on offer.
    With probability $1 - \delta$ the regret is at most
    $2\beta_T\sqrt{2 T d \ln(1 + T L^2/(\lambda d))}$ (gains of a round differing by at most 2).
    $V^{-1}$ is updated by the formula of Sherman and Morrison.

    Args:
        ridge: $\lambda > 0$.
        noise: $\sigma$, the sub-Gaussian scale of the noise.
        delta: $\delta \in (0, 1]$.
        theta_bound: $S \ge \|\theta\|_2$.
        width: $\beta$ itself, a constant, instead.

    References:
        abbasiyadkori2011 (Theorems 2 and 3).
    """
    return Policy(LinUCB(ridge, noise, delta, theta_bound, width), uses_features=True)


def lin_ts(ridge: Any = 1.0, scale: Any = 1.0) -> Policy:
    r"""Linear Thompson sampling: play the best arm for $\theta \sim N(\hat\theta, v^2 V^{-1})$.

    With $v = \sigma\sqrt{9 d \ln(t/\delta)}$ regret $\tilde O(d^{3/2}\sqrt T)$; $v = \sigma$ in
    practice.

    Args:
        ridge: $\lambda > 0$.
        scale: $v \ge 0$.

    References:
        agrawal2013b.
    """
    return Policy(LinTS(ridge, scale), uses_features=True)

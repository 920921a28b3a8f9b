"""Gradient ascent by any optax transformation, on any strategy set."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from gamejax._types import State, Strategy
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner
from gamejax.sets import AbstractStrategySet


class GradientAscent(AbstractLearner):
    r"""Projected gradient ascent with an optax transformation.

    $x^{t+1} = \Pi_X(x^t + d^t)$, where $d^t$ is the transformation's update for the gradient
    $-u^t$ (optax descends, players ascend). Works on every set, parameter trees on `Unconstrained`
    included. `GradientAscent(optax.sgd(eta))` is projected gradient ascent, regret at most
    $\frac{D^2}{2\eta} + \frac{\eta}{2}\sum_t\|u^t\|_2^2$ on a set of diameter $D$;
    `optax.optimistic_gradient_descent(eta)` predicts the next gradient by the last.

    Args:
        transformation: an `optax.GradientTransformation`. It is static: build it once, since each
            new one compiles anew; a learning rate to be mapped or changed goes through
            `optax.inject_hyperparams`.

    References:
        zinkevich2003; deepmind2020.
    """

    transformation: optax.GradientTransformation = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.transformation, optax.GradientTransformation):
            raise TypeError(
                "GradientAscent: transformation must be an optax.GradientTransformation such as "
                f"optax.sgd(0.1), got {type(self.transformation).__name__}."
            )

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> tuple[Strategy, State]:
        return self.start(strategies, strategies.center(dtype), dtype=dtype)

    def start(
        self, strategies: AbstractStrategySet, strategy: Strategy, *, dtype: Any
    ) -> tuple[Strategy, State]:
        return strategy, self.transformation.init(strategy)

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: State,
        strategy: Strategy,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Strategy, State]:
        descent = jax.tree.map(jnp.negative, feedback.utility)
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
            updates, state = self.transformation.update(descent, state, strategy)
        return strategies.project(optax.apply_updates(strategy, updates)), state

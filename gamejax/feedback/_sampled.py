"""Feedback of drawn actions: bandits and semi-bandits."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._types import Scalar, State, Strategy, Utility
from gamejax.feedback._base import AbstractFeedback, Feedback, require_key
from gamejax.feedback._estimators import AbstractEstimator, ImportanceWeighting
from gamejax.sets import AbstractStrategySet


def draw(
    probabilities: Float[Array, "*blocks actions"], key: PRNGKeyArray, num_draws: int = 1
) -> Float[Array, "*blocks actions"]:
    """The share of `num_draws` stratified draws that falls on each action, block by block."""
    uniform = jax.random.uniform(key, (*probabilities.shape[:-1], 1), probabilities.dtype)
    # 1 - U lies in (0, 1]: a first action of probability far below the resolution of U is then
    # drawn too rarely; with U in [0, 1) it would be drawn too often, at a huge weight.
    return stratified(probabilities, 1 - uniform, num_draws)


def stratified(
    probabilities: Float[Array, "*blocks actions"],
    uniform: Float[Array, "*blocks 1"],
    num_draws: int,
) -> Float[Array, "*blocks actions"]:
    r"""Shares of the draws at which the distribution function passes $(U + j)/s$, $j < s$.

    For $U$ uniform on $(0, 1]$ each action's expected share is its probability $p_a$; its share
    differs from $p_a$ by less than $1/s$, so with $s p_a \le 1$ it is drawn at most once (up to
    rounding). An action of probability 0 is never drawn.
    """
    actions = stratified_actions(probabilities, uniform, num_draws)
    return jax.nn.one_hot(actions, probabilities.shape[-1], dtype=probabilities.dtype).mean(-2)


def stratified_actions(
    probabilities: Float[Array, "*blocks actions"],
    uniform: Float[Array, "*blocks 1"],
    num_draws: int,
) -> Int[Array, "*blocks draws"]:
    """The actions drawn by `stratified`, in ascending order."""
    offsets = jnp.arange(num_draws, dtype=probabilities.dtype)
    offsets = jnp.broadcast_to(offsets, (*uniform.shape[:-1], num_draws))
    possible = (probabilities > 0)[..., None, :]
    # Rounding may let the sum grow at an impossible action, or fall at the last possible one.
    cumulative = jnp.where(possible, jnp.cumsum(probabilities, axis=-1)[..., None, :], 0)
    targets = ((uniform + offsets) / num_draws)[..., None] * cumulative.max(-1, keepdims=True)
    return jnp.argmax(possible & (cumulative >= targets), axis=-1).astype(jnp.int32)


class AbstractSampledFeedback(AbstractFeedback):
    """Actions are drawn from the strategy, and only their utilities are seen.

    `observe` is a draw from `probabilities`, then `report`: the two halves are there for those who
    need the draw before the utilities, or draw otherwise (`gamejax.bandits`).
    """

    estimator: eqx.AbstractVar[AbstractEstimator]
    exploration: eqx.AbstractVar[float | Scalar | None]

    @abc.abstractmethod
    def _draws(self) -> int:
        """How many actions are drawn in every block."""

    def init(self, strategies: AbstractStrategySet, *, dtype: Any) -> State:
        try:
            strategies.entropy_range(dtype)
        except TypeError as error:
            raise TypeError(
                f"{type(self).__name__} draws actions with the probabilities of the strategy, but "
                f"the strategies of a {type(strategies).__name__} are not probability vectors."
            ) from error
        return () if self.exploration is None else strategies.center(dtype)

    def probabilities(self, strategy: Strategy, state: State) -> Strategy:
        """The probabilities that actions are drawn with."""
        if self.exploration is None:
            return strategy

        def mix(x: Array, center: Array) -> Array:
            share = jnp.asarray(self.exploration, x.dtype)
            return (1 - share) * x + share * center

        return jax.tree.map(mix, strategy, state)

    def observe(
        self,
        utility: Utility,
        strategy: Strategy,
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[Feedback, State]:
        key = require_key(key, self)
        probabilities = self.probabilities(strategy, state)
        leaves, structure = jax.tree.flatten(probabilities)
        keys = jax.tree.unflatten(structure, list(jax.random.split(key, len(leaves))))
        played = jax.tree.map(lambda p, k: draw(p, k, self._draws()), probabilities, keys)
        return self.report(utility, played, strategy, state, step=step), state

    def report(
        self, utility: Utility, played: Strategy, strategy: Strategy, state: State, *, step: Array
    ) -> Feedback:
        """What is seen of `utility` in round `step` when `played` was drawn from `strategy`."""
        estimate = jax.tree.map(
            lambda u, f, p: self.estimator.estimate(u, f, p, step=step),
            utility,
            played,
            self.probabilities(strategy, state),
        )
        return Feedback(estimate, played, jax.tree.map(lambda f: f > 0, played))

    def unseen(self, strategy: Strategy, state: State, *, step: Array) -> Utility:
        def guess(p: Array) -> Array:
            nothing = jnp.zeros_like(p)
            return self.estimator.estimate(nothing, nothing, p, step=step)

        return jax.tree.map(guess, self.probabilities(strategy, state))


class BanditFeedback(AbstractSampledFeedback):
    r"""One action is drawn in every block, and its utility alone is seen.

    The action is drawn from the strategy $x$, or from $(1 - \gamma)x + \gamma c$ with $c$ the
    center of the set (uniform on the actions that exist). Padded actions and actions of probability
    0 are never drawn. Hedge under this feedback is Exp3, with `ImplicitExploration` Exp3-IX.
    A strategy of several blocks draws in each of them independently and sees each block's own
    utility; the utility of a drawn action should not depend on it (as in `game.utilities`).

    Float32 draws resolve probabilities to about 1e-7. Below that an action is drawn too rarely or
    never; use `exploration` if that matters.

    Args:
        estimator: makes a utility vector of the one number seen.
        exploration: $\gamma \in [0, 1]$, the share of uniform play; `None` for none.

    Raises:
        ValueError: `exploration` is a number outside $[0, 1]$.

    References:
        auer2002b.
    """

    estimator: AbstractEstimator = ImportanceWeighting()
    exploration: float | Scalar | None = None

    def __check_init__(self) -> None:
        _check_share(self.exploration)

    def _draws(self) -> int:
        return 1


class SemiBanditFeedback(AbstractSampledFeedback):
    r"""Several actions are drawn in every block, and the utility of each is seen.

    The player plays $s$ actions at once, gains their mean utility and sees each one's own. The
    draws are stratified: action $a$ is drawn $s x_a$ times in expectation, and that number rounded
    up or down each time. On `CappedSimplex(n, cap=1/s)` this is the semi-bandit of $s$-subsets (the
    actions drawn are all different, and $s x$ are their inclusion probabilities); on a `Simplex` it
    is a minibatch of $s$ draws. `num_draws=1` is `BanditFeedback`. `played` is the mean of the
    vertices drawn.

    Args:
        num_draws: $s \ge 1$, static.
        estimator: makes a utility vector of the numbers seen.
        exploration: share of uniform play, as in `BanditFeedback`.

    Raises:
        ValueError: `num_draws` is below 1, or `exploration` is a number outside $[0, 1]$.

    References:
        audibert2014.
    """

    num_draws: int = eqx.field(static=True)
    estimator: AbstractEstimator = ImportanceWeighting()
    exploration: float | Scalar | None = None

    def __check_init__(self) -> None:
        _check_share(self.exploration)
        if not isinstance(self.num_draws, int) or self.num_draws < 1:
            raise ValueError(
                f"SemiBanditFeedback: num_draws must be an integer >= 1, got {self.num_draws!r}."
            )

    def _draws(self) -> int:
        return self.num_draws


def _check_share(exploration: float | Scalar | None) -> None:
    if isinstance(exploration, int | float) and not 0 <= exploration <= 1:
        raise ValueError(f"exploration must lie in [0, 1], got {exploration}.")

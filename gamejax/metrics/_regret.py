"""Regret of recorded play."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._numerics import HIGHEST
from gamejax._types import Scalar, Utility
from gamejax.sets import AbstractStrategySet, Simplex


def regret(
    strategy_set: AbstractStrategySet, cumulative_utility: Utility, cumulative_payoff: Scalar
) -> Scalar:
    r"""External regret from running sums.

    $\max_{x \in X} \langle \sum_t u^t, x\rangle - \sum_t \langle x^t, u^t\rangle$.
    Works for every strategy set and needs no record of the play.

    Args:
        strategy_set: where the player could have been instead.
        cumulative_utility: $\sum_t u^t$, a utility of that set.
        cumulative_payoff: $\sum_t \langle x^t, u^t\rangle$, what was earned.
    """
    return strategy_set.support(cumulative_utility) - cumulative_payoff


def external_regret(
    strategies: Float[Array, "*batch steps actions"],
    utilities: Float[Array, "*batch steps actions"],
    strategy_set: AbstractStrategySet | None = None,
) -> Float[Array, "*batch"]:
    r"""What the best fixed action would have earned more.

    $\max_a \sum_t u^t_a - \sum_t \langle x^t, u^t\rangle$.

    Args:
        strategies: what was played, time on the axis before the last; leading axes (players,
            blocks, a batch) are kept.
        utilities: the utilities that were faced, the same shape.
        strategy_set: the comparators, for instance a masked or capped simplex; default all
            strategies over the actions.

    Raises:
        ValueError: the two arrays differ in shape or have no time axis.
    """
    compare = _comparators(strategies, utilities, strategy_set)
    earned = jnp.sum(strategies * utilities, (-2, -1))
    return jnp.vectorize(compare.support, signature="(n)->()")(utilities.sum(-2)) - earned


def swap_regret(
    strategies: Float[Array, "*batch steps actions"],
    utilities: Float[Array, "*batch steps actions"],
    strategy_set: AbstractStrategySet | None = None,
) -> Float[Array, "*batch"]:
    r"""What the best map of actions to actions would have earned more.

    $\sum_a \max_b \sum_t x^t_a (u^t_b - u^t_a) \ge 0$. Arguments as in `external_regret`.

    References:
        blum2007.
    """
    return _swaps(strategies, utilities, strategy_set).sum(-1)


def internal_regret(
    strategies: Float[Array, "*batch steps actions"],
    utilities: Float[Array, "*batch steps actions"],
    strategy_set: AbstractStrategySet | None = None,
) -> Float[Array, "*batch"]:
    r"""What the best single replacement of one action by another would have earned more.

    $\max_{a, b} \sum_t x^t_a (u^t_b - u^t_a)$. Arguments as in `external_regret`.

    References:
        foster1999.
    """
    return _swaps(strategies, utilities, strategy_set).max(-1)


def _swaps(
    strategies: Array, utilities: Array, strategy_set: AbstractStrategySet | None
) -> Float[Array, "*batch actions"]:
    """What replacing each action by its best substitute would have earned more."""
    compare = _comparators(strategies, utilities, strategy_set)
    table = jnp.einsum("...ta,...tb->...ab", strategies, utilities, precision=HIGHEST)
    best = jnp.vectorize(compare.support, signature="(n)->()")(table)
    return best - jnp.diagonal(table, axis1=-2, axis2=-1)


def _comparators(
    strategies: Array, utilities: Array, strategy_set: AbstractStrategySet | None
) -> AbstractStrategySet:
    shape = jnp.shape(utilities)
    if jnp.shape(strategies) != shape or len(shape) < 2:
        raise ValueError(
            "strategies and utilities must have one shape (..., steps, actions), got "
            f"{jnp.shape(strategies)} and {shape}."
        )
    compare = Simplex(shape[-1]) if strategy_set is None else strategy_set
    if compare.shape != shape[-1:]:
        raise ValueError(
            f"strategy_set must have shape {shape[-1:]}, like one strategy, got {compare.shape}."
        )
    return compare

"""Counterfactual regret minimization: a learner of the simplex at every information set."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._types import Scalar, State
from gamejax.feedback import Feedback
from gamejax.learners._base import AbstractLearner
from gamejax.sets import AbstractStrategySet, Treeplex


class CounterfactualState(NamedTuple):
    """The behaviors to be played next, and the learner's state at all information sets."""

    behaviors: Float[Array, "sets actions"]
    inner: State


class Counterfactual(AbstractLearner):
    r"""A learner of the simplex at every information set of a treeplex.

    With $u$ the gradient of the payoff in the realization plan, the learner at set $j$ sees the
    counterfactual values
    $$Q_{ja} = u_{ja} + \sum_{j' : p_{j'} = ja} \langle b_{j'}, Q_{j'}\rangle$$
    and moves the behavior $b_j$. The regret over the tree is at most $\sum_j \mathrm{Reg}_j^+$, the
    regrets of the learners at the sets; with regret matching $O(\sqrt T)$. Around
    `RegretMatching` it is counterfactual regret minimization (CFR), around `RegretMatchingPlus`
    CFR+, around `PredictiveRegretMatchingPlus` PCFR+; see `gamejax.extensive.cfr` and the others
    there for their usual averages.

    Args:
        learner: a learner for a `Simplex` with one block per information set.

    References:
        zinkevich2007; tammelin2015; farina2021.
    """

    learner: AbstractLearner

    def with_utility_range(self, utility_range: Scalar) -> Self:
        return dataclasses.replace(self, learner=self.learner.with_utility_range(utility_range))

    def init(
        self, strategies: AbstractStrategySet, *, dtype: Any
    ) -> tuple[Array, CounterfactualState]:
        treeplex = _require_treeplex(strategies)
        if not treeplex.tree.num_sets:
            return treeplex.center(dtype), CounterfactualState(jnp.zeros((0, 1), dtype), ())
        behaviors, inner = self.learner.init(treeplex.local, dtype=dtype)
        return treeplex.plan(behaviors), CounterfactualState(behaviors, inner)

    def start(
        self, strategies: AbstractStrategySet, strategy: Array, *, dtype: Any
    ) -> tuple[Array, CounterfactualState]:
        treeplex = _require_treeplex(strategies)
        behaviors = treeplex.behaviors(strategy)
        if not treeplex.tree.num_sets:
            return strategy, CounterfactualState(behaviors, ())
        behaviors, inner = self.learner.start(treeplex.local, behaviors, dtype=dtype)
        return treeplex.plan(behaviors), CounterfactualState(behaviors, inner)

    def update(
        self,
        strategies: AbstractStrategySet,
        feedback: Feedback,
        state: CounterfactualState,
        strategy: Array,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, CounterfactualState]:
        treeplex = _require_treeplex(strategies)
        if not treeplex.tree.num_sets:
            return strategy, state
        values = treeplex.counterfactual_values(feedback.utility, state.behaviors)
        seen = Feedback(values, state.behaviors, jnp.ones_like(values, dtype=bool))
        behaviors, inner = self.learner.update(
            treeplex.local, seen, state.inner, state.behaviors, key=key
        )
        return treeplex.plan(behaviors), CounterfactualState(behaviors, inner)


def _require_treeplex(strategies: AbstractStrategySet) -> Treeplex:
    if isinstance(strategies, Treeplex):
        return strategies
    raise TypeError(
        "Counterfactual plays on a Treeplex, but its player's strategy set is a "
        f"{type(strategies).__name__}; there use the learner itself."
    )

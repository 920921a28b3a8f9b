"""The agent form: every information set decides for itself."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import safe_divide
from gamejax._types import Scalar, Utility
from gamejax.extensive._form import SequenceForm
from gamejax.extensive._game import SequenceFormGame
from gamejax.games import AbstractGame, Labels
from gamejax.sets import Simplex, Treeplex

Behaviors = Float[Array, "sets actions"]


class AgentFormGame(AbstractGame):
    r"""A game tree in which every information set is an agent of its own; `agent_form` makes one.

    Strategies are behaviors, one block $b_j$ per information set. The utility at set $j$ is the
    payoff of each action *given that $j$ is reached*,
    $$u_{ja} = \frac{Q_{ja}}{r_j}, \qquad r_j = \sum_{h \in j} c_h \prod_{k \neq i} x_k(h),$$
    counterfactual value over the reach of chance and of the other players; 0 where they do not
    reach it. The player's own past drops out, by perfect recall, and its behavior at later sets is
    held fixed. So the equilibria are those profiles in which no single move can be improved where
    it is made: `metrics.nash_gap` here adds up the gains over a player's sets and is at least the
    one of the tree.

    A player that never moves has one set with one action.

    Attributes:
        game: the tree.
        presence: the same tree with a payoff of 1 at every leaf, whose counterfactual values are
            the reaches $r_j$.

    References:
        selten1975; mckelvey1998.
    """

    game: SequenceFormGame
    presence: SequenceFormGame

    def __init__(
        self, game: SequenceFormGame, presence: SequenceFormGame, *, labels: Labels | None = None
    ):
        self.game, self.presence = game, presence
        self.labels = labels

    @property
    def strategy_sets(self) -> tuple[Simplex, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Each player's behaviors: a simplex with one block per information set."""
        return tuple(
            s.local if s.tree.num_sets else Simplex((1, 1)) for s in self.game.strategy_sets
        )

    @property
    def dtype(self) -> Any:
        return self.game.dtype

    @property
    def names(self) -> Labels | None:
        """Names of the players, information sets and actions."""
        return self.game.names

    def plans(self, behaviors: tuple[Behaviors, ...]) -> tuple[Array, ...]:
        """The realization plans of behaviors: a profile of the tree."""
        return tuple(
            s.plan(b if s.tree.num_sets else b[:0])
            for s, b in zip(self.game.strategy_sets, behaviors, strict=True)
        )

    def behaviors(self, plans: tuple[Array, ...]) -> tuple[Behaviors, ...]:
        """The behaviors of realization plans; uniform in sets that their player does not reach."""
        return tuple(
            s.behaviors(x) if s.tree.num_sets else jnp.ones_like(x, shape=(1, 1))
            for s, x in zip(self.game.strategy_sets, plans, strict=True)
        )

    def utility(self, player: int, profile: tuple[Behaviors, ...]) -> Utility:
        return self._utility(player, profile[player], self.plans(profile))

    def utilities(self, profile: tuple[Behaviors, ...]) -> tuple[Utility, ...]:
        plans = self.plans(profile)
        return tuple(self._utility(i, own, plans) for i, own in enumerate(profile))

    def _utility(self, player: int, own: Behaviors, plans: tuple[Array, ...]) -> Utility:
        treeplex = self.game.strategy_sets[player]
        if not treeplex.tree.num_sets:
            return jnp.zeros_like(own)
        values = treeplex.counterfactual_values(self.game.utility(player, plans), own)
        return safe_divide(values, self._reach(player, treeplex, plans))

    def reach(self, player: int, profile: tuple[Behaviors, ...]) -> Float[Array, " sets"]:
        """How likely chance and the others let each of the player's information sets happen."""
        treeplex = self.game.strategy_sets[player]
        if not treeplex.tree.num_sets:
            return jnp.ones_like(profile[player], shape=(1,))
        return self._reach(player, treeplex, self.plans(profile))[:, 0]

    def _reach(
        self, player: int, treeplex: Treeplex, plans: tuple[Array, ...]
    ) -> Float[Array, "sets actions"]:
        """The reach of each set, once per action; 0 at actions that do not exist."""
        uniform = treeplex.local.center(self.dtype)  # any behaviors of the player's own do
        return treeplex.counterfactual_values(self.presence.utility(player, plans), uniform)

    def expected_payoffs(self, profile: tuple[Behaviors, ...] | Joint) -> Float[Array, " players"]:
        if isinstance(profile, Joint):
            raise TypeError("The agent form needs one behavior per information set, not a Joint.")
        return self.game.expected_payoffs(self.plans(profile))

    def utility_range(self, player: int) -> Scalar | None:
        return self.game.utility_range(player)


def agent_form(game: SequenceFormGame) -> AgentFormGame:
    r"""The game in which every information set decides for itself, on the behaviors.

    Every solver for simplices runs on it: `solvers.LogitEquilibrium(precision)` finds its logit
    equilibrium, the *agent quantal response equilibrium* of the tree, and `solvers.LogitHomotopy()`
    follows that to a Nash equilibrium; `sequential_equilibrium` is the front door to the latter.

    Args:
        game: the tree.

    Raises:
        TypeError: `game` is no `SequenceFormGame`.

    References:
        selten1975; mckelvey1998.
    """
    require_tree(game, "agent_form")
    ones = jnp.ones_like(game.payoffs)
    presence = SequenceFormGame(_everywhere(game.form), ones, game.chance)
    return AgentFormGame(game, presence, labels=game.labels)


def require_tree(game: Any, function: str) -> None:
    """Refuse anything but a game in sequence form."""
    if isinstance(game, AbstractGame):
        game.check()
    if not isinstance(game, SequenceFormGame):
        raise TypeError(
            f"{function} needs a SequenceFormGame, got a {type(game).__name__}; "
            "gamejax.extensive.compile_tree(rules) makes one."
        )


def _everywhere(form: SequenceForm) -> SequenceForm:
    """The form in which no leaf is left out, whatever it pays."""
    if (form.leaf_entry >= 0).all():
        return form
    _, entry = np.unique(form.sequences, axis=1, return_inverse=True)
    entry = entry.reshape(-1).astype(np.int32)
    return SequenceForm(form.trees, form.sequences, entry, form.order, form.history)

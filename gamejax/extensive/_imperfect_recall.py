"""Game trees whose players forget: to be evaluated, not solved."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import HIGHEST
from gamejax._types import Scalar
from gamejax.extensive._form import RecallError
from gamejax.extensive._history import History
from gamejax.extensive._recall import forgotten
from gamejax.games import AbstractGame, Labels
from gamejax.sets import Simplex

Behaviors = Float[Array, "sets actions"]


class _Paths:
    """The way to each node of a tree; static and hashable."""

    def __init__(self, history: History):
        self.history = history
        self._identity = history.identity
        self._hash = hash(self._identity)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Paths) and self._identity == other._identity)

    def __repr__(self) -> str:
        return f"_Paths({len(self.history.parent)} nodes)"

    @functools.cached_property
    def masks(self) -> tuple[np.ndarray, ...]:
        """Which actions exist, per player, shape `(sets, actions)`; one for who never moves."""
        found = []
        for sets in self.history.information_sets:
            counts = np.array([len(s.actions) for s in sets] or [1])
            found.append(np.arange(counts.max())[None] < counts[:, None])
        return tuple(found)

    @functools.cached_property
    def place(self) -> np.ndarray:
        """Where the behavior that leads to a node stands in 1 and all behaviors in a row."""
        history, starts = self.history, np.cumsum([1, *(m.size for m in self.masks)])
        place = np.zeros(len(history.parent), np.int32)
        for i, mask in enumerate(self.masks):
            own = np.flatnonzero(history.player[history.parent] == i)
            own = own[own > 0]
            above = history.information[history.parent[own]]
            place[own] = starts[i] + above * mask.shape[1] + history.branch[own]
        return place

    @functools.cached_property
    def jumps(self) -> tuple[np.ndarray, ...]:
        """The nodes 1, 2, 4, ... steps before each node, until all are the root."""
        jumps = [self.history.parent]
        while jumps[-1].any():
            jumps.append(jumps[-1][jumps[-1]])
        return tuple(jumps)


class ImperfectRecallGame(AbstractGame):
    r"""A game tree in which a player forgets what it did or knew.

    Strategies are behaviors $b_j$, one distribution per information set; a set may come twice on
    one path (absent-mindedness). The payoffs
    $$U_i(b) = \sum_\ell c_\ell\, p_{i\ell} \prod_{(j, a) \to \ell} b_{ja}$$
    are polynomials, in general neither linear nor concave in a player's own behaviors: a best
    response is hard to find and an equilibrium need not exist. So every solver refuses such a game;
    `expected_payoffs`, gradients (`utility`) and `gamejax.games.save` work. The gaps of
    `gamejax.metrics` are those of the gradient: 0 at every equilibrium, and maybe elsewhere.

    A player that never moves has one set with one action.

    Args:
        history: the tree.
        labels: title and names of the players.

    Attributes:
        payoffs: of the leaves, shape `(players, leaves)`.
        chance: probability of each leaf as far as nature decides, shape `(leaves,)`.
        forgets: who forgets, and at which of its information sets, all pairs.

    Raises:
        ValueError: nobody forgets anything; `from_history` makes the game then.

    References:
        piccione1997.
    """

    paths: _Paths = eqx.field(static=True)
    payoffs: Float[Array, "players leaves"]
    chance: Float[Array, " leaves"]
    forgets: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __init__(self, history: History, *, labels: Labels | None = None):
        self.forgets = tuple(found[:2] for found in forgotten(history))
        if not self.forgets:
            raise ValueError(
                "history has perfect recall; gamejax.extensive.from_history(history) makes a game "
                "of it that can be solved."
            )
        dtype = jnp.result_type(float)
        self.paths = _Paths(history)
        self.labels = labels
        self.payoffs = jnp.asarray(history.payoffs.astype(float).T, dtype)
        self.chance = jnp.asarray(history.leaf_chances(), dtype)

    @property
    def history(self) -> History:
        """The tree."""
        return self.paths.history

    @property
    def strategy_sets(self) -> tuple[Simplex, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Each player's behaviors: a simplex with one block per information set."""
        return tuple(Simplex(m.shape, None if m.all() else m) for m in self.paths.masks)

    def check(self) -> None:
        """Refuse to be solved.

        Raises:
            RecallError: always; the message names who forgets, and where.
        """
        player, number = self.forgets[0]
        where = self.history.information_sets[player][number]
        own = (self.history.player == player) & (self.history.information == number)
        who = f"player {player + 1}"
        if self.labels and self.labels.players:
            who += f" ({self.labels.players[player]!r})"
        called = f" ({where.name!r})" if where.name else ""
        raise RecallError(
            f"{who} does not recall its own past at its information set {where.key!r}{called}, "
            f"which holds {own.sum()} nodes: different moves of its own lead there. Solvers need "
            "perfect recall; expected_payoffs and gamejax.games.save work without.",
            player,
            number,
        )

    def expected_payoffs(self, profile: tuple[Behaviors, ...] | Joint) -> Float[Array, " players"]:
        if isinstance(profile, Joint):
            raise TypeError("An ImperfectRecallGame is played with behaviors, not with a Joint.")
        return jnp.matmul(self.payoffs, self._chances(profile), precision=HIGHEST)

    def utility(self, player: int, profile: tuple[Behaviors, ...]) -> Behaviors:
        def payoff(own: Behaviors) -> Scalar:
            changed = (*profile[:player], own, *profile[player + 1 :])
            return jnp.vdot(self.payoffs[player], self._chances(changed), precision=HIGHEST)

        return jax.grad(payoff)(profile[player])

    def utility_range(self, player: int) -> Scalar:
        return jnp.max(self.payoffs[player]) - jnp.min(self.payoffs[player])

    def _chances(self, profile: tuple[Behaviors, ...]) -> Float[Array, " leaves"]:
        """The probability of each leaf."""
        rows = [b.reshape(-1) for b in profile]
        reach = jnp.concatenate([jnp.ones_like(rows[0][:1]), *rows])[self.paths.place]
        for before in self.paths.jumps:
            # The root's 1 does not change a product any more.
            reach = reach * reach[before]
        return self.chance * reach[self.history.leaves]

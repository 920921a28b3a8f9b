"""Games in sequence form."""

from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from gamejax._types import Scalar, Utility
from gamejax.extensive._form import SequenceForm, sequence_form
from gamejax.extensive._history import NATURE, History, walk
from gamejax.extensive._rules import Chance, Decide, State, Terminal
from gamejax.games import AbstractGame, Labels
from gamejax.sets import Treeplex


class SequenceFormGame(AbstractGame):
    r"""A game tree with perfect recall, in sequence form.

    A strategy is a realization plan $x_i$ on the player's `Treeplex`; the payoff is linear in each,
    $$U_i(x) = \sum_{\ell} c_\ell\, p_{i\ell} \prod_k x_{k, \sigma_k(\ell)},$$
    over leaves $\ell$ that chance lets happen with probability $c_\ell$, that pay $p_{i\ell}$ and
    to which the sequences $\sigma_k(\ell)$ lead. The tree is static, payoffs and chance are arrays:
    games on one tree can be stacked, mapped with `jax.vmap` and differentiated.

    Attributes:
        form: the tree; see `SequenceForm`.
        payoffs: of the leaves, shape `(players, leaves)`.
        chance: probability of each leaf as far as nature decides, shape `(leaves,)`.
        tables: each player's $c_\ell p_{i\ell}$, summed over leaves with the same sequences, in
            the layout of `form.rows`. Made from the others; change those by `with_payoffs`.

    References:
        vonstengel1996; koller1996.
    """

    form: SequenceForm = eqx.field(static=True)
    payoffs: Float[Array, "players leaves"]
    chance: Float[Array, " leaves"]
    tables: tuple[Float[Array, "sequences longest"], ...]

    def __init__(
        self,
        form: SequenceForm,
        payoffs: ArrayLike,
        chance: ArrayLike,
        *,
        labels: Labels | None = None,
    ):
        dtype = jnp.result_type(jnp.asarray(payoffs), float)
        self.form, self.labels = form, labels
        self.payoffs, self.chance = jnp.asarray(payoffs, dtype), jnp.asarray(chance, dtype)
        used = np.flatnonzero(form.leaf_entry >= 0)
        weighted = (self.chance[None] * self.payoffs)[:, used]
        values = jnp.zeros_like(weighted, shape=(len(form.trees), form.num_entries + 1))
        values = values.at[:, form.leaf_entry[used]].add(weighted)
        self.tables = tuple(values[i][rows.entries] for i, rows in enumerate(form.rows))

    @property
    def strategy_sets(self) -> tuple[Treeplex, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Each player's realization plans."""
        return tuple(Treeplex(tree) for tree in self.form.trees)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Utility:
        table, rows = self.tables[player], self.form.rows[player]
        others = [x for i, x in enumerate(profile) if i != player]
        for number, plan in enumerate(others):
            table = table * plan[rows.partners[:, :, number]]
        return table.sum(1)

    def utility_range(self, player: int) -> Scalar:
        return jnp.max(self.payoffs[player]) - jnp.min(self.payoffs[player])

    def with_payoffs(self, payoffs: ArrayLike, chance: ArrayLike | None = None) -> Self:
        """The same tree with other payoffs, and other chances where given.

        Differentiable, and to be mapped with `jax.vmap` for variations of one tree.

        Args:
            payoffs: shape `(players, leaves)`, leaves in the order of `form.history`.
            chance: shape `(leaves,)`; see `leaf_chances`.

        Raises:
            ValueError: a shape is wrong, or a leaf is to pay that was left out because it paid
                nobody (`compile_tree(..., keep_zeros=True)` keeps it).
        """
        chance = self.chance if chance is None else jnp.asarray(chance)
        payoffs = jnp.asarray(payoffs)
        if payoffs.shape != self.payoffs.shape or chance.shape != self.chance.shape:
            raise ValueError(
                f"payoffs must have shape {self.payoffs.shape} and chance {self.chance.shape}, got "
                f"{payoffs.shape} and {chance.shape}; map with jax.vmap for several games."
            )
        out = self.form.leaf_entry < 0
        if out.any() and not isinstance(payoffs, Tracer) and np.any(payoffs[:, out] != 0):
            raise ValueError(
                f"payoffs pays at leaf {int(np.flatnonzero(out)[0])}, which paid nobody and was "
                "left out; make the game with compile_tree(..., keep_zeros=True)."
            )
        return type(self)(self.form, payoffs, chance, labels=self.labels)

    def leaf_chances(self, probabilities: ArrayLike) -> Float[Array, " leaves"]:
        """The probability of each leaf when nature's branches have other probabilities.

        Args:
            probabilities: one per node of `form.history`, shape `(nodes,)`, of the branch that
                leads there; only those that nature chooses count.
        """
        history = self.form.history
        by_nature = history.player[history.parent] == NATURE
        by_nature[0] = False
        probabilities = jnp.asarray(probabilities, self.chance.dtype)
        result = jnp.ones_like(self.chance)
        for nodes in _ancestors(history):
            chosen = by_nature[nodes]
            result = result * jnp.where(chosen, probabilities[nodes], 1)
        return result


def compile_tree(
    rules: Callable[[State], Terminal | Chance | Decide],
    start: State = (),
    *,
    labels: Labels | None = None,
    keep_zeros: bool = False,
) -> SequenceFormGame:
    """The sequence form of a game given by its rules.

    Visits every state once, so that the tree must fit into memory: a few million nodes.

    Args:
        rules: a function of the state of the game that returns `terminal(payoffs)`,
            `chance([(probability, state), ...])` or
            `decide(player, information, [(action, state), ...])`.
        start: the state in which the game begins.
        labels: title and names of the players.
        keep_zeros: keep leaves that pay nobody anything; needed where `with_payoffs` is to change
            them later.

    Raises:
        TypeError, ValueError: the rules are no game; the message says where.
        RecallError: a player forgets its own past.
    """
    return from_history(walk(rules, start), labels=labels, keep_zeros=keep_zeros)


def from_history(
    history: History, *, labels: Labels | None = None, keep_zeros: bool = False
) -> SequenceFormGame:
    """The game of a tree of histories."""
    form = sequence_form(history, keep_zeros=keep_zeros)
    chances: list[Any] = [1] * len(history.parent)
    for node in range(1, len(chances)):
        chances[node] = chances[history.parent[node]] * history.probability[node]
    chance = np.array([float(chances[node]) for node in history.leaves])
    payoffs = np.array([[float(p) for p in row] for row in history.payoffs.tolist()]).T
    dtype = jnp.result_type(float)
    return SequenceFormGame(
        form, jnp.asarray(payoffs, dtype), jnp.asarray(chance, dtype), labels=labels
    )


def _ancestors(history: History) -> list[np.ndarray]:
    """The leaves, the nodes before them, and so on until all are at the root."""
    found = [history.leaves]
    while found[-1].any():
        found.append(history.parent[found[-1]])
    return found

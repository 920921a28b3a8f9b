"""Games in sequence form."""

from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from gamejax._types import Scalar, Utility
from gamejax.extensive._form import SequenceForm, sequence_form
from gamejax.extensive._history import NATURE, History, walk
from gamejax.extensive._merging import merged_form
from gamejax.extensive._names import TreeLabels
from gamejax.extensive._rules import Chance, Decide, State, Terminal
from gamejax.games import AbstractGame, Labels
from gamejax.regularizers import Entropy
from gamejax.sets import Treeplex
from gamejax.sets._ragged import take


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
        merged: the same game with information sets that nobody can tell apart made one, where
            there are such; what `Merged` solvers play. Made from the others, too.

    References:
        vonstengel1996; koller1996.
    """

    form: SequenceForm = eqx.field(static=True)
    payoffs: Float[Array, "players leaves"]
    chance: Float[Array, " leaves"]
    tables: tuple[Float[Array, " cells"], ...]
    merged: "SequenceFormGame | None"

    def __init__(
        self,
        form: SequenceForm,
        payoffs: ArrayLike,
        chance: ArrayLike,
        *,
        merged: SequenceForm | None = None,
        labels: Labels | None = None,
    ):
        dtype = jnp.result_type(jnp.asarray(payoffs), float)
        self.form = form
        self.labels = labels
        self.payoffs, self.chance = jnp.asarray(payoffs, dtype), jnp.asarray(chance, dtype)
        values = _entries(form, self.payoffs, self.chance)
        self.tables = tuple(
            jnp.asarray(values[i][rows.entries], values.dtype) for i, rows in enumerate(form.rows)
        )
        self.merged = (
            None if merged is None else SequenceFormGame(merged, self.payoffs, self.chance)
        )

    @property
    def strategy_sets(self) -> tuple[Treeplex, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Each player's realization plans.

        A merged set weighs in the dilated entropy as many times as it stands for sets, so that the
        entropy is that of the original.
        """
        weights = self.form.multiplicities or (None,) * len(self.form.trees)
        return tuple(Treeplex(t, w) for t, w in zip(self.form.trees, weights, strict=True))

    @property
    def names(self) -> TreeLabels:
        """Names of the players, information sets and actions."""
        labels = self.labels or Labels()
        return TreeLabels(labels.title, labels.players, form=self.form)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Utility:
        table, rows = self.tables[player], self.form.rows[player]
        others = [jnp.asarray(x) for i, x in enumerate(profile) if i != player]

        def terms(low: int, high: int) -> Array:
            product = table[low:high]
            for number, plan in enumerate(others):
                product = product * take(plan, rows.partners[low:high, number])
            return product

        return rows.ragged.sums(terms)

    def residual(self, profile: tuple[Array, ...]) -> tuple[Array, ...]:
        r"""A profile less where one step of mirror descent takes it, by the dilated entropy.

        Zero where no *played* action is worse than another: at equilibria, and elsewhere on the
        boundary too. It is what `gamejax.Implicit` differentiates, where equilibria are isolated.
        """
        trios = zip(self.strategy_sets, profile, self.utilities(profile), strict=True)
        return tuple(x - s.mirror(s.dual(x, Entropy()) + u, Entropy()) for s, x, u in trios)

    def utility_range(self, player: int) -> Scalar:
        return jnp.max(self.payoffs[player]) - jnp.min(self.payoffs[player])

    def with_payoffs(
        self,
        payoffs: ArrayLike,
        chance: ArrayLike | None = None,
        *,
        merge: bool | SequenceForm = True,
    ) -> Self:
        """The same tree with other payoffs, and other chances where given.

        Differentiable, and to be mapped with `jax.vmap` for variations of one tree.

        Args:
            payoffs: shape `(players, leaves)`, leaves in the order of `form.history`.
            chance: shape `(leaves,)`; see `leaf_chances`.
            merge: look for information sets to merge where the numbers are known (not under a
                transformation of JAX); a form, such as `game.merged.form`, is taken as it is.

        Raises:
            ValueError: a shape is wrong, or a leaf that was left out because it paid nobody is to
                pay, or might, as payoffs under a transformation of JAX are not known
                (`compile_tree(..., keep_zeros=True)` keeps it).
        """
        chance = self.chance if chance is None else jnp.asarray(chance)
        payoffs = jnp.asarray(payoffs)
        if payoffs.shape != self.payoffs.shape or chance.shape != self.chance.shape:
            raise ValueError(
                f"payoffs must have shape {self.payoffs.shape} and chance {self.chance.shape}, got "
                f"{payoffs.shape} and {chance.shape}; map with jax.vmap for several games."
            )
        self._require_paying(payoffs)
        return self._with(payoffs, chance, _merging(self.form, payoffs, chance, merge))

    def _with(self, payoffs: Array, chance: Array, merged: SequenceForm | None) -> Self:
        return type(self)(self.form, payoffs, chance, merged=merged, labels=self.labels)

    def variations(
        self, payoffs: ArrayLike, chance: ArrayLike | None = None, *, merge: bool = True
    ) -> Self:
        """Many games on the same tree, stacked; for `solve_batch` and `jax.vmap(solve)`.

        Information sets merge where nobody can tell them apart in any of the games.

        Args:
            payoffs: shape `(games, players, leaves)`, leaves in the order of `form.history`.
            chance: shape `(games, leaves)`; default the same as here in all.
            merge: look for information sets to merge.

        Raises:
            ValueError: a shape is wrong, or a leaf is to pay that was left out.
        """
        payoffs = jnp.asarray(payoffs)
        one = self.chance if chance is None else jnp.asarray(chance)
        if payoffs.ndim != 3 or one.shape[:-1] not in ((), payoffs.shape[:1]):
            raise ValueError(
                "payoffs must have shape (games, players, leaves) and chance (games, leaves), got "
                f"{payoffs.shape} and {one.shape}."
            )
        merged = _merging(self.form, payoffs, one, merge)
        axes = (0, None if chance is None else 0)
        self._require_paying(payoffs)
        return jax.vmap(lambda p, c: self._with(p, c, merged), axes)(payoffs, one)

    def _require_paying(self, payoffs: Array) -> None:
        out = self.form.leaf_entry < 0
        if not out.any():
            return
        if isinstance(payoffs, Tracer):
            raise ValueError(
                f"payoffs are not known under jit, vmap or grad, and {out.sum()} leaves that paid "
                "nobody were left out of this game, so that their payoffs and gradients would be "
                "lost; make it with compile_tree(..., keep_zeros=True), or use game.variations."
            )
        if np.any(payoffs[..., out] != 0):
            paid = np.asarray(payoffs != 0).reshape(-1, len(out)).any(0)
            raise ValueError(
                f"payoffs pays at leaf {int(np.flatnonzero(out & paid)[0])}, which paid nobody and "
                "was left out; make the game with compile_tree(..., keep_zeros=True)."
            )

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
        for nodes in ancestors(history):
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
        RecallError: a player forgets its own past; `ImperfectRecallGame(walk(rules, start))` can
            be evaluated then.
    """
    return from_history(walk(rules, start), labels=labels, keep_zeros=keep_zeros)


def from_history(
    history: History, *, labels: Labels | None = None, keep_zeros: bool = False
) -> SequenceFormGame:
    """The game of a tree of histories."""
    form = sequence_form(history, keep_zeros=keep_zeros)
    chance = history.leaf_chances()
    payoffs = history.payoffs.astype(float).T
    dtype = jnp.result_type(float)
    return SequenceFormGame(
        form,
        jnp.asarray(payoffs, dtype),
        jnp.asarray(chance, dtype),
        merged=_merging(form, payoffs, chance, True),
        labels=labels,
    )


def _entries(form: SequenceForm, payoffs: Array, chance: Array) -> Any:
    """What each entry pays each player, and 0 for padding, shape `(players, entries + 1)`."""
    used = np.flatnonzero(form.leaf_entry >= 0)
    entries, shape = form.leaf_entry[used], (len(form.trees), form.num_entries + 1)
    if isinstance(payoffs, Tracer) or isinstance(chance, Tracer):
        weighted = (chance[None] * payoffs)[:, used]
        return jnp.zeros_like(weighted, shape=shape).at[:, entries].add(weighted)
    # In NumPy, as every new tree would have JAX compile its own programs for this.
    weighted = (np.asarray(chance)[None] * np.asarray(payoffs))[:, used]
    summed = [np.bincount(entries, row, shape[1]) for row in weighted]
    return np.stack(summed).astype(weighted.dtype)


def _merging(
    form: SequenceForm, payoffs: Any, chance: Any, merge: bool | SequenceForm
) -> SequenceForm | None:
    """The merged form, where it is known and spares a tenth of the information sets."""
    if isinstance(merge, SequenceForm):
        return merge
    if not merge or isinstance(payoffs, Tracer) or isinstance(chance, Tracer):
        return None
    merged = merged_form(form, payoffs, chance)
    if merged is None:
        return None
    before, after = (sum(tree.num_sets for tree in f.trees) for f in (form, merged))
    return merged if after <= 0.9 * before else None


def ancestors(history: History) -> list[np.ndarray]:
    """The leaves, the nodes before them, and so on until all are at the root."""
    found = [history.leaves]
    while found[-1].any():
        found.append(history.parent[found[-1]])
    return found

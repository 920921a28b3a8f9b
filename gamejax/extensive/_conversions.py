"""One strategy in three forms: behaviors, realization plans, mixtures of pure plans."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._numerics import HIGHEST, require_memory
from gamejax._types import Scalar
from gamejax.extensive._form import SequenceForm
from gamejax.extensive._game import SequenceFormGame
from gamejax.games import Labels, NormalFormGame
from gamejax.sets import Tree

Behaviors = tuple[dict[Hashable, Float[Array, " actions"]], ...]


def behaviors(game: SequenceFormGame, profile: Sequence[Array]) -> Behaviors:
    r"""What a profile does at each information set, $b_{ja} = x_{ja} / x_{p_j}$.

    Args:
        game: the game.
        profile: one realization plan per player.

    Returns:
        Per player a dictionary from what it knows to the probabilities of its actions there, in
        the order of `game.form.actions`; uniform at sets that its own plan does not reach.
    """
    found = []
    for i, (tree, plan) in enumerate(zip(game.form.trees, profile, strict=True)):
        moves = tree.behaviors(jnp.asarray(plan))
        found.append(
            {
                game.form.information_key(i, j): moves[j, : tree.num_actions[j]]
                for j in range(tree.num_sets)
            }
        )
    return tuple(found)


def realization_plans(
    game: SequenceFormGame, behaviors: Sequence[Mapping[Hashable, Any]]
) -> tuple[Array, ...]:
    r"""The profile of given behaviors, $x_{ja} = x_{p_j} b_{ja}$; the inverse of `behaviors`.

    Args:
        game: the game.
        behaviors: per player a dictionary from what it knows to the probabilities of its actions
            there; uniform at sets that it leaves out.

    Raises:
        ValueError: a player has no such information set, or the probabilities are not one per
            action.
    """
    form, dtype = game.form, game.dtype
    if len(behaviors) != len(form.trees):
        raise ValueError(
            f"behaviors must have one entry per player, {len(form.trees)} in all, got "
            f"{len(behaviors)}."
        )
    plans = []
    for i, (tree, given) in enumerate(zip(form.trees, behaviors, strict=True)):
        places = {form.information_key(i, j): j for j in range(tree.num_sets)}
        moves = jnp.asarray(tree.mask / tree.num_actions[:, None], dtype)
        for key, probabilities in given.items():
            if key not in places:
                raise ValueError(f"player {i} has no information set {key!r}.")
            own, number = jnp.asarray(probabilities, dtype), places[key]
            if own.shape != (tree.num_actions[number],):
                raise ValueError(
                    f"behaviors[{i}][{key!r}] must have one probability for each of "
                    f"{tree.num_actions[number]} actions, got shape {own.shape}."
                )
            moves = moves.at[number, : len(own)].set(own)
        plans.append(tree.plan(moves))
    return tuple(plans)


def num_reduced_plans(tree: Tree) -> int:
    """How many pure plans a player has that differ in what they ever do."""
    below = [1] * tree.num_sequences
    for j in reversed(range(tree.num_sets)):
        first = 1 + j * tree.width
        below[tree.parent[j]] *= sum(below[first : first + int(tree.num_actions[j])])
    return below[0]


def reduced_plans(tree: Tree) -> np.ndarray:
    """All pure plans that differ in what they ever do, as realization plans.

    Args:
        tree: a player's information sets.

    Returns:
        0 and 1, shape `(plans, sequences)`; the first plan takes the first action everywhere, and
        the actions of the last set that a plan reaches change fastest.

    Raises:
        ValueError: there are more than memory holds.
    """
    count = num_reduced_plans(tree)
    require_memory(16 * count * tree.num_sequences, f"listing {count:,} pure plans")
    below: list[list[int]] = [[] for _ in range(tree.num_sequences)]
    for j, parent in enumerate(tree.parent.tolist()):
        below[parent].append(j)

    # From the last set up, since sets stand below earlier ones: the plans that begin at each.
    begun: list[np.ndarray] = [np.zeros((0, 0))] * tree.num_sets

    def together(sequence: int) -> np.ndarray:
        """The plans after a sequence: one of each set that follows, in all combinations."""
        plans = np.zeros((1, tree.num_sequences), np.int8)
        for j in below[sequence]:
            plans = (plans[:, None] + begun[j][None]).reshape(-1, tree.num_sequences)
        plans[:, sequence] = 1
        return plans

    for j in reversed(range(tree.num_sets)):
        first = 1 + j * tree.width
        begun[j] = np.concatenate([together(first + k) for k in range(tree.num_actions[j])])
    return together(0)


def mixed_strategy(tree: Tree, plan: Float[Array, " sequences"]) -> Float[Array, " plans"]:
    r"""Probabilities of the `reduced_plans` that realize a plan.

    Each pure plan is played with the product of the behaviors that it takes (Kuhn's theorem); of
    the many mixtures with this realization plan the one whose choices are independent.

    References:
        kuhn1953.
    """
    plan = jnp.asarray(plan)
    flat = jnp.where(tree.mask, tree.behaviors(plan), 1).reshape(-1)
    taken = jnp.asarray(reduced_plans(tree)[:, 1:] > 0)
    return jnp.prod(jnp.where(taken, flat[None], 1), axis=1)


def realized_plan(tree: Tree, mixed: Float[Array, " plans"]) -> Float[Array, " sequences"]:
    """The realization plan of a mixture of `reduced_plans`; equivalent against every opponent."""
    mixed = jnp.asarray(mixed)
    return jnp.matmul(mixed, jnp.asarray(reduced_plans(tree), mixed.dtype), precision=HIGHEST)


def reduced_normal_form(game: SequenceFormGame) -> NormalFormGame:
    """The game in which each player chooses a pure plan once and for all.

    Actions are the `reduced_plans`, named by the actions that they take at their information sets
    in order, `*` where a plan never comes. Differentiable in payoffs and chance.

    Raises:
        ValueError: the payoffs would not fit into memory; the message says how many bytes.
    """
    form = game.form
    counts = [num_reduced_plans(tree) for tree in form.trees]
    cells = math.prod(counts)
    widest = max([len(form.leaf_entry) * cells // counts[-1] if len(counts) > 2 else 0, cells])
    what = f"the reduced normal form with {' x '.join(map(str, counts))} plans"
    require_memory((len(counts) * cells + widest) * jnp.dtype(game.dtype).itemsize, what)
    plans = [reduced_plans(tree) for tree in form.trees]
    payoffs = game.payoffs * game.chance[None]
    reached = [
        jnp.asarray(plan[:, own], game.dtype)
        for plan, own in zip(plans, form.sequences, strict=True)
    ]
    tensor = jnp.stack([_contracted(own, reached) for own in payoffs])
    names = tuple(_names(form, i, plan) for i, plan in enumerate(plans))
    title, players = ("", ()) if game.labels is None else (game.labels.title, game.labels.players)
    return NormalFormGame(tensor, labels=Labels(title, players, names))


def _contracted(payoffs: Array, reached: list[Array]) -> Array:
    r"""$\sum_\ell p_\ell \prod_i r_{i, a_i, \ell}$, shape `(n_1, ..., n_m)`."""
    product = payoffs[None]
    for own in reached[:-1]:
        product = (product[:, None] * own[None]).reshape(-1, own.shape[1])
    tensor = jnp.matmul(product, reached[-1].T, precision=HIGHEST)
    return tensor.reshape([own.shape[0] for own in reached])


def _names(form: SequenceForm, player: int, plans: np.ndarray) -> tuple[str, ...]:
    tree = form.trees[player]
    actions = [(*form.actions(player, j), "*") for j in range(tree.num_sets)]
    if not tree.num_sets:
        return ("",)
    moves = plans[:, 1:].reshape(-1, tree.num_sets, tree.width)
    chosen = np.where(moves.any(2), moves.argmax(2), -1)
    return tuple("/".join(a[k] for a, k in zip(actions, row, strict=True)) for row in chosen)


class Response(NamedTuple):
    """A best response.

    Attributes:
        plan: a pure realization plan.
        value: what the player gets by it.
    """

    plan: Float[Array, " sequences"]
    value: Scalar


def best_response(game: SequenceFormGame, player: int, profile: Sequence[Array]) -> Response:
    """A pure plan that is best against the others' plans, by one pass over the own tree.

    Args:
        game: the game.
        player: who responds; its own plan in `profile` does not matter.
        profile: one realization plan per player.
    """
    utility = game.utility(player, tuple(profile))
    own = game.strategy_sets[player]
    return Response(own.lmo(utility), own.support(utility))

r"""Extensive-form correlated play: what obeying a mediator costs who reveals its advice bit by bit.

The mediator draws a profile of pure plans and tells each player, at each information set that its
plan reaches, what to do there. Who deviates gets no further advice.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import HIGHEST, require_memory
from gamejax._types import Profile, Scalar
from gamejax.extensive._conversions import num_reduced_plans, reduced_plans
from gamejax.extensive._game import SequenceFormGame
from gamejax.metrics import gains
from gamejax.sets import Tree


class Triggers(NamedTuple):
    r"""What one player gains by single deviations; payoffs times the chance that they come about.

    Attributes:
        informed: by disobeying where it is told action $a$ at set $j$, and playing its best from
            $j$ on, shape `(sets, actions)`; 0 at actions that do not exist.
        coarse: by ignoring the advice from set $j$ on, before it hears what to do at $j$, shape
            `(sets,)`.
    """

    informed: Float[Array, "sets actions"]
    coarse: Float[Array, " sets"]


def trigger_gains(game: SequenceFormGame, joint: Joint, player: int) -> Triggers:
    r"""What a player gains by each single deviation from a mediator's advice.

    With $G[s, \sigma] = \sum_{\ell : \sigma_i(\ell) = \sigma} c_\ell p_{i\ell}\,
    \Pr(s \text{ is advised, the others' advice leads to } \ell)$ a player who is told the
    sequence $s = (j, a)$ may gain
    $$\max_y \sum_{\sigma \succeq j} G[s, \sigma]\, y_\sigma - \sum_{\sigma \succeq s}
    G[\sigma, \sigma]$$
    over plans $y$ from $j$ on; without hearing $a$, the same with $G[p_j, \cdot]$ and the sum over
    all $\sigma \succeq j$. The largest informed gain of all is the $\varepsilon$ of trigger agents.

    Args:
        game: a small game: its pure plans are listed.
        joint: over the players' `reduced_plans`.
        player: whose gains.

    Raises:
        ValueError: the joint's shape is not that of the players' plans.

    References:
        vonstengel2008; farina2022.
    """
    tree = game.form.trees[player]
    if not tree.num_sets:
        dtype = joint.probabilities.dtype
        return Triggers(jnp.zeros((0, 1), dtype), jnp.zeros(0, dtype))
    table = _advised(game, joint, player)

    def values(utility: Array) -> Array:
        """The best payoff from each set on."""

        def best(below: Array, low: int, high: int) -> Array:
            return jnp.max(below, axis=1, where=tree.mask[low:high], initial=-jnp.inf)

        return best(tree.fold(utility, best)[1], 0, tree.num_sets)

    obeyed = tree.fold(jnp.diagonal(table), lambda below, low, high: below.sum(1))[1]
    own = 1 + jnp.arange(tree.num_sets * tree.width).reshape(tree.num_sets, tree.width)
    deviating = jax.vmap(values)(table)
    sets = jnp.arange(tree.num_sets)
    informed = jnp.where(tree.mask, deviating[own, sets[:, None]] - obeyed, 0)
    return Triggers(informed, deviating[tree.parent, sets] - obeyed.sum(1))


def extensive_correlated_gains(
    game: SequenceFormGame, profile: Profile
) -> Float[Array, " players"]:
    r"""What each player gains by disobeying, at the best of times, a mediator of the tree.

    The best of all deviations that obey until some advice, which may differ from branch to branch,
    and then play on without: $T_\emptyset$ with $T_j = \sum_a \max(g_{ja}, \sum_{j' : p_{j'} = ja}
    T_{j'})$ and the informed `trigger_gains` $g$. Zero exactly at extensive-form correlated
    equilibria; between the largest single trigger gain and the sum of the positive ones. At least
    `extensive_coarse_correlated_gains`; at most `metrics.correlated_gains` in the reduced normal
    form, where players hear all advice at once. For a profile of plans, whose advice tells nothing,
    these are `metrics.gains`.

    Args:
        game: a small game: its pure plans are listed.
        profile: a `Joint` over the players' `reduced_plans`, or one realization plan per player.

    References:
        vonstengel2008.
    """

    def value(found: Triggers, below: Array, low: int, high: int) -> Array:
        return jnp.maximum(found.informed[low:high], below).sum(1)

    return _best_leaving(game, profile, value)


def extensive_correlated_gap(game: SequenceFormGame, profile: Profile) -> Scalar:
    r"""Largest of `extensive_correlated_gains`: the $\varepsilon$ of an EFCE."""
    return extensive_correlated_gains(game, profile).max()


def extensive_coarse_correlated_gains(
    game: SequenceFormGame, profile: Profile
) -> Float[Array, " players"]:
    r"""What each player gains by leaving a mediator of the tree at information sets of its choice.

    As `extensive_correlated_gains`, but whoever leaves at a set does so before it hears what to do
    there: $T_j = \max(g_j, \sum_a \sum_{j' : p_{j'} = ja} T_{j'})$ with the coarse `trigger_gains`.
    Never negative; at least `metrics.coarse_correlated_gains` in the reduced normal form, where
    players decide before the game begins.

    Args:
        game: a small game: its pure plans are listed.
        profile: a `Joint` over the players' `reduced_plans`, or one realization plan per player.

    References:
        farina2020.
    """

    def value(found: Triggers, below: Array, low: int, high: int) -> Array:
        return jnp.maximum(found.coarse[low:high], below.sum(1))

    return _best_leaving(game, profile, value)


def extensive_coarse_correlated_gap(game: SequenceFormGame, profile: Profile) -> Scalar:
    r"""Largest of `extensive_coarse_correlated_gains`: the $\varepsilon$ of an EFCCE."""
    return extensive_coarse_correlated_gains(game, profile).max()


def _best_leaving(
    game: SequenceFormGame,
    profile: Profile,
    value: Callable[[Triggers, Array, int, int], Array],
) -> Float[Array, " players"]:
    """Each player's best sum of `trigger_gains`; `value` adds a set to what lies below it."""
    if not isinstance(profile, Joint):
        return gains(game, profile)

    def total(tree: Tree, found: Triggers) -> Scalar:
        nothing = jnp.zeros_like(found.coarse, shape=(tree.num_sequences,))
        return tree.fold(nothing, functools.partial(value, found))[0]

    trees = enumerate(game.form.trees)
    return jnp.stack([total(tree, trigger_gains(game, profile, i)) for i, tree in trees])


def _advised(
    game: SequenceFormGame, joint: Joint, player: int
) -> Float[Array, "sequences sequences"]:
    r"""$G[s, \sigma]$ of `trigger_gains`."""
    form, probabilities = game.form, joint.probabilities
    counts = tuple(num_reduced_plans(tree) for tree in form.trees)
    if probabilities.shape != counts:
        raise ValueError(
            f"joint must have one probability per profile of reduced plans, shape {counts}, got "
            f"{probabilities.shape}."
        )
    used = np.flatnonzero(form.leaf_entry >= 0)
    last = max((i for i in range(len(counts)) if i != player), default=player)
    needed = len(used) * (probabilities.size // counts[last]) * probabilities.dtype.itemsize
    require_memory(needed, f"a joint of {' x '.join(map(str, counts))} plans")
    plans = [jnp.asarray(reduced_plans(tree), probabilities.dtype) for tree in form.trees]

    def reached(sequences: Array) -> Float[Array, " plans"]:
        """How likely each own plan is and the others' lead on, to one leaf."""
        left = probabilities
        for i in reversed(range(len(plans))):
            if i != player:
                taken = plans[i][:, sequences[i]]
                left = jnp.tensordot(left, taken, (i, 0), precision=HIGHEST)
        return left

    leads = jax.vmap(reached, 1)(jnp.asarray(form.sequences[:, used]))
    advised = jnp.matmul(plans[player].T, leads.T, precision=HIGHEST)
    paid = (game.chance * game.payoffs[player])[used].astype(probabilities.dtype)
    table = jnp.zeros((form.trees[player].num_sequences,) * 2, probabilities.dtype)
    return table.at[:, form.sequences[player, used]].add(advised * paid[None])

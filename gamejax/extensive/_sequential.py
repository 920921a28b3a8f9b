"""Sequential equilibria, as limits of logit equilibria of the agent form."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gamejax._solution import RESULTS
from gamejax._solve import play
from gamejax._types import Scalar
from gamejax.extensive._agent import AgentFormGame, agent_form, require_tree
from gamejax.extensive._game import SequenceFormGame, ancestors
from gamejax.metrics import nash_gap
from gamejax.solvers import BranchPoint, LogitHomotopy, branch_point


class Assessment(eqx.Module):
    r"""Behaviors everywhere, and beliefs that follow from them; `sequential_equilibrium` finds one.

    Attributes:
        profile: realization plans, the limit of the branch as far as it can be told.
        gap: their Nash gap on the tree.
        behaviors: those of the last point of the branch, all positive, per player one block per
            information set.
        beliefs: how likely each decision node is in its information set there, by Bayes' rule,
            shape `(nodes,)` in the order of `form.history`; 0 at other nodes.
        sequential_gap: the Nash gap of `behaviors` in the agent form: the most that the agents of
            one player gain together by better moves, each given that it is reached.
        branch: the branch from uniform play, points along the leading axis, with the gap of the
            agent form; `gamejax.plot.branch` draws it.
        result: why the branch ended: `successful` where its agents have nothing left to gain,
            `stalled` where they have no more than rounding.
    """

    profile: tuple[Float[Array, " sequences"], ...]
    gap: Scalar
    behaviors: tuple[Float[Array, "sets actions"], ...]
    beliefs: Float[Array, " nodes"]
    sequential_gap: Scalar
    branch: BranchPoint
    result: RESULTS


def sequential_equilibrium(
    game: SequenceFormGame, num_steps: int = 200, *, max_precision: float | Scalar | None = None
) -> Assessment:
    r"""A sequential equilibrium, as the limit of the principal branch of logit equilibria.

    Every information set $j$ is an agent that plays $b_j = \mathrm{softmax}(\lambda u_j(b))$, with
    $u_j$ the payoffs given that it is reached (`agent_form`). The branch of these agent quantal
    response equilibria starts at uniform play, $\lambda = 0$, and all its limits as
    $\lambda \to \infty$ are sequential equilibria: rational at every information set, reached or
    not, under beliefs that are limits of Bayes' rule. It stops at a finite precision, of course:
    `sequential_gap`, of order $1/\lambda$, tells how much any agents gain there, and `gap` how good
    the extrapolated limit is as a Nash equilibrium. Compute in float64: the branch ends where an
    information set is reached with a probability too small for the numbers at hand, or where they
    no longer tell its points apart.

    Each step solves a dense linear system with one unknown per action of any information set: for
    trees with hundreds of these, not thousands. May be mapped with `jax.vmap` over payoffs.

    Args:
        game: the tree.
        num_steps: at most so many points of the branch.
        max_precision: where to end, in units of one over the range of payoffs; see
            `solvers.LogitHomotopy`.

    Raises:
        TypeError: `game` is no `SequenceFormGame`.

    References:
        kreps1982; mckelvey1998, theorem 4.
    """
    require_tree(game, "sequential_equilibrium")
    agents = agent_form(game)
    run = play(agents, LogitHomotopy(max_precision), num_steps, record=branch_point)
    return _assess(agents, run.records, run.solution.state.best, run.solution.result)


@eqx.filter_jit
def _assess(
    agents: AgentFormGame, branch: BranchPoint, limit: tuple[Array, ...], result: RESULTS
) -> Assessment:
    last = jax.tree.map(lambda x: x[-1], branch)
    profile = agents.plans(limit)
    return Assessment(
        profile=profile,
        gap=nash_gap(agents.game, profile),
        behaviors=last.strategies,
        beliefs=beliefs(agents.game, agents.plans(last.strategies)),
        sequential_gap=last.gap,
        branch=branch,
        result=result,
    )


def node_probabilities(
    game: SequenceFormGame, profile: tuple[Float[Array, " sequences"], ...]
) -> Float[Array, " nodes"]:
    """How likely each node of the tree is to be passed.

    Args:
        game: the tree.
        profile: realization plans.

    Returns:
        One probability per node of `game.form.history`, 1 at the root.
    """
    plans = zip(profile, game.form.sequences, strict=True)
    leaves = functools.reduce(jnp.multiply, [x[s] for x, s in plans], game.chance)
    history = game.form.history
    total = jnp.zeros_like(leaves, shape=(len(history.parent),))
    fresh = np.ones(len(leaves), bool)
    for nodes in ancestors(history):
        total = total.at[nodes].add(jnp.where(fresh, leaves, 0))
        fresh = nodes != 0
    return total


def beliefs(
    game: SequenceFormGame, profile: tuple[Float[Array, " sequences"], ...]
) -> Float[Array, " nodes"]:
    r"""How likely each decision node is, given that its information set is reached.

    Bayes' rule, $\mu(h) = r(h) / \sum_{h' \in j} r(h')$; uniform where the set is not reached.

    Args:
        game: the tree.
        profile: realization plans.

    Returns:
        One probability per node of `game.form.history`; 0 at leaves and where nature moves.
    """
    history = game.form.history
    deciding = np.flatnonzero(history.player >= 0)
    pairs = np.stack([history.player[deciding], history.information[deciding]])
    _, group, sizes = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    reach = node_probabilities(game, profile)
    own = reach[deciding]
    total = jax.ops.segment_sum(own, group, len(sizes))[group]
    uniform = jnp.asarray(1 / sizes[group], own.dtype)
    found = jnp.where(total > 0, own / jnp.where(total > 0, total, 1), uniform)
    return jnp.zeros_like(reach).at[deciding].set(found)

"""The branch of logit equilibria that starts at precision 0, traced by arclength."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gamejax._numerics import fold
from gamejax._types import Scalar, State
from gamejax.solvers._logit_system import (
    Direction,
    Logits,
    System,
    fisher,
    hellinger,
    inner,
    strategies_of,
)

NUM_NEWTON = 3
"""Newton steps per corrector; a step that needs more was too long."""

FIRST_LENGTH, MAX_LENGTH = 0.3, 4.0
TARGET_TURN, MAX_TURN = 0.05, 0.25
"""How far corrections may lie from predictions, as Hellinger distances: aimed at, at most."""

MIN_COSINE = 0.3
MAX_LAST = 1e-3
RUNNING, ENDED, STALLED, TURNED = 0, 1, 2, 3


class PathState(eqx.Module):
    r"""A point of the branch and how to go on.

    Attributes:
        logits: $z$, centered.
        time: the parameter $t$; the precisions are $t\,r_i$.
        tangent: the unit tangent of the branch.
        length: how far the next prediction goes.
        ended: whether and why the path is over.
        num_folds: how often the parameter turned round.
    """

    logits: Logits
    time: Scalar
    tangent: Direction
    length: Scalar
    ended: Int[Array, ""]
    num_folds: Int[Array, ""]


def begin_path(system: System, unit: Scalar) -> PathState:
    """The branch's first point, $t = 0$; `unit` is the parameter at which payoffs begin to tell."""
    time = jnp.zeros_like(unit)
    ahead = system.utilities(strategies_of(system.sets, system.base))
    tangent = Direction(ahead, jnp.ones_like(unit))
    return PathState(
        logits=system.base,
        time=time,
        tangent=_unit(system, system.base, time, tangent, unit),
        length=jnp.full_like(unit, FIRST_LENGTH),
        ended=jnp.int32(RUNNING),
        num_folds=jnp.int32(0),
    )


def _unit(
    system: System, logits: Logits, time: Scalar, tangent: Direction, unit: Scalar
) -> Direction:
    """The tangent at unit length."""
    row = fisher(strategies_of(system.sets, logits), tangent, time + unit)
    square = inner(row, tangent)
    return jax.tree.map(lambda d: d / jnp.sqrt(square), tangent)


def step_path(system: System, state: PathState, unit: Scalar, target: Scalar) -> PathState:
    """One predictor and its corrector, kept if the corrector converged nearby.

    A prediction beyond `target` is moved onto it, and corrected there.
    """
    before = strategies_of(system.sets, state.logits)
    reach = state.time + state.length * state.tangent.time
    lands = reach >= target
    length = jnp.where(
        lands, (target - state.time) / jnp.where(lands, state.tangent.time, 1), state.length
    )
    time = jnp.where(lands, target, reach)
    logits = jax.tree.map(lambda z, d: z + length * d, state.logits, state.tangent.logits)
    predicted = strategies_of(system.sets, logits)

    along = fisher(before, state.tangent, state.time + unit)
    row = Direction(
        jax.tree.map(lambda w: jnp.where(lands, 0, w), along.logits),
        jnp.where(lands, 1, along.time),
    )
    for _ in range(NUM_NEWTON):
        right = jax.tree.map(jnp.negative, system.equations(logits, time))
        newton, tangent = system.solve(logits, time, row, right)
        logits = jax.tree.map(jnp.add, logits, newton.logits)
        time = time + newton.time
    after = strategies_of(system.sets, logits)
    last = jnp.sqrt(inner(fisher(after, newton, time + unit), newton))
    tangent = _unit(system, logits, time, tangent, unit)

    turn = jnp.maximum(hellinger(predicted, after), hellinger(before, after) / 3)
    cosine = inner(along, tangent)
    good = (last < MAX_LAST) & (turn < MAX_TURN) & jnp.isfinite(turn)
    good = good & (lands | ((cosine > MIN_COSINE) & (time < target)))
    factor = jnp.clip(jnp.sqrt(TARGET_TURN / jnp.maximum(turn, 1e-6)), 0.5, 3)
    longer = jnp.minimum(
        jnp.where(good, jnp.maximum(length, state.length / 2) * factor, length / 4), MAX_LENGTH
    )
    floor = 1e-7
    ended = jnp.where(
        good & (time >= target),
        ENDED,
        jnp.where(good & (time < 0), TURNED, jnp.where(longer < floor, STALLED, RUNNING)),
    )
    turned = good & (tangent.time * state.tangent.time < 0)
    moved = PathState(
        logits=logits,
        time=time,
        tangent=tangent,
        length=longer,
        ended=ended.astype(jnp.int32),
        num_folds=state.num_folds + turned,
    )
    stayed = eqx.tree_at(lambda s: (s.length, s.ended), state, (longer, moved.ended))
    chosen = jax.tree.map(lambda new, old: jnp.where(good, new, old), moved, stayed)
    over = state.ended != RUNNING
    return jax.tree.map(lambda new, old: jnp.where(over, old, new), chosen, state)

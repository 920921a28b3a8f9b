"""The branch of logit equilibria that starts at precision 0, traced by arclength."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from gamejax._types import Scalar
from gamejax.solvers._logit_system import (
    Direction,
    Logits,
    System,
    apply,
    fisher,
    hellinger,
    strategies_of,
)

State = TypeVar("State")

NUM_NEWTON = 3
"""Newton steps per corrector; a prediction that needs more was too far."""

NUM_APPROACH = 8
"""Newton steps from a given point."""

FIRST_LENGTH, MAX_LENGTH, MIN_LENGTH = 0.3, 4.0, 1e-7
"""Lengths of predictions, in units of $2\\sqrt x$ and of the logarithm of the precision."""

AIM_DISTANCE, MAX_DISTANCE = 0.05, 0.25
"""How far points may lie from their predictions, as Hellinger distances."""

AIM_ERROR, MAX_ERROR = 1e-7, 1e-5
"""Sizes of the last Newton step. Few are too large without a jump to another branch nearby."""

AIM_ROUNDING, MAX_ROUNDING = 64, 1024
"""The same in units of rounding, which float32 does not get below."""

MIN_COSINE = 0.7
"""Of the angle between tangents at neighboring points."""

RUNNING, LANDED, ENDED, STALLED, TURNED = range(5)
"""Where a path stands: on its way, at the target, refined there, out of steps, at precision 0."""


class PathState(eqx.Module):
    r"""A point of the branch and how to go on.

    Attributes:
        logits: $z$, centered.
        base: $b$, the logits of the prior.
        time: the parameter $t$; the precisions are $t\,r_i$.
        tangent: the unit tangent of the branch.
        length: how far the next prediction goes.
        phase: where the path stands.
        num_points: how many points were found.
        num_folds: how often the parameter turned round.
        unit: the parameter at which payoffs begin to tell.
    """

    logits: Logits
    base: Logits
    time: Scalar
    tangent: Direction
    length: Scalar
    phase: Int[Array, ""]
    num_points: Int[Array, ""]
    num_folds: Int[Array, ""]
    unit: Scalar


def begin_path(system: System, unit: Scalar) -> PathState:
    """The branch's first point, the prior at $t = 0$."""
    ahead = system.utilities(strategies_of(system.sets, system.base))
    time = jnp.zeros_like(unit)
    counter = jnp.zeros_like(unit, jnp.int32)
    return PathState(
        logits=system.base,
        base=system.base,
        time=time,
        tangent=_unit_tangent(system, system.base, unit, Direction(ahead, jnp.ones_like(unit))),
        length=jnp.full_like(unit, FIRST_LENGTH),
        phase=counter,
        num_points=counter,
        num_folds=counter,
        unit=unit,
    )


def _unit_tangent(
    system: System, logits: Logits, moved_time: Scalar, tangent: Direction
) -> Direction:
    square = apply(fisher(strategies_of(system.sets, logits), tangent, moved_time), tangent)
    return jax.tree.map(lambda d: d / jnp.sqrt(square), tangent)


def step_path(system: System, state: PathState, target: Scalar | float) -> PathState:
    """One prediction along the tangent and its correction, kept where that converged nearby.

    A prediction beyond `target` is moved onto it and corrected there; one more step refines it.
    """
    target = jnp.asarray(target, state.time.dtype)
    before = strategies_of(system.sets, state.logits)
    reach = state.time + state.length * state.tangent.time
    lands = reach >= target
    speed = jnp.where(lands, state.tangent.time, 1)
    length = jnp.where(lands, (target - state.time) / speed, state.length)
    guess = jax.tree.map(lambda z, d: z + length * d, state.logits, state.tangent.logits)
    along = fisher(before, state.tangent, state.time + state.unit)
    row = Direction(
        jax.tree.map(lambda w: jnp.where(lands, 0, w), along.logits),
        jnp.where(lands, 1, along.time),
    )
    logits, time, error, tangent = _correct(system, guess, jnp.where(lands, target, reach), row)
    time = jnp.where(lands, target, time)
    after = strategies_of(system.sets, logits)
    tangent = _unit_tangent(system, logits, time + state.unit, tangent)

    # How far to go is no part of the answer, and its derivative at distance 0 is infinite.
    error = jnp.sqrt(apply(fisher(after, error, time + state.unit), error))
    predicted = strategies_of(system.sets, guess)
    near = jnp.maximum(hellinger(predicted, after), hellinger(before, after) / 3)
    near, error, cosine = jax.lax.stop_gradient((near, error, apply(along, tangent)))
    rounding = jnp.finfo(error.dtype).eps
    good = (
        (error < max(MAX_ERROR, MAX_ROUNDING * rounding))
        & (near < MAX_DISTANCE)
        & (cosine > MIN_COSINE)
    )
    good = good & (lands | (time < target))
    longer = _next_length(near, error) * jnp.maximum(length, state.length / 2)
    longer = jnp.where(good, jnp.minimum(longer, MAX_LENGTH), length / 4)
    longer = jax.lax.stop_gradient(longer)

    refining = state.phase == LANDED
    phase = jnp.where(good & lands, jnp.where(refining, ENDED, LANDED), RUNNING)
    phase = jnp.where(good & (time < 0), TURNED, phase)
    phase = jnp.where(~good & (longer < MIN_LENGTH), STALLED, phase)
    phase = jnp.where(~good & refining, ENDED, phase).astype(state.phase.dtype)
    turned = good & (tangent.time * state.tangent.time < 0)
    moved = PathState(
        logits=logits,
        base=state.base,
        time=time,
        tangent=tangent,
        length=longer,
        phase=phase,
        num_points=state.num_points + 1,
        num_folds=state.num_folds + turned.astype(state.num_folds.dtype),
        unit=state.unit,
    )
    stayed = eqx.tree_at(lambda s: (s.length, s.phase), state, (longer, phase))
    return choose(state.phase > LANDED, state, choose(good, moved, stayed))


def _correct(
    system: System, logits: Logits, time: Scalar, row: Direction
) -> tuple[Logits, Scalar, Direction, Direction]:
    """Newton's method across the tangent: the point, the last step, the tangent there."""
    step = tangent = row
    for _ in range(NUM_NEWTON):
        right = jax.tree.map(jnp.negative, system.equations(logits, time))
        step, tangent = system.solve(logits, time, row, right)
        logits = jax.tree.map(jnp.add, logits, step.logits)
        time = time + step.time
    return logits, time, step, tangent


def approach(system: System, path: PathState, logits: Logits) -> PathState:
    """The path at parameter 1 after damped Newton steps from any logits."""
    time = jnp.ones_like(path.time)
    row = Direction(jax.tree.map(jnp.zeros_like, logits), time)

    def newton(_: Array, carry: tuple[Logits, Direction]) -> tuple[Logits, Direction]:
        current = carry[0]
        right = jax.tree.map(jnp.negative, system.equations(current, time))
        step, tangent = system.solve(current, time, row, right)
        square = apply(fisher(strategies_of(system.sets, current), step, time), step)
        shrink = jnp.where(square > 1, 1 / jnp.sqrt(jnp.where(square > 1, square, 1)), 1)
        return jax.tree.map(lambda z, d: z + shrink * d, current, step.logits), tangent

    logits, tangent = jax.lax.fori_loop(0, NUM_APPROACH, newton, (logits, path.tangent))
    tangent = _unit_tangent(system, logits, time + path.unit, tangent)
    return eqx.tree_at(lambda p: (p.logits, p.time, p.tangent), path, (logits, time, tangent))


def _next_length(distance: Scalar, error: Scalar) -> Scalar:
    """By which factor to go farther: distances grow like its square, errors like its eighth power.

    The exponents are a little smaller than that asks for.
    """
    by_distance = jnp.sqrt(AIM_DISTANCE / jnp.maximum(distance, 1e-6))
    aim = max(AIM_ERROR, AIM_ROUNDING * jnp.finfo(error.dtype).eps)
    by_error = (aim / jnp.maximum(error, 1e-14)) ** (1 / 6)
    return jnp.clip(jnp.minimum(by_distance, by_error), 0.5, 3)


def choose(condition: Bool[Array, ""], new: State, old: State) -> State:
    """`new` where the condition holds, else `old`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def advance_until(
    step: Callable[[State], State],
    over: Callable[[State], Bool[Array, ""]],
    state: State,
    count: Int[Array, ""] | int,
) -> State:
    """At most `count` steps, fewer where the state says that it is over."""

    def unfinished(carry: tuple[State, Array]) -> Array:
        return ~over(carry[0]) & (carry[1] < count)

    def body(carry: tuple[State, Array]) -> tuple[State, Array]:
        return step(carry[0]), carry[1] + 1

    return jax.lax.while_loop(unfinished, body, (state, jnp.int32(0)))[0]

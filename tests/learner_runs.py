"""Small loops that run learners in tests: on given utilities, and in self-play on a matrix game."""

import functools

import jax
import jax.numpy as jnp

from gamejax.feedback import Feedback

PRECISE = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def full(utility, strategy):
    """Full-information feedback."""
    return Feedback(utility, strategy, jax.tree.map(lambda u: jnp.ones_like(u, bool), utility))


def run(learner, strategies, utilities):
    """The strategies x^1, ..., x^T of a learner that sees the given utilities, stacked."""
    dtype = jnp.result_type(*jax.tree.leaves(utilities))

    def step(carry, utility):
        strategy, state = carry
        return learner.update(strategies, full(utility, strategy), state, strategy), strategy

    return jax.lax.scan(step, learner.init(strategies, dtype=dtype), utilities)[1]


@functools.partial(jax.jit, static_argnames=("steps", "alternating"))
def self_play(learners, sets, payoffs, steps, *, start=None, alternating=False):
    """Strategies of both players in rounds 1, ..., steps of the bimatrix game `payoffs`.

    In alternating play the second player answers the first player's next strategy.
    """
    a, b = payoffs
    if start is None:
        begun = [lr.init(s, dtype=a.dtype) for lr, s in zip(learners, sets, strict=True)]
    else:
        begun = [
            lr.start(s, x, dtype=a.dtype) for lr, s, x in zip(learners, sets, start, strict=True)
        ]

    def step(carry, _):
        (x, state_x), (y, state_y) = carry
        first = learners[0].update(sets[0], full(PRECISE(a, y), x), state_x, x)
        seen = first[0] if alternating else x
        second = learners[1].update(sets[1], full(PRECISE(b.T, seen), y), state_y, y)
        return (first, second), (x, y)

    return jax.lax.scan(step, tuple(begun), length=steps)[1]


def matrix_gap(a, x, y):
    """The duality gap of (x, y) in the zero-sum game where the row player maximises x' A y."""
    return PRECISE(a, y).max() - PRECISE(a.T, x).min()

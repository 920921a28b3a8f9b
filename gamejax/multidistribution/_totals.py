"""Total losses of many fresh examples, in a loop that is as long as there are examples."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, hash_key, uniform, vary_like
from gamejax._types import State
from gamejax.multidistribution._discrete import DiscreteLosses
from gamejax.multidistribution._problem import AbstractFiniteProblem, BernoulliLosses

Where = Callable[[Int[Array, " draws"], PRNGKeyArray], Int[Array, " draws"]]
"""The distributions that examples of these numbers come from."""


CHUNK = 256
"""How many examples are drawn together."""


class Totals(NamedTuple):
    """Sums over examples.

    Attributes:
        losses: total losses; shape `(k, hypotheses)`, `(hypotheses,)` or `(k,)`.
        counts: how many examples of each distribution there were, `(k,)`.
        pools: the problem's state afterwards.
    """

    losses: Float[Array, "..."]
    counts: Int[Array, " k"]
    pools: State


def of_each(
    problem: AbstractFiniteProblem,
    counts: Int[Array, " k"],
    pools: State,
    *,
    key: PRNGKeyArray | None,
) -> Totals:
    """All hypotheses' total losses on so many examples of each distribution, `(k, hypotheses)`."""
    where = functools.partial(_in_order, counts)
    return _totals(problem, where, counts.sum(dtype=jnp.int32), pools, key, apart=True)


def of_mixture(
    problem: AbstractFiniteProblem,
    weights: Float[Array, " k"],
    count: Int[Array, ""],
    pools: State,
    *,
    key: PRNGKeyArray | None,
) -> Totals:
    """All hypotheses' total losses on examples of a mixture, independent ones, `(hypotheses,)`."""
    where = functools.partial(_from_mixture, weights)
    return _totals(problem, where, count, pools, key, apart=False)


def of_one(
    problem: AbstractFiniteProblem,
    hypothesis: Int[Array, ""],
    counts: Int[Array, " k"],
    pools: State,
    *,
    key: PRNGKeyArray | None,
    few: bool = False,
) -> Totals:
    """One hypothesis' total losses on so many examples of each distribution, `(k,)`.

    `few`: there are about one or two examples of each distribution.
    """
    chunk = min(CHUNK, max(16, 2 * problem.num_distributions)) if few else CHUNK
    where, total = functools.partial(_in_order, counts), counts.sum(dtype=jnp.int32)
    return _totals(
        problem, where, total, pools, key, apart=True, hypothesis=hypothesis, chunk=chunk
    )


def _totals(
    problem: AbstractFiniteProblem,
    where: Where,
    count: Int[Array, ""],
    pools: State,
    key: PRNGKeyArray | None,
    *,
    apart: bool,
    hypothesis: Int[Array, ""] | None = None,
    chunk: int = CHUNK,
) -> Totals:
    """The sums, a chunk at a time; under `jax.vmap` as many chunks as the longest needs.

    Raises:
        ValueError: there is no key.
    """
    if key is None:
        raise ValueError("Samples are drawn at random: pass key=jax.random.key(seed).")
    k = problem.num_distributions
    # Of known examples it is enough to count how often each came.
    atoms = problem if isinstance(problem, DiscreteLosses) and hypothesis is None else None
    width = problem.num_hypotheses if atoms is None else atoms.losses.shape[0]
    shape = (k,) if hypothesis is not None else (k, width) if apart else (width,)

    def unfinished(carry: tuple[Array, Totals]) -> Array:
        return carry[0] < count

    def draw(carry: tuple[Array, Totals]) -> tuple[Array, Totals]:
        first, found = carry
        numbers = first + jnp.arange(chunk, dtype=jnp.int32)
        own = hash_key(key, first)
        from_ = jnp.minimum(where(numbers, hash_key(own, jnp.uint32(1))), k - 1)
        within, pools = numbers < count, found.pools
        if atoms is not None:
            drawn = atoms.draw_examples(from_, key=hash_key(own, jnp.uint32(2)))
            index = (from_, drawn) if apart else (drawn,)
            total = found.losses.at[index].add(within.astype(problem.dtype))
            able = within
        else:
            coins = hash_key(own, jnp.uint32(2))
            losses, able, pools = _look(problem, from_, pools, coins, hypothesis)
            able = able & within
            losses = jnp.where(able if losses.ndim == 1 else able[:, None], losses, 0)
            total = found.losses.at[from_].add(losses) if apart else found.losses + losses.sum(0)
        seen = found.counts.at[from_].add(able.astype(jnp.int32))
        return first + chunk, Totals(total, seen, pools)

    start = Totals(jnp.zeros(shape, problem.dtype), jnp.zeros(k, jnp.int32), pools)
    begin = vary_like((jnp.zeros((), jnp.int32), start), problem)
    found = jax.lax.while_loop(unfinished, draw, begin)[1]
    if atoms is None:
        return found
    return found._replace(losses=jnp.matmul(found.losses, atoms.losses, precision=HIGHEST))


def _look(
    problem: AbstractFiniteProblem,
    from_: Int[Array, " draws"],
    pools: State,
    key: PRNGKeyArray,
    hypothesis: Int[Array, ""] | None,
) -> tuple[Array, Array, State]:
    """Losses, capped at the bound, `(draws, hypotheses)` or those of one hypothesis, `(draws,)`."""
    if hypothesis is not None and isinstance(problem, BernoulliLosses):
        # One hypothesis' own coin: the others' would be tossed for nothing.
        heads = uniform(key, problem.dtype, from_.shape) < problem.means[hypothesis, from_]
        return heads.astype(problem.dtype), jnp.ones(from_.shape, bool), pools
    drawn, pools = problem.draw(from_, pools, key=key)
    losses = drawn.examples if hypothesis is None else drawn.examples[:, hypothesis]
    return jnp.minimum(losses, problem.loss_bound), drawn.available, pools


def _in_order(
    counts: Int[Array, " k"], numbers: Int[Array, " draws"], key: PRNGKeyArray
) -> Int[Array, " draws"]:
    """First all examples of the first distribution, then those of the second, and so on."""
    ends = jnp.cumsum(counts, dtype=jnp.int32)
    return jnp.searchsorted(ends, numbers, side="right").astype(jnp.int32)


def _from_mixture(
    weights: Float[Array, " k"], numbers: Int[Array, " draws"], key: PRNGKeyArray
) -> Int[Array, " draws"]:
    """Independent draws from the mixture; distributions of weight 0 never."""
    ends = jnp.cumsum(weights)
    level = uniform(key, weights.dtype, numbers.shape) * ends[-1]
    last = weights.shape[0] - 1 - jnp.argmax(weights[::-1] > 0)
    found = jnp.searchsorted(ends, level, side="right").astype(jnp.int32)
    return jnp.minimum(found, last.astype(jnp.int32))

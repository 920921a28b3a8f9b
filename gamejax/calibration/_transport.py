"""The largest Lipschitz correlation on a path, and the transport of masses that certifies it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._types import Scalar


class Transport(NamedTuple):
    r"""Both sides of $\max_f \sum_i c_i f_i$ over $|f_i| \le 1$, $|f_{i+1} - f_i| \le d_i$.

    Attributes:
        lower: $\sum_i c_i f_i$ at the witness.
        upper: $\sum_i |c_i - a_i + a_{i-1}| + \sum_i d_i |a_i|$ at the flow, $a_0 = a_m = 0$.
        witness: $f$, feasible.
        flow: $a_i$, what is carried from point $i$ to point $i + 1$.
    """

    lower: Scalar
    upper: Scalar
    witness: Float[Array, " points"]
    flow: Float[Array, " gaps"]


def path_transport(masses: Float[Array, " points"], gaps: Float[Array, " gaps"]) -> Transport:
    r"""Solve the pair of linear programs exactly, to rounding, in $O(m \log m)$.

    The points must span at most 1, so that $f$ varies by at most 1 and never needs both bounds:
    with the sums $C_i = c_1 + \ldots + c_i$ and $M = C_m \ge 0$ (else negate all masses) some
    optimal flow is $a = C - A$ with $0 \le A_1 \le \ldots \le A_{m-1} \le M$, and the value is

    $$M + \min_A \sum_i d_i |C_i - A_i|,$$

    an isotonic regression in absolute values. $1 - f$ is the least $h \ge 0$ that climbs by $d_i$
    where $C_i > A_i$, falls by $d_i$ where $C_i < A_i$, and does either or less where they agree.
    """
    masses, gaps = jax.lax.stop_gradient((masses, gaps))
    sign = jnp.where(masses.sum() < 0, -1, 1).astype(masses.dtype)
    sums = jnp.cumsum(sign * masses)
    most, sums = jnp.maximum(sums[-1], 0), sums[:-1]
    kept = isotonic_medians(jnp.clip(sums, 0, most), gaps)
    flow = sums - kept
    slope = gaps * jnp.sign(flow)
    climb = jnp.where(flow == 0, -gaps, slope)
    fall = jnp.where(flow == 0, gaps, slope)
    # What the steps before a point demand of h there, and, mirrored, the steps after it.
    path = jnp.pad(jnp.cumsum(jnp.stack([climb, -fall[::-1]]), axis=1), ((0, 0), (1, 0)))
    ahead, behind = path - jax.lax.cummin(path, axis=1)
    witness = sign * (1 - jnp.maximum(ahead, behind[::-1]))
    upper = most + (gaps * jnp.abs(flow)).sum()
    return Transport((witness * masses).sum(), upper, witness, sign * flow)


def largest_correlation(masses: Float[Array, " points"], gaps: Float[Array, " gaps"]) -> Scalar:
    """The value of `path_transport`, differentiable: the witness and the flow are its gradients."""
    best = path_transport(masses, gaps)
    length = jnp.abs(best.flow)
    return (best.witness * masses).sum() + (length * (gaps - jax.lax.stop_gradient(gaps))).sum()


def isotonic_medians(values: Float[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""A non-decreasing $A$ that minimizes $\sum_i w_i |y_i - A_i|$; its values are among the $y$.

    Each $A_i$ is found bit by bit, as a rank among the sorted values. Points whose ranks agree so
    far are neighbors, a block; the next bit splits each block in two where fewest weights end on
    the wrong side of the threshold: at the least sum $\sum_{i < k} \pm w_i$ over it.

    References:
        stout2013.
    """
    n = values.shape[0]
    if n == 0:
        return values
    places = jnp.arange(n, dtype=jnp.int32)
    ordered, order = jax.lax.sort((values, places), num_keys=1)
    ranks = jnp.zeros_like(order).at[order].set(places, mode="promise_in_bounds")
    num_bits = max(1, (n - 1).bit_length())

    def split(bit: Array, floor: Array) -> Array:
        step = jnp.left_shift(jnp.int32(1), num_bits - 1 - bit)
        after = jnp.cumsum(jnp.where(ranks >= floor + step, weights, -weights))
        before = jnp.pad(after[:-1], (1, 0))
        blocks = jnp.full((2**num_bits,), jnp.inf, weights.dtype)
        least = blocks.at[floor].min(jnp.minimum(before, after), mode="promise_in_bounds")[floor]
        cut = jnp.where(before == least, places, jnp.where(after == least, places + 1, n))
        first = jnp.full((2**num_bits,), n, jnp.int32)
        first = first.at[floor].min(cut, mode="promise_in_bounds")[floor]
        return floor + jnp.where(places >= first, step, 0)

    found = jax.lax.fori_loop(0, num_bits, split, jnp.zeros_like(order))
    return ordered[jnp.minimum(found, n - 1)]

"""Exact draws from Beta distributions, cheap in batches."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import hash_key
from gamejax.bandits._policy import uniform

FEW = 16
"""More draws than this are all tried twice before they are tried one by one."""


def beta(key: PRNGKeyArray, a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""Independent draws from $\mathrm{Beta}(a_i, b_i)$ for parameters of at least 1.

    The ratio $X/(X + Y)$ of two Gamma draws by the rejection method of Marsaglia and Tsang, which
    accepts 95% at parameter 1 and nearly all at large ones; both are drawn again where one is
    rejected. First all at once; then, while any is rejected, one of them at a time, which in a
    batch is cheaper than all of them again.

    References:
        marsaglia2000.
    """

    def retry(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        ratio, accepted, attempts = carry
        chosen = jnp.arange(len(a)) == jnp.argmin(accepted)
        first, second = (jnp.sum(jnp.where(chosen, x, 0)) for x in (a, b))
        new, fine = _attempt(hash_key(key, attempts), first, second)
        return jnp.where(chosen, new, ratio), accepted | (chosen & fine), attempts + 1

    def rejected(carry: tuple[Array, Array, Array]) -> Array:
        return ~jnp.all(carry[1])

    ratio, accepted = _attempt(key, a, b)
    if len(a) > FEW:
        again, fine = _attempt(hash_key(key, jnp.zeros((), jnp.int32)), a, b)
        ratio, accepted = jnp.where(accepted, ratio, again), accepted | fine
    start = (ratio, accepted, jnp.ones((), jnp.int32))
    return jax.lax.while_loop(rejected, retry, start)[0]


def _attempt(key: PRNGKeyArray, a: Array, b: Array) -> tuple[Array, Array]:
    """Draws, and which of them to accept."""
    u = [uniform(key, a.dtype, a.shape, stream) for stream in (2, 4, 6, 8)]
    x, first = _gamma(a, u[0], u[1])
    y, second = _gamma(b, u[2], u[3])
    ratio = x / (x + y)
    # Impossible parameters give NaN, which must not be drawn again for ever.
    return ratio, first & second | jnp.isnan(ratio)


def _gamma(shape: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """A draw from the Gamma distribution out of two uniform numbers, and whether to accept it."""
    d = jnp.where(shape > 1 / 3, shape - 1 / 3, jnp.nan)
    normal = jnp.sqrt(jnp.asarray(2, shape.dtype)) * jax.lax.erf_inv(2 * first - 1)
    root = 1 + normal * jax.lax.rsqrt(9 * d)
    positive = root > 0
    cube = jnp.where(positive, root, 1) ** 3
    fine = jnp.log(second) < normal**2 / 2 + d * (1 - cube + jnp.log(cube))
    return d * cube, positive & fine

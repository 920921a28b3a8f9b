"""Exact draws from Beta distributions, cheap in batches."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import hash_key
from gamejax.bandits._policy import uniform


def beta(key: PRNGKeyArray, a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""Independent draws from $\mathrm{Beta}(a_i, b_i)$ for parameters of at least 1.

    The ratio $X/(X + Y)$ of two Gamma draws by the rejection method of Marsaglia and Tsang, which
    accepts 95% at parameter 1 and nearly all at large ones; both are drawn again where one is
    rejected. A batch goes through as many rounds as the slowest member needs, three or so.

    References:
        marsaglia2000.
    """

    def attempt(key: PRNGKeyArray) -> tuple[Array, Array]:
        u = [uniform(key, a.dtype, a.shape, stream) for stream in (2, 4, 6, 8)]
        x, first = _gamma(a, u[0], u[1])
        y, second = _gamma(b, u[2], u[3])
        ratio = x / (x + y)
        # Impossible parameters give NaN, which must not be drawn again for ever.
        return ratio, first & second | jnp.isnan(ratio)

    def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        ratio, accepted, attempts = carry
        new, fine = attempt(hash_key(key, attempts))
        return jnp.where(accepted, ratio, new), accepted | fine, attempts + 1

    def rejected(carry: tuple[Array, Array, Array]) -> Array:
        return ~jnp.all(carry[1])

    first = (*attempt(key), jnp.ones((), jnp.int32))
    return jax.lax.while_loop(rejected, again, first)[0]


def _gamma(shape: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """A draw from the Gamma distribution out of two uniform numbers, and whether to accept it."""
    d = jnp.where(shape > 1 / 3, shape - 1 / 3, jnp.nan)
    normal = jnp.sqrt(jnp.asarray(2, shape.dtype)) * jax.lax.erf_inv(2 * first - 1)
    root = 1 + normal * jax.lax.rsqrt(9 * d)
    positive = root > 0
    cube = jnp.where(positive, root, 1) ** 3
    fine = jnp.log(second) < normal**2 / 2 + d * (1 - cube + jnp.log(cube))
    return d * cube, positive & fine

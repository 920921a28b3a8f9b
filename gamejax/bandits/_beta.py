"""Exact draws from Beta distributions, cheap in batches."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._numerics import hash_key, hash_words, uniform
from gamejax.bandits._policy import at, put

FEW = 64
"""As long as more draws than this are rejected, all are tried again."""
SERIES = {"float32": 10, "float64": 24}
"""Terms of the series below, by the digits of the numbers; the arguments are small."""


Carry = tuple[Array, Array, Array]
"""Draws, which of them are accepted, and how often was tried."""


def beta(key: PRNGKeyArray, a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""Independent draws from $\mathrm{Beta}(a_i, b_i)$ for parameters of at least 1.

    The ratio $X/(X + Y)$ of two Gamma draws by the rejection method of Marsaglia and Tsang, which
    accepts 95% at parameter 1 and nearly all at large ones; both are drawn again where one is
    rejected. First all at once; once only a few are rejected, one of them at a time, which in a
    batch is cheaper than all of them again.

    References:
        marsaglia2000.
    """

    def all_again(carry: Carry) -> Carry:
        ratio, accepted, attempts = carry
        new, fine = _attempt(hash_key(key, attempts), a, b)
        return jnp.where(accepted, ratio, new), accepted | fine, attempts + 1

    def many(carry: Carry) -> Array:
        return jnp.sum(~carry[1], dtype=jnp.int32) > FEW

    def one_again(carry: Carry) -> Carry:
        ratio, accepted, attempts = carry
        chosen = jnp.argmin(accepted).astype(jnp.int32)
        new, fine = _attempt(hash_key(key, attempts), at(a, chosen), at(b, chosen))
        return put(ratio, chosen, new), put(accepted, chosen, fine), attempts + 1

    def some(carry: Carry) -> Array:
        return ~jnp.all(carry[1])

    carry = (*_attempt(key, a, b), jnp.ones((), jnp.int32))
    if len(a) > 4 * FEW:
        carry = jax.lax.while_loop(many, all_again, carry)
    return jax.lax.while_loop(some, one_again, carry)[0]


def _attempt(key: PRNGKeyArray, a: Array, b: Array) -> tuple[Array, Array]:
    """Draws, and which of them to accept."""
    first, second = _normals(key, a)
    x, log_first = _gamma(a, first)
    y, log_second = _gamma(b, second)
    ratio = x / (x + y)
    # Both are accepted together, with the product of their probabilities. A comparison with NaN,
    # which impossible parameters give, must not fail: it would be drawn again for ever.
    rejected = jnp.log(uniform(key, a.dtype, a.shape, 6)) >= log_first + log_second
    return ratio, ~rejected


def _gamma(shape: Array, normal: Array) -> tuple[Array, Array]:
    r"""A draw $d(1 + t)^3$ by $t = z/\sqrt{9d}$, $d = $ shape $- 1/3$, and its log acceptance.

    That is $z^2/2 + d(1 - (1+t)^3 + 3\ln(1+t)) = 3d(\ln(1+t) - t + t^2/2 - t^3/3)$.
    """
    d = jnp.where(shape > 1 / 3, shape - 1 / 3, jnp.nan)
    t = normal * jax.lax.rsqrt(9 * d)
    root = 1 + t
    small = jnp.abs(t) < 0.25
    near, far = jnp.where(small, t, 0), jnp.where(root > 0, root, 1)
    terms = SERIES[shape.dtype.name]
    series = _polynomial(near, [(-1) ** (n + 1) / (n + 4) for n in range(terms)])
    rest = jnp.where(small, near**4 * series, jnp.log(far) - t * (1 - t * (0.5 - t / 3)))
    return d * root**3, jnp.where(root <= 0, -jnp.inf, 3 * d * rest)


def _normals(key: PRNGKeyArray, like: Array) -> tuple[Array, Array]:
    """Two standard normal numbers, by the method of Box and Muller in one octant of the circle."""
    radius = jnp.sqrt(-2 * jnp.log(uniform(key, like.dtype, like.shape, 2)))
    angle = uniform(key, like.dtype, like.shape, 4) * (math.pi / 4)
    terms = SERIES[like.dtype.name] // 2 + 1
    square = angle**2
    cosine = _polynomial(square, [(-1) ** n / math.factorial(2 * n) for n in range(terms)])
    sine = angle * _polynomial(
        square, [(-1) ** n / math.factorial(2 * n + 1) for n in range(terms)]
    )
    # The lowest bits of the word behind the angle are free.
    bits = hash_words(key, like.shape, 4)
    swap = (bits & 1) > 0
    first = radius * jnp.where(swap, sine, cosine)
    second = radius * jnp.where(swap, cosine, sine)
    return jnp.where((bits & 2) > 0, first, -first), jnp.where((bits & 4) > 0, second, -second)


def _polynomial(x: Array, coefficients: list[float]) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value

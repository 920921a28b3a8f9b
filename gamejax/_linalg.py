"""Linear systems, many of them small, that never wait for each other on a CPU.

jaxlib hands the matrices of a large batch to the threads of the CPU, from one of these threads, and
waits there. As many such operations at once as there are threads wait for each other forever: two
independent systems of one program, or two programs on two devices, on two cores. Batches of less
than a certain work stay in the thread that calls; so here a batch is cut into such parts.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import linalg
from jaxtyping import Array, Float

from gamejax._numerics import HIGHEST
from gamejax._side_by_side import in_parts

WORK = 200_000
"""Floating-point operations from which on jaxlib divides a batch among threads."""


def in_thread(batch: int, work: int) -> bool:
    """Whether jaxlib does a batch of matrices, of so many operations each, where it is called."""
    return batch <= max(1, -(-WORK // work))


def lu_factor(matrix: Float[Array, "n n"]) -> tuple[Array, Array]:
    """`jax.scipy.linalg.lu_factor` of one matrix."""
    return _cut(linalg.lu_factor, len(matrix) ** 3)(matrix)


def lu_solve(
    factors: tuple[Array, Array], right: Float[Array, "n *columns"], trans: int = 0
) -> Float[Array, "n *columns"]:
    """`jax.scipy.linalg.lu_solve` of one system; `trans=1` for its transpose."""
    work = len(right) * max(right.size, len(right))
    return _cut(functools.partial(_lu_solve, trans), work)(*factors, right)


def _lu_solve(trans: int, factor: Array, pivots: Array, right: Array) -> Array:
    return linalg.lu_solve((factor, pivots), right, trans=trans)


def cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The lower Cholesky factor of one matrix."""
    return _cut(jnp.linalg.cholesky, len(matrix) ** 3)(matrix)


def cho_solve(
    factor: Float[Array, "n n"], right: Float[Array, "n *columns"]
) -> Float[Array, "n *columns"]:
    """The solution of one system from its lower Cholesky factor."""
    return _cut(_cho_solve, len(right) * max(right.size, len(right)))(factor, right)


def _cho_solve(factor: Array, right: Array) -> Array:
    return linalg.cho_solve((factor, True), right)


def solve(
    matrix: Float[Array, "*batch n n"], right: Float[Array, "*batch n columns"]
) -> Float[Array, "*batch n columns"]:
    """Solutions of linear systems, `matrix @ x = right`; differentiable."""
    return jnp.vectorize(_solve, signature="(n,n),(n,k)->(n,k)")(matrix, right)


def _solve(matrix: Array, right: Array) -> Array:
    factors = lu_factor(lax.stop_gradient(matrix))
    return lax.custom_linear_solve(
        lambda x: jnp.matmul(matrix, x, precision=HIGHEST),
        right,
        solve=lambda _, b: lu_solve(factors, b),
        transpose_solve=lambda _, b: lu_solve(factors, b, trans=1),
    )


def stationary(
    transition: Float[Array, "*batch n n"], center: Float[Array, "*batch n"] | None = None
) -> Float[Array, "*batch n"]:
    r"""The stationary distribution $\pi = \pi Q$ of row-stochastic matrices, differentiable.

    Solves $(I - (1-\varepsilon)(Q^\top - c \mathbf 1^\top))\pi = c$, the stationary distribution of
    the chain that restarts at `center` $c$ with probability $\varepsilon$, 64 units of rounding.
    So it exists and is unique also where $Q$ has several; then it is one of them. Always
    $\|\pi - \pi Q\|_1 \le 2\varepsilon$ up to rounding. States outside the support of $c$ do not
    exist: nothing may move there, their rows have no influence and their probability is exactly 0.

    Args:
        transition: $Q$; entry `[..., a, b]` is the probability of moving from `a` to `b`.
        center: $c$, a distribution; `None` for uniform.
    """
    n, dtype = transition.shape[-1], transition.dtype
    if center is None:
        center = jnp.full(transition.shape[:-1], 1 / n, dtype)
    restart = 64 * float(jnp.finfo(dtype).eps)
    exists = center > 0
    transition = jnp.where(exists[..., :, None], transition, center[..., None, :])
    if n in (2, 3):
        flow = (1 - restart) * transition + restart * center[..., None, :]
        weights = jnp.stack([_in_trees(flow, state) for state in range(n)], axis=-1)
    else:
        change = jnp.swapaxes(transition, -1, -2) - center[..., :, None]
        identity = jnp.broadcast_to(jnp.eye(n, dtype=dtype), change.shape)
        solution = solve(identity - (1 - restart) * change, center[..., :, None])
        weights = jnp.where(exists, jnp.maximum(solution[..., 0], 0), 0)
    return weights / weights.sum(-1, keepdims=True)


def _in_trees(flow: Float[Array, "*batch n n"], root: int) -> Float[Array, "*batch"]:
    """Total weight of the trees of two or three states that lead to `root` (Markov chain trees).

    Proportional to the stationary distribution. On a CPU a batch of these is 20 times faster than
    a batch of linear solves.
    """
    a, *rest = (state for state in range(flow.shape[-1]) if state != root)
    if not rest:
        return flow[..., a, root]
    b = rest[0]
    both = flow[..., a, root] * flow[..., b, root]
    through_a = flow[..., b, a] * flow[..., a, root]
    through_b = flow[..., a, b] * flow[..., b, root]
    return both + through_a + through_b


def _cut(run: Callable[..., Any], work: int) -> Callable[..., Any]:
    """`run`, of one matrix, whose batches on a CPU are cut so that they stay in one thread."""
    most = max(1, -(-WORK // work))

    @jax.custom_batching.custom_vmap
    def batch(*args: Any) -> Any:
        leaves = jax.tree.leaves(args)
        together, count = jax.vmap(run), len(leaves[0])
        if count <= most or jax.default_backend() != "cpu":
            return together(*args)
        return in_parts(together, count, most, [True] * len(leaves), args)

    @batch.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        # Batches of batches are one batch, whose parts are the smallest that there are.
        def merge(x: Array, has: bool) -> Array:
            x = x if has else lax.broadcast(x, (size,))
            return x.reshape(size * x.shape[1], *x.shape[2:])

        found = batch(*jax.tree.map(merge, args, tuple(batched)))
        apart = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), found)
        return apart, jax.tree.map(lambda _: True, apart)

    def one(*args: Any) -> Any:
        found = batch(*jax.tree.map(lambda x: x[None], args))
        return jax.tree.map(lambda x: x[0], found)

    # A custom rule for vmap alone has no derivatives of its own.
    differentiable = jax.custom_jvp(one)
    differentiable.defjvp(lambda primals, tangents: jax.jvp(run, primals, tangents))
    return differentiable

"""MPAX, a first-order solver of linear programs in JAX, mapped over zero-sum games."""

import importlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.devices import over_devices, place


def solver(eps: float, dtype: str, cores: int) -> Callable[[np.ndarray], jax.Array]:
    """A compiled function from payoffs `(games, n, n)` to profiles `(games, 2, n)`."""
    mpax = importlib.import_module("mpax")

    def one(payoff: jax.Array) -> jax.Array:
        n = payoff.shape[0]
        program = mpax.create_lp(
            c=jnp.zeros(n + 1, dtype).at[n].set(-1),
            A=jnp.append(jnp.ones((1, n), dtype), jnp.zeros((1, 1), dtype), axis=1),
            b=jnp.ones(1, dtype),
            G=jnp.append(payoff.T, -jnp.ones((n, 1), dtype), axis=1),
            h=jnp.zeros(n, dtype),
            l=jnp.zeros(n + 1, dtype).at[n].set(-jnp.inf),
            u=jnp.full(n + 1, jnp.inf, dtype),
            use_sparse_matrix=False,
        )
        found = mpax.raPDHG(eps_abs=eps, eps_rel=eps, verbose=False).optimize(program)
        return jnp.stack([found.primal_solution[:n], found.dual_solution[1:]])

    solve = over_devices(jax.vmap(one), cores)
    return lambda payoffs: solve(place(payoffs, cores))

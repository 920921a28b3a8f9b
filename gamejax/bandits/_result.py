"""What a simulation returns."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class BanditResult(eqx.Module):
    regret: Float[Array, "*batch replications records"]
    pulls: Int[Array, "*batch replications records arms"]
    observed: Int[Array, "*batch replications records arms"]
    times: Int[Array, "*batch records"]

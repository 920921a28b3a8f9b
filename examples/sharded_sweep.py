"""A sweep of learning rates over many games, on eight devices that one CPU pretends to have.

Every game is played with every learning rate of Hedge: games go to devices, rates are mapped inside
each. Eight CPU devices stand in for eight GPUs; the same program runs on those, and what is printed
is compared with one device.

Run with `python -m examples.sharded_sweep`.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as Spec

import gamejax
from gamejax import games, learners, solvers


def gaps_of(payoffs: jax.Array, rates: jax.Array, num_steps: int) -> jax.Array:
    """Gaps of the averages after some steps, `(games, rates)`."""

    def one(payoff: jax.Array, rate: jax.Array) -> jax.Array:
        solver = solvers.SelfPlay(learners.Hedge(rate))
        return gamejax.play(games.MatrixGame(payoff), solver, num_steps, record=num_steps).gaps[-1]

    return jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(payoffs, rates)


def main(num_games: int = 512, size: int = 8, num_steps: int = 1000) -> np.ndarray:
    """Print the median gap of each rate, and that one device finds the same; the gaps."""
    count = jax.device_count()
    print(f"{count} devices of kind {jax.devices()[0].platform}")
    mesh = jax.make_mesh((count,), ("games",))
    payoffs = jax.random.uniform(jax.random.key(0), (num_games, size, size), minval=-1.0)
    rates = jnp.geomspace(0.01, 3.0, 8, dtype=payoffs.dtype)

    def sweep(payoffs: jax.Array, rates: jax.Array) -> jax.Array:
        return gaps_of(payoffs, rates, num_steps)

    inputs, outputs = (Spec("games"), Spec()), Spec("games")
    sharded = jax.jit(jax.shard_map(sweep, mesh=mesh, in_specs=inputs, out_specs=outputs))
    split = jax.device_put(payoffs, jax.NamedSharding(mesh, Spec("games")))
    begin = time.perf_counter()
    gaps = jax.block_until_ready(sharded(split, rates))
    seconds = time.perf_counter() - begin
    print(f"{gaps.size:,} runs of {num_steps} steps in {seconds:.1f} s with compilation")
    shapes = {shard.data.shape for shard in gaps.addressable_shards}
    print(f"each device holds {shapes.pop()} of {gaps.shape} results")
    few = payoffs[: num_games // count]
    alone = jax.jit(sweep)(few, rates)
    apart = float(jnp.abs(np.asarray(gaps)[: len(few)] - np.asarray(alone)).max())
    print(f"one device finds the same up to {apart:.1e}")
    for rate, column in zip(rates, np.asarray(gaps).T, strict=True):
        low, middle, high = np.quantile(column, [0.1, 0.5, 0.9])
        print(f"  rate {rate:5.2f}: median gap {middle:.4f} (10% to 90%: {low:.4f} to {high:.4f})")
    return np.asarray(gaps)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)  # before the first use of JAX
    main()

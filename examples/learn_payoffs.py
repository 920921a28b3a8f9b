"""What is each target worth? Payoffs learned from how people play, by gradients through equilibria.

An attacker picks one of four targets, a defender covers one; an uncovered target pays the attacker
its value, which depends on a context of the day. Nobody sees values, only contexts and play. A
network maps contexts to values, `gamejax.solve` values to the logit equilibrium, and the likelihood
of the observed play is climbed through both (McKelvey and Palfrey 1995; Ling, Fang and Kolter
2018). Such play depends on precision times payoffs alone, so the precision fixes the unit of the
values; no constant could be told from it either, but the zeros of covered targets fix the level.

Run with `python -m examples.learn_payoffs`; a picture goes to `demo_output/learn_payoffs.png`.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optax

import gamejax
from gamejax.plot import COLORS

TARGETS, FEATURES, PRECISION = 4, 2, 3.0


def game_of(values: jax.Array) -> gamejax.games.MatrixGame:
    """The attacker's payoffs: the value of the target, 0 where the defender stands."""
    uncovered = 1 - jnp.eye(TARGETS, dtype=values.dtype)
    return gamejax.games.MatrixGame(values[:, None] * uncovered)


def equilibrium(values: jax.Array) -> list[jax.Array]:
    """How both play, differentiable in the values."""
    solver = gamejax.solvers.LogitEquilibrium(PRECISION)
    solved = gamejax.solve(game_of(values), solver, tol=1e-5, adjoint=gamejax.Implicit())
    return jax.tree.leaves(solved.profile)


def true_values(contexts: jax.Array) -> jax.Array:
    """What the network has to find."""
    directions = jnp.arange(TARGETS, dtype=float) * jnp.pi / 2 + 0.5
    along = contexts @ jnp.stack([jnp.cos(directions), jnp.sin(directions)])
    return 1 + 0.5 * jnp.sin(2 * along)


def main(output: Path, *, days: int = 150, rounds: int = 500, steps: int = 150) -> float:
    """Simulate play, learn from it, print and draw; returns the error of the values."""
    keys = jax.random.split(jax.random.key(0), 5)
    contexts = jax.random.uniform(keys[0], (days, FEATURES), minval=-1, maxval=1)
    play = jax.jit(jax.vmap(equilibrium))(true_values(contexts))
    counts = [
        jax.random.multinomial(k, jnp.asarray(rounds, x.dtype), x)
        for k, x in zip(keys[1:3], play, strict=True)
    ]
    network = eqx.nn.MLP(FEATURES, TARGETS, 32, 2, jax.nn.tanh, key=keys[3])
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, steps))

    def loss(network: eqx.nn.MLP) -> jax.Array:
        profile = jax.vmap(equilibrium)(1 + jax.vmap(network)(contexts))
        likelihoods = [(c * jnp.log(x)).sum() for c, x in zip(counts, profile, strict=True)]
        return -jnp.stack(likelihoods).sum() / (days * rounds)

    @eqx.filter_jit
    def step(network: eqx.nn.MLP, state: Any) -> tuple[eqx.nn.MLP, Any, jax.Array]:
        value, gradient = eqx.filter_value_and_grad(loss)(network)
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(network, updates), state, value

    state, losses = optimizer.init(eqx.filter(network, eqx.is_array)), []
    for _ in range(steps):
        network, state, value = step(network, state)
        losses.append(float(value))
    entropy = float(-sum((c * jnp.log(x)).sum() for c, x in zip(counts, play, strict=True)))
    fresh = jax.random.uniform(keys[4], (500, FEATURES), minval=-1, maxval=1)
    truth, learned = true_values(fresh), 1 + jax.vmap(network)(fresh)
    error = float(jnp.sqrt(jnp.mean((learned - truth) ** 2)))
    print(f"{days} days of {rounds} rounds; values between {truth.min():.2f} and {truth.max():.2f}")
    print(f"loss per round {losses[0]:.4f} -> {losses[-1]:.4f}, of the truth "
          f"{entropy / (days * rounds):.4f}")  # fmt: skip
    print(f"error of the values in 500 new contexts: {error:.3f} (root mean square)")
    draw(losses, np.asarray(truth), np.asarray(learned), output)
    return error


def draw(losses: list[float], truth: np.ndarray, learned: np.ndarray, output: Path) -> None:
    """The way down, and learned against true values."""
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    left.plot(losses, color=COLORS[0])
    left.set(xlabel="step", ylabel="negative log-likelihood per round", xscale="log")
    for target in range(TARGETS):
        points = truth[:, target], learned[:, target]
        right.plot(*points, ".", ms=3, color=COLORS[target], label=f"target {target + 1}")
    ends = [truth.min(), truth.max()]
    right.plot(ends, ends, color="k", lw=0.8)
    right.set(xlabel="true value", ylabel="learned value")
    right.legend(frameon=False, fontsize=8, markerscale=3)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)
    plt.close(figure)
    print(f"wrote {output}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(Path("demo_output/learn_payoffs.png"))

"""What is commitment worth? A leader's gradient through its followers' equilibrium.

The leader announces a mixed strategy, the follower responds. The value of commitment is exact for
small games: the best announcement is a corner of the region in which some response is best, and
the corners can be listed (Conitzer and Sandholm 2006). A learner needs no list: it climbs its
payoff against the follower's logit response, found by `gamejax.solve` and differentiated
implicitly, while the follower's precision is raised step by step. What it announces in the end is
paid against a follower that responds best, at the worst of ties.

Run with `python -m examples.stackelberg`; a picture goes to `demo_output/stackelberg.png`.
"""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optax

import gamejax
from gamejax.plot import COLORS

ACTIONS = 3


def commitment_value(a: np.ndarray, b: np.ndarray) -> float:
    """The most a leader with payoffs `a` can announce itself to, ties broken in its favor."""
    n, k = a.shape
    sides = [*np.eye(n), *(b[:, i] - b[:, j] for i, j in itertools.combinations(range(k), 2))]
    best = -np.inf
    for chosen in itertools.combinations(sides, n - 1):
        system = np.vstack([*chosen, np.ones(n)])
        if abs(np.linalg.det(system)) < 1e-12:
            continue
        x = np.linalg.solve(system, np.eye(n)[-1])
        if x.min() > -1e-9:
            responses = x @ b >= (x @ b).max() - 1e-9
            best = max(best, (x @ a)[responses].max())
    return float(best)


def response(x: jax.Array, b: jax.Array, precision: jax.Array) -> jax.Array:
    """The follower's logit response, an equilibrium of a game of one player."""
    game = gamejax.games.NormalFormGame((x @ b)[None])
    solver = gamejax.solvers.LogitEquilibrium(precision)
    solved = gamejax.solve(game, solver, tol=1e-6, adjoint=gamejax.Implicit())
    return jax.tree.leaves(solved.profile)[0]


def lead(a: jax.Array, b: jax.Array, start: jax.Array, precisions: jax.Array):
    """The announcement climbed to, and what it was paid by best responses along the way."""
    optimizer = optax.adam(0.1)

    def payoff(logits: jax.Array, precision: jax.Array) -> jax.Array:
        x = jax.nn.softmax(logits)
        return x @ a @ response(x, b, precision)

    def step(carry: Any, precision: jax.Array) -> tuple[Any, jax.Array]:
        logits, state = carry
        updates, state = optimizer.update(-jax.grad(payoff)(logits, precision), state)
        logits = jax.tree.map(jnp.add, logits, updates)
        return (logits, state), worst_payoff(jax.nn.softmax(logits), a, b)

    (logits, _), way = jax.lax.scan(step, (start, optimizer.init(start)), precisions)
    return jax.nn.softmax(logits), way


def worst_payoff(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """What the leader is paid by a best response, the worst for it among near ties."""
    value = x @ b
    return jnp.min(x @ a, where=value >= value.max() - 1e-6, initial=jnp.inf)


def main(output: Path, *, num_games: int = 64, starts: int = 8, steps: int = 300) -> float:
    """Random games: the share of the value of commitment that is reached; a picture."""
    keys = jax.random.split(jax.random.key(0), 2)
    a, b = jax.random.uniform(keys[0], (2, num_games, ACTIONS, ACTIONS))
    logits = 2 * jax.random.normal(keys[1], (starts, ACTIONS))
    precisions = jnp.geomspace(2.0, 300.0, steps)
    over_starts = jax.vmap(lead, in_axes=(None, None, 0, None))
    _, way = jax.jit(jax.vmap(over_starts, in_axes=(0, 0, None, None)))(a, b, logits, precisions)
    way = np.asarray(way).max(1)  # the best start, certified by best responses
    reached = np.maximum.accumulate(way, 1)
    exact = np.array(
        [commitment_value(*pair) for pair in zip(np.asarray(a), np.asarray(b), strict=True)]
    )
    pure = np.asarray(jax.vmap(lambda p, q: jax.vmap(worst_payoff, (0, None, None))(
        jnp.eye(ACTIONS), p, q).max())(a, b))  # fmt: skip
    share = float(np.mean(reached[:, -1] / exact))
    print(f"{num_games} games of {ACTIONS} x {ACTIONS}, {starts} starts, {steps} steps each")
    print(f"value of commitment {exact.mean():.4f}, of announcing one action {pure.mean():.4f}")
    print(f"reached {reached[:, -1].mean():.4f}: {share:.2%}; within 1% in "
          f"{np.mean(reached[:, -1] >= 0.99 * exact):.0%} of the games")  # fmt: skip
    assert np.all(reached <= exact[:, None] + 1e-4)
    draw(reached, exact, pure, np.asarray(precisions), output)
    return share


def draw(
    reached: np.ndarray, exact: np.ndarray, pure: np.ndarray, precisions: np.ndarray, output: Path
) -> None:
    """Shares of the value along the way, and where every game ends."""
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    shares = reached / exact[:, None]
    left.plot(precisions, np.median(shares, 0), color=COLORS[0], label="median")
    left.fill_between(precisions, *np.quantile(shares, [0.1, 0.9], 0), color=COLORS[0], alpha=0.2)
    left.set(xscale="log", xlabel="precision of the follower", ylabel="share of the exact value")
    right.plot(exact, pure, "x", ms=5, color=COLORS[1], label="best single action")
    right.plot(exact, reached[:, -1], "o", ms=4, color=COLORS[0], label="climbed")
    right.axline((exact.mean(), exact.mean()), slope=1, color="k", lw=0.8)
    right.set(xlabel="exact value of commitment", ylabel="paid by best responses")
    right.legend(frameon=False, fontsize=8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)
    plt.close(figure)
    print(f"wrote {output}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(Path("demo_output/stackelberg.png"))

"""The demo's two pictures: how fast six learners close the gap, and where strategies wander."""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gamejax
from gamejax import games, learners, plot, solvers


def gap_curves(folder: Path, *, num_games: int = 64, size: int = 16, steps: int = 4096) -> Path:
    """Duality gap against steps, median of random zero-sum games, six learners."""
    keys = jax.random.split(jax.random.key(1), num_games)
    stacked = jax.vmap(lambda k: games.random.zero_sum(k, (size, size)))(keys)
    six = {
        "Hedge": solvers.SelfPlay(learners.Hedge()),
        "regret matching": solvers.SelfPlay(learners.RegretMatching()),
        "optimistic Hedge": solvers.SelfPlay(learners.Hedge(0.5, optimism=1.0)),
        "mirror prox": solvers.MirrorProx(),
        "regret matching+, alternating, linear": solvers.SelfPlay(
            learners.RegretMatchingPlus(), averaging=solvers.Linear(), alternating=True
        ),
        "predictive RM+, alternating, quadratic": solvers.SelfPlay(
            learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
        ),
    }
    marks = np.unique(np.geomspace(1, steps, 80).astype(int))
    curves = {}
    for name, solver in six.items():
        run = jax.jit(jax.vmap(lambda g, s=solver: gamejax.play(g, s, steps).gaps))
        curves[name] = (marks, np.asarray(run(stacked))[:, marks - 1])
    ax = plot.gaps(curves, ylabel="Nash gap")
    ax.set_title(f"{num_games} random {size} x {size} zero-sum games: median and quartiles")
    return save(folder / "gaps.png")


def simplex_paths(folder: Path) -> Path:
    """The row player's strategy in the triangle: spiral out, spiral in, orbit, cycle."""
    rps, shapley = games.library.rock_paper_scissors(), games.library.shapley()
    start = (jnp.array([0.5, 0.3, 0.2]), jnp.array([0.25, 0.4, 0.35]))
    panels = [
        (
            "Hedge spirals outward",
            rps,
            solvers.SelfPlay(learners.Hedge(0.05), averaging=solvers.Last()),
            [start],
            1500,
        ),
        (
            "optimistic Hedge spirals inward",
            rps,
            solvers.SelfPlay(learners.Hedge(0.2, optimism=1.0), averaging=solvers.Last()),
            [start],
            1500,
        ),
        (
            "replicator dynamics orbit",
            rps,
            solvers.SelfPlay(learners.Replicator(0.002), averaging=solvers.Last()),
            [
                (jnp.array([1 - 2 * e, e, e]), jnp.array([1 - 2 * e, e, e]))
                for e in (0.08, 0.16, 0.24)
            ],
            8000,
        ),
        ("fictitious play cycles (Shapley)", shapley, solvers.FictitiousPlay(), [start], 6000),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.9), layout="constrained")
    for ax, (title, game, solver, starts, steps) in zip(axes, panels, strict=True):
        paths = [
            np.concatenate([np.asarray(x[0])[None], np.asarray(path(game, solver, x, steps))])
            for x in starts
        ]
        labels = game.labels.actions[0] if game.labels else ("1", "2", "3")
        plot.simplex(paths, ax, actions=labels, title=title)
    figure.suptitle("The row player's strategy, from dark (start) to light", fontsize=11)
    return save(folder / "simplex.png")


def path(game: games.AbstractGame, solver: solvers.AbstractSolver, start, steps: int) -> jax.Array:
    """The first player's strategies along a run."""
    record = gamejax.Record(lambda state: solver.profile(state)[0], every=max(1, steps // 1500))
    return gamejax.play(game, solver, steps, init=start, record=record).records


def save(path: Path) -> Path:
    """Write the current figure and close it."""
    plt.savefig(path, dpi=150)
    plt.close()
    return path

"""The demo's two pictures: how fast six learners close the gap, and where strategies wander."""

from pathlib import Path
from typing import Any

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
    apart = (jnp.array([0.5, 0.3, 0.2]), jnp.array([0.25, 0.4, 0.35]))
    alike = [(x, x) for e in (0.08, 0.16, 0.24) for x in [jnp.array([1 - 2 * e, e, e])]]
    near = (jnp.array([0.38, 0.31, 0.31]),) * 2

    def last(learner: learners.AbstractLearner) -> solvers.SelfPlay:
        return solvers.SelfPlay(learner, averaging=solvers.Last())

    panels = [
        ("Hedge spirals outward", rps, last(learners.Hedge(0.15)), [near], 900),
        ("optimistic Hedge spirals in", rps, last(learners.Hedge(0.3, 1.0)), [alike[0]], 400),
        ("replicator dynamics orbit", rps, last(learners.Replicator(0.002)), alike, 8000),
        ("fictitious play cycles (Shapley)", shapley, solvers.FictitiousPlay(), [apart], 1500),
    ]
    _, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
    for ax, (title, game, solver, starts, steps) in zip(axes, panels, strict=True):
        paths = [np.concatenate([x[0][None], path(game, solver, x, steps)]) for x in starts]
        labels = game.labels.actions[0] if game.labels else ("1", "2", "3")
        plot.simplex(paths, ax, actions=labels, title=title)
    return save(folder / "simplex.png")


def path(
    game: games.AbstractGame,
    solver: solvers.AbstractSolver,
    start: tuple[jax.Array, ...],
    steps: int,
) -> np.ndarray:
    """The row player's strategy along a run from `start`, about 1,500 records."""

    def row_player(state: Any) -> jax.Array:
        profile = solver.profile(state)
        assert isinstance(profile, tuple)
        return profile[0]

    record = gamejax.Record(row_player, every=max(1, steps // 1500))
    return np.asarray(gamejax.play(game, solver, steps, init=start, record=record).records)


def save(path: Path) -> Path:
    """Write the current figure and close it."""
    plt.savefig(path, dpi=150, bbox_inches="tight")
    plt.close()
    return path

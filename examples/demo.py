"""The main job: certified equilibria of real games, thousands at once, and pictures of the way.

Run with `make demo`, or `python -m examples.demo [FOLDER]`; pictures go to FOLDER (`demo_output`).
"""

import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

import gamejax
from examples import demo_pictures
from gamejax import games, learners, metrics, solvers

TOL = 1e-6
EXAMPLES = Path(__file__).parent / "games"
console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)


def main(folder: Path) -> None:
    """Solve the library, the example files, 4,096 random games and Shapley's; draw pictures."""
    begin = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    named = dict(games.library.all_games())
    named |= {path.name: games.load(path) for path in sorted(EXAMPLES.glob("*.nfg"))}
    console.print(report_named(named))
    console.print(report_many())
    console.print(report_shapley())
    mpl.use("agg")
    for path in (demo_pictures.gap_curves(folder), demo_pictures.simplex_paths(folder)):
        console.print(f"wrote {path}")
    console.print(f"everything in {time.perf_counter() - begin:.0f} s")


def report_named(named: dict[str, games.AbstractGame]) -> Table:
    """Solve each named game; those of one kind and size class are padded and share a program."""
    begin = time.perf_counter()
    groups = defaultdict(dict)
    for name, game in named.items():
        large = max(s.shape[-1] for s in game.strategy_sets) > 8
        alone = large or not isinstance(game, games.MatrixGame | games.NormalFormGame)
        key = name if alone else (type(game), game.num_players)
        groups[key][name] = game
    rows = {}
    for members in groups.values():
        rows |= solve_together(members)
    table = Table(box=None, pad_edge=False)
    for column, width in (("game", 24), ("actions", 10), ("strategies", 62), ("payoffs", 18)):
        table.add_column(column, no_wrap=True, max_width=width, overflow="ellipsis")
    table.add_column("Nash gap", justify="right", no_wrap=True)
    for name, game in named.items():
        counts = "x".join(str(s.shape[-1]) for s in game.strategy_sets)
        *texts, gap = rows[name]
        table.add_row(name, counts, *texts, f"{gap:.0e}" if gap > TOL else f"{gap:.1e}")
    certified = sum(row[-1] <= TOL for row in rows.values())
    table.title = (
        f"{certified} of {len(named)} named games solved to a Nash gap of {TOL:g} "
        f"({time.perf_counter() - begin:.0f} s with compilation)"
    )
    return table


def solve_together(named: dict[str, games.AbstractGame]) -> dict[str, tuple[str, str, float]]:
    """Strategies, payoffs and gap of games that share one compiled program."""
    first = next(iter(named.values()))
    solver = gamejax.default_solver(first)
    options: dict[str, Any] = {"tol": TOL, "max_steps": 20_000}
    if len(named) > 1:
        stacked = games.pad_games(cast(list[games.NormalFormGame], list(named.values())))
        solution = jax.jit(jax.vmap(lambda g: gamejax.solve(g, solver, **options)))(stacked)
    else:
        alone = gamejax.solve(first, solver, **options)
        solution = jax.tree.map(lambda x: jnp.asarray(x)[None], alone)
    rows = {}
    for k, (name, game) in enumerate(named.items()):
        strategies = [
            strategy_text(np.asarray(x[k])[: s.shape[-1]], game, i)
            for i, (x, s) in enumerate(zip(solution.profile, game.strategy_sets, strict=True))
        ]
        payoffs = " ".join(f"{p + 0.0:.3g}" for p in np.round(solution.stats["payoffs"][k], 6))
        rows[name] = ("; ".join(strategies), payoffs, float(solution.gap[k]))
    return rows


def strategy_text(strategy: np.ndarray, game: games.AbstractGame, player: int) -> str:
    """The likeliest actions of one player by name."""
    names = game.labels.actions[player] if game.labels and game.labels.actions else None
    likely = [a for a in np.argsort(-strategy, kind="stable") if strategy[a] > 5e-4]
    parts = [f"{names[a] if names else a + 1} {strategy[a]:.3g}" for a in likely[:3]]
    return ", ".join(parts) + (" ..." if len(likely) > 3 else "")


def report_many(count: int = 4096, size: int = 16) -> Table:
    """Thousands of random zero-sum games in one call."""
    keys = jax.random.split(jax.random.key(0), count)
    stacked = jax.vmap(lambda k: games.random.zero_sum(k, (size, size), dtype=jnp.float32))(keys)
    run = jax.jit(jax.vmap(lambda g: gamejax.solve(g, gap=metrics.nash_conv, tol=1e-3)))
    begin = time.perf_counter()
    jax.block_until_ready(run(stacked))
    compiled = time.perf_counter()
    solution = jax.block_until_ready(run(stacked))
    times = (compiled - begin, time.perf_counter() - compiled)
    A = np.asarray(stacked.payoff, dtype=np.float64)
    x, y = (np.asarray(s, dtype=np.float64) for s in solution.profile)
    recomputed = np.einsum("bij,bj->bi", A, y).max(1) - np.einsum("bi,bij->bj", x, A).min(1)
    table = Table("games", "worst gap", "recomputed", "pivots", "first call", "again", box=None)
    table.title = f"{count:,} random {size} x {size} zero-sum games in one call (float32)"
    table.add_row(
        f"{count:,}",
        f"{float(solution.gap.max()):.2e}",
        f"{recomputed.max():.2e} (NumPy, float64)",
        f"{int(np.median(solution.stats['num_pivots']))} median",
        f"{times[0]:.1f} s",
        f"{times[1]:.2f} s = {count / times[1]:,.0f} games/s",
    )
    return table


def report_shapley() -> Table:
    """Shapley's game: Nash dynamics cycle, the correlated gaps still vanish."""
    game = games.library.shapley()
    off_center = (jnp.array([0.6, 0.3, 0.1]), jnp.array([0.2, 0.5, 0.3]))
    table = Table("dynamics", "steps", "certificate", "gap", "time", box=None)
    table.title = "Shapley's game: fictitious play cycles, correlated play converges"
    rows = [
        ("fictitious play", solvers.FictitiousPlay(), metrics.nash_gap),
        ("Hedge, average of the marginals", solvers.SelfPlay(learners.Hedge()), metrics.nash_gap),
        (
            "Hedge, joint play",
            solvers.SelfPlay(learners.Hedge(), output="joint"),
            metrics.coarse_correlated_gap,
        ),
        (
            "Blum-Mansour of predictive RM+, joint play",
            solvers.SelfPlay(
                learners.BlumMansour(learners.PredictiveRegretMatchingPlus()), output="joint"
            ),
            metrics.correlated_gap,
        ),
    ]
    for name, solver, gap in rows:
        begin = time.perf_counter()
        solution = gamejax.solve(
            game, solver, gap=gap, tol=1e-3, max_steps=100_000, check_every=1000, init=off_center
        )
        steps = int(solution.stats["num_steps"])
        seconds = f"{time.perf_counter() - begin:.1f} s"
        table.add_row(name, f"{steps:,}", gap.__name__, f"{float(solution.gap):.1e}", seconds)
    return table


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo_output"))

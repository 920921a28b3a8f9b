"""Two small pokers: who wins how much, how well to play, and what it looks like.

Kuhn poker has three cards, Leduc hold'em six and two rounds of betting (5,520 ways to end, 468
information sets per player, of which 144 are different). Both are compiled from their rules into
sequence form and solved by counterfactual regret minimization; every figure is a certificate,
recomputed on the tree from the strategies themselves. Kuhn poker also has its quantal response
equilibria traced, from random play to an equilibrium that is sequential.

Run with `python -m examples.poker`; pictures go to `demo_output/poker_*.png`.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt

import gamejax
from gamejax import extensive, metrics, plot

SOLVERS = {
    "CFR": extensive.cfr(),
    "CFR+": extensive.cfr_plus(),
    "discounted CFR": extensive.discounted_cfr(),
    "PCFR+": extensive.predictive_cfr_plus(),
}


def report(
    name: str, game: extensive.SequenceFormGame, value: float, steps: int, methods: Sequence[str]
) -> dict[str, gamejax.Trajectory]:
    """Play every solver for some rounds; print where each has got to and return its way there."""
    print(f"{name}, {steps} rounds (value to player 1: {value:.6f})")
    curves = {}
    for method in methods:
        run = gamejax.play(game, SOLVERS[method], steps, record=max(steps // 100, 1))
        found = run.solution
        print(
            f"  {method:<15} exploitability {metrics.exploitability(game, found.profile):.1e}, "
            f"player 1 gets {found.stats['payoffs'][0]:.6f}"
        )
        curves[method] = run
    return curves


def main(
    output: Path,
    *,
    steps: int = 2000,
    points: int = 100,
    methods: Sequence[str] = tuple(SOLVERS),
) -> float:
    """Solve, trace, print and draw; returns the smallest Nash gap found in Leduc hold'em."""
    output.mkdir(parents=True, exist_ok=True)
    kuhn, leduc = extensive.library.kuhn(), extensive.library.leduc()
    curves = {
        "Kuhn poker": report("Kuhn poker", kuhn, -1 / 18, steps, methods),
        "Leduc hold'em": report("Leduc hold'em", leduc, -0.085606, steps, methods),
    }
    limit = extensive.sequential_equilibrium(kuhn, points)
    jack, _, king = limit.behaviors[0][:3, 1]
    print(
        f"Kuhn poker, limit of quantal responses at precision {limit.branch.precision[-1]:.3g}: "
        f"player 1 bluffs with {jack:.3f} of the jacks and bets {king:.3f} of the kings;\n"
        f"  Nash gap {limit.gap:.1e}; no information set gains more than {limit.sequential_gap:.1e}"
    )

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for ax, (name, runs) in zip(axes, curves.items(), strict=True):
        plot.gaps(runs, ax, ylabel="Nash gap").set_title(name)
    figure.savefig(output / "poker_gaps.png", dpi=150)
    figure = plt.figure(figsize=(9.8, 9.9), layout="constrained")
    plot.game_tree(kuhn, limit.profile, figure.gca())
    figure.savefig(output / "poker_tree.png", dpi=150)
    plt.close("all")
    return min(float(run.gaps[-1]) for run in curves["Leduc hold'em"].values())


if __name__ == "__main__":
    mpl.use("agg")
    jax.config.update("jax_enable_x64", True)
    main(Path("demo_output"))

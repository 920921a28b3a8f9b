"""Thousands of games in one call: a stack, a list of all sizes, and a run that is cut short.

Run with `python -m examples.many_games [NUMBER OF GAMES]`.
"""

import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gamejax
from gamejax import games, learners, metrics, solvers


def main(count: int = 4096) -> None:
    """Solve a stack, a ragged list, and a stack in two sittings; print what was found."""
    stacked(count)
    ragged(max(10, count // 20))
    interrupted(max(64, count // 4))


def stacked(count: int) -> None:
    """Random 16 x 16 zero-sum games: the same games by `vmap` and by `solve_batch`."""
    keys = jax.random.split(jax.random.key(0), count)
    stack = jax.vmap(lambda k: games.random.zero_sum(k, (16, 16), dtype=jnp.float32))(keys)
    mapped = jax.jit(jax.vmap(lambda g: gamejax.solve(g, gap=metrics.nash_conv)))
    runs = {
        "jax.vmap(solve)": lambda: mapped(stack),
        "solve_batch": lambda: gamejax.solve_batch(stack, gap=metrics.nash_conv),
    }
    print(f"{count:,} random 16 x 16 zero-sum games to a duality gap of 1e-3, float32")
    for name, run in runs.items():
        times = [time.perf_counter()]
        jax.block_until_ready(run())
        times.append(time.perf_counter())
        solution = jax.block_until_ready(run())
        first, again = np.diff([*times, time.perf_counter()])
        A = np.asarray(stack.payoff, np.float64)
        x, y = (np.asarray(s, np.float64) for s in solution.profile)
        gaps = np.einsum("bij,bj->bi", A, y).max(1) - np.einsum("bi,bij->bj", x, A).min(1)
        steps = np.asarray(solution.stats["num_steps"])
        print(
            f"  {name:16} {first:5.1f} s at first, then {again:6.3f} s = "
            f"{count / again:8,.0f} games/s; {np.median(steps):.0f} steps in the median, "
            f"{steps.max()} at most; worst gap by NumPy {gaps.max():.2e}"
        )


def ragged(count: int) -> None:
    """A list of sizes, and kinds: padded into a few stacks, answered in order and size."""
    rng = np.random.default_rng(0)
    shapes = [tuple(shape) for shape in rng.integers(2, 13, (count, 2))]
    members: list[games.AbstractGame] = [games.MatrixGame(rng.normal(size=n)) for n in shapes]
    members += [games.library.prisoners_dilemma(), games.library.stag_hunt()]
    solutions = gamejax.solve_batch(members, tol=1e-3)
    done = sum(float(s.gap) <= 1e-3 for s in solutions)
    sizes = len(set(shapes))
    print(f"{done} of {len(members)} games of {sizes} sizes and 2 kinds done; the last two:")
    for solution in solutions[-2:]:
        print("  " + str(solution).replace("\n", "\n  "))


def interrupted(count: int) -> None:
    """Half of the work, then the rest: the same bits as in one go."""
    payoffs = jax.random.uniform(jax.random.key(1), (count, 16, 16), minval=-1, maxval=1)
    stack = jax.vmap(games.MatrixGame)(payoffs)
    learner = learners.PredictiveRegretMatchingPlus()
    solver = solvers.SelfPlay(learner, averaging=solvers.Quadratic(), alternating=True)
    with tempfile.TemporaryDirectory() as folder:
        saved = gamejax.Checkpoint(Path(folder) / "run.ckpt", every=30)
        whole = gamejax.solve_batch(stack, solver, checkpoint=saved, max_steps=2000)
        size = Path(saved.path).stat().st_size
        begin = time.perf_counter()
        again = gamejax.solve_batch(stack, solver, checkpoint=saved, max_steps=2000)
        seconds = time.perf_counter() - begin
    first = gamejax.solve_batch(stack, solver, max_steps=400)
    rest = gamejax.solve_batch(stack, solver, init=first, max_steps=1600)
    equal = [
        all(map(np.array_equal, jax.tree.leaves(whole.profile), jax.tree.leaves(other.profile)))
        for other in (again, rest)
    ]
    print(
        f"{count:,} games: checkpoint of {size / 1e6:.1f} MB, resumed in {seconds:.2f} s with "
        f"{'the same' if equal[0] else 'OTHER'} bits; 400 steps and then 1,600 give "
        f"{'the same' if equal[1] else 'OTHER'} bits as 2,000"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)

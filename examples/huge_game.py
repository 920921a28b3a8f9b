"""A smooth equilibrium of a game with a billion actions a player, certified by sampling.

Two firms each choose a design, one of 2^30: thirty yes-or-no features. What a design earns depends
on its quality, a fixed rugged function of the features, and on how many features it shares with the
rival's. No payoff matrix could be stored; the function is asked where it matters. The answer plays
some of a few random candidates, and no strategy that spreads over at least 10% of all designs gains
more than the gap, except with probability 5% over the samples that judged it.

Run with `python -m examples.huge_game`.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

import gamejax
from gamejax import games, learners, solvers

FEATURES = 30


def payoffs(actions: tuple[jax.Array, jax.Array], params: dict[str, jax.Array]) -> list[jax.Array]:
    """What both firms earn: own quality, less the likeness of the two designs."""
    bits = [(action >> jnp.arange(FEATURES)) & 1 for action in actions]
    signs = [2.0 * b.astype(jnp.float32) - 1 for b in bits]
    likeness = jnp.vdot(*signs) / FEATURES
    return [quality(sign, params) - 0.5 * likeness for sign in signs]


def quality(signs: jax.Array, params: dict[str, jax.Array]) -> jax.Array:
    """A rugged function of the features, about between -1 and 1."""
    waves = jnp.cos(params["waves"] @ signs + params["phases"])
    return jnp.vdot(params["weights"], waves)


def make_game() -> games.OracleGame:
    """The game with the constants drawn."""
    keys = jax.random.split(jax.random.key(0), 3)
    weights = jax.random.uniform(keys[2], (8,))
    params = {
        "waves": jax.random.normal(keys[0], (8, FEATURES)) / FEATURES**0.5,
        "phases": 6.3 * jax.random.uniform(keys[1], (8,)),
        "weights": weights / weights.sum(),
    }
    return games.OracleGame(payoffs, (2**FEATURES,) * 2, params, bounds=(-1.5, 1.5))


def main(num_candidates: tuple[int, ...] = (16, 64, 256), num_tests: int = 20_000) -> float:
    """Solve with more and more candidates; the last certified gap."""
    game, gap = make_game(), float("inf")
    uniform = games.uniform_actions(jax.random.key(9), 2**FEATURES, (2, num_tests))
    alone = np.asarray(game.payoffs((uniform[0], uniform[1]))).mean()
    print(f"{2**FEATURES:,} designs; a random one earns {alone:.3f} against a random one")
    for count in num_candidates:
        solver = solvers.SubsampledGame(
            solvers.SelfPlay(learners.Hedge(0.5, optimism=1.0)),
            num_candidates=count, num_tests=num_tests, sigma=0.1, capped=True,
        )  # fmt: skip
        begin = time.perf_counter()
        solution = gamejax.solve(game, solver, tol=0.0, key=jax.random.key(1))
        gap, seconds = float(solution.gap), time.perf_counter() - begin
        used = int((solution.state.probabilities[0] > 1e-3).sum())
        earned = np.asarray(solution.stats["payoffs"])
        print(
            f"{count:4} candidates: {used:3} designs played, both earn {earned[0]:.3f} and "
            f"{earned[1]:.3f}; no smooth strategy gains more than {gap:.3f} "
            f"({seconds:.1f} s with compilation)"
        )
    return gap


if __name__ == "__main__":
    main()

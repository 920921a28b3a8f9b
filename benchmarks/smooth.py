"""What does it cost to learn and to solve smoothly when the number of actions grows?

Part `regret`: Hedge on the capped simplex at the rate sqrt(8 ln(1/sigma) / T), its regret to the
best smooth strategy, and the bound sqrt(T ln(1/sigma) / 2), which knows no n. The adversary `coins`
pays each action 0 or 1 by a fair coin, near the worst case; `opponent` best responds in a random
game of 16 columns. sigma `1/n` is plain Hedge on the whole simplex.

Part `oracle`: games given by a function, solved on 128 random candidates with 20,000 fresh tests.
`gap` is certified with probability 0.95 for the smooth deviations of all n actions, `estimate` is
what the tests said, `audit` the same by NumPy with 200,000 other actions. The payoffs of `waves`
are smooth in the actions, those of `noise` half a hash of them.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gamejax
from benchmarks import pictures
from benchmarks.report import Goal, Picture, Run
from benchmarks.timing import measure
from gamejax import games, learners, sets, solvers

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"actions": (10,), "sigmas": (0.5,), "rounds": 40, "oracle": (10**9,)},
    "fast": {
        "actions": (10, 1000), "sigmas": (0.1, None), "rounds": 400, "oracle": (10**3, 10**9),
    },
    "full": {
        "actions": (10, 100, 1000, 10_000, 100_000, 1_000_000), "sigmas": (0.5, 0.1, None),
        "rounds": 400, "oracle": (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9),
    },
}  # fmt: skip
MANY = 100_000
"""From here on one run instead of several."""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """Regrets by adversary, smoothness and number of actions; then games given by functions."""
    sizes = PROFILES[profile]
    for adversary in ("coins", "opponent"):
        for sigma in sizes["sigmas"]:
            for n in sizes["actions"]:
                yield regret_row(adversary, n, sigma, sizes["rounds"])
    for name in ("noise",) if profile == "tiny" else ("waves", "noise"):
        for n in sizes["oracle"]:
            yield oracle_row(name, n, 0.0 if profile == "tiny" else 1.0)


class Coins(games.AbstractGame):
    """One player; every action pays 0 or 1 by a fair coin, anew each round."""

    strategy_sets: tuple[sets.AbstractStrategySet, ...]

    @property
    def dtype(self) -> Any:
        return jnp.float32

    def utility(self, player: int, profile: Any) -> jax.Array:
        return jnp.full(self.strategy_sets[0].shape, 0.5, jnp.float32)

    def sample(self, profile: Any, state: Any, *, key: Any, step: Any) -> Any:
        coins = jax.random.bernoulli(key, 0.5, self.strategy_sets[0].shape)
        return (coins.astype(jnp.float32),), state


def regret_row(adversary: str, n: int, sigma: float | None, rounds: int) -> dict[str, Any]:
    """The regret of one kind of player after so many rounds, the mean over a few runs."""
    smoothness = 1 / n if sigma is None else sigma
    rate = math.sqrt(8 * math.log(1 / smoothness) / rounds)
    own = sets.CappedSimplex(n, 1 / (smoothness * n))
    runs = 1 if n >= MANY else 5
    hedge = learners.Hedge(rate)

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        if adversary == "coins":
            game, solver = Coins((own,)), solvers.SelfPlay(hedge)
        else:
            matrix = jax.random.uniform(key, (n, 16), jnp.float32)
            game = games.MatrixGame(matrix, (own, sets.Simplex(16)))
            solver = solvers.SelfPlay((hedge, learners.BestResponse()))
        way = gamejax.play(game, solver, rounds, key=key, record=rounds)
        strategy = way.solution.state.strategies[0]
        return way.solution.stats["regrets"][0], own.violation(strategy)

    call = jax.jit(lambda keys: jax.lax.map(run, keys))
    timing = measure(lambda: call(jax.random.split(jax.random.key(n), runs)), budget_s=0.0)
    regrets, violations = (np.asarray(part, np.float64) for part in timing.result)
    bound = math.sqrt(rounds * math.log(1 / smoothness) / 2)
    return {
        "part": "regret",
        "adversary": adversary,
        "sigma": "1/n" if sigma is None else str(sigma),
        "n": n,
        "rounds": rounds,
        "regret": float(regrets.mean()),
        "bound": bound,
        "of_bound": float(regrets.max()) / bound,
        "violation": float(violations.max()),
        "ms_per_round": 1e3 * timing.median_s / (rounds * runs),
        **timing.row(),
    }


def payoffs_of(name: str, xp: Any, actions: Sequence[Any], count: Any) -> tuple[Any, Any]:
    """Both players' payoffs in [0, 1], by NumPy or by JAX."""
    x, y = ((a.astype(xp.float32) + 0.5) / count for a in actions)
    first = 0.5 + 0.5 * xp.sin(6 * x + 7 * x * y - 5 * y)
    second = 0.5 + 0.25 * xp.cos(9 * x - 6 * y) + 0.25 * xp.cos(20 * y)
    if name == "waves":
        return first, second
    a, b = (a.astype(xp.uint32) for a in actions)
    word = a * xp.uint32(0x9E3779B9) + b * xp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 16)) * xp.uint32(0xC2B2AE35)
    word = word ^ (word >> 15)
    noises = [(w & 0xFFFF).astype(xp.float32) / 65535 for w in (word, word >> 16)]
    return (first + noises[0]) / 2, (second + noises[1]) / 2


def oracle_payoffs(name: str, actions: Sequence[jax.Array], count: jax.Array) -> Any:
    """The function that the game is."""
    return payoffs_of(name, jnp, actions, count)


FUNCTIONS = {name: functools.partial(oracle_payoffs, name) for name in ("waves", "noise")}


def oracle_row(name: str, n: int, budget_s: float, sigma: float = 0.1) -> dict[str, Any]:
    """One game of n actions per player, certified and audited."""
    game = games.OracleGame(FUNCTIONS[name], (n, n), jnp.float32(n))
    solver = solvers.SubsampledGame(
        solvers.SelfPlay(learners.Hedge()), num_candidates=128, num_tests=20_000, sigma=sigma
    )
    key = jax.random.key(n)
    timing = measure(lambda: gamejax.solve(game, solver, tol=0.1, key=key), budget_s=budget_s)
    solution = timing.result
    return {
        "part": "oracle",
        "game": name,
        "sigma": str(sigma),
        "n": n,
        "gap": float(solution.gap),
        "estimate": float(solution.stats["smooth_gap"]),
        "radius": float(solution.stats["radius"]),
        "audit": audit(name, n, solution.profile, sigma),
        "cap_violation": float(solution.stats["cap_violation"]),
        **timing.row(),
    }


def audit(name: str, n: int, profile: Any, sigma: float, tests: int = 200_000) -> float:
    """NumPy: the gain of the best smooth deviation, from other random actions."""
    rng = np.random.default_rng(n)
    kept = [np.asarray(x.probabilities) > 1e-7 for x in profile]
    actions = [
        np.asarray(x.actions)[k].astype(np.int64) for x, k in zip(profile, kept, strict=True)
    ]
    weights = [np.asarray(x.probabilities)[k] for x, k in zip(profile, kept, strict=True)]
    count, gains = np.float32(n), []
    table = payoffs_of(name, np, (actions[0][:, None], actions[1][None, :]), count)
    for i, received in enumerate(weights[0] @ part @ weights[1] for part in table):
        drawn, values = rng.integers(0, n, tests), np.zeros(tests)
        for action, weight in zip(actions[1 - i], weights[1 - i], strict=True):
            pair = (drawn, action) if i == 0 else (action, drawn)
            values += weight * payoffs_of(name, np, [np.atleast_1d(a) for a in pair], count)[i]
        gains.append(np.sort(values)[-int(sigma * tests) :].mean() - received)
    return float(max(gains))


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Bounds that must hold, and time that must not grow."""
    regrets = [r["of_bound"] for r in rows if r["part"] == "regret"]
    oracle = [r for r in rows if r["part"] == "oracle"]
    held = [r["gap"] - r["audit"] for r in oracle]
    found = []
    if regrets:
        found.append(Goal("bound on regret over the largest regret", 1.0, 1 / max(regrets)))
    if oracle:
        found.append(Goal("certified gap less audited gap, the smallest", 0.0, min(held)))
        times = {r["n"]: [s["median_s"] for s in oracle if s["n"] == r["n"]] for r in oracle}
        slowdown = sum(times[min(times)]) / sum(times[max(times)])
        found.append(Goal("time at the fewest actions over that at the most", 0.67, slowdown))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Regret against n beside its bounds; time and gaps of oracle games against n."""
    rows = runs[0][1]
    regret = [r for r in rows if r["part"] == "regret"]
    adversaries = list(dict.fromkeys(r["adversary"] for r in regret))
    figure, axes = plt.subplots(
        1, len(adversaries), figsize=(4.4 * len(adversaries), 3.4), layout="constrained",
        squeeze=False, sharey=True,
    )  # fmt: skip
    for ax, adversary in zip(axes.flat, adversaries, strict=True):
        for k, sigma in enumerate(dict.fromkeys(r["sigma"] for r in regret)):
            mine = [r for r in regret if (r["sigma"], r["adversary"]) == (sigma, adversary)]
            n = [r["n"] for r in mine]
            color = pictures.COLORS[k]
            ax.plot(n, [r["regret"] for r in mine], "o-", ms=4, color=color, label=f"σ = {sigma}")
            ax.plot(n, [r["bound"] for r in mine], "--", lw=1, color=color)
        ax.set(xscale="log", xlabel="actions", title=f"adversary: {adversary}", ylim=(0, None))
        ax.spines[["top", "right"]].set_visible(False)
    axes.flat[0].set_ylabel(f"regret after {regret[0]['rounds']} rounds")
    axes.flat[0].legend(frameon=False, fontsize=8, title="dashed: bound", title_fontsize=8)
    path = folder / f"{label}-regret.png"
    made = [pictures.save(figure, path, "Regret to smooth strategies does not grow with n.")]
    return [*made, oracle_picture(rows, folder / f"{label}-oracle.png")]


def oracle_picture(rows: Sequence[dict[str, Any]], path: Path) -> Picture:
    """Seconds, and certified, estimated and audited gaps, against the number of actions."""
    oracle = [r for r in rows if r["part"] == "oracle"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.4), layout="constrained")
    for k, name in enumerate(dict.fromkeys(r["game"] for r in oracle)):
        mine = [r for r in oracle if r["game"] == name]
        n, color = [r["n"] for r in mine], pictures.COLORS[k]
        left.plot(n, [r["median_s"] for r in mine], "o-", ms=4, color=color, label=name)
        for column, style in (("gap", "o-"), ("estimate", "x:"), ("audit", "s--")):
            label = f"{name}: {'certified' if column == 'gap' else column}"
            right.plot(n, [r[column] for r in mine], style, ms=4, color=color, label=label)
    left.set(xscale="log", xlabel="actions per player", ylabel="seconds", ylim=(0, None))
    right.set(xscale="log", xlabel="actions per player", ylabel="smooth gap (σ = 0.1)")
    for ax in (left, right):
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    return pictures.save(figure, path, "Time and certified gaps do not grow with n.")

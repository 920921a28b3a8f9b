"""How many samples does one predictor for n distributions take, and how fast are they drawn?

Part `samples`: the fewest samples after which the worst expected loss of the output is, on average
over tables and seeds, within `eps` of the best mixture's (a linear program). `needle`: one
distribution is hard, and only one of many hypotheses is good on it; `random`: all losses uniform.
The naive learners sample every distribution alike: `all, every step` in play, `all, then LP` once
and then solves the empirical game exactly. Part `forms`: the same dynamics as printed in a
preliminary version (`reused`, `wrong sign`, `wrong gradient`) and as shipped, at equal samples.
Part `speed`: `per_s` is steps x games over median time, against plain NumPy.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

from benchmarks import pictures
from benchmarks.devices import count_cores, over_devices, place
from benchmarks.report import Goal, Picture, Run
from benchmarks.timing import compare, measure
from gamejax import learners, solvers
from gamejax import multidistribution as md
from gamejax._numerics import uniform
from gamejax.multidistribution._plans import Round

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"numbers": (2,), "hypotheses": 8, "tables": 2, "eps": 0.1, "games": 4, "steps": 100,
             "budget_s": 0.0, "most": 2**12, "forms": 400},
    "fast": {"numbers": (4, 16), "hypotheses": 64, "tables": 4, "eps": 0.1, "games": 256,
             "steps": 500, "budget_s": 0.3, "most": 2**13, "forms": 2000},
    "full": {"numbers": (4, 16, 64), "hypotheses": 256, "tables": 8, "eps": 0.1,
             "games": 4096, "steps": 2000, "budget_s": 3.0, "most": 2**16, "forms": 8000},
}  # fmt: skip
NEEDLE = 0.05
"""Half of what the good hypothesis is better by, on the hard distribution."""
TRIED = """
With one hard distribution and 256 hypotheses (`needle`, 64 distributions) lazy-block Hedge needs
fewer samples than either naive learner, and the factor grows with the number of distributions. With
uniformly random tables every distribution matters and one batch of each, solved exactly, needs
fewest at this accuracy: play averages its whole path, and pays a constant for it.

The sign and the gradient that a preliminary version prints are slips: with them the excess does not
fall. Its reuse of a block's samples is biased (`bias`: what the adversary believes it gains, less
what it gains), but the loss reached at equal samples is no worse in these tables; it is left out
because nothing is proved for it.

Side by side with vectorized NumPy a step costs about as much: it is some thirty passes over small
arrays in either. Tried: one example per player in place of small batched products (sampling 240 to
about 130 ns a step, kept); `lax.map` over chunks of 128 games (slower). Not tried: a sampler made
of elementwise operations only, which would let a whole chunk run as one kernel, as exact play does
(49 ns a step).
"""
NAIVE = {"full": "all, every step", "lp": "all, then LP"}


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """Samples to a loss, forms of the dynamics, speed."""
    options = PROFILES[profile]
    for family in ("needle", "random"):
        for number in options["numbers"]:
            yield from samples(family, number, options)
    yield from forms(options)
    yield from speed(options)


def tables(family: str, count: int, hypotheses: int, number: int) -> np.ndarray:
    """Mean losses, shape `(count, hypotheses, number)`."""
    rng = np.random.default_rng(number)
    if family == "random":
        return rng.random((count, hypotheses, number))
    means = np.full((count, hypotheses, number), 0.05)
    for table in means:
        hard, good = rng.integers(number), rng.integers(hypotheses)
        table[:, hard] = 0.5
        table[good, hard] = 0.4
    return means


def value(means: np.ndarray) -> tuple[float, np.ndarray]:
    """The least worst loss of a mixture, and the mixture."""
    rows, columns = means.shape
    found = linprog(
        np.append(np.zeros(rows), 1),
        A_ub=np.hstack([means.T, -np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=[np.append(np.ones(rows), 0)],
        b_eq=[1],
        bounds=[(0, None)] * rows + [(None, None)],
    )
    return found.fun, found.x[:-1]


@functools.partial(jax.jit, static_argnames="method")
def solve(means: jax.Array, steps: jax.Array, key: jax.Array, *, method: str) -> Any:
    """Every table, for so many steps: worst expected losses and samples."""
    keys = jax.random.split(key, len(means))

    def one(table: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        problem = md.BernoulliLosses(table)
        found = md.solve_on_demand(problem, method, num_steps=steps, num_fresh=1, key=key)  # type: ignore[arg-type]
        return found.worst, found.num_samples

    return jax.vmap(one)(means, keys)


def samples(family: str, number: int, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per method: the fewest samples that suffice."""
    means = tables(family, options["tables"], options["hypotheses"], number)
    eps = NEEDLE if family == "needle" else options["eps"]
    best = np.array([value(table)[0] for table in means])
    repeats = 4
    stacked = jnp.asarray(np.repeat(means, repeats, axis=0), jnp.float32)

    def excess_of(method: str, steps: int) -> tuple[float, float, float | None]:
        if method == "lp":
            return naive(means, best, steps)
        timed = measure(
            lambda: solve(stacked, jnp.int32(steps), jax.random.key(steps), method=method),
            budget_s=0.0, max_calls=1,
        )  # fmt: skip
        worst, used = timed.result
        excess = np.asarray(worst, np.float64) - np.repeat(best, repeats)
        return float(excess.mean()), float(used.mean()), steps * len(stacked) / timed.min_s

    for method in ("lazy", "bandit", "full", "lp"):
        needed, speed = fewest(functools.partial(excess_of, method), eps, options["most"])
        yield {
            "part": "samples",
            "family": family,
            "n": number,
            "hypotheses": options["hypotheses"],
            "eps": eps,
            "implementation": NAIVE.get(method, f"gamejax {method}"),
            "ours": method != "lp",
            "samples": needed,
            "per_s": speed,
            "within": None if needed is None else 1.0,
        }


def fewest(
    excess_of: Callable[[int], tuple[float, float, float | None]], eps: float, most: int
) -> tuple[float | None, float | None]:
    """Samples at which the mean excess comes below eps, between two powers of sqrt(2); speed."""
    before, speed = None, None
    step = 16.0
    while step <= most:
        excess, used, speed = excess_of(round(step))
        if excess <= eps:
            if before is None or before[0] <= excess:
                return used, speed
            share = math.log(before[0] / eps) / math.log(before[0] / max(excess, 1e-9))
            return before[1] * (used / before[1]) ** share, speed
        before = excess, used
        step *= math.sqrt(2)
    return None, speed


def naive(means: np.ndarray, best: np.ndarray, each: int) -> tuple[float, float, float | None]:
    """As many examples of every distribution; the mixture that is best on them."""
    rng, worst = np.random.default_rng(each), []
    for table in means:
        seen = rng.binomial(each, table) / each
        worst.append((value(seen)[1] @ table).max())
    return float(np.mean(worst - best)), float(each * means.shape[2]), None


class Reused(md.AbstractPlan):
    """As printed: the block's samples of every distribution answer every step of the block."""

    block: int
    sign: float = 1.0
    swapped: bool = False

    def init(self, problem: Any, *, key: Any, dtype: Any) -> Any:
        return jnp.zeros((problem.num_distributions, problem.num_hypotheses), dtype)

    def round(
        self, problem: Any, profile: Any, pools: Any, state: Any, *, key: Any, step: Any
    ) -> Round:
        predictor, weights = profile
        first, second, third = jax.random.split(key, 3)
        every = jnp.arange(problem.num_distributions, dtype=jnp.int32)
        fresh = (step - 1) % self.block == 0
        anew, pools = problem.draw(every, pools, key=first)
        kept = jnp.where(fresh, anew.examples, state)
        chosen = jnp.searchsorted(jnp.cumsum(weights), uniform(second, weights.dtype))
        chosen = jnp.minimum(chosen, len(weights) - 1).astype(jnp.int32)
        drawn, pools = problem.draw(chosen[None], pools, key=third)
        gains = problem.loss(predictor, kept)
        gradient = gains if self.swapped else drawn.examples[0]
        counts = (every == chosen).astype(jnp.int32) + fresh.astype(jnp.int32)
        return Round(gradient, self.sign * gains, counts, pools, kept)


class Form(NamedTuple):
    """A way to play: what is drawn, and the adversary's learner."""

    plan: md.AbstractPlan
    adversary: learners.AbstractLearner


def forms(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Mean excess of the shipped and of the printed forms after as many samples."""
    number, steps = 16, options["forms"]
    means = tables("random", max(options["tables"], 4), number, number)
    best = np.array([value(table)[0] for table in means])
    rate = math.sqrt(8 * math.log(number) / steps)
    slow = learners.Hedge(rate / math.sqrt(number))
    lazy = learners.Every(learners.Hedge(rate * math.sqrt(number)), number)
    ways = {
        "gamejax lazy": Form(md.InTurn(), lazy),
        "reused": Form(Reused(number), slow),
        "wrong sign": Form(Reused(number, -1.0), slow),
        "wrong gradient": Form(Reused(number, 1.0, True), slow),
    }
    keys = jax.random.split(jax.random.key(1), 4)
    for name, (plan, adversary) in ways.items():
        solver = solvers.SelfPlay((learners.Hedge(rate), adversary))

        def run(table: Any, key: Any, plan: Any = plan, solver: Any = solver) -> Any:
            game = md.MultiDistributionGame(md.BernoulliLosses(table), plan)
            state = solver.init(game, key=key, dtype=game.dtype)
            state = solver.advance(game, state, jnp.int32(0), steps, key=key)
            predictor, weights = solver.profile(state)
            # The learner's payoffs are honest, so what both got in sum is how far the adversary's
            # are from the truth.
            bias = state.payoffs.total.sum() / steps
            drawn = state.game.counts.sum()
            return (predictor @ table).max(), (table @ weights).min(), drawn, bias

        mapped = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))
        call = functools.partial(mapped, jnp.asarray(means, jnp.float32), keys)
        timed = measure(call, budget_s=0.0, max_calls=1)
        worst, low, drawn, bias = (np.asarray(x, np.float64) for x in timed.result)
        excess = worst - best[:, None]
        yield {
            "part": "forms",
            "family": "random",
            "n": number,
            "hypotheses": number,
            "implementation": name,
            "ours": name.startswith("gamejax"),
            "samples": float(drawn.mean()),
            "excess": float(excess.mean()),
            "excess_se": float(excess.mean(1).std(ddof=1) / math.sqrt(len(means))),
            "gap": float((worst - low).mean()),
            "bias": float(bias.mean()),
            "per_s": steps * worst.size / timed.min_s,
            "within": None,
        }


def speed(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Lazy-block Hedge on many games of 20 hypotheses and 5 distributions."""
    cores, steps, games = count_cores(), options["steps"], options["games"]
    means = tables("random", games, 20, 5).astype(np.float32)
    keys = jax.random.split(jax.random.key(2), games)

    def one(table: Any, key: Any) -> Any:
        problem = md.BernoulliLosses(table)
        return md.solve_on_demand(problem, num_steps=steps, num_fresh=1, key=key).predictor

    data = place((jnp.asarray(means), keys), cores)
    mapped = over_devices(lambda m, k: jax.vmap(one)(m, k), cores)
    few = max(1, games // 256)
    found = compare(
        {
            "gamejax lazy": lambda: mapped(*data),
            "NumPy, a game at a time": lambda: [numpy_lazy(m[None], steps) for m in means[:few]],
            "NumPy, all games at once": lambda: numpy_lazy(means, steps),
        },
        budget_s=options["budget_s"],
        max_calls=5,
    )
    best = np.array([value(table)[0] for table in means[: min(games, 64)]])
    ours = games * steps / found["gamejax lazy"].median_s
    for name, timing in found.items():
        count = few if "at a time" in name else games
        predictors = np.concatenate([np.atleast_2d(p) for p in timing.result])
        looked = min(count, len(best))
        worst = np.einsum("gh,ghn->gn", predictors[:looked], means[:looked]).max(1)
        per_s = count * steps / timing.median_s
        yield {
            "part": "speed",
            "family": "random",
            "n": 5,
            "hypotheses": 20,
            "implementation": name,
            "ours": name.startswith("gamejax"),
            "samples": 2.0 * steps,
            "excess": float((worst - best[:looked]).mean()),
            "per_s": per_s,
            "x_ours": ours / per_s,
            "within": None,
            **timing.row(),
        }


def numpy_lazy(means: np.ndarray, steps: int) -> np.ndarray:
    """Lazy-block Hedge of games side by side, as one writes it."""
    rng = np.random.default_rng(0)
    games, hypotheses, number = means.shape
    rate_p = math.sqrt(8 * math.log(hypotheses) / steps)
    rate_q = math.sqrt(8 * math.log(number) * number / steps)
    each = np.arange(games)
    learner, adversary = np.zeros((games, hypotheses)), np.zeros((games, number))
    total = np.zeros((games, hypotheses))
    for _ in range(steps // number):
        weights = np.exp(adversary - adversary.max(1, keepdims=True))
        ends = np.cumsum(weights, axis=1)
        block = np.zeros((games, hypotheses))
        for _ in range(number):
            mixture = np.exp(learner - learner.max(1, keepdims=True))
            mixture /= mixture.sum(1, keepdims=True)
            block += mixture
            drawn = (ends < rng.random((games, 1)) * ends[:, -1:]).sum(1)
            learner -= rate_p * (rng.random((games, hypotheses)) < means[each, :, drawn])
        total += block
        seen = rng.random((games, hypotheses, number)) < means
        adversary += rate_q * np.einsum("gh,ghn->gn", block / number, seen)
    return total / steps


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Samples that the number of distributions adds to, not multiplies; speed."""
    need = {
        (r["family"], r["implementation"], r["n"]): r["samples"]
        for r in rows
        if r["part"] == "samples" and r["samples"]
    }
    most = max((n for _, _, n in need), default=0)
    mine = [need.get(("needle", f"gamejax {m}", most)) for m in ("lazy", "bandit")]
    fewest = min((s for s in mine if s), default=None)
    found = []
    for name in NAIVE.values():
        rival = need.get(("needle", name, most))
        ratio = rival / fewest if rival and fewest else None
        found.append(
            Goal(f"needle, {most} distributions: samples of `{name}` over ours", 3.0, ratio)
        )
    excess = {r["implementation"]: r["excess"] for r in rows if r["part"] == "forms"}
    wrong = excess.get("wrong sign")
    found.append(
        Goal("excess of the wrong sign over ours", 2.0, wrong and wrong / excess["gamejax lazy"])
    )
    for r in rows:
        if r["part"] == "speed" and not r["ours"]:
            wanted = 100.0 if "at a time" in r["implementation"] else 3.0
            found.append(Goal(f"speed over {r['implementation']}", wanted, r["x_ours"]))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Samples against the number of distributions."""
    found = [r for r in runs[0][1] if r["part"] == "samples"]
    caption = (
        "Samples until the worst loss is within eps of the best, against the number of "
        "distributions: on the left one of them is hard, on the right all are random."
    )
    return [
        pictures.lines(
            found, folder / f"{label}.png", caption, panel="family", x="n", y="samples",
            ylabel="samples",
        )
    ]  # fmt: skip

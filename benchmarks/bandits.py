"""How many rounds of a bandit policy per second, against loops written by hand and packages?

`per_s` is rounds x replications / median time; `z` the distance of the mean final regret from that
of the NumPy loop in combined standard errors: everything plays the same policy. `x_loops` compares
with the faster of the NumPy and the numba loop on the same cores, `x_mabwiser` with mabwiser, which
plays one copy at a time. `of_bound` is the share of the speed that the operations no round can do
without would allow, at the speed measured for each of them alone (see `bounds`).
"""

import functools
import importlib
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import pictures
from benchmarks.bandit_loops import NUMPY
from benchmarks.devices import count_cores, mesh
from benchmarks.report import Goal, Picture, Run
from benchmarks.timing import compare
from gamejax import bandits

ASKS = __doc__ or ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"arms": (3,), "horizon": 60, "replications": (40,), "budget_s": 0.0},
    "fast": {"arms": (10,), "horizon": 1_000, "replications": (1000,), "budget_s": 0.3},
    "full": {"arms": (10, 100), "horizon": 10_000, "replications": (1, 1000), "budget_s": 2.5},
}
POLICIES: dict[str, Callable[[int, int], bandits.AbstractPolicy]] = {
    "UCB1": lambda num_arms, horizon: bandits.ucb1(),
    "Thompson": lambda num_arms, horizon: bandits.thompson(),
    "Exp3": lambda num_arms, horizon: bandits.exp3(num_arms, horizon),
}
COPIES = {
    ("Thompson", 10, "numba"): 200,
    ("Thompson", 100, "numba"): 40,
    ("Thompson", 100, "NumPy"): 250,
}
"""Loops that take minutes play fewer copies (`copies`); they are no slower for that."""
Play = Callable[[str, np.ndarray, int, int], np.ndarray]
"""Final regrets, one per replication, of (policy, means, horizon, replications)."""
NUMBA: dict[str, Callable[..., np.ndarray]] = (
    importlib.import_module("benchmarks.bandit_numba").NUMBA
    if importlib.util.find_spec("numba") is not None
    else {}
)
"""Compiled loops by policy; none without numba."""

TRIED = """
Every round is bound by its passes over arms x replications, so what speeds it up is fewer passes,
in cache, of cheaper operations. Kept, with the gain measured on one core (K arms, 1000 copies):

- state with replications in the last axis (`vmap_last`) and chunks that stay in the L2 cache:
  UCB1, K = 100, 105 to 70 microseconds per round of all copies;
- counts, sums and the parts of an index that only the arm pulled changes are written at that arm
  alone (a scatter, 1 microsecond) instead of in a pass over all: UCB1, K = 100, 235 to 75;
- `argmax` as maximum, comparison, minimum of numbers: the loop of `argmax` branches, 546 to 25 on
  100 x 1000;
- one hash per round and stream numbers, instead of a hash per stream: 7 to 2;
- Beta draws: Box-Muller in one octant, one uniform number to accept both Gamma draws, their log
  acceptance as a short series: 29 to 11 ns per draw, and rejected draws again one arm at a time;
- Exp3 in blocks of sqrt(K / 2) arms, 2 sqrt(2 K) exponentials per round instead of K: K = 100, 970
  to 85, and to 50 once the block read for the draw serves the update too; at K = 10 one softmax per
  round, its weights carried to the next: 41 to 20.

Tried and dropped: sums of the first, first two, ... weights by doubling (a third slower than one
row after the other); reducing as a tree or a chain of maxima (not fused, 2 to 3 times slower);
all rows unrolled (10 times slower); an inner loop over arms (twice slower); a lottery among ties
without a hash (no faster: the pass over memory is what costs); fewer replications per chunk
(below 128 the launches of kernels cost more than the cache saves).

SMPyBandits 0.9.7 does not import with SciPy 1.17 (`scipy.misc` and others are gone), so it has no
rows; with an older SciPy it gets them.
"""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One row per policy, number of arms, number of replications and implementation."""
    for num_arms in PROFILES[profile]["arms"]:
        means = np.full(num_arms, 0.4)
        means[0] = 0.5
        for policy in POLICIES:
            yield from table(policy, means, profile)


def table(policy: str, means: np.ndarray, profile: str) -> Iterator[dict[str, Any]]:
    """One policy, one set of arms; `x_mabwiser` needs the speed found at one replication."""
    package = None
    for replications in PROFILES[profile]["replications"]:
        for row in cell(policy, means, replications, profile):
            if row["implementation"] == "mabwiser":
                package = row["per_s"]
            elif package is not None and row["ours"]:
                row["x_mabwiser"] = row["per_s"] / package
            yield row


def cell(
    policy: str, means: np.ndarray, replications: int, profile: str
) -> Iterator[dict[str, Any]]:
    """The implementations of one policy at one size, in turn."""
    horizon, budget = PROFILES[profile]["horizon"], PROFILES[profile]["budget_s"]
    plays = dict(implementations(policy, len(means), replications, profile))
    few = {name: COPIES.get((policy, len(means), name), replications) for name in plays}
    copies = {name: min(replications, number) for name, number in few.items()}
    found = compare(
        {
            n: functools.partial(play, policy, means, horizon, copies[n])
            for n, play in plays.items()
        },
        warm_ups={
            name: functools.partial(play, policy, means, 2, 1)
            for name, play in plays.items()
            if not name.startswith("gamejax")
        },
        budget_s=budget,
    )
    speeds = {name: horizon * copies[name] / timing.median_s for name, timing in found.items()}
    fastest = max(speeds[name] for name in ("NumPy", "numba") if name in speeds)
    reference = np.asarray(found["NumPy"].result)
    for name, timing in found.items():
        ours = name.startswith("gamejax")
        bound = bounds(policy, len(means)) * count_cores()
        counts = ours and replications > 1 and profile != "tiny" and "32" in name
        yield {
            "policy": policy,
            "arms": len(means),
            "horizon": horizon,
            "replications": replications,
            "copies": copies[name],
            "implementation": name,
            "ours": ours,
            "per_s": speeds[name],
            "x_loops": speeds[name] / fastest if ours else None,
            "x_mabwiser": None,
            "of_bound": speeds[name] / bound if counts else None,
            "within": None,
            **regret_summary(np.asarray(timing.result), reference),
            **timing.row(),
        }


def implementations(
    policy: str, num_arms: int, replications: int, profile: str
) -> Iterator[tuple[str, Play]]:
    """What can play this policy here."""
    yield "NumPy", seeded(NUMPY, 0)
    if NUMBA and profile != "tiny":
        yield "numba", seeded(NUMBA, 1)
    installed = importlib.util.find_spec("mabwiser") is not None
    if installed and policy != "Exp3" and replications == 1:
        yield "mabwiser", mabwiser
    if replications == 1 and smpybandits_policies() is not None:
        yield "SMPyBandits", smpybandits
    yield "gamejax float32", gamejax_in(jnp.float32)
    if profile == "full" and num_arms == 10 and replications > 1:
        yield "gamejax float64", gamejax_in(jnp.float64)


def bounds(policy: str, num_arms: int) -> float:
    r"""Rounds per second and core that the unavoidable operations would allow.

    UCB1 reads two numbers per arm, multiplies, adds and compares. A Beta draw takes four
    logarithms (a radius, two log densities, a uniform number to compare with), three square roots
    and a division. Exp3 takes an exponential per arm, or by blocks $2\sqrt{2K}$ of them.
    """
    ns = operations()
    blocks = 2 * math.sqrt(2 * num_arms)
    per_round = {
        "UCB1": num_arms * ns["index"],
        "Thompson": num_arms * (4 * ns["log"] + 3 * ns["sqrt"] + ns["divide"]),
        "Exp3": (num_arms if num_arms <= 32 else blocks) * ns["exp"],
    }
    return 1e9 / per_round[policy]


@functools.cache
def operations() -> dict[str, float]:
    """Nanoseconds per float32 on one core, of arrays in the L2 cache."""
    square = jnp.full((32, 512), 0.7, jnp.float32)
    timed: dict[str, tuple[Callable[[jax.Array], jax.Array], jax.Array]] = {
        "index": (lambda scale: jnp.max(square + scale[None] * square, axis=0) / 2, square[0]),
        "log": (lambda x: jnp.log(x) + 2, square),
        "exp": (lambda x: jnp.exp(-x), square),
        "sqrt": (jnp.sqrt, square),
        "divide": (lambda x: 1 / x, square),
    }
    return {
        name: _nanoseconds(function, start) / square.size
        for name, (function, start) in timed.items()
    }


def _nanoseconds(
    function: Callable[[jax.Array], jax.Array], start: jax.Array, repeats: int = 300
) -> float:
    run = jax.jit(lambda x: jax.lax.fori_loop(0, repeats, lambda _, y: function(y), x))
    run(start).block_until_ready()
    seconds = []
    for _ in range(9):
        begin = time.perf_counter()
        run(start).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return 1e9 * min(seconds) / repeats


def goals(rows: Sequence[dict[str, Any]]) -> list[Goal]:
    """Twice the loops in every cell of many replications, 1,000 mabwisers, 3 s to compile."""
    ours = [r for r in rows if r["implementation"] == "gamejax float32" and r["replications"] > 1]
    found = [
        Goal(f"{r['policy']}, {r['arms']} arms, over the faster loop", 2.0, r["x_loops"])
        for r in ours
    ]
    behind = [r["x_mabwiser"] for r in ours if r["x_mabwiser"] is not None]
    found.append(Goal("over mabwiser, the least", 1000.0, min(behind, default=None)))
    slowest = max((r["compile_s"] for r in ours), default=None)
    found.append(Goal("3 s over the longest compilation", 1.0, slowest and 3 / slowest))
    return found


def draw(runs: Sequence[Run], folder: Path, label: str) -> list[Picture]:
    """Speeds at many replications."""
    many = [(facts, [r for r in rows if r["replications"] > 1]) for facts, rows in runs]
    caption = "Rounds per second of all replications together, gamejax in blue."
    return [pictures.speeds(many, folder / f"{label}.png", caption, by=("policy", "arms"))]


def seeded(loops: dict[str, Callable[..., np.ndarray]], seed: int) -> Play:
    """The loops with a seed of their own."""

    def play(policy: str, means: np.ndarray, horizon: int, replications: int) -> np.ndarray:
        return loops[policy](means, horizon, replications, seed)

    return play


def gamejax_in(dtype: Any) -> Play:
    """`gamejax.bandits.simulate` with means of this type, on all devices."""

    def play(policy: str, means: np.ndarray, horizon: int, replications: int) -> np.ndarray:
        result = bandits.simulate(
            bandits.Bernoulli(jnp.asarray(means, dtype)),
            POLICIES[policy](len(means), horizon),
            horizon,
            key=jax.random.key(2),
            num_replications=replications,
            mesh=mesh(count_cores()) if replications > 1 else None,
        )
        return np.asarray(result.regret[:, -1], np.float64)

    return play


def mabwiser(policy: str, means: np.ndarray, horizon: int, replications: int) -> np.ndarray:
    """The package mabwiser, online as its documentation has it: predict, then `partial_fit`."""
    from mabwiser.mab import MAB, LearningPolicy  # pyright: ignore[reportMissingImports]

    policies = {"UCB1": lambda: LearningPolicy.UCB1(), "Thompson": LearningPolicy.ThompsonSampling}
    rng, regrets = np.random.default_rng(0), []
    for seed in range(replications):
        arms = list(range(len(means)))
        learner, regret = MAB(arms, policies[policy](), seed=seed), 0.0
        learner.fit(arms, (rng.random(len(arms)) < means).astype(int))
        for _ in range(horizon):
            arm = learner.predict()
            learner.partial_fit([arm], [int(rng.random() < means[arm])])
            regret += means.max() - means[arm]
        regrets.append(regret)
    return np.asarray(regrets)


def smpybandits_policies() -> Any:
    """SMPyBandits's policies, where it imports: 0.9.7 does not with SciPy 1.17."""
    try:
        from SMPyBandits import Policies  # pyright: ignore[reportMissingImports]
    except Exception:  # it fails in more ways than one, deep inside
        return None
    return Policies


def smpybandits(policy: str, means: np.ndarray, horizon: int, replications: int) -> np.ndarray:
    """SMPyBandits: `choice`, then `getReward`."""
    policies = smpybandits_policies()
    rng, regrets = np.random.default_rng(0), []
    for _ in range(replications):
        learner = {
            "UCB1": lambda: policies.UCB(len(means)),
            "Thompson": lambda: policies.Thompson(len(means)),
            "Exp3": lambda: policies.Exp3WithHorizon(len(means), horizon),
        }[policy]()
        learner.startGame()
        regret = 0.0
        for _ in range(horizon):
            arm = int(learner.choice())
            learner.getReward(arm, float(rng.random() < means[arm]))
            regret += means.max() - means[arm]
        regrets.append(regret)
    return np.asarray(regrets)


def regret_summary(regrets: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """The mean final regret, its standard error, and its distance from the reference."""
    if len(regrets) < 2:
        return {"regret": float(regrets.mean()), "regret_se": None, "z": None}
    error = regrets.std(ddof=1) / math.sqrt(len(regrets))
    both = math.hypot(error, reference.std(ddof=1) / math.sqrt(len(reference)))
    distance = 0.0 if both == 0 else (regrets.mean() - reference.mean()) / both
    return {"regret": float(regrets.mean()), "regret_se": float(error), "z": float(distance)}

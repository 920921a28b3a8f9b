"""How many rounds of a bandit policy per second, against loops written by hand and packages?

`rounds_per_s` is rounds x replications / median time. `z` is the distance of the mean final regret
from that of the NumPy loop in combined standard errors: everything plays the same policy. Goals at
R = 1000: twice the faster of the NumPy and the numba loop on the same cores (`x_loops`), a thousand
times mabwiser (`x_mabwiser`, which plays one copy at a time), less than 3 s to compile.
"""

import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.bandit_loops import NUMPY
from benchmarks.timing import measure
from gamejax import bandits

try:
    from benchmarks.bandit_numba import NUMBA
except ImportError:
    NUMBA = {}

ASKS = __doc__.splitlines()[0] if __doc__ else ""
PROFILES = {
    "tiny": {"arms": (3,), "horizon": 60, "replications": (40,), "budget_s": 0.0},
    "fast": {"arms": (10,), "horizon": 1_000, "replications": (1000,), "budget_s": 0.3},
    "full": {"arms": (10, 100), "horizon": 10_000, "replications": (1, 1000), "budget_s": 5.0},
}
POLICIES: dict[str, Callable[[int, int], bandits.AbstractPolicy]] = {
    "UCB1": lambda num_arms, horizon: bandits.ucb1(),
    "Thompson": lambda num_arms, horizon: bandits.thompson(),
    "Exp3": lambda num_arms, horizon: bandits.exp3(num_arms, horizon),
}
Play = Callable[[str, np.ndarray, int, int], np.ndarray]
"""Final regrets, one per replication, of (policy, means, horizon, replications)."""


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
                package = row["rounds_per_s"]
            elif package is not None and row["implementation"].startswith("gamejax"):
                row["x_mabwiser"] = row["rounds_per_s"] / package
            yield row


def cell(
    policy: str, means: np.ndarray, replications: int, profile: str
) -> Iterator[dict[str, Any]]:
    """The implementations of one policy at one size: loops, packages, then gamejax."""
    sizes = PROFILES[profile]
    horizon, budget = sizes["horizon"], sizes["budget_s"]
    fastest, reference = 0.0, None
    for name, play in implementations(policy, replications, profile):

        def call(play: Play = play) -> np.ndarray:
            return play(policy, means, horizon, replications)

        def compile_only(play: Play = play) -> np.ndarray:
            return play(policy, means, 2, 1)

        ours = name.startswith("gamejax")
        timing = measure(call, warm_up=None if ours else compile_only, budget_s=budget)
        speed = horizon * replications / timing.median_s
        regrets = np.asarray(timing.result)
        reference = regrets if reference is None else reference
        yield {
            "policy": policy,
            "arms": len(means),
            "horizon": horizon,
            "replications": replications,
            "implementation": name,
            "rounds_per_s": speed,
            "x_loops": speed / fastest if ours else None,
            "x_mabwiser": None,
            **regret_summary(regrets, reference),
            **timing.row(),
        }
        if name in ("NumPy", "numba"):
            fastest = max(fastest, speed)


def implementations(policy: str, replications: int, profile: str) -> Iterator[tuple[str, Play]]:
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
    if profile == "full":
        yield "gamejax float64", gamejax_in(jnp.float64)


def seeded(loops: dict[str, Callable[..., np.ndarray]], seed: int) -> Play:
    """The loops with a seed of their own."""

    def play(policy: str, means: np.ndarray, horizon: int, replications: int) -> np.ndarray:
        return loops[policy](means, horizon, replications, seed)

    return play


def gamejax_in(dtype: Any) -> Play:
    """`gamejax.bandits.simulate` with means of this type."""

    def play(policy: str, means: np.ndarray, horizon: int, replications: int) -> np.ndarray:
        result = bandits.simulate(
            bandits.Bernoulli(jnp.asarray(means, dtype)),
            POLICIES[policy](len(means), horizon),
            horizon,
            key=jax.random.key(2),
            num_replications=replications,
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

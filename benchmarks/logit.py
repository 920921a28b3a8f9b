"""How many logit equilibria with gradients per second, against Gambit and unrolled steps?

Random two-player games, payoffs uniform on [-1, 1], float64, precision 2. `residual` is the largest
entry of |x - softmax(precision * utilities)|, by NumPy. Every gradient is that of one weighted sum
of all probabilities, in all payoffs; `apart` is its largest difference from the implicit one.
`x_gambit` compares with a Python loop over `pygambit.qre.logit_solve_lambda`, values alone, on some
of the same games; `x_unrolled` and the peak memory with differentiating through every step.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gamejax
from benchmarks.timing import measure
from gamejax import games, solvers

ASKS = __doc__.splitlines()[0] if __doc__ else ""
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"sizes": ((3, 16, 0),), "budget_s": 0.0},
    "fast": {"sizes": ((8, 256, 4),), "budget_s": 0.3},
    "full": {"sizes": ((8, 4096, 32), (64, 256, 1)), "budget_s": 5.0},
}
"""Numbers of actions, of games, and of those among them that Gambit solves."""

PRECISION = 2.0
STEPS = 8
"""What unrolling takes: enough for every game here."""


def rows(profile: str) -> Iterator[dict[str, Any]]:
    """One row per size and implementation."""
    for size, count, few in PROFILES[profile]["sizes"]:
        yield from table(size, count, few, PROFILES[profile]["budget_s"])


def table(size: int, count: int, few: int, budget: float) -> Iterator[dict[str, Any]]:
    """Gambit, then gamejax: values, unrolled gradients, implicit gradients."""
    key, other = jax.random.split(jax.random.key(size))
    payoffs = jax.random.uniform(key, (count, 2, size, size), jnp.float64, -1, 1)
    weights = jax.random.uniform(other, (2, size), jnp.float64)
    speeds: dict[str, float] = {}
    gradients: dict[str, np.ndarray] = {}
    for name, solve, used in implementations(payoffs, weights, few):
        # Gambit's first call would be as long as the others: nothing is compiled.
        cold = int if name == "Gambit" else None

        def call(solve: Callable[..., Any] = solve, used: Any = used) -> Any:
            return solve(used)

        timing = measure(call, warm_up=cold, budget_s=budget)
        profile, gradient = timing.result
        speeds[name] = len(used) / timing.median_s
        apart = None
        if gradient is not None:
            gradients[name] = np.asarray(gradient)
            first = next(iter(gradients.values()))
            apart = float(np.abs(gradients[name] - first).max())
        implicit = name == "gamejax implicit"
        yield {
            "actions": size,
            "games": len(used),
            "implementation": name,
            "gradient": gradient is not None,
            "games_per_s": speeds[name],
            "residual": residual(np.asarray(used), [np.asarray(x) for x in profile]),
            "apart": apart,
            "x_gambit": speeds[name] / speeds["Gambit"] if "Gambit" in speeds else None,
            "x_unrolled": speeds[name] / speeds["gamejax unrolled"] if implicit else None,
            **timing.row(),
        }


def implementations(
    payoffs: jax.Array, weights: jax.Array, few: int
) -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """What can solve these games: a name, a function of payoffs, and how many it gets."""
    if few and importlib.util.find_spec("pygambit") is not None:
        yield "Gambit", gambit_loop(np.asarray(payoffs[:few])), payoffs[:few]
    yield "gamejax values", jax.jit(jax.vmap(lambda own: (solve_one(own, None), None))), payoffs
    for name, adjoint in (("unrolled", gamejax.Unrolled()), ("implicit", gamejax.Implicit())):
        yield f"gamejax {name}", with_gradient(weights, adjoint), payoffs


def solve_one(payoffs: jax.Array, adjoint: Any) -> Any:
    """The logit equilibrium of one game."""
    return gamejax.solve(
        games.NormalFormGame(payoffs),
        solvers.LogitEquilibrium(PRECISION),
        tol=1e-8,
        max_steps=STEPS if isinstance(adjoint, gamejax.Unrolled) else 200,
        check_every=STEPS,
        adjoint=adjoint,
    ).profile


def with_gradient(weights: jax.Array, adjoint: Any) -> Callable[..., Any]:
    """Values and gradients of a batch of games."""

    def outcome(payoffs: jax.Array, weights: jax.Array) -> tuple[jax.Array, Any]:
        profile = solve_one(payoffs, adjoint)
        return jnp.stack(
            [jnp.vdot(w, x) for w, x in zip(weights, profile, strict=True)]
        ).sum(), profile

    def both(payoffs: jax.Array, weights: jax.Array) -> tuple[Any, jax.Array]:
        (_, profile), gradient = jax.value_and_grad(outcome, has_aux=True)(payoffs, weights)
        return profile, gradient

    mapped = jax.jit(jax.vmap(both, (0, None)))
    return lambda payoffs: mapped(payoffs, weights)


def gambit_loop(payoffs: np.ndarray) -> Callable[..., Any]:
    """Gambit's path follower, one game after the other; the games are made beforehand."""
    pygambit: Any = importlib.import_module("pygambit")

    made = [pygambit.Game.from_arrays(*own) for own in payoffs]

    def solve(_: Any) -> tuple[list[np.ndarray], None]:
        found = []
        for game in made:
            point = pygambit.qre.logit_solve_lambda(game, lam=[PRECISION])[0].profile
            found.append([np.array([float(p) for _, p in s]) for _, s in point.mixed_strategies()])
        return [np.stack(strategies) for strategies in zip(*found, strict=True)], None

    return solve


def residual(payoffs: np.ndarray, profile: list[np.ndarray]) -> float:
    """The largest distance of a probability from its logit response."""
    x, y = profile
    utilities = (
        np.einsum("gab,gb->ga", payoffs[:, 0], y),
        np.einsum("gab,ga->gb", payoffs[:, 1], x),
    )
    worst = 0.0
    for strategy, utility in zip(profile, utilities, strict=True):
        weight = np.exp(PRECISION * (utility - utility.max(1, keepdims=True)))
        response = weight / weight.sum(1, keepdims=True)
        worst = max(worst, float(np.abs(strategy - response).max()))
    return worst

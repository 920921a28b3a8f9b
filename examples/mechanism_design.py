"""How much good can a small budget of promises do? Payments chosen by gradients through play.

Four people decide whether to give 0, 1 or 2 units to a common pot, which returns .4 units to
everybody for each unit given. Giving costs more than it returns to oneself, so they give little,
though all giving everything would be best. A designer may promise payments for outcomes, positive
or negative, of root-mean-square size at most a budget. They respond by the logit equilibrium of
the payoffs with payments, and the designer climbs their original welfare there, through
`gamejax.solve`, for many budgets at once (Monderer and Tennenholtz 2004 on such promises).

Run with `python -m examples.mechanism_design`; a picture goes to `demo_output/mechanism_design.png`.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import gamejax
from gamejax.plot import COLORS

PLAYERS, UNITS, RETURN, PRECISION = 4, 3, 0.4, 4.0


def public_goods() -> jax.Array:
    """Payoffs `(players, 3, 3, 3, 3)`: the common return less what one gave."""
    given = jnp.stack(jnp.meshgrid(*[jnp.arange(UNITS, dtype=float)] * PLAYERS, indexing="ij"))
    return RETURN * given.sum(0) - given


def outcome(payoffs: jax.Array, payments: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Original welfare and expected payments where payoffs with payments are played; the play."""
    solver = gamejax.solvers.LogitEquilibrium(PRECISION)
    game = gamejax.games.NormalFormGame(payoffs + payments)
    play = gamejax.solve(game, solver, tol=1e-5, adjoint=gamejax.Implicit()).profile
    welfare = gamejax.games.NormalFormGame(payoffs).expected_payoffs(play).sum()
    paid = gamejax.games.NormalFormGame(jnp.abs(payments)).expected_payoffs(play).sum()
    return welfare, paid, jnp.stack(play)


def design(payoffs: jax.Array, budget: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """Projected gradient ascent on welfare within the budget: the payments and the way."""
    radius = budget * payoffs.size**0.5
    ball = gamejax.sets.Ball(payoffs.size, radius)

    def step(payments: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        found, slope = jax.value_and_grad(lambda p: outcome(payoffs, p)[0])(payments)
        length = jnp.maximum(jnp.linalg.norm(slope.ravel()), 1e-12)
        moved = payments + 0.2 * radius * slope / length
        return ball.project(moved.ravel()).reshape(payoffs.shape), found

    return jax.lax.scan(step, jnp.zeros_like(payoffs), None, length=steps)


def main(output: Path, *, num_budgets: int = 13, steps: int = 60) -> tuple[float, float]:
    """Design for every budget, print and draw; welfare without and with the largest budget."""
    payoffs = public_goods()
    budgets = jnp.linspace(0, 0.6, num_budgets)
    payments, way = jax.jit(jax.vmap(lambda b: design(payoffs, b, steps)))(budgets)
    welfare, paid, play = jax.jit(jax.vmap(lambda p: outcome(payoffs, p)))(payments)
    best = float(payoffs.sum(0).max())
    print(f"welfare of play without payments {welfare[0]:.3f}, the most there is {best:.3f}")
    for i in range(0, num_budgets, max(1, num_budgets // 6)):
        given = float(play[i].mean(0) @ jnp.arange(UNITS, dtype=float))
        print(f"  payments of size {budgets[i]:.2f}: welfare {welfare[i]:.3f}, units given each "
              f"{given:.2f}, expected payments {paid[i]:.3f}")  # fmt: skip
    sizes = np.sqrt(np.mean(np.asarray(payments) ** 2, axis=tuple(range(1, payments.ndim))))
    assert np.all(sizes <= np.asarray(budgets) + 1e-6)
    draw(np.asarray(budgets), np.asarray(welfare), np.asarray(way), best, output)
    return float(welfare[0]), float(welfare[-1])


def draw(
    budgets: np.ndarray, welfare: np.ndarray, way: np.ndarray, best: float, output: Path
) -> None:
    """Welfare against the budget, and how the ascent got there."""
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    left.plot(budgets, welfare, "o-", ms=4, color=COLORS[0])
    left.axhline(best, color="k", lw=0.8, ls="--")
    left.set(xlabel="size of payments", ylabel="welfare at equilibrium", title="dashed: optimum")
    for curve, budget in zip(way[1:], budgets[1:], strict=True):
        right.plot(curve, color=plt.get_cmap("viridis")(budget / budgets[-1]))
    right.set(xlabel="step of the designer", ylabel="welfare", title="lighter: larger budget")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)
    plt.close(figure)
    print(f"wrote {output}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(Path("demo_output/mechanism_design.png"))

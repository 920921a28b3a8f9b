"""How much good can a small budget of promises do? Payments chosen by gradients through play.

Three people decide whether to give 0, 1 or 2 units to a common pot, which returns half a unit to
everybody for each unit given. Giving costs more than it returns to oneself, so they give little,
though all giving everything would be best. A designer may promise payments for outcomes, positive
or negative, of root-mean-square size at most a budget. They respond by the logit equilibrium of
the payoffs with payments, and the designer climbs their original welfare there, through
`gamejax.solve`, budget after budget, for several precisions at once (Monderer and Tennenholtz 2004
on such promises). The equilibrium may jump where its branch folds, so the best payments are kept.

Run with `python -m examples.mechanism_design`; the picture is `demo_output/mechanism_design.png`.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import gamejax
from gamejax.plot import COLORS

PLAYERS, UNITS, RETURN = 3, 3, 0.5
PRECISIONS = (1.0, 2.0, 4.0)


def public_goods() -> jax.Array:
    """Payoffs `(players, 3, 3, 3)`: the common return less what one gave."""
    given = jnp.stack(jnp.meshgrid(*[jnp.arange(UNITS, dtype=float)] * PLAYERS, indexing="ij"))
    return RETURN * given.sum(0, keepdims=True) - given


def outcome(payments: jax.Array, payoffs: jax.Array, precision: jax.Array):
    """Original welfare where payoffs with payments are played; expected payments and the play."""
    solver = gamejax.solvers.LogitEquilibrium(precision)
    game = gamejax.games.NormalFormGame(payoffs + payments)
    play = gamejax.solve(game, solver, tol=1e-5, adjoint=gamejax.Implicit()).profile
    welfare = gamejax.games.NormalFormGame(payoffs).expected_payoffs(play).sum()
    paid = gamejax.games.NormalFormGame(jnp.abs(payments)).expected_payoffs(play).sum()
    return welfare, (paid, jnp.stack(jax.tree.leaves(play)))


class Design(NamedTuple):
    """Payments and what they lead to."""

    welfare: jax.Array
    payments: jax.Array
    paid: jax.Array
    play: jax.Array


def design(payoffs: jax.Array, precision: jax.Array, budgets: jax.Array, steps: int):
    """For each budget in turn: projected gradient ascent, the best kept; and the way of welfare."""

    def climb(best: Design, budget: jax.Array):
        ball = gamejax.sets.Ball(payoffs.size, budget * payoffs.size**0.5)

        def step(carry: tuple[jax.Array, Design], rate: jax.Array):
            payments, best = carry
            (welfare, (paid, play)), slope = jax.value_and_grad(outcome, has_aux=True)(
                payments, payoffs, precision
            )
            better = welfare > best.welfare
            found = Design(welfare, payments, paid, play)
            best = jax.tree.map(lambda new, old: jnp.where(better, new, old), found, best)
            length = jnp.maximum(jnp.linalg.norm(slope.ravel()), 1e-12)
            moved = payments + rate * ball.radius * slope / length
            return (ball.project(moved.ravel()).reshape(payoffs.shape), best), best.welfare

        rates = jnp.linspace(0.5, 0.05, steps)
        (_, best), way = jax.lax.scan(step, (best.payments, best), rates)
        return best, (best, way)

    nothing = jnp.zeros((PLAYERS, UNITS), payoffs.dtype)
    start = Design(-jnp.inf + nothing[0, 0], jnp.zeros_like(payoffs), nothing[0, 0], nothing)
    return jax.lax.scan(climb, start, budgets)[1]


def main(output: Path, *, num_budgets: int = 13, steps: int = 40) -> np.ndarray:
    """Design for every precision and budget, print and draw; the welfare `(precision, budget)`."""
    payoffs, precisions = public_goods(), jnp.array(PRECISIONS)
    budgets = jnp.linspace(0, 0.6, num_budgets)
    over_precisions = jax.vmap(lambda p: design(payoffs, p, budgets, steps))
    (welfare, payments, paid, play), way = jax.jit(over_precisions)(precisions)
    best = float(payoffs.sum(0).max())
    print(f"the most welfare there is: {best:.2f}; at precision {PRECISIONS[-1]:g}")
    for i in range(0, num_budgets, max(1, num_budgets // 6)):
        given = float(play[-1, i].mean(0) @ jnp.arange(UNITS, dtype=float))
        print(f"  payments of size {budgets[i]:.2f}: welfare {welfare[-1, i]:.3f}, each gives "
              f"{given:.2f}, expected payments {paid[-1, i]:.3f}")  # fmt: skip
    sizes = jnp.sqrt((payments**2).mean(tuple(range(2, payments.ndim))))
    assert jnp.all(sizes <= budgets[None, :] + 1e-6)
    draw(np.asarray(budgets), np.asarray(welfare), np.asarray(way), best, output)
    return np.asarray(welfare)


def draw(
    budgets: np.ndarray, welfare: np.ndarray, way: np.ndarray, best: float, output: Path
) -> None:
    """Welfare against the budget, and how the ascent got there."""
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    for precision, curve, climbed, color in zip(PRECISIONS, welfare, way, COLORS, strict=False):
        left.plot(budgets, curve, "o-", ms=4, color=color, label=f"precision {precision:g}")
        right.plot(climbed.ravel(), color=color)
    left.axhline(best, color="k", lw=0.8, ls="--")
    left.set(xlabel="size of payments", ylabel="welfare at equilibrium", title="dashed: optimum")
    left.legend(frameon=False, fontsize=8)
    right.set(xlabel="step of the designer, budget after budget", ylabel="best welfare so far")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)
    plt.close(figure)
    print(f"wrote {output}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(Path("demo_output/mechanism_design.png"))

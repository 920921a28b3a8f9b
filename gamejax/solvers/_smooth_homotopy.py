"""Smooth equilibria of general-sum games, from the uniform profile outwards."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._numerics import fold, safe_divide
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame, smoothed
from gamejax.metrics import nash_gap
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._extragradient import Extragradient


class SmoothHomotopyState(eqx.Module):
    """What the homotopy carries.

    Attributes:
        step: the stage that comes next; from `num_stages` on the caps are those of the game.
        strategies: the end of the last stage, one strategy per player.
    """

    step: Int[Array, ""]
    strategies: tuple[Strategy, ...]


class SmoothHomotopy(AbstractSolver):
    r"""Strong smooth equilibria of general-sum games, by a homotopy in the smoothness.

    At $\sigma = 1$ the only strong equilibrium is the uniform profile. Each step raises the caps by
    one factor, $c_i^{(t)} = \frac1{n_i} (n_i c_i)^{\min\{t/T, 1\}}$, follows the equilibrium there
    by another solver started from the last stage, and polishes it: Levenberg-Marquardt on the
    natural map $x_i - \Pi_{X_i}(x_i + u_i(x))$, kept where it lowers the gap. So it also follows
    equilibria from which gradient dynamics move away. The step after the last stage repeats it.

    No guarantee in general: the path may end at a fold, and some stage may fail. `MultiStart` of it
    keeps the best certified profile of several starts; a start joins at the smallest caps that
    admit it. Every profile is a strong smooth profile of the game (its sets hold those of all
    stages), and the certificate is the game's own gap.

    Args:
        solver: what follows the equilibrium within a stage.
        num_stages: $T$.
        num_steps: how many of its steps per stage.
        polish_steps: at most so many steps of Levenberg-Marquardt per stage.

    References:
        daskalakis2024, for the equilibria.
    """

    solver: AbstractSolver = Extragradient()
    num_stages: int | Array = 20
    num_steps: int | Array = 50
    polish_steps: int = eqx.field(static=True, default=16)

    def __check_init__(self) -> None:
        for name in ("num_stages", "num_steps", "polish_steps"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> SmoothHomotopyState:
        if start is None:
            center = tuple(s.center(dtype) for s in game.strategy_sets)
            return SmoothHomotopyState(jnp.int32(1), center)
        share = jnp.zeros((), dtype)
        for x, (least, most) in zip(start, _caps(game, dtype), strict=True):
            needed = safe_divide(jnp.log(jnp.max(x) / least), jnp.log(most / least))
            share = jnp.maximum(share, needed)
        first = jnp.ceil(share * self.num_stages).astype(jnp.int32)
        return SmoothHomotopyState(jnp.clip(first, 1, self.num_stages), start)

    def step(
        self, game: AbstractGame, state: SmoothHomotopyState, *, key: PRNGKeyArray | None
    ) -> SmoothHomotopyState:
        stage = self._stage(game, state.step)
        first = fold(key, 2**31 - 1)
        inner = self.solver.init(stage, key=first, dtype=game.dtype, start=state.strategies)
        inner = self.solver.advance(stage, inner, jnp.int32(0), self.num_steps, key=key)
        followed = self.solver.profile(inner)
        if isinstance(followed, Joint):
            raise TypeError("SmoothHomotopy needs a solver that returns a profile, not a Joint.")
        polished = self._polish(stage, followed)
        better = nash_gap(stage, polished) < nash_gap(stage, followed)
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), polished, followed)
        return SmoothHomotopyState(state.step + 1, kept)

    def _stage(self, game: AbstractGame, step: Array) -> AbstractGame:
        """The game with the caps of one stage."""
        share = jnp.minimum(step.astype(game.dtype) / self.num_stages, 1)
        caps = [least * (most / least) ** share for least, most in _caps(game, game.dtype)]
        return smoothed(game, cap=caps)

    def _polish(self, game: AbstractGame, profile: tuple[Strategy, ...]) -> tuple[Strategy, ...]:
        tolerance = 10 * float(jnp.finfo(game.dtype).eps)
        found = optx.root_find(
            lambda x, g: self.residual(g, x), optx.LevenbergMarquardt(tolerance, tolerance),
            profile, game, max_steps=self.polish_steps, throw=False,
        ).value  # fmt: skip
        return tuple(s.project(x) for s, x in zip(game.strategy_sets, found, strict=True))

    def profile(self, state: SmoothHomotopyState) -> Profile:
        return state.strategies


def _caps(game: AbstractGame, dtype: Any) -> list[tuple[Scalar, Scalar]]:
    """Each player's smallest and largest cap: that of the uniform strategy, that of its set."""
    return [
        (s.center(dtype).max(), jnp.asarray(getattr(s, "cap", 1.0), dtype))
        for s in game.strategy_sets
    ]

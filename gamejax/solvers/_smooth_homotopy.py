"""Smooth equilibria of general-sum games, from the uniform profile outwards."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray

from gamejax._numerics import fold
from gamejax._solution import RESULTS
from gamejax._types import Profile, State, Strategy
from gamejax.games import AbstractGame, smoothed
from gamejax.sets import CappedSimplex, Simplex
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._extragradient import Extragradient


class SmoothHomotopyState(eqx.Module):
    """What the homotopy carries: stages done, the inner solver's state."""

    step: Int[Array, ""]
    inner: State


class SmoothHomotopy(AbstractSolver):
    solver: AbstractSolver = Extragradient()
    num_stages: int = eqx.field(static=True, default=20)
    num_steps: int | Array = 50

    def init(self, game, *, key, dtype, start=None):
        begin = self._stage(game, jnp.int32(0), dtype)
        if start is not None:
            start = tuple(s.project(x) for s, x in zip(begin.strategy_sets, start, strict=True))
        return SmoothHomotopyState(jnp.int32(0), self.solver.init(begin, key=key, dtype=dtype, start=start))

    def _stage(self, game, step, dtype):
        fraction = jnp.minimum((step + 1).astype(dtype) / self.num_stages, 1)
        caps = []
        for s in game.strategy_sets:
            least = s.center(dtype).max()
            most = jnp.asarray(getattr(s, "cap", 1.0), dtype)
            caps.append(least * (most / least) ** fraction)
        return smoothed(game, cap=caps)

    def step(self, game, state, *, key):
        inner = state.inner
        dtype = game.dtype
        stage = self._stage(game, state.step, dtype)
        start = self.solver.profile(inner)
        inner = self.solver.init(stage, key=key, dtype=dtype, start=start)
        inner = self.solver.advance(stage, inner, jnp.int32(0), self.num_steps, key=key)
        return SmoothHomotopyState(state.step + 1, inner)

    def profile(self, state):
        return self.solver.profile(state.inner)

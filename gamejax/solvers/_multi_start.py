"""One solver from several starting points, the best certified profile kept."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, State, Strategy
from gamejax.games import AbstractGame
from gamejax.solvers._base import AbstractSolver


class MultiStartState(eqx.Module):
    """The inner solver's states, one per start, and the best profile so far with its gap."""

    runs: State
    best: Profile
    gap: Scalar


class MultiStart(AbstractSolver):
    r"""Runs a solver from several starts side by side and vouches for the best profile seen.

    The starts are the center of the strategy sets, the pure profile of smallest gap where the game
    holds payoff tensors, and random points. After every step the inner certificate of each run is
    compared with the best so far, which therefore never gets worse. A heuristic for general-sum
    games: no rate, but an honest certificate.

    Args:
        solver: the solver to run.
        num_starts: how many runs, at least 1.
    """

    solver: AbstractSolver
    num_starts: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        if self.num_starts < 1:
            raise ValueError(f"num_starts must be at least 1, got {self.num_starts}.")

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> MultiStartState:
        key = jax.random.key(0) if key is None else key
        center = tuple(s.center(dtype) for s in game.strategy_sets) if start is None else start
        keys = jax.random.split(key, self.num_starts)
        starts = jax.vmap(lambda k: _random_profile(game, k, dtype))(keys)
        starts = jax.tree.map(lambda x, c: x.at[0].set(c), starts, center)
        runs = jax.vmap(lambda x: self.solver.init(game, key=key, dtype=dtype, start=x))(starts)
        candidates = [center, *game.pure_candidates()]
        best = candidates[0]
        gap = self.solver.certificate(game, best)
        for other in candidates[1:]:
            best, gap = self._better(game, other, best, gap)
        return MultiStartState(runs, best, gap)

    def _better(
        self, game: AbstractGame, profile: Profile, best: Profile, smallest: Scalar
    ) -> tuple[Profile, Scalar]:
        gap = self.solver.certificate(game, profile)
        return _keep(gap < smallest, (profile, gap), (best, smallest))

    def step(
        self, game: AbstractGame, state: MultiStartState, *, key: PRNGKeyArray | None
    ) -> MultiStartState:
        runs = jax.vmap(lambda s: self.solver.step(game, s, key=key))(state.runs)
        profiles = jax.vmap(lambda run: self.solver.vouched(game, run))(runs)
        gaps = jax.vmap(lambda x: self.solver.certificate(game, x))(profiles)
        leader = jnp.argmin(jnp.where(jnp.isnan(gaps), jnp.inf, gaps))
        found = jax.tree.map(lambda x: x[leader], profiles), gaps[leader]
        best, gap = _keep(found[1] < state.gap, found, (state.best, state.gap))
        return MultiStartState(runs, best, gap)

    def profile(self, state: MultiStartState) -> Profile:
        return state.best

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The inner solver's certificate."""
        return self.solver.certificate(game, profile)

    def status(self, state: MultiStartState) -> RESULTS:
        """`nonfinite` once no run has a finite certificate."""
        finite = jnp.isfinite(state.gap)
        return RESULTS.where(finite, RESULTS.running, RESULTS.nonfinite)

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        return self.solver.residual(game, profile)


def _keep(better: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, old)


def _random_profile(game: AbstractGame, key: PRNGKeyArray, dtype: Any) -> tuple[Strategy, ...]:
    """The mean of two random vertices and the center: inside every set, near its boundary."""
    strategies = []
    for i, s in enumerate(game.strategy_sets):
        leaves, structure = jax.tree.flatten(s.center(dtype))

        def vertex(k: PRNGKeyArray, s: Any = s, leaves: Any = leaves, structure: Any = structure):
            keys = jax.random.split(k, len(leaves))
            noise = [
                jax.random.normal(own, x.shape, dtype) for own, x in zip(keys, leaves, strict=True)
            ]
            return s.lmo(jax.tree.unflatten(structure, noise))

        vertices = jax.vmap(vertex)(jax.random.split(jax.random.fold_in(key, i)))
        strategies.append(
            jax.tree.map(lambda c, v: 0.1 * c + 0.9 * v.mean(0), s.center(dtype), vertices)
        )
    return tuple(strategies)

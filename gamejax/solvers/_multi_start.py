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

    def __check_init__(self):
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
        starts = [center, *_random_profiles(game, key, dtype, self.num_starts - 1)]
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *starts)
        runs = jax.vmap(lambda x: self.solver.init(game, key=key, dtype=dtype, start=x))(stacked)
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
        profiles = jax.vmap(self.solver.profile)(runs)
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


def _random_profiles(
    game: AbstractGame, key: PRNGKeyArray, dtype: Any, count: int
) -> list[tuple[Strategy, ...]]:
    """Means of two random vertices and the center: inside every set, near its boundary."""
    profiles = []
    for k in range(count):
        strategies = []
        for i, s in enumerate(game.strategy_sets):
            middle = s.center(dtype)
            leaves, structure = jax.tree.flatten(middle)
            points = [middle]
            for draw in range(2):
                own = jax.random.fold_in(key, (k * game.num_players + i) * 2 + draw)
                noise = [
                    jax.random.normal(jax.random.fold_in(own, j), x.shape, dtype)
                    for j, x in enumerate(leaves)
                ]
                points.append(s.lmo(jax.tree.unflatten(structure, noise)))
            strategies.append(jax.tree.map(lambda c, a, b: 0.1 * c + 0.45 * a + 0.45 * b, *points))
        profiles.append(tuple(strategies))
    return profiles

"""Polishing: from an approximate equilibrium to one exact up to rounding."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._interior_point import solve_matrix_game
from gamejax._joint import Joint
from gamejax._linalg import lu_factor, lu_solve
from gamejax._numerics import HIGHEST
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, State, Strategy
from gamejax.games import AbstractGame, MatrixGame
from gamejax.games._pure import action_masks
from gamejax.solvers._base import AbstractSolver


class PolishedState(eqx.Module):
    """What the solver carries.

    Attributes:
        inner: the inner solver's state.
        best: the profile of smallest certificate so far.
        gap: its certificate.
        polished: whether `best` came from polishing.
    """

    inner: State
    best: tuple[Strategy, ...]
    gap: Scalar
    polished: Bool[Array, ""]


class _Guess(NamedTuple):
    """Strategies before clipping, all players' in one vector, and what each player gets."""

    x: Float[Array, " actions"]
    values: Float[Array, " players"]


class Polished(AbstractSolver):
    r"""Runs a solver and polishes what it vouches for, so that small gaps cost a few linear solves.

    Whenever a block of steps is done (in `solve` before each certificate), the supports $S_i$ are
    guessed from complementary slackness: action $a$ is played where
    $x_i[a] > (v_i - u_i[a]) / \mathrm{range}_i$. Newton steps on
    $u_i(x)[a] = v_i$ for $a \in S_i$, $x_i[a] = 0$ for $a \notin S_i$, $\sum_a x_i[a] = 1$
    follow, each of which guesses the supports anew (a primal-dual active set method). With
    two players the equations are linear and the right supports give an equilibrium up to rounding;
    with more the steps are damped. Where supports leave a continuum, the proximal
    regularization of the linear system leads to a point of it close by. Each candidate is certified
    and the best profile kept: the result is never worse than the inner solver's.

    Polishing starts from the solver's `candidates`; those of self-play are the average and the
    strategies played last. The inner solver runs as it would alone. Its own residual serves
    `Implicit`.

    Args:
        solver: a solver of Nash equilibria whose profile is one strategy per player.
        num_rounds: Newton steps of each polishing, at least 1.
        interior_point: in a `MatrixGame`, also try the saddle point that an interior-point method
            finds: 10 to 20 more linear systems per polishing, and no game of a batch is left over,
            however slowly its supports show.

    Raises:
        ValueError: `num_rounds` is below 1.
        TypeError: a player's set is no whole simplex, or the solver's profile is a `Joint`.

    References:
        hintermuller2002, mehrotra1992.
    """

    solver: AbstractSolver
    num_rounds: int = eqx.field(static=True, default=2)
    interior_point: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if self.num_rounds < 1:
            raise ValueError(f"num_rounds must be at least 1, got {self.num_rounds}.")

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> PolishedState:
        inner = self.solver.init(game, key=key, dtype=dtype, start=start)
        profile = self.solver.profile(inner)
        if isinstance(profile, Joint):
            raise TypeError("Polished needs a solver of one strategy per player, not of a Joint.")
        gap = self.solver.certificate(game, profile)
        return PolishedState(inner, profile, gap, jnp.zeros_like(gap, dtype=bool))

    def step(
        self, game: AbstractGame, state: PolishedState, *, key: PRNGKeyArray | None
    ) -> PolishedState:
        return self._polish(game, state, self.solver.step(game, state.inner, key=key))

    def advance(
        self,
        game: AbstractGame,
        state: PolishedState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> PolishedState:
        """`count` steps of the inner solver, then one polishing."""
        inner = self.solver.advance(game, state.inner, first, count, key=key)
        return self._polish(game, state, inner)

    def profile(self, state: PolishedState) -> tuple[Strategy, ...]:
        return state.best

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The inner solver's certificate."""
        return self.solver.certificate(game, profile)

    def status(self, state: PolishedState) -> RESULTS:
        return self.solver.status(state.inner)

    def settled(self, state: PolishedState) -> Bool[Array, ""]:
        return self.solver.settled(state.inner)

    def stats(self, game: AbstractGame, state: PolishedState) -> dict[str, Any]:
        """The inner solver's, and `polished`: whether the profile came from polishing."""
        return {**self.solver.stats(game, state.inner), "polished": state.polished}

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        return self.solver.residual(game, profile)

    def _polish(self, game: AbstractGame, state: PolishedState, inner: State) -> PolishedState:
        candidates = self.solver.candidates(inner)
        masks = action_masks(game)
        kept = state
        for profile in candidates:
            kept = self._better(game, kept, profile, False)

        def polish(best: PolishedState, profile: tuple[Array, ...]) -> tuple[Any, None]:
            pairs = zip(profile, game.utilities(profile), strict=True)
            values = jnp.stack([jnp.vdot(x, u, precision=HIGHEST) for x, u in pairs])
            guess = _Guess(jnp.concatenate(profile), values)

            def round_(carry: tuple[_Guess, PolishedState], _: None) -> tuple[Any, None]:
                moved = _newton(game, masks, carry[0])
                candidate = _clipped(game, masks, moved.x)
                return (moved, self._better(game, carry[1], candidate, True)), None

            return jax.lax.scan(round_, (guess, best), None, length=self.num_rounds)[0][1], None

        # One program for all starting points.
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *candidates)
        kept, _ = jax.lax.scan(polish, kept, stacked)
        if self.interior_point and isinstance(game, MatrixGame):
            saddle = solve_matrix_game(game.payoff, *masks)
            kept = self._better(game, kept, (saddle.row, saddle.column), True)
        return PolishedState(inner, kept.best, kept.gap, kept.polished)

    def _better(
        self, game: AbstractGame, state: PolishedState, profile: Profile, polished: bool
    ) -> PolishedState:
        """The state with `profile` as the best where it is."""
        gap = self.solver.certificate(game, profile)
        better = gap < state.gap
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), profile, state.best)
        return PolishedState(
            state.inner,
            best,
            jnp.where(better, gap, state.gap),
            jnp.where(better, polished, state.polished),
        )


def _split(game: AbstractGame, vector: Array) -> tuple[Array, ...]:
    """One vector's parts, a strategy per player."""
    parts, start = [], 0
    for strategies in game.strategy_sets:
        parts.append(vector[start : start + strategies.shape[0]])
        start += strategies.shape[0]
    return tuple(parts)


def _clipped(
    game: AbstractGame, masks: tuple[Array, ...], vector: Array
) -> tuple[Float[Array, " actions"], ...]:
    """The strategies without negative probabilities; uniform ones where nothing is left."""
    strategies = []
    for part, mask in zip(_split(game, vector), masks, strict=True):
        kept = jnp.where(mask, jnp.maximum(part, 0), 0)
        total = kept.sum()
        usable = jnp.isfinite(total) & (total > 0)
        uniform = mask.astype(kept.dtype) / mask.sum(dtype=kept.dtype)
        strategies.append(jnp.where(usable, kept / jnp.where(usable, total, 1), uniform))
    return tuple(strategies)


def _newton(game: AbstractGame, masks: tuple[Array, ...], guess: _Guess) -> _Guess:
    """One Newton step on the equations of the supports that `guess` suggests.

    The factorization serves three corrections; the regularization of the system, which a singular
    one needs, then has no influence on regular ones.
    """
    counts = [len(mask) for mask in masks]
    exists = jnp.concatenate(masks)
    dtype = guess.x.dtype

    def utilities(x: Array) -> Array:
        return jnp.concatenate(game.utilities(_split(game, x)))

    jacobian = jax.jacfwd(utilities)(guess.x)
    owner = jnp.repeat(jnp.arange(len(counts)), jnp.array(counts), total_repeat_length=sum(counts))
    member = jax.nn.one_hot(owner, len(counts), dtype=dtype)
    ranges = _ranges(jacobian, exists, owner, len(counts))
    missing = guess.values[owner] - utilities(guess.x)
    played = exists & (guess.x * ranges[owner] > missing)
    # A player with no action left plays its best one.
    best = jnp.where(exists, -missing, -jnp.inf)
    top = jax.ops.segment_max(best, owner, len(counts))
    none = jax.ops.segment_max(played.astype(jnp.int32), owner, len(counts)) == 0
    played = played | (none[owner] & (best >= top[owner]))
    scale = jnp.max(ranges)
    scale = jnp.where(scale > 0, scale, 1)
    proximal = jnp.finfo(dtype).eps ** 0.5
    system = jnp.where(played[:, None] & played[None, :], jacobian / scale, 0)
    system = system - jnp.diag(jnp.where(played, proximal, 1))
    edge = jnp.where(played[:, None], member, 0)
    factors = lu_factor(
        jnp.block([[system, -edge], [edge.T, jnp.zeros((len(counts), len(counts)), dtype)]])
    )
    point = _Guess(jnp.where(played, guess.x, 0), guess.values)

    def wrong(point: _Guess) -> Array:
        unequal = (point.values[owner] - utilities(point.x)) / scale
        totals = jax.ops.segment_sum(point.x, owner, len(counts))
        return jnp.concatenate([jnp.where(played, unequal, 0), 1 - totals])

    def correct(_: Array, point: _Guess) -> _Guess:
        change = lu_solve(factors, wrong(point))
        x, values = change[: len(owner)], scale * change[len(owner) :]
        lengths = 0.5 ** jnp.arange(4 if len(counts) > 2 else 1, dtype=dtype)
        errors = jax.vmap(
            lambda t: jnp.abs(wrong(_Guess(point.x + t * x, point.values + t * values))).max()
        )(lengths)
        length = lengths[jnp.argmin(errors)]
        return _Guess(point.x + length * x, point.values + length * values)

    return jax.lax.fori_loop(0, 3, correct, point)


def _ranges(jacobian: Array, exists: Array, owner: Array, num_players: int) -> Array:
    """The largest difference between a player's payoffs to two own actions against one other."""
    above = jnp.where(exists[:, None], jacobian, -jnp.inf)
    below = jnp.where(exists[:, None], -jacobian, -jnp.inf)
    spread = jax.ops.segment_max(above, owner, num_players) + jax.ops.segment_max(
        below, owner, num_players
    )
    return jnp.where(exists[None, :], spread, 0).max(1)

"""Games of very many actions, solved on a random few of them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from gamejax._joint import Joint, Sparse
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, Strategy
from gamejax.games import AbstractGame, OracleGame, smoothed, subsample_game
from gamejax.metrics import SampledGap, cap_violation, sampled_smooth_gap
from gamejax.metrics._smooth import check_numbers
from gamejax.solvers._base import AbstractSolver


class SubsampledState(eqx.Module):
    """What `SubsampledGame` carries.

    Attributes:
        step: sub-games solved.
        actions: the candidates, one array per player.
        probabilities: the strategies on them.
        gap: the inner solver's certificate on the sub-game.
    """

    step: Int[Array, ""]
    actions: tuple[Int[Array, " candidates"], ...]
    probabilities: tuple[Float[Array, " candidates"], ...]
    gap: Scalar


class SubsampledGame(AbstractSolver):
    r"""Weak smooth equilibria of an `OracleGame` in a time that does not depend on its size.

    One step draws $K$ candidate actions for each player, uniformly with replacement, and runs
    another solver on the sub-game of these; `solve` takes one such step, whatever its budget. The
    strategies are `Sparse`. The certificate is the upper confidence bound of
    `metrics.sampled_smooth_gap` from $N$ fresh uniform test actions per player: **with probability
    at least $1 - \delta$ no $\sigma$-smooth deviation, among all actions, gains more than the
    gap**. It covers both profiles that `solve` tests, the uniform one on the candidates it starts
    from and the one it returns; whoever picks the best of $k$ solutions should divide $\delta$ by
    $k$. Payoffs computed: $K^m$, and $m N K^{m-1}$ per test.

    What is certified is a *weak* equilibrium. A strategy on $K \ll \sigma n$ actions cannot be
    $\sigma$-smooth itself; `stats["cap_violation"]` says by how much it is not. With
    `capped=True` no candidate draw gets more than $1/(\sigma K)$. Then, over the draw of the
    candidates, each player's action is $\sigma$-smooth: each action of the game is played with
    probability at most $1/(\sigma n)$ (of its $K/n$ expected draws, each has at most that much).
    The gap remains that of the candidates drawn. Without, strategies may gather on the best
    candidates, and smaller, even negative gaps are reached.

    The candidates of the theorem, $K$ and $N$ polynomial in $1/\sigma$, $1/\varepsilon$, $m$ with
    constants in the thousands, and its search over all sparse profiles give way to free numbers, a
    solver, and the certificate.

    Args:
        solver: what solves the sub-games, a `NormalFormGame` each; on capped simplices with
            `capped`.
        num_candidates: $K$.
        num_tests: $N$.
        sigma: $\sigma \in (0, 1]$, the smoothness of the deviations that the certificate counts.
        delta: $\delta \in (0, 1/2]$, the probability that the certificate may fail.
        num_steps: how many steps of the inner solver.
        capped: whether the inner solver is held to strategies $\sigma$-smooth among the candidates.

    References:
        daskalakis2024.
    """

    solver: AbstractSolver
    num_candidates: int = eqx.field(static=True, kw_only=True)
    num_tests: int = eqx.field(static=True, kw_only=True)
    sigma: ArrayLike = eqx.field(kw_only=True)
    delta: ArrayLike = eqx.field(default=0.05, kw_only=True)
    num_steps: int | Array = eqx.field(default=1000, kw_only=True)
    capped: bool = eqx.field(static=True, default=False, kw_only=True)

    def __check_init__(self) -> None:
        if not isinstance(self.solver, AbstractSolver):
            raise TypeError(f"solver must be a gamejax solver, got {type(self.solver).__name__}.")
        check_numbers(
            num_candidates=self.num_candidates,
            num_tests=self.num_tests,
            num_steps=self.num_steps,
            sigma=self.sigma,
            delta=self.delta,
        )

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> SubsampledState:
        if start is not None:
            raise ValueError("SubsampledGame draws where it starts; it takes no profile as init.")
        actions = subsample_game(_some(key), _oracle(game), self.num_candidates).actions
        uniform = jnp.full((self.num_candidates,), 1 / self.num_candidates, dtype)
        probabilities = (uniform,) * game.num_players
        return SubsampledState(jnp.int32(0), actions, probabilities, jnp.asarray(jnp.inf, dtype))

    def step(
        self, game: AbstractGame, state: SubsampledState, *, key: PRNGKeyArray | None
    ) -> SubsampledState:
        keys = jax.random.split(_some(key))
        sub_game, actions = subsample_game(keys[0], _oracle(game), self.num_candidates)
        if self.capped:
            sub_game = smoothed(sub_game, sigma=self.sigma)
        first = jax.random.fold_in(keys[1], 2**31 - 1)
        inner = self.solver.init(sub_game, key=first, dtype=game.dtype)
        inner = self.solver.advance(sub_game, inner, jnp.int32(0), self.num_steps, key=keys[1])
        profile = self.solver.profile(inner)
        if isinstance(profile, Joint):
            raise TypeError("SubsampledGame needs a solver that returns a profile, not a Joint.")
        gap = self.solver.certificate(sub_game, profile)
        return SubsampledState(state.step + 1, actions, profile, gap)

    def advance(
        self,
        game: AbstractGame,
        state: SubsampledState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> SubsampledState:
        """One step if `count` is positive; the solver ends after it."""
        return super().advance(game, state, first, jnp.minimum(count, 1), key=key)

    def profile(self, state: SubsampledState) -> Profile:
        pairs = zip(state.actions, state.probabilities, strict=True)
        return tuple(Sparse(actions, x) for actions, x in pairs)

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The upper confidence bound of the smooth gap, from test actions of its own."""
        return self._test(game, profile).upper.max()

    def _test(self, game: AbstractGame, profile: Profile) -> SampledGap:
        return sampled_smooth_gap(
            game, profile, sigma=self.sigma, num_tests=self.num_tests, delta=self.delta / 2,
            key=_test_key(profile),
        )  # fmt: skip

    def status(self, state: SubsampledState) -> RESULTS:
        """`stalled` after the step: more candidates or tests help, not more steps."""
        return RESULTS.where(state.step > 0, RESULTS.stalled, RESULTS.running)

    def stats(self, game: AbstractGame, state: SubsampledState) -> dict[str, Any]:
        r"""The estimate behind the certificate, and what else is known.

        `smooth_gap` and `radius`: the estimate and how far it may be off either way;
        `cap_violation`: the largest probability of an action less $1/(\sigma n)$;
        `candidate_gap`: the inner solver's certificate.
        """
        profile = self.profile(state)
        found = self._test(game, profile)
        return {
            "smooth_gap": found.gains.max(),
            "radius": found.radius.max(),
            "cap_violation": cap_violation(game, profile, sigma=self.sigma),
            "candidate_gap": state.gap,
        }


def _oracle(game: AbstractGame) -> OracleGame:
    if isinstance(game, OracleGame):
        return game
    raise TypeError(
        f"SubsampledGame solves an OracleGame, got a {type(game).__name__}; that has its payoffs "
        "at hand, so pass it to the inner solver."
    )


def _some(key: PRNGKeyArray | None) -> PRNGKeyArray:
    return jax.random.key(0) if key is None else key


def _test_key(profile: Profile) -> PRNGKeyArray:
    """A key that the candidates choose, so that a certificate can be computed again.

    Nothing else is drawn with it; candidates drawn by another key meet other tests.
    """
    word = jnp.uint32(0)
    for i, actions in enumerate(x for x in jax.tree.leaves(profile) if x.dtype == jnp.int32):
        odd = 2 * jnp.arange(actions.shape[0], dtype=jnp.uint32) + 1
        mixed = actions.astype(jnp.uint32) * odd * jnp.uint32(0x9E3779B9)
        word = word * jnp.uint32(0x85EBCA6B) + mixed.sum(dtype=jnp.uint32) + jnp.uint32(i)
    return jax.random.fold_in(jax.random.key(0x7E57), word)

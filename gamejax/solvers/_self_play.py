"""Self-play: every player runs a learner against the others."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._joint import Joint, product
from gamejax._lanes import repeat
from gamejax._numerics import Sum, fold, inner, partial_sums, require_memory, whole_sums
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, State, Strategy, Utility
from gamejax.feedback import AbstractFeedback, FullInformation
from gamejax.games import AbstractGame
from gamejax.learners import AbstractLearner
from gamejax.metrics import coarse_correlated_gap
from gamejax.sets import Treeplex
from gamejax.solvers._averaging import AbstractAveraging, AbstractWeighted, Uniform
from gamejax.solvers._base import AbstractSolver

BLOCK = 128
r"""Rounds whose utilities and strategies are summed plainly before they join the long sums.

Once play has settled the same numbers are added again and again, so that every addition to a sum of
$b$ terms is rounded the same way: a bias of up to $b\epsilon/2$ of the average. With 1000 rounds
that is as large as the gap of optimistic Hedge after a million rounds in float32."""


class SelfPlayState(eqx.Module):
    """What self-play carries from round to round.

    Attributes:
        step: rounds played.
        strategies: what the next round will play, one strategy per player.
        learners, feedback, game: the states of those parts.
        average: the averaging rule's state.
        utilities: sums over rounds of each player's utility vector.
        payoffs: sums over rounds of the realised payoffs, one per player.
        ranges: each player's payoff range where the game knows it.
    """

    step: Int[Array, ""]
    strategies: tuple[Strategy, ...]
    learners: tuple[State, ...]
    feedback: tuple[State, ...]
    game: State
    average: State
    utilities: Sum
    payoffs: Sum
    ranges: tuple[Scalar | None, ...]


class SelfPlay(AbstractSolver):
    r"""Every player runs a learner against the others; an average of play is vouched for.

    Round $t$: each player sees (some of) $u_i^t = u_i(x^t)$ and its learner moves to $x_i^{t+1}$.
    With regrets $\mathrm{Reg}_i(T)$ the uniform average of play is, in two-player zero-sum games, a
    profile of duality gap exactly $(\mathrm{Reg}_1 + \mathrm{Reg}_2) / T$; with `output="joint"` it
    is, in every game, a coarse correlated equilibrium up to $\max_i \mathrm{Reg}_i / T$, and a
    correlated one up to the largest *swap* regret over $T$.

    Args:
        learners: one learner for all players, or a tuple with one each.
        feedback: what the players see; one for all, or a tuple with one each.
        averaging: which average of the rounds is vouched for.
        alternating: players move one after another, each seeing the moves made before it in the
            same round; cuts the gap of regret matching+ many times over. The exact gap identity
            above needs simultaneous play. Where the game samples, each mover has its own draw.
        order: the order of movers in alternating play; default player 0 first.
        output: `"marginals"` vouches for one strategy per player, `"joint"` for the average of the
            product distributions, a `Joint` of $\prod_i n_i$ numbers.
        averaged: which strategies of round $t$ enter the average with its weight: `"played"`,
            those played in it, $x^t$, of which the gap identity speaks; `"next"`, those played
            next, $x^{t+1}$, as counterfactual regret minimization is usually measured.
        persistent: on NVIDIA GPUs, run mapped games (`jax.vmap`, `solve_batch`) of up to 8 actions,
            or of powers of two up to 128, in one kernel from certificate to certificate, made by
            Pallas for Triton. Same results to rounding; elsewhere it changes nothing. Off, as its
            speed has not been measured yet.

    References:
        freund1999, anagnostides2022; alternation as in tammelin2015.
    """

    learners: AbstractLearner | tuple[AbstractLearner, ...]
    feedback: AbstractFeedback | tuple[AbstractFeedback, ...] = FullInformation()
    averaging: AbstractAveraging = Uniform()
    alternating: bool = eqx.field(static=True, default=False)
    order: tuple[int, ...] | None = eqx.field(static=True, default=None)
    output: Literal["marginals", "joint"] = eqx.field(static=True, default="marginals")
    averaged: Literal["played", "next"] = eqx.field(static=True, default="played")
    persistent: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if self.output not in ("marginals", "joint"):
            raise ValueError(f'output must be "marginals" or "joint", got {self.output!r}.')
        if self.averaged not in ("played", "next"):
            raise ValueError(f'averaged must be "played" or "next", got {self.averaged!r}.')
        if self.order is not None and sorted(self.order) != list(range(len(self.order))):
            raise ValueError(f"order must be a permutation of the players, got {self.order}.")
        if self.order is not None and not self.alternating:
            raise ValueError("order only matters in alternating play; pass alternating=True too.")

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> SelfPlayState:
        sets, num_players = game.strategy_sets, game.num_players
        learners = _per_player(self.learners, num_players, "learners")
        feedback = _per_player(self.feedback, num_players, "feedback")
        if self.order is not None and len(self.order) != num_players:
            raise ValueError(f"order names {len(self.order)} players, the game has {num_players}.")
        if self.output == "joint":
            if any(isinstance(s, Treeplex) for s in sets):
                raise TypeError(
                    'output="joint" needs strategies that are probabilities of actions; of a tree '
                    "take gamejax.extensive.reduced_normal_form(game)."
                )
            shape = [s.shape[-1] for s in sets]
            # The running sum, its rounding carry and the joint itself are held at once.
            needed = 3 * math.prod(shape) * jnp.dtype(dtype).itemsize
            require_memory(needed, f'output="joint" for {num_players} players')
        ranges = tuple(game.utility_range(i) for i in range(num_players))
        begun = [
            learner.init(s, dtype=dtype)
            if start is None
            else learner.start(s, start[i], dtype=dtype)
            for i, (learner, s) in enumerate(zip(learners, sets, strict=True))
        ]
        strategies = tuple(strategy for strategy, _ in begun)
        return SelfPlayState(
            step=jnp.zeros((), jnp.int32),
            strategies=strategies,
            learners=tuple(state for _, state in begun),
            feedback=tuple(f.init(s, dtype=dtype) for f, s in zip(feedback, sets, strict=True)),
            game=game.init(key=key, dtype=dtype),
            average=self.averaging.init(self._outcome(strategies)),
            utilities=Sum.zeros_like(strategies),
            payoffs=Sum.zeros_like(jnp.stack([inner(x, x) for x in strategies])),
            ranges=ranges,
        )

    def step(
        self, game: AbstractGame, state: SelfPlayState, *, key: PRNGKeyArray | None
    ) -> SelfPlayState:
        step = state.step + 1
        utilities, moved, game_state = self._round(game, state, step, key)
        payoffs = [inner(x, u) for x, u in zip(state.strategies, utilities, strict=True)]
        strategies = tuple(m[0] for m in moved)
        averaged = strategies if self.averaged == "next" else state.strategies
        return SelfPlayState(
            step=step,
            strategies=strategies,
            learners=tuple(m[1] for m in moved),
            feedback=tuple(m[2] for m in moved),
            game=game_state,
            average=self.averaging.update(game, state.average, self._outcome(averaged), step),
            utilities=state.utilities.add(utilities),
            payoffs=state.payoffs.add(jnp.stack(payoffs)),
            ranges=state.ranges,
        )

    def advance(
        self,
        game: AbstractGame,
        state: SelfPlayState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> SelfPlayState:
        own, static = eqx.partition((self, game), eqx.is_array)
        count = jnp.asarray(count, jnp.int32)

        def body(fixed: Any, state: SelfPlayState, i: Array) -> SelfPlayState:
            arrays, first, key = fixed
            solver, game = eqx.combine(arrays, static)
            return solver.step(game, state, key=fold(key, first + i))

        def block(done: Array, state: SelfPlayState) -> SelfPlayState:
            sums = self._sums(state)
            opened = eqx.tree_at(self._sums, state, partial_sums(sums))
            length = jnp.minimum(BLOCK, count - done)
            fixed = own, first + done, key
            moved = repeat(body, length, fixed, opened, persistent=self.persistent)
            return eqx.tree_at(self._sums, moved, whole_sums(sums, self._sums(moved)))

        num_blocks = (count + (BLOCK - 1)) // BLOCK
        return jax.lax.fori_loop(
            jnp.int32(0), num_blocks, lambda k, now: block(k * BLOCK, now), state
        )

    def _sums(self, state: SelfPlayState) -> tuple[Sum, ...]:
        """The sums that no step reads, so that what it adds may wait for the end of a block."""
        weighted = isinstance(self.averaging, AbstractWeighted)
        return (state.utilities, state.payoffs, *((state.average,) if weighted else ()))

    def _round(
        self,
        game: AbstractGame,
        state: SelfPlayState,
        step: Array,
        key: PRNGKeyArray | None,
    ) -> tuple[tuple[Utility, ...], list[tuple[Strategy, State, State]], State]:
        """Each player's utility and next (strategy, learner state, feedback state); game state."""
        players = range(game.num_players)
        nature = fold(key, 0)
        if not self.alternating:
            utilities, game_state = game.sample(state.strategies, state.game, key=nature, step=step)
            moved = [self._move(game, state, i, utilities[i], step, key) for i in players]
            return utilities, moved, game_state
        # Only the mover's utility is used, so the others' are never computed once compiled.
        profile, game_state, seen, moved = list(state.strategies), state.game, {}, {}
        for i in self.order or players:
            sampled, game_state = game.sample(
                tuple(profile), game_state, key=fold(nature, i), step=step
            )
            seen[i] = sampled[i]
            moved[i] = self._move(game, state, i, sampled[i], step, key)
            profile[i] = moved[i][0]
        return tuple(seen[i] for i in players), [moved[i] for i in players], game_state

    def _move(
        self,
        game: AbstractGame,
        state: SelfPlayState,
        player: int,
        utility: Utility,
        step: Array,
        key: PRNGKeyArray | None,
    ) -> tuple[Strategy, State, State]:
        """One player's feedback and update."""
        learner = _per_player(self.learners, game.num_players, "learners")[player]
        feedback = _per_player(self.feedback, game.num_players, "feedback")[player]
        utility_range = state.ranges[player]
        if utility_range is not None:
            learner = learner.with_utility_range(utility_range)
        strategy = state.strategies[player]
        seen, feedback_state = feedback.observe(
            utility, strategy, state.feedback[player], key=fold(key, 1 + 2 * player), step=step
        )
        moved, learner_state = learner.update(
            game.strategy_sets[player],
            seen,
            state.learners[player],
            strategy,
            key=fold(key, 2 + 2 * player),
        )
        return moved, learner_state, feedback_state

    def profile(self, state: SelfPlayState) -> Profile:
        return self.averaging.value(state.average, self._outcome(state.strategies))

    def candidates(self, state: SelfPlayState) -> list[Profile]:
        """What is vouched for, and what would be played next, whose support settles earlier."""
        return [self.profile(state), state.strategies]

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The default, `nash_gap` or `first_order_gap`; of a `Joint`, `coarse_correlated_gap`."""
        if isinstance(profile, Joint):
            return coarse_correlated_gap(game, profile)
        return super().certificate(game, profile)

    def status(self, state: SelfPlayState) -> RESULTS:
        """`nonfinite` once a payoff overflowed or became NaN."""
        finite = jnp.all(jnp.isfinite(state.payoffs.total))
        return RESULTS.where(finite, RESULTS.running, RESULTS.nonfinite)

    def stats(self, game: AbstractGame, state: SelfPlayState) -> dict[str, Any]:
        r"""`regrets`: $\max_x \sum_t \langle x - x_i^t, u_i^t\rangle$ of each player $i$."""
        return {"regrets": regrets(game, state)}

    def _outcome(self, strategies: tuple[Strategy, ...]) -> Profile:
        return strategies if self.output == "marginals" else Joint(product(strategies))


def regrets(game: AbstractGame, state: SelfPlayState) -> Float[Array, " players"]:
    """External regret of the rounds played so far, one per player; payoff times rounds."""
    best = [s.support(u) for s, u in zip(game.strategy_sets, state.utilities.total, strict=True)]
    return jnp.stack(best) - state.payoffs.total


def _per_player(choice: Any, num_players: int, name: str) -> tuple[Any, ...]:
    """One of `choice` for each player: itself where it is one for all."""
    if not isinstance(choice, tuple):
        return (choice,) * num_players
    if len(choice) != num_players:
        raise ValueError(
            f"{name} must be one for all players or a tuple of {num_players}, one per player, "
            f"got {len(choice)}."
        )
    return choice

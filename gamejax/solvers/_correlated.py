"""Correlated and coarse correlated equilibria that are best by some objective."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._linear_program import (
    AbstractRows,
    LinearProgram,
    LinearProgramState,
    start_program,
    step_program,
)
from gamejax._numerics import HIGHEST, require_memory, safe_divide
from gamejax._solution import RESULTS
from gamejax._types import Scalar, Strategy
from gamejax.games import AbstractGame
from gamejax.games._pure import action_masks, payoff_tensor, profile_mask
from gamejax.metrics import coarse_correlated_gap, correlated_gap
from gamejax.solvers._base import AbstractSolver
from gamejax.solvers._incentives import Bordered, incentives
from gamejax.solvers._max_entropy import (
    MaxEntropyState,
    distribution,
    start_max_entropy,
    step_max_entropy,
)

OBJECTIVES = ("welfare", "min_welfare", "max_min", "entropy")


class CorrelatedEquilibriumState(eqx.Module):
    """What the solver carries.

    Attributes:
        inner: the interior-point method's own state.
        joint: the distribution it stands for.
        multipliers: of the incentive constraints (of payoffs divided by their ranges), what
            relaxing each would add to the objective.
        weights: of the players in the objective; they sum to one under `"max_min"`.
        error: what the method has left of optimality and feasibility, relative.
        ended: whether the method has ended.
    """

    inner: LinearProgramState | MaxEntropyState
    joint: Float[Array, "..."]
    multipliers: Float[Array, " deviations"]
    weights: Float[Array, " players"]
    ended: Bool[Array, ""]


class _Task(eqx.Module):
    """A game as the method sees it."""

    payoffs: Float[Array, "players ..."]
    exists: Bool[Array, "..."]
    rows: AbstractRows
    deviations: Bool[Array, " deviations"]


class CorrelatedEquilibrium(AbstractSolver):
    r"""The correlated equilibrium that is best by an objective, to machine precision.

    Maximizes the objective over joint distributions $\mu$ under the incentive constraints
    $\sum_{a_{-i}} \mu(a, a_{-i}) (U_i(b, a_{-i}) - U_i(a, a_{-i})) \le 0$ for all $i, a, b$, or,
    coarse, $\sum_a \mu(a) (U_i(b, a_{-i}) - U_i(a)) \le 0$ for all $i, b$. They always have a
    solution. A step is one interior-point iteration; 8 to 30 end the run by themselves. Of several
    optima the method's limit is in the relative interior of their set. The run ends once the
    objective is optimal too, not at the first equilibrium on the way.

    The statistics hold `objective`, a bound `dual_bound` on every equilibrium's objective that the
    multipliers prove, `duality_gap` between both, and `iterations`. The gradient of `objective` in
    the payoffs is that of the Lagrangian (envelope theorem), correct where optimum and multipliers
    are unique. `Implicit` differentiates the distribution itself: under `"entropy"`, where it is
    unique, else where it is the only optimum and non-degenerate; elsewhere the linear
    system is singular and the gradient not finite.

    Args:
        objective: `"welfare"` or `"min_welfare"`, the largest or smallest total payoff; `"max_min"`,
            the largest payoff of the player who gets least; `"entropy"`, the distribution of
            largest entropy.
        coarse: coarse correlated equilibria instead of correlated ones.
        accuracy: the relative optimality that ends the run; 0 for as far as rounding lets it go.

    Raises:
        ValueError: `objective` is none of these; a starting profile is given, which interior-point
            methods have no use for; or the linear systems would not fit into memory.
        TypeError: a player's set is no whole simplex.

    References:
        aumann1974, moulin1978, xu1996, mehrotra1992; maximum entropy: ortiz2007.
    """

    objective: Literal["welfare", "min_welfare", "max_min", "entropy"] = eqx.field(
        static=True, default="welfare"
    )
    coarse: bool = eqx.field(static=True, default=False)
    accuracy: Any = 0.0

    def __check_init__(self):
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {OBJECTIVES}, got {self.objective!r}.")

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> CorrelatedEquilibriumState:
        if start is not None:
            raise ValueError(
                "init must be None or a Solution for CorrelatedEquilibrium: interior-point methods "
                "start from the middle."
            )
        counts = [s.shape[-1] for s in game.strategy_sets]
        task = self._task(game)
        size = len(task.deviations)
        needed = 3 * jnp.dtype(dtype).itemsize * (size * size + max(counts) * math.prod(counts))
        require_memory(needed, f"CorrelatedEquilibrium with {size} incentive constraints")
        if self.objective == "entropy":
            inner = start_max_entropy(task.deviations, dtype)
        else:
            inner = start_program(self._program(task)[0])
        return self._view(task, inner)

    def step(
        self, game: AbstractGame, state: CorrelatedEquilibriumState, *, key: PRNGKeyArray | None
    ) -> CorrelatedEquilibriumState:
        return self.advance(game, state, jnp.int32(0), 1, key=key)

    def advance(
        self,
        game: AbstractGame,
        state: CorrelatedEquilibriumState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> CorrelatedEquilibriumState:
        """At most `count` steps; none after the method has ended."""
        task = self._task(game)
        program = None if self.objective == "entropy" else self._program(task)[0]

        def unfinished(carry: tuple[Any, Array]) -> Array:
            inner, done = carry
            return (done < count) & ~self._ended(task, inner)

        def body(carry: tuple[Any, Array]) -> tuple[Any, Array]:
            inner, done = carry
            if program is not None:
                return step_program(program, inner), done + 1
            columns, least = task.exists.reshape(-1), self._least(task)
            moved = step_max_entropy(task.rows, columns, task.deviations, inner, least)
            return moved, done + 1

        inner, _ = jax.lax.while_loop(unfinished, body, (state.inner, jnp.int32(0)))
        return self._view(task, inner)

    def profile(self, state: CorrelatedEquilibriumState) -> Joint:
        return Joint(state.joint)

    def certificate(self, game: AbstractGame, profile: Any) -> Scalar:
        """`correlated_gap`, or `coarse_correlated_gap` where the solver is coarse."""
        return (coarse_correlated_gap if self.coarse else correlated_gap)(game, profile)

    def settled(self, state: CorrelatedEquilibriumState) -> Bool[Array, ""]:
        """Equilibria on the way are not optimal yet."""
        return state.ended

    def status(self, state: CorrelatedEquilibriumState) -> RESULTS:
        """`stalled` once the method has ended, `nonfinite` where the payoffs were not finite."""
        ended = RESULTS.where(state.ended, RESULTS.stalled, RESULTS.running)
        finite = jnp.all(jnp.isfinite(state.joint))
        return RESULTS.where(finite, ended, RESULTS.nonfinite)

    def stats(self, game: AbstractGame, state: CorrelatedEquilibriumState) -> dict[str, Any]:
        """`objective` (differentiable), `dual_bound`, `duality_gap`, `iterations`."""
        task = self._task(game)
        joint, weights, multipliers = state.joint, state.weights, state.multipliers
        priced = task.rows.transpose_dot(multipliers).reshape(joint.shape)
        if self.objective == "entropy":
            log = jnp.log(jnp.where(joint > 0, joint, 1))
            value = -jnp.vdot(joint, log, precision=HIGHEST)
            lagrangian = value - jnp.vdot(joint, priced, precision=HIGHEST)
            bound = jax.nn.logsumexp(jnp.where(task.exists, -priced, -jnp.inf))
            gap = bound - value
        else:
            sign = -1 if self.objective == "min_welfare" else 1
            score = jnp.tensordot(weights, task.payoffs, 1, precision=HIGHEST) - sign * priced
            payoffs = jnp.tensordot(task.payoffs, joint, joint.ndim, precision=HIGHEST)
            value = payoffs.min() if self.objective == "max_min" else payoffs.sum()
            lagrangian = jnp.vdot(score, joint, precision=HIGHEST)
            bound = sign * jnp.max(sign * score, where=task.exists, initial=-jnp.inf)
            gap = sign * (bound - value)
        fixed = jax.lax.stop_gradient(value - lagrangian)
        return {
            "objective": fixed + lagrangian,
            "dual_bound": bound,
            "duality_gap": gap,
            "iterations": state.inner.num_steps,
        }

    def residual(self, game: AbstractGame, profile: Any) -> Joint:
        r"""The optimality conditions on the support, with the constraints that bind.

        With $M$ their rows and the one of total probability, $M^\top (M \mu - e)$, which
        fixes a vertex; for the entropy also the part of $\ln \mu$ that no row of $M$ explains.
        """
        task = self._task(game)
        joint = profile.probabilities.reshape(-1)
        fixed = jax.lax.stop_gradient(joint)
        small = jnp.finfo(joint.dtype).eps ** 0.45
        support = fixed > small
        slack = jax.lax.stop_gradient(task.rows.dot(fixed))
        binding = task.deviations & (slack > -small)
        table = jax.vmap(task.rows.transpose_dot)(jnp.eye(len(binding), dtype=joint.dtype))
        table = jnp.where(binding[:, None] & support[None, :], table, 0)
        table = jnp.concatenate([table, support[None].astype(joint.dtype)])
        target = jnp.zeros(len(table), joint.dtype).at[-1].set(1)
        missed = jnp.matmul(table, jnp.where(support, joint, 0), precision=HIGHEST) - target
        equations = jnp.matmul(missed, table, precision=HIGHEST)
        if self.objective == "entropy":
            log = jnp.where(support, jnp.log(jnp.where(support, joint, 1)), 0)
            products = jnp.matmul(table, table.T, precision=HIGHEST)
            ridge = jnp.finfo(joint.dtype).eps * jnp.trace(jax.lax.stop_gradient(products))
            system = products + ridge * jnp.eye(len(products), dtype=joint.dtype)
            prices = jnp.linalg.solve(system, jnp.matmul(table, log, precision=HIGHEST))
            equations = equations + log - jnp.matmul(prices, table, precision=HIGHEST)
        return Joint(jnp.where(support, equations, joint).reshape(profile.probabilities.shape))

    def _task(self, game: AbstractGame) -> _Task:
        """The payoffs, 0 where no profile exists, and the constraints on a unit scale."""
        masks, exists = action_masks(game), profile_mask(game)
        payoffs = jnp.where(exists[None], payoff_tensor(game), 0)
        axes = tuple(range(1, payoffs.ndim))
        known = jax.lax.stop_gradient(payoffs)
        highest = jnp.max(known, axes, where=exists[None], initial=-jnp.inf, keepdims=True)
        lowest = jnp.min(known, axes, where=exists[None], initial=jnp.inf, keepdims=True)
        scales = jnp.where(highest > lowest, highest - lowest, 1)
        rows, deviations = incentives(payoffs / scales, masks, self.coarse)
        return _Task(payoffs, exists, rows, deviations)

    def _program(self, task: _Task) -> tuple[LinearProgram, Scalar]:
        """The linear program on a unit scale, and that scale in units of payoff."""
        num_players = len(task.payoffs)
        floored = self.objective == "max_min"
        scores = task.payoffs if floored else task.payoffs.sum(0, keepdims=True)
        if self.objective == "min_welfare":
            scores = -scores
        lowest = jnp.min(scores, where=task.exists[None], initial=jnp.inf)
        highest = jnp.max(scores, where=task.exists[None], initial=-jnp.inf)
        scale = jnp.where(highest > lowest, highest - lowest, 1)
        columns = task.exists.reshape(-1)
        if floored:
            units = jnp.where(task.exists[None], (scores - lowest) / scale, 0)
            floors, gain = -units.reshape(num_players, -1), jnp.zeros_like(units[0].reshape(-1))
            free = jnp.ones_like(gain[:1])
            present = jnp.ones_like(columns[:1], shape=(num_players,))
        else:
            gain = jnp.where(columns, ((highest - scores) / scale).reshape(-1), 0)
            floors, free = jnp.zeros_like(gain, shape=(0, gain.size)), gain[:0]
            present = columns[:0]
        slacks = jnp.concatenate([task.deviations, present])
        zeros = jnp.zeros_like(slacks, dtype=gain.dtype)
        program = LinearProgram(
            cost=jnp.concatenate([gain, -free, zeros]),
            rows=Bordered(task.rows, floors),
            bound=jnp.concatenate([zeros, jnp.ones_like(zeros, shape=(1,))]),
            exists=jnp.concatenate([columns, free > 0, slacks]),
        )
        return program, scale

    def _view(self, task: _Task, inner: Any) -> CorrelatedEquilibriumState:
        """The distribution and the multipliers that the method's state stands for."""
        shape, weights = task.exists.shape, jnp.ones_like(task.payoffs[(slice(None), *[0] * task.exists.ndim)])
        if isinstance(inner, MaxEntropyState):
            joint = distribution(task.rows, task.exists.reshape(-1), inner.multipliers)
            multipliers = jnp.where(task.deviations, inner.multipliers, 0)
        else:
            program, scale = self._program(task)
            best, size = inner.best, math.prod(shape)
            joint = jnp.where(program.exists, best.x, 0)[:size]
            prices = jnp.where(program.exists, best.z, 0) / best.tau
            first = len(prices) - len(program.bound) + 1
            multipliers = scale * prices[first : first + len(task.deviations)]
            if self.objective == "max_min":
                weights = prices[first + len(task.deviations) :]
                multipliers, weights = multipliers / weights.sum(), weights / weights.sum()
        joint = (joint / joint.sum()).reshape(shape)
        return CorrelatedEquilibriumState(inner, joint, multipliers, weights, self._ended(task, inner))

    def _least(self, task: _Task) -> Scalar:
        """The smallest barrier of the maximum-entropy method."""
        count = jnp.maximum(task.deviations.sum(dtype=task.payoffs.dtype), 1)
        finest = jnp.finfo(task.payoffs.dtype).eps ** 0.8
        return jnp.maximum(safe_divide(jnp.asarray(self.accuracy, count.dtype), count), finest)

    def _ended(self, task: _Task, inner: Any) -> Bool[Array, ""]:
        if isinstance(inner, MaxEntropyState):
            return inner.ended
        return inner.ended(self.accuracy)

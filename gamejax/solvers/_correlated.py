"""Correlated and coarse correlated equilibria that are best by some objective."""

import math
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._linalg import solve
from gamejax._linear_program import (
    AbstractRows,
    LinearProgram,
    LinearProgramState,
    start_program,
    step_program,
)
from gamejax._numerics import HIGHEST, require_memory
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

SEQUENTIAL = 384
"""With so many entries of the constraint matrix, a CPU solves a batch one by one (as measured)."""

OBJECTIVES = ("welfare", "min_welfare", "max_min", "entropy")


class CorrelatedEquilibriumState(eqx.Module):
    """What the solver carries.

    Attributes:
        inner: the interior-point method's own state.
        joint: the distribution it stands for.
        multipliers: of the incentive constraints (of payoffs divided by their ranges), what
            relaxing each would add to the objective.
        weights: of the players in the objective; they sum to one under `"max_min"`.
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
    multipliers prove, `duality_gap` between both, and `iterations`. Under `"entropy"` the
    constraints are relaxed by a few units of rounding ($10^{-11}$ of the payoff range in float64,
    $3 \cdot 10^{-6}$ in float32), so that the gap may be slightly negative. The gradient of
    `objective` in the payoffs is that of the Lagrangian (envelope theorem), correct where optimum
    and multipliers are unique. `Implicit` differentiates the distribution itself: under
    `"entropy"`, where it is unique, else where it is the only optimum and non-degenerate; elsewhere
    the linear system is singular and the gradient not finite.

    Args:
        objective: `"welfare"` or `"min_welfare"`, the largest or smallest total payoff;
            `"max_min"`, the largest payoff of the player who gets least; `"entropy"`, the
            distribution of largest entropy.
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

    def __check_init__(self) -> None:
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
        run = _Run(program, task.rows, task.exists.reshape(-1), task.deviations)
        accuracy = jnp.asarray(self.accuracy, task.payoffs.dtype)
        size = len(task.deviations) * task.exists.size
        count = jnp.asarray(count, jnp.int32)
        run_all = one_at_a_time(_iterate) if size >= SEQUENTIAL else _iterate
        return self._view(task, run_all(run, state.inner, accuracy, count))

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
            right = jnp.matmul(table, log, precision=HIGHEST)
            prices = solve(system, right[:, None])[:, 0]
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
        # Differences are all that counts; what payoffs have in common would cost digits.
        units = jnp.where(exists[None], (payoffs - lowest) / scales, 0)
        rows, deviations = incentives(units, masks, self.coarse)
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
        shape, weights = (
            task.exists.shape,
            jnp.ones_like(task.payoffs[(slice(None), *[0] * task.exists.ndim)]),
        )
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
        ended = _ended(inner, jnp.asarray(self.accuracy, joint.dtype))
        return CorrelatedEquilibriumState(inner, joint, multipliers, weights, ended)


class _Run(eqx.Module):
    """What the loop needs; a maximum-entropy problem has no linear program."""

    program: LinearProgram | None
    rows: AbstractRows
    columns: Bool[Array, " columns"]
    deviations: Bool[Array, " deviations"]


def _iterate(run: _Run, inner: Any, accuracy: Scalar, count: Int[Array, ""]) -> Any:
    """At most `count` steps of the interior-point method; none after its end."""

    def unfinished(carry: tuple[Any, Array]) -> Array:
        return (carry[1] < count) & ~_ended(carry[0], accuracy)

    def body(carry: tuple[Any, Array]) -> tuple[Any, Array]:
        now, done = carry
        if run.program is not None:
            return step_program(run.program, now), done + 1
        finest = jnp.finfo(accuracy.dtype).eps ** 0.8
        number = jnp.maximum(run.deviations.sum(dtype=accuracy.dtype), 1)
        least = jnp.maximum(accuracy / number, finest)
        return step_max_entropy(run.rows, run.columns, run.deviations, now, least), done + 1

    return jax.lax.while_loop(unfinished, body, (inner, jnp.int32(0)))[0]


def _ended(inner: LinearProgramState | MaxEntropyState, accuracy: Scalar) -> Bool[Array, ""]:
    return inner.ended if isinstance(inner, MaxEntropyState) else inner.ended(accuracy)


def one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, under `jax.vmap` on a CPU called for one member of the batch after another.

    Its work then stays in the caches and ends when that member is done. Elsewhere, and under
    further maps, as ever. No derivative passes.
    """
    mappable = jax.custom_batching.custom_vmap(function)

    @mappable.def_vmap
    def _(size: int, batched: list[Any], *args: Any) -> tuple[Any, Any]:
        leaves, structure = jax.tree.flatten(args)
        flags = jax.tree.leaves(batched)

        def members(*leaves: Array) -> Any:
            axes = [0 if flag else None for flag in flags]
            return jax.vmap(lambda *x: function(*structure.unflatten(x)), axes)(*leaves)

        def in_turn(*leaves: Array) -> Any:
            def member(own: list[Array]) -> Any:
                given = iter(own)
                full = [next(given) if f else x for x, f in zip(leaves, flags, strict=True)]
                return function(*structure.unflatten(full))

            return jax.lax.map(member, [x for x, f in zip(leaves, flags, strict=True) if f])

        result = jax.lax.platform_dependent(*leaves, cpu=in_turn, default=members)
        return result, jax.tree.map(lambda _: True, result)

    return mappable

"""The solvers behind `rounds`: their numbers, a run of them, and what is proved of it."""

import dataclasses
import math
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._loop import Progress, run_to_tolerance
from gamejax._solution import RESULTS
from gamejax._solve import begin
from gamejax._types import Profile, Scalar
from gamejax.games import AbstractGame
from gamejax.multidistribution._boosting_plan import BoostingPlan, boosting_plan
from gamejax.multidistribution._fresh_rounds import FreshRounds
from gamejax.multidistribution._lazy_hedge import LazyHedge
from gamejax.multidistribution._mixture_state import MixtureState, num_existing
from gamejax.multidistribution._problem import AbstractFiniteProblem
from gamejax.solvers import AbstractSolver

RoundsMethod = Literal["lazy_hedge", "hedge_vc", "batch", "boosting"]
"""What `rounds` knows by name."""


def default_rounds(problem: AbstractFiniteProblem) -> int:
    """The number of rounds from which on more do not lower the number of samples by much."""
    return max(1, math.ceil(math.log2(problem.num_distributions)))


def planned_steps(problem: AbstractFiniteProblem, eps: Any, num_steps: Any) -> Int[Array, ""]:
    r"""$T = \lceil 4 \ln k/\varepsilon^2\rceil$, of one distribution as of two."""
    if num_steps is not None:
        return jnp.asarray(num_steps, jnp.int32)
    eps = _scaled(problem, eps)
    information = jnp.log(jnp.maximum(num_existing(problem), 2))
    return jnp.ceil(4 * information / eps**2).astype(jnp.int32)


def _scaled(problem: AbstractFiniteProblem, eps: Any) -> Scalar:
    """What eps is of the largest loss."""
    return jnp.asarray(eps, problem.dtype) / jnp.asarray(problem.loss_bound, problem.dtype)


def _dimension(problem: AbstractFiniteProblem, dimension: Any) -> Scalar:
    if dimension is None:
        dimension = math.log(max(problem.num_hypotheses, 2))
    return jnp.asarray(dimension, problem.dtype)


def boosting_solver(
    problem: AbstractFiniteProblem,
    eps: Any,
    delta: Any,
    num_rounds: Any,
    given: tuple[Any, ...],
    exact: bool,
) -> tuple[FreshRounds, Scalar]:
    """The solver, and what is proved of the majority vote with these numbers."""
    rate, train, test, dimension = given
    plan: BoostingPlan = boosting_plan(
        num_existing(problem), num_rounds, _scaled(problem, eps), delta,
        _dimension(problem, dimension), problem.dtype,
    )  # fmt: skip
    solver = FreshRounds(
        learning_rate=plan.step if rate is None else rate,
        num_train=plan.num_train if train is None else train,
        num_test=plan.num_test if test is None else test,
        threshold=plan.tolerance * jnp.asarray(problem.loss_bound, problem.dtype) / 2,
        exact=exact,
    )
    by_hand = any(value is not None for value in given)
    return solver, jnp.asarray(math.inf if by_hand else eps, problem.dtype)


def agnostic_solver(
    problem: AbstractFiniteProblem,
    eps: Any,
    delta: Any,
    margin: Any,
    ellipsoid: Any,
    given: tuple[Any, ...],
    method: RoundsMethod,
    exact: bool,
) -> LazyHedge | FreshRounds:
    rate, train, test, dimension = given
    eps, count = _scaled(problem, eps), num_existing(problem)
    scale = jnp.asarray(problem.loss_bound, problem.dtype)
    rate = eps / (4 * scale) if rate is None else rate
    size = _dimension(problem, dimension)
    if method == "batch":
        return FreshRounds(
            learning_rate=rate,
            num_train=size / eps**2 if train is None else train,
            num_test=1 if test is None else test,
            exact=exact,
        )
    return LazyHedge(
        learning_rate=rate,
        train_size=(size + count) / eps**2 if train is None else train,
        test_size=count if test is None else test,
        margin=margin,
        ellipsoid=ellipsoid,
        delta=delta,
        rule="doubling" if method == "hedge_vc" else "lazy",
        exact=exact,
    )


def agnostic_bound(
    problem: AbstractFiniteProblem,
    solver: LazyHedge | FreshRounds,
    state: MixtureState,
    delta: Any,
) -> Scalar:
    r"""What Hedge's regret, the tests' noise and the data's widths add up to, as they came.

    The excess over the best mixture is at most $C$ times
    $$\frac{\ln k}{\eta C T} + \frac{\eta C}8 + \sqrt{\frac{\ln(3k/\delta)}{2T}}
    + \sqrt{\frac{\ln(3/\delta)}{2T}} + \frac2T\sum_t W_t$$
    with the widths $W_t$ of `LazyHedge`, by Hoeffding's lemma and Azuma's inequality. In
    `FreshRounds` without threshold it is $n T$ in place of $T$ under the roots, and
    $W_t = \sqrt{\ln(6HT/\delta)/(2m)}$.
    """
    dtype, count = problem.dtype, num_existing(problem)
    scale, steps = jnp.asarray(problem.loss_bound, dtype), state.step.astype(dtype)
    rate = jnp.asarray(solver.learning_rate, dtype) * scale
    regret = jnp.log(count) / (rate * steps) + rate / 8
    if solver.exact:
        return scale * regret
    luck = -jnp.log(jnp.asarray(delta, dtype))
    width, tests = state.width.total / steps, jnp.ones((), dtype)
    if isinstance(solver, FreshRounds):
        many, train = (jnp.asarray(n, dtype) for n in (problem.num_hypotheses, solver.num_train))
        width = jnp.sqrt((jnp.log(6 * many * steps) + luck) / (2 * train))
        tests = jnp.asarray(solver.num_test, dtype)
    logs = jnp.stack([jnp.log(3 * count), jnp.log(jnp.asarray(3, dtype))]) + luck
    noise = jnp.sqrt(logs / (2 * steps * tests)).sum()
    return scale * (regret + noise + 2 * width)


def run_through(
    solver: AbstractSolver, game: AbstractGame, num_steps: Any, key: PRNGKeyArray
) -> Progress:
    """So many steps, of which none is certified; a run that comes to its end is successful."""

    def nothing(game: AbstractGame, profile: Profile) -> Scalar:
        return jnp.zeros((), game.dtype)

    progress = run_to_tolerance(
        solver, game, nothing, begin(solver, game, nothing, key, None, None),
        tol=-1.0, max_steps=num_steps, check_every=num_steps, key=key,
    )  # fmt: skip
    ended = RESULTS.where(progress.result == RESULTS.running, RESULTS.successful, progress.result)
    return dataclasses.replace(progress, result=ended)

r"""The sampling algorithms as choices of plan and learners, with what is proved about them.

All bounds are on the excess of the averaged play's worst loss over the best mixture's,
$\max_j L_j(\bar p) - \min_p \max_j L_j(p)$, with probability $1 - \delta$, in units of $C$. With
$n$ distributions and $H$ hypotheses the learner's regret adds $\sqrt{\ln H/(2T)}$ to `excess`.
"""

import math
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
from jaxtyping import Array, Int

from gamejax._types import Scalar
from gamejax.feedback import ImplicitExploration
from gamejax.learners import AbstractLearner, Every, Hedge
from gamejax.multidistribution._plans import AbstractPlan, Drawn, Expectation, InTurn, OneEach
from gamejax.multidistribution._problem import AbstractProblem

Method = Literal["lazy", "bandit", "semi_bandit", "full", "exact"]
"""What `solve_on_demand` and `group_dro` know by name."""


class Dynamics(NamedTuple):
    """What is drawn, how the adversary moves, and how many rounds lie between its moves."""

    plan: AbstractPlan
    adversary: AbstractLearner
    every: Int[Array, ""]


def check_method(method: Any, num_draws: Any) -> None:
    """Refuse unknown methods, and draws that would not be made.

    Raises:
        ValueError: the message names the argument.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}.")
    if not isinstance(num_draws, int) or num_draws < 1:
        raise ValueError(f"batch_size must be an integer >= 1, got {num_draws!r}.")
    if num_draws > 1 and method != "semi_bandit":
        raise ValueError(
            f'batch_size={num_draws} needs method="semi_bandit"; {method!r} has no batches.'
        )


def whole_blocks(problem: AbstractProblem, method: Method, num_steps: Any) -> Int[Array, ""]:
    """The number of rounds, for lazy-block Hedge rounded up to whole blocks."""
    steps = jnp.asarray(num_steps, jnp.int32)
    if method != "lazy":
        return steps
    block = problem.exists().sum(dtype=jnp.int32)
    return (steps + block - 1) // block * block


def dynamics(
    problem: AbstractProblem,
    method: Method,
    num_steps: Int[Array, ""],
    num_draws: int,
    rate: float | Scalar | None = None,
) -> Dynamics:
    """The plan and the adversary, with the learning rates of the bounds, unless one is given."""
    dtype = problem.dtype
    rounds, scale = num_steps.astype(dtype), jnp.asarray(problem.loss_bound, dtype)
    count = problem.exists().sum(dtype=dtype)
    information = _log(count)
    block = problem.exists().sum(dtype=jnp.int32) if method == "lazy" else jnp.ones((), jnp.int32)
    if method in ("bandit", "semi_bandit"):
        best = jnp.sqrt(2 * information / (_variance(count, num_draws) * rounds))
        gamma = jnp.sqrt(information / (2 * count * rounds))
        plan = Drawn(num_draws, ImplicitExploration(gamma, scale))
    else:
        best = jnp.sqrt(8 * information * block.astype(dtype) / rounds)
        plan = {"lazy": InTurn(), "full": OneEach(), "exact": Expectation()}[method]
    hedge = Hedge(best / scale if rate is None else rate)
    return Dynamics(plan, Every(hedge, block) if method == "lazy" else hedge, block)


def excess(
    problem: AbstractProblem, method: Method, num_draws: int, delta: Any
) -> tuple[Scalar, Scalar]:
    r"""$(a, b)$ of the adversary's and the samples' part of the bound, $a/\sqrt T + b/T$.

    Lazy-block and full information: Hedge's regret and Azuma's inequality for the learner's
    comparator and, by a union bound, for the $n$ of the adversary. Drawn: the regret of Exp3-IX
    (Lemma 1 of the reference and a union bound, so that several draws a round are covered), and
    Azuma's inequality for the comparator; what both saw of the play itself cancels.

    References:
        neu2015 (Lemma 1 and Theorem 1).
    """
    dtype = problem.dtype
    count, delta = problem.exists().sum(dtype=dtype), jnp.asarray(delta, dtype)
    information, none = _log(count), jnp.zeros((), dtype)
    if method == "exact":
        return jnp.sqrt(information / 2), none
    if method in ("lazy", "full"):
        block = count if method == "lazy" else jnp.ones((), dtype)
        regret = jnp.sqrt(block * information / 2)
        noise = jnp.sqrt(2 * jnp.log(2 / delta)) + jnp.sqrt(2 * block * jnp.log(2 * count / delta))
        return regret + noise, none
    variance, union = _variance(count, num_draws), jnp.log(2 * count / delta)
    regret = jnp.sqrt(2 * information * variance) + jnp.sqrt(information * count / 2)
    luck = union * jnp.sqrt(count / (2 * information)) + jnp.sqrt(jnp.log(2 / delta) / 2)
    return regret + luck, union * (count + jnp.sqrt(variance * count)) / 2


def learner_excess(num_hypotheses: int, dtype: Any) -> Scalar:
    r"""$\sqrt{\ln H / 2}$: what Hedge's regret adds to $a$."""
    return jnp.asarray(math.sqrt(math.log(max(num_hypotheses, 2)) / 2), dtype)


def steps_for(eps: Any, a: Scalar, b: Scalar, scale: Any) -> Int[Array, ""]:
    r"""The smallest $T$ with $C(a/\sqrt T + b/T) \le \varepsilon$."""
    eps = jnp.asarray(eps, a.dtype) / jnp.asarray(scale, a.dtype)
    root = (a + jnp.sqrt(a**2 + 4 * eps * b)) / (2 * eps)
    return jnp.ceil(root**2).astype(jnp.int32)


def _log(count: Scalar) -> Scalar:
    """The logarithm of the number of distributions; of one as of two, so that nothing is 0/0."""
    return jnp.log(jnp.maximum(count, 2))


def _variance(count: Scalar, num_draws: int) -> Scalar:
    """How large estimates get on average: the number of distributions over that of draws."""
    return jnp.minimum(count, 1 + count / num_draws)

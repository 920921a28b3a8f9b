"""Collaborative learning with fitted models: what the front door does with `fit`."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from gamejax._checks import check_count
from gamejax.multidistribution._boosted_models import BoostedModels, BoostedState, Committee, Fit
from gamejax.multidistribution._boosting_plan import boosting_plan
from gamejax.multidistribution._data import Parametric
from gamejax.multidistribution._evaluate import fresh
from gamejax.multidistribution._few_rounds_setup import run_through
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._on_demand import FRESH
from gamejax.multidistribution._result import OnDemandResult


def boost_models(
    problem: Any,
    fit: Any,
    rounds: Any,
    eps: Any,
    delta: Any,
    num_train: Any,
    num_test: Any,
    num_fresh: int,
    test: Any,
    key: PRNGKeyArray,
) -> OnDemandResult:
    """Refuse unusable arguments, before anything is traced; then boost.

    Raises:
        TypeError, ValueError: the message names the argument.
    """
    if not isinstance(problem, Parametric) or not callable(fit):
        raise TypeError(
            "fit= (a function) and a Parametric problem belong together, got "
            f"{type(fit).__name__} and {type(problem).__name__}."
        )
    if test is not None and not isinstance(test, Parametric):
        raise TypeError(f"test must be Parametric like the problem, got {type(test).__name__}.")
    if rounds is None:
        rounds = max(1, math.ceil(math.log2(problem.num_distributions)))
    names = ("rounds", "train_size", "test_size", "num_fresh")
    for value, name in zip((rounds, num_train, num_test, num_fresh), names, strict=True):
        if not isinstance(value, int):
            raise TypeError(f"{name} must be an integer where models are fitted, got {value!r}.")
        check_count(value, name, 1)
    return _boost(
        problem, eps, delta, test, key, fit=fit, rounds=rounds, num_train=num_train,
        num_test=num_test, num_fresh=num_fresh,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("fit", "rounds", "num_train", "num_test", "num_fresh"))
def _boost(
    problem: Parametric,
    eps: Any,
    delta: Any,
    test: Parametric | None,
    key: PRNGKeyArray,
    *,
    fit: Fit,
    rounds: int,
    num_train: int,
    num_test: int,
    num_fresh: int,
) -> OnDemandResult:
    game = MultiDistributionGame(problem)
    count = problem.exists().sum(dtype=problem.dtype)
    plan = boosting_plan(count, rounds, eps, delta, 1.0, problem.dtype)
    solver = BoostedModels(fit, rounds, num_train, num_test, plan.step, plan.tolerance / 2)

    progress = run_through(solver, game, rounds, key)
    state: BoostedState = progress.state
    judged = Committee(problem if test is None else test, rounds)
    own = jax.random.fold_in(key, FRESH)
    pools = state.pools if test is None else test.init(key=own, dtype=test.dtype)
    losses, majority = fresh(judged, state.voters, pools, num_fresh, own, delta)
    steps = jnp.asarray(rounds, problem.dtype)
    return OnDemandResult(
        predictor=state.voters,
        losses=losses,
        deterministic=majority,
        expected=Committee(problem, rounds).expected_losses(state.voters),
        value_bound=None,
        adversary=state.average.total / steps,
        samples=state.samples,
        num_steps=progress.steps,
        rounds=progress.steps,
        bound=jnp.asarray(math.inf, problem.dtype),
        exhausted=problem.exhausted(state.pools) & problem.exists(),
        result=progress.result,
        mask=problem.mask,
        static=(problem.static,),
        name="boosting of models over distributions",
    )

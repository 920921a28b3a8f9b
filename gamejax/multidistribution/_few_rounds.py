"""`rounds` and `collaborative_learning`: good on every distribution, in few sampling rounds."""

import functools
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._checks import check_count, check_key
from gamejax._types import Scalar
from gamejax.multidistribution._boosted_models import Fit
from gamejax.multidistribution._data import Parametric
from gamejax.multidistribution._few_rounds_models import boost_models
from gamejax.multidistribution._few_rounds_setup import (
    RoundsMethod,
    agnostic_bound,
    agnostic_solver,
    boosting_solver,
    default_rounds,
    planned_steps,
    run_through,
)
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._mixture_state import MixtureState, mixture
from gamejax.multidistribution._observable import Geometry, as_geometry, check_margin
from gamejax.multidistribution._on_demand import FRESH, expectations, judge
from gamejax.multidistribution._problem import AbstractFiniteProblem, AbstractProblem
from gamejax.multidistribution._result import OnDemandResult

NAMES = {
    "lazy_hedge": "LazyHedge",
    "hedge_vc": "MDL-Hedge-VC",
    "batch": "batch Hedge",
    "boosting": "boosting over distributions",
}


def rounds(
    problem: AbstractFiniteProblem,
    method: RoundsMethod = "lazy_hedge",
    *,
    eps: float | Scalar = 0.1,
    delta: float | Scalar = 0.05,
    num_rounds: int | Int[Array, ""] | None = None,
    margin: float | Scalar = 2.0,
    geometry: Geometry = "ellipsoid",
    dimension: float | Scalar | None = None,
    num_steps: int | Int[Array, ""] | None = None,
    learning_rate: float | Scalar | None = None,
    train_size: float | Scalar | None = None,
    test_size: float | Scalar | None = None,
    exact: bool = False,
    num_fresh: int = 2000,
    test: AbstractFiniteProblem | None = None,
    key: PRNGKeyArray,
) -> OnDemandResult:
    r"""A predictor that is good on every distribution, by an algorithm that counts its rounds.

    A sampling round is a request for any number of samples of any distributions, made before any of
    them is seen. Fewer rounds cost more samples:

    * `"lazy_hedge"` (agnostic): data is used again until the adversary's mixture leaves the
      observable set; a larger `margin`, or the ellipsoid in place of the box, means fewer rounds.
      $O(k \log_C k)$ rounds with boxes, $\tilde O(\sqrt k)$ with ellipsoids,
      $\tilde O((d + k)/\varepsilon^2)$ samples.
    * `"hedge_vc"` (agnostic): the same idea by doubling, $\tilde O((d + k)/\varepsilon^2)$ samples.
    * `"batch"` (agnostic): every step is a round, $O(\ln k/\varepsilon^2)$ of them.
    * `"boosting"` (realizable): exactly `num_rounds` rounds $r$,
      $\tilde O(k^{2/r} d/\varepsilon + k/\varepsilon)$ samples; the answer is the majority vote.

    The numbers are practical: $T = \lceil 4 \ln k/\varepsilon^2\rceil$ steps,
    $\eta = \varepsilon/4$, $N = (d + k)/\varepsilon^2$ kept samples in units of the cap, $n = k$
    fresh ones; in `"batch"` $\lceil d/\varepsilon^2\rceil$ and one of each. The theorem behind
    `"hedge_vc"` asks for $\varepsilon_1 = \varepsilon/100$, $\eta = \varepsilon_1/100$,
    $T = 2 \cdot 10^4 \ln(k/\delta)/\varepsilon_1^2$ and
    $N = 4 \cdot 10^3 (k \ln(k/\varepsilon_1) + d \ln(kd/\varepsilon_1) + \ln(1/\delta))/
    \varepsilon_1^2$ (constants from memory), which nobody can run. `"boosting"` takes what the
    theorem says (`boosting_plan`). Each can be given.

    One compiled program per method: everything but `method`, `exact` and `num_fresh` may be mapped
    with `jax.vmap`: keys, problems, `eps`, `num_rounds`, `margin`, `geometry`.

    Args:
        problem: a finite class: `BernoulliLosses`, `DiscreteLosses`, `ExampleLosses`,
            `SampledLosses`.
        method: see above.
        eps: $\varepsilon$, in units of loss.
        delta: probability with which `bound`, and with which the confidence intervals, may fail.
        num_rounds: $r$ of `"boosting"`; default $\lceil\log_2 k\rceil$.
        margin: $C > 1$ of `"lazy_hedge"` and `"hedge_vc"`.
        geometry: `"box"`, `"ellipsoid"` or a boolean array (True: ellipsoid), of `"lazy_hedge"`.
        dimension: $d$; default $\ln H$.
        num_steps: $T$.
        learning_rate: $\eta$; $\alpha$ in boosting.
        train_size: $N$; in `"batch"` and `"boosting"` samples of the mixture, $m$.
        test_size: $n$; in `"batch"` and `"boosting"` of each distribution.
        exact: expectations in place of samples (which are counted), to see the dynamics alone.
        num_fresh: how many fresh examples of each distribution the predictor is judged on.
        test: another problem to judge it on, such as a test set, of which all rows are taken.
        key: of all draws.

    Returns:
        An `OnDemandResult`: `rounds` are sampling rounds. Of `"boosting"`, `deterministic` is the
        answer and $\varepsilon$ its `bound` where nothing but `num_rounds` was set by hand.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.

    References:
        haghtalab2025; zhang2024 (`"hedge_vc"`); awasthi2023 (`"batch"`).
    """
    given = (learning_rate, train_size, test_size, dimension)
    return _checked(
        problem, method, eps, delta, num_rounds, margin, geometry, num_steps, given, exact,
        num_fresh, test, key,
    )  # fmt: skip


def collaborative_learning(
    problem: AbstractFiniteProblem | Parametric,
    *,
    rounds: int | Int[Array, ""] | None = None,
    agnostic: bool = False,
    eps: float | Scalar = 0.1,
    delta: float | Scalar = 0.05,
    dimension: float | Scalar | None = None,
    train_size: int | Scalar | None = None,
    test_size: int | Scalar | None = None,
    fit: Fit | None = None,
    num_fresh: int = 2000,
    test: AbstractProblem | None = None,
    key: PRNGKeyArray,
) -> OnDemandResult:
    r"""Collaborative learning: one classifier for $k$ distributions, in $r$ rounds.

    Realizable (some hypothesis never errs): boosting over distributions. Each round learns on $m$
    samples of a mixture $q_t$, tests on $n$ samples of every distribution, and moves $q$ to those
    on which the learner failed. The majority vote of the $r$ learners errs by at most $\varepsilon$
    on every distribution with probability $1 - \delta$. With $r = \log_2 k$ rounds
    $\tilde O((d + k)/\varepsilon)$ samples; with fewer, $k^{2/r}$ times the part of $d$; none can
    do with fewer than $\Omega(d k^{1/r}/(r \log^2 k))$.

    `agnostic=True` takes LazyHedge on ellipsoids, $\tilde O(\sqrt k)$ rounds: the mixture is within
    about $\varepsilon$ of the best, and its majority within a factor 2.

    With `fit`, the learners are models: `problem` is a `Parametric` with losses 0 and 1 (mistakes).

    Args:
        problem: a finite class, as in `rounds`, or a `Parametric`; realizable unless `agnostic`.
        rounds: $r \ge 1$; default $\lceil\log_2 k\rceil$. The agnostic algorithm needs what it
            needs.
        agnostic: whether every hypothesis may err.
        eps: $\varepsilon$.
        delta: $\delta$.
        dimension: $d$; default $\ln H$, with which the theorem holds for finite classes.
        train_size: $m$, in place of the theorem's; needed with `fit`.
        test_size: $n$, likewise.
        fit: `(parameters, examples, key) -> parameters` fits a model to the `train_size` examples
            of a round, starting where the problem's model stands; `examples` is a tuple as the
            problem's `rows`. Static: name it once.
        num_fresh: how many fresh examples of each distribution the predictor is judged on.
        test: another problem to judge it on.
        key: of all draws.

    Returns:
        An `OnDemandResult`; in the realizable case `deterministic` has the losses of the answer.
        With `fit`, `predictor` holds the parameters of all voters, in a leading axis.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.

    References:
        haghtalab2025; blum2017 (the problem).
    """
    if agnostic and rounds is not None:
        raise ValueError(
            "rounds cannot be chosen with agnostic=True; gamejax.multidistribution.rounds trades "
            "them for samples by margin and geometry."
        )
    if fit is not None or isinstance(problem, Parametric):
        return boost_models(
            problem, fit, rounds, eps, delta, train_size, test_size, num_fresh, test, key,
        )  # fmt: skip
    return _checked(
        problem, "lazy_hedge" if agnostic else "boosting", eps, delta, rounds, 2.0, "ellipsoid",
        None, (None, train_size, test_size, dimension), False, num_fresh, test, key,
    )  # fmt: skip


def _checked(
    problem: AbstractFiniteProblem,
    method: RoundsMethod,
    eps: Any,
    delta: Any,
    num_rounds: Any,
    margin: Any,
    geometry: Any,
    num_steps: Any,
    given: tuple[Any, ...],
    exact: bool,
    num_fresh: int,
    test: Any,
    key: PRNGKeyArray,
) -> OnDemandResult:
    """Refuse unusable arguments, before anything is traced; then run."""
    if method not in get_args(RoundsMethod):
        raise ValueError(f"method must be one of {get_args(RoundsMethod)}, got {method!r}.")
    _check(problem, eps, delta, (num_rounds, num_steps, num_fresh), given, test, key)
    check_margin(margin)
    if num_rounds is not None and method != "boosting":
        raise ValueError(
            f'num_rounds is of method="boosting"; the rounds of {method!r} follow from '
            + ("num_steps." if method == "batch" else "margin and geometry.")
        )
    if exact and not problem.knows_expectations:
        raise ValueError(f"exact=True needs expectations; {type(problem).__name__} has none.")
    if method == "boosting":
        if num_steps is not None:
            raise ValueError('method="boosting" takes num_rounds in place of num_steps.')
        num_steps = default_rounds(problem) if num_rounds is None else num_rounds
    return _rounds(
        problem, eps, delta, margin, as_geometry(geometry), num_steps, given, key, test,
        method=method, exact=exact, num_fresh=num_fresh,
    )  # fmt: skip


def _check(
    problem: Any,
    eps: Any,
    delta: Any,
    counts: tuple[Any, Any, Any],
    given: tuple[Any, ...],
    test: Any,
    key: Any,
) -> None:
    if not isinstance(problem, AbstractFiniteProblem):
        raise TypeError(
            "problem must have finitely many hypotheses (BernoulliLosses, DiscreteLosses, "
            f"ExampleLosses, SampledLosses), got {type(problem).__name__}."
        )
    for value, name in zip(counts, ("rounds", "num_steps", "num_fresh"), strict=True):
        if value is not None:
            check_count(value, name, 1)
    for value, name in ((eps, "eps"), (delta, "delta")):
        if isinstance(value, int | float) and not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}.")
    names = ("learning_rate", "train_size", "test_size", "dimension")
    for value, name in zip(given, names, strict=True):
        if isinstance(value, int | float) and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}.")
    check_key(key, needed=True)
    if test is not None and getattr(test, "num_distributions", 0) != problem.num_distributions:
        raise ValueError(
            f"test must be a problem with {problem.num_distributions} distributions, "
            f"got {type(test).__name__}."
        )


@functools.partial(jax.jit, static_argnames=("method", "exact", "num_fresh"))
def _rounds(
    problem: AbstractFiniteProblem,
    eps: Any,
    delta: Any,
    margin: Any,
    ellipsoid: Any,
    num_steps: Any,
    given: tuple[Any, ...],
    key: PRNGKeyArray,
    test: AbstractFiniteProblem | None,
    *,
    method: RoundsMethod,
    exact: bool,
    num_fresh: int,
) -> OnDemandResult:
    game = MultiDistributionGame(problem)
    if method == "boosting":
        solver, bound = boosting_solver(problem, eps, delta, num_steps, given, exact)
        steps = jnp.asarray(num_steps, jnp.int32)
    else:
        solver = agnostic_solver(problem, eps, delta, margin, ellipsoid, given, method, exact)
        steps, bound = planned_steps(problem, eps, num_steps), None

    progress = run_through(solver, game, steps, key)
    state: MixtureState = progress.state
    predictor, weights = mixture(state)
    expected, value_bound = expectations(problem, predictor, weights)
    losses, deterministic = judge(
        problem, test, predictor, state.pools, num_fresh, delta, jax.random.fold_in(key, FRESH)
    )
    if bound is None:
        bound = agnostic_bound(problem, solver, state, delta)
    exhausted = problem.exhausted(state.pools) & problem.exists()
    return OnDemandResult(
        predictor=predictor,
        losses=losses,
        deterministic=deterministic,
        expected=expected,
        value_bound=value_bound,
        adversary=weights,
        samples=state.samples,
        num_steps=progress.steps,
        rounds=state.caps.num_rounds,
        bound=jnp.where(exhausted.any(), jnp.inf, bound),
        exhausted=exhausted,
        result=progress.result,
        mask=problem.mask,
        name=NAMES[method],
    )

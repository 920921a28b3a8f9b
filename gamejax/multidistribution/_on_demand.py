"""`solve_on_demand` and `group_dro`: one predictor for all distributions, from few samples."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._checks import check_count, check_key
from gamejax._joint import Joint
from gamejax._numerics import vary_like
from gamejax._solution import RESULTS
from gamejax._solve import strong
from gamejax._types import Scalar, State, Strategy
from gamejax.learners import AbstractLearner, GradientAscent, Hedge
from gamejax.multidistribution._data import Parametric
from gamejax.multidistribution._evaluate import WorstLoss, fresh, has_rows, of_all_rows
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._methods import (
    Method,
    check_method,
    dynamics,
    excess,
    learner_excess,
    steps_for,
    whole_blocks,
)
from gamejax.multidistribution._problem import AbstractFiniteProblem, AbstractProblem, Losses
from gamejax.multidistribution._result import OnDemandResult
from gamejax.solvers import AbstractAveraging, SelfPlay, Uniform
from gamejax.solvers._self_play import regrets

FRESH = 2**31 - 2
"""The part of the key that fresh samples come from; steps never get there."""
NAMES = {
    "lazy": "lazy-block Hedge",
    "bandit": "Hedge against Exp3-IX",
    "semi_bandit": "Hedge against a semi-bandit",
    "full": "full information",
    "exact": "exact expectations",
}


def solve_on_demand(
    problem: AbstractFiniteProblem,
    method: Method = "lazy",
    *,
    eps: float | Scalar | None = None,
    num_steps: int | Int[Array, ""] | None = None,
    batch_size: int = 1,
    delta: float | Scalar = 0.05,
    num_fresh: int = 2000,
    test: AbstractFiniteProblem | None = None,
    key: PRNGKeyArray,
) -> OnDemandResult:
    r"""A mixture of hypotheses that is good on every distribution, from few samples.

    Hedge over hypotheses plays against an adversary over distributions, who also decides where to
    draw samples. Excess over the best mixture with $T$ steps, $H$ hypotheses, $n$ distributions:

    * `"lazy"`: lazy-block Hedge; the adversary moves every $n$ steps, on one sample of each
      distribution. $2T$ samples, $\sqrt{\ln H/(2T)} + \sqrt{n \ln n/(2T)}$ and sampling noise.
    * `"bandit"`: the adversary is Exp3-IX, and one sample serves both players. $T$ samples,
      $O(\sqrt{(\ln H + n \ln(n/\delta))/T})$.
    * `"semi_bandit"`: the same with `batch_size` samples a step.
    * `"full"`: one sample of every distribution in every step. $nT$ samples,
      $O(\sqrt{\ln(n H/\delta)/T})$: fewer steps, more samples.
    * `"exact"`: expectations in place of samples; the first two terms only, with certainty.

    So $\varepsilon$ costs $O((\ln H + n \ln(n/\delta))/\varepsilon^2)$ samples by the first
    two: the number of distributions adds to the complexity of the class, and does not multiply it.
    `bound` has the constants.

    One compiled program: other losses, keys, `eps` and `num_steps` do not compile again; map it
    with `jax.vmap` over any of them, and over stacked problems.

    Args:
        problem: a finite class: `BernoulliLosses`, `SampledLosses` or `ExampleLosses`.
        method: see above.
        eps: take as many steps as the bound needs to be at most this, in units of loss.
        num_steps: $T$, in place of `eps`; `"lazy"` rounds it up to whole blocks of $n$.
        batch_size: samples a step of `"semi_bandit"`.
        delta: $\delta$, the probability with which `bound`, and that with which the confidence
            intervals of the losses, may fail.
        num_fresh: how many fresh examples of each distribution the predictor is judged on.
        test: another problem to judge it on, such as a test set, of which all rows are taken.
        key: of all draws.

    Returns:
        An `OnDemandResult`.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.

    References:
        haghtalab2022 (the game and its sample complexity); awasthi2023 (`"bandit"`).
    """
    if not isinstance(problem, AbstractFiniteProblem):
        raise TypeError(
            "problem must have finitely many hypotheses (BernoulliLosses, SampledLosses, "
            f"ExampleLosses), got {type(problem).__name__}; models go to group_dro."
        )
    check_method(method, batch_size)
    _check(problem, eps, num_steps, delta, num_fresh, test, key)
    if method == "exact" and not problem.knows_expectations:
        raise ValueError(f'method="exact" needs expectations; {type(problem).__name__} has none.')
    return _solve(
        problem, eps, num_steps, delta, key, test,
        method=method, num_draws=batch_size, num_fresh=num_fresh,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("method", "num_draws", "num_fresh"))
def _solve(
    problem: AbstractFiniteProblem,
    eps: Any,
    num_steps: Any,
    delta: Any,
    key: PRNGKeyArray,
    test: AbstractFiniteProblem | None,
    *,
    method: Method,
    num_draws: int,
    num_fresh: int,
) -> OnDemandResult:
    dtype, scale = problem.dtype, jnp.asarray(problem.loss_bound, problem.dtype)
    a, b = excess(problem, method, num_draws, delta)
    own = learner_excess(problem.num_hypotheses, dtype)
    steps = steps_for(eps, a + own, b, scale) if num_steps is None else num_steps
    steps = whole_blocks(problem, method, steps)
    rounds = steps.astype(dtype)
    learner = Hedge(4 * own / (jnp.sqrt(rounds) * scale))
    bound = scale * ((a + own) / jnp.sqrt(rounds) + b / rounds)
    return _play(
        problem, learner, method, steps, num_draws, None, Uniform(), None, bound, delta, key, test,
        num_fresh,
    )  # fmt: skip


def group_dro(
    problem: Parametric,
    optimizer: optax.GradientTransformation,
    *,
    num_steps: int | Int[Array, ""],
    method: Method | None = None,
    batch_size: int = 1,
    adversary_rate: float | Scalar | None = None,
    averaging: AbstractAveraging | None = None,
    delta: float | Scalar = 0.05,
    num_fresh: int = 2000,
    test: Parametric | None = None,
    key: PRNGKeyArray,
) -> OnDemandResult:
    r"""A model whose loss is small on the worst group, from examples of the groups that need it.

    Group distributionally robust optimization: gradient steps on the loss of examples drawn from
    the adversary's mixture $q$ of groups, while $q$ moves towards groups of large loss, as in
    `solve_on_demand`. For convex losses the averaged parameters have a worst loss within the
    learner's and the adversary's regrets over $T$ of the best; `bound` holds this sum, with the
    learner's regret as measured, where the problem's `domain` is bounded.

    Args:
        problem: model, loss and data.
        optimizer: an optax transformation; static, build it once.
        num_steps: $T$; `"lazy"` rounds it up to whole blocks.
        method: as in `solve_on_demand`; default `"bandit"`, or `"semi_bandit"` for larger batches.
        batch_size: examples a step.
        adversary_rate: its learning rate, in 1/loss; default that of the bound, which is slow where
            few steps are taken.
        averaging: what is vouched for: default `Uniform()`, the average of all parameters; `Last()`
            for models that are not convex in their parameters.
        delta: as in `solve_on_demand`.
        num_fresh: as in `solve_on_demand`.
        test: a test set, all rows of which judge the predictor.
        key: of all draws.

    Returns:
        An `OnDemandResult`; its `model` is the model with the learned parameters.

    Raises:
        TypeError, ValueError: an argument is unusable; the message names it.

    References:
        sagawa2020; haghtalab2022 (Section 5).
    """
    if not isinstance(problem, Parametric):
        raise TypeError(f"problem must be Parametric, got {type(problem).__name__}.")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            "optimizer must be an optax.GradientTransformation such as optax.sgd(0.1), got "
            f"{type(optimizer).__name__}."
        )
    if method is None:
        method = "bandit" if batch_size == 1 else "semi_bandit"
    check_method(method, batch_size)
    _check(problem, None, num_steps, delta, num_fresh, test, key)
    return _descend(
        problem, num_steps, adversary_rate, delta, key, test, optimizer=optimizer, method=method,
        num_draws=batch_size, averaging=Uniform() if averaging is None else averaging,
        num_fresh=num_fresh,
    )  # fmt: skip


@functools.partial(
    jax.jit, static_argnames=("optimizer", "method", "num_draws", "averaging", "num_fresh")
)
def _descend(
    problem: Parametric,
    num_steps: Any,
    rate: Any,
    delta: Any,
    key: PRNGKeyArray,
    test: Parametric | None,
    *,
    optimizer: optax.GradientTransformation,
    method: Method,
    num_draws: int,
    averaging: AbstractAveraging,
    num_fresh: int,
) -> OnDemandResult:
    steps = whole_blocks(problem, method, num_steps)
    rounds = steps.astype(problem.dtype)
    a, b = excess(problem, method, num_draws, delta)
    bound = jnp.asarray(problem.loss_bound, problem.dtype) * (a / jnp.sqrt(rounds) + b / rounds)
    if rate is not None or not isinstance(averaging, Uniform):
        bound = jnp.full_like(bound, jnp.inf)
    return _play(
        problem, GradientAscent(optimizer), method, steps, num_draws, rate, averaging,
        problem.parameters, bound, delta, key, test, num_fresh,
    )  # fmt: skip


def _play(
    problem: AbstractProblem,
    learner: AbstractLearner,
    method: Method,
    steps: Int[Array, ""],
    num_draws: int,
    rate: Any,
    averaging: AbstractAveraging,
    start: Strategy | None,
    bound: Scalar,
    delta: Any,
    key: PRNGKeyArray,
    test: AbstractProblem | None,
    num_fresh: int,
) -> OnDemandResult:
    chosen = dynamics(problem, method, steps, num_draws, rate)
    game = MultiDistributionGame(problem, chosen.plan)
    solver = SelfPlay((learner, chosen.adversary), averaging=averaging)
    profile = None if start is None else (start, game.strategy_sets[1].center(game.dtype))

    # Step keys are fold_in(key, step); no run gets to this number, so it marks the beginning.
    first = jax.random.fold_in(key, 2**31 - 1)
    state = solver.init(game, key=first, dtype=game.dtype, start=profile)
    state = vary_like(jax.tree.map(strong, state), game)
    state = solver.advance(game, state, jnp.zeros((), jnp.int32), steps, key=key)
    vouched = solver.profile(state)
    assert not isinstance(vouched, Joint)
    predictor, weights = vouched
    expected, value_bound = expectations(problem, predictor, weights)
    if start is not None:  # the learner's regret as it came; a finite class has it in `bound`
        bound = bound + regrets(game, state)[0] / steps.astype(game.dtype)
    losses, deterministic = judge(
        problem, test, predictor, state.game.pools, num_fresh, delta, jax.random.fold_in(key, FRESH)
    )
    status = solver.status(state)
    return OnDemandResult(
        predictor=predictor,
        losses=losses,
        deterministic=deterministic,
        expected=expected,
        value_bound=value_bound,
        adversary=weights,
        samples=state.game.counts,
        num_steps=state.step,
        rounds=state.step // chosen.every,
        bound=bound,
        exhausted=problem.exhausted(state.game.pools) & problem.exists(),
        result=RESULTS.where(status == RESULTS.running, RESULTS.successful, status),
        mask=problem.mask,
        static=(problem.static,) if isinstance(problem, Parametric) else None,
        name=NAMES[method] if start is None else "group DRO",
    )


def expectations(
    problem: AbstractProblem, predictor: Strategy, weights: Losses
) -> tuple[Losses | None, Scalar | None]:
    """Expected losses and, of a finite class, what no mixture beats; `None` where unknown."""
    if not problem.knows_expectations:
        return None, None
    expected = problem.expected_losses(predictor)
    if not isinstance(problem, AbstractFiniteProblem):
        return expected, None
    return expected, problem.expected_gradient(predictor, weights).min()


def judge(
    problem: AbstractProblem,
    test: AbstractProblem | None,
    predictor: Strategy,
    pools: State,
    num_fresh: int,
    delta: Any,
    key: PRNGKeyArray,
) -> tuple[WorstLoss, WorstLoss | None]:
    """Losses on the test set, on samples of it, or on fresh samples (of pools: on the rest)."""
    if test is None:
        return fresh(problem, predictor, pools, num_fresh, key, delta)
    if has_rows(test):
        return of_all_rows(test, predictor, delta)
    state = test.init(key=jax.random.fold_in(key, 0), dtype=test.dtype)
    return fresh(test, predictor, state, num_fresh, key, delta)


def _check(
    problem: AbstractProblem,
    eps: Any,
    num_steps: Any,
    delta: Any,
    num_fresh: Any,
    test: Any,
    key: Any,
) -> None:
    """Refuse unusable arguments, before anything is traced."""
    if (eps is None) == (num_steps is None):
        raise ValueError("pass either eps or num_steps, and not both.")
    if num_steps is not None:
        check_count(num_steps, "num_steps", 1)
    for value, name in ((eps, "eps"), (delta, "delta")):
        if isinstance(value, int | float) and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}.")
    if isinstance(delta, int | float) and not delta < 1:
        raise ValueError(f"delta must be below 1, got {delta}.")
    check_count(num_fresh, "num_fresh", 1)
    check_key(key, needed=True)
    if test is None:
        return
    if not isinstance(test, AbstractProblem):
        raise TypeError(f"test must be a problem like the first, got {type(test).__name__}.")
    if test.num_distributions != problem.num_distributions:
        raise ValueError(
            f"test has {test.num_distributions} distributions, problem has "
            f"{problem.num_distributions}."
        )

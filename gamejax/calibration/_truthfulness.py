"""Which measures reward a lie? What honest and strategic forecasters pay, in expectation."""

import functools
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._checks import check_key
from gamejax._export import AbstractResult
from gamejax._numerics import safe_divide
from gamejax._types import Numbers, Scalar
from gamejax.calibration._decision import swap_calibration, u_calibration
from gamejax.calibration._distance import interval_ce
from gamejax.calibration._ece import ece
from gamejax.calibration._forecasts import binary_digits, map_in_batches
from gamejax.calibration._kernel import laplace_kernel_ce, two_bin_error
from gamejax.calibration._laws import AbstractInformedForecaster, AbstractLaw, Truthful
from gamejax.calibration._smooth import smooth_ce
from gamejax.calibration._subsampled import EXACT_UP_TO as SUBSETS_UP_TO
from gamejax.calibration._subsampled import ssce

ENUMERATED_UP_TO = 12
"""Up to so many rounds expectations are sums over all sequences of outcomes."""

_MOST_LEAVES = 2**22

Measure = Callable[[Array, Array], Scalar]


class Payment(AbstractResult):
    """What an honest and another forecaster pay under one measure, in expectation.

    Attributes:
        truth: the honest forecaster's error.
        strategy: the other's.
        truth_error, strategy_error: standard errors; 0 where every sequence was looked at.
        share_error: the standard error of `share`; both were tried on the same sequences.
    """

    truth: Scalar
    strategy: Scalar
    truth_error: Scalar
    strategy_error: Scalar
    share_error: Scalar

    @property
    def share(self) -> Scalar:
        """What the strategy pays for each unit that honesty pays; below 1 lying is rewarded."""
        return safe_divide(self.strategy, self.truth, 1.0)

    @property
    def ratio(self) -> Scalar:
        """What honesty pays for each unit that the strategy pays; infinite where that is 0."""
        return safe_divide(self.truth, self.strategy, jnp.inf)


class OptimalForecasts(AbstractResult):
    """The least expected error of any forecaster on a grid, and how to reach it.

    Attributes:
        error: the least expected error.
        actions: the grid.
        choices: for each round, the index of the forecast after each history; histories are
            numbers with a digit `2 * choice + outcome` per round.
    """

    error: Scalar
    actions: Float[Array, " actions"]
    choices: tuple[Int[Array, " histories"], ...]

    def __call__(self, outcomes: Numbers) -> Float[Array, " rounds"]:
        """The forecasts along a sequence of outcomes."""
        outcomes = jnp.asarray(outcomes).astype(jnp.int32)
        history, said = jnp.int32(0), []
        for step, choices in enumerate(self.choices):
            said.append(choices[history])
            history = history * 2 * len(self.actions) + 2 * said[-1] + outcomes[step]
        return self.actions[jnp.stack(said)]


def paper_measures(horizon: int, *, key: PRNGKeyArray | None = None) -> dict[str, Measure]:
    """The measures to compare, as sums over rounds, by the names of their functions.

    Args:
        horizon: the number of rounds.
        key: for `ssce` of more than 12 rounds.
    """
    found: list[Callable[..., Scalar]] = [
        ece, swap_calibration, u_calibration, smooth_ce, interval_ce, laplace_kernel_ce,
        two_bin_error,
    ]  # fmt: skip
    measures = {m.__name__: functools.partial(m, normalize=False) for m in found}
    key = None if horizon <= SUBSETS_UP_TO else key
    measures["ssce"] = functools.partial(ssce, normalize=False, key=key, num_subsets=64)
    return measures


def truthfulness(
    law: AbstractLaw,
    strategy: AbstractInformedForecaster,
    measures: Mapping[str, Measure] | None = None,
    *,
    key: PRNGKeyArray | None = None,
    num_samples: int = 512,
) -> dict[str, Payment]:
    r"""What honesty and a strategy pay under each measure: does the measure reward lying?

    A measure is truthful if no law and no strategy make $\mathrm{err}(\text{truth})$ more than a
    constant times $\mathrm{err}(\text{strategy})$. Expectations are exact sums up to 12 rounds;
    beyond, means over sampled sequences, the same for both forecasters.

    Args:
        law: of the outcomes.
        strategy: the forecaster to compare with the honest one.
        measures: functions `(scores, labels) -> error` by name; default `paper_measures`.
        key: the random key; may be left out up to 12 rounds.
        num_samples: how many sequences beyond.

    Raises:
        ValueError: more than 12 rounds without a key.

    References:
        haghtalab2024.
    """
    check_key(key)
    horizon = law.horizon
    if horizon > ENUMERATED_UP_TO and key is None:
        raise ValueError(
            f"truthfulness samples the outcomes of more than {ENUMERATED_UP_TO} rounds: it needs "
            "key=."
        )
    if measures is None:
        fresh = None if key is None else jax.random.fold_in(key, 1)
        measures = paper_measures(horizon, key=fresh)
    if horizon <= ENUMERATED_UP_TO:
        key = None
    said, outcomes, chances = _played(law, strategy, key, num_samples)
    return {
        name: _expectations(measure, said, outcomes, chances) for name, measure in measures.items()
    }


@eqx.filter_jit
def _played(
    law: AbstractLaw,
    strategy: AbstractInformedForecaster,
    key: PRNGKeyArray | None,
    num_samples: int,
) -> tuple[Array, Array, Array | None]:
    """Honest and strategic forecasts, outcomes, and the probability of each if not sampled."""
    if key is None:
        numbers = jnp.arange(2**law.horizon, dtype=jnp.int32)
        outcomes = binary_digits(numbers, law.horizon).astype(law.dtype)
        chances = jax.vmap(law.probability)(outcomes)
    else:
        outcomes = jax.vmap(lambda k: law.sample(key=k))(jax.random.split(key, num_samples))
        chances = None
    said = [jax.vmap(lambda x, f=f: f(law, x))(outcomes) for f in (Truthful(), strategy)]
    return jnp.stack(said), outcomes, chances


@eqx.filter_jit
def _expectations(measure: Measure, said: Array, outcomes: Array, chances: Array | None) -> Payment:
    values = _measured(measure, said, jnp.stack([outcomes] * 2))
    if chances is not None:
        truth, strategy = (values * chances[None]).sum(1)
        return Payment(truth, strategy, *jnp.zeros((3,), truth.dtype))
    truth, strategy = values.mean(1)
    difference = values[1] - safe_divide(strategy, truth) * values[0]
    spread = jnp.stack([*values, difference]).std(1, ddof=1) / values.shape[1] ** 0.5
    return Payment(truth, strategy, spread[0], spread[1], safe_divide(spread[2], truth))


def _measured(measure: Measure, scores: Array, labels: Array) -> Float[Array, "..."]:
    """The measure of sequences in the last axis."""
    shape, horizon = scores.shape[:-1], scores.shape[-1]
    pairs = scores.reshape(-1, horizon), labels.reshape(-1, horizon)
    # A subsampled measure looks at some hundred subsets of each.
    return map_in_batches(lambda pair: measure(*pair), pairs, 256 * horizon).reshape(shape)


def optimal_forecasts(measure: Measure, law: AbstractLaw, actions: Numbers) -> OptimalForecasts:
    r"""The forecaster of least expected error, by backward induction over all histories.

    A history is all outcomes and forecasts so far, so there are $(2K)^T$ leaves for $K$ possible
    forecasts: for a handful of rounds only.

    Args:
        measure: a function `(scores, labels) -> error`.
        law: of the outcomes.
        actions: the forecasts to choose among, `(K,)`.

    Raises:
        ValueError: more than four million leaves.

    References:
        haghtalab2024.
    """
    grid = jnp.asarray(actions, law.dtype)
    horizon, base = law.horizon, 2 * grid.shape[0]
    if grid.ndim != 1 or base**horizon > _MOST_LEAVES:
        raise ValueError(
            f"actions must be a vector of K forecasts with (2 K)**{horizon} at most "
            f"{_MOST_LEAVES:,}, got shape {grid.shape}."
        )
    return _optimal(measure, law, grid)


@eqx.filter_jit
def _optimal(measure: Measure, law: AbstractLaw, grid: Array) -> OptimalForecasts:
    horizon, base = law.horizon, 2 * grid.shape[0]
    leaves = jnp.arange(base**horizon, dtype=jnp.int32)
    places = base ** jnp.arange(horizon - 1, -1, -1, dtype=jnp.int32)
    digits = (leaves[:, None] // places[None]) % base
    outcomes = (digits % 2).astype(law.dtype)
    values = _measured(measure, grid[digits // 2], outcomes)
    chances = jax.vmap(law.conditionals)(outcomes)
    choices = []
    for step in reversed(range(horizon)):
        after = values.reshape(base**step, -1, 2)
        one = chances[:: base ** (horizon - step), step, None]
        expected = (1 - one) * after[..., 0] + one * after[..., 1]
        choices.append(jnp.argmin(expected, axis=1).astype(jnp.int32))
        values = expected.min(1)
    return OptimalForecasts(values[0], grid, tuple(choices[::-1]))


class BalancedBooksErrors(AbstractResult):
    r"""Exact expected errors on `coin_then_sure`, as sums over rounds.

    Attributes:
        truth_smooth_ce: of honest forecasts under `smooth_ce` (and `ece`), about $\sqrt{a/2\pi}$.
        truth_ssce: of honest forecasts under `ssce`, about $\sqrt{a/4\pi}$.
        strategy_ssce: of `BalancedBooks` under `ssce`, about $\sqrt{a/8\pi}$; under `smooth_ce` it
            is 0.
    """

    truth_smooth_ce: Scalar
    truth_ssce: Scalar
    strategy_ssce: Scalar


def balanced_books_errors(num_coins: int) -> BalancedBooksErrors:
    r"""What honesty and `BalancedBooks` pay after `num_coins` fair coins, by binomial sums.

    A mean absolute deviation of $m$ coins is $\lceil m/2\rceil\binom{m}{\lceil m/2\rceil}2^{-m}$;
    a random half of $h$ ones and $h$ zeros is out of balance by $\frac h2\binom{2h}{h}4^{-h}$.

    Args:
        num_coins: $a \ge 1$; at least as many sure ones and sure zeros follow.

    References:
        haghtalab2024 (the constants are derived here).
    """
    if not isinstance(num_coins, int) or num_coins < 1:
        raise ValueError(f"num_coins must be an integer of at least 1, got {num_coins!r}.")
    return _balanced_books_errors(num_coins)


@functools.partial(jax.jit, static_argnums=0)
def _balanced_books_errors(num_coins: int) -> BalancedBooksErrors:
    a = jnp.asarray(float(num_coins))
    count = jnp.arange(num_coins + 1).astype(a.dtype)
    chance = _binomial_chance(a, count)
    excess = jnp.abs(2 * count - a)
    half = (a + excess) / 2
    return BalancedBooksErrors(
        _deviation(a),
        (chance * _deviation(count)).sum(),
        (chance * (half / 2) * _binomial_chance(2 * half, half)).sum(),
    )


def _deviation(count: Array) -> Array:
    upper = jnp.ceil(count / 2)
    return upper * _binomial_chance(count, upper)


def _binomial_chance(count: Array, successes: Array) -> Array:
    """The probability of so many heads among so many fair coins."""
    failures = count - successes
    ways = gammaln(count + 1) - gammaln(successes + 1) - gammaln(failures + 1)
    return jnp.exp(ways - count * jnp.log(2.0).astype(count.dtype))

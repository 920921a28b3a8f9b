"""Truthfulness of measures: closed forms, exact enumeration, optimal forecasters."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import calibration as cal

KEY = jax.random.key(3)
SMOOTH = functools.partial(cal.smooth_ce, normalize=False)
SSCE = functools.partial(cal.ssce, normalize=False)
ECE = functools.partial(cal.ece, normalize=False)


@pytest.mark.parametrize(
    ("coins", "smooth", "truth", "strategy"),
    [(4, 0.75, 0.54688, 0.44336), (16, 1.57104, 1.1196, 0.85957), (64, 3.1791, 2.25235, 1.66625)],
)
def test_binomial_sums(coins, smooth, truth, strategy):
    found = cal.balanced_books_errors(coins)
    np.testing.assert_allclose(found.truth_smooth_ce, smooth, atol=5e-6)
    np.testing.assert_allclose(found.truth_ssce, truth, atol=5e-6)
    np.testing.assert_allclose(found.strategy_ssce, strategy, atol=5e-6)


def test_binomial_sums_grow_as_square_roots():
    a = 4096
    found = cal.balanced_books_errors(a)
    np.testing.assert_allclose(found.truth_smooth_ce, math.sqrt(a / (2 * math.pi)), rtol=0.01)
    np.testing.assert_allclose(found.truth_ssce, math.sqrt(a / (4 * math.pi)), rtol=0.01)
    np.testing.assert_allclose(found.truth_ssce / found.strategy_ssce, math.sqrt(2), rtol=0.03)


def test_enumeration_agrees_with_the_binomial_sums():
    law = cal.coin_then_sure(2, 2, 2)
    measures = {"smooth": SMOOTH, "ssce": SSCE}
    found = cal.truthfulness(law, cal.BalancedBooks(), measures)
    exact = cal.balanced_books_errors(2)
    np.testing.assert_allclose(found["smooth"].truth, exact.truth_smooth_ce, atol=1e-12)
    np.testing.assert_allclose(found["ssce"].truth, exact.truth_ssce, atol=1e-12)
    np.testing.assert_allclose(found["ssce"].strategy, exact.strategy_ssce, atol=1e-12)
    np.testing.assert_allclose(found["smooth"].strategy, 0, atol=1e-12)
    assert float(found["smooth"].truth_error) == 0
    assert float(found["smooth"].ratio) > 1e10


def test_balanced_books_fool_every_measure_but_the_subsampled_one():
    every = cal.paper_measures(3)
    names = ("ece", "smooth_ce", "interval_ce", "laplace_kernel_ce", "ssce")
    measures = {name: every[name] for name in names}
    found = cal.truthfulness(cal.coin_then_sure(1, 1, 1), cal.BalancedBooks(), measures)
    for name in names[:4]:
        np.testing.assert_allclose(found[name].strategy, 0, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(found[name].truth, 0.5, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found["ssce"].truth, 0.25, atol=1e-12)
    np.testing.assert_allclose(found["ssce"].share, 1, atol=1e-12)


def test_sampled_expectations_agree_with_the_binomial_sums():
    law = cal.coin_then_sure(16, 16, 16)
    found = cal.truthfulness(law, cal.BalancedBooks(), {"e": ECE}, key=KEY, num_samples=2000)["e"]
    exact = cal.balanced_books_errors(16).truth_smooth_ce
    assert abs(float(found.truth - exact)) < 4 * float(found.truth_error)
    np.testing.assert_allclose([found.strategy, found.share, found.share_error], 0, atol=1e-12)


def test_distinct_probabilities_fool_the_expected_calibration_error():
    law = cal.many_probabilities(10)
    measures = {"ece": ECE, "two_bin": functools.partial(cal.two_bin_error, normalize=False)}
    found = cal.truthfulness(law, cal.ConstantForecast(0.5), measures)
    np.testing.assert_allclose(found["ece"].truth, 5, rtol=0.01)
    assert float(found["ece"].share) < 0.3
    # Honest forecasts pay the variance of the outcomes, whatever the threshold.
    p = np.asarray(law.probabilities)
    np.testing.assert_allclose(found["two_bin"].truth, (p * (1 - p)).sum(), rtol=1e-12)
    assert float(found["two_bin"].share) >= 1 - 1e-4


def test_markov_laws_sample_what_they_say():
    law = cal.MarkovLaw(0.5, 0.2, 0.9, 40)
    draws = jax.jit(jax.vmap(lambda k: law.sample(key=k)))(jax.random.split(KEY, 500))
    before, after = np.asarray(draws[:, :-1]), np.asarray(draws[:, 1:])
    np.testing.assert_allclose(after[before == 0].mean(), 0.2, atol=0.02)
    np.testing.assert_allclose(after[before == 1].mean(), 0.9, atol=0.02)
    short = cal.MarkovLaw(0.5, 0.2, 0.9, 4)
    sequences = (np.arange(16)[:, None] >> np.arange(4)) & 1
    chances = jax.jit(jax.vmap(short.probability))(jnp.asarray(sequences, float))
    np.testing.assert_allclose(chances.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(chances[0b1111], 0.5 * 0.9**3, rtol=1e-12)


def test_optimal_forecasts_lie_and_balance_the_books():
    law = cal.coin_then_sure(1, 1, 1)
    grid = jnp.asarray([0, 0.5, 1])
    best = cal.optimal_forecasts(SMOOTH, law, grid)
    np.testing.assert_allclose(best.error, 0, atol=1e-12)
    for outcomes in ([1.0, 1.0, 0.0], [0.0, 1.0, 0.0]):
        said = best(outcomes)
        assert float(said[0]) == 0.5
        assert float(SMOOTH(said, jnp.asarray(outcomes))) == 0
    # Under the subsampled measure nothing on the grid beats the truth here.
    ours = cal.optimal_forecasts(SSCE, law, grid)
    np.testing.assert_allclose(ours.error, 0.25, atol=1e-12)


def test_optimal_forecasts_of_one_coin_are_its_probability():
    law = cal.ProductLaw(jnp.asarray([0.3]))

    def squares(p, x):
        return ((p - x) ** 2).sum()

    best = cal.optimal_forecasts(squares, law, jnp.asarray([0.1, 0.3, 0.5]))
    np.testing.assert_allclose(best.error, 0.21, atol=1e-12)
    np.testing.assert_allclose(best([1.0]), [0.3])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="needs key="):
        cal.truthfulness(cal.many_probabilities(13), cal.ConstantForecast())
    with pytest.raises(ValueError, match="actions must be"):
        cal.optimal_forecasts(SMOOTH, cal.many_probabilities(12), jnp.linspace(0, 1, 5))
    with pytest.raises(ValueError, match="num_coins"):
        cal.balanced_books_errors(0)
    with pytest.raises(ValueError, match="one entry per round"):
        cal.ProductLaw(jnp.asarray(0.5))

"""What people see who print a result, and what front doors say to slips of the hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gamejax
from gamejax import bandits, calibration, games, learners, solvers
from gamejax import multidistribution as md

HEDGE = solvers.SelfPlay(learners.Hedge(0.5))
MATRIX = jnp.array([[1.0, -3.0], [0.0, 2.0]])


def test_an_unreached_tolerance_comes_with_advice():
    said = str(gamejax.solve(games.MatrixGame(MATRIX), HEDGE, max_steps=10, tol=1e-9))
    assert said.startswith("max_steps_reached: gap ")
    assert said.endswith("raise max_steps, loosen tol, or try another solver.")


def test_a_batch_prints_how_many_games_ended_how():
    # The default start is an equilibrium of the first game.
    batch = jnp.stack([jnp.eye(2), MATRIX, MATRIX.at[0, 0].set(jnp.nan)])
    solved = jax.jit(
        jax.vmap(lambda a: gamejax.solve(games.MatrixGame(a), HEDGE, max_steps=10, tol=1e-9))
    )
    said = str(solved(batch)).splitlines()
    assert said[0].startswith("3 games: 1 max_steps_reached, 1 nonfinite, 1 successful; ")
    assert said[1] == "  largest gap nan, of game 2"
    assert said[2].startswith("  max_steps_reached: The step budget ran out")
    assert "of game 1" in str(solved(batch[:2]))
    assert str(jax.tree.map(lambda x: x[:0], solved(batch))) == "0 games: none"


def test_runs_and_lists_of_equilibria():
    run = gamejax.play(games.library.chicken(), HEDGE, num_steps=20)
    head, row, column = str(run).splitlines()
    assert head.startswith("20 steps, 20 records: gap from ")
    assert row.startswith("  row (payoff ")
    assert "swerve" in column
    said = str(gamejax.equilibria(games.library.chicken())).splitlines()
    assert said[0] == "3 equilibria"
    assert said[3] == "  1 0.6667, 2 0.3333; 1 0.6667, 2 0.3333 (gap 0.0e+00)"
    assert "may be more" in str(gamejax.equilibria(games.library.chicken(), "pure"))


def test_simulations():
    environment, key = bandits.Bernoulli(np.array([0.2, 0.8])), jax.random.key(0)
    said = str(bandits.simulate(environment, bandits.ucb1(), 50, num_replications=8, key=key))
    assert said.startswith("regret ")
    assert "after 50 rounds, mean of 8 (5% to 95%" in said
    assert "pulls: arm 1 " in said


@pytest.mark.parametrize(
    "call",
    [
        lambda: gamejax.solve(games.MatrixGame(MATRIX), key=0),
        lambda: gamejax.play(games.MatrixGame(MATRIX), HEDGE, 3, key=0),
        lambda: gamejax.solve_batch([games.MatrixGame(MATRIX)], key=0),
        lambda: bandits.simulate(bandits.Bernoulli([0.2]), bandits.ucb1(), 9, key=0),
        lambda: md.solve_on_demand(md.BernoulliLosses(jnp.eye(2)), eps=0.5, key=0),
        lambda: calibration.calibration_test(calibration.ece, [0.5], [1], key=0),
        lambda: calibration.report([0.5], [1], [[1]], key=0),
        lambda: calibration.ssce_estimate([0.5], [1], key=0),
    ],
)
def test_a_seed_is_no_key(call):
    with pytest.raises(TypeError, match=r"^key must be jax\.random\.key\(seed\), got int\.$"):
        call()


def test_probabilities_are_checked():
    with pytest.raises(ValueError, match=r"means must be probabilities in \[0, 1\], got"):
        bandits.Bernoulli([0.2, 1.2])


def test_short_floats_are_computed_with_in_32_bits():
    payoffs = np.array([[3, 0], [5, 1]], np.float16)
    game = games.bimatrix(payoffs, payoffs.T)
    assert game.dtype == jnp.float32
    assert games.MatrixGame(jnp.asarray(payoffs, jnp.bfloat16)).dtype == jnp.float32
    assert gamejax.solve(game).gap < 1e-5

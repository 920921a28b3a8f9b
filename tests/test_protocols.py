"""What every learner keeps to on every set and game that it fits."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gamejax import solvers
from tests.cases import GAMES, LEARNERS, SETS, all_cases, covering_cases, pairwise_cases

STEPS = 6
PAIRWISE, COVER = pairwise_cases(), covering_cases()


def parameters(fast):
    """All cases, those not in `fast` marked slow."""
    return [
        pytest.param(*case, id="-".join(case), marks=() if case in fast else pytest.mark.slow)
        for case in all_cases()
    ]


CASES, FEW = parameters(PAIRWISE), parameters(COVER)


def run(learner, game, steps=STEPS):
    """The strategies after every step of self-play."""
    solver = solvers.SelfPlay(learner, averaging=solvers.Last())

    def step(state, _):
        state = solver.step(game, state, key=None)
        return state, state.strategies

    state = solver.init(game, key=None, dtype=game.dtype)
    return jax.lax.scan(step, state, None, length=steps)[1]


def scaled(game, factor):
    """The game with its payoffs scaled (its sets as they are)."""
    numbers, rest = eqx.partition(
        game, lambda x: eqx.is_inexact_array(x) and x.ndim >= 2 and x.size > 8
    )
    return eqx.combine(jax.tree.map(lambda x: x * jnp.asarray(factor, x.dtype), numbers), rest)


def build(kind, game, dtype=jnp.float64):
    """The game on sets of one kind whose own numbers have the game's type too."""
    make = GAMES[game][0]
    built = make(SETS[kind], dtype)
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, built)


@pytest.mark.parametrize(("learner", "kind", "game"), CASES)
def test_protocol(learner, kind, game):
    """One trace whatever the hyper-parameters and payoffs; every strategy inside its set."""
    make, problem = LEARNERS[learner].make, build(kind, game)
    chex.clear_trace_counter()
    traced = jax.jit(chex.assert_max_traces(run, n=1))
    for records in (traced(make(1.0), problem), traced(make(0.7), scaled(problem, 0.5))):
        for own, strategies in zip(problem.strategy_sets, records, strict=True):
            chex.assert_tree_all_finite(strategies)
            assert jax.vmap(own.violation)(strategies).max() < 1e-9


@pytest.mark.parametrize(("learner", "kind", "game"), FEW)
def test_jit_equals_eager_and_vmap_equals_loop(learner, kind, game):
    make, problem = LEARNERS[learner].make, build(kind, game)
    first = jax.jit(run)(make(1.0), problem)

    # Every operation dispatched on its own.
    solver = solvers.SelfPlay(make(1.0), averaging=solvers.Last())
    state = solver.init(problem, key=None, dtype=problem.dtype)
    for k in range(2):
        state = solver.step(problem, state, key=None)
        chex.assert_trees_all_close(
            state.strategies, jax.tree.map(lambda x, k=k: x[k], first), atol=1e-10
        )

    stacked = jax.vmap(lambda c: scaled(problem, c))(jnp.array([1.0, 0.5]))
    axes = jax.tree.map(lambda _: 0, stacked)
    mapped = jax.jit(jax.vmap(lambda g: run(make(1.0), g), in_axes=(axes,)))(stacked)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], mapped), first, atol=1e-10)

    # float32 stays float32, and agrees where the dynamics do not amplify rounding.
    single = jax.jit(run)(make(1.0), build(kind, game, jnp.float32))
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(single))
    if learner not in ("best-response", "ucb", "sign-change"):  # these jump at ties
        chex.assert_trees_all_close(
            jax.tree.map(lambda x: x.astype(jnp.float64), single), first, atol=2e-3
        )


SMOOTH = [
    (learner, "simplex", "zero-sum")
    for learner in LEARNERS
    if learner not in ("best-response", "ucb", "sign-change")
    and "simplex" in LEARNERS[learner].sets
] + [
    ("counterfactual", "treeplex", "sequence-form"),
    ("counterfactual-hedge", "treeplex", "continuous"),
    ("magnetic", "treeplex", "sequence-form"),
    ("ftrl-euclidean", "ball", "continuous"),
    ("ftrl-euclidean", "product", "continuous"),
    ("ftrl-tsallis", "capped", "three-players"),
    ("mirror-descent-entropy", "capped", "polymatrix"),
    ("gradient-ascent", "unconstrained", "continuous"),
    ("hedge", "masked", "congestion"),
    ("predictive-rm+", "masked", "symmetric"),
]


@pytest.mark.parametrize(("learner", "kind", "game"), SMOOTH)
def test_gradients_match_finite_differences(learner, kind, game):
    problem, make = build(kind, game), LEARNERS[learner].make

    def outcome(factor):
        records = run(make(1.0), scaled(problem, factor), 4)
        return sum(jnp.sum(jnp.sin(3 * x[-1])) for x in jax.tree.leaves(records))

    point, width = 0.9, 1e-6
    slope = jax.jit(jax.grad(outcome))(point)
    evaluate = jax.jit(outcome)
    difference = (evaluate(point + width) - evaluate(point - width)) / (2 * width)
    np.testing.assert_allclose(slope, difference, rtol=2e-5, atol=1e-7)


def test_pairwise_cases_hold_every_pair():
    whole = {pair for case in all_cases() for pair in ((case[0], case[1]), case[1:])}
    chosen = {pair for case in PAIRWISE for pair in ((case[0], case[1]), case[1:])}
    assert whole == chosen
    assert len(PAIRWISE) < len(all_cases()) / 2


def test_covering_cases_hold_every_learner_set_and_game():
    assert {x for case in COVER for x in case} == {*LEARNERS, *SETS, *GAMES}

"""Games and feedback with a state of their own, carried by the loop: a queue, a table, a pool."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

import gamejax
from gamejax import feedback, games, learners, sets, solvers


class LossTable(games.AbstractGame):
    """One player against nature: round t pays row t of a table, whose mean is the expectation."""

    table: Float[Array, "rounds actions"]

    @property
    def strategy_sets(self):
        return (sets.Simplex(self.table.shape[1]),)

    def utility(self, player, profile):
        return -self.table.mean(0)

    def init(self, *, key, dtype):
        return jnp.zeros((), jnp.int32)

    def sample(self, profile, state, *, key, step):
        return (-self.table[state],), state + 1


class Pool(games.AbstractGame):
    """Draws examples without replacement; once the pool is empty there is nothing to gain."""

    examples: Float[Array, "examples actions"]

    @property
    def strategy_sets(self):
        return (sets.Simplex(self.examples.shape[1]),)

    def utility(self, player, profile):
        return self.examples.mean(0)

    def init(self, *, key, dtype):
        return jnp.ones(len(self.examples), bool)

    def sample(self, profile, state, *, key, step):
        left = state.any()
        index = jax.random.categorical(key, jnp.where(state | ~left, 0.0, -jnp.inf))
        drawn = jnp.where(left, self.examples[index], 0.0)
        return (drawn,), state.at[index].set(False)


def test_a_loss_table_is_played_row_by_row():
    table = jax.random.uniform(jax.random.key(0), (50, 3))
    solver = solvers.SelfPlay(learners.Hedge(0.3))
    solution = gamejax.play(LossTable(table), solver, 50).solution
    assert int(solution.state.game) == 50
    np.testing.assert_allclose(solution.state.utilities.total[0], -table.sum(0), atol=1e-12)
    x, total, played = np.full(3, 1 / 3), np.zeros(3), 0.0
    for row in np.asarray(table):
        played += x @ -row
        total -= row
        x = np.exp(0.3 * (total - total.max()))
        x /= x.sum()
    regret = total.max() - played
    np.testing.assert_allclose(solution.stats["regrets"], [regret], atol=1e-10)


def test_a_pool_runs_out_and_says_so():
    examples = jax.random.normal(jax.random.key(1), (20, 4))
    game, solver = Pool(examples), solvers.SelfPlay(learners.RegretMatching())
    part = gamejax.play(game, solver, 15, key=jax.random.key(2)).solution
    assert int(part.state.game.sum()) == 5
    whole = gamejax.play(game, solver, 10, key=jax.random.key(2), init=part).solution
    assert not whole.state.game.any()
    # Each example was drawn exactly once, whatever the order; the five rounds after pay nothing.
    np.testing.assert_allclose(whole.state.utilities.total[0], examples.sum(0), atol=1e-12)
    again = gamejax.play(game, solver, 25, key=jax.random.key(2)).solution
    np.testing.assert_array_equal(again.profile[0], whole.profile[0])


def test_a_delay_queue_delivers_late_and_all():
    table = jax.random.uniform(jax.random.key(3), (30, 3))
    learner = learners.Hedge(0.3)
    record = lambda state: state.strategies[0]  # noqa: E731
    now = gamejax.play(LossTable(table), solvers.SelfPlay(learner), 30, record=record)
    late = gamejax.play(
        LossTable(table),
        solvers.SelfPlay(learner, feedback.Delayed(delay=4)),
        30,
        record=record,
    )
    # With a constant learning rate, play under delay is play without, four rounds later.
    np.testing.assert_allclose(late.records[:4], np.full((4, 3), 1 / 3), atol=1e-12)
    np.testing.assert_allclose(late.records[4:], now.records[:-4], atol=1e-12)


def test_all_three_together_go_on_where_they_stopped():
    table = jax.random.uniform(jax.random.key(4), (64, 3))
    solver = solvers.SelfPlay(
        learners.Hedge(0.1), feedback.Delayed(feedback.BanditFeedback(), delay=3)
    )
    key = jax.random.key(5)

    def run(max_steps, init=None):
        return gamejax.solve(
            LossTable(table), solver, tol=0.0, max_steps=max_steps, key=key, init=init
        )

    whole, rest = run(60), run(37, run(23))
    assert int(whole.state.game) == int(rest.state.game) == 60
    for a, b in zip(jax.tree.leaves(whole.state), jax.tree.leaves(rest.state), strict=True):
        # Sums are folded block by block, so that a run cut elsewhere rounds otherwise.
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-14)


class Counting(games.AbstractGame):
    """Counts how often each player's payoff was sampled, to see what alternation asks for."""

    game: games.MatrixGame

    @property
    def strategy_sets(self):
        return self.game.strategy_sets

    def utility(self, player, profile):
        return self.game.utility(player, profile)

    def init(self, *, key, dtype):
        return jnp.zeros((), jnp.int32)

    def sample(self, profile, state: Int[Array, ""], *, key, step):
        return self.game.utilities(profile), state + 1


def test_each_mover_has_its_own_draw_in_alternating_play():
    game = Counting(games.MatrixGame(jnp.eye(2)))
    for alternating, draws in ((False, 5), (True, 10)):
        solver = solvers.SelfPlay(learners.Hedge(0.1), alternating=alternating)
        assert int(gamejax.play(game, solver, 5).solution.state.game) == draws
    assert eqx.tree_equal(
        gamejax.play(game, solvers.SelfPlay(learners.Hedge(0.1)), 5).gaps,
        gamejax.play(game.game, solvers.SelfPlay(learners.Hedge(0.1)), 5).gaps,
    )

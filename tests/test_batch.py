"""The batch driver: answers, bits, budgets, lists, checkpoints, interruptions, errors."""

import os
import signal
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

import gamejax
from gamejax import RESULTS, _linalg, feedback, games, learners, metrics, sets, solvers
from gamejax._batch import Checkpoint, _pool, _sizes, solve_batch
from gamejax._batch._buckets import make_buckets, merge_shapes, stack_profiles
from gamejax._batch._identity import fingerprint
from gamejax._batch._turns import must_be_alone

COUNT = 200
PAYOFFS = jax.random.uniform(jax.random.key(0), (COUNT, 3, 4), minval=-1, maxval=1)
STACK = jax.vmap(games.MatrixGame)(PAYOFFS)
HEDGE = solvers.SelfPlay(learners.Hedge(0.2), averaging=solvers.Last())
FAST = solvers.SelfPlay(
    learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
)
OPTIONS = {"solver": FAST, "tol": 1e-4, "max_steps": 3030, "check_every": 20}


@pytest.fixture(scope="module")
def reference():
    return solve_batch(STACK, **OPTIONS)


def assert_same_bits(one, other):
    chex.assert_trees_all_equal(one, other)


def numpy_gaps(payoffs, profile):
    x, y = (np.asarray(s) for s in profile)
    rows, columns = np.einsum("bij,bj->bi", payoffs, y), np.einsum("bi,bij->bj", x, payoffs)
    value = np.einsum("bi,bi->b", x, rows)
    return np.maximum(rows.max(1) - value, value - columns.min(1))


def test_a_stack_is_solved_as_by_vmap(reference):
    mapped = jax.jit(jax.vmap(lambda g: gamejax.solve(g, **OPTIONS)))(STACK)
    assert bool(jnp.all(reference.result == RESULTS.successful))
    assert isinstance(reference.gap, jax.Array)
    np.testing.assert_allclose(reference.gap, numpy_gaps(PAYOFFS, reference.profile), atol=1e-12)
    np.testing.assert_array_equal(reference.stats["num_steps"], mapped.stats["num_steps"])
    chex.assert_trees_all_equal_structs(reference, mapped)
    chex.assert_trees_all_close(reference.profile, mapped.profile, atol=1e-9)
    chex.assert_trees_all_close(reference.stats, mapped.stats, atol=1e-6)


class TestBits:
    def test_order_does_not_matter(self, reference):
        order = np.random.default_rng(0).permutation(COUNT)
        moved = solve_batch(jax.tree.map(lambda x: x[order], STACK), **OPTIONS)
        assert_same_bits(moved, jax.tree.map(lambda x: x[order], reference))

    def test_the_other_games_do_not_matter(self, reference):
        few = solve_batch(jax.tree.map(lambda x: x[30:37], STACK), **OPTIONS)
        assert_same_bits(few, jax.tree.map(lambda x: x[30:37], reference))

    @pytest.mark.parametrize("chunk_size", [1, 100])
    def test_chunks_do_not_matter(self, reference, chunk_size):
        assert_same_bits(solve_batch(STACK, chunk_size=chunk_size, **OPTIONS), reference)

    def test_dropping_games_does_not_matter(self, reference, monkeypatch):
        sizes = []

        def always(count, current, sizes_, cost, saving):
            size = min(s for s in sizes_ if s >= min(count, current))
            sizes.append(size)
            return size

        monkeypatch.setattr(_sizes, "choose", lambda count, current, *_: current)
        assert_same_bits(solve_batch(STACK, **OPTIONS), reference)
        monkeypatch.setattr(_sizes, "choose", always)
        assert_same_bits(solve_batch(STACK, **OPTIONS), reference)
        assert {256, 128, 64} == set(sizes)

    def test_a_mesh_of_one_does_not_matter(self, reference):
        mesh = Mesh(np.array(jax.devices()[:1]), ("games",))
        assert_same_bits(solve_batch(STACK, mesh=mesh, **OPTIONS), reference)


@pytest.mark.parametrize("max_steps", [0, 7, 20, 50])
def test_budgets_are_kept_exactly(max_steps):
    solution = solve_batch(STACK, FAST, tol=0.0, max_steps=max_steps, check_every=20)
    assert np.all(np.asarray(solution.stats["num_steps"]) == max_steps)
    assert bool(jnp.all(solution.result == RESULTS.max_steps_reached))


def test_going_on_equals_one_run(reference):
    part = solve_batch(STACK, **OPTIONS | {"max_steps": 60})
    assert not bool(jnp.all(part.result == RESULTS.successful))
    assert_same_bits(solve_batch(STACK, init=part, **OPTIONS | {"max_steps": 2970}), reference)


def test_profiles_are_starts(reference):
    solution = solve_batch(STACK, init=reference.profile, **OPTIONS)
    assert np.all(np.asarray(solution.stats["num_steps"]) == 0)
    assert_same_bits(solution.profile, reference.profile)


def test_random_draws_follow_the_place_of_a_game():
    solver = solvers.SelfPlay(learners.Hedge(0.1), feedback=feedback.BanditFeedback())
    options = {"tol": 0.0, "max_steps": 40, "check_every": 40}
    key = jax.random.key(3)
    stack = jax.tree.map(lambda x: x[:5], STACK)
    batch = solve_batch(stack, solver, key=key, **options)
    alone = [
        gamejax.solve(games.MatrixGame(a), solver, key=jax.random.fold_in(key, i), **options)
        for i, a in enumerate(stack.payoff)
    ]
    profiles = jax.tree.map(lambda *x: jnp.stack(x), *[s.profile for s in alone])
    chex.assert_trees_all_close(batch.profile, profiles, atol=1e-12)
    assert np.ptp(np.asarray(batch.profile[0]), axis=0).max() > 1e-3


class Walk(solvers.AbstractSolver):
    """Carries a random key, a float32 number and a flag; ends by itself."""

    def init(self, game, *, key, dtype, start=None):
        strategies = tuple(s.center(dtype) for s in game.strategy_sets)
        return key, strategies, jnp.float32(0), jnp.zeros((), bool)

    def step(self, game, state, *, key):
        own, strategies, number, _ = state
        number = number + jax.random.uniform(own, dtype=jnp.float32)
        return jax.random.fold_in(own, 1), strategies, number, number > 5

    def profile(self, state):
        return state[1]

    def status(self, state):
        return RESULTS.where(state[3], RESULTS.stalled, RESULTS.running)


def test_states_may_hold_keys_and_solvers_may_end(tmp_path):
    options = {"tol": 0.0, "max_steps": 8, "check_every": 1, "key": jax.random.key(1)}
    stack = jax.tree.map(lambda x: x[:9], STACK)
    solution = solve_batch(stack, Walk(), **options)
    alone = gamejax.solve(
        games.MatrixGame(stack.payoff[4]),
        Walk(),
        **options | {"key": jax.random.fold_in(options["key"], 4)},
    )
    assert jnp.issubdtype(solution.state[0].dtype, jax.dtypes.prng_key)
    chex.assert_trees_all_equal(solution.state[2][4], alone.state[2])
    assert set(np.asarray(solution.result == RESULTS.stalled)) == {True, False}
    part = solve_batch(stack, Walk(), **options | {"max_steps": 3})
    rest = solve_batch(stack, Walk(), init=part, **options | {"max_steps": 5})
    np.testing.assert_array_equal(rest.state[2], solution.state[2])


class TestLists:
    def ragged(self):
        rng = np.random.default_rng(1)
        tables = [games.MatrixGame(rng.uniform(-1, 1, rng.integers(2, 6, 2))) for _ in range(12)]
        pairs = rng.uniform(-1, 1, (3, 3, 2, 2)) * (1 - np.eye(3))[:, :, None, None]
        spread, capped = games.PolymatrixGame(pairs), games.smoothed(tables[0], cap=0.75)
        return [*tables[:6], games.library.prisoners_dilemma(), spread, *tables[6:], capped]

    def test_everything_comes_back_in_order_and_size(self):
        members, solver = self.ragged(), solvers.SelfPlay(learners.Hedge(0.3))
        options = {"tol": 0.02, "max_steps": 310, "check_every": 20, "key": jax.random.key(0)}
        found = solve_batch(members, solver, **options)
        assert len(found) == len(members)
        for game, solution in zip(members, found, strict=True):
            assert solution.labels == game.labels
            for own, x in zip(game.strategy_sets, solution.profile, strict=True):
                assert (x.shape, x.dtype) == (own.shape, game.dtype)
                assert own.violation(x) < 1e-6
            gap = metrics.nash_gap(game, solution.profile)
            np.testing.assert_allclose(gap, solution.gap, atol=1e-9)
            assert bool(solution.result == RESULTS.successful) == (solution.gap <= 0.02)
        for i in (0, 6):
            key = jax.random.fold_in(options["key"], i)
            alone = gamejax.solve(members[i], solver, **options | {"key": key})
            assert int(alone.stats["num_steps"]) == int(found[i].stats["num_steps"])
            chex.assert_trees_all_close(alone.profile, found[i].profile, atol=1e-9)
        assert "confess" in str(found[6]).lower() or "defect" in str(found[6]).lower()
        # Once more from where they ended: nothing is left to do for those that are done.
        again = solve_batch(members, solver, init=found, **options)
        for one, other in zip(again, found, strict=True):
            if bool(other.result == RESULTS.successful):
                chex.assert_trees_all_close(one.profile, other.profile, atol=1e-12)

    def test_only_games_of_one_kind_share_a_stack(self):
        rng = np.random.default_rng(1)
        small = games.MatrixGame(rng.uniform(-1, 1, (3, 3)).astype(np.float32))
        rows = sets.Simplex(3, np.array([True, False, True]))
        masked = games.MatrixGame(rng.uniform(-1, 1, (3, 3)), (rows, sets.Simplex(3)))
        members = [small, masked, *self.ragged()]
        buckets = make_buckets(members)
        assert [list(b.order) for b in buckets] == [
            [0], [1], [*range(2, 8), *range(10, 16)], [8], [9], [16],
        ]  # fmt: skip
        assert [b.games.dtype for b in buckets[:2]] == [jnp.float32, jnp.float64]
        np.testing.assert_array_equal(buckets[1].games.strategy_sets[0].mask, [rows.mask])
        stack = buckets[2].games
        padded = games.pad_games([members[i] for i in buckets[2].order])
        chex.assert_trees_all_equal(stack, padded)
        profiles = stack_profiles([[np.ones(2), np.ones(3)]] * 12, buckets[2].example)
        for x, own in zip(profiles, stack.strategy_sets, strict=True):
            assert x.shape == own.mask.shape
            np.testing.assert_array_equal(x[:, 0], 1)
        assert [x.sum() for x in profiles] == [24, 36]

    def test_joint_distributions_are_cut(self):
        solver = solvers.SelfPlay(learners.Hedge(0.5), output="joint")
        shapes = [(2, 3), (3, 2), (2, 2)]
        members = [games.MatrixGame(np.arange(n * k).reshape(n, k) % 3) for n, k in shapes]
        found = solve_batch(members, solver, max_steps=40)
        assert [s.profile.probabilities.shape for s in found] == shapes
        for solution in found:
            np.testing.assert_allclose(solution.profile.probabilities.sum(), 1)

    def test_an_empty_list_is_an_empty_list(self):
        assert solve_batch([]) == []


def test_merging_shapes():
    assert merge_shapes({(2, 2): 3, (3, 4): 5, (4, 2): 1}) == dict.fromkeys(
        [(2, 2), (3, 4), (4, 2)], (4, 4)
    )
    apart = merge_shapes({(2, 2): 100_000, (40, 40): 100_000})
    assert apart == {(2, 2): (2, 2), (40, 40): (40, 40)}
    many = merge_shapes({(n, k): 3 for n in range(1, 40) for k in range(1, 40)})
    assert len(many) == 39 * 39
    assert len(set(many.values())) <= 4
    assert all(a <= b for shape, to in many.items() for a, b in zip(shape, to, strict=True))


def test_buffer_sizes():
    assert _sizes.ladder(1000, 64) == [1024, 512, 256, 128, 64]
    assert _sizes.ladder(5, 64) == [64]
    assert _sizes.ladder(700, 64) == [704, 384, 192, 128, 64]
    assert _sizes.smallest_buffer(1024) == 64
    assert _sizes.smallest_buffer(1 << 20) == 2
    sizes = [1024, 512, 256, 128, 64]
    cost = dict.fromkeys(sizes, 1.0)
    assert _sizes.choose(100, 1024, sizes, cost, saving=0.5) == 1024
    assert _sizes.choose(100, 1024, sizes, cost, saving=100.0) == 128
    assert _sizes.choose(100, 1024, sizes, cost | {256: 0.0}, saving=0.9) == 256
    assert _sizes.choose(2000, 1024, sizes, cost, saving=1e9) == 1024


def test_what_cannot_fit_is_refused_with_numbers(monkeypatch):
    monkeypatch.setattr(_sizes, "_memory", lambda devices: 10_000)
    with pytest.raises(ValueError, match=r"games of 96 bytes .* for the 64 .* than the 10,000"):
        solve_batch(STACK)


class DeathError(Exception):
    pass


class TestCheckpoints:
    def run(self, path, **options):
        return solve_batch(STACK, checkpoint=Checkpoint(path, every=0), **OPTIONS | options)

    def interrupt(self, monkeypatch, after):
        """From now on a run dies after so many calls of the device program."""
        calls, call = [], _pool.Pool._call

        def counted(pool, plan):
            calls.append(plan)
            if len(calls) > after:
                raise DeathError
            call(pool, plan)

        monkeypatch.setattr(_pool.Pool, "_call", counted)

    def test_a_run_that_dies_often_ends_with_the_same_bits(self, reference, monkeypatch, tmp_path):
        path, deaths = tmp_path / "deep" / "run.ckpt", 0
        monkeypatch.setattr(_pool, "ROUND_SECONDS", 0.0)
        while True:
            with monkeypatch.context() as patch:
                self.interrupt(patch, after=9)
                try:
                    solution = self.run(path, chunk_size=64 * (deaths % 3 + 1))
                    break
                except DeathError:
                    deaths += 1
        assert deaths > 3
        assert_same_bits(solution, reference)
        self.interrupt(monkeypatch, after=0)  # everything is done: nothing is computed any more
        assert_same_bits(self.run(path), reference)
        assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"]

    def test_lists_resume_too(self, monkeypatch, tmp_path):
        rng = np.random.default_rng(2)
        members = [games.MatrixGame(rng.uniform(-1, 1, (3, 4))) for _ in range(5)]
        members.append(games.library.prisoners_dilemma())
        options = OPTIONS | {"checkpoint": Checkpoint(tmp_path / "run", every=0)}
        with monkeypatch.context() as patch:
            self.interrupt(patch, after=4)
            with pytest.raises(DeathError):
                solve_batch(members, **options)
        resumed, whole = solve_batch(members, **options), solve_batch(members, **OPTIONS)
        chex.assert_trees_all_equal(resumed, whole)

    def test_a_directory_is_written_by_orbax(self, reference, monkeypatch, tmp_path):
        pytest.importorskip("orbax.checkpoint")
        monkeypatch.setattr(_pool, "ROUND_SECONDS", 0.0)
        with monkeypatch.context() as patch:
            self.interrupt(patch, after=9)
            with pytest.raises(DeathError):
                self.run(tmp_path)
        assert any(tmp_path.iterdir())
        assert_same_bits(self.run(tmp_path), reference)
        self.interrupt(monkeypatch, after=0)
        assert_same_bits(self.run(tmp_path), reference)

    def test_another_run_is_refused_by_name(self, tmp_path):
        path = tmp_path / "run"
        self.run(path, max_steps=40)
        before = path.read_bytes()
        for options, message in (
            ({"tol": 1e-3}, r"tol was 0\.0001, now 0\.001"),
            ({"max_steps": 40, "key": jax.random.key(0)}, "key differs"),
            ({"max_steps": 40, "gap": metrics.nash_conv}, "gap differs"),
            ({"check_every": 5}, "max_steps was 40, now 3030, check_every was 20, now 5"),
        ):
            with pytest.raises(ValueError, match=rf"belongs to another run: {message}"):
                self.run(path, **options)
        options = OPTIONS | {"max_steps": 40, "checkpoint": path}
        with pytest.raises(ValueError, match="another run: games differ;"):
            solve_batch(jax.tree.map(lambda x: 2 * x, STACK), **options)
        with pytest.raises(ValueError, match="another run: solver differs;"):
            solve_batch(STACK, **options | {"solver": HEDGE})
        assert path.read_bytes() == before

    def test_damaged_files_are_refused_and_kept(self, tmp_path):
        path = tmp_path / "run"
        self.run(path, max_steps=40)
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        cut = [whole[:-1], whole[: len(whole) // 2], whole[:7], b"", b"abc\n"]
        for damaged in [*cut, bytes(flipped)]:
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match="damaged"):
                self.run(path, max_steps=40)
            assert path.read_bytes() == damaged

    @pytest.fixture
    def interruptible(self):
        """As at a prompt; workers that run tests in parallel ignore Ctrl-C."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.usefixtures("interruptible")
    def test_ctrl_c_saves(self, reference, monkeypatch, tmp_path):
        calls, call = [], _pool.Pool._call

        def pressed(pool, plan):
            calls.append(plan)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGINT)
            call(pool, plan)

        monkeypatch.setattr(_pool, "ROUND_SECONDS", 0.0)
        path = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(_pool.Pool, "_call", pressed)
            with pytest.raises(KeyboardInterrupt):
                solve_batch(STACK, checkpoint=path, **OPTIONS)
        assert len(calls) == 4
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert_same_bits(solve_batch(STACK, checkpoint=path, **OPTIONS), reference)

    def test_fingerprints(self):
        def make(scale):
            return lambda game, profile: scale * metrics.nash_gap(game, profile)

        values = [HEDGE, solvers.SelfPlay(learners.Hedge(0.3)), STACK, make(1.0), make(2.0), None]
        values += [jax.random.key(0), jax.random.key(1), (1, 2), ((1,), 2), metrics.nash_gap]
        assert len({fingerprint(v) for v in values}) == len(values)
        assert fingerprint(make(1.0)) == fingerprint(make(1.0))


def test_progress_shows_games_and_gaps(capfd):
    solve_batch(STACK, progress=True, **OPTIONS)
    said = capfd.readouterr().err
    assert f"{COUNT}/{COUNT} games" in said
    assert "median" in said


def test_progress_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match=r"pip install 'gamejax\[cli\]'"):
        solve_batch(STACK, progress=True, **OPTIONS)


def test_throw_counts_failures_and_names_the_worst():
    short = OPTIONS | {"max_steps": 60}
    solution = solve_batch(STACK, **short)
    failed, worst = int((solution.gap > 1e-4).sum()), int(solution.gap.argmax())
    with pytest.raises(
        RuntimeError, match=rf"{failed} of 200 games failed; .* game {worst} .*raise"
    ):
        solve_batch(STACK, throw=True, **short)
    solve_batch(STACK, throw=True, **OPTIONS)
    broken = jax.tree.map(lambda x: x.at[3, 0, 0].set(jnp.nan), STACK)
    with pytest.raises(RuntimeError, match=r"1 of 200 games failed; the worst is game 3 .* NaN"):
        solve_batch(broken, throw=True, **OPTIONS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_batch(PAYOFFS), "games must be a stacked gamejax game or a list"),
        (lambda: solve_batch(games.MatrixGame(PAYOFFS[0])), r"no leading axis.*pass \[game\]"),
        (lambda: solve_batch([STACK.payoff]), "game must be a gamejax game"),
        (lambda: solve_batch(STACK, learners.Hedge()), "solver must be a gamejax solver"),
        (lambda: solve_batch(STACK, tol=-1), "tol must be a number of at least 0"),
        (lambda: solve_batch(STACK, gap=1e-3), "gap must be a function"),
        (lambda: solve_batch(STACK, max_steps=0.5), "max_steps must be an integer"),
        (lambda: solve_batch(STACK, check_every=0), "check_every must be an integer from 1"),
        (lambda: solve_batch(STACK, chunk_size=0), "chunk_size must be an integer from 1"),
        (lambda: solve_batch(STACK, mesh=8), "mesh must be a jax.sharding.Mesh"),
        (lambda: solve_batch(STACK, init=(PAYOFFS[0, 0],)), "init must be stacked like the 200"),
        (lambda: solve_batch(STACK, init=(PAYOFFS[:, 0],)), "init has 1 strategies, the game has"),
        (lambda: solve_batch([games.MatrixGame(PAYOFFS[0])], init=3), "init must be a list with"),
        (lambda: Checkpoint("x", every=-1), "every must be a number of seconds"),
        (
            lambda: jax.jit(lambda a: solve_batch(jax.vmap(games.MatrixGame)(a)).gap)(PAYOFFS),
            r"jax\.vmap\(gamejax\.solve\)",
        ),
        (lambda: jax.jit(lambda: solve_batch(STACK).gap)(), r"jax\.vmap\(gamejax\.solve\)"),
        (
            lambda: jax.grad(lambda a: solve_batch([games.MatrixGame(a)])[0].gap)(PAYOFFS[0]),
            r"jax\.vmap\(gamejax\.solve\)",
        ),
    ],
)  # fmt: skip
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_states_of_another_solver_are_refused(reference):
    with pytest.raises(ValueError, match="Solutions of another solver"):
        solve_batch(STACK, HEDGE, init=reference)
    with pytest.raises(ValueError, match="init must be stacked like the 3 games"):
        solve_batch(jax.tree.map(lambda x: x[:3], STACK), init=reference)


def test_solvers_refuse_games_that_they_cannot_play():
    general = games.NormalFormGame(jax.random.uniform(jax.random.key(0), (2, 3, 3)))
    stack = jax.tree.map(lambda x: x[None], general)
    for batch in (stack, [general]):
        with pytest.raises(ValueError, match="sum to a constant"):
            solve_batch(batch, solvers.SimplexMethod())


def test_programs_that_must_be_alone_are_known():
    """Two of them at once on the devices of a CPU wait for each other forever."""

    def refined(solve):
        def one(matrix):
            start = jnp.ones((9, 1))
            return jax.lax.fori_loop(0, 3, lambda _, x: solve(matrix, x), start)

        return jax.make_jaxpr(jax.vmap(one))(jnp.ones((4096, 9, 9)))

    assert must_be_alone(refined(jnp.linalg.solve))
    assert not must_be_alone(refined(_linalg.solve))
    assert not must_be_alone(refined(jnp.matmul))
    assert must_be_alone(jax.make_jaxpr(jnp.linalg.svd)(jnp.ones((3, 3))))


def test_numbers_are_shared_by_all_games():
    smooth = jax.vmap(lambda a: games.smoothed(games.MatrixGame(a), cap=0.5))(PAYOFFS[:4, :, :3])
    shared = jax.tree.map(lambda x: 0.5 if x.ndim == 1 else x, smooth)
    options = {"max_steps": 200, "check_every": 20}
    assert_same_bits(solve_batch(shared, **options).profile, solve_batch(smooth, **options).profile)

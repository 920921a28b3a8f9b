"""The cases of the protocol grid: a new learner, set or game is added to one list here."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gamejax import extensive, games, learners, sets
from gamejax.regularizers import Entropy, Euclidean, LogBarrier, Tsallis

PROBABILITY = {"simplex", "masked", "capped", "blocks"}
PLAIN = {"simplex", "masked", "blocks"}
FLAT = {"simplex", "masked"}
TREES = {"treeplex"}
ENTROPY = PROBABILITY | TREES
EVERY_SET = {*PROBABILITY, "box", "ball", "unconstrained", "product"}
BOUNDED = EVERY_SET - {"unconstrained"} | TREES
SGD = optax.sgd(0.1, momentum=0.5)  # built once: it is a static part of the learner


class LearnerCase(NamedTuple):
    """A learner as a function of a scale of its hyper-parameters, and the sets it plays on."""

    make: Callable[[float], learners.AbstractLearner]
    sets: set[str]


LEARNERS = {
    "hedge": LearnerCase(lambda c: learners.Hedge(0.3 * c), ENTROPY),
    "hedge-anytime": LearnerCase(lambda c: learners.Hedge(optimism=0.5 * c), ENTROPY),
    "optimistic-hedge": LearnerCase(lambda c: learners.Hedge(0.2 * c, 1.0), ENTROPY),
    "adahedge": LearnerCase(lambda c: learners.AdaHedge(), PLAIN),
    "ftrl-euclidean": LearnerCase(
        lambda c: learners.FollowTheRegularizedLeader(Euclidean(), 0.2 * c), EVERY_SET
    ),
    "ftrl-tsallis": LearnerCase(
        lambda c: learners.FollowTheRegularizedLeader(Tsallis(0.5), 0.3 * c, 1.0), PROBABILITY
    ),
    "ftrl-log-barrier": LearnerCase(
        lambda c: learners.FollowTheRegularizedLeader(LogBarrier(), 0.3 * c), PROBABILITY
    ),
    "mirror-descent-entropy": LearnerCase(
        lambda c: learners.MirrorDescent(Entropy(), 0.2 * c), ENTROPY
    ),
    "optimistic-gradient": LearnerCase(
        lambda c: learners.MirrorDescent(Euclidean(), 0.1 * c, 1.0), EVERY_SET
    ),
    "magnetic": LearnerCase(lambda c: learners.MagneticMirrorDescent(0.2 * c, 0.5), ENTROPY),
    "gradient-ascent": LearnerCase(lambda c: learners.GradientAscent(SGD), EVERY_SET),
    "regret-matching": LearnerCase(lambda c: learners.RegretMatching(), PLAIN),
    "regret-matching+": LearnerCase(lambda c: learners.RegretMatchingPlus(), PLAIN),
    "predictive-rm+": LearnerCase(
        lambda c: learners.PredictiveRegretMatchingPlus(damping=0.1 * c), PLAIN
    ),
    "smooth-predictive-rm+": LearnerCase(
        lambda c: learners.SmoothPredictiveRegretMatchingPlus(0.1 * c), PLAIN
    ),
    "discounted-rm": LearnerCase(lambda c: learners.DiscountedRegretMatching(1.5 * c, 0.5), PLAIN),
    "best-response": LearnerCase(lambda c: learners.BestResponse(), BOUNDED),
    "smooth-best-response": LearnerCase(
        lambda c: learners.SmoothBestResponse(0.5 * c, 0.5), ENTROPY
    ),
    "replicator": LearnerCase(lambda c: learners.Replicator(0.1 * c, 0.1), PLAIN),
    "projected-replicator": LearnerCase(
        lambda c: learners.ProjectedReplicator(0.1 * c, 1e-3), PLAIN
    ),
    "sign-change": LearnerCase(lambda c: learners.SignChange(), PLAIN),
    "ucb": LearnerCase(lambda c: learners.UCB(2.0 * c), PLAIN),
    "blum-mansour": LearnerCase(lambda c: learners.BlumMansour(learners.Hedge(0.3 * c)), FLAT),
    "stoltz-lugosi": LearnerCase(lambda c: learners.StoltzLugosi(0.3 * c), FLAT),
    "hart-mas-colell": LearnerCase(lambda c: learners.HartMasColell(4.0 * c), FLAT),
    "tree-swap": LearnerCase(lambda c: learners.TreeSwap(learners.Hedge(0.5 * c), 2, 3), FLAT),
    "counterfactual": LearnerCase(
        lambda c: learners.Counterfactual(learners.PredictiveRegretMatchingPlus(0.1 * c)), TREES
    ),
    "counterfactual-hedge": LearnerCase(
        lambda c: learners.Counterfactual(learners.Hedge(0.5 * c)), TREES
    ),
    "every": LearnerCase(lambda c: learners.Every(learners.Hedge(0.3 * c), 2), ENTROPY),
}

SETS = {
    "simplex": lambda: sets.Simplex(4),
    "masked": lambda: sets.Simplex(4, mask=np.array([True, True, False, True])),
    "capped": lambda: sets.CappedSimplex(4, 0.4),
    "blocks": lambda: sets.Simplex((2, 3)),
    "box": lambda: sets.Box(-np.ones(4), 2 * np.ones(4)),
    "ball": lambda: sets.Ball(4, 1.5),
    "unconstrained": lambda: sets.Unconstrained(jax.ShapeDtypeStruct((4,), float)),
    "product": lambda: sets.Product((sets.Simplex(2), sets.Box(np.zeros(3), np.ones(3)))),
    "treeplex": lambda: sets.Treeplex(sets.Tree([0, 2], [2, 2]), np.array([1.0, 0.5])),
}
VECTORS = {"simplex", "masked", "capped", "box", "ball", "unconstrained"}


def payoffs(seed, shape, dtype):
    return jax.random.uniform(jax.random.key(seed), shape, jnp.float64, -1, 1).astype(dtype)


def quadratic(player):
    """A utility with a bilinear and a concave part, for strategies of any structure."""

    def utility(profile, params):
        flat = [jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(p)]) for p in profile]
        own, other = flat[player], flat[1 - player]
        n = own.shape[0]
        coupling = params[:n, :n] if player == 0 else -params[:n, :n].T
        return own @ coupling @ other - 0.25 * own @ own + params[n, :n] @ own

    return utility


def zero_sum(make, dtype):
    return games.MatrixGame(payoffs(0, (4, 4), dtype), (make(), make()))


def three_players(make, dtype):
    return games.NormalFormGame(payoffs(1, (3, 4, 4, 4), dtype), [make() for _ in range(3)])


def polymatrix(make, dtype):
    pairs = payoffs(2, (3, 3, 4, 4), dtype)
    game = games.PolymatrixGame(pairs * (1 - jnp.eye(3, dtype=dtype))[:, :, None, None])
    return eqx.tree_at(lambda g: g.strategy_sets, game, tuple(make() for _ in range(3)))


def symmetric(make, dtype):
    game = games.SymmetricGame.from_matrix(payoffs(3, (4, 4), dtype))
    return eqx.tree_at(lambda g: g.strategy_sets, game, (make(), make()))


def congestion(make, dtype):
    delays = jnp.cumsum(jnp.abs(payoffs(4, (4, 3), dtype)), axis=1)
    game = games.CongestionGame(delays, [jnp.eye(4, dtype=dtype)] * 3)
    return eqx.tree_at(lambda g: g.strategy_sets, game, tuple(make() for _ in range(3)))


def continuous(make, dtype):
    params = payoffs(5, (7, 6), dtype)
    return games.ContinuousGame((quadratic(0), quadratic(1)), (make(), make()), params)


def sequence_form(make, dtype):
    """Three moves on a tree, of which the player who moves twice does not see the other's."""

    def rules(path):
        if len(path) == 3 or path == ("l", "l"):
            draw = np.random.default_rng(sum(map(ord, path)) + len(path))
            return extensive.terminal(draw.uniform(-1, 1, 2).tolist())
        mover = len(path) % 2
        names = [(name, (*path, name)) for name in ("l", "r", "m")[: 2 + mover]]
        return extensive.decide(mover, path[0] if len(path) == 2 else len(path), names)

    return jax.tree.map(lambda x: x.astype(dtype), extensive.compile_tree(rules))


GAMES = {
    "zero-sum": (zero_sum, VECTORS),
    "three-players": (three_players, VECTORS),
    "polymatrix": (polymatrix, VECTORS),
    "symmetric": (symmetric, VECTORS),
    "congestion": (congestion, VECTORS),
    "continuous": (continuous, EVERY_SET | TREES),
    "sequence-form": (sequence_form, TREES),
}


def all_cases():
    """The full product of learner, set and game, where they fit."""
    return [
        (learner, kind, game)
        for learner, kind, game in itertools.product(LEARNERS, SETS, GAMES)
        if kind in LEARNERS[learner].sets and kind in GAMES[game][1]
    ]


def pairwise_cases():
    """Few cases that still hold every fitting pair of learner and set, and of set and game.

    Learners never see the game (tests/test_layers.py), so those two need no pairing of their own.
    """
    return _cover(lambda case: {case[:2], case[1:]})


def covering_cases():
    """Fewest cases, that hold every learner, every set and every game."""
    return _cover(set)


def _cover(parts):
    """Cases, chosen greedily, that hold every part of every case."""
    cases = all_cases()
    missing = set().union(*map(parts, cases))
    chosen = []
    while missing:
        best = max(cases, key=lambda case: len(parts(case) & missing))
        chosen.append(best)
        missing -= parts(best)
    return chosen

"""Small random trees of perfect recall, and plain NumPy references on trees."""

import itertools
import random
from fractions import Fraction

import numpy as np

from gamejax import extensive


def random_rules(seed, num_players=2, depth=4, payoffs=range(-3, 4)):
    """Rules of a random game; a player knows its own past and one bit of what else happened."""

    def rules(state):
        path, past = state or ((), ((),) * num_players)
        draw = random.Random(f"{seed} {path}")
        if len(path) >= depth or (path and draw.random() < 0.15):
            return extensive.terminal([draw.choice(payoffs) for _ in range(num_players)])
        if draw.random() < 0.2:
            p = Fraction(draw.randint(1, 4), 5)
            return extensive.chance(
                [(p, ((*path, 0), past)), (1 - p, ((*path, 1), past))], labels=("a", "b")
            )
        player = draw.randrange(num_players)
        key = (past[player], draw.randrange(2))
        count = random.Random(f"{seed} {player} {key}").choice((1, 2, 2, 3))

        def after(k):
            memories = list(past)
            memories[player] = (key, k)
            return ((*path, k), tuple(memories))

        return extensive.decide(player, key, [(f"m{k}", after(k)) for k in range(count)])

    return rules


def random_tree(seed, num_players=2, depth=4, **options):
    return extensive.compile_tree(random_rules(seed, num_players, depth, **options))


def random_plans(game, rng):
    """A profile of random behaviors, some of them pure."""
    profile = []
    for tree in game.form.trees:
        weights = rng.exponential(size=tree.mask.shape) * tree.mask
        pure = rng.random((tree.num_sets, 1)) < 0.3
        weights = np.where(pure, weights == weights.max(1, keepdims=True), weights) * tree.mask
        profile.append(plan(tree, weights / weights.sum(1, keepdims=True)))
    return tuple(profile)


def plan(tree, behaviors):
    """The realization plan of behaviors, sequence by sequence."""
    x = np.zeros(tree.num_sequences)
    x[0] = 1
    for j in range(tree.num_sets):
        first = 1 + j * tree.width
        x[first : first + tree.width] = x[tree.parent[j]] * behaviors[j]
    return x


def payoffs(game, profile):
    """Every player's expected payoff, leaf by leaf."""
    weight = np.asarray(game.chance)
    for x, own in zip(profile, game.form.sequences, strict=True):
        weight = weight * np.asarray(x)[own]
    return np.asarray(game.payoffs) @ weight


def pure_plans(tree):
    """The distinct realization plans of all pure strategies, by listing those."""
    found = set()
    for choice in itertools.product(*(range(n) for n in tree.num_actions)):
        found.add(tuple(plan(tree, np.eye(tree.width)[list(choice)])))
    return np.array(sorted(found))


def gains(game, profile):
    """Every player's best-response gain, by trying all pure plans."""
    value = payoffs(game, profile)
    best = [
        max(payoffs(game, (*profile[:i], pure, *profile[i + 1 :]))[i] for pure in pure_plans(tree))
        for i, tree in enumerate(game.form.trees)
    ]
    return np.array(best) - value


def fast_gains(game, profile):
    """As `gains`, by one pass from the last set up."""
    value = payoffs(game, profile)
    best = np.zeros(len(value))
    for i, tree in enumerate(game.form.trees):
        reached = np.asarray(game.chance) * np.asarray(game.payoffs)[i]
        for k, (x, own) in enumerate(zip(profile, game.form.sequences, strict=True)):
            reached = reached * (1 if k == i else np.asarray(x)[own])
        worth = np.bincount(game.form.sequences[i], reached, tree.num_sequences)
        for j in reversed(range(tree.num_sets)):
            first = 1 + j * tree.width
            worth[tree.parent[j]] += worth[first : first + int(tree.num_actions[j])].max()
        best[i] = worth[0]
    return best - value

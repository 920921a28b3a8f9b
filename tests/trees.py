"""Reduced plans and strategic payoffs of trees, in NumPy and in the order of Gambit's listings."""

import jax
import numpy as np


def in_numpy(game):
    """The game with NumPy's arrays, so that nothing is compiled."""
    return jax.tree.map(np.asarray, game)


def reduced_plans(game, player):
    """All reduced plans, lexicographic in the actions at the sets in the order of first visits."""
    tree = game.form.trees[player]
    place = np.argsort(game.form.order[player])
    found = []

    def extend(plan, number):
        for n in range(number, tree.num_sets):
            j = place[n]
            if plan[tree.parent[j]]:
                for k in range(tree.num_actions[j]):
                    more = plan.copy()
                    more[1 + j * tree.width + k] = 1
                    extend(more, n + 1)
                return
        found.append(plan)

    root = np.zeros(tree.num_sequences)
    root[0] = 1
    extend(root, 0)
    return np.array(found)


def strategic_payoffs(game, plans):
    """Every player's payoff at all pure profiles, shape `(players, *plans)`."""
    total = np.asarray(game.payoffs) * np.asarray(game.chance)
    for own, sequences in zip(plans, game.form.sequences, strict=True):
        total = total[..., None, :] * own[:, sequences]
    return total.sum(-1)

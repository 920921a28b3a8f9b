"""Writing Gambit's `.efg` format."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._history import LEAF, NATURE, History, InformationSet
from gamejax.extensive._imperfect_recall import ImperfectRecallGame
from gamejax.games import Labels
from gamejax.games._gambit_parts import braces, fill_names, format_number
from gamejax.games._gambit_tokens import quote

_LONGEST = 40
"""Numbers that are longer as fractions are written as decimals."""
_LARGEST_DENOMINATOR = 10**6
"""What probabilities given as floats are likely to stand for: fractions up to this denominator."""


def format_efg(game: SequenceFormGame | ImperfectRecallGame) -> str:
    """The game, every payoff with the digits that give it back exactly.

    Payoffs stand at the leaves. The probabilities of each chance node sum to 1 exactly.

    Raises:
        ValueError: it is a batch, its labels do not fit, a payoff is not finite, or its chances
            are no product of probabilities along the tree.
    """
    history = game.form.history if isinstance(game, SequenceFormGame) else game.history
    payoffs, chance = np.asarray(game.payoffs), np.asarray(game.chance)
    players, leaves = history.num_players, len(history.leaves)
    if payoffs.shape != (players, leaves) or chance.shape != (leaves,):
        raise ValueError(
            f"game must be one game with payoffs of shape {(players, leaves)}, got "
            f"{payoffs.shape}; write the games of a batch one by one."
        )
    if not np.isfinite(payoffs).all():
        raise ValueError("game must have finite payoffs, got some that are infinite or NaN.")
    labels = game.labels or Labels()
    names = labels.players or tuple(f"Player {i + 1}" for i in range(players))
    if len(names) != players:
        raise ValueError(f"game.labels must name {players} players, got {len(names)}.")
    lines = [f"EFG 2 R {quote(labels.title)} {braces(map(quote, fill_names(names)))}", '""', ""]
    return "\n".join([*lines, *_nodes(history, payoffs, _probabilities(history, chance))]) + "\n"


def _nodes(history: History, payoffs: np.ndarray, probabilities: list[Fraction]) -> list[str]:
    """One line per node, depth first."""
    sets = [_numbered(own) for own in history.information_sets]
    children = _children(history)
    names = history.chance_names or ("",) * len(history.chance_labels)
    lines = []
    moves = zip(history.player.tolist(), history.information.tolist(), strict=True)
    for node, (player, number) in enumerate(moves):
        if player == LEAF:
            exact = history.payoffs[number].tolist()
            own = [_payoff(*pair) for pair in zip(payoffs[:, number], exact, strict=True)]
            lines.append(f't "" {number + 1} "" {{ {", ".join(own)} }}')
        elif player == NATURE:
            pairs = zip(history.chance_labels[number], children[node], strict=True)
            words = [f"{quote(label)} {probabilities[child]}" for label, child in pairs]
            lines.append(f'c "" {number + 1} {quote(names[number])} {braces(words)} 0')
        else:
            lines.append(f'p "" {player + 1} {sets[player][number]} 0')
    return lines


def _numbered(sets: Sequence[InformationSet]) -> list[str]:
    """Number, name and actions of a player's information sets; positive numbers as keys stay."""
    keys = [s.key for s in sets]
    kept = all(type(key) is int and 0 < key < 10**18 for key in keys)
    written = []
    for place, one in enumerate(sets):
        number = one.key if kept else place + 1
        name = one.name if kept else one.title
        written.append(f"{number} {quote(name)} {braces(map(quote, fill_names(one.actions)))}")
    return written


def _children(history: History) -> list[list[int]]:
    """The nodes after each node, in the order of their branches."""
    children: list[list[int]] = [[] for _ in history.parent]
    for node, parent in enumerate(history.parent.tolist()):
        if node:
            children[parent].append(node)
    return children


def _payoff(value: Any, exact: Any) -> str:
    """The payoff as a decimal, or as the fraction it was given as where no decimal is that."""
    decimal = format_number(float(value))
    if not isinstance(exact, Fraction) or value.dtype.type(float(exact)) != value:
        return decimal
    word = str(exact)
    return decimal if len(word) > _LONGEST or Fraction(decimal) == exact else word


def _probabilities(history: History, chance: np.ndarray) -> list[Fraction]:
    """The probability of the branch to each node, exactly; those of a chance node sum to 1."""
    given: list[Any] = history.probability.tolist()
    known = history.leaf_chances().astype(chance.dtype)
    tolerance = 64 * float(np.finfo(chance.dtype).eps)
    if not np.allclose(chance, known, rtol=tolerance, atol=0):
        given = _branch_chances(history, chance.astype(float), given, tolerance**0.5)
    exact = [Fraction(1)] * len(given)
    for node, below in enumerate(_children(history)):
        if history.player[node] == NATURE:
            found = _summing_to_one([given[child] for child in below])
            for child, probability in zip(below, found, strict=True):
                exact[child] = probability
    return exact


def _branch_chances(
    history: History, chance: np.ndarray, given: list[Any], tolerance: float
) -> list[Any]:
    """The probabilities of nature's branches that give the leaves these chances."""
    reach = np.zeros(len(history.parent))
    reach[history.leaves] = chance
    result = list(given)
    for node, below in reversed(list(enumerate(_children(history)))):
        if history.player[node] == NATURE:
            reach[node] = reach[below].sum()
            if reach[node] > 0:
                for child in below:
                    result[child] = float(reach[child] / reach[node])
        elif below:
            reach[node] = reach[below[0]]
            if not np.allclose(reach[below], reach[node], rtol=tolerance, atol=0):
                raise ValueError(
                    "game.chance is no product of probabilities along the tree: below the actions "
                    f"of player {history.player[node]} at node {node} chances differ, "
                    f"{reach[below].tolist()}; form.history tells the nodes, and "
                    "game.leaf_chances(...) makes chances that fit."
                )
    if not np.isclose(reach[0], 1, rtol=tolerance, atol=0):
        raise ValueError(f"game.chance must be 1 in all at the root, got {reach[0]}.")
    return result


def _summing_to_one(given: list[Any]) -> list[Fraction]:
    """Fractions that sum to 1 and, where possible, round to these numbers."""
    numbers = [p if isinstance(p, int | Fraction) else float(p) for p in given]
    likely = [_likely(p) for p in numbers]
    if sum(likely) == 1:
        return likely
    exact = [Fraction(p) for p in numbers]
    missing = 1 - sum(exact, Fraction(0))
    # Each may move by less than half of the distance to the float below it.
    room = [
        Fraction(p - math.nextafter(p, 0)) if isinstance(p, float) else Fraction(0) for p in numbers
    ]
    total = sum(room, Fraction(0))
    if 2 * abs(missing) < total:
        return [p + missing * own / total for p, own in zip(exact, room, strict=True)]
    return [p / (1 - missing) for p in exact]


def _likely(probability: int | float | Fraction) -> Fraction:
    """The fraction of small denominator that a float stands for, or exactly what it is."""
    exact = Fraction(probability)
    if not isinstance(probability, float):
        return exact
    likely = exact.limit_denominator(_LARGEST_DENOMINATOR)
    return likely if float(likely) == probability else exact

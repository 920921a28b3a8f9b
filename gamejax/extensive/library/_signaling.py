"""Signaling games."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._rules import Chance, Decide, State, Terminal, chance, decide, terminal
from gamejax.extensive.library._made import made
from gamejax.games import Labels
from gamejax.games.library._checks import require


def signaling(
    prior: Any, sender: Any, receiver: Any, *, labels: Labels | None = None
) -> SequenceFormGame:
    r"""Nature draws the sender's type, the sender a message, the receiver an action.

    The receiver sees the message, not the type.

    Args:
        prior: probability of each type, shape `(types,)`.
        sender: the sender's payoffs, shape `(types, messages, actions)`.
        receiver: the receiver's payoffs, same shape.
        labels: title and names of the players.

    Raises:
        ValueError: shapes do not fit.

    References:
        spence1973.
    """
    tables = [np.asarray(table) for table in (prior, sender, receiver)]
    shape = tables[1].shape
    require(
        len(shape) == 3 and tables[2].shape == shape and tables[0].shape == shape[:1],
        "prior must have shape (types,) and sender and receiver (types, messages, actions), got "
        f"{tables[0].shape}, {shape} and {tables[2].shape}.",
    )
    labels = labels or Labels("Signaling game", ("sender", "receiver"))
    return made(_rules, *(_tuples(table.tolist()) for table in tables), None, labels=labels)


def beer_quiche(strong: Any = Fraction(9, 10)) -> SequenceFormGame:
    """Beer or quiche: the sender, strong or weak, has breakfast; the receiver may pick a duel.

    A strong sender likes beer, a weak one quiche, which is worth 1; not to be fought is worth 2.
    The receiver gets 1 for fighting the weak or sparing the strong, else 0.

    When `strong` is more than 1/2, both types pool in every equilibrium outcome: on beer, spared
    after it and fought after quiche with at least 1/2; or on quiche, spared after it and fought
    after beer with at least 1/2, which the intuitive criterion rejects.

    Args:
        strong: the probability of a strong sender.

    References:
        cho1987.
    """
    require(0 <= strong <= 1, f"strong must be from 0 to 1, got {strong}.")
    # Types strong, weak; messages beer, quiche; actions fight, spare.
    sender = (((1, 3), (0, 2)), ((0, 2), (1, 3)))
    receiver = (((0, 1), (0, 1)), ((1, 0), (1, 0)))
    words = (("strong", "weak"), ("beer", "quiche"), ("fight", "spare"))
    labels = Labels("Beer or quiche", ("sender", "receiver"))
    return made(_rules, (strong, 1 - strong), sender, receiver, words, labels=labels)


def _tuples(table: Any) -> Any:
    return tuple(_tuples(row) for row in table) if isinstance(table, list) else table


def _rules(
    prior: tuple[Any, ...],
    sender: tuple[Any, ...],
    receiver: tuple[Any, ...],
    words: tuple[tuple[str, ...], ...] | None,
) -> Callable[[State], Terminal | Chance | Decide]:
    shape = len(sender), len(sender[0]), len(sender[0][0])
    types, messages, actions = words or [tuple(str(k + 1) for k in range(n)) for n in shape]

    def rules(state: State) -> Terminal | Chance | Decide:
        if not state:
            return chance([(p, (t,)) for t, p in enumerate(prior)], labels=types)
        if len(state) == 3:
            t, message, action = state
            return terminal((sender[t][message][action], receiver[t][message][action]))
        player = len(state) - 1
        names = actions if player else messages
        known = messages[state[1]] if player else types[state[0]]
        return decide(player, known, [(name, (*state, k)) for k, name in enumerate(names)])

    return rules

"""Liar's dice."""

import itertools
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._rules import Chance, Decide, State, Terminal, chance, decide, terminal
from gamejax.extensive.library._made import made, require_count, seats
from gamejax.games import Labels


def liars_dice(num_dice: int = 1, num_sides: int = 6) -> SequenceFormGame:
    """Liar's dice for two: bids on how many of all dice show a face, until one calls the liar.

    Both roll in secret; each bid must be higher than the one before, in number or, for the same
    number, in face. The highest face is wild: it counts as every face. Who called gets 1 from the
    bidder when fewer dice than bid show the face, and pays 1 when not.

    The tree doubles with every possible bid: one die of six sides each makes 294,877 nodes.

    Args:
        num_dice: how many dice each player has.
        num_sides: how many sides a die has.

    References:
        lisy2015.
    """
    require_count(num_dice, "num_dice", 1)
    require_count(num_sides, "num_sides", 1)
    return made(_rules, num_dice, num_sides, labels=Labels("Liar's dice", seats(2)))


def _rules(num_dice: int, num_sides: int) -> Callable[[State], Terminal | Chance | Decide]:
    faces = range(1, num_sides + 1)
    rolls = Counter(tuple(sorted(roll)) for roll in itertools.product(faces, repeat=num_dice))
    names = {roll: "".join(map(str, roll)) for roll in rolls}
    bids = [(count, face) for count in range(1, 2 * num_dice + 1) for face in faces]
    words = [f"{count}x{face}" for count, face in bids]

    def holds(both: tuple[int, ...], bid: int) -> bool:
        count, face = bids[bid]
        return sum(die in (face, num_sides) for die in both) >= count

    true = {
        (one, two): [holds(one + two, bid) for bid in range(len(bids))]
        for one in rolls
        for two in rolls
    }

    def rules(state: State) -> Terminal | Chance | Decide:
        if not state:
            pairs = list(itertools.product(rolls, rolls))
            total = num_sides ** (2 * num_dice)
            return chance(
                [(Fraction(rolls[a] * rolls[b], total), ((a, b), (), False)) for a, b in pairs],
                labels=[f"{names[a]} {names[b]}" for a, b in pairs],
            )
        dice, made_bids, called = state
        player = len(made_bids) % 2
        if called:
            gain = -1 if true[dice][made_bids[-1]] else 1
            return terminal((gain, -gain) if player == 0 else (-gain, gain))
        lowest = made_bids[-1] + 1 if made_bids else 0
        after = [(words[bid], (dice, (*made_bids, bid), False)) for bid in range(lowest, len(bids))]
        if made_bids:
            after.append(("liar", (dice, made_bids, True)))
        return decide(player, (names[dice[player]], *made_bids), after)

    return rules

"""Goofspiel."""

from collections.abc import Callable
from fractions import Fraction

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._rules import Chance, Decide, State, Terminal, chance, decide, terminal
from gamejax.extensive.library._made import made, require_count, seats
from gamejax.games import Labels
from gamejax.games.library._checks import require

_PRIZES = ("falling", "rising", "random")
_PAYOFFS = ("sign", "difference")


def goofspiel(
    num_cards: int = 4,
    prizes: str = "falling",
    bids_seen: bool = True,
    payoffs: str = "sign",
) -> SequenceFormGame:
    """Goofspiel: both bid one of their cards 1 to n at once for each of the prizes 1 to n.

    The higher card takes the prize, equal cards leave it to nobody; a card is bid once. The last
    round leaves no choice and is played at once. Symmetric: the value is 0.

    Args:
        num_cards: how many cards each player has, and how many prizes there are.
        prizes: their order: `"falling"`, `"rising"`, or `"random"` and seen before each round.
        bids_seen: whether the players see both cards after each round, or only who won it.
        payoffs: who won, as the `"sign"` of the difference of scores, or the `"difference"`.

    References:
        ross1971.
    """
    require_count(num_cards, "num_cards", 2)
    require(prizes in _PRIZES, f"prizes must be one of {_PRIZES}, got {prizes!r}.")
    require(payoffs in _PAYOFFS, f"payoffs must be one of {_PAYOFFS}, got {payoffs!r}.")
    labels = Labels("Goofspiel", seats(2))
    return made(_rules, num_cards, prizes, bool(bids_seen), payoffs, labels=labels)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _rules(
    num_cards: int, prizes: str, bids_seen: bool, payoffs: str
) -> Callable[[State], Terminal | Chance | Decide]:
    cards = range(1, num_cards + 1)

    def rules(state: State) -> Terminal | Chance | Decide:
        shown, bids = state or ((), ((), ()))
        played = len(bids[1])
        if played == num_cards - 1:
            return terminal(_payoffs(cards, shown, bids, payoffs))
        if len(shown) == played:
            left = [c for c in cards if c not in shown]
            if prizes == "random":
                each = Fraction(1, len(left))
                return chance(
                    [(each, ((*shown, c), bids)) for c in left], labels=[str(c) for c in left]
                )
            shown = (*shown, left[-1] if prizes == "falling" else left[0])
        player = len(bids[0]) - played
        known = tuple(tuple(b[:played]) for b in bids)
        if not bids_seen:
            won = tuple(_sign(a - b) for a, b in zip(*known, strict=True))
            known = (known[player], won)
        prize = shown if prizes == "random" else ()
        after = [
            (str(c), (shown, (bids[0], (*bids[1], c)) if player else ((*bids[0], c), bids[1])))
            for c in cards
            if c not in bids[player]
        ]
        return decide(player, (*known, prize) if prize else known, after)

    return rules


def _payoffs(
    cards: range, shown: tuple[int, ...], bids: tuple[tuple[int, ...], ...], payoffs: str
) -> tuple[int, int]:
    """What both get when the forced last round has been played too."""
    prizes, first, second = ((*done, *(set(cards) - set(done))) for done in (shown, *bids))
    score = sum(p * _sign(a - b) for p, a, b in zip(prizes, first, second, strict=True))
    score = _sign(score) if payoffs == "sign" else score
    return score, -score

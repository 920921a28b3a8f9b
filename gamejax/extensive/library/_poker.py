"""Small pokers."""

import itertools
from collections.abc import Callable
from fractions import Fraction

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._rules import Chance, Decide, State, Terminal, chance, decide, terminal
from gamejax.extensive.library._made import made, require_count, seats
from gamejax.games import Labels
from gamejax.games.library._checks import require

Rules = Callable[[State], Terminal | Chance | Decide]


def kuhn(num_cards: int = 3, num_players: int = 2) -> SequenceFormGame:
    r"""Kuhn poker: an ante of 1, one card each, one bet of 1.

    In turn the players check or bet; once one has bet, the others fold or call, in turn. The
    highest card among those who did not fold takes the pot. A player knows its card and all moves.

    With three cards and two players the value is $-1/18$, and the equilibria of the first player
    are a family in $\alpha \in [0, 1/3]$: bet the jack with probability $\alpha$, the king with
    $3\alpha$, never the queen; call with the queen with $\alpha + 1/3$ and always with the king.
    The second player has one: bet the jack with 1/3, call with the queen with 1/3, bet and call
    with the king, check with the queen.

    Args:
        num_cards: how many different cards, at least one each.
        num_players: how many players, at least 2.

    References:
        kuhn1950.
    """
    require_count(num_players, "num_players", 2)
    require_count(num_cards, "num_cards", num_players)
    labels = Labels("Kuhn poker", seats(num_players))
    return made(_kuhn_rules, num_cards, num_players, labels=labels)


def leduc(num_ranks: int = 3, num_suits: int = 2, suits_seen: bool = True) -> SequenceFormGame:
    """Leduc hold'em: an ante of 1, one card each, a public card, two rounds of betting.

    In each round the players check or raise in turn, by 2 chips in the first and by 4 in the
    second, at most two raises a round; who faces a raise may fold. A pair with the public card
    wins, else the higher rank; equal ranks share the pot.

    The value of the usual game (three ranks, two suits) is -0.085606 to the first player. Suits
    mean nothing: a game that hides them has fewer information sets and the same equilibria.

    Args:
        num_ranks: how many ranks.
        num_suits: how many cards of each rank.
        suits_seen: whether players tell cards of one rank apart.

    References:
        southey2005.
    """
    require_count(num_ranks, "num_ranks", 1)
    require_count(num_suits, "num_suits", 1)
    require(num_ranks * num_suits >= 3, "num_ranks * num_suits must be at least 3 cards.")
    labels = Labels("Leduc hold'em", seats(2))
    return made(_leduc_rules, num_ranks, num_suits, bool(suits_seen), labels=labels)


def _rank_names(count: int) -> tuple[str, ...]:
    return tuple("JQK") if count == 3 else tuple(str(k + 1) for k in range(count))


def _kuhn_rules(num_cards: int, num_players: int) -> Rules:
    names = _rank_names(num_cards)

    def rules(state: State) -> Terminal | Chance | Decide:
        if not state:
            deals = list(itertools.permutations(range(num_cards), num_players))
            return chance(
                [(Fraction(1, len(deals)), (deal, "")) for deal in deals],
                labels=["".join(names[c] for c in deal) for deal in deals],
            )
        cards, moves = state
        bettor = moves.find("b")
        if len(moves) == num_players + max(bettor, 0):
            return terminal(_kuhn_payoffs(cards, moves, bettor))
        player = len(moves) % num_players
        words = ("check", "bet") if bettor < 0 else ("fold", "call")
        return decide(
            player,
            f"{names[cards[player]]} {moves}".strip(),
            [(word, (cards, moves + move)) for word, move in zip(words, "pb", strict=True)],
        )

    return rules


def _kuhn_payoffs(cards: tuple[int, ...], moves: str, bettor: int) -> list[int]:
    players = range(len(cards))
    paid = [2 if "b" in moves[i :: len(cards)] else 1 for i in players]
    winner = max((i for i in players if bettor < 0 or paid[i] == 2), key=lambda i: cards[i])
    return [sum(paid) * (i == winner) - paid[i] for i in players]


def _leduc_rules(num_ranks: int, num_suits: int, suits_seen: bool) -> Rules:
    deck = range(num_ranks * num_suits)
    ranks = _rank_names(num_ranks)
    suits = [chr(ord("a") + k) if suits_seen else "" for k in range(num_suits)]
    names = [rank + suit for rank in ranks for suit in suits]

    def rules(state: State) -> Terminal | Chance | Decide:
        if not state:
            deals = list(itertools.permutations(deck, 2))
            each = Fraction(1, len(deals))
            return chance(
                [(each, (deal, "", None, "")) for deal in deals],
                labels=[f"{names[a]} {names[b]}" for a, b in deals],
            )
        cards, first, public, second = state
        if public is None and _round_over(first):
            left = [c for c in deck if c not in cards]
            each = Fraction(1, len(left))
            return chance(
                [(each, (cards, first, c, "")) for c in left], labels=[names[c] for c in left]
            )
        moves = first if public is None else second
        if moves.endswith("f") or (public is not None and _round_over(second)):
            return terminal(_leduc_payoffs([c // num_suits for c in (*cards, public or 0)], state))
        player = len(moves) % 2
        seen = "" if public is None else f" {names[public]} {second}"
        after = [
            (
                word,
                (cards, first, public, second + move) if seen else (cards, first + move, None, ""),
            )
            for word, move in _options(moves)
        ]
        return decide(player, f"{names[cards[player]]} {first}{seen}".strip(), after)

    return rules


def _options(moves: str) -> list[tuple[str, str]]:
    """What may be done after these moves of a round: words and letters."""
    if not moves.endswith("r"):
        return [("check", "c"), ("raise", "r")]
    raising = [("raise", "r")] if moves.count("r") < 2 else []
    return [("fold", "f"), ("call", "c"), *raising]


def _round_over(moves: str) -> bool:
    return len(moves) > 1 and moves.endswith("c")


def _leduc_payoffs(ranks: list[int], state: State) -> tuple[int, int]:
    _, first, _, second = state
    folded = second.endswith("f") or first.endswith("f")
    last = second or first
    stake = 1 + 2 * first.count("r") + 4 * second.count("r")
    if folded:
        stake -= 4 if second else 2
        loser = (len(last) - 1) % 2
        return (-stake, stake) if loser == 0 else (stake, -stake)
    strength = [ranks[i] + len(ranks) * 10**6 * (ranks[i] == ranks[2]) for i in range(2)]
    sign = (strength[0] > strength[1]) - (strength[0] < strength[1])
    return sign * stake, -sign * stake

"""Small trees of the textbooks."""

from collections.abc import Callable
from typing import Any

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._rules import Decide, State, Terminal, decide, terminal
from gamejax.extensive.library._made import made, require_count
from gamejax.games import Labels
from gamejax.games.library._checks import require

Rules = Callable[[State], Terminal | Decide]


def matching_pennies() -> SequenceFormGame:
    """Matching pennies as a tree: the second player chooses without seeing the first's penny.

    The first gains 1 when they match and loses 1 when not. Both play uniformly in the only
    equilibrium; value 0.
    """
    return made(_pennies, labels=Labels("Matching pennies", ("matcher", "mismatcher")))


def seltens_horse() -> SequenceFormGame:
    """Selten's horse: three players, of whom the third does not know who left the way across.

    The first goes down or across, then the second down or across, which ends the game with 1 for
    all. After either has gone down, the third chooses left or right: (3, 3, 2) or nothing after
    the first, (4, 4, 0) or (0, 0, 1) after the second.

    Nash equilibria: (down, across with at least 1/3, left) and (across, across, right with at
    least 3/4). Only the second kind is sequential: after the first, the second player would gain
    by going down.

    References:
        selten1975.
    """
    return made(_horse, labels=Labels("Selten's horse", ("player 1", "player 2", "player 3")))


def centipede(
    num_moves: int = 4, large: float = 0.4, small: float = 0.1, growth: float = 2
) -> SequenceFormGame:
    r"""The centipede: two players in turn take the larger of two piles or let both grow.

    Who takes at move $k = 0, 1, \dots$ gets $L g^k$ and leaves $s g^k$ to the other. When nobody
    takes, it ends as if the next player took after the last move.

    With $L > s g$ taking at once is the only subgame-perfect outcome, and the outcome of all Nash
    equilibria: payoffs $(L, s)$.

    Args:
        num_moves: how many moves the game has at most.
        large: the larger pile at the start, $L$.
        small: the smaller pile at the start, $s$.
        growth: what both are multiplied by at each move, $g$.

    References:
        rosenthal1981; mckelvey1992.
    """
    require_count(num_moves, "num_moves", 1)
    require(
        large >= small >= 0, f"large must be at least small and both 0 or more: {large}, {small}."
    )
    require(growth > 0, f"growth must be positive, got {growth}.")
    labels = Labels("Centipede", ("first", "second"))
    return made(_centipede, num_moves, large, small, growth, labels=labels)


def _pennies() -> Rules:
    def rules(state: State) -> Terminal | Decide:
        if len(state) == 2:
            gain = 1 if state[0] == state[1] else -1
            return terminal((gain, -gain))
        after = [(side, (*state, side)) for side in ("heads", "tails")]
        return decide(len(state), "", after)

    return rules


def _horse() -> Rules:
    ends: dict[Any, tuple[int, int, int]] = {
        ("across", "across"): (1, 1, 1),
        ("down", "left"): (3, 3, 2),
        ("down", "right"): (0, 0, 0),
        ("across", "down", "left"): (4, 4, 0),
        ("across", "down", "right"): (0, 0, 1),
    }

    def rules(state: State) -> Terminal | Decide:
        if state in ends:
            return terminal(ends[state])
        player = 2 if "down" in state else len(state)
        moves = ("left", "right") if player == 2 else ("down", "across")
        return decide(player, "", [(move, (*state, move)) for move in moves])

    return rules


def _centipede(num_moves: int, large: Any, small: Any, growth: Any) -> Rules:
    def ended(move: int) -> Terminal:
        piles = large * growth**move, small * growth**move
        return terminal(piles if move % 2 == 0 else piles[::-1])

    def rules(state: State) -> Terminal | Decide:
        move, taken = state or (0, False)
        if taken or move == num_moves:
            return ended(move)
        return decide(move % 2, move, [("take", (move, True)), ("pass", (move + 1, False))])

    return rules

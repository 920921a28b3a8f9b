"""Reading Gambit's `.efg` format: game trees, exactly."""

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from gamejax.extensive._game import SequenceFormGame, from_history
from gamejax.extensive._history import walk
from gamejax.extensive._imperfect_recall import ImperfectRecallGame
from gamejax.extensive._recall import forgotten
from gamejax.extensive._rules import Chance, Decide, Terminal, chance, decide, terminal
from gamejax.games import Labels
from gamejax.games._gambit_parts import fill_names, read_heading
from gamejax.games._gambit_tokens import MAX_EXACT, Token, Tokens, parse_exact

Exact = int | Fraction
Total = tuple[Exact, ...]
"""What each player has been paid so far."""

_WHOLE = re.compile(r"[0-9]{1,18}")
_MOST_SHOWN = 8
_SHORTEST_NODE, _FEW = len("t 0"), 1000


def parse_efg(tokens: Tokens, dtype: Any) -> SequenceFormGame | ImperfectRecallGame:
    """The game of a tree; `ImperfectRecallGame` where a player forgets.

    The nodes take time and memory in proportion to the text, whatever it says; their padded
    sequence form may take more, which is refused where there is not enough.

    Raises:
        GameFileError: the text is no `.efg` game, or a number does not fit `dtype`.
    """
    title, players = read_heading(tokens, "EFG", "2")
    if tokens.peek().kind == "string":
        tokens.take()  # the comment
    reader = _Reader(tokens, len(players), np.dtype(dtype))
    history = walk(reader.node, (0,) * len(players))
    token = tokens.peek()
    if token.kind != "end":
        raise tokens.error(f"the end of the file after {reader.num_nodes} nodes", token)
    labels = Labels(title, players)
    if forgotten(history):
        return ImperfectRecallGame(history, labels=labels)
    try:
        return from_history(history, labels=labels)
    except ValueError as error:
        raise tokens.error("a tree that fits into memory", str(error)) from None


class _Move(NamedTuple):
    """What a set of nodes has in common."""

    name: str
    actions: tuple[str, ...]
    probabilities: tuple[Exact, ...] = ()


class _Reader:
    """Reads one node per call; nodes stand in the order of a depth-first walk.

    Args:
        tokens: the text, after the heading.
        num_players: how many players there are.
        dtype: what payoffs have to fit into.
    """

    def __init__(self, tokens: Tokens, num_players: int, dtype: np.dtype):
        self.tokens, self.num_players = tokens, num_players
        self.largest = int(np.finfo(dtype).max)
        self.number = (
            f"a finite {dtype} number such as 3, -0.5, 2e3 or 3/4 of at most {MAX_EXACT} characters"
        )
        self.num_nodes, self.num_open = 0, 1
        self.moves: dict[tuple[int, int], _Move] = {}
        self.outcomes: dict[int, Total] = {0: (0,) * num_players}

    def node(self, before: Total) -> Terminal | Chance | Decide:
        """The next node of the file; `before` is what has been paid on the way to it."""
        token = self.tokens.take()
        if token.kind != "word" or token.text not in ("c", "p", "t"):
            raise self.tokens.error(
                f"a node, c, p or t ({self.num_open} more to come after {self.num_nodes})", token
            )
        self.num_nodes += 1
        if self.tokens.peek().kind == "string":
            self.tokens.take()  # the node's label
        if token.text == "t":
            self.num_open -= 1
            return terminal(self._paid(before))
        # Chance has numbers of its own, and so has each player.
        player = self._player() if token.text == "p" else -1
        whose = f"player {player + 1}'s information set" if token.text == "p" else "chance's set"
        _, number = self._whole(f"the number of {whose}")
        move = self._move((player, number), f"{whose} {number}")
        total = self._paid(before)
        self._open(len(move.actions))
        if token.text == "p":
            return decide(player, number, [(a, total) for a in move.actions], name=move.name)
        branches = list(zip(move.probabilities, itertools.repeat(total), strict=False))
        return chance(branches, labels=move.actions, name=move.name)

    def _open(self, num_actions: int) -> None:
        """Count the nodes to come, at most some more than the text can hold."""
        self.num_open += num_actions - 1
        left = self.tokens.num_left
        if (self.num_open - _FEW) * _SHORTEST_NODE > left:
            raise self.tokens.error(f"{self.num_open} more nodes", f"{left} more characters")

    def _player(self) -> int:
        token, number = self._whole(f"a player's number, 1 to {self.num_players}")
        if not 1 <= number <= self.num_players:
            raise self.tokens.error(f"a player's number, 1 to {self.num_players}", token)
        return number - 1

    def _whole(self, expected: str) -> tuple[Token, int]:
        token = self.tokens.take()
        if token.kind != "word" or not _WHOLE.fullmatch(token.text):
            raise self.tokens.error(expected, token)
        return token, int(token.text)

    def _move(self, key: tuple[int, int], what: str) -> _Move:
        """The name and the actions of a set: given here, or where it appeared before."""
        known, name = self.moves.get(key), None
        if self.tokens.peek().kind == "string":
            name = self.tokens.take().text
        if self.tokens.peek().kind == "{":
            self.tokens.take()
            given = self._chances(what) if key[0] < 0 else _Move("", self._actions())
            if known is not None:
                self._compare(known, given, what)
        elif known is None:
            expected = f"a name and '{{' with the actions of {what}, which is new here"
            raise self.tokens.error(expected, self.tokens.take())
        else:
            given = known
        move = _Move(name or given.name, *given[1:]) if known is None else known
        self.moves[key] = move
        return move

    def _compare(self, known: _Move, given: _Move, what: str) -> None:
        if len(known.actions) != len(given.actions):
            raise self.tokens.error(
                f"{len(known.actions)} actions, as {what} had before", f"{len(given.actions)}"
            )
        if known.probabilities != given.probabilities:
            raise self.tokens.error(
                f"the probabilities that {what} had before, {_shown(known.probabilities)}",
                _shown(given.probabilities),
            )

    def _actions(self) -> tuple[str, ...]:
        expected = "an action's name in quotation marks"
        names = [self.tokens.expect("string", expected)]
        while self.tokens.peek().kind == "string":
            names.append(self.tokens.take().text)
        self.tokens.expect("}", f"{expected} or '}}'")
        return fill_names(names)

    def _chances(self, what: str) -> _Move:
        names: list[str] = []
        probabilities: list[Exact] = []
        expected = "an action's name in quotation marks"
        while not names or self.tokens.peek().kind == "string":
            names.append(self.tokens.expect("string", expected))
            token = self.tokens.peek()
            probability = self._number()
            if probability < 0:
                raise self.tokens.error("a probability of at least 0", token)
            probabilities.append(probability)
        total = sum(probabilities)
        if total != 1:
            raise self.tokens.error(
                f"probabilities of {what} that sum to 1",
                f"{_shown(probabilities)}, in all {_short(total)}",
            )
        self.tokens.expect("}", f"{expected} or '}}'")
        return _Move("", fill_names(names), tuple(probabilities))

    def _number(self) -> Exact:
        token = self.tokens.take()
        value = parse_exact(token.text, self.largest) if token.kind == "word" else None
        if value is None:
            raise self.tokens.error(self.number, token)
        return value

    def _paid(self, before: Total) -> Total:
        """What has been paid after the outcome that stands here."""
        token, number = self._whole("the number of an outcome, or 0 for none")
        if self.tokens.peek().kind in ("string", "{"):
            self._outcome(token, number)
        if number not in self.outcomes:
            raise self.tokens.error("an outcome that was given before, or its name here", token)
        if number == 0:
            return before
        total = tuple(a + b for a, b in zip(before, self.outcomes[number], strict=True))
        if any(abs(payoff) > self.largest for payoff in total):
            raise self.tokens.error("payoffs whose sum is finite", token)
        return total

    def _outcome(self, token: Token, number: int) -> None:
        """Read the name and the payoffs of an outcome."""
        if number == 0:
            raise self.tokens.error("a positive number for an outcome with payoffs", token)
        if self.tokens.peek().kind == "string":
            self.tokens.take()
        self.tokens.expect("{", f"'{{' and the payoffs of outcome {number}")
        payoffs = tuple(self._number() for _ in range(self.num_players))
        known = self.outcomes.setdefault(number, payoffs)
        if known != payoffs:
            raise self.tokens.error(
                f"the payoffs that outcome {number} had before, {_shown(known)}", _shown(payoffs)
            )
        self.tokens.expect("}", f"'}}' after the payoffs of {self.num_players} players")


def _shown(numbers: Sequence[Exact]) -> str:
    """Numbers in braces, the first few."""
    more = ["..."] if len(numbers) > _MOST_SHOWN else []
    return "{ " + " ".join([*map(_short, numbers[:_MOST_SHOWN]), *more]) + " }"


def _short(number: Exact) -> str:
    """A number exactly where that is short."""
    return str(number) if len(str(number)) <= 20 else f"{float(number):.6g}"

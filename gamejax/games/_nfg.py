"""Gambit's `.nfg` format: finite games in strategic form, payoff lists or outcome lists."""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np

from gamejax.games._base import Labels
from gamejax.games._gambit_parts import (
    braces,
    default_names,
    format_number,
    read_heading,
    read_names,
)
from gamejax.games._gambit_tokens import Tokens, parse_number, quote

_COUNT = re.compile(r"[0-9]{1,18}")

Value = TypeVar("Value", float, int)


def parse_nfg(tokens: Tokens, dtype: Any) -> tuple[np.ndarray, Labels]:
    """The payoffs `(m, n_1, ..., n_m)` and the names of a game, in either form.

    Nothing larger than the text is built before the counts are known to agree with it.

    Raises:
        GameFileError: the text is no `.nfg` game, or a number does not fit `dtype`.
    """
    title, players = read_heading(tokens, "NFG", "1")
    counts, actions = _read_strategies(tokens, len(players))
    if tokens.peek().kind == "string":
        tokens.take()  # the comment
    read = _read_outcome_form if tokens.peek().kind == "{" else _read_payoff_form
    profiles = read(tokens, counts, np.dtype(dtype))
    # The first player's action varies fastest, then the second's, ...; all axes are reversed.
    payoffs = profiles.reshape(*reversed(counts), len(players)).T
    names = tuple(default_names(n) for n in counts) if actions is None else actions
    return np.ascontiguousarray(payoffs), Labels(title, players, names)


def format_nfg(payoffs: np.ndarray, labels: Labels) -> str:
    """The game in payoff form, every number with the digits that give it back exactly."""
    counts = payoffs.shape[1:]
    lines = [f"NFG 1 R {quote(labels.title)}", braces(map(quote, labels.players))]
    if labels.actions == tuple(default_names(n) for n in counts):
        lines.append(braces(map(str, counts)))
    else:
        lines += ["{", *(f"  {braces(map(quote, names))}" for names in labels.actions), "}"]
    lines += ['""', ""]
    for row in payoffs.T.reshape(-1, counts[0], len(counts)).tolist():
        lines.append("  ".join(" ".join(map(format_number, profile)) for profile in row))
    return "\n".join(lines) + "\n"


def _read_strategies(
    tokens: Tokens, num_players: int
) -> tuple[tuple[int, ...], tuple[tuple[str, ...], ...] | None]:
    """How many strategies each player has, and their names where the file gives them."""
    tokens.expect("{", "'{' and the players' strategies")
    if tokens.peek().kind == "{":
        actions = []
        for _ in range(num_players):
            tokens.expect("{", f"'{{' and strategy names for each of {num_players} players")
            actions.append(read_names(tokens, "a strategy's name in quotation marks"))
        names = tuple(actions)
        counts = tuple(len(a) for a in names)
    else:
        names = None
        counts = tuple(_read_count(tokens, num_players) for _ in range(num_players))
    tokens.expect("}", f"'}}' after the strategies of {num_players} players")
    return counts, names


def _read_count(tokens: Tokens, num_players: int) -> int:
    token = tokens.take()
    if token.kind != "word" or not _COUNT.fullmatch(token.text) or int(token.text) == 0:
        raise tokens.error(
            f"a positive number of strategies for each of {num_players} players", token
        )
    return int(token.text)


def _read_payoff_form(tokens: Tokens, counts: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    num_players = len(counts)
    expected, parse = _number_reader(dtype)
    payoffs = _read_rest(
        tokens, counts, num_players, "payoffs", expected, parse, dtype.itemsize * num_players
    )
    return np.array(payoffs, dtype).reshape(-1, num_players)


def _read_outcome_form(tokens: Tokens, counts: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    num_players = len(counts)
    expected, parse = _number_reader(dtype)
    tokens.expect("{", "'{' and the outcomes")
    outcomes = [[0.0] * num_players]  # outcome 0: nobody gains anything
    while tokens.peek().kind == "{":
        tokens.take()
        tokens.expect("string", "the outcome's name in quotation marks")
        payoffs = []
        for _ in range(num_players):
            token = tokens.take()
            value = parse(token.text) if token.kind == "word" else None
            if value is None:
                raise tokens.error(expected, token)
            payoffs.append(value)
        tokens.expect("}", f"'}}' after the payoffs of {num_players} players")
        outcomes.append(payoffs)
    tokens.expect("}", "'{' and an outcome, or '}'")

    def index(word: str) -> int | None:
        number = int(word) if _COUNT.fullmatch(word) else -1
        return number if 0 <= number < len(outcomes) else None

    expected = f"an outcome's number, 0 to {len(outcomes) - 1}"
    indices = _read_rest(
        tokens, counts, 1, "outcome numbers", expected, index, dtype.itemsize * num_players
    )
    return np.array(outcomes, dtype)[np.array(indices, np.intp)]


def _number_reader(dtype: np.dtype) -> tuple[str, Callable[[str], float | None]]:
    """What a payoff must be, in words, and how it is read."""
    largest = float(np.finfo(dtype).max)
    return (
        f"a finite {dtype} number such as 3, -0.5, 2e3 or 3/4",
        lambda word: parse_number(word, largest),
    )


def _read_rest(
    tokens: Tokens,
    counts: tuple[int, ...],
    per_profile: int,
    what: str,
    expected: str,
    parse: Callable[[str], Value | None],
    bytes_per_profile: int,
) -> list[Value]:
    """The values up to the end of the file: `per_profile` for every action profile."""
    words = tokens.rest()
    num_profiles = math.prod(counts)
    needed = num_profiles * per_profile
    values = []
    for i, word in enumerate(words[:needed]):
        value = parse(word)
        if value is None:
            raise tokens.rest_error(expected, i)
        values.append(value)
    if len(words) < needed:
        size = " x ".join(map(str, counts))
        raise tokens.error(
            f"{_amount(needed)} {what} for {size} strategies (a game of "
            f"{_amount(num_profiles * bytes_per_profile)} bytes)",
            str(len(words)),
        )
    if len(words) > needed:
        raise tokens.rest_error(f"the end of the file after {needed} {what}", needed)
    return values


def _amount(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"{Decimal(number):.2e}"

"""What Gambit's text formats share: the heading, names, and how numbers are written."""

from collections.abc import Iterable, Sequence

from gamejax.games._gambit_tokens import Tokens

_MAX_PLAYERS = 63  # a payoff tensor has one axis more, and NumPy arrays have at most 64


def read_heading(tokens: Tokens, kind: str, version: str) -> tuple[str, tuple[str, ...]]:
    """The title and the players' names, for example of `NFG 1 R "title" { "a" "b" }`."""
    for allowed, meaning in (
        ((kind,), f"'{kind}'"),
        ((version,), f"format version {version}"),
        (("R", "D"), "number type R or D"),
    ):
        token = tokens.take()
        if token.kind != "word" or token.text not in allowed:
            raise tokens.error(meaning, token)
    title = tokens.expect("string", "the title in quotation marks")
    tokens.expect("{", "'{' and the players' names")
    players = read_names(tokens, "a player's name in quotation marks")
    if len(players) > _MAX_PLAYERS:
        raise tokens.error(f"at most {_MAX_PLAYERS} players", str(len(players)))
    return title, players


def read_names(tokens: Tokens, expected: str) -> tuple[str, ...]:
    """The quoted names, at least one, up to and with the closing brace."""
    names = [tokens.expect("string", expected)]
    while tokens.peek().kind != "}":
        names.append(tokens.expect("string", f"{expected} or '}}'"))
    tokens.take()
    return fill_names(names)


def default_names(count: int) -> tuple[str, ...]:
    """What Gambit calls actions that have no names: 1, 2, ..."""
    return tuple(str(i + 1) for i in range(count))


def fill_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names with their number (from 1) in place of empty ones."""
    return tuple(name or str(i + 1) for i, name in enumerate(names))


def braces(words: Iterable[str]) -> str:
    """The words in braces."""
    return "{ " + " ".join(words) + " }"


def format_number(value: float) -> str:
    """The shortest decimal that gives the number back exactly."""
    return repr(value).removesuffix(".0")

"""The words of Gambit's text formats, and the error that says where one of them is wrong."""

import itertools
import re
from fractions import Fraction
from typing import Literal, NamedTuple

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Possessive repeats: a hostile file costs time linear in its length.
_TOKEN = re.compile(
    rf'[\s,]*+(?:(?P<brace>[{{}}])|(?P<string>{_STRING})|(?P<word>[^\s,{{}}"]++)|(?P<open>")|\Z)',
    re.DOTALL,
)
_RAW = re.compile(rf'{_STRING}|[^\s,{{}}"]++|[{{}}"]', re.DOTALL)
_NEWLINE = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+/[0-9]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_MAX_SHOWN = 40
MAX_EXACT = 1000
"""The longest number, in characters, that is read exactly: fractions of longer ones get slow."""
_MAX_EXPONENT = 400  # beyond the range of float64, in which numbers end up


class GameFileError(ValueError):
    """A game file is malformed: `<source>:<line>: expected X, found Y`."""


class Token(NamedTuple):
    """One word, brace, quoted text or the end of the file, and where it starts."""

    kind: Literal["word", "string", "{", "}", "end"]
    text: str
    start: int


class Tokens:
    """Reads a text token by token; commas count as white space, as Gambit's files use them.

    Args:
        text: the whole file.
        source: what error messages call it.
    """

    def __init__(self, text: str, source: str):
        self.text = text.removeprefix("\ufeff")
        self.source = source
        self._position = 0
        self._ahead: tuple[int, tuple[Token, int]] | None = None

    def peek(self) -> Token:
        """The next token, which stays the next one."""
        return self._match()[0]

    def take(self) -> Token:
        """The next token."""
        token, self._position = self._match()
        return token

    def expect(self, kind: str, expected: str) -> str:
        """The text of the next token, which must be of this kind."""
        token = self.take()
        if token.kind != kind:
            raise self.error(expected, token)
        return token.text

    @property
    def num_left(self) -> int:
        """How many characters are left."""
        return len(self.text) - self._position

    def rest(self) -> list[str]:
        """All the tokens that are left, as they are written."""
        return _RAW.findall(self.text, self._position)

    def rest_error(self, expected: str, index: int) -> GameFileError:
        """The error that `rest()[index]` is not what is expected."""
        raw = next(itertools.islice(_RAW.finditer(self.text, self._position), index, None))
        return self.error(expected, Token("word", raw[0], raw.start()))

    def error(self, expected: str, found: Token | str) -> GameFileError:
        """The error that `found` stands where something else is expected."""
        if isinstance(found, str):
            start, shown = self.peek().start, found
        else:
            start, shown = found.start, _describe(found)
        line = 1 + sum(1 for _ in _NEWLINE.finditer(self.text, 0, start))
        return GameFileError(f"{self.source}:{line}: expected {expected}, found {shown}")

    def _match(self) -> tuple[Token, int]:
        """The next token and where it ends; looked at again, it is not read again."""
        if self._ahead is None or self._ahead[0] != self._position:
            self._ahead = self._position, self._read()
        return self._ahead[1]

    def _read(self) -> tuple[Token, int]:
        match = _TOKEN.match(self.text, self._position)
        assert match is not None  # the pattern covers every character and the end
        kind = match.lastgroup
        start = match.end() if kind is None else match.start(kind)
        if kind == "open":
            raise self.error("a closing quotation mark", Token("end", "", start))
        if kind is None:
            return Token("end", "", start), match.end()
        text = match[kind]
        if kind == "string":
            return Token("string", unquote(text), start), match.end()
        if text == "{" or text == "}":
            return Token(text, text, start), match.end()
        return Token("word", text, start), match.end()


def _describe(token: Token) -> str:
    if token.kind == "end":
        return "the end of the file"
    shown = token.text if len(token.text) <= _MAX_SHOWN else token.text[:_MAX_SHOWN] + "..."
    return f"the text {shown!r}" if token.kind == "string" else repr(shown)


def unquote(quoted: str) -> str:
    r"""The text inside quotation marks; `\"` and `\\` are a quotation mark and a backslash."""
    text = quoted[1:-1]
    return re.sub(r'\\(["\\])', r"\1", text) if "\\" in text else text


def quote(text: str) -> str:
    r"""The text in quotation marks; backslashes are doubled only where they would be misread."""
    return '"' + re.sub(r'\\(?=["\\]|\Z)|"', r"\\\g<0>", text) + '"'


def parse_number(word: str, largest: float) -> float | None:
    """The value of an integer, a decimal or a fraction `p/q`; `None` for anything else.

    Also `None` beyond `largest` in size, so that no infinity gets into a game.
    """
    if not _NUMBER.fullmatch(word):
        return None
    try:
        if "/" in word:
            numerator, denominator = word.split("/")
            value = int(numerator) / int(denominator)
        else:
            value = float(word)
    except (ValueError, OverflowError, ZeroDivisionError):  # too many digits, too large, p/0
        return None
    return value if -largest <= value <= largest else None


def parse_exact(word: str, largest: int) -> int | Fraction | None:
    """The number that `parse_number` rounds, exactly; `None` also for very long ones."""
    if len(word) > MAX_EXACT or not _NUMBER.fullmatch(word):
        return None
    if word.isdigit():
        value = int(word)
        return value if value <= largest else None
    _, _, exponent = word.lower().partition("e")
    if len(exponent) > 8 or abs(int(exponent or 0)) > _MAX_EXPONENT:
        return None
    try:
        value = Fraction(word)
    except ZeroDivisionError:
        return None
    if value.denominator == 1:
        value = value.numerator
    return value if abs(value) <= largest else None

"""Runs the Python blocks of documentation pages and compares what they print.

A page is one program: its blocks run in order, in one namespace. A `text` block right after a
Python block is what that block prints; words must agree, numbers to two digits. A block after
`<!-- not run: REASON -->` is left out. A page that begins with `<!-- needs: PACKAGE, ... -->` is
skipped where one of the packages is missing.
"""

import contextlib
import io
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n+)?^```python\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<said>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class Block(NamedTuple):
    """A Python block of a page: its code, what it says it prints, and its line."""

    code: str
    said: str | None
    line: int


def blocks(path: Path) -> list[Block]:
    """The blocks of a page that run."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(found["code"], found["said"], text.count("\n", 0, found.start("code")))
        for found in FENCE.finditer(text)
        if not found["skip"]
    ]


def needs(path: Path) -> list[str]:
    """Packages that a page says it needs, in a comment in its first line."""
    found = re.match(r"<!-- needs: (.+) -->", path.read_text(encoding="utf-8"))
    return found[1].split(", ") if found else []


def run(path: Path) -> list[str]:
    """Run a page as a program in single precision, as JAX starts; what each block printed."""
    for package in needs(path):
        pytest.importorskip(package)
    namespace: dict[str, object] = {"__name__": "page"}
    printed = []
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        for block in blocks(path):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                # Blank lines in front, so that errors name the line of the page.
                code = compile("\n" * block.line + block.code, str(path), "exec")
                exec(code, namespace)
            printed.append(out.getvalue())
    return printed


def agree(said: str, printed: str) -> bool:
    """Whether two texts have the same words, and numbers that agree to two digits."""
    words = [NUMBER.sub("#", " ".join(text.split())) for text in (said, printed)]
    if words[0].replace(" ", "") != words[1].replace(" ", ""):
        return False
    pairs = zip(*(map(value, NUMBER.findall(text)) for text in (said, printed)), strict=True)
    return all(abs(a - b) <= 0.02 * max(abs(a), abs(b)) + 2e-4 for a, b in pairs)


def value(number: str) -> float:
    """What a number says, with or without commas between thousands."""
    return float(number.rstrip(",").replace(",", ""))


def check(path: Path) -> None:
    """Run a page and compare all it says."""
    for block, printed in itertools.zip_longest(blocks(path), run(path)):
        if block.said is not None:
            assert agree(block.said, printed), f"{path}:{block.line}: it prints\n{printed}"

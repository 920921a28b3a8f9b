r"""Turns formulas into MathML while the site is built, so that pages need no script for them."""

import html as entities
import logging
import re
from typing import Any

from latex2mathml.converter import convert

log = logging.getLogger("mkdocs.plugins.mathematics")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)

UNKNOWN = {r"\\arg(?=\\m)": r"\\operatorname{arg}", r"\\\s": r"\\ ",
           r"(\\[Bb]igg?[lr]?)\\\{": r"\\lbrace", r"(\\[Bb]igg?[lr]?)\\\}": r"\\rbrace",
           r"(\\[Bb]igg?[lr]?)\\langle": r"\1⟨", r"(\\[Bb]igg?[lr]?)\\rangle": r"\1⟩"}  # fmt: skip
"""What the converter does not know, and other ways to say it."""

LONG = 90
"""Inline formulas of more characters stand on a line of their own."""


def on_page_content(html: str, *, page: Any, config: Any, files: Any) -> str:
    """Replace each formula that the Markdown extension marked."""

    def formula(match: re.Match[str]) -> str:
        latex = entities.unescape(match[3]).strip()
        for given, wanted in UNKNOWN.items():
            latex = re.sub(given, wanted, latex)
        display = "block" if match[2] == "[" else "inline"
        try:
            found = convert(latex, display=display)
        except Exception as error:
            log.warning("%s: the formula %s cannot be read: %r", page.url, latex, error)
            return match[0]
        if "\\" in re.sub(r"<[^>]*>", "", found):
            log.warning("%s: unknown command in the formula %s", page.url, latex)
        if display == "block" or len(latex) > LONG:
            # MathML does not break into lines: wide formulas scroll by themselves.
            return f'<span class="formula">{found}</span>'
        return found

    return FORMULA.sub(formula, html)

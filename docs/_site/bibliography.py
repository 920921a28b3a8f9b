"""Builds the bibliography from `references.bib`, and links the keys that pages cite to it.

In Markdown write `[@key]`; in docstrings the keys of a `References:` section are linked. A key
without an entry is a warning, and with `--strict` warnings end the build.
"""

import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

log = logging.getLogger("mkdocs.plugins.bibliography")
SOURCE = Path(__file__).parents[1] / "references.bib"
PAGE = "bibliography.md"
URL = "bibliography/"
KEY = r"\b[a-z]+\d{4}[a-z]?\b"
ACCENTS = {
    '"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "c": "\u0327",
    "v": "\u030c", "H": "\u030b", "u": "\u0306", "=": "\u0304", "r": "\u030a", ".": "\u0307",
}  # fmt: skip
LETTERS = {r"\l": "ł", r"\L": "Ł", r"\o": "ø", r"\O": "Ø", r"\i": "ı", r"\ss": "ß", r"\aa": "å",
           r"\&": "&", r"\%": "%", "---": "—", "--": "–", "~": "\u00a0"}  # fmt: skip


def entries() -> dict[str, dict[str, str]]:
    """Fields of each entry by key."""
    found = {}
    for block in re.split(r"\n(?=@)", SOURCE.read_text(encoding="utf-8")):
        head = re.match(r"@(\w+)\{([^,\s]+),", block.strip())
        if head:
            # A field ends at a brace before the next field or the end of the entry.
            field = r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?\s*$(?=\s*(?:\w+\s*=|\}))"
            fields = re.findall(field, block, re.MULTILINE | re.DOTALL)
            found[head[2]] = {name: " ".join(text.split()) for name, text in fields}
    return found


KNOWN = entries()


def plain(text: str) -> str:
    """BibTeX without its accents and braces; mathematics stays."""

    def accent(match: re.Match[str]) -> str:
        letter = {r"\i": "i", r"\j": "j"}.get(match[2], match[2])
        return letter + ACCENTS[match[1]]

    pieces = re.split(r"(\$[^$]*\$)", text)
    for i in range(0, len(pieces), 2):
        piece = re.sub(r"\\([\"'`^~=.cvHur])\s*\{?(\\?[A-Za-z])\}?", accent, pieces[i])
        for given, wanted in LETTERS.items():
            piece = piece.replace(given, wanted)
        pieces[i] = piece.replace("{", "").replace("}", "")
    return "".join(pieces)


def line(fields: dict[str, str]) -> str:
    """An entry as a line of Markdown."""
    names = [name.split(",") for name in fields.get("author", "").split(" and ")]
    authors = [" ".join(part.strip() for part in reversed(name)) for name in names]
    several = ", ".join(authors[:-1]) + " and " + authors[-1] if authors[1:] else authors[0]
    where = fields.get("journal") or fields.get("booktitle") or fields.get("publisher")
    place = [f"*{plain(where)}*"] if where else []
    if "volume" in fields:
        number = f"({fields['number']})" if "number" in fields else ""
        place.append(fields["volume"] + number)
    place += [plain(fields["pages"])] if "pages" in fields else []
    title = plain(fields.get("title", ""))
    text = f"{plain(several)}. {title}" + ("" if title.endswith("?") else ".")
    text += f" {', '.join(place)}" + (", " if place else " ") + fields.get("year", "") + "."
    return text + (f" {plain(fields['note'])}." if "note" in fields else "")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the bibliography's page."""
    lines = ["# Bibliography", "", "The keys are those that docstrings and "
             "`gamejax.citation(game, solver)` use.", ""]  # fmt: skip
    for key, fields in sorted(KNOWN.items()):
        if not {"author", "title", "year"} <= set(fields):
            log.warning("the entry %s lacks an author, a title or a year", key)
        lines += [f'<p id="{key}" markdown="span"><code>{key}</code> {line(fields)}</p>', ""]
    files.append(File.generated(config, PAGE, content="\n".join(lines)))
    return files


def linked(key: str, here: str) -> str:
    """A key as a link from the page with this address."""
    if key not in KNOWN:
        log.warning("%s cites %s, which is not in references.bib", here, key)
    return f'<a class="cite" href="{get_relative_url(URL, here)}#{key}">{key}</a>'


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:
    """Link `[@key]` anywhere and the keys of docstrings' references."""

    def section(match: re.Match[str]) -> str:
        return re.sub(KEY, lambda key: linked(key[0], page.url), match[0])

    references = r'<details class="references[^>]*>.*?</details>'
    html = re.sub(references, section, html, flags=re.DOTALL)
    return re.sub(rf"\[@({KEY})\]", lambda key: linked(key[1], page.url), html)

"""Brings benchmark reports and repository pages into the site, and tables of measured numbers.

A line `<!-- results zero_sum cores=1 tol=1e-09 : implementation, per_s, certificate -->` becomes a
table of the rows of `benchmarks/results/zero_sum.json` that agree with the conditions, with these
columns. Numbers on pages thus change with the measurements.
"""

import json
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.plugins.results")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FOLDER = "measured"
TABLE = re.compile(r"^<!-- results (\w+)((?: [\w.]+=\S+)*) : (.+?) -->$", re.MULTILINE)


def on_config(config: Any) -> Any:
    """List the reports where the navigation says `measured/`."""
    pages = ["index.md", *sorted(path.name for path in RESULTS.glob("*.md"))]
    pages.remove("README.md")
    for section in config.nav:
        if f"{FOLDER}/" in section.values():
            section[next(iter(section))] = [f"{FOLDER}/{name}" for name in pages]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the reports with their pictures, the changelog and the page for contributors."""
    for path in sorted([*RESULTS.glob("*.md"), *RESULTS.glob("*.png")]):
        name = "index.md" if path.name == "README.md" else path.name
        files.append(File.generated(config, f"{FOLDER}/{name}", abs_src_path=str(path)))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        page = name.lower()
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Write the tables."""

    def table(match: re.Match[str]) -> str:
        conditions = dict(part.split("=", 1) for part in match[2].split())
        columns = [name.strip() for name in match[3].split(",")]
        run = json.loads((RESULTS / f"{match[1]}.json").read_text(encoding="utf-8"))["runs"]
        cores = int(conditions.pop("cores", 1))
        run = next(r for r in run if r["environment"]["cores"] == cores)
        rows = [r for r in run["rows"] if all(agrees(r, *c) for c in conditions.items())]
        if not rows:
            log.warning("%s: no row of %s has %s", page.url, match[1], match[2])
        head = f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
        lines = [f"| {' | '.join(written(row.get(c)) for c in columns)} |" for row in rows]
        where = run["environment"]
        report = posixpath.relpath(f"{FOLDER}/{match[1]}.md", posixpath.dirname(page.file.src_uri))
        source = (
            f"\n\n*Measured {where['date'][:10]} on {where['cores']} core(s) of an {where['cpu']}, "
            f"jax {where['jax']}: [{match[1]}]({report}).*\n"
        )
        return head + "\n".join(lines) + source

    return TABLE.sub(table, markdown)


def agrees(row: dict[str, Any], name: str, wanted: str) -> bool:
    """Whether a row has one of the wanted values, which bars separate."""
    value = row.get(name)
    return any(
        (isinstance(value, float) and is_number(w) and float(w) == value)
        or str(value).replace(" ", "_") == w
        for w in wanted.split("|")
    )


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def written(value: Any) -> str:
    """A cell: three digits, thousands apart."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e8:
        return f"{value:.2g}"
    return f"{float(f'{value:.3g}'):,.10g}"

"""Rows as JSON for machines and as a Markdown table for readers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HIDDEN = ("calls", "min_s")
"""Columns that only the JSON file has."""


def write(
    folder: Path, name: str, runs: Sequence[tuple[Mapping[str, Any], Sequence[dict]]]
) -> tuple[Path, Path]:
    """Write `name.json` and `name.md`.

    Args:
        folder: where; made if it is not there.
        name: of the files.
        runs: the environment (with the question) and the rows of each run.
    """
    asks = runs[0][0]["question"]
    runs = [({k: v for k, v in e.items() if k != "question"}, rows) for e, rows in runs]
    folder.mkdir(parents=True, exist_ok=True)
    data = {"question": asks, "runs": [{"environment": e, "rows": r} for e, r in runs]}
    as_json, as_markdown = folder / f"{name}.json", folder / f"{name}.md"
    as_json.write_text(json.dumps(data, indent=1) + "\n")
    parts = [f"# {name}\n\n{asks}\n"]
    for environment, rows in runs:
        facts = ", ".join(f"{key} {value}" for key, value in environment.items())
        parts.append(f"## {environment['cores']} core(s)\n\n{facts}\n\n{table(rows)}")
    as_markdown.write_text("\n".join(parts))
    return as_json, as_markdown


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with a column for every key of any row."""
    columns = [key for key in dict.fromkeys(k for row in rows for k in row) if key not in HIDDEN]
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(text(row.get(key)) for key in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def line(row: Mapping[str, Any]) -> str:
    """A row as one line."""
    shown = {key: value for key, value in row.items() if value is not None and key not in HIDDEN}
    return ", ".join(f"{key} {text(value)}" for key, value in shown.items())


def text(value: Any) -> str:
    """A number with the digits that mean something, or a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.2e}"
    return str(value)

"""Rows as JSON for machines and as Markdown for readers: goals, pictures, tables."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HIDDEN = ("calls", "min_s", "ours")
"""Columns that only the JSON file has."""
LEGEND = {
    "per_s": "units of work per second, from the median time",
    "certificate": "the worst of all games, recomputed in float64 NumPy from what was returned",
    "within": "share of the games whose certificate is at most `tol`",
    "x_ours": "how many times faster gamejax is (its fastest entry that solves as many games)",
    "roofline": "multiplications and additions per second over what the cores can do at best",
    "compile_s": "first call minus the median of the later ones, or a separate warm-up",
    "median_s": "median of the later calls, rivals taking turns",
    "peak_mb": "most memory of the process (or the accelerator) during the calls",
}
"""What columns mean, where their names do not say it."""

Rows = Sequence[dict[str, Any]]
"""The columns of each row by name."""
Run = tuple[Mapping[str, Any], Rows]
"""The environment (with the question) and the rows of one run."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """A wish with a number, and what was measured; `None` where nothing was."""

    text: str
    wanted: float
    measured: float | None

    def verdict(self) -> str:
        """The measured number and whether it reaches the wanted one."""
        if self.measured is None:
            return "not measured"
        return f"{text(self.measured)}, {'met' if self.measured >= self.wanted else 'missed'}"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A file beside the report and what it shows."""

    path: Path
    caption: str


def write(
    folder: Path,
    name: str,
    runs: Sequence[Run],
    *,
    goals: Sequence[Sequence[Goal]] = (),
    pictures: Sequence[Picture] = (),
    tried: str = "",
    digest: Callable[[Rows], Rows] | None = None,
) -> tuple[Path, Path]:
    """Write `name.json` and `name.md`.

    Args:
        folder: where; made if it is not there.
        name: of the files.
        runs: the environment (with the question) and the rows of each run.
        goals: of each run, the same goals in the same order.
        pictures: files in the folder.
        tried: what was tried where a goal is missed, in Markdown.
        digest: what the Markdown shows of the rows; default all.
    """
    asks = runs[0][0]["question"]
    runs = [({k: v for k, v in e.items() if k != "question"}, rows) for e, rows in runs]
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "question": asks,
        "goals": [[dataclasses.asdict(goal) for goal in found] for found in goals],
        "runs": [{"environment": e, "rows": r} for e, r in runs],
    }
    as_json, as_markdown = folder / f"{name}.json", folder / f"{name}.md"
    as_json.write_text(json.dumps(data, indent=1) + "\n")
    parts = [f"# {name}\n\n{asks}\n"]
    cores = [environment["cores"] for environment, _ in runs]
    if any(goals):
        parts.append(f"## Goals\n\n{goal_table(goals, cores)}")
    if tried:
        parts.append(f"## What was tried\n\n{tried.strip()}\n")
    parts += [f"![{p.caption}]({p.path.name})\n\n{p.caption}\n" for p in pictures]
    for environment, rows in runs:
        facts = ", ".join(f"{key} {value}" for key, value in environment.items())
        lines = rows if digest is None else digest(rows)
        parts.append(f"## {environment['cores']} core(s)\n\n{facts}\n\n{table(lines)}")
    shown = {key for _, rows in runs for row in rows for key in row}
    meanings = [f"- `{key}`: {meaning}" for key, meaning in LEGEND.items() if key in shown]
    parts.append("## Columns\n\n" + "\n".join(meanings) + "\n" if meanings else "")
    as_markdown.write_text("\n".join(parts))
    return as_json, as_markdown


def goal_table(goals: Sequence[Sequence[Goal]], cores: Sequence[int]) -> str:
    """What was wanted and what came, a column per run."""
    lines = [
        "| goal | wanted | " + " | ".join(f"{n} core(s)" for n in cores) + " |",
        "| --- | --- | " + " | ".join("---" for _ in cores) + " |",
    ]
    for row in zip(*goals, strict=True):
        verdicts = " | ".join(goal.verdict() for goal in row)
        lines.append(f"| {row[0].text} | at least {text(row[0].wanted)} | {verdicts} |")
    return "\n".join(lines) + "\n"


def index(folder: Path) -> Path:
    """Write `README.md`: every question of the folder, its goals and what was measured."""
    parts = [
        "# Benchmark results\n\nMade by `python -m benchmarks`; each line links to a report.\n"
    ]
    for file in sorted(folder.glob("*.json")):
        data = json.loads(file.read_text())
        cores = [run["environment"]["cores"] for run in data["runs"]]
        parts.append(f"## [{file.stem}]({file.stem}.md)\n\n{data['question'].strip()}\n")
        if any(goals := data.get("goals", [])):
            parts.append(goal_table([[Goal(**goal) for goal in run] for run in goals], cores))
    path = folder / "README.md"
    path.write_text("\n".join(parts))
    return path


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with a column for every key of any row; what never varies stands above."""
    if not rows:
        return "Nothing was measured here.\n"
    keys = [key for key in dict.fromkeys(k for row in rows for k in row) if key not in HIDDEN]
    values = {key: [text(row.get(key)) for row in rows] for key in keys}
    fixed = [key for key in keys if len(rows) > 2 and len(set(values[key])) == 1]
    same = ", ".join(f"{key} {values[key][0]}" for key in fixed if values[key][0] != "-")
    columns = [key for key in keys if key not in fixed] or keys
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(text(row.get(key)) for key in columns) + " |" for row in rows]
    above = f"All rows: {same}\n\n" if same else ""
    return above + "\n".join(lines) + "\n"


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

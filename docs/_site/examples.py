"""Builds the page of examples: what each script does, how to run it, and its text."""

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parents[2] / "examples"
PAGE = "examples.md"


def on_files(files: Files, *, config: Any) -> Files:
    """Add the page."""
    lines = ["# Examples", "", "One-page scripts in the repository, run by the tests with a small "
             "budget. Each prints numbers; some draw pictures into `demo_output`.", ""]  # fmt: skip
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__"' not in text:
            continue
        first, _, rest = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")
        lines += [f"## {path.stem}", "", f"**{' '.join(first.split())}**", "", rest, ""]
        lines += [f'??? example "examples/{path.name}"', "", "    ```python"]
        lines += [f"    {line}".rstrip() for line in text.splitlines()] + ["    ```", ""]
    files.append(File.generated(config, PAGE, content="\n".join(lines)))
    return files

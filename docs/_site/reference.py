"""Builds the reference: one page for each public module, from its table of contents.

A public name without a docstring is a warning, and with `--strict` warnings end the build.
"""

import ast
import logging
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.plugins.reference")
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gamejax"


def on_config(config: Any) -> Any:
    """List the pages where the navigation says `reference/`."""
    for section in config.nav:
        if "reference/" in section.values():
            section[next(iter(section))] = [{n: f"reference/{n}.md"} for n in modules()]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add a page for each public module."""
    for name, path in modules().items():
        page = f"reference/{name}.md"
        files.append(File.generated(config, page, content=text_of(name, path)))
    return files


def modules() -> dict[str, Path]:
    """The files of public modules by dotted name, the package itself first."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts != ("gamejax", "cli") and not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return found


def contents(path: Path) -> dict[str, str]:
    """Docstrings of a module's public names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gamejax."):
            for alias in node.names:
                # A public module is the home of its names, and has their entries.
                if alias.asname == alias.name and "._" in str(node.module):
                    found[alias.name] = described(file_of(str(node.module)), alias.name)
    if path.name != "__init__.py":
        found |= {n: text for n, text in definitions(path).items() if not n.startswith("_")}
    return found


def file_of(module: str) -> Path:
    """The file of a module by its dotted name."""
    path = ROOT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def described(path: Path, name: str) -> str:
    """The docstring of a name that a file defines, or imports from the file that does."""
    inside = definitions(path)
    if name in inside:
        return inside[name]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return described(file_of(str(node.module)), name)
    return ""


def definitions(path: Path) -> dict[str, str]:
    """Docstrings of what a file defines at its top level: classes, functions, documented values."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    found = {}
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_docstring(node) or ""
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        value = getattr(following, "value", None) if isinstance(following, ast.Expr) else None
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(targets[0], ast.Name):
            documented = isinstance(value, ast.Constant) and isinstance(value.value, str)
            if documented:
                found[targets[0].id] = str(value.value)
    return found


def text_of(name: str, path: Path) -> str:
    """The page of one module: its docstring, a table, and an entry for each name."""
    introduction = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    if not introduction:
        log.warning("%s has no docstring", name)
    public = dict(sorted(contents(path).items(), key=lambda item: item[0].lower()))
    lines = [f"# {name}", "", introduction, "", "| name | what it is |", "| --- | --- |"]
    for own, text in public.items():
        if not text:
            log.warning("the public name %s.%s has no docstring", name, own)
        first = " ".join(text.split("\n\n")[0].split()).replace("|", r"\|")
        lines.append(f"| [`{own}`][{name}.{own}] | {first} |")
    lines.append("")
    for own in public:
        lines += [f"::: {name}.{own}", ""]
    return "\n".join(lines)

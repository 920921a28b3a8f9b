"""Which papers a run stands on."""

import inspect
import re
from pathlib import Path
from typing import Any

import equinox as eqx

from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver, default_solver

_HERE = Path(__file__).parent
# A wheel carries the bibliography inside the package; a checkout keeps it in docs/.
_BIBLIOGRAPHY = next(
    (p for p in (_HERE / "references.bib", _HERE.parent / "docs/references.bib") if p.exists()),
    None,
)
_KEY = re.compile(r"\b[a-z]+\d{4}[a-z]?\b")


def citation(game: AbstractGame, solver: AbstractSolver | None = None) -> str:
    """The BibTeX entries of the game, the solver and every part of them (learners, sets, ...).

    Args:
        game: the game that was solved.
        solver: the solver used; default `default_solver(game)`.

    Returns:
        BibTeX entries, one per paper, in the order in which the parts name them.

    Raises:
        TypeError: `game` is no game or `solver` no solver.
    """
    if not isinstance(game, AbstractGame):
        raise TypeError(f"game must be a gamejax game, got {type(game).__name__}.")
    solver = default_solver(game) if solver is None else solver
    if not isinstance(solver, AbstractSolver):
        raise TypeError(f"solver must be a gamejax solver, got {type(solver).__name__}.")
    entries = bibliography()
    keys = [key for part in _parts((solver, game)) for key in citation_keys(type(part))]
    return "\n\n".join(entries[key] for key in dict.fromkeys(keys) if key in entries)


def citation_keys(thing: Any) -> list[str]:
    """The keys that the `References:` section of a docstring names."""
    text = inspect.getdoc(thing) or ""
    if "References:" not in text:
        return []
    section = text.split("References:", 1)[1].split("\n\n", 1)[0]
    return _KEY.findall(section)


def bibliography() -> dict[str, str]:
    """All entries of the bibliography by key."""
    if _BIBLIOGRAPHY is None:
        return {}
    text = _BIBLIOGRAPHY.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", "\n" + text)
    found = {}
    for entry in entries:
        match = re.match(r"@\w+\{([^,\s]+),", entry)
        if match:
            found[match.group(1)] = entry.strip()
    return found


def _parts(value: Any) -> list[eqx.Module]:
    """Every module inside a value, outermost first."""
    if isinstance(value, eqx.Module):
        return [value, *(part for field in vars(value).values() for part in _parts(field))]
    if isinstance(value, tuple | list):
        return [part for item in value for part in _parts(item)]
    return []

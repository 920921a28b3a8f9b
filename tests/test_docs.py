"""Every public name has a docstring, every citation an entry, and importing needs no extra."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gamejax
from gamejax import (
    bandits,
    calibration,
    extensive,
    feedback,
    games,
    learners,
    metrics,
    multidistribution,
    plot,
    regularizers,
    sets,
    solvers,
)

ROOT = Path(__file__).parents[1]
HOMES = [
    gamejax, games, games.library, games.random, games.analysis, feedback, learners, metrics,
    regularizers, sets, solvers, bandits, calibration, extensive, extensive.library,
    multidistribution, plot,
]  # fmt: skip


def public(home):
    names = [n for n in vars(home) if not n.startswith("_")]
    objects = {n: getattr(home, n) for n in names}
    return {
        f"{home.__name__}.{n}": o
        for n, o in objects.items()
        if (inspect.isclass(o) or inspect.isfunction(o)) and o.__module__.startswith("gamejax")
    }


PUBLIC = {name: thing for home in HOMES for name, thing in public(home).items()}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    thing = PUBLIC[name]
    assert inspect.getdoc(thing), name
    if inspect.isclass(thing):
        for key, member in inspect.getmembers(thing, inspect.isfunction):
            if not key.startswith("_") and member.__module__.startswith("gamejax"):
                assert inspect.getdoc(getattr(thing, key)), f"{name}.{key}"


def test_each_public_name_has_one_home():
    owners = {}
    for name, thing in PUBLIC.items():
        if not name.startswith("gamejax.games.library"):
            owners.setdefault(id(thing), []).append(name)
    # `default_solver` stands at the top as well as among the solvers, as the contract says.
    doubled = [names for names in owners.values() if len(names) > 1]
    assert doubled == [["gamejax.default_solver", "gamejax.solvers.default_solver"]]


def docstrings():
    for path in (ROOT / "gamejax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield path, text


def cited():
    for path, text in docstrings():
        if "References:" in text:
            tail = text.split("References:", 1)[1].split("\n\n")[0]
            for key in re.findall(r"\b[a-z]+\d{4}[a-z]?\b", tail):
                yield path.name, key


def test_citations_are_in_the_bibliography():
    keys = re.findall(r"@\w+\{([^,\s]+),", (ROOT / "docs/references.bib").read_text())
    assert len(keys) == len(set(keys))
    missing = {(where, key) for where, key in cited() if key not in keys}
    assert not missing
    assert set(keys) <= {key for _, key in cited()}, "entries that nothing cites"


def test_importing_needs_no_extra():
    code = (
        "import sys\n"
        "for name in ('rich', 'typer', 'matplotlib', 'sklearn', 'orbax', 'scipy.optimize'):\n"
        "    sys.modules[name] = None\n"
        "import gamejax\n"
    )
    # Without the cache, whose races are warnings.
    alone = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, check=True, timeout=120, env=alone)

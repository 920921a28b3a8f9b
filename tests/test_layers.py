"""Imports point one way: this test reads every module's imports and compares their layers."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gamejax"

# Lowest first. A module may import from its own layer and from those below it.
LAYERS = [
    {"_joint"},
    {"_types"},
    {"_trailing", "_compile"},
    {"_side_by_side"},
    {"_reasons", "_export"},
    {"_numerics", "_linalg", "_solution", "_interior_point", "_linear_program"},
    {"_lanes", "_apart", "_persistent"},
    {"regularizers"},
    {"sets"},
    {"games", "feedback"},
    {"learners"},
    {"metrics"},
    {"solvers"},
    {"_loop", "_adjoint", "_show", "_statistics", "_checks"},
    {"_solve", "_equilibria", "_citation"},
    {"_batch"},
    {"bandits", "calibration", "extensive", "multidistribution"},
    {"cli", "plot"},
]
FORBIDDEN = {("learners", "games"), ("games", "feedback"), ("feedback", "games")}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def layer_of(unit: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if unit in layer)


def top_level_imports(path: Path) -> set[str]:
    """The gamejax units that a module imports when it is imported (not inside functions)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gamejax"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("gamejax.")
            }
    return found & {unit for layer in LAYERS for unit in layer}


def test_every_module_has_a_layer():
    units = {unit_of(path) for path in MODULES}
    placed = {unit for layer in LAYERS for unit in layer}
    assert units <= placed


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = unit_of(path)
    for other in top_level_imports(path) - {own}:
        assert layer_of(other) <= layer_of(own), f"{path.name} imports {other} from above"
        assert (own, other) not in FORBIDDEN, f"{own} may not know of {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 400

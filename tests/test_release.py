"""What is shipped: metadata that agree, types, and a wheel that works in a clean environment."""

import json
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

import gamejax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OFFLINE = ("Could not fetch URL", "ConnectionError", "NewConnectionError", "ProxyError")


def test_versions_agree():
    assert PROJECT["version"] == gamejax.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == gamejax.__version__
    assert f"license: {PROJECT['license']}" in citation
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").startswith("# Changelog")


def test_types_are_shipped():
    assert (ROOT / "gamejax" / "py.typed").exists()


def test_every_dependency_has_a_lower_bound():
    for requirement in PROJECT["dependencies"]:
        assert re.match(r"[\w-]+>=\d", requirement), requirement
    accelerators = PROJECT["optional-dependencies"]
    assert any(entry.startswith("jax[cuda") for entry in accelerators["cuda"])
    assert any(entry.startswith("jax[tpu]") for entry in accelerators["tpu"])


def version(text):
    """Its numbers, without the zeros at the end."""
    return re.sub(r"(\.0)+$", "", text)


def test_the_oldest_environment_has_the_lowest_versions_allowed():
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["test"]]
    asked += [entry for name in ("cli", "plot", "data", "checkpoint") for entry in extras[name]]
    bounds = dict(entry.split(">=") for entry in asked if not entry.startswith("gamejax["))
    found = {name: version(pins[name]) for name in bounds}
    assert found == {name: version(bound) for name, bound in bounds.items()}


def pip(python, *arguments):
    """Run pip, and skip where no package index can be reached."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    if done.returncode and any(words in done.stderr for words in OFFLINE):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-3000:]


PROGRAM = """
import json, pathlib, gamejax
from gamejax import games
assert "site-packages" in gamejax.__file__, gamejax.__file__
try:
    import gamejax.plot
    advice = ""
except ImportError as error:
    advice = str(error)
solution = gamejax.solve(games.loads(games.dumps(games.library.matching_pennies())))
print(json.dumps({
    "version": gamejax.__version__, "gap": float(solution.gap), "advice": advice,
    "citation": gamejax.citation(games.library.matching_pennies()),
    "typed": (pathlib.Path(gamejax.__file__).parent / "py.typed").exists(),
}))
"""


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment(tmp_path):
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("gamejax-*.whl")
    venv.create(tmp_path / "clean", with_pip=True)
    folder = tmp_path / "clean" / ("Scripts" if sys.platform == "win32" else "bin")
    pip(folder / "python", "install", "--quiet", wheel)
    command = [str(folder / "python"), "-I", "-W", "error", "-c", PROGRAM]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    assert found["version"] == gamejax.__version__
    assert found["gap"] < 1e-5
    assert found["typed"]
    assert "pip install 'gamejax[plot]'" in found["advice"]
    assert "dantzig1951" in found["citation"]
    cli = subprocess.run([str(folder / "gamejax")], capture_output=True, text=True, timeout=120)
    assert "pip install 'gamejax[cli]'" in cli.stderr

"""The documentation: its programs run and print what they say, its links lead somewhere.

The site itself is built, strictly, and opened in a browser where mkdocs and Chromium are installed.
"""

import functools
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import browser, pages

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
QUICK = {"index.md", "how-to/files.md"}
GENERATED = (
    "reference/",
    "measured/",
    "bibliography.md",
    "examples.md",
    "changelog.md",
    "contributing.md",
)
BUILDERS = ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml")


def name(path):
    return path.relative_to(DOCS).as_posix()


RUN = [
    pytest.param(page, id=name(page), marks=() if name(page) in QUICK else pytest.mark.slow)
    for page in PAGES
    if pages.blocks(page)
]


@pytest.mark.parametrize("page", RUN)
def test_pages_do_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    pages.check(page)


@pytest.mark.slow
def test_the_readme_does_what_it_says():
    assert len(pages.blocks(ROOT / "README.md")) == 1
    pages.check(ROOT / "README.md")


def test_disagreement_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint('gap', 0.5)\n```\n\n```text\ngap 0.5\n```\n")
    pages.check(page)
    page.write_text("```python\nprint('gap', 0.6)\n```\n\n```text\ngap 0.5\n```\n")
    with pytest.raises(AssertionError, match=r"it prints\ngap 0\.6"):
        pages.check(page)
    page.write_text("<!-- not run: fails -->\n```python\n1 / 0\n```\n\n```python\n2\n```\n")
    assert [block.line for block in pages.blocks(page)] == [6]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        inside = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else ""
        assert path.exists() or inside.startswith(GENERATED), f"{name(page)} links to {target}"


def test_citations_have_entries():
    keys = re.findall(r"@\w+\{([^,\s]+),", (DOCS / "references.bib").read_text(encoding="utf-8"))
    cited = {key for page in PAGES for key in re.findall(r"\[@(\w+)\]", page.read_text("utf-8"))}
    assert len(cited) > 20
    assert cited <= set(keys)


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(f": {name(page)}\n" in navigation for page in PAGES)


def test_commands_on_the_page_of_papers_exist():
    text = (DOCS / "papers.md").read_text(encoding="utf-8")
    for file in re.findall(r"pytest (tests/\w+\.py)", text):
        assert (ROOT / file).exists(), file
    for pattern, file in re.findall(r"pytest (?:tests/\w+\.py )?(tests/\w+\.py) -k \"?(\w+)", text):
        assert (ROOT / pattern).read_text().count(file), f"no test of {pattern} is called {file}"
    for question in re.findall(r"python -m benchmarks (\w+)", text):
        assert (ROOT / "benchmarks" / f"{question}.py").exists(), question
    for example in re.findall(r"python -m examples\.(\w+)", text):
        assert (ROOT / "examples" / f"{example}.py").exists(), example


@functools.cache
def site(folder):
    """The built site; skipped where a builder is missing."""
    for builder in BUILDERS:
        pytest.importorskip(builder)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return site(tmp_path_factory.mktemp("site"))


@pytest.mark.slow
def test_the_site_has_an_entry_for_every_public_name(built):
    from tests.test_docs import PUBLIC

    text = {
        path.parent.name: path.read_text() for path in (built / "reference").rglob("index.html")
    }
    missing = [full for full in PUBLIC if f'id="{full}"' not in text[full.rpartition(".")[0]]]
    # The first stands among the solvers, the second is only used there, the third is a second name.
    assert set(missing) <= {
        "gamejax.default_solver",
        "gamejax.regularizers.safe_log",
        "gamejax.games.library.three_player_matching_pennies",
    }
    assert "arithmatex" not in "".join(text.values()), "a formula was not converted"


@pytest.mark.slow
def test_every_page_opens_without_an_error(built):
    if browser.PROGRAM is None:
        pytest.skip("no Chromium is installed")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(built))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser.started() as tab:
            for path in sorted(built.rglob("index.html")):
                here = path.parent.relative_to(built).as_posix()
                address = f"http://127.0.0.1:{server.server_port}/{here.removeprefix('.')}/"
                assert tab.open(address) == [], here
                assert tab.evaluate("document.querySelector('h1').textContent.length") > 0, here
                assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)"), here
                wide = "document.documentElement.scrollWidth <= window.innerWidth"
                assert tab.evaluate(wide), f"{here} is wider than the window"
            tab.open(f"http://127.0.0.1:{server.server_port}/missing/")
            assert tab.events, "errors are not noticed"
    finally:
        server.shutdown()
        server.server_close()

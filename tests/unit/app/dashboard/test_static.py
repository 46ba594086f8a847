"""The files of the page: their weight, what they load, what others wrote, and the tests of their pure modules."""

import gzip
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.dashboard.page_files import INDEX, PAGE_DIRECTORY

MOST_BYTES = 100_000
VENDOR = PAGE_DIRECTORY / "vendor"
ELSEWHERE = re.compile(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)
OURS = sorted(path for path in PAGE_DIRECTORY.iterdir() if path.suffix in (".html", ".css", ".js"))


class Tags(HTMLParser):
    """Collects the start tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def tags() -> list[tuple[str, dict[str, str | None]]]:
    return Tags((PAGE_DIRECTORY / INDEX).read_text(encoding="utf-8")).found


def test_the_page_weighs_at_most_100_kb_compressed() -> None:
    loaded = [path for path in PAGE_DIRECTORY.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
    weights = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in loaded}
    assert len(weights) > 15
    assert sum(weights.values()) <= MOST_BYTES, weights


def test_vendored_files_are_those_that_npm_served() -> None:
    text = (VENDOR / "README.txt").read_text(encoding="utf-8")
    listed = dict(reversed(line.split()) for line in text.splitlines() if re.match("[0-9a-f]{64} ", line))
    present = {path.name for path in VENDOR.iterdir()} - {"README.txt"}
    assert set(listed) == present
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in present} == listed


def test_the_page_has_no_inline_script_or_style(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    assert all("src" in attributes for tag, attributes in tags if tag == "script")
    assert not [tag for tag, _ in tags if tag == "style"]
    assert not [
        attributes for _, attributes in tags if any(n == "style" or n.startswith("on") for n in attributes)
    ]


def test_every_module_is_loaded_ahead(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    ahead = {attributes["href"] for tag, attributes in tags if attributes.get("rel") == "modulepreload"}
    scripts = {attributes["src"] for tag, attributes in tags if tag == "script"}
    modules = {
        f"/static/{path.relative_to(PAGE_DIRECTORY).as_posix()}" for path in PAGE_DIRECTORY.rglob("*.js")
    }
    assert scripts == {"/static/main.js", "/static/theme.js", "/static/vendor/uPlot.iife.min.js"}
    assert ahead | scripts == modules
    assert not ahead & scripts


def test_the_library_of_charts_runs_before_the_modules(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    """A deferred script and a module run in the order in which the page names them."""
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    later = [each["src"] for each in scripts if "defer" in each or each.get("type") == "module"]
    assert later == ["/static/vendor/uPlot.iife.min.js", "/static/main.js"]


def test_both_ways_to_the_dark_theme_have_the_same_colours() -> None:
    """CSS cannot name the theme of the system and the choice of the reader in one rule, so the colours stand twice."""
    text = (PAGE_DIRECTORY / "style.css").read_text(encoding="utf-8")
    by_system, chosen = (
        re.findall(r"--[a-z0-9-]+: [^;]+;", text.partition(selector)[2].partition("}")[0])
        for selector in (':root:not([data-theme="light"]) {', ':root[data-theme="dark"] {')
    )
    assert len(chosen) > 20
    assert by_system == chosen


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_nothing_is_loaded_from_another_host(path: Path) -> None:
    assert not ELSEWHERE.findall(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_text_from_outside_can_become_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )


def test_pure_modules() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js on this machine, so the pure modules of the page were not tested apart")
    tests = sorted((Path(__file__).parent / "static").glob("*.test.mjs"))
    assert len(tests) == 4
    done = subprocess.run(
        [node, "--test", *map(str, tests)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout

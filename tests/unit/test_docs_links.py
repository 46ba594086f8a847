"""Links of all pages lead to a file or heading that exists; the index and the site list every page of docs/."""

import re
from pathlib import Path

import pytest

from tests.support.markdown_links import anchors, broken, links
from tests.support.repository import ROOT, shown, text_files

DOCS = ROOT / "docs"
PAGES = [path for path in text_files() if path.suffix == ".md"]
OF_DOCS = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_of_a_page_resolve(page: Path) -> None:
    assert [
        f"{shown(page)}:{line}: {target}: {problem}" for line, target, problem in broken(page, ROOT)
    ] == []


def test_pages_have_links() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md"} <= {
        shown(page) for page in PAGES
    }
    assert sum(len(list(links(page.read_text(encoding="utf-8")))) for page in PAGES) > 100


def test_the_index_links_every_page() -> None:
    targets = {target for _, _, target in links((DOCS / "index.md").read_text(encoding="utf-8"))}
    assert [page for page in OF_DOCS if page != "index.md" and page not in targets] == []


def test_the_site_lists_every_page() -> None:
    listed = re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(page for page in listed if not page.startswith("repository/")) == OF_DOCS


# --- the check itself -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "root" / "docs").mkdir(parents=True)
    (tmp_path / "root" / "code.py").write_text("")
    (tmp_path / "outside.md").write_text("# Out")
    (tmp_path / "root" / "docs" / "other.md").write_text(
        "# First one\n\n## A `b_c`, d & [e](f.md)\n\n## Twice\n\n## Twice\n"
    )
    return tmp_path / "root" / "docs" / "page.md"


@pytest.mark.parametrize(
    "text",
    [
        "[x](other.md)",
        "[x](other.md#first-one)",
        "[x](other.md#a-b_c-d--e)",
        "[x](other.md#twice) and [y](other.md#twice-1)",
        "# Here\n\n[x](#here)",
        "[over two\nlines](other.md)",
        '[x](other.md "a title")',
        "[x](<other.md>)",
        "![x](other.md)",
        "[x][y]\n\n[y]: other.md",
        '<a href="other.md">x</a>',
        "[x](../code.py)",
        "[x](../docs)",
        "[x](https://example.com/none.md#none) [y](mailto:a@b.c)",
        "`[x](none.md)`",
        "```\n[x](none.md)\n```",
        "- item\n\n  ```\n  [x](none.md)\n  ```\n",
        "<!-- [x](none.md) -->",
    ],
)
def test_a_link_resolves(page: Path, text: str) -> None:
    page.write_text(text)
    assert broken(page, page.parents[1]) == []


@pytest.mark.parametrize(
    ("text", "target", "problem"),
    [
        ("[x](none.md)", "none.md", "no such file"),
        ("[x](../none.py)", "../none.py", "no such file"),
        ("[x]()", "", "no such file"),
        ("[x](other.md#second)", "other.md#second", "no such heading"),
        ("[x](other.md#twice-2)", "other.md#twice-2", "no such heading"),
        ("```\n# Here\n```\n\n[x](#here)", "#here", "no such heading"),
        ("[over two\nlines](none.md)", "none.md", "no such file"),
        ('[x](none.md "a title")', "none.md", "no such file"),
        ("[x](<none.md>)", "none.md", "no such file"),
        ("![x](none.png)", "none.png", "no such file"),
        ("[x][y]\n\n[y]: none.md", "none.md", "no such file"),
        ('<a href="none.md">x</a>', "none.md", "no such file"),
        ('<img alt="x" src="none.png">', "none.png", "no such file"),
        ("[x](../code.py#L3)", "../code.py#L3", "an anchor on a file that has no headings"),
        ("[x](../../outside.md)", "../../outside.md", "leads out of the repository"),
        ("[x](/other.md)", "/other.md", "begins with /: a site below a path would not find it"),
        ("```\ncode\n```\n[x](none.md)\n```\ncode\n```", "none.md", "no such file"),
        ("`code` [x](none.md) `code`", "none.md", "no such file"),
    ],
)  # fmt: skip
def test_a_broken_link_is_found(page: Path, text: str, target: str, problem: str) -> None:
    page.write_text(text)
    assert [(found, why) for _, found, why in broken(page, page.parents[1])] == [(target, problem)]


def test_a_broken_link_has_its_line(page: Path) -> None:
    page.write_text("One.\n\n```\n[x](none.md)\n```\n\n[y](none.md)\n")
    assert [line for line, _, _ in broken(page, page.parents[1])] == [7]


def test_anchors_are_those_of_github() -> None:
    assert anchors('# Wilson\'s interval, 95 %\n\n## `uptake.events`\n\n<a id="old"></a>\n') == {
        "wilsons-interval-95-",
        "uptakeevents",
        "old",
    }

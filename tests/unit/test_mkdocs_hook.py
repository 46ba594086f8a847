"""The site's hook points links to files outside docs/ at their copies in the site, and leaves broken ones to the strict build."""

from pathlib import Path

import pytest

import mkdocs_hook


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mkdocs_hook, "ROOT", tmp_path)
    for path in (
        "README.md",
        "docs/events.md",
        "docs/sub/b.md",
        "docs/all.json",
        "code/model.py",
        "data/README.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("# Title\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "target", "in_site"),
    [
        ("docs/events.md", "sub/b.md#title", "sub/b.md#title"),
        ("docs/events.md", "all.json", "all.json"),
        ("docs/events.md", "#title", "#title"),
        ("docs/events.md", "../README.md", "repository/README.md"),
        ("docs/sub/b.md", "../../code/model.py", "../repository/code/model.py.txt"),
        ("docs/sub/b.md", "../events.md", "../events.md"),
        ("README.md", "docs/events.md#title", "../events.md#title"),
        ("README.md", "docs/sub/", "../index.md"),
        ("README.md", "data/README.md", "data/README.md"),
        ("data/README.md", "../docs/events.md", "../../events.md"),
        ("docs/events.md", "https://example.com/README.md", "https://example.com/README.md"),
        ("docs/events.md", "../none.md", "../none.md"),
        ("docs/events.md", "../../outside.md", "../../outside.md"),
        ("docs/events.md", "/README.md", "/README.md"),
    ],
)
def test_a_link_leads_to_the_file_in_the_site(path: str, target: str, in_site: str) -> None:
    assert mkdocs_hook.in_site_links(f"See [it]({target}).", path) == f"See [it]({in_site})."


def test_several_links_change_and_code_does_not() -> None:
    page = "[x](../README.md) `[x](../README.md)`\n\n```\n[x](../README.md)\n```\n[y](../code/model.py)\n"
    assert mkdocs_hook.in_site_links(page, "docs/events.md") == (
        "[x](repository/README.md) `[x](../README.md)`\n\n```\n[x](../README.md)\n```\n[y](repository/code/model.py.txt)\n"
    )


@pytest.mark.parametrize("path", ["docs/events.md", "docs/sub/b.md", "README.md", "code/model.py", "LICENSE"])
def test_a_place_in_the_site_is_that_of_one_file(path: str) -> None:
    assert mkdocs_hook.in_repository(mkdocs_hook.in_site(path)) == path


def test_linked_files_are_those_that_exist(root: Path) -> None:
    (root / "docs" / "events.md").write_text(
        "[x](../README.md) [y](../none.md) [z](sub) [v](#title) [w](https://example.com)\n"
    )
    assert mkdocs_hook.linked_files("docs/events.md") == ["README.md"]

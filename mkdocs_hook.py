"""Hook of the site (mkdocs.yml): brings the files outside docs/ that pages link into it, below `repository/`.

A link to a file that does not exist stays as it is, so that the strict build reports it. Links to folders lead to the index.
"""

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.markdown_links import is_relative, links

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent
IN_NAV: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_BELOW: Final = "repository/"


def on_files(files: "Files", *, config: "MkDocsConfig") -> "Files":
    """Add every file outside docs/ that a page links, and those that these link."""
    from mkdocs.structure.files import File, InclusionLevel

    waiting = [*IN_NAV, *(in_repository(file.src_uri) for file in files.documentation_pages())]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if in_site(path).startswith(_BELOW):
            level = InclusionLevel.INCLUDED if path in IN_NAV else InclusionLevel.NOT_IN_NAV
            files.append(
                File.generated(config, in_site(path), abs_src_path=str(ROOT / path), inclusion=level)
            )
        if path.endswith(".md"):
            waiting.extend(linked_files(path))
    return files


def on_page_markdown(markdown: str, *, page: "Page", **_: object) -> str:
    """Point the links of a page to where the site has their files."""
    return in_site_links(markdown, in_repository(page.file.src_uri))


def linked_files(path: str) -> list[str]:
    """Return the files of the repository that a page links, as paths from its top."""
    found = (_target(path, target) for _, _, target in links((ROOT / path).read_text(encoding="utf-8")))
    return [target for target in found if target is not None and (ROOT / target).is_file()]


def in_site_links(markdown: str, path: str) -> str:
    """Return a page with its links as the site needs them; ``path`` is the page's own, from the top of the repository."""
    here = posixpath.dirname(in_site(path))
    for start, end, target in reversed(list(links(markdown))):
        linked = _target(path, target)
        if linked is not None and (ROOT / linked).exists():
            _, mark, anchor = target.partition("#")
            moved = "index.md" if (ROOT / linked).is_dir() else in_site(linked)
            markdown = (
                markdown[:start] + posixpath.relpath(moved, here or ".") + mark + anchor + markdown[end:]
            )
    return markdown


def in_site(path: str) -> str:
    """Return where the site has a file of the repository; code gets the ending .txt, so that browsers show it."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{_BELOW}{path}" if path.endswith(".md") else f"{_BELOW}{path}.txt"


def in_repository(uri: str) -> str:
    """Return which file of the repository the site has here."""
    if not uri.startswith(_BELOW):
        return f"docs/{uri}"
    return uri.removeprefix(_BELOW).removesuffix(".txt")


def _target(path: str, target: str) -> str | None:
    """Return the file or folder that a link of a page means, from the top; None for the page itself and other hosts."""
    file = target.partition("#")[0]
    if not file or not is_relative(target) or file.startswith("/"):
        return None
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
    return None if found.startswith("..") else found

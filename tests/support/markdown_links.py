"""Reads the links of Markdown pages, and finds those that lead to no file or heading of the repository."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

_FENCE: Final = re.compile(r"^[ >]*(```+|~~~+)[^\n]*\n.*?^[ >]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(`+)(?!`)(?:(?!\n\s*\n).)*?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK: Final = re.compile(
    r"""\]\(\s*<?(?P<inline>[^)\s>]*)>?(?:\s+["'(][^\n]*?["')])?\s*\)"""
    r"""|^ {0,3}\[[^\]\n]+\]:\s*<?(?P<reference>[^\s>]+)"""
    r"""|<(?:a|img)\b[^>]*?\b(?:href|src)=["'](?P<html>[^"']*)["']""",
    re.MULTILINE,
)
_HEADING: Final = re.compile(r"^ {0,3}#{1,6} +(.+?)(?: +#+)? *$", re.MULTILINE)
_HTML_ANCHOR: Final = re.compile(r"""<[a-z]\w*\b[^>]*?\b(?:id|name)=["']([^"']+)["']""")
_SCHEME: Final = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links(markdown: str) -> Iterator[tuple[int, int, str]]:
    """Yield each link and image outside code: where its target begins and ends in the text, and the target."""
    for found in _LINK.finditer(_without_code(markdown)):
        group = found.lastgroup
        assert group is not None
        yield found.start(group), found.end(group), found[group]


def is_relative(target: str) -> bool:
    """Tell whether a link stays in the repository: no scheme such as https: or mailto:."""
    return _SCHEME.match(target) is None and not target.startswith("//")


def anchors(markdown: str) -> set[str]:
    """Return the anchors of a page: those that GitHub gives its headings, and those it sets in HTML."""
    prose = _blank(_COMMENT, _blank(_FENCE, markdown))
    names: set[str] = set(_HTML_ANCHOR.findall(_without_code(markdown)))
    seen: Counter[str] = Counter()
    for heading in _HEADING.findall(prose):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return names


def broken(page: Path, root: Path) -> list[tuple[int, str, str]]:
    """Return the links of a page that lead nowhere: line, target, and what is wrong with it."""
    markdown = page.read_text(encoding="utf-8")
    found: list[tuple[int, str, str]] = []
    for start, _, target in links(markdown):
        if is_relative(target) and (problem := _problem(page, target, root)):
            found.append((markdown.count("\n", 0, start) + 1, target, problem))
    return found


def _problem(page: Path, target: str, root: Path) -> str | None:
    path, _, anchor = unquote(target).partition("#")
    if path.startswith("/"):
        return "begins with /: a site below a path would not find it"
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(root.resolve()):
        return "leads out of the repository"
    if not file.exists() or not target:
        return "no such file"
    if not anchor:
        return None
    if file.suffix != ".md":
        return "an anchor on a file that has no headings"
    return None if anchor in anchors(file.read_text(encoding="utf-8")) else "no such heading"


def _without_code(markdown: str) -> str:
    return _blank(_CODE, _blank(_COMMENT, _blank(_FENCE, markdown)))


def _blank(pattern: re.Pattern[str], markdown: str) -> str:
    """Replace what matches by blanks; lines and places of all else stay."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), markdown)

"""Reads Markdown as prose: lines, sentences and words, without code blocks, headings and markup."""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_TABLE: Final = re.compile(r"^\s*\|")
_SKIPPED: Final = re.compile(r"^\s*(#|<|!\[|\[[^\]]+\]:|---+\s*$|\|?[-: |]+\|?\s*$)")
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+|^\s*>\s?")
_CODE: Final = re.compile(r"``[^`]+``|`[^`]+`")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ABBREVIATIONS: Final = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|approx|no|pp?|St|Dr)\.", re.IGNORECASE)
_END: Final = re.compile(r"(?<=[.?!])[\"')*_]*\s+(?=[\"'(*_]*[A-Z0-9`])")
_WORD: Final = re.compile(r"[A-Za-z0-9][\w'’./%+-]*")

MAX_LINE_CHARS: Final = 160
MAX_SENTENCE_WORDS: Final = 25


@dataclass
class Prose:
    """What one page says. Line numbers count from 1."""

    path: Path
    lines: list[tuple[int, str]] = field(default_factory=list)
    """Lines of running text, markup included; no code blocks, tables or headings."""
    sentences: list[tuple[int, str]] = field(default_factory=list)
    """Sentences of running text; inline code is the word `code`."""
    cells: list[tuple[int, str]] = field(default_factory=list)
    """Sentences of table cells, likewise."""


def read(path: Path) -> Prose:
    """Return the prose of a Markdown file."""
    page = Prose(path)
    block: list[str] = []
    block_starts_at = 0
    is_code = False

    def flush() -> None:
        page.sentences.extend((block_starts_at, sentence) for sentence in _sentences(" ".join(block)))
        block.clear()

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(line):
            flush()
            is_code = not is_code
            continue
        if is_code:
            continue
        if _TABLE.match(line):
            flush()
            if not _SKIPPED.match(line):
                for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
                    page.cells.extend((number, sentence) for sentence in _sentences(cell))
            continue
        if not line.strip() or _SKIPPED.match(line):
            flush()
            continue
        page.lines.append((number, line))
        if _ITEM.match(line):
            flush()
        if not block:
            block_starts_at = number
        block.append(_ITEM.sub("", line).strip())
    flush()
    return page


def words(sentence: str) -> int:
    """Return how many words a sentence has; inline code is one."""
    return len(_WORD.findall(sentence))


def long_sentences(sentences: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the sentences of more than 25 words, each with its line."""
    return [(line, sentence) for line, sentence in sentences if words(sentence) > MAX_SENTENCE_WORDS]


def median_words(sentences: list[tuple[int, str]]) -> float:
    """Return the median length of the sentences, in words."""
    return statistics.median(words(sentence) for _, sentence in sentences)


def crowded_lines(page: Prose) -> list[tuple[int, str]]:
    """Return the lines that hold more than one sentence."""
    return [(number, line) for number, line in page.lines if len(list(_sentences(_ITEM.sub("", line)))) > 1]


def _sentences(text: str) -> Iterator[str]:
    plain = _LINK.sub(r"\1", _CODE.sub("code", text)).strip()
    plain = _ABBREVIATIONS.sub(lambda found: found[0].replace(".", "·"), plain)
    for sentence in _END.split(plain):
        if words(sentence) > 0:
            yield sentence.strip()


def main(paths: list[str]) -> None:
    """Print the figures of each page, and where the long lines and sentences stand."""
    for name in paths:
        page = read(Path(name))
        long = long_sentences(page.sentences)
        long_cells = long_sentences(page.cells)
        crowded = crowded_lines(page)
        wide = [number for number, line in page.lines if len(line) > MAX_LINE_CHARS]
        median = median_words(page.sentences) if page.sentences else 0
        print(
            f"{name}: {len(page.sentences)} sentences, median {median:g} words, {len(long)} over {MAX_SENTENCE_WORDS} words "
            f"(lines {[number for number, _ in long]}), lines over {MAX_LINE_CHARS} characters {wide}, "
            f"lines with several sentences {[number for number, _ in crowded]}, "
            f"{len(long_cells)} of {len(page.cells)} sentences in tables over {MAX_SENTENCE_WORDS} words "
            f"(lines {[number for number, _ in long_cells]})"
        )


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])

"""Reads Markdown as prose: lines, sentences and words, without code blocks, headings and markup."""

import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_TABLE: Final = re.compile(r"^\s*\|")
_SKIPPED: Final = re.compile(r"^\s*(#|<|!\[|\[[^\]]+\]:|---+\s*$|\|?[-: |]+\|?\s*$)")
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+|^\s*>\s?")
_LIST_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_CODE: Final = re.compile(r"``[^`]+``|`[^`]+`")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_LABEL: Final = re.compile(r"^\*\*[^*]+[.:?]\*\*\s+")
_ABBREVIATIONS: Final = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|approx|no|pp?|St|Dr)\.", re.IGNORECASE)
_END: Final = re.compile(r"(?<=[.?!])[\"')*_]*\s+(?=[\"'(*_]*[A-Z0-9`])")
_WORD: Final = re.compile(r"[A-Za-z0-9][\w'’./%+-]*")

MAX_LINE_CHARS: Final = 160
MAX_SENTENCE_WORDS: Final = 25
MAX_MEDIAN_WORDS: Final = 15
MAX_LONG_SHARE: Final = 0.03


@dataclass
class Prose:
    """What one page says. Line numbers count from 1."""

    path: Path
    lines: list[tuple[int, str]] = field(default_factory=list)
    """Lines of running text, markup included; no code blocks, tables or headings."""
    sentences: list[tuple[int, str]] = field(default_factory=list)
    """Sentences of running text, each with the line that it begins on; inline code is the word `code`."""
    cells: list[tuple[int, str]] = field(default_factory=list)
    """Sentences of table cells, likewise."""


def read(path: Path) -> Prose:
    """Return the prose of a Markdown file."""
    page = Prose(path)
    block: list[str] = []
    block_starts_at = 0
    is_code = False

    def flush() -> None:
        page.sentences.extend(
            (block_starts_at + offset, sentence) for offset, sentence in _sentences("\n".join(block))
        )
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
                    page.cells.extend((number, sentence) for _, sentence in _sentences(cell))
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
    return [(number, line) for number, line in page.lines if len(_sentences(_ITEM.sub("", line).strip())) > 1]


def wide_lines(page: Prose) -> list[tuple[int, str]]:
    """Return the lines of more than 160 characters."""
    return [(number, line) for number, line in page.lines if len(line) > MAX_LINE_CHARS]


def ambiguous_items(page: Prose) -> list[tuple[int, str]]:
    """Return the list items that GitHub shows as items and our site as plain text.

    These follow a paragraph without an empty line, or are nested by other than four blanks.
    """
    found: list[tuple[int, str]] = []
    former, is_list = -1, False
    for number, line in page.lines:
        is_paragraph = former == number - 1 and not is_list
        if _LIST_ITEM.match(line):
            if is_paragraph or (len(line) - len(line.lstrip())) % 4:
                found.append((number, line))
            is_list = True
        elif former != number - 1:
            is_list = False
        former = number
    return found


def share_of_long(sentences: list[tuple[int, str]]) -> float:
    """Return which part of the sentences has more than 25 words, 0 to 1."""
    return len(long_sentences(sentences)) / len(sentences) if sentences else 0.0


def _sentences(text: str) -> list[tuple[int, str]]:
    """Return the sentences of a paragraph, item or cell: on which of its lines each begins (from 0), and its words on one line.

    A label in bold at the start (`**Exact.** Nothing is lost.`) belongs to the structure of a list and is no sentence.
    """
    plain = _CODE.sub(lambda found: "`code`" + "\n" * found[0].count("\n"), text)
    plain = _LABEL.sub("", _LINK.sub(r"\1", plain))
    plain = _ABBREVIATIONS.sub(lambda found: found[0].replace(".", "·"), plain)
    found: list[tuple[int, str]] = []
    begin = 0
    for end, following in [*((gap.start(), gap.end()) for gap in _END.finditer(plain)), (len(plain), 0)]:
        sentence = plain[begin:end]
        if words(sentence) > 0:
            begins_at = begin + len(sentence) - len(sentence.lstrip())
            found.append((plain.count("\n", 0, begins_at), " ".join(sentence.split())))
        begin = following
    return found


def main(paths: list[str]) -> None:
    """Print the figures of each page, and where the long lines and sentences are."""
    for name in paths:
        page = read(Path(name))
        long = long_sentences(page.sentences)
        long_cells = long_sentences(page.cells)
        median = median_words(page.sentences) if page.sentences else 0
        print(
            f"{name}: {len(page.sentences)} sentences, median {median:g} words, {len(long)} over {MAX_SENTENCE_WORDS} words "
            f"(lines {[number for number, _ in long]}), lines over {MAX_LINE_CHARS} characters "
            f"{[number for number, _ in wide_lines(page)]}, "
            f"lines with several sentences {[number for number, _ in crowded_lines(page)]}, "
            f"{len(long_cells)} of {len(page.cells)} sentences in tables over {MAX_SENTENCE_WORDS} words "
            f"(lines {[number for number, _ in long_cells]})"
        )


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])

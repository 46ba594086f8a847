"""Prose of pages, docstrings, comments and messages: short sentences, plain words, no document that a reader cannot open."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support import prose
from tests.support.code_prose import opens_with_question, texts
from tests.support.plain_words import BANNED, ELSEWHERE, phrases
from tests.support.prose import Prose
from tests.support.repository import CODE_FOLDERS, ROOT, pages, python, shown, text_files

PAGES = [prose.read(path) for path in pages()]
THE_LISTS = {ROOT / "tests/support/plain_words.py", Path(__file__)}


def places(found: Callable[[Prose], list[tuple[int, str]]]) -> list[str]:
    return [f"{shown(page.path)}:{line}: {text}" for page in PAGES for line, text in found(page)]


def of_all(part: Callable[[Prose], list[tuple[int, str]]]) -> list[tuple[int, str]]:
    return [sentence for page in PAGES for sentence in part(page)]


def report(what: Iterable[str]) -> str:
    return "\n" + "\n".join(what)


# --- pages ----------------------------------------------------------------------------------------------------------------------------


def test_pages_have_prose() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/lookups.md"} <= {shown(page.path) for page in PAGES}
    assert len(of_all(lambda page: page.sentences)) > 500


def test_lines_of_pages_are_not_wide() -> None:
    assert places(prose.wide_lines) == []


def test_a_line_of_a_page_holds_one_sentence() -> None:
    assert places(prose.crowded_lines) == []


def test_lists_of_pages_are_lists_on_github_and_on_the_site() -> None:
    assert places(prose.ambiguous_items) == []


def test_few_sentences_of_pages_are_long() -> None:
    share = prose.share_of_long(of_all(lambda page: page.sentences))
    assert share <= prose.MAX_LONG_SHARE, report(places(lambda page: prose.long_sentences(page.sentences)))


def test_few_sentences_in_tables_of_pages_are_long() -> None:
    share = prose.share_of_long(of_all(lambda page: page.cells))
    assert share <= prose.MAX_LONG_SHARE, report(places(lambda page: prose.long_sentences(page.cells)))


def test_sentences_of_pages_are_short_at_the_median() -> None:
    assert prose.median_words(of_all(lambda page: page.sentences)) <= prose.MAX_MEDIAN_WORDS


def test_pages_use_plain_words() -> None:
    found = [
        f"{shown(page.path)}:{line}: {words!r}; write: {instead}"
        for page in PAGES
        for line, words, instead in phrases(page.path.read_text(encoding="utf-8"))
    ]
    assert not found, report(found)


# --- code -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", CODE_FOLDERS)
def test_code_uses_plain_words(folder: str) -> None:
    found = [
        f"{shown(path)}:{begins_at + line - 1}: {words!r}; write: {instead}"
        for path in python(folder)
        for begins_at, text in texts(path.read_text(encoding="utf-8"))
        for line, words, instead in phrases(text)
    ]
    assert not found, report(found)


@pytest.mark.parametrize("folder", [*CODE_FOLDERS, "tests"])
def test_modules_do_not_open_with_a_question(folder: str) -> None:
    found = [
        f"{shown(path)}: {first}"
        for path in python(folder)
        if (first := opens_with_question(path.read_text(encoding="utf-8")))
    ]
    assert not found, report(found)


def test_documents_that_are_named_are_in_the_repository() -> None:
    found = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in text_files()
        if path not in THE_LISTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ELSEWHERE.search(line)
    ]
    assert not found, report(found)


# --- the checks themselves ------------------------------------------------------------------------------------------------------------

WORDS_25 = " ".join(["Word"] * 25)


def read(tmp_path: Path, markdown: str) -> Prose:
    page = tmp_path / "page.md"
    page.write_text(markdown)
    return prose.read(page)


@pytest.mark.parametrize(
    "markdown",
    ["a" * 160, f"```\n{'a' * 161}\n```", f"| a |\n|---|\n| {'a' * 161} |", f"# {'a' * 161}"],
)
def test_a_line_that_is_not_wide(tmp_path: Path, markdown: str) -> None:
    assert prose.wide_lines(read(tmp_path, markdown)) == []


def test_a_wide_line_is_found(tmp_path: Path) -> None:
    page = read(tmp_path, f"One.\n\n```\ncode\n```\n- {'a' * 159}\n")
    assert [line for line, _ in prose.wide_lines(page)] == [6]


@pytest.mark.parametrize(
    "markdown",
    [
        "One sentence.\nAnother one.\n",
        "- An item.\n  Its second sentence.\n",
        "1. An item.\n2. Another.\n",
        "> A quotation.\n",
        "One sentence, e.g. Kafka, i.e. a broker, vs. Redis.\n",
        "Version 3.11 of `a. B` is in app.cli. \n",
        "- **A label.** Its sentence.\n",
        "**A question?** Its answer.\n",
        "It takes [two](x.md) seconds, and 0.5 s more.\n",
        "| One. Two. |\n|---|\n| One. Two. |\n",
        "```\nOne. Two.\n```\n",
        "# One. Two\n",
    ],
)
def test_a_line_with_one_sentence(tmp_path: Path, markdown: str) -> None:
    assert prose.crowded_lines(read(tmp_path, markdown)) == []


@pytest.mark.parametrize(
    "line",
    [
        "One sentence. Another one.",
        "Is it? It is.",
        "The end of one. And another",
        "- An item. Another sentence.",
        "1. An item. Another sentence.",
        "One (in parentheses.) Another.",
        "It *stops.* Then it starts.",
        "One sentence. `uptake up` begins another.",
        "**A label.** Its sentence. Another.",
    ],
)
def test_a_crowded_line_is_found(tmp_path: Path, line: str) -> None:
    assert prose.crowded_lines(read(tmp_path, f"First.\n\n{line}\n")) == [(3, line)]


@pytest.mark.parametrize(
    "markdown",
    [
        "- a\n- b\n",
        "One:\n\n- a\n  b\n- c\n",
        "- a\n    - b\n",
        "1. a\n    - b\n\nOne.\n",
        "```\na\n- b\n```\n",
    ],
)
def test_a_list_that_is_one_everywhere(tmp_path: Path, markdown: str) -> None:
    assert prose.ambiguous_items(read(tmp_path, markdown)) == []


@pytest.mark.parametrize(
    ("markdown", "line"), [("One:\n- a\n", 2), ("- a\n\nOne:\n1. b\n", 4), ("- a\n  - b\n", 2)]
)
def test_a_list_that_the_site_would_not_show_is_found(tmp_path: Path, markdown: str, line: int) -> None:
    assert [number for number, _ in prose.ambiguous_items(read(tmp_path, markdown))] == [line]


def test_sentences_are_counted_in_words(tmp_path: Path) -> None:
    page = read(tmp_path, f"{WORDS_25}.\n{WORDS_25} more.\n\n- {WORDS_25}\n  more.\n\n{WORDS_25} `a b`.\n")
    assert [line for line, _ in prose.long_sentences(page.sentences)] == [2, 4, 7]
    assert prose.share_of_long(page.sentences) == 0.75
    assert prose.share_of_long(page.sentences[:1]) == 0


def test_cells_are_counted_apart(tmp_path: Path) -> None:
    page = read(tmp_path, f"One.\n\n| a | b |\n|---|---|\n| {WORDS_25} | {WORDS_25} more |\n")
    assert [sentence for _, sentence in page.sentences] == ["One."]
    assert [len(sentence.split()) for _, sentence in page.cells] == [1, 1, 25, 26]
    assert [line for line, _ in prose.long_sentences(page.cells)] == [5]
    assert prose.share_of_long(page.cells) == 0.25


def test_the_median_is_that_of_words(tmp_path: Path) -> None:
    assert (
        prose.median_words(read(tmp_path, "One.\n\nOne two three.\n\nOne two three four five.\n").sentences)
        == 3
    )


PLAIN = [
    "work resumes from the committed position",
    "the worker takes 3 ms; run `uptake up`",
    "Return None; this is None",
    "besides, it has no one's data, so long ago that it is gone",
    "nobodys",
    "what is not built yet",
    "a told story",
    "it was told to stop",
    "the soundscape",
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_pass(text: str) -> None:
    assert list(phrases(text)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How a partition is taken up", "taken up"),
        ("it takes\n  up work", "takes up"),
        ("TAKING UP partitions", "TAKING UP"),
        ("an invalid file is told of", "is told"),
        ("a message tells of it", "tells of"),
        ("it was never told", "never told"),
        ("a partition that stands still", "stands still"),
        ("it is read anew.", "anew"),
        ("None when it is none", "is none"),
        ("owned by nobody", "nobody"),
        ("nobody's events", "nobody's"),
        ("shows CTR beside the truth", "beside"),
        ("it goes on from there", "goes on from"),
        ("for so long while", "so long"),
        ("what the code goes by", "goes by"),
        ("to know one's limits", "one's"),
        ("what is at hand", "at hand"),
        ("it is let off", "let off"),
        ("what the client gets to hear", "gets to hear"),
        ("the alarm sounds", "sounds"),
        ("what is not whole is torn", "what is not whole is"),
    ],
)
def test_a_phrase_to_avoid_is_found(text: str, words: str) -> None:
    assert words in [found for _, found, _ in phrases(text)]


def test_every_phrase_has_what_to_write_instead() -> None:
    assert all(phrase.instead for phrase in BANNED)
    for phrase in BANNED:
        assert list(phrases(phrase.instead)) == []


def test_texts_of_code_are_docstrings_comments_and_strings() -> None:
    source = '''"""Doc
string."""
nobody = anew.beside  # a comment
# one, that
# goes on
x = f"a {nobody} b" "c"
def f():
    """Inner."""
'''
    assert sorted(texts(source)) == [
        (1, "Doc\nstring."),
        (3, "a comment"),
        (4, "one, that\ngoes on"),
        (6, " bc"),
        (6, "a "),
        (8, "Inner."),
    ]


@pytest.mark.parametrize(
    "first",
    [
        "How a partition is opened.",
        "What users send: rules.",
        "Which partitions this worker owns.",
        "Who remembers: agents.",
        "Where events go.",
        "When did it happen: the event time.",
        "Is a user let in.",
        "Does a partition stall.",
        "May a request pass.",
        "Rows that expired: which are they? Each flush looks.",
    ],
)
def test_a_module_that_opens_with_a_question_is_found(first: str) -> None:
    assert opens_with_question(f'"""{first}\n\nMore.\n"""\n') == first


@pytest.mark.parametrize(
    "source",
    [
        '"""Opens a partition."""',
        '"""Whole rows. Is it so? Yes."""',
        '"""Isolation levels."""',
        "x = 1",
        'def f():\n    """What is it?"""\n',
    ],
)
def test_a_module_that_does_not_open_with_a_question(source: str) -> None:
    assert opens_with_question(source) is None


@pytest.mark.parametrize(
    "text",
    ["SEMANTICS", "the rules of SEMANTICS.md", "TRACKER_API", "ATTRIBUTION.md", "STATE_LAYOUT.md", "HOUSE.md", "STYLE.md",
     "FAULTS.md", "FAUST_NOTES", "as in FAUST: it", "ARCHITECTURE.md, rule 6", "LOCAL_KAFKA", "seed 004"],
)  # fmt: skip
def test_a_document_outside_is_found(text: str) -> None:
    assert ELSEWHERE.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "docs/architecture.md",
        "docs/faults.md",
        "semantics",
        "seed 7",
        "--seed 2004",
        "UPTAKE_FAULTS",
        "attribution.md",
    ],
)
def test_a_document_inside_passes(text: str) -> None:
    assert not ELSEWHERE.search(text)


def test_text_files_are_those_of_the_repository() -> None:
    found = {shown(path) for path in text_files()}
    assert {
        "README.md",
        "Makefile",
        "pyproject.toml",
        ".ci/run",
        "events/model.py",
        "docs/asyncapi.json",
    } <= found
    assert {"app/local/log4j2.properties", "benchmarks/load.lua", "data/obd/README.md"} <= found
    assert not any(
        path.startswith((".venv", "build/", "tests/data/")) or path.endswith(".lock") for path in found
    )

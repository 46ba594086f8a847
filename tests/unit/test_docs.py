"""The documents match the code: they name every event, topic, table, setting and header, and every path resolves."""

import re
from pathlib import Path

import pytest

from agents.partition_limits import PartitionStats
from app.base.settings import Settings
from benchmarks.__main__ import BENCHMARKS
from events.codec import decode
from events.model import ALIASES, EVENTS, EventBase
from events.topics import DAY_MS, Topic, changelog
from tables.ctr.panes import Counts
from tables.ctr.window_keys import DIMENSIONS
from tables.ctr.windows import GRANULARITY_MS, WindowRecord
from tables.declare import MOVED_TABLES, TABLES, TOPICS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OURS = [
    DOCS / name
    for name in (
        "architecture.md",
        "events.md",
        "topics-and-tables.md",
        "operations.md",
        "producing.md",
        "importing.md",
        "glossary.md",
    )
]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
CODE = sorted(
    path
    for top in ("compiled", "events", "tables", "agents", "app", "tests")
    for path in (ROOT / top).rglob("*.py")
    if path != Path(__file__)
)

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(
    r"((?:compiled|events|tables|agents|app|tests|data|docs)/[\w./-]+\.(?:py|json|md))(?:::([\w.]+))?"
)


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str, title: str) -> dict[str, list[str]]:
    """Return the table of a page whose first column is ``title``: first name in back quotes -> the other cells."""
    found: dict[str, list[str]] = {}
    lines = iter(text(name).splitlines())
    for line in lines:
        if line.startswith(f"| {title} |"):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                first, *others = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
                for word in _SPAN.findall(first):
                    found[word] = others
    assert found, f"{name} has no table that begins with {title}"
    return found


def words(markdown: str) -> set[str]:
    return set(_SPAN.findall(markdown))


# --- lists ----------------------------------------------------------------------------------------------------------------------------


def own_fields(event: type[EventBase]) -> set[str]:
    return set(event.__struct_fields__) - set(EventBase.__struct_fields__)


def test_events_page_has_the_events_and_no_other() -> None:
    assert rows("events.md", "type").keys() == EVENTS.keys()
    assert words(text("events.md")) >= ALIASES.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_events_page_has_the_fields_of(name: str) -> None:
    assert words(rows("events.md", "type")[name][-1]) == own_fields(EVENTS[name])


def test_events_page_has_the_common_fields() -> None:
    assert rows("events.md", "field").keys() == set(EventBase.__struct_fields__)


def test_events_page_shows_records_that_can_be_read() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", text("events.md"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        decode(block.encode())


def kept(topic: Topic) -> str:
    return "latest of a key" if topic.cleanup == "compact" else f"{(topic.retention_ms or 0) // DAY_MS} days"


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topics_page_has_the_topic_and_how_it_is_kept(topic: Topic) -> None:
    listed = rows("topics-and-tables.md", "topic")
    is_changelog = topic.name in {changelog(table.name) for table in TABLES}
    row = listed["uptake.{table}.changelog" if is_changelog else topic.name]
    assert row[1] == kept(topic)


def test_topics_page_has_no_other_topics() -> None:
    listed = rows("topics-and-tables.md", "topic").keys()
    assert listed - {"uptake.{table}.changelog"} <= {topic.name for topic in TOPICS}


def test_topics_page_has_the_list_of_tables() -> None:
    listed = [f"| `{table.name}` | {table.key} | {table.value} | {table.expiry} |" for table in TABLES]
    assert "\n".join(listed) in text("topics-and-tables.md"), "the page's table must be:\n" + "\n".join(
        listed
    )
    assert list(rows("topics-and-tables.md", "table")) == [table.name for table in TABLES]


def test_topics_page_lists_the_tables_that_a_login_moves_first() -> None:
    assert TABLES[: len(MOVED_TABLES)] == MOVED_TABLES
    assert len(MOVED_TABLES) == 7
    assert "the first seven tables" in text("topics-and-tables.md")


def test_topics_page_has_the_counters_and_no_other() -> None:
    assert rows("topics-and-tables.md", "counter").keys() == set(Counts.__struct_fields__)


@pytest.mark.parametrize("word", [*WindowRecord.__struct_fields__, *DIMENSIONS, *GRANULARITY_MS])
def test_topics_page_names_what_a_window_record_has(word: str) -> None:
    assert word in words(text("topics-and-tables.md"))


def test_operations_page_has_the_settings_and_no_other() -> None:
    assert rows("operations.md", "setting").keys() == {
        f"UPTAKE_{name.upper()}" for name in Settings.model_fields
    }


@pytest.mark.parametrize("name", Settings.model_fields)
def test_operations_page_has_the_default_of(name: str) -> None:
    default = Settings.model_fields[name].default
    is_number = isinstance(default, int) and not isinstance(default, bool)
    shown = "none" if default is None else f"{default:,}" if is_number else str(default)
    assert rows("operations.md", "setting")[f"UPTAKE_{name.upper()}"][0] == shown


def test_events_page_has_the_reasons_for_dead_letters_and_no_other() -> None:
    used = {
        reason
        for path in CODE
        if path.parts[len(ROOT.parts)] != "tests"
        for reason in re.findall(r'UndecodableError\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert used
    assert rows("events.md", "reason").keys() == used


def test_operations_page_has_the_headers_of_dead_letters_and_no_other() -> None:
    source = (ROOT / "agents" / "deadletter.py").read_text(encoding="utf-8")
    headers = set(re.findall(r'\("(\w+)", (?:\w+\.|b"|self\.)', source))
    assert {"topic", "reason", "value_bytes"} <= headers
    assert rows("operations.md", "header").keys() == headers


@pytest.mark.parametrize("field", sorted(PartitionStats.__slots__))
def test_operations_page_has_what_status_counts(field: str) -> None:
    assert field in words(rows("operations.md", "field")["partitions"][0])


# --- pages ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*OURS, *DECISIONS], ids=lambda page: page.name)
def test_files_and_names_that_a_page_mentions_exist(page: Path) -> None:
    missing = []
    for path, name in _PATH.findall(page.read_text(encoding="utf-8")):
        file = ROOT / path
        is_there = file.is_file() and all(
            re.search(
                rf"\b(?:class|def) {part}\b|^\s*{part}\b.*=", file.read_text(encoding="utf-8"), re.MULTILINE
            )
            for part in filter(None, name.split("."))
        )
        if not is_there:
            missing.append(f"{path}::{name}" if name else path)
    assert missing == []


def test_pages_that_the_code_mentions_exist() -> None:
    missing = set()
    for path in CODE:
        for page in re.findall(r"docs/((?:decisions/\d{4}|[\w-]+\.md))", path.read_text(encoding="utf-8")):
            is_there = (
                any((DOCS / "decisions").glob(f"{page[-4:]}-*.md"))
                if "/" in page
                else (DOCS / page).is_file()
            )
            if not is_there:
                missing.add(f"{path.relative_to(ROOT)}: docs/{page}")
    assert missing == set()


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_says_context_choice_consequence_and_measurement(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Choice", "Consequence", "Measured"]


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    for page, number in zip(DECISIONS, numbers, strict=True):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_glossary_is_in_alphabetical_order() -> None:
    terms = [term.lower() for term in re.findall(r"^\*\*(.+?)\*\*:", text("glossary.md"), re.MULTILINE)]
    assert terms
    assert terms == sorted(terms)


def test_words_in_italics_on_the_architecture_page_are_in_the_glossary() -> None:
    prose = _FENCE.sub("", text("architecture.md"))
    terms = {
        part
        for term in re.findall(r"^\*\*(.+?)\*\*:", text("glossary.md"), re.MULTILINE)
        for part in term.split(", ")
    }
    italics = set(re.findall(r"(?<![*\w])\*([a-z ]+)\*(?!\*)", prose)) - {"italics"}
    assert italics
    forms = {word: {word, word.removesuffix("s"), word.removesuffix("es")} for word in italics}
    assert [word for word, known in forms.items() if not known & terms] == []


def test_benchmarks_page_has_the_benchmarks_and_no_other() -> None:
    assert rows("benchmarks.md", "benchmark").keys() == set(BENCHMARKS)
    for name in BENCHMARKS:
        assert f"\n## {name}\n" in text("benchmarks.md")

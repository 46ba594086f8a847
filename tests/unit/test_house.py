"""The rules of the house that CONTRIBUTING.md states, held for every file."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("compiled", "events", "tables", "agents", "app", "benchmarks")
MOST_LINES = 300


def test_no_file_has_more_than_300_lines() -> None:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in files}
    offenders = {name: lines for name, lines in lengths.items() if lines > MOST_LINES}
    assert len(lengths) > 200
    assert not offenders, f"look for the second question inside each of these files: {offenders}"

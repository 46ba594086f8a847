"""Files of the repository, by what they are: pages, Python code, all text."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CODE_FOLDERS: Final = ("compiled", "events", "tables", "agents", "app", "benchmarks")

_NOT_OURS: Final = {"build", "built", "dist", "__pycache__", "venv", "node_modules"}
_TEXT: Final = {
    *(".py", ".md", ".toml", ".yml", ".yaml", ".json", ".html", ".js", ".css", ".xml", ".properties", ".lua", ".sh"),
}  # fmt: skip
_TEXT_NAMES: Final = {"Makefile", "Dockerfile", "run", ".gitignore", ".dockerignore"}
_DATA: Final = (ROOT / "data", ROOT / "tests" / "data")


def pages() -> list[Path]:
    """Return the pages that people read: README and its neighbours, and docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def python(*folders: str) -> list[Path]:
    """Return the Python files of these top-level folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """Return the text files that belong to the repository, without lock files and data."""
    return sorted(
        path
        for path in _files()
        if (path.suffix in _TEXT or path.name in _TEXT_NAMES)
        and not (path.suffix != ".md" and any(path.is_relative_to(data) for data in _DATA))
    )


def shown(path: Path) -> str:
    """Return the path as messages show it: from the top of the repository."""
    return path.relative_to(ROOT).as_posix()


def _files() -> Iterator[Path]:
    for folder, below, names in os.walk(ROOT):
        below[:] = [
            name
            for name in below
            if name == ".ci" or not (name.startswith(".") or name in _NOT_OURS or name.endswith(".egg-info"))
        ]
        yield from (Path(folder) / name for name in names)

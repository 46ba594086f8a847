"""Every name is imported from the module that defines it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("compiled", "events", "tables", "agents", "app", "tests", "benchmarks")


class Import(NamedTuple):
    """An import ``from source import name as local_name`` of our own packages."""

    source: str
    name: str
    local_name: str


def imports_of(path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FOLDERS:
            for alias in node.names:
                yield Import(node.module, alias.name, alias.asname or alias.name)


def all_imports() -> dict[str, list[Import]]:
    """Return module -> its imports from our packages."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): list(
            imports_of(path)
        )
        for path in paths
    }


def test_a_name_is_imported_from_the_module_that_defines_it() -> None:
    by_module = all_imports()
    assert len(by_module) > 400
    second_doors = [
        f"{module} takes {name} from {source}"
        for module, imports in by_module.items()
        for source, name, _ in imports
        if any(imported.local_name == name for imported in by_module.get(source, ()))
    ]
    assert second_doors == []

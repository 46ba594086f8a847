"""One word names one thing, and a name that no other module uses is private."""

import tomllib
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

from app.cli import COMMANDS
from tests.support import names
from tests.support.names import PACKAGES, ROOT, USERS, trees

PUBLIC = {
    "app.__main__": {"main"},
    "app.journal.producer": {"DeliveryUnknownError", "NotSentError", "Producer"},
}
"""Names that users' programs import (docs/producing.md), or the installed command, even if no module of ours does."""

LOGGER = "log"
"""The name of every module's logger."""


def test_no_two_classes_have_one_name() -> None:
    modules: dict[str, list[str]] = defaultdict(list)
    for module, tree in trees().items():
        for name in names.classes(tree):
            modules[name].append(module)
    assert {name: where for name, where in modules.items() if len(where) > 1} == {}


def test_names_that_no_other_module_uses_are_private() -> None:
    used = names.uses_of(trees(USERS))
    entries = {(command.module, command.function) for command in COMMANDS}
    public = [
        f"{module}.{each.name}"
        for module, tree in trees().items()
        for each in names.definitions(module, tree)
        if not each.name.startswith("_")
        and not each.is_entry
        and each.name not in used[module]
        and each.name != LOGGER
        and (module, each.name) not in entries
        and each.name not in PUBLIC.get(module, ())
        and (each.name.isupper() or each.name not in names.types_of_public_signatures(tree))
    ]
    assert public == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    imports = names.room_imports()
    assert imports["app.worker"] >= {"app.lookup", "agents", "tables"}
    list(TopologicalSorter(imports).static_order())  # raises CycleError


def test_public_names_exist() -> None:
    for module, listed in PUBLIC.items():
        assert listed <= {each.name for each in names.definitions(module, trees()[module])}


def test_no_module_imports_a_private_name_of_another() -> None:
    """Tests may import private names: they test parts that nothing else should use."""
    found = {module: names.private_imports(tree) for module, tree in trees().items()}
    assert {module: listed for module, listed in found.items() if listed} == {}


def test_contract_of_app_base_lists_every_other_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = next(
        set(contract["forbidden_modules"])
        for contract in contracts
        if contract.get("source_modules") == ["app.base"]
    )
    rooms = {f"app.{path.parent.name}" for path in (ROOT / "app").glob("*/__init__.py")}
    assert listed == (rooms | {"app.cli"}) - {"app.base"}


def test_unit_tests_mirror_the_rooms() -> None:
    rooms = {
        path.parent.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    tested = {
        path.parent.relative_to(ROOT / "tests" / "unit")
        for path in (ROOT / "tests" / "unit").rglob("test_*.py")
    }
    assert tested - {Path(), Path("benchmarks")} <= rooms

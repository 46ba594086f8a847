"""Reads the packages as trees of names: which module defines a name, and which other modules use it."""

import ast
import gc
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("compiled", "events", "tables", "agents", "app")
USERS: Final = (*PACKAGES, "tests", "benchmarks")


@dataclass(frozen=True)
class Definition:
    """A top-level function, class or constant. ``is_entry``: it is decorated, so that a framework calls it."""

    module: str
    name: str
    kind: str
    is_entry: bool = False


@cache
def trees(folders: tuple[str, ...] = PACKAGES) -> dict[str, ast.Module]:
    """Return dotted module name -> its tree."""
    found = {}
    gc.disable()  # a finalizer that runs inside ast.parse makes Python 3.11 count its recursion wrong (SystemError)
    try:
        for folder in folders:
            for path in sorted((ROOT / folder).rglob("*.py")):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text())
    finally:
        gc.enable()
    return found


def definitions(module: str, tree: ast.Module) -> Iterator[Definition]:
    """Yield what a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield Definition(module, node.name, "function", bool(node.decorator_list))
        elif isinstance(node, ast.ClassDef):
            yield Definition(module, node.name, "class")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield Definition(module, node.target.id, "constant")
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield Definition(module, target.id, "constant")


def classes(tree: ast.Module) -> list[str]:
    """Return the names of all classes of a module, nested ones too."""
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def uses_of(all_trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return module -> the names of it that another module imports, or reads as an attribute of the imported module."""
    used: dict[str, set[str]] = defaultdict(set)
    for module, tree in all_trees.items():
        aliases: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    if node.module != module:
                        used[node.module].add(alias.name)
                    if f"{node.module}.{alias.name}" in all_trees:
                        aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in aliases
            ):
                used[aliases[node.value.id]].add(node.attr)
    return used


def types_of_public_signatures(tree: ast.Module) -> set[str]:
    """Return the names in annotations and bases of a module's public functions, classes, methods and attributes."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for base in node.bases:
                names |= _names_in(base)
            for part in node.body:
                if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
                    not part.name.startswith("_") or part.name in ("__init__", "__call__", "__getitem__")
                ):
                    names |= _signature(part)
                elif isinstance(part, ast.AnnAssign):
                    names |= _names_in(part.annotation)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            names |= _signature(node)
    return names


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = function.args
    listed = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    annotations = [each.annotation for each in listed if each is not None] + [function.returns]
    return {name for annotation in annotations if annotation is not None for name in _names_in(annotation)}


def _names_in(node: ast.AST) -> set[str]:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            names.update(re.findall(r"\w+", each.value))
    return names


def private_imports(tree: ast.Module) -> list[str]:
    """Return the private names that a module imports from others, as ``module.name``."""
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def room_imports() -> dict[str, set[str]]:
    """Return room (a folder with Python files) -> the other rooms that its modules import."""
    all_trees = trees()

    def room_of(module: str) -> str:
        is_package = (ROOT / module.replace(".", "/")).is_dir()
        return module if is_package else module.rpartition(".")[0]

    found: dict[str, set[str]] = {room_of(module): set() for module in all_trees}
    for module, tree in all_trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    target = full if full in all_trees else node.module
                    if target in all_trees and room_of(target) != room_of(module):
                        found[room_of(module)].add(room_of(target))
    return found

"""Finder that imports the compiled form of a module, if it was built from the source that is there now.

A single source that changed since switches all modules to pure Python: compiled modules may call each other in C.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from compiled.manifest import ROOT, Manifest, built_directory

PURE_VARIABLE: Final = "UPTAKE_PURE_PYTHON"
"""Environment variable that switches the compiled core off, unless it is empty or 0."""
BUILD_COMMAND: Final = "make compiled"
_REINSTALL: Final = "install a C compiler and the headers of Python, then install Uptake again"


@dataclass(frozen=True)
class Core:
    """The modules that run compiled. Without any, ``reason`` says why and ``cure`` what to do."""

    modules: Mapping[str, Path] = field(default_factory=dict)
    """Module -> its extension."""
    reason: str = ""
    cure: str = ""

    @property
    def finding(self) -> str:
        """What runs compiled, or why nothing does, as one sentence."""
        if self.modules:
            return f"these modules run compiled: {', '.join(sorted(self.modules))}"
        return f"all modules run as pure Python, with the same results: {self.reason}"


def judge(root: Path, switch: str) -> Core:
    """Return what of the packages at ``root`` can run compiled. ``switch`` is the value of the variable, "" if it is not set."""
    if switch not in ("", "0"):
        return Core(reason=f"{PURE_VARIABLE} is set", cure=f"unset {PURE_VARIABLE}")
    directory = built_directory(root)
    manifest = Manifest.read(directory)
    if manifest is not None and manifest.failure:
        return Core(reason=manifest.failure, cure=manifest.cure)
    files = {} if manifest is None else manifest.files(directory)
    missing = next((name for name, file in files.items() if not file.exists()), None)
    if manifest is None or not files:
        reason = "no module was compiled for this Python"
    elif (changed := manifest.changed_source(root)) is not None:
        reason = f"{changed} changed since it was compiled"
    elif missing is not None:
        reason = f"the extension of {missing} is missing"
    else:
        return Core(files)
    is_checkout = (root / "Makefile").exists()
    return Core(reason=reason, cure=f"run `{BUILD_COMMAND}`" if is_checkout else _REINSTALL)


@cache
def core() -> Core:
    """Return what runs compiled in this process. The answer never changes, whatever is built meanwhile."""
    return judge(ROOT, os.environ.get(PURE_VARIABLE, ""))


class _SourceNamingLoader(ExtensionFileLoader):
    """Loads an extension module, and names its source as its file, as tools expect that read the code of a module."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.__file__ = str(ROOT.joinpath(*self.name.split(".")).with_suffix(".py"))


class CompiledFinder:
    """Finds extension modules by the full names of the modules that they replace."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a compiled module. None for any other: the next finder finds it."""
        del path, target
        file = self._files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=_SourceNamingLoader(fullname, str(file)))


def install() -> None:
    """Let this process import compiled modules. The packages that have some call this before any of their modules is imported."""
    if any(isinstance(finder, CompiledFinder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, CompiledFinder(core().modules))

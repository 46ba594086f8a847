"""A small checkout with one module to compile."""

import shutil
from pathlib import Path

import pytest

from compiled.manifest import ROOT

SOURCE = "def twice(number: int) -> int:\n    return 2 * number\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for package in ("compiled", "tables"):
        (tmp_path / package).mkdir()
    shutil.copy(ROOT / "compiled" / "compile_modules.py", tmp_path / "compiled")
    (tmp_path / "tables" / "sample.py").write_text(SOURCE)
    (tmp_path / "pyproject.toml").write_text('[tool.uptake]\ncompiled = ["tables.sample"]\n')
    (tmp_path / "Makefile").touch()
    return tmp_path

"""Packaging: our top-level names belong to no other distribution, and the list of packages is complete."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from compiled.build import build, listed_modules
from compiled.manifest import SUFFIX
from compiled.toolchain import Toolchain

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "agents", "tables", "events", "compiled")


@pytest.mark.parametrize("name", PACKAGES)
def test_no_foreign_distribution_owns(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"uptake"}


def test_package_list_is_what_the_directories_hold() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in PACKAGES
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(listed) == present


def test_package_data_is_every_other_file_of_the_packages() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    listed = {
        path
        for package, patterns in data.items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
        if path.is_file()
    }
    others = {
        path
        for top in PACKAGES
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".pxd") and "built" not in path.parts
    }
    assert ROOT / "app/dashboard/static/index.html" in others
    assert listed == others


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_lock_names_no_index_and_has_a_hash_for_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    blocks = [block for block in text.split("\n") if "==" in block]
    assert blocks
    assert all(block.endswith("\\") for block in blocks)


def wheel(goal: Path, **variables: str) -> Path:
    """Build a wheel from a copy of the checkout, with what was compiled there."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, goal)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, goal / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import setuptools.build_meta as backend; backend.build_wheel('.')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=goal,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (made,) = goal.glob("*.whl")
    return made


@pytest.mark.skipif(Toolchain.find().obstacle() is not None, reason="this machine has no compiler")
def test_wheel_has_the_extensions_and_runs_them(tmp_path: Path) -> None:
    build(ROOT)
    made = wheel(tmp_path)
    assert not made.name.endswith("-none-any.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(made) as archive:
        archive.extractall(installed)
    assert len(list(installed.rglob(f"*{SUFFIX}"))) == len(listed_modules(ROOT))
    code = "import tables.ctr.panes as panes; from compiled.finder import core; print(panes.__file__, len(core().modules))"
    told = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "UPTAKE_PURE_PYTHON": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told == f"{installed / 'tables/ctr/panes.py'} {len(listed_modules(ROOT))}\n"


def test_wheel_without_a_compiler_is_pure(tmp_path: Path) -> None:
    made = wheel(tmp_path, CC="/nonexistent/cc")
    assert made.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(made) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]

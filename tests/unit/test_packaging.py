"""Packaging: our top-level names belong to no other distribution, and the list of packages is complete."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["app", "agents", "tables", "events"])
def test_no_foreign_distribution_owns(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"uptake"}


def test_package_list_is_what_the_directories_hold() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("app", "agents", "tables", "events")
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
        for top in ("app", "agents", "tables", "events")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
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

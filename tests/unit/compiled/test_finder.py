"""The finder takes compiled modules only if they are those of the sources, and says why if not."""

from pathlib import Path

import pytest

from compiled.finder import CompiledFinder, judge
from compiled.manifest import Manifest, built_directory, digest_of


def built(checkout: Path) -> Manifest:
    """Leave a manifest and its extension, as a build does."""
    directory = built_directory(checkout)
    directory.mkdir(parents=True)
    source = "tables/sample.py"
    made = Manifest({"tables.sample": "key"}, {source: digest_of(checkout / source)})
    made.write(directory)
    for file in made.files(directory).values():
        file.touch()
    return made


def test_compiled_modules_are_those_of_the_manifest(checkout: Path) -> None:
    files = built(checkout).files(built_directory(checkout))
    core = judge(checkout, "")
    assert core.modules == files
    assert core.finding == "these modules run compiled: tables.sample"


@pytest.mark.parametrize(("switch", "is_pure"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_variable_switches_to_pure_python(checkout: Path, switch: str, is_pure: bool) -> None:
    built(checkout)
    core = judge(checkout, switch)
    assert (core.modules == {}) is is_pure
    assert (core.reason == "UPTAKE_PURE_PYTHON is set") is is_pure


def test_nothing_built_is_pure_python(checkout: Path) -> None:
    core = judge(checkout, "")
    assert (core.modules, core.cure) == ({}, "run `make compiled`")
    (checkout / "Makefile").unlink()
    assert "install Uptake again" in judge(checkout, "").cure


def test_damaged_manifest_is_pure_python(checkout: Path) -> None:
    built(checkout)
    for damage in ("{", "[]", '{"unknown": 1}'):
        (built_directory(checkout) / "manifest.json").write_text(damage)
        assert judge(checkout, "").modules == {}


def test_changed_source_is_never_replaced_by_what_was_compiled(checkout: Path) -> None:
    built(checkout)
    source = checkout / "tables" / "sample.py"
    before = source.read_text()
    source.write_text(before + "\n")
    assert judge(checkout, "").reason == "tables/sample.py changed since it was compiled"
    source.write_text(before)
    assert judge(checkout, "").modules
    source.unlink()
    assert judge(checkout, "").modules == {}


def test_missing_extension_is_pure_python(checkout: Path) -> None:
    made = built(checkout)
    made.files(built_directory(checkout))["tables.sample"].unlink()
    assert judge(checkout, "").reason == "the extension of tables.sample is missing"


def test_finder_finds_only_compiled_modules(checkout: Path) -> None:
    file = checkout / "x.so"
    finder = CompiledFinder({"tables.sample": file})
    found = finder.find_spec("tables.sample")
    assert found is not None
    assert found.origin == str(file)
    assert finder.find_spec("tables.other") is None
    assert finder.find_spec("tables") is None

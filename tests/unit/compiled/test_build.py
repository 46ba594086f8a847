"""The build step: it compiles what changed, and where it cannot, it says so in one sentence and fails nothing."""

import importlib.util
import os
from pathlib import Path

import pytest

from compiled.build import build, listed_modules
from compiled.finder import judge
from compiled.manifest import Manifest, built_directory
from compiled.toolchain import Toolchain

needs_compiler = pytest.mark.skipif(
    Toolchain.find().obstacle() is not None, reason="this machine has no compiler"
)


def twice(made: Manifest, checkout: Path, number: int) -> int:
    file = made.files(built_directory(checkout))["tables.sample"]
    spec = importlib.util.spec_from_file_location("tables.sample", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result: int = module.twice(number)
    return result


@needs_compiler
def test_module_is_compiled_once_until_it_changes(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = build(checkout)
    assert judge(checkout, "").modules == first.files(built_directory(checkout))
    assert twice(first, checkout, 2**70) == 2**71
    assert "compiling 1 module" in capsys.readouterr().err

    assert build(checkout) == first
    assert capsys.readouterr().err == ""

    source = checkout / "tables" / "sample.py"
    source.write_text(source.read_text().replace("2 * number", "3 * number"))
    assert judge(checkout, "").reason == "tables/sample.py changed since it was compiled"
    second = build(checkout)
    assert second.modules != first.modules
    assert judge(checkout, "").modules == second.files(built_directory(checkout))
    assert all(file.exists() for file in first.files(built_directory(checkout)).values()), (
        "a process that started before the build may still import them"
    )


@needs_compiler
def test_types_beside_a_module_are_part_of_its_source(checkout: Path) -> None:
    build(checkout)
    types = checkout / "tables" / "sample.pxd"
    types.write_text("cpdef object twice(object number)\n")
    first = build(checkout)
    assert first.failure == ""
    types.write_text("cpdef twice(number)\n")
    assert judge(checkout, "").reason == "tables/sample.pxd changed since it was compiled"
    assert build(checkout).modules != first.modules


@pytest.mark.parametrize("named", ["/nonexistent/cc", "no-such-compiler -O2"])
def test_missing_compiler_means_pure_python_and_one_sentence(
    checkout: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    for _ in range(2):
        made = build(checkout, {**os.environ, "CC": named})
        assert made.modules == {}
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "runs as pure Python" in said
        assert "no C compiler was found" in said
        assert "install gcc" in said
    core = judge(checkout, "")
    assert (core.modules, core.reason) == ({}, "no C compiler was found")
    assert "make compiled" in core.cure


@needs_compiler
def test_compiler_that_comes_later_is_used(checkout: Path) -> None:
    build(checkout, {**os.environ, "CC": "/nonexistent/cc"})
    assert list(build(checkout).modules) == ["tables.sample"]
    assert judge(checkout, "").modules


@needs_compiler
def test_failing_compiler_means_pure_python_and_a_log(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {**os.environ, "CC": "false"}
    made = build(checkout, environ)
    assert (made.modules, made.failure) == ({}, "the modules could not be compiled")
    log = built_directory(checkout) / "build.log"
    assert str(log) in made.cure
    assert "false" in log.read_text()
    capsys.readouterr()
    assert build(checkout, environ) == made
    assert "compiling" not in capsys.readouterr().err, "what failed is not tried again"


@needs_compiler
def test_source_that_cython_refuses_means_pure_python(checkout: Path) -> None:
    (checkout / "tables" / "sample.py").write_text("def twice(:\n")
    assert build(checkout).failure == "the modules could not be compiled"


def test_directory_that_cannot_be_written_means_pure_python(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "compiled" / "built").touch()
    assert build(checkout).modules == {}
    assert "runs as pure Python" in capsys.readouterr().err


def test_only_packages_that_install_the_finder_can_be_listed(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[tool.uptake]\ncompiled = ["app.cli"]\n')
    with pytest.raises(ValueError, match=r"app\.cli"):
        listed_modules(checkout)

"""Compiled or as pure Python, the same records give the same rows, changelogs and outputs, byte for byte."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiled.build import build, listed_modules
from compiled.finder import PURE_VARIABLE
from compiled.manifest import ROOT
from compiled.toolchain import Toolchain
from events.topics import DEADLETTERS

SEEDS = [str(seed) for seed in range(12)]
needs_compiler = pytest.mark.skipif(
    Toolchain.find().obstacle() is not None, reason="this machine has no compiler"
)


def run(arguments: list[str], **variables: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name != PURE_VARIABLE}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environ, "PYTHONHASHSEED": "0", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_compiler
def test_every_listed_module_can_be_compiled() -> None:
    made = build(ROOT)
    assert made.failure == ""
    assert list(made.modules) == listed_modules(ROOT)


@needs_compiler
def test_drawn_histories_are_folded_the_same() -> None:
    build(ROOT)
    compiled, pure = (
        json.loads(run(["-m", "tests.support.drawn_history", *SEEDS], **{PURE_VARIABLE: switch}))
        for switch in ("0", "1")
    )
    assert (compiled.pop("compiled"), pure.pop("compiled")) == (len(listed_modules(ROOT)), 0)
    assert compiled == pure
    assert len(set(pure["digests"])) == len(SEEDS)
    assert DEADLETTERS not in pure["records"]
    assert pure["records"].keys() >= {
        "uptake.transfers",
        "uptake.ctr.partials",
        "uptake.experiments.changelog",
    }


@needs_compiler
@pytest.mark.parametrize(("switch", "kind"), [("1", "function"), ("0", "cython_function_or_method")])
def test_variable_switches_the_compiled_modules_off(switch: str, kind: str) -> None:
    build(ROOT)
    module = listed_modules(ROOT)[0]
    told = _imported(module, switch)
    assert told["kinds"] == [kind]
    assert Path(told["file"]) == ROOT.joinpath(*module.split(".")).with_suffix(".py")


def _imported(module: str, switch: str) -> dict[str, Any]:
    code = (
        f"import importlib, json; module = importlib.import_module({module!r})\n"
        "own = [each for each in vars(module).values() if getattr(each, '__module__', '') == module.__name__]\n"
        "kinds = {type(each).__name__ for each in own if 'function' in type(each).__name__}\n"
        "print(json.dumps({'kinds': sorted(kinds), 'file': module.__file__}))"
    )
    found: dict[str, Any] = json.loads(run(["-c", code], **{PURE_VARIABLE: switch}))
    return found

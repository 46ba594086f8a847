"""The doctor says which modules run compiled, or why none does and the cure."""

from pathlib import Path

from app.local.core_check import check_core
from compiled.finder import Core


def test_compiled_modules_are_named() -> None:
    check = check_core(Core({"tables.ctr.panes": Path("x.so"), "agents.overlay": Path("y.so")}))
    assert (check.level, check.cure) == ("ok", "")
    assert check.finding == "these modules run compiled: agents.overlay, tables.ctr.panes"


def test_pure_python_is_a_warning_with_reason_and_cure() -> None:
    check = check_core(Core(reason="no C compiler was found", cure="install gcc"))
    assert (check.level, check.cure) == ("warn", "install gcc")
    assert "pure Python" in check.finding
    assert "no C compiler was found" in check.finding

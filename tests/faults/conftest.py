"""Selects the faults that run: the short ones in every test run, all of them by `make test-faults`.

`ONLY=F7` selects one fault; `FORM` is its length, ``short`` or ``long``.
"""

import os

import pytest

FORMS = ("short", "long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only = os.environ.get("ONLY")
    is_asked = "slow_fault" in (config.option.markexpr or "")
    chosen: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        names = {name for mark in item.iter_markers("fault") for name in mark.args}
        is_slow = item.get_closest_marker("slow_fault") is not None
        is_here = "tests/faults/" in item.nodeid
        is_left_out = is_here and ((is_slow and not is_asked) or (only is not None and only not in names))
        (dropped if is_left_out else chosen).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = chosen


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether the faults run in the long form of docs/faults.md (``FORM=long``, as `make test-faults` sets it)."""
    form = os.environ.get("FORM") or "short"
    assert form in FORMS, f"FORM is {form}, not one of {', '.join(FORMS)}"
    return form == "long"

"""Which faults run: the short ones with every test run, the others by `make test-faults`; `ONLY=F7` chooses one, `FORM` how long."""

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
    """Whether the faults run in the length that FAULTS names (``FORM=long``, as by `make test-faults`) or in a short form."""
    form = os.environ.get("FORM") or "short"
    assert form in FORMS, f"FORM is {form}, not one of {', '.join(FORMS)}"
    return form == "long"

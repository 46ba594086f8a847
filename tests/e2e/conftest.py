"""What the tests of whole commands share: the ports that Uptake has unless it is told otherwise."""

import fcntl
from collections.abc import Iterator

import pytest


@pytest.fixture
def usual_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hold the ports 6067, 8080 and 9092 against other test processes: a command looks for a free one before it takes it."""
    base = tmp_path_factory.getbasetemp()
    with (base.parent / "usual-ports").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

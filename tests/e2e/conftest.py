"""Fixtures for the tests of whole commands: a lock on Uptake's default ports."""

import fcntl
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def usual_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hold a lock, so that only one test process at a time runs a command that looks for free default ports.

    The ports are 6067, 7070, 8080 and 9092; a command checks that a port is free before it binds it.
    """
    base = tmp_path_factory.getbasetemp()
    with (base.parent / "usual-ports").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

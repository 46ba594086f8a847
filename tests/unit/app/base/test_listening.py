"""Errors of a server that cannot listen: one sentence for each cause."""

import errno
import socket

import pytest

from app.base.errors import PortTakenError
from app.base.listening import cannot_listen


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "port 80 on h is taken by another program"),
        (OSError(errno.EADDRNOTAVAIL, "not available"), "h is no address of this machine"),
        (socket.gaierror(socket.EAI_NONAME, "not known"), "h is no address of this machine"),
        (OSError(errno.EACCES, "Permission denied"), "cannot listen on port 80 of h: Permission denied"),
    ],
)
def test_cause_is_named(error: OSError, words: str) -> None:
    told = cannot_listen("h", 80, "worker", error)
    assert words in str(told)
    assert "the worker cannot listen" in str(told)
    assert isinstance(told, PortTakenError) == (error.errno == errno.EADDRINUSE)

"""Free and taken TCP ports are recognised."""

import errno
import socket

from app.local.tcp_ports import first_free, free_port, is_free, why_not


def test_taken_port_is_not_free_and_the_next_one_is_chosen() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(1)
        port = listener.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert first_free("127.0.0.1", port) != port
    assert is_free("127.0.0.1", port)
    assert first_free("127.0.0.1", port) == port


def test_search_for_a_port_ends_at_the_last_one() -> None:
    assert first_free("127.0.0.1", 65_535) <= 65_535
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 65_535))
        listener.listen(1)
        assert first_free("127.0.0.1", 65_535) < 65_535


def test_host_of_another_machine_is_no_taken_port() -> None:
    assert why_not("127.0.0.1", 0) is None
    error = why_not("192.0.2.1", free_port())
    assert error is not None
    assert error.errno == errno.EADDRNOTAVAIL

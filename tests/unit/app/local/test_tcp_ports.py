"""Free and taken TCP ports are recognised."""

import socket

from app.local.tcp_ports import first_free, free_port, is_free


def test_taken_port_is_not_free_and_the_next_one_is_chosen() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(1)
        port = listener.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert first_free("127.0.0.1", port) != port
    assert is_free("127.0.0.1", port)
    assert first_free("127.0.0.1", port) == port

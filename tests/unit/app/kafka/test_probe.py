"""The probe distinguishes a broker from a port that is closed, silent or served by another program."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.kafka.probe import answers, any_answers
from app.local.tcp_ports import free_port


@contextmanager
def a_server(answer: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def metadata(brokers: int, correlation: int = 1) -> bytes:
    body = struct.pack(">iii", correlation, 0, brokers)
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize(
    ("answer", "is_broker"),
    [
        (metadata(1), True),
        (metadata(0), False),
        (metadata(1, correlation=7), False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
        (struct.pack(">i", 3) + b"abc", False),
    ],
    ids=["broker", "no broker registered yet", "other correlation", "http", "closed", "short"],
)
def test_only_a_broker_counts(answer: bytes, is_broker: bool) -> None:
    with a_server(answer) as port:
        assert answers("127.0.0.1", port, 2) is is_broker


def test_closed_port_does_not_answer() -> None:
    assert not any_answers(f"127.0.0.1:{free_port()}")

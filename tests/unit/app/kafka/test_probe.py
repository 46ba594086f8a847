"""The probe distinguishes a broker from a port that is closed, silent or served by another program."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.kafka.probe import any_answers, cluster_at
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


def metadata(brokers: int, correlation: int = 1, rack: bytes | None = None, cluster: bytes = b"c-1") -> bytes:
    body = struct.pack(">iii", correlation, 0, brokers)
    for number in range(brokers):
        body += struct.pack(">i", number) + text(b"127.0.0.1") + struct.pack(">i", 9092) + text(rack)
    body += text(cluster) + struct.pack(">ii", 0, 0)
    return struct.pack(">i", len(body)) + body


def text(value: bytes | None) -> bytes:
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value


@pytest.mark.parametrize(
    ("answer", "cluster"),
    [
        (metadata(1), "c-1"),
        (metadata(3, rack=b"r"), "c-1"),
        (metadata(0), None),
        (metadata(1, correlation=7), None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
        (b"", None),
        (struct.pack(">i", 3) + b"abc", None),
        (struct.pack(">iiii", 12, 1, 0, 1), None),
        (metadata(1, cluster=b"\xff"), None),
    ],
    ids=[
        "broker",
        "three with racks",
        "no broker registered yet",
        "other correlation",
        "http",
        "closed",
        "short",
        "cut off",
        "not text",
    ],
)
def test_only_a_broker_counts(answer: bytes, cluster: str | None) -> None:
    with a_server(answer) as port:
        assert cluster_at("127.0.0.1", port, 2) == cluster


def test_closed_port_does_not_answer() -> None:
    assert not any_answers(f"127.0.0.1:{free_port()}")

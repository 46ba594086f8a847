"""Checks whether a Kafka broker answers at an address: one metadata request over a plain socket, without a client library."""

import socket
import struct
from typing import Final

from app.base.addresses import broker_addresses

_METADATA: Final = 3
_VERSION: Final = 7  # the newest version with fixed-size fields; brokers from 2.1 on support it
_CLIENT: Final = b"uptake-probe"
_CORRELATION: Final = 1


def answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Return whether the broker at ``host:port`` answers a metadata request and knows at least one broker of its cluster."""
    body = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT
    body += struct.pack(">i?", 0, False)  # no topics; none created
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 12 <= size <= 1 << 20:
                return False
            answer = _read(connection, size)
    except (OSError, EOFError):
        return False
    correlation, _throttle_ms, brokers = struct.unpack_from(">iii", answer)
    return bool(correlation == _CORRELATION and brokers >= 1)


def any_answers(bootstrap: str, timeout_s: float = 1.0) -> bool:
    """Return whether one of the brokers of ``host:port[,host:port]`` answers. The default port is 9092."""
    return any(answers(host, port, timeout_s) for host, port in broker_addresses(bootstrap))


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data

"""Checks whether a Kafka broker answers at an address: one metadata request over a plain socket, without a client library."""

import socket
import struct
from typing import Final

from app.base.addresses import broker_addresses

_METADATA: Final = 3
_VERSION: Final = 7  # the newest version with fixed-size fields; brokers from 2.1 on support it
_CLIENT: Final = b"uptake-probe"
_CORRELATION: Final = 1


def cluster_at(host: str, port: int, timeout_s: float = 1.0) -> str | None:
    """Return the id of the cluster that a broker at ``host:port`` belongs to.

    None if it does not answer a metadata request, or knows no broker of its cluster yet.
    """
    body = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT
    body += struct.pack(">i?", 0, False)  # no topics; none created
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 12 <= size <= 1 << 20:
                return None
            answer = _read(connection, size)
        return _cluster_in(answer)
    except (OSError, EOFError, struct.error, UnicodeDecodeError):
        return None


def _cluster_in(answer: bytes) -> str | None:
    correlation, _throttle_ms, brokers = struct.unpack_from(">iii", answer)
    if correlation != _CORRELATION or brokers < 1:
        return None
    at = 12
    for _ in range(brokers):
        _host, at = _text(answer, at + 4)  # after the node's id
        _rack, at = _text(answer, at + 4)  # after its port
    return _text(answer, at)[0] or ""


def _text(answer: bytes, at: int) -> tuple[str | None, int]:
    """Return the string at a place, and where the next field begins."""
    (length,) = struct.unpack_from(">h", answer, at)
    start = at + 2
    if length < 0:
        return None, start
    return answer[start : start + length].decode(), start + length


def any_answers(bootstrap: str, timeout_s: float = 1.0) -> bool:
    """Return whether one of the brokers of ``host:port[,host:port]`` answers. The default port is 9092."""
    return any(cluster_at(host, port, timeout_s) is not None for host, port in broker_addresses(bootstrap))


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data

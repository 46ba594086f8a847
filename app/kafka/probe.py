"""Checks whether a Kafka broker answers at an address: one metadata request over a plain socket, without a client library."""

import socket
import struct
from typing import Final

from app.base.addresses import HIGHEST_PORT
from app.base.errors import UptakeError

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
    return any(answers(host, port, timeout_s) for host, port in addresses(bootstrap))


def addresses(bootstrap: str) -> list[tuple[str, int]]:
    """Return the (host, port) pairs of ``host:port[,host:port]``; raise UptakeError if a port is not 1 to 65535."""
    pairs = []
    for part in filter(None, (piece.strip() for piece in bootstrap.split(","))):
        if part.startswith("["):
            host, _, rest = part[1:].partition("]")
            port = rest.removeprefix(":")
        else:
            host, _, port = part.partition(":")
        if not host or (port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= HIGHEST_PORT)):
            raise UptakeError(f"Kafka's address (--kafka, UPTAKE_KAFKA): {part!r} is not host:port")
        pairs.append((host, int(port or 9092)))
    if not pairs:
        raise UptakeError("Kafka's address (--kafka, UPTAKE_KAFKA) names no broker; use host:port")
    return pairs


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data

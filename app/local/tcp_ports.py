"""Finds free TCP ports on this machine."""

import random
import socket
from typing import Final

from app.base.addresses import HIGHEST_PORT

# Below Linux's ephemeral ports (from 32768), so that no outgoing connection takes a port between choice and use.
_RANGE: Final = (20_000, 32_000)


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on ``host:port`` now."""
    return why_not(host, port) is None


def why_not(host: str, port: int) -> OSError | None:
    """Return why no server could listen on ``host:port`` now; None if one could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT counts as free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which no program listens now. Another program may still take it before it is used."""
    chooser = random.SystemRandom()
    for _ in range(200):
        port = chooser.randrange(*_RANGE)
        if is_free(host, port):
            return port
    raise OSError(f"no free port between {_RANGE[0]} and {_RANGE[1]} on {host}")


def first_free(host: str, wanted: int, count: int = 20) -> int:
    """Return the first free port of the ``count`` from ``wanted``, else any free port."""
    for port in range(wanted, min(wanted + count, HIGHEST_PORT + 1)):
        if is_free(host, port):
            return port
    return free_port(host)

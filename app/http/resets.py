"""Resets connections, so that nothing of them is left: not in this process, and not in the kernel."""

import asyncio
import socket
import struct
from typing import Final, cast

_NO_LINGER: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.BaseTransport) -> None:
    """Close a connection, and forget what its client has not read. Otherwise, the kernel would try to send it for minutes."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        with sock.dup() as same:  # what uvloop gives out has no setsockopt
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    # A transport of uvloop has the methods of a WriteTransport, but is no instance of it.
    cast("asyncio.WriteTransport", transport).abort()

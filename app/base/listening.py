"""The foreseen errors of a server that cannot listen."""

import errno
import socket

from app.base.errors import PortTakenError, UptakeError


def cannot_listen(host: str, port: int, what: str, error: OSError) -> UptakeError:
    """Return the foreseen error of a server that the operating system does not let listen on ``host:port``."""
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(host, port, what)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return UptakeError(
            f"{host} is no address of this machine, so the {what} cannot listen there; "
            f"choose another --host (UPTAKE_HOST)"
        )
    return UptakeError(f"the {what} cannot listen on port {port} of {host}: {error.strerror or error}")

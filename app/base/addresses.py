"""Hosts and ports: what a setting may hold, the URL of a server, the addresses of brokers."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from app.base.errors import UptakeError

LOWEST_PORT: Final = 1
HIGHEST_PORT: Final = 65_535
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_LONGEST_NAME: Final = 253


def checked_host(text: str) -> str:
    """Return the host without brackets; raise ValueError unless it is an IP address or a host name."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _is_address(host) and not _is_name(host):
        raise ValueError(
            "use an IP address or a host name, without a port, such as 127.0.0.1, ::1 or worker-0"
        )
    return host


def checked_url(text: str) -> str:
    """Return ``http://host:port`` as given; raise ValueError unless other workers can use it as an address."""
    problem = "use http://host:port, an address that the other workers can reach"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(problem) from None
    is_plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme != "http" or not is_plain or not (_is_address(host) or _is_name(host)):
        raise ValueError(problem)
    if port is not None and port < LOWEST_PORT:
        raise ValueError(problem)
    if is_wildcard(host):
        raise ValueError(f"{problem}: {host} means every address of a machine, and leads to none")
    return text


def checked_urls(text: str) -> str:
    """Return addresses with commas between them as given; raise ValueError unless each is ``http://host:port``."""
    try:
        urls = [checked_url(url) for url in url_list(text)]
    except ValueError:
        urls = []
    if not urls:
        raise ValueError("use http://host:port, with commas between several addresses")
    return text


def url_list(text: str) -> tuple[str, ...]:
    """Return the addresses of a setting that has commas between them."""
    return tuple(filter(None, (url.strip() for url in text.split(","))))


def is_wildcard(host: str) -> bool:
    """Return whether a server on this host listens on all addresses of the machine."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def http_url(host: str, port: int) -> str:
    """Return the URL of a server, with brackets around an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_host(host: str) -> str:
    """Return the host at which programs of this machine reach a server that listens on ``host``."""
    if not is_wildcard(host):
        return host
    return "::1" if ":" in host else "127.0.0.1"


def broker_addresses(bootstrap: str) -> list[tuple[str, int]]:
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    # A name of digits and dots only is an address with a mistake in it.
    labels = host.removesuffix(".").split(".")
    return (
        len(host) <= _LONGEST_NAME
        and not labels[-1].isdigit()
        and all(_LABEL.fullmatch(label) for label in labels)
    )

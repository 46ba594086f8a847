"""Origins of web pages in the form in which browsers send them."""

import re
from ipaddress import IPv6Address
from typing import Final

_ORIGIN: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9A-Fa-f:.]+\]|[^/?#@:*\s\[\]\\]+)(?::([0-9]{1,5}))?"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65_535
_OTHER_IN_BROWSERS: Final = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
"""Characters that Python's IDNA replaces and that browsers keep: sharp s, final sigma and joiners. Such a host is written as xn--."""


def normalised_origin(text: str) -> str | None:
    """Return an origin with scheme and host in lower case and without the scheme's default port; None if it is not an origin.

    ``*`` (all origins) and ``null`` (pages without an origin) stay. A host outside ASCII becomes its IDNA form.
    """
    if text in ("*", "null"):
        return text
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme, host, port = found[1].lower(), _ascii_host(found[2]), found[3]
    if host is None or (port is not None and not 0 < int(port) <= _HIGHEST_PORT):
        return None
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


def _ascii_host(host: str) -> str | None:
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        if host.isascii():
            return host.lower()
        if not _OTHER_IN_BROWSERS.isdisjoint(host):
            return None
        return host.encode("idna").decode("ascii").lower()
    except ValueError:
        return None

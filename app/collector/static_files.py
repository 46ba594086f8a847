"""Serves the scripts of shop plugins, and the files that browsers and robots ask every host for.

The operator puts them into a directory. A file there replaces the built-in one of the same name.
"""

import errno
import hashlib
import logging
import re
import stat
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from app.collector import answers
from app.customers.customer_registry import Customers
from app.http.request_headers import names_tag
from events.rejections import Rejection

log = logging.getLogger(__name__)

METHODS: Final = "GET, HEAD"
SCRIPTS: Final = (
    "/cdn/v1/{customer}/tracking.js",
    "/cdn/v1/{customer}/tracking.css",
    "/cdn/v1/{customer}/{plugin}/tracking.js",
    "/cdn/v1/{customer}/{plugin}/tracking.css",
)

_CDN: Final = "/cdn/v1/"
_NAMES: Final = frozenset([path.rpartition("/")[2] for path in SCRIPTS])
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "text/xml; charset=utf-8",
    ".ico": "image/x-icon",
}
_PLUGIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CACHED: Final = "public, max-age=3600"
_MAX_BYTES: Final = 4 * 1_048_576
BUILT_IN: Final[dict[str, bytes]] = {
    "/robots.txt": b"User-agent: *\nDisallow: /\n",
    "/favicon.ico": b"",
    "/crossdomain.xml": b'<?xml version="1.0"?>\n<cross-domain-policy/>\n',
}
"""Path -> the content if the directory has no such file. Without a favicon, the answer is 204."""


class _File(msgspec.Struct, frozen=True):
    """A file as it was read. ``stamp`` changes when the file does."""

    stamp: tuple[int, int, int]
    body: bytes
    etag: str


class StaticFiles:
    """Files of one collector, kept in memory until they change."""

    def __init__(self, directory: Path | None, customers: Customers) -> None:
        self._directory, self._customers = directory, customers
        self._files: dict[str, _File] = {}
        self._not_served: set[str] = set()
        """Files that are there and cannot be served, so that each is logged once."""

    def has(self, path: str) -> bool:
        """Return whether a path is one of the static files, whether or not there is such a file."""
        return path in BUILT_IN or path.startswith(_CDN)

    def answer(self, request: web.BaseRequest, path: str) -> web.Response | Rejection:
        """Return the file, 304 if the client has it, or why it cannot be had."""
        if request.method not in METHODS.split(", "):
            return Rejection("method_not_allowed", f"{METHODS} are taken here, not {request.method[:16]}")
        found = self._built_in(path) if path in BUILT_IN else self._script(path)
        return found if isinstance(found, Rejection) else _answer(request, found, path)

    def _built_in(self, path: str) -> _File:
        own = self._read(path.removeprefix("/"))
        return _file((0, 0, 0), BUILT_IN[path]) if own is None else own

    def _script(self, path: str) -> _File | Rejection:
        customer_id, *plugin, name = _parts(path)
        if name not in _NAMES:
            return Rejection(
                "unknown_path", f"there is nothing at this path; scripts are {', '.join(SCRIPTS)}"
            )
        customer = self._customers.get(customer_id)
        if customer is None:
            return Rejection("unknown_customer", f"there is no customer {customer_id[:64]!r}", "customer")
        found = self._read("/".join((customer.id, *plugin, name)))
        if found is None and not plugin:
            found = self._read(name)
        if found is None:
            return Rejection(
                "unknown_path", f"there is no {name}; the operator puts it into UPTAKE_STATIC_DIR"
            )
        return found

    def _read(self, name: str) -> _File | None:
        """Return a file below the directory; None if it is not there, or cannot be served."""
        if self._directory is None:
            return None
        known = self._files.pop(name, None)
        try:
            # Each time: a deployment may point a link at its next directory.
            directory = self._directory.resolve()
            path = (directory / name).resolve()
            if not path.is_relative_to(directory):  # a customer's id may be `..`
                return None
            known = _current(path, known)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError) as error:  # RuntimeError: links that go in a circle
            if name not in self._not_served:  # anyone may ask for it again and again
                self._not_served.add(name)
                problem = error.strerror if isinstance(error, OSError) else "its links go in a circle"
                log.warning("%s in UPTAKE_STATIC_DIR cannot be served: %s", name, problem)
            return None
        self._files[name] = known
        self._not_served.discard(name)
        return known


def _current(path: Path, known: _File | None) -> _File:
    """Return a file as it is now; raise OSError if it cannot be served."""
    found = path.stat()
    stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
    if known is not None and known.stamp == stamp:
        return known
    if not stat.S_ISREG(found.st_mode):  # to read a pipe would stop the collector
        raise OSError(errno.EINVAL, "it is no regular file")
    if found.st_size > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, and at most {_MAX_BYTES} are served")
    return _file(stamp, path.read_bytes())


def _parts(path: str) -> list[str]:
    """Return the customer's id, the id of the plugin if the path has one, and the name of the file; empty if it is no such path."""
    parts = path.removeprefix(_CDN).split("/")
    is_plugins = len(parts) == 3 and _PLUGIN.fullmatch(parts[1]) is not None
    return parts if len(parts) == 2 or is_plugins else ["", ""]


def _file(stamp: tuple[int, int, int], body: bytes) -> _File:
    return _File(stamp, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _answer(request: web.BaseRequest, file: _File, path: str) -> web.Response:
    headers = answers.base_headers(None, None)
    headers["Cache-Control"] = _CACHED
    headers["ETag"] = file.etag
    if names_tag(request.headers.get("If-None-Match", ""), file.etag):
        return web.Response(status=304, headers=headers)
    if not file.body:
        return web.Response(status=204, headers=headers)
    headers["Content-Type"] = _TYPES[Path(path).suffix]
    return web.Response(body=file.body, headers=headers)

"""Files of the page: read and compressed once at the start, so that no path leads anywhere else."""

import gzip
import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from app.http.request_headers import accepted, names_tag
from events.rejections import RefusedError

PAGE_DIRECTORY: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_UNKNOWN_TYPE: Final = "application/octet-stream"
_PACKED: Final = "gzip"


class _PageFile(NamedTuple):
    content_type: str
    plain: bytes
    packed: bytes | None
    etag: str


class PageFiles:
    """The files below one directory, by their path in it."""

    def __init__(self, directory: Path = PAGE_DIRECTORY) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): _read(path)
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }

    def answer(self, request: web.BaseRequest, name: str) -> web.Response:
        """Return a file, or 304 if the client has it; raise RefusedError if there is no such file."""
        file = self._files.get(name)
        if file is None:
            raise RefusedError("unknown_path", "the page has no such file")
        is_packed = file.packed is not None and _PACKED in accepted(
            request.headers.get("Accept-Encoding", "")
        )
        etag = f'"{file.etag}-gzip"' if is_packed else f'"{file.etag}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if names_tag(request.headers.get("If-None-Match", ""), etag):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if is_packed:
            headers["Content-Encoding"] = _PACKED
        return web.Response(body=file.packed if is_packed else file.plain, headers=headers)

    def __contains__(self, name: str) -> bool:
        return name in self._files


def _read(path: Path) -> _PageFile:
    plain = path.read_bytes()
    packed = gzip.compress(plain, 9, mtime=0)
    return _PageFile(
        _TYPES.get(path.suffix, _UNKNOWN_TYPE),
        plain,
        packed if len(packed) < len(plain) else None,
        hashlib.sha256(plain).hexdigest()[:32],
    )

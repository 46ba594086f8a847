"""Bad lookups as bytes on the wire, each with the answer that docs/lookups.md documents. All of them hold a marker id."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CLOSED: Final = 0  # the connection is closed without an answer
MARK: Final = "marker-4711"

_MARK: Final = MARK.encode()
_HEAD: Final = b"Host: uptake.example\r\nConnection: close\r\n"
_USER: Final = b"/v1/00000/users/" + _MARK
_START: Final = b"GET " + _USER + b"/exclusions"
_FILTER: Final = b'{"candidates": ["%s"], "scenario": "%s"}' % (_MARK, _MARK)


@dataclass(frozen=True)
class BadLookup:
    """One request and its answer. ``code`` None: the answer is 200, though the request looks odd."""

    name: str
    request: bytes
    status: int
    code: str | None


def bad_lookups() -> Iterator[BadLookup]:
    """Yield requests with a fault in the address, in the headers or in the body."""
    for name, target, status, code in _addresses():
        yield BadLookup(name, _get(target), status, code)
    for name, line, status, code in _headers():
        yield BadLookup(name, _get(_USER + b"/exclusions", line), status, code)
        yield BadLookup(f"{name}, with a body", _post(_FILTER, line), status, code)
    for name, request, status, code in _bodies():
        yield BadLookup(name, request, status, code)
    for name, request in _protocols():
        yield BadLookup(name, request, 400, "malformed_request")
    slow = _post(_FILTER)[:-5]
    yield BadLookup("slow body", slow, 408, "request_timeout")
    for name, request in [
        ("half a request line", _START),
        ("half-sent headers", _START + b" HTTP/1.1\r\nX-Slow: " + _MARK),
    ]:
        yield BadLookup(name, request, CLOSED, None)


def _addresses() -> Iterator[tuple[str, bytes, int, str | None]]:
    for name, raw in [
        ("byte 255", b"\xff"),
        ("latin-1", b"\xfc"),
        ("UTF-8", "ü".encode()),
        ("overlong UTF-8", b"\xc0\xaf"),
        ("NUL", b"\x00"),
        ("newline", b"\n"),
        ("CR", b"\r"),
        ("DEL", b"\x7f"),
        ("escape", b"\x1b[31m"),
        ("blank", b" "),
        ("tab", b"\t"),
    ]:
        yield f"raw {name} in the user", _USER + raw + b"/exclusions", 400, "malformed_request"
        yield f"raw {name} in the query", _USER + b"?pretty=" + _MARK + raw + b"1", 400, "malformed_request"
    for name, text, code in [
        ("byte 255", b"%FF", "malformed_encoding"),
        ("overlong slash", b"%C0%AF", "malformed_encoding"),
        ("surrogate", b"%ED%A0%80", "malformed_encoding"),
        ("percent alone", b"%", "malformed_encoding"),
        ("NUL", b"%00", "bad_user"),
        ("newline", b"%0A", "bad_user"),
        ("line separator", b"%E2%80%A8", "bad_user"),
        ("1,025 characters", 1_025 * b"u", "user_too_long"),
    ]:
        for route in (b"", b"/exclusions"):
            yield f"encoded {name} {route.decode()}", _USER + text + route, 400, code
    yield "8 KB", _USER + 8_192 * b"u", 414, "uri_too_long"
    yield "80 KB", _USER + 81_920 * b"u", 414, "uri_too_long"
    yield "query of 1 MB", _USER + b"?pretty=" + 1_048_576 * b"x", 414, "uri_too_long"
    yield "no slash", _MARK, 400, "malformed_request"
    yield "other path", b"/" + _MARK, 404, "unknown_path"
    yield "user as a parameter", b"/v1/00000/users?user=" + _MARK, 404, "unknown_path"
    yield "empty segment", b"/v1//users/" + _MARK, 404, "unknown_path"
    yield "method", _USER + b"/filter", 405, "method_not_allowed"
    yield "parameter", _USER + b"?as_of_ms=soon", 400, "bad_parameter"
    yield "parameter of broken encoding", _USER + b"?as_of_ms=%FF", 400, "bad_parameter"
    yield "absolute form", b"http://" + _MARK + b":1" + _USER + b"/exclusions", 200, None


def _headers() -> Iterator[tuple[str, bytes, int, str | None]]:
    yield "header of 9 KB", b"X-User: " + 900 * _MARK + b"\r\n", 431, "headers_too_large"
    yield "100 headers", 100 * (b"X-User: " + _MARK + b"\r\n"), 431, "headers_too_large"
    yield "header with CR", b"X-User: " + _MARK + b"\rSet-Cookie: b\r\n", 400, "malformed_request"
    yield "header with NUL", b"X-User: " + _MARK + b"\x00\r\n", 400, "malformed_request"
    yield "header without colon", _MARK + b"\r\n", 400, "malformed_request"
    yield "header name with a blank", _MARK + b" a: 1\r\n", 400, "malformed_request"
    yield "other Expect", b"Expect: " + _MARK + b"\r\n", 417, "malformed_request"
    yield "key that is not UTF-8", b"Authorization: Bearer " + _MARK + b"\xff\r\n", 200, None
    yield "type that is not UTF-8", b"Content-Type: " + _MARK + b"\xff\r\n", 200, None
    yield "other content type", b"Content-Type: text/" + _MARK + b"\r\n", 200, None


def _bodies() -> Iterator[tuple[str, bytes, int, str | None]]:
    packed = gzip.compress(_FILTER)
    gzipped = b"Content-Encoding: gzip\r\n"
    yield "gzip", _post(packed, gzipped), 200, None
    yield "not gzip", _post(_FILTER, gzipped), 400, "bad_body"
    yield "half of gzip", _post(packed[: len(packed) // 2], gzipped), 400, "bad_body"
    yield "damaged gzip", _post(packed[:-8] + 8 * b"\x00", gzipped), 400, "bad_body"
    yield "gzip of 2 MB", _post(gzip.compress(_MARK + bytes(2_097_152)), gzipped), 413, "body_too_large"
    yield "deflate", _post(_FILTER, b"Content-Encoding: deflate\r\n"), 400, "bad_body"
    yield "unknown packing", _post(_FILTER, b"Content-Encoding: " + _MARK + b"\r\n"), 400, "bad_body"
    yield "cut-off JSON", _post(_FILTER[:-1]), 400, "bad_body"
    yield "JSON that is not UTF-8", _post(_FILTER[:-2] + b'\xff"}'), 400, "bad_body"
    yield "deep JSON", _post(b'{"candidates": ' + 10_000 * b"[" + _MARK), 400, "bad_body"
    yield "2 MB", _post(_MARK + 2_097_152 * b"x"), 413, "body_too_large"
    yield "20 MB", _post(_MARK + 20_971_520 * b"x"), 413, "body_too_large"


def _protocols() -> Iterator[tuple[str, bytes]]:
    yield "other method", _MARK + b" / HTTP/1.1\r\n" + _HEAD + b"\r\n"
    yield "HTTP/0.9", _START + b"\r\n\r\n"
    yield "HTTP/2.0 in the request line", _START + b" HTTP/2.0\r\n" + _HEAD + b"\r\n"
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _MARK
    yield "TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + _MARK + b"\r\n\r\n"
    for length in (b"-1", b"0x5", _MARK):
        yield f"Content-Length {length!r}", _get(_USER, b"Content-Length: " + length + b"\r\n")
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    yield "Content-Length with Transfer-Encoding", _get(_USER, both)
    yield "bad chunk", _get(_USER, b"Transfer-Encoding: chunked\r\n", b"POST") + b"zz\r\n" + _MARK


def _get(target: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + _HEAD + headers + b"\r\n"


def _post(body: bytes, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return _get(_USER + b"/filter", headers + length, b"POST") + body

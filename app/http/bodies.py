"""Reads and unpacks request bodies, within limits of bytes and of time."""

import asyncio
import zlib
from typing import Final

from aiohttp import web

from events.rejections import Rejection

FORM: Final = "application/x-www-form-urlencoded"
FORMS: Final = frozenset(("", FORM, "text/plain"))  # text/plain: navigator.sendBeacon
_NO_ENCODINGS: Final = ("", "identity")
_READ_ANYWAY: Final = 4  # times the limit
_GZIP: Final = 16 + zlib.MAX_WBITS  # makes zlib expect gzip's header and checksum
_BAD_GZIP: Final = Rejection(
    "bad_body", "the body is not gzip, or it is cut off or damaged", "Content-Encoding"
)


async def read_body(
    request: web.BaseRequest, *, limit_bytes: int, timeout_seconds: float
) -> bytes | bytearray | Rejection:
    """Return the body as it was sent, or a rejection if it exceeds ``limit_bytes`` or takes longer than ``timeout_seconds``."""
    if (
        request.content.is_eof()
    ):  # all of it arrived with the head: it needs no timer, which costs a tenth of a short lookup
        whole = request.content.read_nowait()
        return whole if len(whole) <= limit_bytes else _too_large(limit_bytes)
    announced = request.content_length or 0
    if announced <= limit_bytes and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            # Some bytes over the limit are read and discarded: closing at once would lose the answer to the client.
            while len(body) <= limit_bytes * _READ_ANYWAY and (piece := await request.content.readany()):
                body += piece
    except TimeoutError:
        return Rejection("request_timeout", f"the body did not arrive within {timeout_seconds:g} s")
    if announced > limit_bytes or len(body) > limit_bytes:
        return _too_large(limit_bytes)
    return body


def content_type(request: web.BaseRequest) -> str:
    """Return the media type of a body in lower case, without its parameters; empty if the request names none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_form(request: web.BaseRequest, *, limit_bytes: int, timeout_seconds: float) -> str | Rejection:
    """Return a form-encoded body, still encoded; bytes that are not UTF-8 become lone surrogates."""
    body = await read_body(request, limit_bytes=limit_bytes, timeout_seconds=timeout_seconds)
    if isinstance(body, Rejection):
        return body
    kind = content_type(request)
    encoding = request.headers.get("Content-Encoding", "")
    if body and (kind not in FORMS or encoding.strip().lower() not in _NO_ENCODINGS):
        return Rejection(
            "bad_body",
            "a body must be application/x-www-form-urlencoded, and not compressed",
            "Content-Type",
            kind[:80],
        )
    return body.decode("utf-8", "surrogateescape")


def unpacked(body: bytes | bytearray, encoding: str, *, limit_bytes: int) -> bytes | bytearray | Rejection:
    """Return a body without its ``Content-Encoding``, which may only be gzip, of one or more members.

    At most ``limit_bytes`` + 1 bytes are unpacked, so a small body cannot fill the memory.
    """
    encoding = encoding.strip().lower()
    if encoding in _NO_ENCODINGS:
        return body if len(body) <= limit_bytes else _too_large_unpacked(limit_bytes)
    if encoding not in ("gzip", "x-gzip"):
        return Rejection(
            "bad_body", "a body may be compressed with gzip, and with nothing else", "Content-Encoding"
        )
    plain = bytearray()
    packed = bytes(body)
    try:
        while packed:
            member = zlib.decompressobj(_GZIP)
            plain += member.decompress(packed, limit_bytes - len(plain) + 1)
            if len(plain) > limit_bytes:
                return _too_large_unpacked(limit_bytes)
            if not member.eof:
                return _BAD_GZIP
            packed = member.unused_data
    except zlib.error:
        return _BAD_GZIP
    return plain


def _too_large(limit_bytes: int) -> Rejection:
    return Rejection("body_too_large", f"a body takes at most {limit_bytes} bytes")


def _too_large_unpacked(limit_bytes: int) -> Rejection:
    return Rejection("body_too_large", f"a body takes at most {limit_bytes} bytes when it is unpacked")

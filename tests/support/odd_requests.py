"""Odd requests as bytes on the wire, for any of our servers. All of them hold a marker id, in places where servers log or echo."""

from collections.abc import Iterator

_HOST = b"Host: uptake.example\r\n"
_CLOSE = b"Connection: close\r\n"


def odd_requests(target: bytes, mark: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name, request). ``target`` is an address that holds the marker id, and that the server answers."""

    def get(headers: bytes = b"", method: bytes = b"GET", address: bytes = target) -> bytes:
        return method + b" " + address + b" HTTP/1.1\r\n" + _HOST + _CLOSE + headers + b"\r\n"

    def post(headers: bytes, body: bytes) -> bytes:
        return get(headers, b"POST") + body

    chunk = b"%x\r\n%s\r\n" % (len(mark), mark)
    chunked = b"Transfer-Encoding: chunked\r\n"
    keep = b"GET " + target + b" HTTP/1.1\r\n" + _HOST + b"\r\n"
    yield (
        "websocket",
        keep[:-2]
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
        + (mark + b"\r\nSec-WebSocket-Version: 13\r\n\r\n" + get()),
    )
    yield (
        "HTTP/2 upgrade",
        keep[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: " + (mark + b"\r\n\r\n" + get()),
    )
    yield "many requests at once", 50 * keep + get()
    yield "a bad request behind good ones", 3 * keep + b"GET " + target + b"\xff HTTP/1.1\r\n\r\n" + mark
    for method in (b"TRACE", b"CONNECT", b"OPTIONS", b"HEAD", b"DELETE", mark, b"get", b"G\xffT"):
        yield f"method {method!r}", get(method=method)
    for address in (
        mark + b":443",
        b"*",
        b"http://[::" + mark + target,
        b"http://host:99999999" + target,
        b"//" + mark + b":x@[" + target,
        b"/v1/../../" + mark + b"/..;/",
        b"/metrics/" + mark,
        b"/v1/status?" + mark + b"=1",
        b"/health/ready?user=" + mark,
    ):
        yield f"address {address!r}", get(address=address)
    yield "no host", b"GET " + target + b" HTTP/1.1\r\n" + _CLOSE + b"\r\n"
    yield "two hosts", get(b"Host: " + mark + b"\r\n")
    yield "HTTP/1.0", b"GET " + target + b" HTTP/1.0\r\n\r\n"
    yield "HTTP/1.9", get().replace(b"HTTP/1.1", b"HTTP/1.9")
    yield (
        "chunks with extension and trailer",
        post(chunked, chunk.replace(b"\r\n", b";x=" + mark + b"\r\n", 1) + b"0\r\nX: " + mark + b"\r\n\r\n"),
    )
    yield "chunks that are not gzip", post(b"Content-Encoding: gzip\r\n" + chunked, chunk + b"0\r\n\r\n")
    yield "endless chunk", post(chunked, b"ffffffffffffffffff\r\n" + mark)
    yield "two codings", post(b"Transfer-Encoding: gzip, chunked\r\n", chunk + b"0\r\n\r\n")
    yield "coding of another name", post(b"Transfer-Encoding: " + mark + b"\r\n", chunk + b"0\r\n\r\n")
    yield "two lengths", post(b"Content-Length: 8\r\nContent-Length: 9\r\n", mark)
    yield "length without end", post(b"Content-Length: 99999999999999999999999\r\n", mark)
    yield "cookies", get(b'Cookie: uptake_user="\\377\\' + mark + b'";;=;' + mark + b"=\xff\r\n")
    yield "folded header", get(b"X-A: b\r\n " + mark + b"\r\n")
    yield "credentials", get(b"Authorization: Basic " + mark + b"\xff==\r\n")
    yield "form in parts", post(b"Content-Type: multipart/form-data\r\nContent-Length: 8\r\n", mark[:8])

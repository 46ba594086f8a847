"""Bad HTTP requests as bytes on the wire, each with the answer that docs/http-api.md documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CLOSED: Final = 0  # the connection is closed without an answer

_HEAD: Final = b"Host: uptake.example\r\nConnection: close\r\nAccept: application/problem+json\r\n"
_FORM: Final = b"Content-Type: application/x-www-form-urlencoded\r\n"
_SIGNED: Final = "overridetimestamp=2012-01-01T11%3A00%3A00"
_FEB_30: Final = "overridetimestamp=2012-02-30T11%3A00%3A00&signature=40f3296429725fcabcec20be9d14b7a9"
_IN_2100: Final = "overridetimestamp=2100-01-01T00%3A00%3A00&signature=2e58ec23096bfd3efd8e8421e05928fa"


@dataclass(frozen=True)
class BadInput:
    """One request that must be refused. ``code`` is the rejection's; None if the answer holds none.

    With status 200, each of the body's events must be refused with the code.
    """

    name: str
    request: bytes
    status: int
    code: str | None = None


def get(target: str | bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    raw = target.encode("utf-8", "surrogateescape") if isinstance(target, str) else target
    return method + b" " + raw + b" HTTP/1.1\r\n" + _HEAD + headers + b"\r\n"


def post(target: str, body: bytes, headers: bytes = _FORM) -> bytes:
    return get(target, headers + b"Content-Length: %d\r\n" % len(body), b"POST") + body


def tracker_cases() -> Iterator[BadInput]:
    """Yield requests with a fault in the path, the query or the form body of an event."""
    click, event = "/api/00000/click/u/1/5", "/api/00000/"
    for name, target, code in [
        ("encoded backslash", f"{event}click/a%5Cb/1/5", "backslash_in_path"),
        ("encoded backslash in lower case", f"{event}click/u/1/a%5cb", "backslash_in_path"),
        ("encoded NUL in the user", f"{event}click/a%00/1/5", "bad_user"),
        ("encoded NUL in the item", f"{event}click/u/1/a%00", "bad_item"),
        ("encoded NUL in a word", f"{event}rendered/u/1/5?scenario=%00", "bad_parameter"),
        ("encoded newline in the user", f"{event}click/a%0Ab/1/5", "bad_user"),
        ("encoded CR LF in a login", f"{event}login/u/a%0D%0Ab", "bad_user"),
        ("encoded newline in a word", f"{click}?variant=a%0Ab", "bad_parameter"),
        ("overlong slash", f"{event}click/%C0%AF/1/5", "malformed_encoding"),
        ("overlong slash of three bytes", f"{event}click/u/1/%E0%80%AF", "malformed_encoding"),
        ("overlong NUL in the query", f"{click}?title=%C0%80", "malformed_encoding"),
        ("encoded surrogate", f"{event}click/%ED%A0%80/1/5", "malformed_encoding"),
        ("beyond Unicode", f"{event}click/%F4%90%80%80/1/5", "malformed_encoding"),
        ("percent alone", f"{event}click/100%/1/5", "malformed_encoding"),
        ("percent and one digit", f"{click}?title=%4", "malformed_encoding"),
        ("percent and other letters", f"{click}?%zz=1", "malformed_encoding"),
        ("empty user", f"{event}click//1/5", "missing_user"),
        ("empty user and item type", f"{event}click///5", "missing_user"),
        ("empty item type", f"{event}click/u//5", "bad_itemtype"),
        ("empty item", f"{event}click/u/1/", "missing_item"),
        ("empty customer", "/api//click/u/1/5", "unknown_customer"),
        ("empty event", f"{event}/u/1/5", "unknown_event"),
        ("two slashes at the end", f"{click}//", "malformed_path"),
        ("dots", "/api/00000/../../etc/passwd", "unknown_event"),
        ("1,001 items", f"{event}rendered/u/1/1{1_000 * ',1'}", "too_many_items"),
        ("negative row", f"{click}?row=-1", "bad_number"),
        ("huge rank", f"{click}?rank={400 * '9'}", "bad_number"),
        ("float rank", f"{click}?rank=1.5", "bad_number"),
        ("hexadecimal time", f"{click}?created=0x1f&sent=1", "bad_number"),
        ("Arabic digits", f"{click}?row=%D9%A3", "bad_number"),
        ("superscript digit", f"{event}consume/u/1/5?percentage=%C2%B2", "bad_percentage"),
        ("64-bit overflow", f"{click}?created=18446744073709551616&sent=1", "bad_number"),
        ("item type beyond 32 bits", f"{event}click/u/4294967297/5", "bad_itemtype"),
        ("quantity beyond 64 bits", f"{event}buy/u/1/5?quantity=18446744073709551617", "bad_quantity"),
        ("NaN", "/api/strict/buy/u/1/5?fullprice=NaNEUR", "bad_price"),
        ("exponent", "/api/strict/buy/u/1/5?fullprice=1e3EUR", "bad_price"),
        ("decimal comma", "/api/strict/buy/u/1/5?fullprice=1,99EUR", "bad_price"),
        ("unknown currency", "/api/strict/buy/u/1/5?fullprice=1.99XXY", "bad_currency"),
        ("percentage 101", f"{event}consume/u/1/5?percentage=101", "bad_percentage"),
        ("rating -1", f"{event}rate/u/1/5?rating=-1", "bad_rating"),
        ("percentage twice", f"{event}consume/u/1/5?percentage=7&percentage=8", "duplicate_parameter"),
        ("eid twice", f"{click}?eid=a&eid=b", "duplicate_parameter"),
        ("timestamp without signature", f"{click}?{_SIGNED}", "missing_signature"),
        ("timestamp with a wrong signature", f"{click}?{_SIGNED}&signature={'0' * 32}", "bad_signature"),
        ("timestamp in 2100", f"{click}?{_IN_2100}", "bad_timestamp"),
        ("timestamp on 30 February", f"{click}?{_FEB_30}", "bad_timestamp"),
        ("JSONP with script", f"{click}?jsonp=%3Cscript%3Ealert(1)%3C/script%3E", "bad_jsonp"),
        ("JSONP with CR LF", f"{click}?jsonp=f%0D%0ASet-Cookie:%20a=b", "bad_jsonp"),
        ("unknown customer", "/api/00001/click/u/1/5", "unknown_customer"),
        ("customer with a slash", "/api/00000%2F..%2Fx/click/u/1/5", "unknown_customer"),
    ]:
        yield BadInput(name, get(target), 404 if code.startswith("unknown") else 400, code)
    many = b"&".join(b"p%d=1" % number for number in range(1_001))
    yield BadInput("1,001 parameters", post(click, many), 400, "bad_parameter")
    yield BadInput("latin-1 in a form", post(click, b"title=\xfc"), 400, "malformed_encoding")
    yield BadInput("NUL in a form", post(click, b"variant=\x00"), 400, "bad_parameter")


def http_cases() -> Iterator[BadInput]:
    """Yield requests with a fault around the event: in the request line, headers, lengths, or kind of body."""
    click = "/api/00000/click/u/1/5"
    start = b"GET /api/00000/click/u/1/5"
    yield BadInput("raw backslash", get("/api/00000/click/a\\b/1/5"), 400)
    yield BadInput("raw NUL", get(b"/api/00000/click/a\x00b/1/5"), 400)
    yield BadInput("raw newline", get(b"/api/00000/click/a\nb/1/5"), 400)
    yield BadInput("raw CR", get(b"/api/00000/click/a\rb/1/5"), 400)
    yield BadInput("raw latin-1", get(b"/api/00000/click/\xfc/1/5"), 400)
    yield BadInput("raw overlong UTF-8", get(b"/api/00000/click/\xc0\xaf/1/5"), 400)
    yield BadInput("address of 8 KB", get(f"/api/00000/click/{8_192 * 'u'}/1/5"), 414)
    yield BadInput("address of 80 KB", get(f"/api/00000/click/{81_920 * 'u'}/1/5"), 414)
    yield BadInput("query of 1 MB", get(f"{click}?title={1_048_576 * 'x'}"), 414)
    yield BadInput("100,000 items", get(f"/api/00000/rendered/u/1/1{99_999 * ',1'}"), 414)
    yield BadInput("form of 100,000 parameters", post(click, 100_000 * b"a=1&"), 413)
    yield BadInput("form of 1 MB", post(click, b"title=" + 1_048_576 * b"x"), 413)
    yield BadInput("header of 9 KB", get(click, b"X-Big: " + 9_000 * b"x" + b"\r\n"), 431)
    yield BadInput("100 headers", get(click, b"".join(b"X-%d: 1\r\n" % n for n in range(100))), 431)
    yield BadInput("header with CR", get(click, b"X-A: a\rSet-Cookie: b\r\n"), 400)
    yield BadInput("header with NUL", get(click, b"X-A: a\x00b\r\n"), 400)
    yield BadInput("header without colon", get(click, b"no colon here\r\n"), 400)
    yield BadInput("header name with a blank", get(click, b"X A: 1\r\n"), 400)
    yield BadInput("Content-Length -1", get(click, b"Content-Length: -1\r\n", b"POST"), 400)
    yield BadInput("Content-Length 0x5", get(click, b"Content-Length: 0x5\r\n", b"POST") + b"a=1&b", 400)
    yield BadInput(
        "two Content-Length",
        get(click, b"Content-Length: 3\r\nContent-Length: 4\r\n", b"POST") + b"a=1&",
        400,
    )
    lengths = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    yield BadInput("Content-Length with Transfer-Encoding", get(click, lengths, b"POST") + b"0\r\n\r\n", 400)
    chunked = get(click, _FORM + b"Transfer-Encoding: chunked\r\n", b"POST")
    yield BadInput("bad chunk length", chunked + b"zz\r\na=1\r\n0\r\n\r\n", 400)
    yield BadInput("unknown transfer encoding", get(click, b"Transfer-Encoding: gzip\r\n", b"POST"), 400)
    yield BadInput("HTTP/0.9", b"GET /api/00000/click/u/1/5\r\n\r\n", 400)
    yield BadInput("HTTP/2.0 in the request line", start + b" HTTP/2.0\r\n" + _HEAD + b"\r\n", 400)
    yield BadInput("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400)
    yield BadInput("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400)
    yield BadInput("other method", get(click, method=b"DELETE"), 405, "method_not_allowed")
    for kind in (b"text/xml", b"multipart/form-data; boundary=x", b"application/octet-stream"):
        name = f"wrong content type {kind.decode()}"
        yield BadInput(name, post(click, b"<a/>", b"Content-Type: " + kind + b"\r\n"), 400, "bad_body")
    zipped = _FORM + b"Content-Encoding: gzip\r\n"
    yield BadInput("compressed form", post(click, b"\x1f\x8b" + 100 * b"\x00", zipped), 400, "bad_body")
    yield BadInput("silent connection", b"", CLOSED)
    yield BadInput("half a request line", start, CLOSED)
    yield BadInput("half-sent headers", start + b" HTTP/1.1\r\nHost: uptake.example\r\nX-Slow: ", CLOSED)
    slow = get(click, _FORM + b"Content-Length: 50\r\n", b"POST") + b"title="
    yield BadInput("slow body", slow, 408, "request_timeout")

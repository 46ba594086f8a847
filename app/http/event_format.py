"""The text of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html describes it."""

from typing import Final

from events.rejections import RefusedError

_MAX_BYTES: Final = 1_000_000

RETRY: Final = b"retry: 2000\n\n"
"""Tells a client to reconnect after 2 seconds."""

HEARTBEAT: Final = b":\n\n"
"""A comment, which shows that the stream lives."""


def event_part(event: str, data: bytes, id_: str | None = None) -> bytes:
    """Return one event in the format of the stream, in which a line break begins a new field."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    head = f"event: {event}\n" if id_ is None else f"id: {id_}\nevent: {event}\n"
    return b"%bdata: %b\n\n" % (head.encode(), lines)


def check_size(size: int) -> None:
    """Raise RefusedError for data that are too long for a stream: each of its clients would get them every second."""
    if size > _MAX_BYTES:
        raise RefusedError(
            "bad_parameter",
            f"the answer has {size} bytes, and a stream takes {_MAX_BYTES}; take one scenario or larger steps",
        )

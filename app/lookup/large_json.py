"""Large answers as JSON in pieces: encoded, sent, read and freed in slices, so that other requests proceed.

Between two workers, a large array has a line break after some of its entries. JSON text has no other line breaks within. So the reader
can cut the array without reading all of it at once, and a reader that knows nothing of it still reads JSON.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from app.lookup.turns import Turns

_T = TypeVar("_T")
_PIECE_BYTES: Final = 65_536
_CUT: Final = b",\n"


class JsonPieces(Payload):
    """The body of an answer. Each piece is sent when the client has taken those before it."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__(pieces, content_type="application/json")
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the whole text."""
        return self.whole().decode(encoding, errors)

    def whole(self) -> bytes:
        """Return all pieces as one."""
        return b"".join(self._value)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send all pieces. A client that reads fast enough never makes the writer wait."""
        async for piece in Turns().each(self._value):
            await writer.write(piece)


async def object_in_pieces(
    answer: Mapping[str, Any], name: str, *, is_pretty: bool = False, is_cut: bool = False
) -> JsonPieces:
    """Return the JSON of an answer whose field ``name`` is a long list of encoded entries. The list is used up.

    ``is_cut``: for another worker, with a line break after each entry.
    """
    whole = msgspec.json.encode({**answer, name: []})
    if not is_pretty:
        head, tail = _around(whole, b'"%b":[]' % name.encode())
        return await _pieces(head, used_up(answer[name]), _CUT if is_cut else b",", tail)
    head, tail = _around(msgspec.json.format(whole, indent=2), b'"%b": []' % name.encode())
    if not answer[name]:
        return JsonPieces([head + tail + b"\n"])
    entries = (
        b"\n    " + msgspec.json.format(entry, indent=2).replace(b"\n", b"\n    ")
        for entry in used_up(answer[name])
    )
    return await _pieces(head, entries, b",", b"\n  " + tail + b"\n")


async def array_in_pieces(entries: list[Any], size: int) -> JsonPieces:
    """Return the JSON array of entries, with a line break after each ``size`` of them. The list is used up."""
    entries.reverse()

    def blocks() -> Iterator[bytes]:
        while entries:
            block = entries[: -size - 1 : -1]
            del entries[-size:]
            yield msgspec.json.encode(block)[1:-1]

    return await _pieces(b"[", blocks(), _CUT, b"]")


def cut(body: bytes, start: int = 1, end: int = -1) -> Iterator[bytes]:
    """Yield the parts of an array that another worker cut: its entries, with commas between them. ``body[start:end]`` is its inside."""
    at, end = start, end + len(body) if end < 0 else end
    while at < end:
        found = body.find(_CUT, at, end)
        stop = end if found < 0 else found
        yield body[at:stop]
        at = stop + len(_CUT)


def used_up(items: list[_T]) -> Iterator[_T]:
    """Yield the items of a list, which lets go of each. To free a long list at once would block the event loop."""
    items.reverse()
    while items:
        yield items.pop()


def _around(whole: bytes, field: bytes) -> tuple[bytes, bytes]:
    head, _, tail = whole.partition(field)
    return head + field[:-1], b"]" + tail


async def _pieces(head: bytes, entries: Iterable[bytes], between: bytes, tail: bytes) -> JsonPieces:
    pieces: list[bytes] = []
    piece, is_first = bytearray(head), True
    async for entry in Turns().each(entries):
        if not is_first:
            piece += between
        is_first = False
        piece += entry
        if len(piece) >= _PIECE_BYTES:
            pieces.append(bytes(piece))
            piece.clear()
    piece += tail
    pieces.append(bytes(piece))
    return JsonPieces(pieces)

"""Large answers as JSON in pieces: encoded, sent, read and freed in slices, so that other requests proceed.

Between two workers, a large array has a line break after some of its entries. JSON text has no other line breaks within. So the reader
can cut the array without reading all of it at once, and a reader that knows nothing of it still reads JSON.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from app.lookup.turns import Turns
from tables.base.long_lists import used_up

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
    answer: Mapping[str, Any], *names: str, is_pretty: bool = False, is_cut: bool = False
) -> JsonPieces:
    """Return the JSON of an answer whose fields ``names``, in its order, are long lists of encoded entries. The lists are used up.

    ``is_cut``: for another worker, with a line break after each entry.
    """
    rest = msgspec.json.encode({**answer, **{name: [] for name in names}})
    if is_pretty:
        rest = msgspec.json.format(rest, indent=2) + b"\n"
    pieces = _Pieces()
    for name in names:
        head, rest = _around(rest, b'"%b":%b[]' % (name.encode(), b" " * is_pretty))
        pieces.add(head)
        entries = used_up(answer[name])
        if is_pretty and answer[name]:
            await pieces.add_each(map(_indented, entries), b",")
            pieces.add(b"\n  ")
        else:
            await pieces.add_each(entries, _CUT if is_cut else b",")
    return pieces.ended(rest)


async def array_in_pieces(entries: list[Any], size: int) -> JsonPieces:
    """Return the JSON array of entries, with a line break after each ``size`` of them. The list is used up."""
    entries.reverse()

    def blocks() -> Iterator[bytes]:
        while entries:
            block = entries[: -size - 1 : -1]
            del entries[-size:]
            yield msgspec.json.encode(block)[1:-1]

    pieces = _Pieces()
    pieces.add(b"[")
    await pieces.add_each(blocks(), _CUT)
    return pieces.ended(b"]")


async def lines_in_pieces(head: bytes, lines: list[bytes]) -> JsonPieces:
    """Return a text of lines that end in line breaks already. The list is used up."""
    pieces = _Pieces()
    pieces.add(head)
    await pieces.add_each(used_up(lines), b"")
    return pieces.ended(b"")


def cut(body: bytes, start: int = 1, end: int = -1) -> Iterator[bytes]:
    """Yield the parts of an array that another worker cut: its entries, with commas between them. ``body[start:end]`` is its inside."""
    at, end = start, end + len(body) if end < 0 else end
    while at < end:
        found = body.find(_CUT, at, end)
        stop = end if found < 0 else found
        yield body[at:stop]
        at = stop + len(_CUT)


def _indented(entry: bytes) -> bytes:
    return b"\n    " + msgspec.json.format(entry, indent=2).replace(b"\n", b"\n    ")


def _around(whole: bytes, field: bytes) -> tuple[bytes, bytes]:
    head, _, tail = whole.partition(field)
    return head + field[:-1], b"]" + tail


class _Pieces:
    """A text that grows in pieces of about one size."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._piece = bytearray()

    def add(self, part: bytes) -> None:
        """Append a part."""
        self._piece += part
        if len(self._piece) >= _PIECE_BYTES:
            self._pieces.append(bytes(self._piece))
            self._piece.clear()

    async def add_each(self, entries: Iterable[bytes], between: bytes) -> None:
        """Append the entries in slices, with ``between`` between them."""
        is_first = True
        async for entry in Turns().each(entries):
            if not is_first:
                self._piece += between
            is_first = False
            self.add(entry)

    def ended(self, tail: bytes) -> JsonPieces:
        """Return the whole text, with ``tail`` at its end."""
        self._piece += tail
        return JsonPieces([*self._pieces, bytes(self._piece)])

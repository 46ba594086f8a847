"""Large answers in pieces are the JSON that they would be in one, and are cut where a reader expects it."""

import itertools
from typing import Any

import msgspec
import pytest

from app.lookup import large_json
from app.lookup.large_json import JsonPieces, array_in_pieces, cut, lines_in_pieces, object_in_pieces

TRICKY = {"scenario": '"windows":[],\n"windows": []', "windows": None, "total": {"a": [1, {"b": "c,\nd"}]}}
COUNTS = (0, 1, 2, 200)


class _Writer:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def write(self, piece: bytes) -> None:
        self.written.append(piece)


async def sent(body: JsonPieces) -> bytes:
    writer: Any = _Writer()
    await body.write(writer)
    whole = b"".join(writer.written)
    assert body.size == len(whole)
    assert body.decode().encode() == whole
    return whole


def entries(count: int) -> list[dict[str, Any]]:
    return [{"n": number, "text": 'a,\n"b"', "inner": {"list": [], "x": [number]}} for number in range(count)]


def raws(count: int) -> list[msgspec.Raw]:
    return [msgspec.Raw(msgspec.json.encode(entry)) for entry in entries(count)]


@pytest.mark.parametrize("is_pretty", [False, True])
@pytest.mark.parametrize("count", COUNTS)
async def test_the_pieces_of_an_object_are_its_json(
    count: int, is_pretty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_json, "_PIECE_BYTES", 1_000)
    expected = msgspec.json.encode(TRICKY | {"windows": entries(count)})
    if is_pretty:
        expected = msgspec.json.format(expected, indent=2) + b"\n"
    assert (
        await sent(await object_in_pieces(TRICKY | {"windows": raws(count)}, "windows", is_pretty=is_pretty))
        == expected
    )


@pytest.mark.parametrize("is_pretty", [False, True])
@pytest.mark.parametrize("count", COUNTS)
async def test_an_object_may_have_two_long_lists(
    count: int, is_pretty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_json, "_PIECE_BYTES", 1_000)
    whole = TRICKY | {"windows": entries(count), "previous_windows": entries(7)}
    expected = msgspec.json.encode(whole)
    if is_pretty:
        expected = msgspec.json.format(expected, indent=2) + b"\n"
    body = TRICKY | {"windows": raws(count), "previous_windows": raws(7)}
    pieces = await object_in_pieces(body, "windows", "previous_windows", is_pretty=is_pretty)
    assert await sent(pieces) == expected


async def test_lines_in_pieces_are_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "_PIECE_BYTES", 100)
    lines = [b"%d,x\n" % number for number in range(200)]
    expected = b"head\n" + b"".join(lines)
    assert await sent(await lines_in_pieces(b"head\n", lines)) == expected
    assert lines == [], "used up"


@pytest.mark.parametrize("count", COUNTS)
async def test_an_object_for_another_worker_is_cut_after_each_entry(count: int) -> None:
    answer = {"as_of_ms": 1, "results": raws(count), "stale_ms": 5}
    whole = await sent(await object_in_pieces(answer, "results", is_cut=True))
    assert msgspec.json.decode(whole) == {"as_of_ms": 1, "results": entries(count), "stale_ms": 5}
    parts = list(cut(whole, whole.index(b"[") + 1, whole.rindex(b"]")))
    assert [msgspec.json.decode(part) for part in parts] == entries(count)


@pytest.mark.parametrize("count", COUNTS)
async def test_an_array_is_cut_after_some_entries_each(count: int) -> None:
    whole = await sent(await array_in_pieces(entries(count), 64))
    assert msgspec.json.decode(whole) == entries(count)
    parts = [msgspec.json.decode(b"[%b]" % part) for part in cut(whole)]
    assert list(itertools.chain.from_iterable(parts)) == entries(count)
    assert [len(part) for part in parts] == [64] * (count // 64) + [count % 64] * (count % 64 > 0)


def test_an_array_without_cuts_is_one_part() -> None:
    assert list(cut(b"[1,2,3]")) == [b"1,2,3"]
    assert list(cut(b"[]")) == []

"""The independent reader counts the rows of the Kafka Streams peer."""

import struct

from benchmarks.streams_ledger import shown_in

TIME = (1_700_000_000_000).to_bytes(6, "big")


def entry(key: bytes, times: int, total: int | None = None) -> bytes:
    body = key + TIME * times + (b"" if total is None else struct.pack(">I", total) + TIME)
    return struct.pack(">HBB", 4 + len(body), len(key), times | (0 if total is None else 0x80)) + body


def test_item_counts_its_times_or_its_total() -> None:
    row = struct.pack(">H", 3) + entry(b"1/7", 2) + entry(b"1/x\xc3\xa9", 16, 40) + entry(b"12/9", 1)
    assert shown_in(row) == {"7": 2, "xé": 40, "9": 1}

"""Independent reader of the rows of the Kafka Streams peer (benchmarks/peers/kafka_streams). It imports no module of Uptake.

A row of `rendered` is: u16 number of entries, then the entries. An entry is: u16 its length, u8 length of its key, u8 number of times
(| 0x80 if a total follows them), the key, 6 bytes for each time, and a total in 4 bytes with a time in 6.
"""

from benchmarks.ledger import Shown, committed

_TIME_BYTES, _HAS_TOTAL = 6, 0x80


def count_streams_changelog(bootstrap: str, topic: str) -> Shown:
    """Return how often each item was shown to each user, from the last row of each user in a changelog."""
    rows = dict(committed(bootstrap, topic))
    return {user: shown_in(row) for user, row in rows.items() if row is not None}


def shown_in(row: bytes) -> dict[str, int]:
    """Return the items of a row and how often each was shown."""
    found: dict[str, int] = {}
    at = 2
    while at < len(row):
        size = int.from_bytes(row[at : at + 2], "big")
        times = at + 4 + row[at + 2]
        kept = row[at + 3] & ~_HAS_TOTAL
        total = kept
        if row[at + 3] & _HAS_TOTAL:
            behind = times + kept * _TIME_BYTES
            total = int.from_bytes(row[behind : behind + 4], "big")
        found[row[at + 4 : times].decode().partition("/")[2]] = total
        at += size
    return found

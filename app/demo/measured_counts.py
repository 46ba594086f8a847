"""Measured counts of the demo: the same cells read twice, over HTTP and from the topic of windows."""

import asyncio
import time
from typing import Any, Final

import aiohttp
from yarl import URL

from app.base.errors import UptakeError
from app.demo.counts import CellCounts, add, day_of, group_of, hour_of, position_of
from app.kafka.clients import AIOKafkaConsumer
from events.topics import WINDOWS
from tables.ctr.window_keys import POSITION, SEPARATOR, VARIANT, escape
from tables.ctr.windows import WindowRecord, decode_record

_READ_TIMEOUT_S: Final = 60.0
_WANTED: Final = {(VARIANT.encode(), b"hour"), (VARIANT.encode(), b"day"), (POSITION.encode(), b"day")}
_QUESTIONS: Final = (
    {"by": "variant"},
    {"by": "variant,position"},
    {"by": "variant", "granularity": "P1D", "time_zone": "UTC"},
    {"by": "variant", "granularity": "PT1H"},
)


async def get_json(session: aiohttp.ClientSession, url: URL, timeout_s: float = 30.0) -> Any:
    """Return the JSON of an answer. On a 503, ask again after ``Retry-After``.

    Raise UptakeError for any other status, and for a 503 that would last longer than ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        async with session.get(url) as response:
            if response.status == 200:
                return await response.json()
            words = await response.text()
            pause_s = float(response.headers.get("Retry-After", "1"))
        if response.status != 503 or time.monotonic() + pause_s > deadline:
            raise UptakeError(f"{url} answered {response.status}: {words.strip()[:500]}")
        await asyncio.sleep(pause_s)


async def read_over_http(
    session: aiohttp.ClientSession, worker: str, customer: str, from_ms: int, to_ms: int
) -> CellCounts:
    """Return the counts that a worker answers for whole UTC days and all scenarios, in four requests."""
    counts: CellCounts = {}
    url = URL(worker) / "v1" / customer / "ctr"
    span = {"from": str(from_ms), "to": str(to_ms)}
    for question in _QUESTIONS:
        answer = await get_json(session, url.with_query({**question, **span}))
        for window in answer["windows"]:
            group = group_of(window["variant"], window["scenario"])
            numbers = {
                "impressions": window["rendered"],
                "clicks": window["clicks"],
                "attributed_clicks": window["attributed_clicks"],
            }
            match question:
                case {"by": "variant,position"}:
                    add(counts, group, "position", position_of(window["row"], window["rank"]), numbers)
                case {"granularity": "P1D"}:
                    add(counts, group, "day", day_of(window["start_ms"]), numbers)
                case {"granularity": "PT1H"}:
                    add(counts, group, "hour", hour_of(window["start_ms"]), numbers)
                case _:
                    add(counts, group, "total", "", numbers)
    return counts


async def read_items(
    session: aiohttp.ClientSession, worker: str, customer: str, from_ms: int, to_ms: int
) -> CellCounts:
    """Return the counts of each item that a worker answers, by scenario. Raise UptakeError if there are more than one answer has."""
    query = {"by": "item", "limit": "1000", "from": str(from_ms), "to": str(to_ms)}
    answer = await get_json(session, (URL(worker) / "v1" / customer / "ctr").with_query(query))
    if answer["left_out"]:
        raise UptakeError(f"the files have {answer['left_out']} items more than one answer can hold")
    counts: CellCounts = {}
    for window in answer["windows"]:
        numbers = {
            "impressions": window["rendered"],
            "clicks": window["clicks"],
            "attributed_clicks": window["attributed_clicks"],
        }
        add(counts, group_of(None, window["scenario"]), "item", window["item"], numbers)
    return counts


async def read_from_topic(bootstrap: str, customer: str, partitions: int) -> CellCounts:
    """Return the counts of ``uptake.ctr.windows``: the last record of each key; totals and positions are sums of day windows."""
    latest: dict[bytes, WindowRecord] = {}
    owner = escape(customer)
    consumer = AIOKafkaConsumer(
        WINDOWS,
        bootstrap_servers=bootstrap,
        group_id=None,  # without a group: read all partitions, commit nothing
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        assigned = sorted(consumer.assignment())
        if len(assigned) != partitions:
            raise UptakeError(f"{WINDOWS} has {len(assigned)} partitions, expected {partitions}")
        ends = await consumer.end_offsets(assigned)
        deadline = time.monotonic() + _READ_TIMEOUT_S
        # A partition ends in a commit marker, which is not delivered as a record: only the position reaches the end.
        while any([await consumer.position(tp) < ends[tp] for tp in assigned]):
            if time.monotonic() > deadline:
                raise UptakeError(f"{WINDOWS} could not be read to its end in {_READ_TIMEOUT_S:g} s")
            batches = await consumer.getmany(timeout_ms=200, max_records=5_000)
            for record in (record for batch in batches.values() for record in batch):
                if _is_wanted(record.key, owner):
                    latest[record.key] = decode_record(record.value)
    finally:
        await consumer.stop()
    counts: CellCounts = {}
    for window in latest.values():
        _count(counts, window)
    return counts


def _is_wanted(raw_key: bytes, customer: bytes) -> bool:
    """Return whether a record is needed. Most are of minutes; the parts of the key tell this without decoding."""
    owner, _, dimension, granularity, *_ = raw_key.split(SEPARATOR)
    return owner == customer and (dimension, granularity) in _WANTED


def _count(counts: CellCounts, window: WindowRecord) -> None:
    group = group_of(window.variant, window.scenario)
    numbers = {
        "impressions": window.rendered,
        "clicks": window.clicks,
        "attributed_clicks": window.attributed_clicks,
    }
    if window.dimension == POSITION:
        add(counts, group, "position", position_of(window.row, window.rank), numbers)
    elif window.granularity == "hour":
        add(counts, group, "hour", hour_of(window.start_ms), numbers)
    else:
        add(counts, group, "day", day_of(window.start_ms), numbers)
        add(counts, group, "total", "", numbers)

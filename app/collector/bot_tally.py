"""Adds up the events of bots, and writes their numbers into the journal once a second.

A site may have more robots than people, so their events get no record each (docs/decisions/0020). The numbers that wait are in memory
only: they are lost if the process is killed.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from prometheus_client import Counter

from app.journal.sink import EventSink, NotTakenError
from events.model import NO_PROFILE_USER, BotCount, BotEvents, EventBase
from events.scenarios import labels_of
from events.topics import JOURNAL

_INTERVAL_S: Final = 1.0
_LAST_WRITE_S: Final = 1.0
_MAX_CELLS: Final = 10_000  # made-up names of scenarios may come with each request: 3 MB
_MAX_COUNTS: Final = 200  # in one record: with the longest names it stays below the size that a worker takes
_MINUTE_MS: Final = 60_000


class _Cell(NamedTuple):
    """What is counted apart. A record is about one customer and minute."""

    customer: str
    minute: int
    scenario: str | None
    variant: str | None


class BotTally:
    """The events of bots that are not in the journal yet, by customer, minute of receipt, scenario and variant.

    ``lost`` counts those that may be missing in CTR answers.
    """

    def __init__(self, sink: EventSink, lost: Counter) -> None:
        self._sink, self._lost = sink, lost
        self._counted: dict[_Cell, int] = {}
        self._newest_ms = 0

    def add(self, event: EventBase) -> None:
        """Count an event, if it would count in a CTR window by itself.

        It counts when it was received: the clock of a robot is not to be trusted.
        """
        self._newest_ms = max(self._newest_ms, event.received_ms)
        for scenario, variant in labels_of(event):
            self._count(_Cell(event.customer, event.received_ms // _MINUTE_MS, scenario, variant), 1)

    def _count(self, cell: _Cell, events: int) -> None:
        known = self._counted.get(cell)
        if known is None and len(self._counted) >= _MAX_CELLS:
            self._lost.inc(events)
        else:
            self._counted[cell] = events + (known or 0)

    async def run(self, interval_s: float = _INTERVAL_S) -> None:
        """Write what was counted every ``interval_s`` seconds."""
        while True:
            await asyncio.sleep(interval_s)
            await self.write()

    async def close(self) -> None:
        """Hand on the last numbers before the sink stops. The sink waits for them, so this does not wait long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WRITE_S):
                await self.write()

    async def write(self) -> None:
        """Write what was counted. What the sink does not take is counted again, with what comes next."""
        records = list(self._take())
        outcomes = await self._sink.send_many([(JOURNAL, record) for record in records])
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, NotTakenError):
                for each in record.counts:
                    minute = record.received_ms // _MINUTE_MS
                    self._count(_Cell(record.customer, minute, each.scenario, each.variant), each.events)
                self._newest_ms = max(self._newest_ms, record.received_ms)
            elif outcome is not None:  # its fate is not known: a second record could count twice
                self._lost.inc(sum(each.events for each in record.counts))

    def _take(self) -> Iterator[BotEvents]:
        """Yield the records of what was counted, and forget it."""
        counted, self._counted = self._counted, {}
        newest_ms, self._newest_ms = self._newest_ms, 0
        by_minute: dict[tuple[str, int], list[BotCount]] = {}
        for cell, events in counted.items():
            counts = by_minute.setdefault((cell.customer, cell.minute), [])
            counts.append(BotCount(events, cell.scenario, cell.variant))
        for (customer, minute), counts in by_minute.items():
            # Of an earlier minute, it is the last ms.
            time_ms = min(newest_ms, (minute + 1) * _MINUTE_MS - 1)
            rest = iter(counts)
            while some := tuple(islice(rest, _MAX_COUNTS)):
                yield BotEvents(
                    customer=customer, user=NO_PROFILE_USER, time_ms=time_ms, received_ms=time_ms, counts=some
                )

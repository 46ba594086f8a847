"""An EventSink that keeps records in memory: the double of KafkaSink under the same contract (tests/contract/test_event_sink.py)."""

import asyncio
import random
from collections.abc import Callable, Sequence

from app.journal.sink import FateUnknownError, NotTakenError, Outcome, SpoolCounts
from events.codec import encode
from events.model import EventBase
from events.pseudonym import journal_key

PARTITIONS = 3


class MemorySink:
    """Keeps records in order of acknowledgement. A test can make it refuse events, or lose or delay acknowledgements.

    ``refuses`` returns the reason for refusing an event, None if the sink accepts it.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes, int]] = []
        self.refusal: str | None = None
        self.refuses: Callable[[EventBase], str | None] = lambda _event: None
        self.loses_acknowledgements = False
        self.may_acknowledge = asyncio.Event()
        self.may_acknowledge.set()
        self.waiting = 0
        self.warned: list[str] = []
        self.spool: SpoolCounts | None = None
        self._is_started = False

    async def start(self) -> None:
        self._is_started = True

    async def stop(self) -> None:
        while self.waiting:
            await asyncio.sleep(0)
        self._is_started = False

    def problems(self) -> list[str]:
        if not self._is_started:
            return ["the sink is not started"]
        return [] if self.refusal is None else [self.refusal]

    def warnings(self) -> list[str]:
        return self.warned

    def spool_counts(self) -> SpoolCounts | None:
        return self.spool

    async def send(self, topic: str, event: EventBase) -> None:
        problems = [reason for reason in (*self.problems(), self.refuses(event)) if reason is not None]
        if problems:
            raise NotTakenError(problems[0])
        self.waiting += 1
        try:
            await self.may_acknowledge.wait()
        finally:
            self.waiting -= 1
        key = journal_key(event, random.randrange(PARTITIONS))
        self.records.append((topic, key, encode(event), event.received_ms))
        if self.loses_acknowledgements:
            raise FateUnknownError("the acknowledgement was lost")

    async def send_many(self, events: Sequence[tuple[str, EventBase]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for topic, event in events:
            try:
                await self.send(topic, event)
            except (NotTakenError, FateUnknownError) as error:
                outcomes.append(error)
            else:
                outcomes.append(None)
        return outcomes

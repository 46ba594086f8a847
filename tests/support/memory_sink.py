"""An EventSink that keeps records in memory: the double of KafkaSink, held to the same contract (tests/contract)."""

import asyncio

from app.collector.sink import FateUnknownError, NotTakenError


class MemorySink:
    """Records in the order of their acknowledgement. A test makes it refuse, lose acknowledgements, or hold them back."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes, int]] = []
        self.refusal: str | None = None
        self.loses_acknowledgements = False
        self.may_acknowledge = asyncio.Event()
        self.may_acknowledge.set()
        self.waiting = 0
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

    async def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        problems = self.problems()
        if problems:
            raise NotTakenError(problems[0])
        self.waiting += 1
        try:
            await self.may_acknowledge.wait()
        finally:
            self.waiting -= 1
        self.records.append((topic, key, value, timestamp_ms))
        if self.loses_acknowledgements:
            raise FateUnknownError("the acknowledgement was lost")

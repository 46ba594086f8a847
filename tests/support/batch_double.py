"""A double of the collector's batch endpoint, for the tests of import: it gives prepared answers and keeps each ``eid`` once."""

import asyncio
import base64
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.collector_double import an_answer

Event = dict[str, Any]
Judge = Callable[[Event], dict[str, Any]]
"""The answer for one event: ``accepted()`` or ``rejected(...)``."""
Before = Callable[[list[Event]], bytes | None]
"""The answer for a whole batch.

None leaves the decision to the events; b"" closes the connection without an answer.
"""


def accepted(_event: Event | None = None) -> dict[str, Any]:
    return {"status": "accepted"}


def rejected(code: str = "bad_item", *, retry: bool = False) -> dict[str, Any]:
    return {"status": "rejected", "code": code, "reason": f"says {code}", "retry": retry}


class BatchDouble:
    """``taken``: eid -> event, in order of first arrival; ``arrived``: how often each came; ``logins``: credentials of senders."""

    def __init__(self, judge: Judge, before: Before, after: Before) -> None:
        self._judge, self._before, self._after = judge, before, after
        self.taken: dict[str, Event] = {}
        self.arrived: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.logins: set[str] = set()
        self.paths: set[str] = set()
        self.most_at_once = self._at_once = 0
        self.delay_s = 0.0
        self.url = ""

    @property
    def rows(self) -> list[int]:
        """The row numbers that were taken, in order of arrival."""
        return [int(eid.rpartition("-")[2]) for eid in self.taken]

    async def settle(self) -> None:
        """Wait until all batches are handled that a client sent before it died."""
        seen = -1
        while self._at_once or seen != self.arrived.total():
            seen = self.arrived.total()
            await asyncio.sleep(0.1)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = gzip.decompress(await reader.readexactly(int(headers["Content-Length"])))
                self.paths.add(head.split(" ", 2)[1])
                self.logins.add(base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode())
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                await asyncio.sleep(self.delay_s)
                answer = self._answer([json.loads(line) for line in body.splitlines()])
                self._at_once -= 1
                if not answer:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _answer(self, events: list[Event]) -> bytes:
        said = self._before(events)
        if said is not None:
            return said
        self.sizes.append(len(events))
        results = [self._take(event) for event in events]
        said = self._after(events)
        if said is not None:
            return said
        count = sum(result["status"] == "accepted" for result in results)
        return an_answer(
            200, json.dumps({"accepted": count, "rejected": len(results) - count, "results": results})
        )

    def _take(self, event: Event) -> dict[str, Any]:
        self.arrived[event["eid"]] += 1
        result = self._judge(event)
        if result["status"] == "accepted":
            self.taken.setdefault(event["eid"], event)
        return result


def nothing(_events: list[Event]) -> None:
    """Leave a whole batch to the judgement of its events."""


@asynccontextmanager
async def batch_double(
    judge: Judge = accepted, *, before: Before = nothing, after: Before = nothing
) -> AsyncIterator[BatchDouble]:
    double = BatchDouble(judge, before, after)
    server = await asyncio.start_server(double.handle, "127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield double

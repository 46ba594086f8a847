"""The load of `page`, in a process of its own: clients that read one stream of the dashboard, as open pages do.

``python -m benchmarks.page_readers`` opens them, waits until each has an event, and reads for some seconds. Its last line is the JSON of
``Reading``. It notes when an event begins to arrive, and does not look into its data.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Final, cast

import uvloop

from benchmarks.clients import percentiles

HOLDING: Final = "all clients read"
"""What the process prints when each client has its first event."""

_MARK: Final = b"\nid: "
_ID_BYTES: Final = 16
_OPENED_AT_ONCE: Final = 50
_OPEN_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Reading:
    """What the clients got while they read."""

    clients: int
    seconds: float
    least_updates: int
    """Events of the client that got fewest."""
    updates_per_second: float
    """Events a second of the clients in the mean."""
    spread_ms: dict[str, float | int | None]
    """For each event and client: how much later it came than to the first client."""
    lost: int
    """Connections that ended."""
    bytes_an_event: int


class PageReader(asyncio.Protocol):
    """One connection: when each event began to arrive, by its id."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._tail = b""
        self.arrived: dict[bytes, float] = {}
        self.size_bytes = 0
        self.is_open = False
        self.has_data = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_open = True
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        text = self._tail + data
        at = text.find(_MARK)  # a regular expression would take milliseconds for a long event
        while at >= 0:
            name = text[at + len(_MARK) : at + len(_MARK) + _ID_BYTES]
            if len(name) == _ID_BYTES:
                self.arrived.setdefault(name, time.monotonic())
            at = text.find(_MARK, at + 1)
        self._tail = text[1 - len(_MARK) - _ID_BYTES :]
        self.size_bytes += len(data)
        if self.arrived and not self.has_data.done():
            self.has_data.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_open = False
        if not self.has_data.done():
            self.has_data.set_exception(ConnectionError("the stream ended before its first event"))


def reading(readers: list[PageReader], since: float, until: float) -> Reading:
    """Return what the clients got between two moments."""
    counts: list[int] = []
    first: dict[bytes, float] = {}
    times: defaultdict[bytes, list[float]] = defaultdict(list)
    for reader in readers:
        count = 0
        for name, moment in reader.arrived.items():
            first[name] = min(moment, first.get(name, moment))
            if since <= moment < until:
                count += 1
                times[name].append(moment)
        counts.append(count)
    late_ms = [(moment - first[name]) * 1000 for name, moments in times.items() for moment in moments]
    return Reading(
        clients=len(readers),
        seconds=round(until - since, 2),
        least_updates=min(counts),
        updates_per_second=round(sum(counts) / len(counts) / (until - since), 3),
        spread_ms=percentiles(late_ms),
        lost=sum(not reader.is_open for reader in readers),
        bytes_an_event=sum(reader.size_bytes for reader in readers)
        // max(1, sum(len(reader.arrived) for reader in readers)),
    )


async def read(port: int, target: str, clients: int, seconds: float) -> Reading:
    """Open all clients, then read for some seconds. Raise ConnectionError or TimeoutError if one gets no event."""
    loop = asyncio.get_running_loop()
    request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    readers: list[PageReader] = []
    async with asyncio.timeout(_OPEN_SECONDS):
        while len(readers) < clients:
            opened = [
                loop.create_connection(lambda: PageReader(request), "127.0.0.1", port)
                for _ in range(min(_OPENED_AT_ONCE, clients - len(readers)))
            ]
            made = [reader for _, reader in await asyncio.gather(*opened)]
            readers += made
            await asyncio.gather(*(reader.has_data for reader in made))
    print(HOLDING, flush=True)
    since = time.monotonic()
    await asyncio.sleep(seconds)
    found = reading(readers, since, time.monotonic())
    for reader in readers:
        reader.close()
    await asyncio.sleep(0)  # so that the loop closes them
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page_readers", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True, help="path and query of the stream")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    chosen = parser.parse_args(argv)
    found = uvloop.run(read(chosen.port, chosen.target, chosen.clients, chosen.seconds))
    print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    sys.exit(main())

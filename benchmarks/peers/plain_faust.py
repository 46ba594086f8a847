"""Faust as its documentation teaches it: an agent, and a Table for each kind of row, one event at a time.

Best form: RocksDB through rocksdict, uvloop, the Cython parts with their repaired fast paths, no web server. Keys and values are raw;
msgspec encodes and decodes them, instead of JSON and Records. Changelogs are on, events are processed at least once, and there are no
standbys. Each event reads and writes three rows: `rendered` and `impressions` of its user, and the pane of its scenario.
"""

import logging
from typing import Any

import faust
import msgspec
import uvloop

from benchmarks.panes import count_shown, pane_key
from benchmarks.peers.arguments import READY, parse
from benchmarks.peers.faust_app import create_app, source_topic
from benchmarks.peers.whole_rows import IMPRESSIONS, RENDERED, remember, show
from events.model import Event, Rendered
from tables.ctr import panes


def create_peer(arguments: Any) -> faust.App:
    app = create_app(arguments, producer_linger=0.05)  # tens of records per request instead of one or two
    source = source_topic(app, arguments)

    def table(name: str) -> Any:
        return app.Table(name, key_type=bytes, value_type=bytes)

    shown, logged, counted = table("rendered"), table("impressions"), table("panes")
    decode = msgspec.json.Decoder(Event).decode

    @app.agent(source)
    async def fold(stream: Any) -> None:
        is_first = True
        async for key, value in stream.items():
            if is_first:
                is_first = False
                print(READY)
            event = decode(value)
            assert isinstance(event, Rendered)
            raw = shown.get(key)
            row: Any = None if raw is None else RENDERED.decode(raw)
            shown[key] = RENDERED.encode(show(row, event))
            raw = logged.get(key)
            row = None if raw is None else IMPRESSIONS.decode(raw)
            logged[key] = IMPRESSIONS.encode(remember(row, event))
            pane = pane_key(event)
            raw = counted.get(pane)
            row = None if raw is None else panes.TABLE.decode(raw)
            counted[pane] = panes.TABLE.encode(count_shown(row, event))

    return app


if __name__ == "__main__":
    # Otherwise Faust creates a record for each debug line, though none is written.
    logging.disable(logging.INFO)
    uvloop.install()
    create_peer(parse()).Worker(loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()

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
from events.model import Event, Rendered
from tables.declare import BY_NAME
from tables.user import attribution, impressions, rendered
from tables.user.impressions import ImpressionsState


def create_peer(arguments: Any) -> faust.App:
    app = create_app(arguments, producer_linger=0.05)  # tens of records per request instead of one or two
    source = source_topic(app, arguments)

    def table(name: str) -> Any:
        return app.Table(name, key_type=bytes, value_type=bytes)

    shown, remembered, panes = table("rendered"), table("impressions"), table("panes")
    shown_row, remembered_row, pane_row = BY_NAME["rendered"], BY_NAME["impressions"], BY_NAME["panes"]
    decode = msgspec.json.Decoder(Event).decode

    @app.agent(source)
    async def remember(stream: Any) -> None:
        is_first = True
        async for key, value in stream.items():
            if is_first:
                is_first = False
                print(READY)
            event = decode(value)
            assert isinstance(event, Rendered)
            raw = shown.get(key)
            row: Any = None if raw is None else shown_row.decode(raw)
            shown[key] = shown_row.encode(rendered.show(row, event))
            raw = remembered.get(key)
            row = ImpressionsState() if raw is None else remembered_row.decode(raw)
            attribution.show(row, event.user, impressions.impression_of(event))
            remembered[key] = remembered_row.encode(row)
            pane = pane_key(event)
            raw = panes.get(pane)
            row = None if raw is None else pane_row.decode(raw)
            panes[pane] = pane_row.encode(count_shown(row, event))

    return app


if __name__ == "__main__":
    # Otherwise Faust creates a record for each debug line, though none is written.
    logging.disable(logging.INFO)
    uvloop.install()
    create_peer(parse()).Worker(loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()

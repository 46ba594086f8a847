"""What does Faust as its documentation teaches it cost? An agent, and a Table for each kind of row, one event at a time.

Best form: RocksDB by rocksdict, raw keys and values decoded by msgspec (a codec of its own for the rows, as the documentation
of codecs shows) instead of JSON and Records, uvloop, the Cython parts with their repaired fast paths, no web server. Changelogs
on, at-least-once, no standbys. Each event reads and writes three rows: rendered and impressions of its user, the pane of its scenario.
"""

from typing import Any

import faust
import msgspec
import uvloop
from faust.serializers import codecs

from benchmarks.panes import count_shown, pane_key
from benchmarks.peers.arguments import READY, parse
from events.model import Event, Rendered
from tables import impressions, rendered
from tables.declare import codec


class RowCodec(codecs.Codec):
    """Faust's codec for the rows of one table."""

    def __init__(self, table: str) -> None:
        super().__init__()
        coding = codec(table)
        self._encode, self._decode = coding.encode, coding.decode

    def _dumps(self, obj: Any) -> bytes:
        return self._encode(obj)  # type: ignore[no-any-return]

    def _loads(self, s: bytes) -> Any:
        return self._decode(s)


def create_app(arguments: Any) -> faust.App:
    app = faust.App(
        arguments.name,
        broker=f"kafka://{arguments.kafka}",
        store="rocksdb://",
        datadir=arguments.state_dir,
        topic_partitions=arguments.partitions,
        topic_replication_factor=1,
        broker_commit_interval=arguments.commit_seconds,
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,
        web_enabled=False,
        cython_optimizations=True,
    )
    source = app.topic(
        arguments.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    def table(name: str) -> Any:
        codecs.register(f"{name}-row", RowCodec(name))
        return app.Table(name, key_serializer="raw", value_serializer=f"{name}-row")

    shown, remembered, panes = table("rendered"), table("impressions"), table("panes")
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
            shown[key] = rendered.show(shown.get(key), event)
            remembered[key] = impressions.remember(
                remembered.get(key), impressions.impression_of(event), event.received_ms
            )
            pane = pane_key(event)
            panes[pane] = count_shown(panes.get(pane), event)

    return app


if __name__ == "__main__":
    uvloop.install()
    create_app(parse()).Worker(loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()

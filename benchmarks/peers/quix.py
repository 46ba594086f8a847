"""Quix Streams as its documentation teaches it: a StreamingDataFrame with a stateful function.

Best form: bytes in and out (`get_bytes`, `set_bytes`, msgspec) instead of its JSON, RocksDB state, and changelog topics. Each changed
key is written once per checkpoint. Its State belongs to the message's key. The documented way to rows of another key is `group_by`
through a repartition topic, which would cost one more message per event. So the same store transaction keeps the scenario's pane under a
prefix of its own. This peer creates that State in the way in which the library creates the State of a function.
"""

from typing import Any

import msgspec
from quixstreams import Application, State, message_context

from benchmarks.panes import count_shown, pane_key
from benchmarks.peers.arguments import READY, parse
from benchmarks.peers.whole_rows import IMPRESSIONS, RENDERED, remember, show
from events.model import Event, Rendered
from tables.ctr import panes

SHOWN_KEY, LOGGED_KEY, PANES = b"rendered", b"impressions", b"panes"


def run(arguments: Any) -> None:
    app = Application(
        broker_address=arguments.kafka,
        consumer_group=arguments.name,
        auto_offset_reset="earliest",
        commit_interval=arguments.commit_seconds,
        state_dir=arguments.state_dir,
        use_changelog_topics=True,
        loglevel="WARNING",
    )
    source = app.topic(arguments.topic, key_deserializer="bytes", value_deserializer="bytes")
    frame = app.dataframe(source)
    decode = msgspec.json.Decoder(Event).decode
    is_first = True

    def fold(value: bytes, state: State) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            print(READY)
        event = decode(value)
        assert isinstance(event, Rendered)
        raw = state.get_bytes(SHOWN_KEY)
        shown = show(None if raw is None else RENDERED.decode(raw), event)
        state.set_bytes(SHOWN_KEY, RENDERED.encode(shown))
        raw = state.get_bytes(LOGGED_KEY)
        logged = remember(None if raw is None else IMPRESSIONS.decode(raw), event)
        state.set_bytes(LOGGED_KEY, IMPRESSIONS.encode(logged))
        by_scenario = frame.processing_context.checkpoint.get_store_transaction(
            stream_id=frame.stream_id, partition=message_context().partition
        ).as_state(prefix=PANES)
        key = pane_key(event)
        raw = by_scenario.get_bytes(key)
        pane = count_shown(None if raw is None else panes.TABLE.decode(raw), event)
        by_scenario.set_bytes(key, panes.TABLE.encode(pane))

    frame.update(fold, stateful=True)
    app.run()


if __name__ == "__main__":
    run(parse())

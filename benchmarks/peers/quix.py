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
from events.model import Event, Rendered
from tables.declare import BY_NAME
from tables.user import attribution, impressions, rendered
from tables.user.impressions import ImpressionsState

RENDERED, IMPRESSIONS, PANES = b"rendered", b"impressions", b"panes"


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
    shown, remembered, panes = BY_NAME["rendered"], BY_NAME["impressions"], BY_NAME["panes"]
    is_first = True

    def remember(value: bytes, state: State) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            print(READY)
        event = decode(value)
        assert isinstance(event, Rendered)
        raw = state.get_bytes(RENDERED)
        state.set_bytes(
            RENDERED, shown.encode(rendered.show(None if raw is None else shown.decode(raw), event))
        )
        raw = state.get_bytes(IMPRESSIONS)
        row = ImpressionsState() if raw is None else remembered.decode(raw)
        attribution.show(row, event.user, impressions.impression_of(event))
        state.set_bytes(IMPRESSIONS, remembered.encode(row))
        by_scenario = frame.processing_context.checkpoint.get_store_transaction(
            stream_id=frame.stream_id, partition=message_context().partition
        ).as_state(prefix=PANES)
        key = pane_key(event)
        raw = by_scenario.get_bytes(key)
        by_scenario.set_bytes(
            key, panes.encode(count_shown(None if raw is None else panes.decode(raw), event))
        )

    frame.update(remember, stateful=True)
    app.run()


if __name__ == "__main__":
    run(parse())

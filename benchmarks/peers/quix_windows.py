"""Quix Streams as its documentation teaches windows: `group_by` to the key, a tumbling window, and sums of two columns.

Best form: only the fields that it counts are decoded (msgspec), and what goes through the repartition topic is small. With ``--live``
its windows are `current`: an event publishes its window. Else they are `final`: a window is published once, when it is closed.
"""

from typing import Any

import msgspec
from quixstreams import Application
from quixstreams.dataframe.windows import Sum

from benchmarks.peers.arguments import READY, parse

MINUTE_MS = 60_000
GRACE_MS = 600_000  # as ours


class Shown(msgspec.Struct, tag_field="type", tag="rendered", gc=False):
    customer: str
    scenario: str
    items: list[str]


class Clicked(msgspec.Struct, tag_field="type", tag="clickrecommended", gc=False):
    customer: str
    scenario: str


def run(arguments: Any) -> None:
    app = Application(
        broker_address=arguments.kafka,
        consumer_group=arguments.name,
        auto_offset_reset="earliest",
        commit_interval=arguments.commit_seconds,
        state_dir=arguments.state_dir,
        use_changelog_topics=True,
        processing_guarantee=arguments.guarantee,
        loglevel="WARNING",
    )
    source = app.topic(arguments.topic, key_deserializer="bytes", value_deserializer="bytes")
    decode = msgspec.json.Decoder(Shown | Clicked).decode
    is_first = True

    def counted(value: bytes) -> dict[str, Any]:
        nonlocal is_first
        if is_first:
            is_first = False
            print(READY)
        event = decode(value)
        shown, clicked = (len(event.items), 0) if isinstance(event, Shown) else (0, 1)
        return {"place": f"{event.customer}|{event.scenario}", "shown": shown, "clicked": clicked}

    frame = app.dataframe(source).apply(counted)
    frame = frame.group_by("place", key_serializer="str", key_deserializer="str")
    windows = frame.tumbling_window(MINUTE_MS, grace_ms=GRACE_MS)
    sums = windows.agg(shown=Sum("shown"), clicked=Sum("clicked"))
    frame = sums.current() if arguments.live else sums.final()
    frame.to_topic(app.topic(f"{arguments.name}-windows", key_serializer="str"))
    app.run()


if __name__ == "__main__":
    run(parse())

"""How an event is written into the journal and read back: JSON, a tagged union by ``type``."""

from typing import Final

import msgspec

from events.model import EVENT_VERSION, Event, EventBase

_encoder: Final = msgspec.json.Encoder(decimal_format="string")
_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)


class UndecodableError(ValueError):
    """A record is not an event we know. ``reason`` is one of ``null``, ``malformed``, ``unknown_version``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def encode(event: EventBase) -> bytes:
    """Return the journal record of an event."""
    return _encoder.encode(event)


def decode(raw: bytes | None) -> Event:
    """Return the event of a journal record; raise UndecodableError when it is none."""
    if raw is None:
        raise UndecodableError("null", "the record has no value")
    try:
        event = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError("malformed", str(error)) from None
    if event.v != EVENT_VERSION:
        raise UndecodableError(
            "unknown_version", f"version {event.v}, this worker reads {EVENT_VERSION}"
        )
    return event

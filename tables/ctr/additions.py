"""Additions: what one flush of a source partition adds to the items and users of a scenario, by hour.

They are the records of version 2 in ``uptake.ctr.partials``, msgpack. Unlike panes they are differences. Each counts exactly once: the
flush that sends it commits it with the position of the source, and the merge folds it with its own position. A pane of each item would
cost a row of each item in every flush (docs/decisions/0022).
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec

from tables.ctr.item_columns import ItemColumns
from tables.ctr.partials import MAX_PARTIALS_BYTES, Number
from tables.ctr.unique_users import Mark
from tables.ctr.window_keys import HOUR_MS, MAX_TIME_MS, scenario_key

_VERSION: Final = 2


class Seen(msgspec.Struct, array_like=True, gc=False):
    """The users who were shown something in one variant, and those who clicked, as marks (tables/ctr/unique_users.py)."""

    users: set[Mark] = msgspec.field(default_factory=set)
    clickers: set[Mark] = msgspec.field(default_factory=set)

    def add(self, other: "Seen") -> None:
        """Add the users of ``other``, in place."""
        self.users |= other.users
        self.clickers |= other.clickers


class Addition(msgspec.Struct, array_like=True, gc=False):
    """What an hour of a scenario gets. ``seen`` is by variant; "" stands for none."""

    start_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS, multiple_of=HOUR_MS)]
    items: ItemColumns = msgspec.field(default_factory=ItemColumns)
    images: ItemColumns = msgspec.field(default_factory=ItemColumns)
    seen: dict[str, Seen] = msgspec.field(default_factory=dict)
    received_ms: Number = 0
    """When the newest event was received."""

    def __len__(self) -> int:
        """Return the number of names and users."""
        seen = sum(len(each.users) + len(each.clickers) for each in self.seen.values())
        return len(self.items) + len(self.images) + seen


class Additions(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The value of a record: additions to one scenario. The scenario "" has the users of all scenarios."""

    v: int
    customer: str
    scenario: str
    partition: Number
    hours: list[Addition]


_encoder: Final = msgspec.msgpack.Encoder(decimal_format="string")
_decoder: Final = msgspec.msgpack.Decoder(Additions)


def is_addition(raw: bytes) -> bool:
    """Tell whether the value of a record holds additions. Other records are JSON objects."""
    return raw[:1] != b"{"


def records(
    drained: Mapping[tuple[str, str], Mapping[int, Addition]], partition: int, received_ms: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of the records of one flush. Records above MAX_PARTIALS_BYTES are split."""
    for (customer, scenario), hours in drained.items():
        for addition in hours.values():
            addition.received_ms = received_ms
        waiting = [list(hours.values())]
        while waiting:
            part = waiting.pop()
            value = _encoder.encode(Additions(_VERSION, customer, scenario, partition, part))
            if len(value) <= MAX_PARTIALS_BYTES:
                yield scenario_key(customer, scenario), value
            elif len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
            else:
                waiting += [[half] for half in _halves(part[0])]


def _halves(addition: Addition) -> Iterator[Addition]:
    """Yield two additions that add the same. One that is too large for a record has more than one name or user."""
    for odd in (0, 1):
        yield Addition(
            addition.start_ms,
            _half(addition.items, odd),
            _half(addition.images, odd),
            {
                variant: Seen({*sorted(seen.users)[odd::2]}, {*sorted(seen.clickers)[odd::2]})
                for variant, seen in addition.seen.items()
            },
            addition.received_ms,
        )


def _half(columns: ItemColumns, odd: int) -> ItemColumns:
    return ItemColumns(
        {name: dict([*column.items()][odd::2]) for name, column in columns.counts.items()},
        dict([*columns.revenue.items()][odd::2]),
    )


def decode(raw: bytes) -> Additions:
    """Return the additions of a record. Raise msgspec.DecodeError (a ValueError) if they are invalid or of another version."""
    try:
        additions = _decoder.decode(raw)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None
    if additions.v != _VERSION:
        raise msgspec.DecodeError(f"version {additions.v}, and this worker knows {_VERSION}")
    if not all(hour.items.is_possible() and hour.images.is_possible() for hour in additions.hours):
        raise msgspec.DecodeError("a revenue is no possible amount")
    return additions

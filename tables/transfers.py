"""Transfers on the wire (topic ``uptake.transfers``), and the merge of a transfer's rows into those of its target.

A record is a msgpack map, so that other languages can read it. Its ``stretch`` is a map from table to row.
"""

from typing import Any, Final

import msgspec

from events.codec import UndecodableError
from tables.base.table_spec import Stretch
from tables.ctr.panes import is_amount
from tables.declare import MOVED_TABLES
from tables.user import consumed, playback, rendered
from tables.user.identity import TRANSFER_VERSION, Transfer

_MAX_NUMBER: Final = 2**48
"""Largest number in a transfer. A sum beyond 64 bits cannot be stored: every flush of the partition would fail."""

_RECORD: Final = msgspec.defstruct(
    "_Record",
    [
        *(
            (field.name, field.type) if field.required else (field.name, field.type, field.default)
            for field in msgspec.structs.fields(Transfer)
            if field.name not in ("stretch", "v")
        ),
        (
            "stretch",
            msgspec.defstruct(
                "_Rows", [(table.name, table.row | None, None) for table in MOVED_TABLES], gc=False
            ),
        ),
        ("v", int, TRANSFER_VERSION),
    ],
    gc=False,
    kw_only=True,
)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_RECORD).decode


def encode(transfer: Transfer) -> bytes:
    """Return the record of a transfer."""
    record = {name: getattr(transfer, name) for name in Transfer.__struct_fields__}
    if transfer.attribution is None:
        del record["attribution"]
    if transfer.experiments is None:
        del record["experiments"]
    return _encode(record | {"stretch": transfer.stretch.rows})


def decode(raw: bytes | None) -> Transfer:
    """Return the transfer of a record. Raise UndecodableError if it is not a valid transfer of this version."""
    if raw is None:
        raise UndecodableError("null", "the record has no value")
    try:
        record: Any = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError("malformed", str(error)) from None
    if record.v != TRANSFER_VERSION:
        raise UndecodableError("unknown_version", f"version {record.v}, this worker reads {TRANSFER_VERSION}")
    if not _is_summable(msgspec.msgpack.decode(raw)):
        raise UndecodableError("malformed", f"a number in it is beyond {_MAX_NUMBER}")
    fields = msgspec.structs.asdict(record)
    transfer = Transfer(**fields | {"stretch": Stretch(msgspec.structs.asdict(record.stretch))})
    shown = transfer.stretch[rendered.TABLE]
    if shown is not None:
        try:
            rendered.check(shown, _MAX_NUMBER)
        except ValueError as error:
            raise UndecodableError("malformed", str(error)) from None
    if transfer.attribution is not None:
        amounts = [each.amount for each in transfer.attribution.conversions if each.amount is not None]
        if not all(map(is_amount, amounts)):
            raise UndecodableError("malformed", "an amount is not finite or too large")
        if any((each.call_ms or 0) < 0 for each in transfer.attribution.impressions):
            raise UndecodableError("malformed", "the time of a call is below 0")
    if transfer.experiments is not None:
        parts = transfer.experiments.experiments.values()
        if not all(is_amount(each) for part in parts for each in part.values.revenue.values()):
            raise UndecodableError("malformed", "a revenue is not finite or too large")
    return transfer


def absorb(own: Stretch, moved: Stretch) -> Stretch:
    """Merge a moved stretch into a user's own, each table by its rule. ``moved`` is used up."""
    for table in MOVED_TABLES:
        row = moved[table]
        if row is not None and table.merge is not None:
            own[table] = table.merge(own[table], row)
    watched, known = own[playback.TABLE], own[consumed.TABLE]
    if moved[playback.TABLE] is not None and watched is not None and known is not None:
        # Source and target together may have played more of an item than each alone.
        consumed.raise_to(known, playback.percentages(watched))
    return own


def _is_summable(value: Any) -> bool:
    """Tell whether all numbers in a plain value are so small that the sum of thousands of them can be stored."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
            return False
    return True

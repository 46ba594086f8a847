"""Expected counts of the demo's data: reads ``expected_counts.json`` from the directory of the files."""

from pathlib import Path
from typing import Annotated, Final

import msgspec

from app.base.errors import UptakeError
from app.demo.counts import CellCounts, add

_FILE: Final = "expected_counts.json"

_Number = Annotated[int, msgspec.Meta(ge=0)]
_Pair = tuple[_Number, _Number]


class _Group(msgspec.Struct):
    """Expected counts of one ``policy/campaign``; pairs are [impressions, clicks]. Other fields are ignored."""

    impressions: _Number
    clicks: _Number
    by_position: dict[str, _Pair]
    by_day_utc: dict[str, _Pair]
    by_hour_utc: dict[str, _Pair]


def read_expectations(data: Path) -> CellCounts:
    """Return the expected counts of a directory; raise UptakeError if they are missing or malformed.

    Each click carries the request id of its impression, so every click must be attributed: the two counts are equal.
    """
    path = data / _FILE
    try:
        groups = msgspec.json.decode(path.read_bytes(), type=dict[str, _Group])
    except OSError as error:
        raise UptakeError(f"{path}: --check needs the expected counts: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UptakeError(f"{path}: these are not expected counts: {error}") from None
    counts: CellCounts = {}
    for name, group in groups.items():
        add(counts, name, "total", "", _numbers((group.impressions, group.clicks)))
        for at, pair in group.by_position.items():
            add(counts, name, "position", at, _numbers(pair))
        for at, pair in group.by_day_utc.items():
            add(counts, name, "day", at, _numbers(pair))
        for at, pair in group.by_hour_utc.items():
            add(counts, name, "hour", at, _numbers(pair))
    return counts


def _numbers(pair: _Pair) -> dict[str, int]:
    return {"impressions": pair[0], "clicks": pair[1], "attributed_clicks": pair[1]}

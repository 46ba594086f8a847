"""Positions of partitions: the rows of ``uptake.positions``, which are restored like a table.

A partition has two rows. One has the next offset of each source topic; the other has the ids of these topics. The ids are needed
because an offset means nothing for a topic that was deleted and created again (docs/decisions/0009).
"""

from collections.abc import Mapping

import msgspec

from agents.ports import Change, Store
from tables.declare import POSITIONS_TABLE


class _SourceIds(msgspec.Struct):
    ids: dict[str, str]


def read_positions(store: Store, number: int) -> dict[str, int]:
    """Return the next offset of each source topic that a store's rows cover; empty before the first flush."""
    row = store.get(POSITIONS_TABLE, _offsets_key(number))
    return {} if row is None else msgspec.json.decode(row, type=dict[str, int])


def read_source_ids(store: Store, number: int) -> dict[str, str]:
    """Return the id of each source topic that a stored position refers to, if known."""
    row = store.get(POSITIONS_TABLE, _ids_key(number))
    return {} if row is None else msgspec.json.decode(row, type=_SourceIds).ids


def position_rows(
    number: int, positions: Mapping[str, int], ids: Mapping[str, str] | None = None
) -> list[Change]:
    """Return the rows that a flush writes. ``ids`` is None if they are already stored."""
    rows: list[Change] = []
    if ids is not None:
        rows.append((_ids_key(number), msgspec.json.encode(_SourceIds(dict(ids)))))
    rows.append((_offsets_key(number), msgspec.json.encode(positions)))
    return rows


def _offsets_key(number: int) -> bytes:
    return b"%d" % number


def _ids_key(number: int) -> bytes:
    return b"%d/ids" % number

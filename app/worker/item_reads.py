"""Reads the items and unique users of a customer from an open partition, what waits to be merged included.

A reader pauses between short steps. A merge in a pause moves counts from one table to another, so the reader begins again.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from app.worker.window_reads import Reading, scenarios_of
from tables.ctr.item_sums import ItemSums, SeenSums, StepOf
from tables.ctr.window_keys import (
    ALL_SCENARIOS,
    ITEM,
    ITEM_IMAGE,
    SCENARIO,
    WindowKey,
    customer_range,
    range_of,
    scenario_range,
)
from tables.ctr.window_sums import StoredSpan

_ADDITIONS_A_SCAN: Final = 8
_ATTEMPTS: Final = 3
"""Attempts at one scenario. The last one does not pause, so no merge can come between."""

_Sums = TypeVar("_Sums", ItemSums, SeenSums)


def read_items(
    reading: Reading,
    customer: str,
    scenario: str | None,
    dimension: str,
    spans: Sequence[StoredSpan],
    step_of: StepOf,
) -> Iterator[ItemSums | None]:
    """Yield the sums of each scenario (None: of all), and None where others may run. ``dimension`` is ITEM or ITEM_IMAGE."""

    def fill(sums: ItemSums) -> Iterator[None]:
        for key, window in _rows(reading, "item_windows", customer, sums.scenario, dimension, spans):
            yield from sums.add(key.start_ms, window.items)
            if window.rest is not None:
                sums.add_rest(key.start_ms, window.rest)
        for addition in _additions(reading, customer, sums.scenario, spans):
            added = addition.images if dimension == ITEM_IMAGE else addition.items
            yield from sums.add(addition.start_ms, added)
        with reading() as owned:
            sums.over_ms = owned.watermark_ms - owned.rules.grace_ms

    tables = ("item_windows", "pending_additions")
    return _read(reading, customer, scenario, tables, lambda name: ItemSums(name, step_of), fill)


def read_seen(
    reading: Reading,
    customer: str,
    scenario: str | None,
    spans: Sequence[StoredSpan],
    step_of: StepOf,
    *,
    by_variant: bool,
) -> Iterator[SeenSums | None]:
    """Yield the users of each scenario (None: of all), and None where others may run."""

    def fill(sums: SeenSums) -> Iterator[None]:
        for key, window in _rows(reading, "user_windows", customer, sums.scenario, SCENARIO, spans):
            sums.add(key.start_ms, window.variants)
            yield
        for addition in _additions(reading, customer, sums.scenario, spans):
            sums.add_marks(addition.start_ms, addition.seen)
            yield

    tables = ("user_windows", "pending_additions")
    return _read(
        reading,
        customer,
        scenario,
        tables,
        lambda name: SeenSums(name, step_of, by_variant=by_variant),
        fill,
    )


def _read(
    reading: Reading,
    customer: str,
    scenario: str | None,
    tables: Sequence[str],
    new: Callable[[str], _Sums],
    fill: Callable[[_Sums], Iterator[None]],
) -> Iterator[_Sums | None]:
    names = [] if scenario is None else [scenario]
    if scenario is None:
        found: set[str] = set()
        for table in tables:
            for name in scenarios_of(reading, table, customer_range(customer)):
                found.add(name)
                yield None
        names = sorted(found - {ALL_SCENARIOS})
    for each in names:
        for attempt in range(_ATTEMPTS):
            before = _generation(reading, customer, each)
            sums = new(each)
            for _ in fill(sums):
                if attempt < _ATTEMPTS - 1:
                    yield None
            if _generation(reading, customer, each) == before:
                break
        yield sums


def _generation(reading: Reading, customer: str, scenario: str) -> tuple[Any, int]:
    """Return what changes when additions of a scenario are merged, or the partition is opened again."""
    with reading() as owned:
        return owned.merger, owned.merger.merges_of(customer, scenario)


def _rows(
    reading: Reading, table: str, customer: str, scenario: str, dimension: str, spans: Sequence[StoredSpan]
) -> Iterator[tuple[WindowKey, Any]]:
    """Yield the rows of a scenario that start within the spans, one read for each."""
    fresh = _in_memory(reading, table, customer, scenario)
    for granularity, from_ms, to_ms in spans:
        start, end = range_of(customer, scenario, dimension, granularity, from_ms, to_ms)
        for key, row in _scan(reading, table, start, end, 1, fresh):
            yield WindowKey.decode(key), row


def _additions(reading: Reading, customer: str, scenario: str, spans: Sequence[StoredSpan]) -> Iterator[Any]:
    """Yield the additions of a scenario that wait in the hours of the spans."""
    fresh = _in_memory(reading, "pending_additions", customer, scenario)
    for _, from_ms, to_ms in spans:
        start, end = range_of(customer, scenario, ITEM, "hour", from_ms, to_ms)
        for _, addition in _scan(reading, "pending_additions", start, end, _ADDITIONS_A_SCAN, fresh):
            yield addition


def _scan(
    reading: Reading, table: str, start: bytes, end: bytes, most: int, fresh: Sequence[bytes]
) -> Iterator[tuple[bytes, Any]]:
    at: bytes | None = start
    while at is not None:
        with reading() as owned:
            rows, at = owned.overlay.scan(table, at, end, most, fresh)
        yield from rows.items()


def _in_memory(reading: Reading, table: str, customer: str, scenario: str) -> list[bytes]:
    start, end = scenario_range(customer, scenario)
    with reading() as owned:
        return [key for key in owned.overlay.keys_in_memory(table) if start <= key < end]

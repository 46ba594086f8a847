"""Reads the windows of a customer from an open partition, those in memory included, in steps between which others may run."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final

from agents.partition import Partition
from tables.ctr.window_keys import (
    EXPERIMENT,
    MAX_TIME_MS,
    WindowKey,
    after_scenario,
    customer_range,
    experiments_range,
    range_of,
    scenario_head,
    scenario_of,
    scenario_part,
    scenario_range,
)
from tables.ctr.window_sums import StoredSpan, WindowRow
from tables.ctr.windows import HISTORY_LANE

_KEYS_A_STEP: Final = 1_000
_WINDOWS_A_SCAN: Final = 128
"""Stored windows that a scan reads at most, before other coroutines may run. 128 take about 0.5 ms."""

Reading = Callable[[], AbstractContextManager[Partition]]
"""Opens a partition for one read. It may have been closed, and opened again, since the last one."""


def read_windows(
    reading: Reading, customer: str, scenario: str | None, dimension: str, segments: Sequence[StoredSpan]
) -> Iterator[list[WindowRow]]:
    """Yield the windows that start within the segments in short lists, which may be empty, by scenario and segment.

    ``scenario`` None: of all scenarios.
    """
    every = experiments_range if dimension == EXPERIMENT else customer_range
    span = every(customer) if scenario is None else scenario_range(customer, scenario)
    in_memory: dict[bytes, list[bytes]] = {}
    with reading() as owned:
        keys = iter(owned.overlay.keys_in_memory("windows"))
    while some := list(islice(keys, _KEYS_A_STEP)):
        for key in some:
            if span[0] <= key < span[1]:
                in_memory.setdefault(scenario_part(key), []).append(key)
        yield []
    for each in _scenarios(reading, "windows", span, in_memory) if scenario is None else [scenario]:
        yield []  # to find the next scenario takes time too, also if it has no windows here
        fresh = in_memory.get(scenario_head(customer, each), ())
        for granularity, from_ms, to_ms in segments:
            start, end = range_of(customer, each, dimension, granularity, from_ms, to_ms)
            at: bytes | None = start
            while at is not None:
                with reading() as owned:
                    rows, at = owned.overlay.scan("windows", at, end, _WINDOWS_A_SCAN, fresh)
                    over_ms = owned.watermark_ms - owned.rules.grace_ms
                yield [
                    WindowRow(
                        WindowKey.decode(key),
                        state.counts,
                        state.revision,
                        state.is_final,
                        # History waits for no watermark.
                        MAX_TIME_MS if state.lane == HISTORY_LANE else over_ms,
                    )
                    for key, state in rows.items()
                ]


def scenarios_of(reading: Reading, table: str, span: tuple[bytes, bytes]) -> Iterator[str]:
    """Yield the scenarios that may have rows within a range of keys of a table. Each step is short work."""
    in_memory: dict[bytes, list[bytes]] = {}
    with reading() as owned:
        for key in owned.overlay.keys_in_memory(table):
            if span[0] <= key < span[1]:
                in_memory.setdefault(scenario_part(key), []).append(key)
    return _scenarios(reading, table, span, in_memory)


def _scenarios(
    reading: Reading, table: str, span: tuple[bytes, bytes], in_memory: Mapping[bytes, Sequence[bytes]]
) -> Iterator[str]:
    """Yield the scenarios that may have windows here. Each read of the store skips to the next one that is not in memory."""
    at, end = span
    fresh = deque(sorted(in_memory))
    while True:
        with reading() as owned:
            stored = owned.overlay.first_stored(table, at, end)
        if fresh and (stored is None or fresh[0] <= scenario_part(stored)):
            found = in_memory[fresh.popleft()][0]
        elif stored is not None:
            found = stored
        else:
            return
        customer, scenario = scenario_of(found)
        yield scenario
        at = after_scenario(customer, scenario)

"""Keys of panes and windows: the dimensions, keys that sort by time, and ranges of keys."""

import re
from functools import lru_cache
from typing import Final, Self

import msgspec

PANE_MS: Final = 60_000
PANE_GRANULARITY: Final = "minute"
HOUR_MS: Final = 3_600_000
MAX_TIME_MS: Final = 9_999_999_999_999  # 13 digits, the year 2286: keys sort up to this time

SCENARIO: Final = "scenario"
VARIANT: Final = "scenario.variant"
POSITION: Final = "scenario.variant.row.rank"
EXPERIMENT: Final = "experiment.variant"
"""Totals over users. The scenario of the key is ``experiment_name`` of the experiment."""
DIMENSIONS: Final = (SCENARIO, VARIANT, POSITION)
"""The dimensions of the counters. Append a new dimension here, and add its pane to ``_panes_of`` in tables/ctr/panes.py."""

CUSTOMER: Final = "customer"
"""The totals of a customer: no row has it, a worker sums the windows of all scenarios on reading."""
ITEM: Final = "scenario.item"
ITEM_IMAGE: Final = "scenario.item.image"
"""Dimensions that no pane has: their windows are stored whole, by hour and day (tables/ctr/item_windows.py)."""

UNKNOWN_SCENARIO: Final = "unknown"
ALL_SCENARIOS: Final = ""
"""In the place of a scenario: the totals of a customer. An event without a scenario counts as UNKNOWN_SCENARIO."""
_EXPERIMENT_PREFIX: Final = "experiment:"
SEPARATOR: Final = b"\x1f"
_PAST_SEPARATOR: Final = b"\x20"  # an escaped value has no byte below it, so it ends the range of a prefix

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f%]")
_ESCAPED: Final = re.compile(r"%([0-9A-F]{2})")


def pane_start(time_ms: int) -> int:
    """Return the start of the pane of an event time. Times outside the range of keys go to the first or last pane."""
    time_ms = min(max(time_ms, 0), MAX_TIME_MS)
    return time_ms - time_ms % PANE_MS


def hour_start(time_ms: int) -> int:
    """Return the start of the hour of an event time, within the range of keys."""
    time_ms = min(max(time_ms, 0), MAX_TIME_MS)
    return time_ms - time_ms % HOUR_MS


@lru_cache(maxsize=4096)  # there are few customers, scenarios and variants, and each is in many keys
def escape(value: str) -> bytes:
    """Return the bytes of a part of a key. Control characters and ``%`` become ``%XX``, so that keys stay distinct."""
    if _UNSAFE.search(value):
        value = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", value)
    return value.encode("utf-8", "surrogatepass")


def _unescape(raw: bytes) -> str:
    """Return the value that ``escape`` was given."""
    value = raw.decode("utf-8", "surrogatepass")
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value) if "%" in value else value


def experiment_name(experiment: str) -> str:
    """Return the name that stands for an experiment where keys have a scenario."""
    return _EXPERIMENT_PREFIX + experiment


def experiment_of(name: str) -> str | None:
    """Return the experiment that a scenario's name in a key stands for, or None."""
    return name.removeprefix(_EXPERIMENT_PREFIX) if name.startswith(_EXPERIMENT_PREFIX) else None


class WindowKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The key of one row of ``panes`` or ``windows``. Its bytes are the key in RocksDB and Kafka, and sort by time.

    The bytes are ``customer, scenario, dimension, granularity, start (13 digits), variant, row, rank``, joined by 0x1f. A part that
    the dimension does not split by is None, and so is an absent variant, row or rank.
    """

    customer: str
    scenario: str
    dimension: str
    granularity: str
    start_ms: int
    variant: str | None = None
    row: int | None = None
    rank: int | None = None

    def encode(self) -> bytes:
        """Return the bytes of this key."""
        return SEPARATOR.join(
            (
                escape(self.customer),
                escape(self.scenario),
                self.dimension.encode(),
                self.granularity.encode(),
                b"%013d" % self.start_ms,
                escape(self.variant) if self.variant else b"",
                b"" if self.row is None else b"%d" % self.row,
                b"" if self.rank is None else b"%d" % self.rank,
            )
        )

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the key of these bytes. Raise ValueError if they are not a key."""
        customer, scenario, dimension, granularity, start, variant, row, rank = raw.split(SEPARATOR)
        return cls(
            _unescape(customer),
            _unescape(scenario),
            dimension.decode(),
            granularity.decode(),
            int(start),
            _unescape(variant) or None,
            int(row) if row else None,
            int(rank) if rank else None,
        )


_PaneKey = WindowKey
"""A pane has the key of the window of granularity ``minute``."""


def scenario_key(customer: str, scenario: str | None) -> bytes:
    """Return the key of a record of ``uptake.ctr.partials``, by which one partition merges all windows of a scenario."""
    return escape(customer) + SEPARATOR + escape(scenario or UNKNOWN_SCENARIO)


def scenario_head(customer: str, scenario: str) -> bytes:
    """Return what the keys of all rows of a scenario begin with; of ALL_SCENARIOS, those of the customer's totals."""
    return escape(customer) + SEPARATOR + escape(scenario)


def range_of(
    customer: str, scenario: str, dimension: str, granularity: str, from_ms: int, to_ms: int
) -> tuple[bytes, bytes]:
    """Return the half-open range of the keys of all rows with ``from_ms <= start_ms < to_ms``."""
    head = SEPARATOR.join((escape(customer), escape(scenario), dimension.encode(), granularity.encode(), b""))
    low, high = (b"%013d" % min(max(bound, 0), MAX_TIME_MS) for bound in (from_ms, to_ms))
    return head + low, head + high


def customer_range(customer: str) -> tuple[bytes, bytes]:
    """Return the half-open range of the keys of all rows of a customer."""
    return escape(customer) + SEPARATOR, escape(customer) + _PAST_SEPARATOR


def experiments_range(customer: str) -> tuple[bytes, bytes]:
    """Return the half-open range of the keys of all experiments of a customer. Other scenarios may be in it, if they are named so."""
    head = scenario_key(customer, _EXPERIMENT_PREFIX)
    return head, head[:-1] + bytes([head[-1] + 1])


def scenario_part(key: bytes) -> bytes:
    """Return ``scenario_head`` of the scenario that a row's key belongs to."""
    return key[: key.index(SEPARATOR, key.index(SEPARATOR) + 1)]


def scenario_of(key: bytes) -> tuple[str, str]:
    """Return the customer and the scenario that a row's key belongs to."""
    customer, scenario, _ = key.split(SEPARATOR, 2)
    return _unescape(customer), _unescape(scenario)


def scenario_range(customer: str, scenario: str) -> tuple[bytes, bytes]:
    """Return the half-open range of the keys of all rows of a scenario."""
    return scenario_head(customer, scenario) + SEPARATOR, after_scenario(customer, scenario)


def after_scenario(customer: str, scenario: str) -> bytes:
    """Return the first key after a scenario's rows, where a scan finds the next scenario."""
    return scenario_head(customer, scenario) + _PAST_SEPARATOR

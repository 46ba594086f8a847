"""Records of ``uptake.ctr.partials``, by which a partition sends its counts to the merge.

A record holds the changed panes of one scenario and flush. The counts are absolute, so a record that is read twice or late does no
harm.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec

from tables.ctr.panes import COUNTERS, MAX_AMOUNT, Counts, Pane
from tables.ctr.user_totals import are_storable
from tables.ctr.window_keys import MAX_TIME_MS, PANE_GRANULARITY, PANE_MS, WindowKey, scenario_key

MAX_PARTIALS_BYTES: Final = 500_000  # half of the broker's limit of 1 MB a batch
_MAX_COUNT: Final = 10**15  # in one minute of one partition
_MAX_REVENUE: Final = MAX_AMOUNT * 1_000_000


Number = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
"""A number that fits into every encoding."""


class Partial(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The absolute counts of one pane of a source partition. ``tables.ctr.panes.Pane`` explains version and epoch."""

    # The merge accepts dimensions that it does not know.
    dimension: Annotated[str, msgspec.Meta(pattern=r"^[a-z.]{1,64}\Z")]
    start_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS, multiple_of=PANE_MS)]
    variant: str | None
    row: Number | None
    rank: Number | None
    version: Number
    epoch_ms: Number
    received_ms: Number
    counts: Counts
    is_history: bool = False


class DrainedLanes(msgspec.Struct, frozen=True, gc=False):
    """The lanes that a source partition has read to their end, without a new record for a while."""

    live: bool
    history: bool


class Partials(msgspec.Struct, frozen=True, gc=False):
    """The value of a record: the panes of one scenario that changed in one flush of one source partition.

    ``watermark_ms`` is the newest live event time that the source had folded. A record with ``lanes`` has no panes: it announces the
    progress of the source to every partition.
    """

    customer: str
    scenario: str
    partition: Number
    panes: list[Partial]
    watermark_ms: int = 0
    v: int = 1
    lanes: DrainedLanes | msgspec.UnsetType = msgspec.UNSET

    def key_of(self, partial: Partial) -> WindowKey:
        """Return the key of the minute window that the partial counts in."""
        return WindowKey(
            self.customer,
            self.scenario,
            partial.dimension,
            PANE_GRANULARITY,
            partial.start_ms,
            partial.variant,
            partial.row,
            partial.rank,
        )


_encoder: Final = msgspec.json.Encoder(decimal_format="string")
_decoder: Final = msgspec.json.Decoder(Partials)


def records(
    changed: Mapping[WindowKey, Pane], partition: int, watermark_ms: int = 0
) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of the records that publish the changed panes. Records above MAX_PARTIALS_BYTES are split."""
    by_scenario: dict[tuple[str, str], list[Partial]] = {}
    for key, pane in changed.items():
        by_scenario.setdefault((key.customer, key.scenario), []).append(
            Partial(
                key.dimension,
                key.start_ms,
                key.variant,
                key.row,
                key.rank,
                pane.version,
                pane.epoch_ms,
                pane.received_ms,
                pane.counts,
                pane.is_history,
            )
        )
    for (customer, scenario), panes in by_scenario.items():
        record_key = scenario_key(customer, scenario)
        waiting = [panes]
        while waiting:
            part = waiting.pop()
            value = _encoder.encode(Partials(customer, scenario, partition, part, watermark_ms))
            if len(value) > MAX_PARTIALS_BYTES and len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
            else:
                yield record_key, value


def announcement(partition: int, newest_ms: int, lanes: DrainedLanes) -> tuple[bytes, bytes]:
    """Return key and value of the record that announces the progress of a source to every partition.

    For a worker of a version without lanes, it is a record without panes.
    """
    return b"~%d" % partition, _encoder.encode(Partials("", "", partition, [], newest_ms, lanes=lanes))


def decode(raw: bytes) -> Partials:
    """Return the partials of a record. Raise msgspec.DecodeError (a ValueError) if they are invalid or of another version."""
    try:
        partials = _decoder.decode(raw)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None
    if partials.v != 1:
        raise msgspec.ValidationError(f"version {partials.v}, this worker reads 1")
    for partial in partials.panes:
        # A counter may be below 0: after a login, a target's partition corrects what the source's partition counted.
        # A number that cannot be stored would later fail every flush of the partition, so it is refused here.
        counts = partial.counts
        if not all(abs(getattr(counts, name)) <= _MAX_COUNT for name in COUNTERS):
            raise msgspec.ValidationError("a counter is too large")
        if not all(amount.is_finite() and abs(amount) <= _MAX_REVENUE for amount in counts.revenue.values()):
            raise msgspec.ValidationError("a revenue is not finite or too large")
        if counts.user_totals is not None and not are_storable(counts.user_totals):
            raise msgspec.ValidationError("a total over users is not finite or too large")
    return partials

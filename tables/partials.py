"""What a partition tells the merge about its panes: the records of ``uptake.ctr.partials``.

One record holds the changed panes of one scenario and flush, absolute, so that a record read twice or
late does no harm.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tables.panes import Counts, Pane
from tables.window_keys import PANE_GRANULARITY, WindowKey, scenario_key

MAX_RECORD_BYTES: Final = 500_000  # half of the broker's limit of 1 MB a batch


class Partial(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The absolute counts of one pane in its source; see tables.panes.Pane for version and epoch."""

    dimension: str
    start_ms: int
    variant: str | None
    row: int | None
    rank: int | None
    version: int
    epoch_ms: int
    received_ms: int
    counts: Counts


class Partials(msgspec.Struct, frozen=True, gc=False):
    """The value of a record: panes of one scenario that changed in one flush of one source partition.

    ``watermark_ms`` is the greatest event time that the source had folded.
    """

    customer: str
    scenario: str
    partition: int
    panes: list[Partial]
    watermark_ms: int = 0
    v: int = 1

    def key_of(self, partial: Partial) -> WindowKey:
        """Return the key of the minute window that the partial belongs to."""
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
    """Yield (key, value) of the records that publish the changed panes, split above MAX_RECORD_BYTES."""
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
            )
        )
    for (customer, scenario), panes in by_scenario.items():
        record_key = scenario_key(customer, scenario)
        waiting = [panes]
        while waiting:
            part = waiting.pop()
            value = _encoder.encode(Partials(customer, scenario, partition, part, watermark_ms))
            if len(value) > MAX_RECORD_BYTES and len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
            else:
                yield record_key, value


def decode(raw: bytes) -> Partials:
    """Return the partials of a record; msgspec.DecodeError (a ValueError) when it holds none."""
    partials = _decoder.decode(raw)
    if partials.v != 1:
        raise msgspec.ValidationError(f"version {partials.v}, this worker reads 1")
    return partials

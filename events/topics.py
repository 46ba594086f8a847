"""Kafka topics other than changelogs: name, key, content, and how long records are kept.

tables/declare.py adds a changelog for each table. If a partition count is wrong, a worker does not start and a collector answers
503.
"""

from dataclasses import dataclass
from typing import Final, Literal

DAY_MS: Final = 86_400_000
_RAW_RETENTION_MS: Final = 7 * DAY_MS
# A tombstone stays readable for this long, so local state that is older is wiped.
DELETE_RETENTION_MS: Final = DAY_MS

JOURNAL: Final = "uptake.events"
HISTORY: Final = "uptake.events.history"
TRANSFERS: Final = "uptake.transfers"
PARTIALS: Final = "uptake.ctr.partials"
WINDOWS: Final = "uptake.ctr.windows"
POSITIONS: Final = "uptake.positions"
DEADLETTERS: Final = "uptake.deadletters"
META: Final = "uptake.meta"

SOURCES: Final = (JOURNAL, HISTORY, TRANSFERS, PARTIALS)
"""The topics that a partition reads. One worker owns partition p of all of them."""


def changelog(table: str) -> str:
    """Return the name of a table's changelog topic."""
    return f"uptake.{table}.changelog"


@dataclass(frozen=True, slots=True)
class Topic:
    """How one topic must look on the broker.

    If ``is_partitioned``, it has the deployment's number of partitions, otherwise one.
    """

    name: str
    key: str
    holds: str
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int | None = None
    is_partitioned: bool = True
    max_message_bytes: int = 1_048_588  # the broker's own default


SHARED_TOPICS: Final[tuple[Topic, ...]] = (
    Topic(JOURNAL, "user", "every live event", retention_ms=_RAW_RETENTION_MS),
    Topic(HISTORY, "user", "signed imports of past events", retention_ms=_RAW_RETENTION_MS),
    Topic(
        TRANSFERS,
        "target user",
        "what a login moves",
        retention_ms=_RAW_RETENTION_MS,
        max_message_bytes=48 * 1_048_576,  # all rows of a user with the longest ids: 27 MB
    ),
    Topic(
        PARTIALS,
        "customer, scenario",
        "absolute partial counts of one source partition",
        retention_ms=_RAW_RETENTION_MS,
    ),
    Topic(WINDOWS, "customer, dimension, granularity, start", "merged CTR windows", "compact"),
    Topic(POSITIONS, "partition", "the next source offsets that a flush covers", "compact"),
    Topic(
        DEADLETTERS, "topic, partition, offset", "records that could not be read", retention_ms=30 * DAY_MS
    ),
    Topic(META, "topic", "a creation id per topic", "compact", is_partitioned=False),
)
"""All topics except the changelogs. ``tables.declare.TOPICS`` has them too."""

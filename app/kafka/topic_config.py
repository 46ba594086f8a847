"""Settings that each topic of events/topics.py must have on the broker, and how a topic that was found differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.base.errors import TopicMismatchError, UptakeError
from app.base.settings import Settings
from events.topics import DAY_MS, DELETE_RETENTION_MS, Topic
from tables.declare import CHANGELOGS

CLEANUP_POLICY: Final = "cleanup.policy"
_FOREVER: Final = str(2**63 - 1)
# Of compacted topics. The broker never compacts the active segment, so it stays small.
_SEGMENT_BYTES: Final = 32 * 1_048_576
# After this time and the retention of the tombstone, an erased user is gone from a quiet changelog too.
_COMPACTION_LAG_MS: Final = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the broker describes it."""

    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """One difference between a topic and what it must be. ``what`` is ``topic``, ``partitions``, ``replication`` or a setting."""

    topic: str
    what: str
    expected: str
    found: str
    cure: str

    @property
    def is_missing(self) -> bool:
        """The topic does not exist."""
        return self.what == "topic"

    @property
    def sentence(self) -> str:
        """The difference and its cure, for people."""
        if self.is_missing:
            return f"topic {self.topic} is missing; {self.cure}"
        return f"topic {self.topic}: {self.what} is {self.found}, expected {self.expected}; {self.cure}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A topic of ours with what the broker has; ``found`` is None if the topic does not exist."""

    topic: Topic
    partitions: int
    found: FoundTopic | None
    differences: list[TopicDifference] = field(default_factory=list)


def partitions_of(topic: Topic, settings: Settings) -> int:
    """Return how many partitions the topic must have."""
    return settings.partitions if topic.is_partitioned else 1


def binding_config(topic: Topic) -> dict[str, str]:
    """Return the settings that Uptake's rules depend on: another value is reported as a difference."""
    config = {
        CLEANUP_POLICY: topic.cleanup,
        "max.message.bytes": str(topic.max_message_bytes),
        # Events carry their own times, so the record's timestamp is the broker's. Only its clock decides when a raw record expires,
        # and a ``received_ms`` in the future is detected. The broker refuses no record for its age.
        "message.timestamp.type": "LogAppendTime" if topic.cleanup == "delete" else "CreateTime",
        "message.timestamp.before.max.ms": _FOREVER,
        "message.timestamp.after.max.ms": _FOREVER,
    }
    if topic.cleanup == "compact":
        config["delete.retention.ms"] = str(DELETE_RETENTION_MS)
    else:
        config["retention.ms"] = str(-1 if topic.retention_ms is None else topic.retention_ms)
    return config


def creation_config(topic: Topic, settings: Settings) -> dict[str, str]:
    """Return all settings of a new topic: the binding ones, and some that an operator may tune."""
    config = binding_config(topic)
    # With three replicas, one may be away; an acknowledged record is on two.
    config["min.insync.replicas"] = str(max(1, settings.replication - 1))
    if topic.cleanup == "compact":
        config["segment.bytes"] = str(_SEGMENT_BYTES)
        config["segment.ms"] = str(DAY_MS)
        config["max.compaction.lag.ms"] = str(_COMPACTION_LAG_MS)
    elif topic.retention_ms is not None:
        # The broker deletes whole segments: with the default of a week, records would stay for two weeks.
        config["segment.ms"] = str(min(DAY_MS, topic.retention_ms))
    return config


def compare(topic: Topic, settings: Settings, found: FoundTopic | None) -> Comparison:
    """Return the topic with what was found, and every difference that matters."""
    partitions = partitions_of(topic, settings)
    differences: list[TopicDifference] = []

    def differ(what: str, expected: object, was: object, cure: str) -> None:
        differences.append(TopicDifference(topic.name, what, str(expected), str(was), cure))

    if found is None:
        differ("topic", "present", "missing", "`uptake topics --create` creates it")
        return Comparison(topic, partitions, None, differences)
    if found.partitions != partitions:
        cure = str(TopicMismatchError(topic.name, partitions, found.partitions)).partition(". ")[2]
        differ("partitions", partitions, found.partitions, cure)
    if found.replication < settings.replication:
        differ(
            "replication", settings.replication, found.replication, "reassign its partitions to more brokers"
        )
    for name, expected in binding_config(topic).items():
        was = found.config.get(name, "?")
        if name == "max.message.bytes" and was.isdigit() and int(was) > int(expected):
            continue
        if was != expected:
            cure = f"kafka-configs.sh --alter --topic {topic.name} --add-config {name}={expected}"
            differ(name, expected, was, cure)
    return Comparison(topic, partitions, found, differences)


def refuse_wrong_partitions(comparisons: list[Comparison]) -> None:
    """Raise TopicMismatchError for the first topic with a wrong partition count: users would move between partitions."""
    for comparison in comparisons:
        if comparison.found is not None and comparison.found.partitions != comparison.partitions:
            raise TopicMismatchError(
                comparison.topic.name, comparison.partitions, comparison.found.partitions
            )


def refuse_uncompacted_state(comparisons: list[Comparison]) -> None:
    """Raise UptakeError for the first topic of a table that is not compacted: Kafka would delete rows by their age."""
    for comparison in comparisons:
        if not holds_state(comparison.topic):
            continue
        for difference in comparison.differences:
            if difference.what == CLEANUP_POLICY:
                raise UptakeError(
                    f"{difference.sentence}. Kafka deletes records of such a topic by their age, and with them rows of "
                    f"the tables. If the broker created it by itself, delete it and run `uptake topics --create`"
                )


def holds_state(topic: Topic) -> bool:
    """Return whether the topic is part of the tables: a changelog, or the positions."""
    return topic.name in CHANGELOGS.values()

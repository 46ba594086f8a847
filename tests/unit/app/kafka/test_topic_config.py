"""Differences between the settings a topic must have and those on the broker."""

import pytest

from app.base.errors import TopicMismatchError, UptakeError
from app.base.settings import Settings
from app.kafka.topic_config import (
    FoundTopic,
    binding_config,
    compare,
    creation_config,
    holds_state,
    refuse_uncompacted_state,
    refuse_wrong_partitions,
)
from events.topics import DAY_MS, Topic
from tables.declare import TOPICS

SETTINGS = Settings(kafka="127.0.0.1:1", partitions=8)
JOURNAL = Topic("a.journal", "user", "events", retention_ms=7 * DAY_MS)
TABLE = Topic("a.table", "row", "rows", "compact")
META = Topic("a.meta", "topic", "ids", "compact", is_partitioned=False)


def found(topic: Topic, partitions: int = 8, replication: int = 1, **config: str) -> FoundTopic:
    return FoundTopic(partitions, replication, {**binding_config(topic), **config})


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topic_created_by_us_differs_in_nothing(topic: Topic) -> None:
    partitions = 8 if topic.is_partitioned else 1
    as_created = FoundTopic(partitions, 1, creation_config(topic, SETTINGS))
    assert compare(topic, SETTINGS, as_created).differences == []


@pytest.mark.parametrize(
    ("topic", "was", "what"),
    [
        (JOURNAL, None, ["topic"]),
        (JOURNAL, found(JOURNAL, partitions=4), ["partitions"]),
        (META, found(META, partitions=8), ["partitions"]),
        (JOURNAL, found(JOURNAL, **{"retention.ms": "1000"}), ["retention.ms"]),
        (TABLE, found(TABLE, **{"cleanup.policy": "delete"}), ["cleanup.policy"]),
        (TABLE, found(TABLE, **{"max.message.bytes": "1000"}), ["max.message.bytes"]),
        (TABLE, found(TABLE, **{"max.message.bytes": "99000000"}), []),
        (TABLE, found(TABLE, **{"segment.bytes": "1"}), []),
        (TABLE, found(TABLE, replication=3), []),
        (JOURNAL, found(JOURNAL, **{"message.timestamp.type": "CreateTime"}), ["message.timestamp.type"]),
    ],
)
def test_only_what_matters_is_a_difference(topic: Topic, was: FoundTopic | None, what: list[str]) -> None:
    assert [difference.what for difference in compare(topic, SETTINGS, was).differences] == what


def test_too_few_replicas_are_a_difference() -> None:
    three = Settings(kafka="127.0.0.1:1", replication=3)
    assert [d.what for d in compare(JOURNAL, three, found(JOURNAL, replication=1)).differences] == [
        "replication"
    ]
    assert creation_config(JOURNAL, three)["min.insync.replicas"] == "2"


def test_difference_says_what_is_wrong_and_what_to_do() -> None:
    (difference,) = compare(JOURNAL, SETTINGS, found(JOURNAL, **{"retention.ms": "1000"})).differences
    assert "retention.ms is 1000, expected 604800000" in difference.sentence
    assert "--add-config retention.ms=604800000" in difference.sentence
    (missing,) = compare(JOURNAL, SETTINGS, None).differences
    assert missing.is_missing
    assert "uptake topics --create" in missing.sentence


def test_wrong_partition_count_is_refused_and_others_pass() -> None:
    refuse_wrong_partitions([compare(JOURNAL, SETTINGS, None), compare(TABLE, SETTINGS, found(TABLE))])
    with pytest.raises(TopicMismatchError, match=r"a\.table has 4 partitions on the broker, expected 8"):
        refuse_wrong_partitions([compare(TABLE, SETTINGS, found(TABLE, partitions=4))])


def test_raw_records_go_after_their_retention_not_after_twice_of_it() -> None:
    assert int(creation_config(JOURNAL, SETTINGS)["segment.ms"]) <= DAY_MS


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
@pytest.mark.parametrize("topic", [topic for topic in TOPICS if holds_state(topic)], ids=lambda t: t.name)
def test_table_whose_rows_would_be_deleted_by_age_is_refused(topic: Topic, policy: str) -> None:
    comparison = compare(topic, SETTINGS, found(topic, **{"cleanup.policy": policy}))
    with pytest.raises(
        UptakeError, match=f"topic {topic.name}: cleanup.policy is {policy}, expected compact; "
    ):
        refuse_uncompacted_state([comparison])
    refuse_uncompacted_state([compare(topic, SETTINGS, found(topic))])


def test_policy_of_other_topics_is_only_a_difference() -> None:
    for topic in (topic for topic in TOPICS if not holds_state(topic)):
        partitions = 8 if topic.is_partitioned else 1
        was = found(topic, partitions, **{"cleanup.policy": "compact,delete"})
        comparison = compare(topic, SETTINGS, was)
        assert [difference.what for difference in comparison.differences] == ["cleanup.policy"]
        refuse_uncompacted_state([comparison])


def test_changelogs_and_positions_hold_the_state() -> None:
    state = {topic.name for topic in TOPICS if holds_state(topic)}
    assert {"uptake.rendered.changelog", "uptake.positions"} <= state
    assert state.isdisjoint({"uptake.events", "uptake.ctr.windows", "uptake.meta"})

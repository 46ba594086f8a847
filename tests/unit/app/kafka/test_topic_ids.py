"""Recreated topics are recognised by their ids, and the error names the cure."""

import pytest

from app.kafka.topic_ids import TopicRecreatedError, recreated


@pytest.mark.parametrize(
    ("known", "now", "expected"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, ["a"]),
        ({}, {"a": "2"}, []),
        ({"a": "1"}, {}, []),
        ({"a": "1", "b": "1"}, {"a": "2", "b": "2"}, ["a"]),
    ],
    ids=["the same", "another", "not known before", "not known now", "not asked for"],
)
def test_topic_is_recreated_when_both_ids_are_known_and_differ(
    known: dict[str, str], now: dict[str, str], expected: list[str]
) -> None:
    assert recreated(known, now, ["a"]) == expected


def test_error_names_topics_partition_and_cure() -> None:
    error = TopicRecreatedError(3, ["b", "a"], "So it is.")
    assert (error.partition, error.topics) == (3, ["a", "b"])
    assert "a, b: recreated since partition 3" in str(error)
    assert "docs/operations.md" in str(error)

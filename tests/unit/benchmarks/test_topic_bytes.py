"""Bytes of topics are the sizes of their logs, without deleted topics and indexes."""

from pathlib import Path

from benchmarks.topic_bytes import topic_bytes


def test_logs_of_the_chosen_topics_are_added_up(tmp_path: Path) -> None:
    for name, size in {
        "uptake.a-0/1.log": 10,
        "uptake.a-0/2.log": 5,
        "uptake.a-0/1.index": 1_000,
        "uptake.a-11/1.log": 7,
        "uptake.b-0/1.log": 3,
        "other-0/1.log": 100,
        "uptake.a-0.1f2e-delete/1.log": 1_000,
        "meta.properties": 1,
    }.items():
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    assert topic_bytes(tmp_path, lambda topic: topic.startswith("uptake.")) == {"uptake.a": 22, "uptake.b": 3}

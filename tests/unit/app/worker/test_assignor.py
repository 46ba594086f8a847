"""The group leader's placement reaches every worker: its own partitions and copies, and the map of all."""

from types import SimpleNamespace
from typing import Any

from yarl import URL

from app.worker.assignor import CopyingAssignor, GroupOwners, copied_here
from events.topics import JOURNAL, SOURCES

COUNT = 4


def owners_of(assignor: Any) -> GroupOwners:
    return GroupOwners(SimpleNamespace(assignor=assignor))


def an_assignor(number: int, copies: int = 1) -> CopyingAssignor:
    tables = SimpleNamespace(changelog_topics=set(), data={})
    conf = SimpleNamespace(canonical_url=URL(f"http://127.0.0.1:{6067 + number}"))
    sensors = SimpleNamespace(
        on_assignment_start=lambda _: None,
        on_assignment_completed=lambda *_: None,
        on_assignment_error=lambda *_: None,
    )
    app: Any = SimpleNamespace(tables=tables, conf=conf, tracer=None, sensors=sensors)
    return CopyingAssignor(app, replicas=copies)


def rebalance(members: dict[str, CopyingAssignor]) -> None:
    """Let the first member place, and give the result to all members."""
    cluster: Any = SimpleNamespace(
        partitions_for_topic=lambda topic: set(range(COUNT)) if topic in SOURCES else None
    )
    told = {member: assignor.metadata(set(SOURCES)) for member, assignor in members.items()}
    placed = next(iter(members.values())).assign(cluster, told)
    for member, assignment in placed.items():
        members[member].on_assignment(assignment)


def owned(assignor: CopyingAssignor) -> set[int]:
    topics = {
        topic: {tp.partition for tp in assignor.assigned_actives() if tp.topic == topic} for topic in SOURCES
    }
    assert all(numbers == topics[JOURNAL] for numbers in topics.values())
    return topics[JOURNAL]


def test_every_worker_learns_what_it_has_and_who_has_the_copies() -> None:
    members = {f"m{number}": an_assignor(number) for number in range(2)}
    rebalance(members)
    first, second = members.values()
    assert copied_here(first) == owned(second)
    assert copied_here(second) == owned(first)
    for assignor in members.values():
        for partition in range(COUNT):
            other = 1 if partition in owned(first) else 0
            assert owners_of(assignor).standbys_of(partition) == [f"http://127.0.0.1:{6067 + other}"]
            assert partition in owned(members[f"m{1 - other}"])


def test_without_copies_nobody_has_any() -> None:
    members = {f"m{number}": an_assignor(number, copies=0) for number in range(2)}
    rebalance(members)
    assert [copied_here(assignor) for assignor in members.values()] == [set(), set()]
    assert owners_of(members["m0"]).standbys_of(0) == []


def test_who_has_the_copy_owns_the_partition_when_its_owner_is_gone() -> None:
    members = {f"m{number}": an_assignor(number) for number in range(3)}
    rebalance(members)
    copies = {member: copied_here(assignor) for member, assignor in members.items()}
    orphans = owned(members.pop("m1"))
    rebalance(members)
    for partition in orphans:
        (heir,) = (member for member, assignor in members.items() if partition in owned(assignor))
        assert partition in copies[heir]


def test_a_worker_gets_the_partitions_that_are_on_its_disk() -> None:
    members = {f"m{number}": an_assignor(number, copies=0) for number in range(2)}
    members["m0"].on_disk({1, 3})
    rebalance(members)
    assert owned(members["m0"]) == {1, 3}

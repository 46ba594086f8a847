"""How do the workers of a group learn who owns which partition and who keeps a copy: Faust's assignor, with a rule of our own.

The group's leader places (app/worker/assignment.py), and sends each worker what it has with the map of all; Faust's protocol carries both.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.cluster import ClusterMetadata
from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import (
    MemberAssignmentMapping,
    MemberMetadataMapping,
    PartitionAssignor,
)
from faust.types.tuples import TP

from app.worker.assignment import WorkerPlacement, place
from events.topics import JOURNAL

log = logging.getLogger(__name__)

_GROUP: Final = 0  # Faust numbers groups of topics that are partitioned alike; all of ours are


class CopyingAssignor(PartitionAssignor):
    """Faust's assignor: ``replicas`` copies of each partition, on workers that do not own it.

    Faust's map of changelogs, of no use without Faust tables, carries who has the copies.
    """

    def on_disk(self, partitions: set[int]) -> None:
        """Say, before the group is joined, what this worker has the recent state of: it can take that over as if it had a copy."""
        self._assignment = ClientAssignment(actives={}, standbys={JOURNAL: sorted(partitions)})

    def _perform_assignment(
        self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping
    ) -> MemberAssignmentMapping:
        told = {member: self._get_client_metadata(data) for member, data in member_metadata.items()}
        self._update_member_urls(told)
        topics = {topic for data in member_metadata.values() for topic in data.subscription}
        sizes = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        for topic in sorted(topic for topic, size in sizes.items() if not size):
            log.warning("the group is given nothing of %s: the topic is missing", topic)
        before = {
            member: WorkerPlacement(
                set(data.assignment.actives.get(JOURNAL, ())), set(data.assignment.standbys.get(JOURNAL, ()))
            )
            for member, data in told.items()
        }
        after = place(max(sizes.values()), before, self.replicas)

        def numbers(partitions: set[int], topic: str) -> list[int]:
            return sorted(number for number in partitions if number < sizes[topic])

        assignments = {
            member: ClientAssignment(
                actives={
                    topic: numbers(after[member].owned, topic)
                    for topic in sorted(data.subscription)
                    if sizes[topic]
                },
                standbys={JOURNAL: sorted(after[member].copied)},
            )
            for member, data in member_metadata.items()
        }
        return self._protocol_assignments(
            assignments,
            {self._member_urls[member]: {JOURNAL: sorted(after[member].copied)} for member in after},
            self._get_external_topic_distribution(assignments),
            dict.fromkeys(topics, _GROUP),
        )


def copied_here(assignor: Any) -> set[int]:
    """Return the partitions that this worker was told to keep a copy of."""
    return {tp.partition for tp in assignor.assigned_standbys() if tp.topic == JOURNAL}


class GroupOwners:
    """Faust's account of who has which partition, as the group's leader last sent it. ``app`` is the Faust app."""

    def __init__(self, app: Any) -> None:
        self._app = app

    @property
    def is_rebalancing(self) -> bool:
        """Whether the partitions are being given out again."""
        return bool(self._app.rebalancing)

    def owner_of(self, partition: int) -> str | None:
        """Return the address of the worker that owns a partition, None if it has no owner."""
        url: str | None = self._app.assignor._external_tps_url.get(TP(JOURNAL, partition))
        return url

    def owners(self) -> dict[int, str]:
        """Return the address of the owner of each partition that has one."""
        urls: Mapping[TP, str] = self._app.assignor._external_tps_url
        return {tp.partition: url for tp, url in urls.items() if tp.topic == JOURNAL}

    def standbys_of(self, partition: int) -> list[str]:
        """Return the addresses of the workers that keep a copy of a partition."""
        found: dict[str, dict[str, list[int]]] = self._app.assignor.changelog_distribution
        return [url for url, topics in sorted(found.items()) if partition in topics.get(JOURNAL, ())]

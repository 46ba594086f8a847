"""Faust's assignor with our own rule for the owners and copies of partitions.

The group's leader applies the rule of app/worker/assignment.py.
It sends each worker its own partitions and copies, and the map of all workers. Faust's protocol carries both.
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

_GROUP: Final = 0  # Faust numbers groups of topics that are partitioned alike; ours are one group


class CopyingAssignor(PartitionAssignor):
    """Faust's assignor: ``replicas`` copies of each partition, on workers that do not own it.

    Faust's map of changelogs carries which workers have the copies; without Faust tables it has no other use.
    """

    def on_disk(self, partitions: set[int]) -> None:
        """Report the partitions of which this worker has a recent state on disk. Call it before the worker joins the group.

        The leader treats this state as a copy, so that the worker can take these partitions over.
        """
        self._assignment = ClientAssignment(actives={}, standbys={JOURNAL: sorted(partitions)})

    def _perform_assignment(
        self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping
    ) -> MemberAssignmentMapping:
        metadata = {member: self._get_client_metadata(data) for member, data in member_metadata.items()}
        self._update_member_urls(metadata)
        topics = {topic for data in member_metadata.values() for topic in data.subscription}
        sizes = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        for topic in sorted(topic for topic, size in sizes.items() if not size):
            log.warning("no partition of %s is assigned: the topic is missing", topic)
        before = {
            member: WorkerPlacement(
                set(data.assignment.actives.get(JOURNAL, ())), set(data.assignment.standbys.get(JOURNAL, ()))
            )
            for member, data in metadata.items()
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
    """Return the partitions of which the leader assigned a copy to this worker."""
    return {tp.partition for tp in assignor.assigned_standbys() if tp.topic == JOURNAL}


class GroupOwners:
    """The owners and copies of all partitions, as the group's leader last sent them. ``app`` is the Faust app."""

    def __init__(self, app: Any) -> None:
        self._app = app

    @property
    def is_rebalancing(self) -> bool:
        """Whether a rebalance is in progress."""
        return bool(self._app.rebalancing)

    def owner_of(self, partition: int) -> str | None:
        """Return the address of the worker that owns a partition; None if it has no owner."""
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

"""Metadata requests for all Kafka clients of the process: asking for a topic does not create it.

With ``auto.create.topics.enable=true``, the broker's default, it creates a topic that is asked for by name: with one
partition and without compaction. A request can forbid that, and aiokafka 0.14 has no setting for it. So this module
replaces the request that its clients send.
"""

from typing import Any

import aiokafka.admin.client
import aiokafka.client
from aiokafka.protocol.metadata import MetadataRequest


class ReadingMetadataRequest(MetadataRequest):  # type: ignore[misc]  # aiokafka has no types
    """A metadata request that creates no topic. Brokers from 0.11 on follow it."""

    def __init__(self, topics: Any = None) -> None:
        super().__init__(topics, allow_auto_topic_creation=False)


aiokafka.client.MetadataRequest = ReadingMetadataRequest
aiokafka.admin.client.MetadataRequest = ReadingMetadataRequest

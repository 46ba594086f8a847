"""No Kafka client of ours creates a topic by asking for it."""

import subprocess
import sys

import pytest
from aiokafka.protocol.metadata import MetadataRequest_v4

from app.kafka.metadata_requests import ReadingMetadataRequest


@pytest.mark.parametrize("topics", [None, [], ["a"]])
def test_request_forbids_creation(topics: list[str] | None) -> None:
    built = ReadingMetadataRequest(topics).build(MetadataRequest_v4)
    assert built.to_object() == {"topics": topics, "allow_auto_topic_creation": False}


@pytest.mark.parametrize(
    "module",
    [
        "app.collector.server",
        "app.worker.wiring",
        "app.journal.producer",
        "app.deadletters.dead_letter_topic",
    ],
)
def test_clients_of_the_process_send_it(module: str) -> None:
    code = (
        f"import {module}, aiokafka.client, aiokafka.admin.client\n"
        "print(aiokafka.client.MetadataRequest.__name__, aiokafka.admin.client.MetadataRequest.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [ReadingMetadataRequest.__name__] * 2

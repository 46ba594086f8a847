"""The local Kafka keeps its promises: data survives a kill, a directory has one owner, no process is orphaned."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from app.base.errors import NoBrokerError
from app.kafka.probe import cluster_at
from app.local.broker import LocalBroker
from app.local.kafka_jars import locate


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_acknowledged_record_survives_kill_9(own_broker: LocalBroker, unique: Callable[[str], str]) -> None:
    topic = unique("kept")
    admin = AdminClient({"bootstrap.servers": own_broker.bootstrap})
    for future in admin.create_topics([NewTopic(topic, 1, 1)]).values():
        future.result(20)
    producer = Producer({"bootstrap.servers": own_broker.bootstrap, "acks": "all"})
    producer.produce(topic, b"value", key=b"key")
    assert producer.flush(20) == 0
    address = own_broker.bootstrap

    own_broker.kill()
    assert cluster_at("127.0.0.1", own_broker.port) is None
    assert own_broker.start() == address

    reader = Consumer(
        {"bootstrap.servers": address, "group.id": unique("group"), "auto.offset.reset": "earliest"}
    )
    reader.subscribe([topic])
    try:
        record = reader.poll(30)
        assert record is not None
        assert (record.error(), record.key(), record.value()) == (None, b"key", b"value")
    finally:
        reader.close()


def test_frozen_broker_does_not_answer_until_thawed(own_broker: LocalBroker) -> None:
    own_broker.freeze()
    assert cluster_at("127.0.0.1", own_broker.port, 0.3) is None
    own_broker.thaw()
    assert cluster_at("127.0.0.1", own_broker.port, 10) is not None


def test_second_owner_of_a_directory_is_refused(own_broker: LocalBroker) -> None:
    with pytest.raises(NoBrokerError, match=f"process {os.getpid()}"):
        LocalBroker(own_broker.data_dir).start()
    assert own_broker.is_ready()


def _wait(broker: LocalBroker) -> None:
    while not broker.is_ready():
        time.sleep(0.01)


def test_broker_at_our_port_that_is_not_ours_is_not_ready(
    own_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two `uptake up` that start at the same moment find the same port free, and the slower one must not use the other's Kafka."""
    monkeypatch.setattr("app.local.broker.is_free", lambda *_: True)
    broker = LocalBroker(tmp_path / "late", port=own_broker.port)
    try:
        broker.launch()
        with pytest.raises(NoBrokerError, match="Kafka ended while starting"):
            _wait(broker)
    finally:
        broker.destroy()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a killed owner")
def test_broker_dies_with_an_owner_killed_9(kafka: str, tmp_path: Path) -> None:
    owner = (
        "import sys, time, pathlib\n"
        "from app.local.broker import LocalBroker\n"
        "broker = LocalBroker(pathlib.Path(sys.argv[1]))\n"
        "broker.launch()\n"
        "print(broker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    locate()
    with subprocess.Popen(
        [sys.executable, "-c", owner, str(tmp_path / "kafka")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert _is_alive(pid)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(pid)

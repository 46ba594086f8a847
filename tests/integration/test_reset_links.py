"""A worker whose link to the broker is reset again and again keeps reading, and is well again soon after."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.local.tcp_ports import free_port
from events.codec import encode
from events.model import user_key
from events.topics import JOURNAL
from tests.conftest import BrokerFactory
from tests.faults.cluster import CUSTOMER, Cluster
from tests.support.builders import a_click
from tests.support.second_listener import broker_with_a_second_listener
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.broker

RESETS = 30
BETWEEN_SECONDS = 0.4
USERS = 20


def test_worker_keeps_reading_while_its_link_is_reset(broker_factory: BrokerFactory, tmp_path: Path) -> None:
    behind, front = free_port("127.0.0.1"), free_port("127.0.0.1")
    broker = broker_with_a_second_listener(broker_factory, behind, front)
    cluster = Cluster(broker, tmp_path / "cluster", env={"UPTAKE_KAFKA": f"127.0.0.1:{front}"})
    user = cluster.customer.rules.user("anna")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2", "log_level": 0})
    written = 0

    def write() -> None:
        nonlocal written
        for _ in range(USERS):
            click = a_click(
                customer=CUSTOMER, user=user, item=str(written), received_ms=time.time_ns() // 1_000_000
            )
            producer.produce(JOURNAL, encode(click), user_key(CUSTOMER, user))
            written += 1
        assert producer.flush(10) == 0

    def clicks() -> int:
        status, page = cluster.get(f"/v1/{CUSTOMER}/users/anna")
        return page["totals"]["items"]["clicked"] if status == 200 else 0

    with TcpProxy.running(front, behind) as proxy:
        try:
            cluster.start_worker()
            cluster.wait_ready()
            for _ in range(RESETS):
                write()
                proxy.reset()
                time.sleep(BETWEEN_SECONDS)
            write()
            took = cluster.wait_until(lambda: clicks() == written, "all clicks are counted", 30)
            assert proxy.resets > RESETS
            assert took < 30
            assert cluster.workers["w0"].poll() is None, "the worker had to be restarted"
        finally:
            cluster.close()

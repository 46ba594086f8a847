"""Dead letters on a real Kafka: records that a worker could not fold are listed, shown, and replayed once each."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from app.base.errors import UptakeError
from app.base.settings import Settings
from app.deadletters import dead_letter_topic
from app.deadletters.dead_letter_topic import find, look_at_topics, replay
from app.deadletters.dead_letters import REPLAYED, Choice
from events.codec import encode
from events.model import user_key
from events.partitions import partition_of
from events.topics import DEADLETTERS, JOURNAL
from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.support.builders import a_click
from tests.support.kafka_reader import read_committed

pytestmark = pytest.mark.broker

PARTITIONS = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kafka of this module's own and one worker. Each test finds its letters by their reason."""
    with started_cluster(tmp_path_factory.mktemp("deadletters"), PARTITIONS) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    return Settings(kafka=cluster.broker.bootstrap, partitions=PARTITIONS)


def dlq(cluster: Cluster, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "app", "dlq", *arguments, "--kafka", cluster.broker.bootstrap],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr if status else done.stdout


def produce(cluster: Cluster, topic: str, records: Sequence[tuple[bytes | None, bytes | None, Any]]) -> None:
    producer = Producer(
        {"bootstrap.servers": cluster.broker.bootstrap, "partitioner": "murmur2", "log_level": 0}
    )
    for key, value, headers in records:
        producer.produce(topic, value, key, headers=headers)
    assert producer.flush(20) == 0


def headers_of(reason: str, topic: str = JOURNAL, **more: str) -> list[tuple[str, str]]:
    return [
        ("topic", topic),
        ("partition", "0"),
        ("offset", "5"),
        ("timestamp", "1700000000000"),
        ("reason", reason),
        ("detail", "made by a test"),
        *more.items(),
    ]


def replayed(cluster: Cluster, key: bytes) -> list[tuple[bytes | None, str]]:
    """Return value and origin of the records with this key that a replay has written to the journal."""
    return [
        (record.value(), dict(record.headers())[REPLAYED].decode())
        for record in read_committed(cluster.broker.bootstrap, JOURNAL, partition_of(key, PARTITIONS))
        if record.key() == key and REPLAYED in dict(record.headers() or ())
    ]


def test_poison_is_listed_shown_and_replayed_once(cluster: Cluster, tmp_path: Path) -> None:
    key = user_key(CUSTOMER, cluster.customer.rules.user("poisoned"))
    poison = b'{"type":"click","customer":"c","user":"u","item":"1","v":9}'
    produce(cluster, JOURNAL, [(key, poison, None)])
    cluster.wait_drained()

    (group,) = json.loads(dlq(cluster, "list", "--json", "--reason", "unknown_version"))
    assert (group["topic"], group["letters"], group["replayed"]) == (JOURNAL, 1, 0)
    source, letter = group["first"]["source"], group["first"]["letter"]
    assert "unknown_version" in dlq(cluster, "list", "--since", "PT1H")
    assert "no dead letters that match" in dlq(cluster, "list", "--since", "2100-01-01")

    shown = dlq(cluster, "show", source)
    assert poison.decode() in shown
    assert key.decode() in shown
    assert "can be replayed" in shown
    assert json.loads(dlq(cluster, "show", letter, "--json"))[0]["value"] == poison.decode()
    dlq(cluster, "show", source, "--raw", str(tmp_path / "value"))
    assert (tmp_path / "value").read_bytes() == poison
    assert "no such dead letter" in dlq(cluster, "show", f"{JOURNAL}/0/999999", status=1)

    chosen = ("replay", "--reason", "unknown_version", "--json")
    assert json.loads(dlq(cluster, *chosen, "--dry-run"))["waiting"] == 1
    assert "--yes" in dlq(cluster, *chosen, status=2)
    assert replayed(cluster, key) == []

    assert json.loads(dlq(cluster, *chosen, "--yes"))["replayed"] == 1
    assert replayed(cluster, key) == [(poison, letter)]
    assert "was replayed" in dlq(cluster, "show", source)

    cluster.wait_drained()  # the cause is not fixed, so the worker writes a new letter, which counts as another one
    again = json.loads(dlq(cluster, "replay", "--reason", "unknown_version", "--json", "--dry-run"))
    assert (again["replayed_before"], again["waiting"]) == (1, 1)


def test_replayed_event_counts_once_however_often_it_is_replayed(cluster: Cluster) -> None:
    user = cluster.customer.rules.user("mended")
    event = encode(a_click(user=user, item="7", time_ms=time.time_ns() // 1_000_000))
    produce(cluster, DEADLETTERS, [(user_key(CUSTOMER, user), event, headers_of("mended"))])
    for expected in (1, 0):
        answer = json.loads(dlq(cluster, "replay", "--reason", "mended", "--yes", "--json"))
        assert answer["replayed"] == expected
    cluster.wait_drained()
    status, page = cluster.get(f"/v1/{CUSTOMER}/users/mended")
    assert status == 200
    assert [(entry["item"], entry["count"]) for entry in page["clicked"]] == [("7", 1)]


def test_letters_that_are_cut_or_of_a_foreign_topic_stay_where_they_are(cluster: Cluster) -> None:
    produce(
        cluster,
        DEADLETTERS,
        [
            (b"cut", b"{", headers_of("unfit", value_bytes="600000")),
            (b"foreign", b"{", headers_of("unfit", topic="uptake.positions")),
        ],
    )
    told = dlq(cluster, "replay", "--reason", "unfit", "--yes", status=1)
    assert "0 to replay" in told
    assert "it was cut" in told
    assert "uptake.positions is not a topic that workers read" in told
    assert replayed(cluster, b"cut") == []


async def test_replay_that_dies_between_two_transactions_is_finished_by_the_next(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_topic, "_BATCH_LETTERS", 3)
    key = b"%s|~many" % CUSTOMER.encode()
    values = [b"letter %d" % number for number in range(10)]
    produce(cluster, DEADLETTERS, [(key, value, headers_of("many")) for value in values])
    layout = await look_at_topics(settings)
    waiting = (await find(settings, layout, Choice(frozenset({"many"})))).waiting()
    assert len(waiting) == 10

    class DiedError(Exception):
        pass

    def die(count: int) -> None:
        if count:
            raise DiedError

    with pytest.raises(DiedError):
        await replay(settings, layout, waiting, die)
    assert [value for value, _ in replayed(cluster, key)] == values[:3]
    assert await replay(settings, layout, waiting, lambda _: None) == 7
    assert [value for value, _ in replayed(cluster, key)] == values


async def test_a_later_replay_ends_an_earlier_one_and_sends_nothing_twice(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_topic, "_BATCH_LETTERS", 2)
    key = b"%s|~two" % CUSTOMER.encode()
    produce(cluster, DEADLETTERS, [(key, b"%d" % number, headers_of("two")) for number in range(8)])
    layout = await look_at_topics(settings)
    waiting = (await find(settings, layout, Choice(frozenset({"two"})))).waiting()
    under_way = asyncio.Event()
    first = asyncio.create_task(
        replay(settings, layout, waiting, lambda count: under_way.set() if count else None)
    )
    await under_way.wait()
    second = await replay(settings, layout, waiting, lambda _: None)
    outcome = (await asyncio.gather(first, return_exceptions=True))[0]
    assert isinstance(outcome, UptakeError) or second == 0, "neither was stopped, though both sent"
    assert sorted(int(value or b"") for value, _ in replayed(cluster, key)) == list(range(8))


async def test_mark_behind_a_transaction_that_is_open_is_waited_for(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"%s|~hidden" % CUSTOMER.encode()
    produce(cluster, DEADLETTERS, [(key, b"hidden", headers_of("hidden"))])
    layout = await look_at_topics(settings)
    (letter,) = (await find(settings, layout, Choice(frozenset({"hidden"})))).waiting()
    worker = AIOKafkaProducer(bootstrap_servers=settings.kafka, transactional_id="a stalled worker")
    await worker.start()

    async def find_before_the_transaction(*args: Any, **options: Any) -> Any:
        found = await find(*args, **options)
        await worker.begin_transaction()
        await worker.send_and_wait(DEADLETTERS, b"open", partition=letter.place.partition)
        return found

    try:
        with monkeypatch.context() as patched:
            patched.setattr(dead_letter_topic, "find", find_before_the_transaction)
            assert await replay(settings, layout, [letter], lambda _: None) == 1
        second = asyncio.create_task(replay(settings, layout, [letter], lambda _: None))
        await asyncio.sleep(1.5)
        assert not second.done()
        await worker.abort_transaction()
        assert await second == 0
    finally:
        await worker.stop()
    assert [value for value, _ in replayed(cluster, key)] == [b"hidden"]

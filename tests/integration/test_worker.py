"""Real workers on a real Kafka: any of them answers over HTTP for events in the journal, also after one has stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka import Producer

from app.customers.customer_edit import add_customer, rotate_key
from app.customers.customer_registry import Customers
from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from events.codec import encode
from events.model import EventBase, user_key
from events.partitions import partition_of
from events.topics import DEADLETTERS, HISTORY, JOURNAL
from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.support.builders import (
    MINUTE_MS,
    a_basket,
    a_blacklist,
    a_buy,
    a_click,
    a_clickrecommended,
    a_consume,
    a_deletefrombasket,
    a_deletefromwishlist,
    a_login,
    a_rate,
    a_recommended,
    a_rendered,
    a_served_list,
    a_viewed,
    a_wishlist,
    an_owns,
)
from tests.support.kafka_reader import end_of, read_committed

pytestmark = pytest.mark.broker

PARTITIONS = 4


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kafka of this module's own, because a worker reads all topics, and one worker. A test may start and stop others."""
    with started_cluster(tmp_path_factory.mktemp("worker"), PARTITIONS) as cluster:
        yield cluster


@pytest.fixture
def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """Writes events as another program does, with librdkafka and its own partitioner."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._producer = Producer(
            {"bootstrap.servers": cluster.broker.bootstrap, "partitioner": "murmur2", "log_level": 0}
        )

    def key(self, raw_user: str) -> bytes:
        return user_key(CUSTOMER, self._cluster.customer.rules.user(raw_user))

    def write(self, *events: EventBase, **options: Any) -> None:
        for event in events:
            self.write_raw(user_key(event.customer, event.user), encode(event), **options)

    def write_raw(self, key: bytes | None, value: bytes | None, **options: Any) -> None:
        self._producer.produce(JOURNAL, value, key, **options)

    def settle(self) -> None:
        """Wait until everything is on the broker and in the tables."""
        assert self._producer.flush(20) == 0
        self._cluster.wait_drained()


@pytest.fixture
def journal(cluster: Cluster) -> Journal:
    return Journal(cluster)


def running(cluster: Cluster) -> str:
    return next(name for name, worker in cluster.workers.items() if worker.poll() is None)


def answer(cluster: Cluster, path: str, name: str | None = None) -> Any:
    status, body = cluster.get(path, name or running(cluster))
    assert status == 200, body
    return body


def filtered(cluster: Cluster, user: str, body: dict[str, Any]) -> dict[str, Any]:
    port = cluster.ports[running(cluster)]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{CUSTOMER}/users/{user}/filter", json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def forwarded(cluster: Cluster) -> int:
    return sum(each["forwarded"] for each in answer(cluster, "/v1/status")["partitions"].values())


def test_events_of_every_type_become_answers(cluster: Cluster, journal: Journal, now_ms: int) -> None:
    user = cluster.customer.rules.user
    scenario = "every type"

    def anna(build: Any, minutes_ago: float, **fields: Any) -> Any:
        time_ms = now_ms - int(minutes_ago * MINUTE_MS)
        return build(**{"user": user("anna"), "time_ms": time_ms, "received_ms": now_ms, **fields})

    served = a_served_list(items=("1", "2", "3"), scenario=scenario, row=4)
    journal.write(
        anna(a_recommended, 10, request_id="r1", lists=(served,)),
        anna(a_rendered, 9, items=("1", "2", "3"), scenario=None, request_id="r1"),
        anna(a_rendered, 8, items=("1", "2"), scenario=scenario),
        anna(a_viewed, 8, items=("1",), scenario=scenario),
        anna(a_click, 7, item="2"),
        anna(a_clickrecommended, 7, item="2", scenario=scenario),
        anna(a_clickrecommended, 7, item="3", scenario=scenario, eid="sent twice"),
        anna(a_clickrecommended, 7, item="3", scenario=scenario, eid="sent twice"),
        anna(a_consume, 6, item="4", percentage=95),
        anna(a_basket, 6, item="5"),
        anna(a_basket, 6, item="6"),
        anna(a_deletefrombasket, 5, item="6"),
        anna(a_buy, 5, item="2", price=Decimal("0.10"), quantity=3),
        anna(a_buy, 5, item="7", price=Decimal("9.99")),
        anna(an_owns, 5, item="8"),
        anna(a_rate, 4, item="2", rating=80),
        anna(a_blacklist, 4, item="9"),
        anna(a_wishlist, 4, item="10"),
        anna(a_wishlist, 4, item="11"),
        anna(a_deletefromwishlist, 3, item="11"),
        anna(a_rendered, 3, user=user("guest"), items=("20",), scenario=scenario),
        anna(a_login, 2, user=user("guest"), target=user("anna")),
    )
    journal.settle()

    everything = "rendered,clicked,bought,consumed,basket,blacklisted"
    exclusions = answer(
        cluster, f"/v1/{CUSTOMER}/users/anna/exclusions?threshold=2&within=PT1H&reasons={everything}"
    )
    assert {entry["item"]: entry["reasons"] for entry in exclusions["excluded"]} == {
        "1": ["rendered"],
        "2": ["rendered", "clicked", "bought"],
        "3": ["clicked"],
        "4": ["consumed"],
        "5": ["basket"],
        "7": ["bought"],
        "8": ["bought"],
        "9": ["blacklisted"],
    }
    kept = filtered(cluster, "anna", {"candidates": ["9", "3", "1", "12", "7", "20"], "limit": 2})
    assert kept["kept"] == ["3", "12"]

    page = answer(cluster, f"/v1/{CUSTOMER}/users/anna")
    counts = {entry["item"]: entry["count"] for entry in page["rendered"]}
    assert counts == {"1": 2, "2": 2, "3": 1, "20": 1}
    assert [entry["item"] for entry in page["basket"]] == ["5"]
    money = {entry["item"]: entry["revenue"] for entry in page["purchases"]}
    assert money == {"2": {"EUR": "0.30"}, "7": {"EUR": "9.99"}, "8": {}}
    wishes = {entry["item"]: entry["wished"] for entry in page["preferences"]}
    assert wishes == {"2": False, "9": False, "10": True, "11": False}
    assert page["identity"]["received_from"] == [user("guest")]
    guest = answer(cluster, f"/v1/{CUSTOMER}/users/guest")
    assert (guest["identity"]["logged_in_as"], guest["rendered"][0]["moved"]) == (user("anna"), True)
    assert answer(cluster, f"/v1/{CUSTOMER}/users/nobody")["known"] is False

    ctr = answer(cluster, f"/v1/{CUSTOMER}/ctr?scenario=every%20type&from={now_ms - 20 * MINUTE_MS}")
    total = ctr["total"]
    assert {
        name: total[name]
        for name in ("calls", "rendered", "viewed", "clicks", "attributed_clicks", "purchases", "revenue")
    } == {
        "calls": 1,
        "rendered": 6,
        "viewed": 1,
        "clicks": 2,
        "attributed_clicks": 2,
        "purchases": 1,
        "revenue": {"EUR": "0.30"},
    }
    assert total["ctr_rendered"]["value"] == pytest.approx(2 / 6)


def test_goods_by_weight_are_exact_also_after_a_login(
    cluster: Cluster, journal: Journal, now_ms: int
) -> None:
    user = cluster.customer.rules.user
    scenario = "by weight"

    def did(build: Any, minutes_ago: float, who: str = "scales", **fields: Any) -> Any:
        time_ms = now_ms - int(minutes_ago * MINUTE_MS)
        return build(**{"user": user(who), "time_ms": time_ms, "received_ms": now_ms, **fields})

    tenth = {"item": "1", "price": Decimal("0.10"), "quantity": Decimal("0.1")}
    journal.write(
        did(a_rendered, 9, items=("1",), scenario=scenario),
        did(a_clickrecommended, 8, item="1", scenario=scenario),
        did(a_buy, 7, **tenth),
        did(a_buy, 6, **tenth),
        did(a_login, 5, target=user("scales account")),
        did(a_buy, 4, "scales account", **tenth),
        did(a_buy, 3, "scales account", item="2", price=Decimal("2.00"), quantity=Decimal("2.0000")),
    )
    journal.settle()

    page = answer(cluster, f"/v1/{CUSTOMER}/users/scales%20account")
    bought = {entry["item"]: (entry["quantity"], entry["revenue"]) for entry in page["purchases"]}
    assert bought == {"1": (0.3, {"EUR": "0.03"}), "2": (2, {"EUR": "4.00"})}
    assert [type(quantity) for quantity, _ in bought.values()] == [int, float]
    excluded = answer(cluster, f"/v1/{CUSTOMER}/users/scales%20account/exclusions?reasons=bought")["excluded"]
    assert {entry["item"]: entry["count"] for entry in excluded} == {"1": 0.3, "2": 2}
    ctr = answer(cluster, f"/v1/{CUSTOMER}/ctr?scenario=by%20weight&from={now_ms - 20 * MINUTE_MS}")
    assert (ctr["total"]["purchases"], ctr["total"]["revenue"]) == (3, {"EUR": "0.03"})


def test_a_stream_of_rates_shows_what_comes_while_it_is_open(
    cluster: Cluster, journal: Journal, now_ms: int
) -> None:
    def shown(user: str) -> Any:
        pseudonym = cluster.customer.rules.user(user)
        times = {"time_ms": now_ms, "received_ms": now_ms}
        return a_rendered(user=pseudonym, items=("1", "2"), scenario="streamed", **times)

    journal.write(shown("first"))
    journal.settle()
    port = cluster.ports[running(cluster)]
    url = f"http://127.0.0.1:{port}/v1/{CUSTOMER}/ctr/stream?scenario=streamed&span=PT15M"
    with urllib.request.urlopen(url, timeout=30) as stream:
        rendered = (
            json.loads(line.removeprefix(b"data: "))["total"]["rendered"]
            for line in stream
            if line.startswith(b"data: ")
        )
        assert next(rendered) == 2
        journal.write(shown("second"))
        journal.settle()
        assert next(rendered) == 4


def test_a_rotated_key_is_read_by_the_worker_that_runs_and_its_users_move(
    cluster: Cluster, journal: Journal, now_ms: int
) -> None:
    """A customer is added, then its pseudonym key rotates; lookups find its users before and after they come back."""
    file, customer = cluster.customers_file, "turning"
    former = add_customer(file, customer).rules
    cluster.wait_until(
        lambda: cluster.get(f"/v1/{customer}/users/anna", running(cluster))[0] == 200,
        "the customer is served",
    )
    users = [f"user {number}" for number in range(6)]
    at = {"customer": customer, "time_ms": now_ms - MINUTE_MS, "received_ms": now_ms}
    journal.write(*(a_click(user=former.user(raw_user), item="old", **at) for raw_user in users))
    journal.settle()

    def clicked(raw_user: str) -> set[str]:
        page = answer(cluster, f"/v1/{customer}/users/{quote(raw_user)}")
        assert page["user"].startswith(key_id)
        return {entry["item"] for entry in page["clicked"] if entry["count"] == 1}

    key_id = former.key_id
    assert [clicked(raw_user) for raw_user in users] == [{"old"}] * 6
    key_id = rotate_key(file, customer, "pseudonym_key")["key_id"]
    cluster.wait_until(
        lambda: answer(cluster, f"/v1/{customer}/users/anna")["user"].startswith(key_id),
        "the new key is used",
    )
    assert [clicked(raw_user) for raw_user in users] == [{"old"}] * 6
    rules = Customers.load(file)[customer].rules
    at["time_ms"] = now_ms
    for item in ("new", "newer"):
        journal.write(
            *(
                a_click(user=rules.user(each), previous_user=rules.previous_user(each), item=item, **at)
                for each in users
            )
        )
    journal.settle()
    assert [clicked(raw_user) for raw_user in users] == [{"old", "new", "newer"}] * 6
    identity = answer(cluster, f"/v1/{customer}/users/user%200")["identity"]
    assert identity["received_from"] == [former.user("user 0")]


def test_programs_that_write_into_kafka_themselves_reach_the_tables(
    cluster: Cluster, journal: Journal, tmp_path: Path
) -> None:
    """One program is the example of docs/producing.md without our code; the other uses our own producer."""
    before = forwarded(cluster)
    page = Path("docs/producing.md").read_text(encoding="utf-8")
    ours, theirs = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    example = tmp_path / "produce.py"
    example.write_text(theirs)
    kafka, customers = cluster.broker.bootstrap, str(cluster.customers_file)
    env = {**os.environ, "UPTAKE_KAFKA": kafka, "UPTAKE_CUSTOMERS_FILE": customers}
    subprocess.run([sys.executable, "-I", example, kafka, customers], check=True, cwd=tmp_path)
    told = subprocess.run(
        [sys.executable, "-c", ours], env=env, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    journal.settle()

    key = journal.key("maxmustermann")
    page_of_user = answer(cluster, f"/v1/{CUSTOMER}/users/maxmustermann")
    assert {entry["item"]: entry["count"] for entry in page_of_user["rendered"]} == {"7": 1, "9": 1}
    (clicked,) = page_of_user["clicked"]
    assert (clicked["item"], clicked["count"]) == ("7", 1)
    assert page_of_user["purchases"][0]["revenue"] == {"EUR": "19.99"}
    assert told[0].startswith(f"{JOURNAL} {partition_of(key, PARTITIONS)} ")
    assert told[1].startswith("bad_body: Buy: Expected `int` >= 1")
    assert forwarded(cluster) == before


def test_import_that_was_killed_counts_every_row_once(
    cluster: Cluster, journal: Journal, collector: str, tmp_path: Path
) -> None:
    """Rows in the layouts of RecSys go through a real collector; the kill comes after rows that no checkpoint covers."""
    clicks, buys = tmp_path / "clicks.dat", tmp_path / "buys.dat"
    users, rows = 20, 12_000
    clicks.write_text(
        "".join(f"{number % users + 1},2014-04-07T10:51:09.277Z,{number % 3},0\n" for number in range(rows))
    )
    buys.write_text("7,2014-04-07T10:58:00.306Z,1,12462,2\n7,2014-04-07T11:00:00Z,2,0,0\nx,soon,2,0,0\n")
    command = [sys.executable, "-m", "app", "import", "--url", collector]
    env = {**os.environ, "UPTAKE_CUSTOMERS_FILE": str(cluster.customers_file)}
    by_clicks = [*command, clicks, "--layout", "recsys-clicks", "--concurrency", "2"]

    killed = subprocess.Popen(by_clicks, env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not accepted_clicks(collector) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL, "the import was over before the kill"
    sent = history_size(cluster)
    assert 0 < sent < rows
    subprocess.run(by_clicks, env=env, check=True, capture_output=True)
    by_buys = [*command, buys, "--layout", "recsys-buys", "--set", "currency=EUR", "--json"]
    done = subprocess.run(by_buys, env=env, capture_output=True, text=True, check=False)
    journal.settle()

    assert done.returncode == 1, done.stderr
    (told,) = json.loads(done.stdout)["files"]
    assert (told["accepted"], told["rejected"]) == (2, 1)
    assert '"code":"bad_timestamp"' in Path(told["rejects"]).read_text()
    pages = [answer(cluster, f"/v1/{CUSTOMER}/users/{user}") for user in range(1, users + 1)]
    assert [page["totals"]["clicks"] for page in pages] == [rows // users] * users
    assert {entry["first_ms"] for page in pages for entry in page["clicked"]} == {1_396_867_869_277}
    bought = {entry["item"]: (entry["quantity"], entry["revenue"]) for entry in pages[6]["purchases"]}
    assert bought == {"1": (2, {"EUR": "24924"}), "2": (1, {})}


def accepted_clicks(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as reply:
        found = re.search(
            r'^uptake_collector_accepted_total\{event="click"\} (\S+)$', reply.read().decode(), re.MULTILINE
        )
    return float(found[1]) if found else 0.0


def history_size(cluster: Cluster) -> int:
    return sum(end_of(cluster.broker.bootstrap, HISTORY, partition) for partition in range(PARTITIONS))


@pytest.fixture
def collector(cluster: Cluster) -> Iterator[str]:
    """Start a collector; yield its address when it takes events."""
    port = free_port("127.0.0.1")
    env = {
        **os.environ,
        "UPTAKE_KAFKA": cluster.broker.bootstrap,
        "UPTAKE_PARTITIONS": str(PARTITIONS),
        "UPTAKE_CUSTOMERS_FILE": str(cluster.customers_file),
    }
    with (cluster.directory / "collector.log").open("ab") as log:
        process = spawn(
            [sys.executable, "-m", "app", "collector", "--port", str(port)],
            env=env,
            cwd=Path.cwd(),
            stdout=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        cluster.wait_until(lambda: is_ready(url), "the collector takes events", 30)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def test_poison_and_misplaced_records_harm_nobody(cluster: Cluster, journal: Journal, now_ms: int) -> None:
    key = journal.key("bert")
    home = partition_of(key, PARTITIONS)
    event = a_click(user=cluster.customer.rules.user("bert"), time_ms=now_ms)
    poison = {
        b"{": "malformed",
        None: "null",
        b'{"type":"click","customer":"c","user":"u","item":"1","v":9}': "unknown_version",
    }
    for value in poison:
        journal.write(event)
        journal.write_raw(key, value)
    journal.write(event, partition=(home + 1) % PARTITIONS)
    journal.settle()

    page = answer(cluster, f"/v1/{CUSTOMER}/users/bert")
    assert page["clicked"][0]["count"] == len(poison) + 1
    dead = [
        record
        for record in read_committed(cluster.broker.bootstrap, DEADLETTERS, home)
        if record.key() == key
    ]
    assert [(record.value(), dict(record.headers())["reason"].decode()) for record in dead] == list(
        poison.items()
    )
    for record in dead:
        headers = {name: value.decode() for name, value in record.headers()}
        assert (headers["topic"], headers["partition"]) == (JOURNAL, str(home))
        (raw, *_) = read_committed(cluster.broker.bootstrap, JOURNAL, home, int(headers["offset"]))
        assert (raw.key(), raw.value()) == (key, record.value())


def test_two_workers_answer_for_each_other_and_one_for_all_when_the_other_stops(
    cluster: Cluster, journal: Journal, now_ms: int
) -> None:
    users = [f"visitor {number}" for number in range(60)]  # keys are random: enough for every partition
    for user in users:
        journal.write(a_click(user=cluster.customer.rules.user(user), item=user, time_ms=now_ms))
    assert len({partition_of(journal.key(user), PARTITIONS) for user in users}) == PARTITIONS
    stopping = running(cluster)
    other = "w1" if stopping == "w0" else "w0"
    cluster.start_worker(other)
    cluster.wait_ready(other)
    journal.settle()

    def owned(name: str) -> set[str]:
        return set(answer(cluster, "/v1/status", name)["partitions"])

    assert len(owned(stopping)) == len(owned(other)) == PARTITIONS // 2
    assert owned(stopping).isdisjoint(owned(other))

    def clicked(name: str) -> list[str]:
        pages = [answer(cluster, f"/v1/{CUSTOMER}/users/{user.replace(' ', '%20')}", name) for user in users]
        return [page["clicked"][0]["item"] for page in pages]

    assert clicked(stopping) == clicked(other) == users

    assert cluster.stop(stopping) == 0
    cluster.wait_drained()
    assert owned(other) == {str(number) for number in range(PARTITIONS)}
    assert clicked(other) == users
    loud = re.compile(r"warning|error|critical|exception|traceback", re.IGNORECASE)
    assert [line for line in cluster.log(stopping).splitlines() if loud.search(line)] == []

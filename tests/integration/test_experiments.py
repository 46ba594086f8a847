"""Experiments over a real collector, Kafka and worker: the verdict of a good one and of a wrong one, also after kill -9."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.cluster import CUSTOMER, Cluster, started_cluster
from tests.faults.collectors import CollectorProcess

pytestmark = pytest.mark.broker

USERS = 200
CLICKERS = {"A": 60, "B": 180}
"""Users of each variant who click one of the two items that they are shown."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with started_cluster(tmp_path_factory.mktemp("experiments"), 2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def collector(cluster: Cluster) -> Iterator[CollectorProcess]:
    collector = CollectorProcess(cluster.broker.bootstrap, cluster.directory, cluster.customers_file, 2)
    cluster.on_close.append(collector.close)
    collector.start()
    yield collector
    collector.close()


def post(collector: CollectorProcess, *events: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{collector.port}/v1/{CUSTOMER}/events",
        json.dumps(events).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["accepted"] == len(events)


def shown(user: str, scenario: str = "home", **said: str) -> dict[str, Any]:
    return {
        "type": "rendered",
        "user": user,
        "items": ["1", "2"],
        "scenario": scenario,
        "request_id": f"r-{user}",
        **said,
    }


def clicked(user: str, scenario: str = "home") -> dict[str, Any]:
    return {
        "type": "clickrecommended",
        "user": user,
        "item": "1",
        "scenario": scenario,
        "request_id": f"r-{user}",
    }


def answer(cluster: Cluster, path: str = "") -> Any:
    status, found = cluster.get(f"/v1/{CUSTOMER}/experiments{path}")
    assert status == 200, found
    return found


def test_experiments_count_each_user_once_and_say_when_to_stop(
    cluster: Cluster, collector: CollectorProcess
) -> None:
    with cluster.customers_file.open("a") as file:
        file.write(f'\n[customers."{CUSTOMER}".experiments.homes]\nscenarios = ["home", "new_home"]\n')
    cluster.wait_until(
        lambda: [each["name"] for each in answer(cluster)["experiments"]] == ["homes"],
        "the worker has read the declaration",
    )
    events: list[dict[str, Any]] = []
    for variant, clickers in CLICKERS.items():
        for number in range(USERS):
            user, home = f"{variant}{number}", {"A": "home", "B": "new_home"}[variant]
            events.append(shown(user, home, experiment="list", variant=variant))
            if number < clickers:
                events.append(clicked(user, home))
    post(collector, *events)
    post(collector, *[shown(f"A{number}", "page", experiment="both", variant="A") for number in range(40)])
    post(collector, *[shown(f"A{number}", "page", experiment="both", variant="B") for number in range(20)])
    cluster.wait_drained()
    before = _check(cluster)
    # The visitor A0 is the account B0: one person, who saw both.
    post(collector, {"type": "login", "user": "A0", "target": "B0"})
    cluster.wait_drained()
    cluster.kill("w0")
    cluster.wipe("w0")
    cluster.start_worker("w0")
    cluster.wait_ready("w0")
    cluster.wait_drained()
    after = answer(cluster, "/list")
    assert [each["users"] for each in after["variants"]] == [USERS - 1, USERS - 1]
    assert after["of_several"] == 1
    assert [each["values"] for each in after["variants"]] == [
        each["values"] - 1 for each in before["variants"]
    ]


def _check(cluster: Cluster) -> Any:
    for name, names in (("list", ["A", "B"]), ("homes", ["home", "new_home"])):
        found = answer(cluster, f"/{name}?steps=1")
        assert [
            (each["name"], each["users"], each["values"], each["weights"]) for each in found["variants"]
        ] == [
            (variant, USERS, clicks, 2 * USERS)
            for variant, clicks in zip(names, CLICKERS.values(), strict=True)
        ]
        assert found["verdict"] == "better"
        assert found["sentence"].startswith(f"{names[1]} is better than {names[0]} by 200 % (")
        assert found["declared"] is (name == "homes")
        assert found["sequence"][-1]["differences"] == [
            {"name": names[1], "lift": found["differences"][0]["lift"]}
        ]
        assert found["sequence"][-1]["end_ms"] > time.time_ns() // 1_000_000 - 3_600_000
    wrong = answer(cluster, "/both")
    assert (wrong["verdict"], wrong["of_several"]) == ("split_wrong", 20)
    assert answer(cluster, "/list?metric=ctr_calls")["differences"][0]["lift"]["value"] == pytest.approx(2.0)
    listed = {each["name"]: each["verdict"] for each in answer(cluster)["experiments"]}
    assert listed == {"list": "better", "homes": "better", "both": "split_wrong"}
    return answer(cluster, "/list")

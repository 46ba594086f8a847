"""The end of a background task of a Kafka client is noticed within two seconds, whichever task it is and however it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.producer.sender import Sender

from app.kafka import background_tasks
from app.kafka.background_tasks import ClientDiedError, death_of, while_alive
from tests.support.kafka_clients import Clients, core_of, kill_fetcher

TASKS = {
    "consumer": {"metadata", "fetcher", "positions"},
    "member": {"metadata", "fetcher", "coordination", "heartbeat", "committed offsets"},
    "producer": {"metadata", "sender"},
}
ROUTINES = {
    "metadata": (AIOKafkaClient, "_md_synchronizer"),
    "fetcher": (Fetcher, "_fetch_requests_routine"),
    "positions": (NoGroupCoordinator, "_reset_committed_routine"),
    "coordination": (GroupCoordinator, "_coordination_routine"),
    "heartbeat": (GroupCoordinator, "_heartbeat_routine"),
    "committed offsets": (GroupCoordinator, "_commit_refresh_routine"),
    "sender": (Sender, "_sender_routine"),
}
CASES = [(kind, name) for kind, names in TASKS.items() for name in sorted(names)]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_LOOK_SECONDS", 0.01)


async def start(clients: Clients, kind: str) -> Any:
    """Start a client with all the tasks of its kind. A member has joined a group."""
    if kind == "producer":
        return await clients.producer()
    client = await clients.consumer("group" if kind == "member" else None)
    if kind == "member":
        client._coordinator.ensure_coordinator_known = lambda: asyncio.shield(client._coordinator._closing)
        client._coordinator.member_id = "m"
        client._coordinator._start_heartbeat_task()
        client.assign([TopicPartition("t", 0)])
        client._coordinator.start_commit_offsets_refresh_task(client._subscription.subscription.assignment)
    return client


def task_of(client: Any, name: str) -> "asyncio.Task[None]":
    owner: Any = {
        "metadata": lambda: core_of(client)._sync_task,
        "fetcher": lambda: client._fetcher._fetch_task,
        "positions": lambda: client._coordinator._reset_committed_task,
        "coordination": lambda: client._coordinator._coordination_task,
        "heartbeat": lambda: client._coordinator._heartbeat_task,
        "committed offsets": lambda: client._coordinator._commit_refresh_task,
        "sender": lambda: client._sender._sender_task,
    }
    task: asyncio.Task[None] = owner[name]()
    return task


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_cancelled_task_is_noticed(clients: Clients, kind: str, name: str) -> None:
    client = await start(clients, kind)
    death = asyncio.create_task(death_of(client))
    await asyncio.sleep(0)
    assert not death.done()
    task_of(client, name).cancel()
    error = await asyncio.wait_for(death, 2)
    assert f"task {name!r}" in str(error)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_failed_task_is_noticed_with_its_error(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    broken = asyncio.Event()

    async def routine(*_: object) -> None:
        await broken.wait()
        raise RuntimeError("the handler is closed")

    monkeypatch.setattr(*ROUTINES[name], routine)
    client = await start(clients, kind)
    death = asyncio.create_task(death_of(client))
    await asyncio.sleep(0)
    assert not death.done()
    broken.set()
    error = await asyncio.wait_for(death, 2)
    assert f"task {name!r}" in str(error)
    assert "handler is closed" in repr(error.__cause__)


@pytest.mark.parametrize("kind", sorted(TASKS))
async def test_client_that_runs_or_stops_is_not_dead(clients: Clients, kind: str) -> None:
    client = await start(clients, kind)
    death = asyncio.create_task(death_of(client))
    await asyncio.wait({death}, timeout=0.6)  # longer than from one look to the next
    assert not death.done()
    await clients.stop()
    await asyncio.wait({death}, timeout=0.6)
    assert not death.done()
    death.cancel()


async def test_member_that_must_join_again_has_no_heartbeat_and_is_not_dead(clients: Clients) -> None:
    client = await start(clients, "member")
    client._coordinator.reset_generation()
    task_of(client, "heartbeat").cancel()
    client.unsubscribe()  # and no assignment
    task_of(client, "committed offsets").cancel()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(death_of(client), 0.6)


async def test_task_that_a_rebalance_ends_and_replaces_is_not_dead(clients: Clients) -> None:
    client = await start(clients, "member")
    death = asyncio.create_task(death_of(client))
    await asyncio.sleep(0.4)
    ended = task_of(client, "committed offsets")
    ended.cancel()
    await asyncio.wait({death}, timeout=0.3)  # one look sees the ended task
    assert ended.done()
    assert not death.done()
    client._coordinator.start_commit_offsets_refresh_task(client._subscription.subscription.assignment)
    await asyncio.wait({death}, timeout=0.7)
    assert not death.done()
    death.cancel()


# --- while_alive ----------------------------------------------------------------------------------------------------------------------


async def test_work_returns_its_result_or_raises_its_error(clients: Clients) -> None:
    async def work(fails: bool) -> int:
        await asyncio.sleep(0)
        return 1 // (not fails)

    client = await clients.consumer()
    assert await while_alive(client, work(False)) == 1
    with pytest.raises(ZeroDivisionError):
        await while_alive(client, work(True))


class Endless:
    """Work that waits for an answer that never comes."""

    def __init__(self) -> None:
        self.is_running = False

    async def run(self) -> None:
        self.is_running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_running = False


async def test_work_with_a_dead_client_is_cancelled(clients: Clients) -> None:
    client, work = await clients.consumer(), Endless()
    task = asyncio.create_task(while_alive(client, work.run()))
    await asyncio.sleep(0.01)
    assert work.is_running
    kill_fetcher(client)
    with pytest.raises(ClientDiedError, match="fetcher"):
        await asyncio.wait_for(task, 2)
    assert not work.is_running


async def test_cancelled_caller_ends_its_work(clients: Clients) -> None:
    client, work = await clients.consumer(), Endless()
    task = asyncio.create_task(while_alive(client, work.run()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.is_running

"""A link that is lost under uvloop is an error that aiokafka retries; attempts to connect again are spaced."""

import ast
import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiokafka.client
import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from app.kafka import connections
from app.kafka.clients import AIOKafkaClient
from app.kafka.connections import Backoff, BrokerConnection, connect
from tests.support.broker_double import BrokerDouble
from tests.support.repository import ROOT, python, shown

_T = TypeVar("_T")
ANSWER_BYTES = 100_000


def under_uvloop(work: Coroutine[Any, Any, _T]) -> _T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def first_error_after_a_reset(kind: type[AIOKafkaConnection]) -> BaseException:
    """Send in every turn of the loop while a reset connection closes, as busy clients do; return the first error."""
    async with BrokerDouble.running() as broker:
        connection = kind("127.0.0.1", broker.port)
        await connection.connect()
        connection._writer.transport.abort()
        sent = []
        try:
            while True:
                sent.append(asyncio.ensure_future(connection.send(ApiVersionRequest())))
                await asyncio.sleep(0)
        except RuntimeError as error:
            return error
        finally:
            is_open = connection._reader is not None
            connection.close()
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
            assert all(isinstance(outcome, KafkaConnectionError) for outcome in outcomes)
            assert not (kind is BrokerConnection and is_open)


def test_aiokafka_alone_raises_an_error_that_its_tasks_do_not_expect() -> None:
    """The fault that BrokerConnection cures. If aiokafka catches it one day, this module can go."""
    error = under_uvloop(first_error_after_a_reset(AIOKafkaConnection))
    assert type(error) is RuntimeError
    assert "the handler is closed" in str(error)


def test_write_on_a_closed_transport_is_a_lost_connection() -> None:
    error = under_uvloop(first_error_after_a_reset(BrokerConnection))
    assert isinstance(error, KafkaConnectionError)
    assert "the handler is closed" in str(error)


def test_error_of_a_request_itself_stays_as_it_is() -> None:
    async def ask() -> None:
        async with BrokerDouble.running() as broker:
            connection = BrokerConnection("127.0.0.1", broker.port)
            await connection.connect()
            with pytest.raises(NotImplementedError):
                connection._write(_refuse, b"", True)
            assert connection.connected()
            connection.close()

    def _refuse(request: object, expect_response: bool) -> None:
        raise NotImplementedError  # a RuntimeError that is no lost link

    under_uvloop(ask())


# --- memory ---


async def alive_after_broken_answers(kind: type[AIOKafkaConnection], is_reset: bool) -> int:
    """Break connections in the middle of an answer; return how many still hold its data. There is no garbage collection."""
    held = []
    for _ in range(3):
        async with BrokerDouble.running() as broker:
            connection = kind("127.0.0.1", broker.port)
            await connection.connect()
            reader = connection._reader
            held.append(weakref.ref(reader))
            asked = asyncio.ensure_future(connection.send(ApiVersionRequest()))
            await broker.begin_answer(ANSWER_BYTES)
            while len(reader._buffer) < ANSWER_BYTES:
                await asyncio.sleep(0)
            broker.reset() if is_reset else broker.end()
            with pytest.raises(KafkaConnectionError):
                await asked
            del connection, reader, asked
    return sum(reader() is not None for reader in held)


@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "end of stream"])
def test_broken_connection_holds_no_data_without_garbage_collection(is_reset: bool) -> None:
    gc.disable()  # as good as the thresholds of a worker
    try:
        assert under_uvloop(alive_after_broken_answers(AIOKafkaConnection, is_reset)) == 3, (
            "aiokafka is cured"
        )
        assert under_uvloop(alive_after_broken_answers(BrokerConnection, is_reset)) == 0
    finally:
        gc.enable()


# --- pauses ---------------------------------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_two_seconds_and_end_with_a_connection() -> None:
    backoff, now = Backoff(), 100.0
    assert backoff.pause(now) == 0
    pauses = []
    for _ in range(7):
        backoff.failed(now)
        pauses.append(round(backoff.pause(now), 1))
        now += backoff.pause(now)
        assert backoff.pause(now) == 0
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    backoff.succeeded()
    assert backoff.pause(now) == 0
    backoff.failed(now)
    assert backoff.pause(now) == pytest.approx(0.1)


async def test_client_pauses_before_it_connects_again_to_a_broker_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(connections.asyncio, "sleep", sleep)
    monkeypatch.setattr(connections.time, "monotonic", lambda: 50.0)
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:9")
    for _ in range(4):
        with pytest.raises(ConnectionRefusedError):
            await connect("127.0.0.1", 9, on_close=client._on_connection_closed)
    assert pauses == pytest.approx([0, 0.1, 0.2, 0.4])
    pauses.clear()
    with pytest.raises(ConnectionRefusedError):
        await connect("127.0.0.1", 9)  # the first connection of a client, whose owner pauses
    assert pauses == []


# --- all clients ----------------------------------------------------------------------------------------------------------------------


def test_clients_connect_by_our_function() -> None:
    assert aiokafka.client.create_conn is connect is not create_conn


def test_no_other_module_imports_clients_from_aiokafka() -> None:
    """A client imported from aiokafka may come without our connections."""
    kinds = {"AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConsumer", "AIOKafkaProducer"}
    direct = [
        f"{shown(path)}: {alias.name}"
        for path in python("agents", "app")
        if path != ROOT / "app/kafka/clients.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aiokafka")
        for alias in node.names
        if alias.name in kinds
    ]
    assert direct == []
    assert any("app/kafka/clients.py" in shown(path) for path in python("app"))

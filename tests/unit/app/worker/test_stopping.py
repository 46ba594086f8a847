"""A signal ends a worker at any time: while it waits for a broker, and if it does not end by itself."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from app.worker.stopping import Stopping


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
    loop.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_wait_for_a_broker(loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    async def wait() -> None:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    stopping = Stopping(end_seconds=3_600)
    assert stopping.run(loop, wait()) is False
    assert stopping.is_asked


def test_without_a_signal_the_worker_begins(loop: asyncio.AbstractEventLoop) -> None:
    stopping = Stopping()
    assert stopping.run(loop, asyncio.sleep(0)) is True
    assert not stopping.is_asked


def test_error_of_the_wait_is_raised(loop: asyncio.AbstractEventLoop) -> None:
    async def fail() -> None:
        raise ValueError("wrong partition count")

    with pytest.raises(ValueError, match="wrong partition count"):
        Stopping().run(loop, fail())


def test_worker_that_does_not_end_is_ended_once() -> None:
    ended = threading.Semaphore(0)
    stopping = Stopping(0, ended.release)
    stopping.ask()
    stopping.ask()
    assert ended.acquire(timeout=20)
    assert not ended.acquire(timeout=0.1)

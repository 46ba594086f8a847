"""The event loop's side of the spool: no caller waits for ever, whatever the disk does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.journal.spool import Spool
from app.journal.spool_format import SpoolTarget

PLACE = SpoolTarget("uptake.events", 3)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path, 1_000_000)
    spool.start()
    await until(lambda: spool.is_open)
    yield spool
    await spool.close()


async def add(spool: Spool, value: bytes = b"{}") -> OSError | None:
    done: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    spool.add(PLACE, 1, b"key", value, done.set_result)
    async with asyncio.timeout(10):
        return await done


def fails(_argument: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("place", ["append", "probe"])
async def test_error_that_nobody_foresaw_is_told_and_leaves_nobody_waiting(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    monkeypatch.setattr(spool._disk, "append", fails if place == "append" else _no_room)
    monkeypatch.setattr(spool._disk, "probe", lambda: fails(None))
    with caplog.at_level(logging.ERROR):
        assert isinstance(await add(spool), OSError)
        await until(lambda: "has failed" in (spool.refusal() or ""))
    assert "ZeroDivisionError" in caplog.text
    assert spool.holds(PLACE) == 0


def _no_room(_records: Any) -> None:
    raise OSError(28, "No space left on device")


async def test_drained_file_that_cannot_be_removed_stops_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert await add(spool) is None
    chunk = await spool.read(PLACE)
    assert chunk is not None
    monkeypatch.setattr(spool._disk, "_put_away", _no_room)
    spool.drained(chunk)
    await until(lambda: spool._queue.is_idle)
    await spool.written()
    monkeypatch.undo()
    assert await add(spool, b'{"a":1}') is None
    assert [record.value for record in (await spool.read(PLACE) or chunk).records] == [b'{"a":1}']

    await spool.close()
    again = Spool(tmp_path, 1_000_000)
    again.start()
    await until(lambda: again.is_open)
    assert again.holds(PLACE) == 1, "drained events are not sent again"
    await again.close()

"""A damaged copy is opened again, which sets it aside; the worker goes on."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.worker.standby import Standbys, _Copy
from app.worker.stores import Stores
from tables.store import StoreDamageError
from tests.support.damage import MEMORY
from tests.support.lookups import FixedClock

DAMAGE = StoreDamageError(Path("1"), "Corruption: block checksum mismatch")


class Following(Standbys):
    """Copies of which the first reading finds damage. ``again`` is set at the second one."""

    def __init__(self, directory: Path) -> None:
        self.failed: list[BaseException] = []
        stores = Stores(directory, MEMORY, FixedClock())
        super().__init__("", "", stores, FixedClock(), self.failed.append)
        self.again = asyncio.Event()
        self.attempts = 0

    async def _read_on(self) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise StoreDamageError(DAMAGE.path, DAMAGE.reason)
        self.again.set()
        await asyncio.Event().wait()


async def test_damaged_copy_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_pause(_: float) -> None:
        pass

    monkeypatch.setattr("app.worker.standby.asyncio.sleep", no_pause)
    standbys = Following(tmp_path)
    await standbys.set_copies([1], [])
    async with asyncio.timeout(5):
        await standbys.again.wait()
    await standbys.close()
    assert standbys.failed == []


async def test_damage_that_a_lookup_found_ends_the_reading(tmp_path: Path) -> None:
    class Consumer:
        async def getmany(self, **_: Any) -> dict[Any, Any]:
            return {}

    standbys = Standbys("", "", Stores(tmp_path, MEMORY, FixedClock()), FixedClock(), print)
    store: Any = SimpleNamespace(path=DAMAGE.path, damage=DAMAGE)
    standbys._copies[1] = _Copy(store)
    consumer: Any = Consumer()

    async def ends() -> dict[Any, int]:
        return {}

    with pytest.raises(StoreDamageError):
        await standbys._tail(consumer, ends)

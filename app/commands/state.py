"""`uptake state`: read the state of a worker on disk, and report damage."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from app.base.errors import UptakeError
from app.base.logs import setup_logging
from app.commands import options
from app.commands.options import make_settings
from tables.store import RocksStore, StoreDamageError, StoreError, StoreMemory, is_locked

state = typer.Typer(
    help="Check the state of a worker on disk for damage.\n\nExample: uptake state verify",
    no_args_is_help=True,
)

_LAST_KEY: Final = b"\xff" * 32  # greater than every key
_PROGRESS_SECONDS: Final = 2.0
_PROGRESS_ROWS: Final = 10_000  # rows between two looks at the clock


@dataclass(frozen=True, slots=True)
class _Verified:
    """What the check of a partition found: how many rows were read, and the damage, or None."""

    partition: int
    rows: int
    damage: str | None


@state.callback()
def _group() -> None:
    pass  # with a callback, Typer always requires the name of the command


@state.command()
def verify(
    data_dir: options.DataDir = None,
    partition: Annotated[int | None, typer.Option(help="check only this partition", min=0)] = None,
    as_json: options.AsJson = False,
    log_level: options.LogLevel = None,
) -> None:
    """Read all rows of all partitions in a data directory. Exits with 1 if a partition is damaged.

    It changes nothing. Stop the worker of this directory first.

    Example: uptake state verify --data-dir /var/lib/uptake/worker-0
    """
    settings = make_settings(data_dir=data_dir, log_level=log_level)
    setup_logging(settings)
    memory = StoreMemory(settings.block_cache_bytes, settings.memtable_bytes)
    found: list[_Verified] = []
    for number, path in _directories(settings.data_dir / "state", partition):
        if is_locked(path):
            raise UptakeError(f"a process has {path} open: stop the worker of this directory first")
        found.append(_verified(number, path, memory))
        if not as_json:
            print(_sentence(found[-1]))
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    elif any(each.damage for each in found):
        print(
            "A worker sets damaged state aside and rebuilds it when it finds the damage; docs/operations.md says how."
        )
    raise typer.Exit(1 if any(each.damage for each in found) else 0)


def _directories(state_dir: Path, partition: int | None) -> list[tuple[int, Path]]:
    """Return the partitions in a state directory; raise UptakeError if it holds no partition."""
    found = sorted(
        (int(path.name), path)
        for path in (state_dir.iterdir() if state_dir.is_dir() else ())
        if path.name.isdecimal() and partition in (None, int(path.name))
    )
    if not found:
        what = "no partition" if partition is None else f"no partition {partition}"
        raise UptakeError(f"there is {what} in {state_dir}: choose the --data-dir of a worker")
    return found


def _verified(number: int, path: Path, memory: StoreMemory) -> _Verified:
    """Read all rows of a partition, without a change of its directory. Raise UptakeError if its files cannot be read."""
    rows, spoke = 0, time.monotonic()
    try:
        store = RocksStore(path, (), memory, is_read_only=True)
        try:
            for table in store.tables:
                for _ in store.scan(table, b"", _LAST_KEY):
                    rows += 1
                    if rows % _PROGRESS_ROWS == 0 and time.monotonic() - spoke > _PROGRESS_SECONDS:
                        spoke = time.monotonic()
                        print(f"partition {number}: {rows:,} rows read, now {table}", file=sys.stderr)
        finally:
            store.close()
    except StoreDamageError as error:
        return _Verified(number, rows, error.reason)
    except StoreError as error:
        raise UptakeError(str(error)) from error
    return _Verified(number, rows, None)


def _sentence(verified: _Verified) -> str:
    read = f"partition {verified.partition}: {verified.rows:,} rows read"
    return f"{read}, no damage" if verified.damage is None else f"{read}, damaged: {verified.damage}"

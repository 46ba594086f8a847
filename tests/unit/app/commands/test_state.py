"""`uptake state verify` reads all rows of a data directory, reports damage, and changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app import cli
from tables.declare import STORED
from tables.store import RocksStore
from tests.support.damage import KINDS, MEMORY, settle_on_disk


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with the state of two partitions, of several blocks each."""
    for number in range(2):
        store = RocksStore(tmp_path / "state" / str(number), STORED, MEMORY)
        store.write(
            {"clicked": [(b"user %05d" % user, bytes(range(100))) for user in range(5_000)]}, {"t": 1}
        )
        settle_on_disk(store)
        store.close()
    (tmp_path / "state" / "0.damaged-2026-01-01-000000").mkdir()
    return tmp_path


def verify(data_dir: Path, *arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(["state", "verify", "--data-dir", str(data_dir), *arguments])
    return ended.value.code


def logs_written(data_dir: Path) -> dict[str, int]:
    """Return when each partition's log was written: a worker takes this for the age of the state."""
    return {str(path): path.stat().st_mtime_ns for path in data_dir.rglob("*.log")}


def test_intact_state_is_read_whole_and_not_touched(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logs_written(data_dir)
    assert verify(data_dir) == 0
    # 5,000 rows, an offset and the format
    assert capsys.readouterr().out.splitlines() == [
        "partition 0: 5,002 rows read, no damage",
        "partition 1: 5,002 rows read, no damage",
    ]
    assert logs_written(data_dir) == before


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_damage_is_found(kind: str, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KINDS[kind](data_dir / "state" / "1")
    assert verify(data_dir, "--json") == 1
    intact, damaged = json.loads(capsys.readouterr().out)
    assert (intact["partition"], intact["rows"], intact["damage"]) == (0, 5_002, None)
    assert damaged["partition"] == 1
    assert damaged["damage"]


def test_one_partition_can_be_chosen(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_dir / "state" / "1" / "CURRENT").unlink()
    assert verify(data_dir, "--partition", "0") == 0
    assert verify(data_dir, "--partition", "1") == 1
    assert "partition 1: 0 rows read, damaged: the file CURRENT is missing" in capsys.readouterr().out


def test_wrong_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path) == 2
    assert "there is no partition in" in capsys.readouterr().err


def test_state_of_a_running_worker_is_refused(data_dir: Path) -> None:
    store = RocksStore(data_dir / "state" / "0", STORED, MEMORY)
    done = subprocess.run(
        [sys.executable, "-m", "app", "state", "verify", "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    store.close()
    assert (done.returncode, done.stdout) == (2, "")
    assert "stop the worker of this directory first" in done.stderr

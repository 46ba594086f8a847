"""A process killed with -9 while it writes: all records that it reported as durable are there, and no others."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.journal.spool_disk import Disk
from app.journal.spool_format import SpoolTarget

PLACE = SpoolTarget("uptake.events", 0)
WRITER = """
import sys
from pathlib import Path
from app.journal.spool_disk import Disk
from app.journal.spool_format import SpoolRecord, SpoolTarget, encode
disk = Disk(Path(sys.argv[1]), segment_bytes=20_000)
disk.open()
number = disk.next_number
while True:
    group = [SpoolRecord(number + n, SpoolTarget("uptake.events", 0), 1, b"key", b"v" * 50) for n in range(number % 40 + 1)]
    disk.append([(record, encode(record)) for record in group])
    number += len(group)
    print(number - 1, flush=True)
"""


@pytest.mark.parametrize("groups", [1, 20, 60])
def test_what_was_durable_before_the_kill_is_there(tmp_path: Path, groups: int) -> None:
    durable = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(groups):
                durable = int(writer.stdout.readline())
            writer.kill()
    disk = Disk(tmp_path, segment_bytes=20_000)
    disk.open()
    numbers: list[int] = []
    while (chunk := disk.read(PLACE, 10_000, 10**7)) is not None:
        numbers += [record.number for record in chunk.records]
        disk.pass_over(chunk)
    assert disk.quarantined == 0
    assert numbers == sorted(set(numbers))
    assert numbers[-1] >= durable
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    disk.close()

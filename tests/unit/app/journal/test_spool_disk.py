"""The files of the spool: the next process finds written records, drained files are gone, damaged ones kept and reported."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.journal import spool_directory, spool_disk
from app.journal.spool_disk import Disk
from app.journal.spool_format import SEGMENT_HEAD_BYTES, SpoolRecord, SpoolTarget, encode
from app.journal.spool_segments import SpoolBatch

HERE, THERE = SpoolTarget("uptake.events", 0), SpoolTarget("uptake.events", 1)
Make = Callable[..., Disk]


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Make]:
    """Return ``make(**options) -> Disk``: opens disks on one base directory, which are closed in the end."""
    made: list[Disk] = []

    def make(segment_bytes: int = 1_000) -> Disk:
        disk = Disk(tmp_path / "spool", segment_bytes=segment_bytes)
        disk.open()
        made.append(disk)
        return disk

    yield make
    for disk in made:
        disk.close()


def a_record(number: int, place: SpoolTarget = HERE) -> SpoolRecord:
    return SpoolRecord(number, place, 1_000 + number, b"c|k1.u", b"value-%d" % number)


def write(disk: Disk, *records: SpoolRecord) -> None:
    disk.append([(record, encode(record)) for record in records])


def take(disk: Disk, chunk: SpoolBatch) -> None:
    disk.pass_over(chunk)
    disk.note([chunk])


def drain(disk: Disk, place: SpoolTarget = HERE, max_records: int = 100) -> list[int]:
    numbers = []
    while (chunk := disk.read(place, max_records, 10**6)) is not None:
        numbers += [record.number for record in chunk.records]
        take(disk, chunk)
    return numbers


def segments(disk: Disk) -> list[Path]:
    return sorted(disk.path.glob("*.seg"))


def test_next_process_finds_what_was_written_in_order(disk_of: Make) -> None:
    first = disk_of()
    for number in range(1, 40):
        write(first, a_record(number, HERE if number % 3 else THERE))
    assert len(segments(first)) > 1
    first.close()
    second = disk_of()
    assert second.pending() == {HERE: 26, THERE: 13}
    assert second.oldest_ms() == 1_001
    assert drain(second, THERE) == list(range(3, 40, 3))
    assert drain(second) == [number for number in range(1, 40) if number % 3]
    assert (second.size_bytes, segments(second), second.oldest_ms()) == (0, [], None)


def test_what_was_drained_stays_drained(disk_of: Make) -> None:
    first = disk_of(10**6)
    write(first, *map(a_record, range(1, 10)))
    chunk = first.read(HERE, 4, 10**6)
    assert chunk is not None
    take(first, chunk)
    first.close()
    second = disk_of()
    assert drain(second) == [5, 6, 7, 8, 9]


def test_numbers_go_on_after_all_was_drained(disk_of: Make) -> None:
    first = disk_of()
    write(first, a_record(first.next_number))
    drained = drain(first)
    first.close()
    second = disk_of()
    assert second.next_number > max(drained)
    write(second, a_record(second.next_number))
    second.close()
    assert len(drain(disk_of())) == 1


def test_lost_cursors_only_send_again(disk_of: Make) -> None:
    first = disk_of(10**6)
    write(first, *map(a_record, range(1, 4)))
    chunk = first.read(HERE, 1, 10**6)
    assert chunk is not None
    take(first, chunk)
    (first.path / "cursors").write_bytes(b"nonsense")
    first.close()
    assert drain(disk_of()) == [1, 2, 3]


def test_cursors_are_rewritten_before_they_grow_for_ever(
    disk_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_directory, "_CURSORS_MAX_BYTES", 500)
    disk = disk_of(10**6)
    write(disk, *map(a_record, range(1, 60)))
    numbers = drain(disk, max_records=1)
    assert numbers == list(range(1, 60))
    assert (disk.path / "cursors").stat().st_size < 700
    disk.close()
    assert disk_of().next_number >= 60


def test_torn_end_is_cut_off_and_counted(disk_of: Make, caplog: pytest.LogCaptureFixture) -> None:
    first = disk_of(10**6)
    write(first, a_record(1), a_record(2))
    first.close()
    (path,) = (first._base / "0").glob("*.seg")
    with path.open("ab") as file:
        file.write(encode(a_record(3))[:-1])
    second = disk_of()
    assert second.torn_bytes == len(encode(a_record(3))) - 1
    assert "cut off" in caplog.text
    assert second.quarantined == 0
    write(second, a_record(3))
    second.close()
    third = disk_of()
    assert (drain(third), third.torn_bytes, third.quarantined) == ([1, 2, 3], 0, 0)


def test_damage_in_the_middle_is_told_and_the_file_is_kept(
    disk_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = disk_of(10**6)
    write(first, a_record(1), a_record(2), a_record(3))
    first.close()
    (path,) = (first._base / "0").glob("*.seg")
    data = bytearray(path.read_bytes())
    data[SEGMENT_HEAD_BYTES + 2 * len(encode(a_record(1))) - 1] ^= 1
    path.write_bytes(data)
    second = disk_of()
    assert (second.quarantined, second.damaged) == (1, 1)
    assert "is damaged" in caplog.text
    assert drain(second) == [1, 3]
    assert path.with_suffix(".quarantined").read_bytes() == data
    assert second.quarantined == 1
    write(second, a_record(second.next_number))
    second.close()
    third = disk_of()
    assert (third.quarantined, third.damaged) == (1, 0)
    assert len(drain(third)) == 1
    path.with_suffix(".quarantined").unlink()
    third.look()
    assert third.quarantined == 0


def test_damage_that_comes_while_the_process_runs_is_found_too(disk_of: Make) -> None:
    disk = disk_of(10**6)
    write(disk, a_record(1), a_record(2), a_record(3))
    (path,) = segments(disk)
    data = bytearray(path.read_bytes())
    data[SEGMENT_HEAD_BYTES + 5] ^= 1
    path.write_bytes(data)
    assert drain(disk) == [2, 3]
    assert (disk.quarantined, disk.damaged) == (1, 1)
    assert path.with_suffix(".quarantined").exists()


def test_short_segment_that_is_not_the_newest_is_damaged(disk_of: Make) -> None:
    first = disk_of(1)  # one segment for each write
    write(first, a_record(1), a_record(2))
    write(first, a_record(3))
    path = segments(first)[0]
    first.close()
    path.write_bytes(path.read_bytes()[:-1])
    second = disk_of()
    assert (second.quarantined, second.torn_bytes) == (1, 0)
    assert drain(second) == [1, 3]


@pytest.mark.parametrize("size", [0, SEGMENT_HEAD_BYTES - 1])
@pytest.mark.parametrize("place", [0, -1])
def test_segment_that_was_cut_to_nothing_is_damaged(
    disk_of: Make, caplog: pytest.LogCaptureFixture, size: int, place: int
) -> None:
    first = disk_of(1)  # one segment for each write
    for number in (1, 2, 3):
        write(first, a_record(number))
    path = segments(first)[place]
    first.close()
    path.write_bytes(path.read_bytes()[:size])
    second = disk_of()
    assert (second.quarantined, second.damaged, second.torn_bytes) == (1, 1, 0)
    assert f"it was cut to {size} bytes" in caplog.text
    assert drain(second) == ([2, 3] if place == 0 else [1, 2])
    assert path.with_suffix(".quarantined").exists()


@pytest.mark.parametrize("segment_bytes", [1, 10**6])
@pytest.mark.parametrize("place", [0, -1])
def test_segment_of_only_zeros_is_damaged(
    disk_of: Make, caplog: pytest.LogCaptureFixture, segment_bytes: int, place: int
) -> None:
    first = disk_of(segment_bytes)
    for number in (1, 2, 3):
        write(first, a_record(number))
    path = segments(first)[place]
    is_whole = len(segments(first)) == 1
    first.close()
    path.write_bytes(bytes(path.stat().st_size))
    second = disk_of()
    assert (second.quarantined, second.damaged, second.torn_bytes) == (1, 1, 0)
    assert "it holds only zeros" in caplog.text
    assert drain(second) == ([] if is_whole else [2, 3] if place == 0 else [1, 2])
    assert path.with_suffix(".quarantined").exists()


@pytest.mark.parametrize("place", [0, -1])
def test_segment_that_cannot_be_read_keeps_no_other_from_being_sent(
    disk_of: Make, caplog: pytest.LogCaptureFixture, place: int
) -> None:
    first = disk_of(1)
    for number in (1, 2, 3):
        write(first, a_record(number))
    path = segments(first)[place]
    first.close()
    path.unlink()
    path.mkdir()
    second = disk_of()
    assert (second.quarantined, second.damaged) == (1, 1)
    assert "it cannot be read (Is a directory)" in caplog.text
    assert drain(second) == ([2, 3] if place == 0 else [1, 2])
    write(second, a_record(9))
    assert drain(second) == [9]


def test_copies_that_an_operator_made_are_left_alone(disk_of: Make) -> None:
    first = disk_of(1)
    write(first, a_record(1))
    path = segments(first)[0]
    first.close()
    copies = [path.with_name("copy of 1.seg"), path.with_name("copy of 1.quarantined")]
    for copy in copies:
        copy.write_bytes(path.read_bytes())
    assert drain(disk_of()) == [1]
    assert all(copy.exists() for copy in copies)


def test_cursors_that_cannot_be_read_only_send_again(disk_of: Make, caplog: pytest.LogCaptureFixture) -> None:
    first = disk_of(1)
    write(first, a_record(1), a_record(2))
    first.close()
    (first._base / "0" / "cursors").mkdir()
    assert drain(disk_of()) == [1, 2]
    assert "what was sent already is sent again" in caplog.text


@pytest.mark.parametrize("torn", [0, 3])
def test_all_intact_records_around_two_damaged_ones_are_sent(disk_of: Make, torn: int) -> None:
    first = disk_of(10**6)
    write(first, *[a_record(number) for number in range(1, 7)])
    path = segments(first)[0]
    first.close()
    data = bytearray(path.read_bytes())
    size = len(encode(a_record(1)))
    data[SEGMENT_HEAD_BYTES] ^= 1  # the length of the first record
    data[SEGMENT_HEAD_BYTES + 3 * size - 1] ^= 1  # the body of the third one
    path.write_bytes(data[: len(data) - torn])
    assert drain(disk_of()) == ([2, 4, 5, 6] if not torn else [2, 4, 5])


def test_records_behind_a_damaged_head_are_sent(disk_of: Make) -> None:
    first = disk_of(10**6)
    write(first, a_record(1), a_record(2), a_record(3))
    path = segments(first)[0]
    first.close()
    data = bytearray(path.read_bytes())
    data[SEGMENT_HEAD_BYTES + len(encode(a_record(1)))] ^= 1  # a length
    path.write_bytes(data)
    second = disk_of()
    assert drain(second) == [1, 3]
    assert path.with_suffix(".quarantined").read_bytes() == data


def test_segment_that_was_not_begun_is_no_damage(disk_of: Make) -> None:
    first = disk_of()
    write(first, a_record(1))
    path = segments(first)[0]
    first.close()
    path.with_name("9.new").write_bytes(b"")
    second = disk_of()
    assert (drain(second), second.quarantined) == ([1], 0)
    assert not list(path.parent.glob("*.new"))


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_write_that_fails_leaves_nothing_behind(
    disk_of: Make, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    disk = disk_of(10**6)
    write(disk, a_record(1))

    def fail(descriptor: int, *data: bytes) -> None:
        for each in data:
            os.write(descriptor, each[: len(each) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_disk, "write_all" if failing == "write" else "sync", fail)
        with pytest.raises(OSError, match="No space"):
            write(disk, a_record(2), a_record(3))
    assert disk.pending() == {HERE: 1}
    write(disk, a_record(4))
    disk.close()
    second = disk_of()
    assert (drain(second), second.torn_bytes, second.quarantined) == ([1, 4], 0, 0)


def test_segment_that_cannot_be_begun_leaves_nothing_behind(
    disk_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = disk_of()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_disk, "write_all", fail)
        with pytest.raises(OSError, match="No space"):
            write(disk, a_record(1))
    assert (segments(disk), disk.pending()) == ([], {})
    write(disk, a_record(2))
    assert drain(disk) == [2]


def test_each_process_has_a_directory_of_its_own(disk_of: Make) -> None:
    first, second = disk_of(), disk_of()
    assert (first.path.name, second.path.name) == ("0", "1")
    assert first.path.stat().st_mode & 0o777 == 0o700


def test_directory_of_a_dead_process_is_taken_over_and_comes_first(disk_of: Make) -> None:
    first, second = disk_of(), disk_of()
    write(first, a_record(1))
    write(second, a_record(1), a_record(2))
    second.close()
    assert first.adopt()
    assert not first.adopt()
    assert first.pending() == {HERE: 3}
    assert drain(first) == [1, 1, 2]
    first.close()
    assert disk_of().pending() == {}


def test_directory_of_a_living_process_is_left_alone(disk_of: Make) -> None:
    first, second = disk_of(), disk_of()
    write(second, a_record(1))
    assert not first.adopt()
    assert first.pending() == {}


def test_probe_leaves_nothing_and_tells_when_nothing_can_be_written(
    disk_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = disk_of()
    disk.probe()
    assert sorted(path.name for path in disk.path.iterdir()) == ["lock"]

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_disk, "write_file", fail)
    with pytest.raises(OSError, match="No space"):
        disk.probe()

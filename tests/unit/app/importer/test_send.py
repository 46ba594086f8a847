"""Every row gets one decision, whatever the collector answers, and each user's rows arrive in order."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest

from app.base.errors import UptakeError
from app.importer.elements import Converter
from app.importer.ledger import Ledger, RejectedRow, RowCounts
from app.importer.mapping import make_mapping
from app.importer.rows import FileRow
from app.importer.send import RowSender
from app.replay.http import Endpoint
from tests.support.batch_double import BatchDouble, accepted, batch_double, rejected
from tests.support.collector_double import an_answer

MAPPING = make_mapping(columns=["user=u", "item=i", "time=t"], constants=["event=click"])


class Saved:
    """The last state that was made durable."""

    def __init__(self) -> None:
        self.next_row = self.may_be_sent = 1
        self.rejects: list[RejectedRow] = []
        self.counts = RowCounts()
        self.calls = 0

    def __call__(
        self, next_row: int, may_be_sent: int, counts: RowCounts, rejects: list[RejectedRow]
    ) -> None:
        self.calls += 1
        self.next_row, self.may_be_sent, self.counts = next_row, may_be_sent, counts
        self.rejects += rejects


def rows(count: int, users: int = 7) -> Iterator[FileRow]:
    for number in range(1, count + 1):
        yield FileRow(number, {"u": f"user {number % users}", "i": str(number), "t": "1000"})


def a_sender(double: BatchDouble, saved: Saved, **options: Any) -> RowSender:
    given = {"pause_s": 0.01, "save_s": 0.01, "concurrency": 4, "batch": 10, "window": 100, **options}
    converter = Converter(MAPPING, UTC, "imp")
    return RowSender(
        Endpoint(double.url), "00000", "key-12345", converter, Ledger(1, saved.counts), saved, **given
    )


async def test_all_rows_are_taken_in_the_order_of_each_user() -> None:
    saved = Saved()
    async with batch_double() as double:
        await a_sender(double, saved).run(rows(1_000))
    assert sorted(double.rows) == list(range(1, 1_001))
    for user in range(7):
        mine = [row for row in double.rows if row % 7 == user]
        assert mine == sorted(mine)
    assert (saved.next_row, saved.may_be_sent, saved.counts) == (1_001, 1_001, RowCounts(accepted=1_000))
    assert double.logins == {"00000:key-12345"}
    assert double.paths == {"/v1/00000/events"}
    assert max(double.sizes) <= 10
    assert set(double.arrived.values()) == {1}


async def test_rejects_whose_saving_had_not_begun_at_the_end_are_saved_too() -> None:
    saved, free = Saved(), threading.Event()
    async with batch_double(judge=lambda _event: rejected()) as double:
        double.delay_s = 0.01
        sender = a_sender(double, saved, window=1_000, save_s=0.05, concurrency=1)

        def save(next_row: int, may_be_sent: int, counts: RowCounts, rejects: list[RejectedRow]) -> None:
            if saved.calls == 1:  # the first two saves pass
                sender._writer.submit(free.wait)  # as on a busy machine: the next save waits in the queue
            saved(next_row, may_be_sent, counts, rejects)

        sender._save = save
        running = asyncio.create_task(sender.run(rows(200)))
        while sender.done < 200:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        free.set()
        await running
    assert [reject.row for reject in saved.rejects] == list(range(1, 201))


async def test_batches_go_side_by_side() -> None:
    async with batch_double() as double:
        double.delay_s = 0.01
        await a_sender(double, Saved(), concurrency=3).run(rows(300, users=50))
    assert double.most_at_once == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_batch_that_is_pushed_back_is_sent_again(status: int) -> None:
    said = iter([an_answer(status, "", "Retry-After: 0")] * 3)
    saved = Saved()
    async with batch_double(before=lambda _events: next(said, None)) as double:
        sender = a_sender(double, saved)
        await sender.run(rows(50))
    assert saved.counts == RowCounts(accepted=50)
    assert sender.retries


async def test_batch_without_an_answer_is_sent_again_with_the_same_eids() -> None:
    said = iter([b""])
    saved = Saved()
    async with batch_double(after=lambda _events: next(said, None)) as double:
        await a_sender(double, saved).run(rows(50))
    assert sorted(double.rows) == list(range(1, 51))
    assert max(double.arrived.values()) == 2
    assert saved.counts == RowCounts(accepted=50)


async def test_only_what_may_be_tried_again_is() -> None:
    tried: set[str] = set()

    def judge(event: dict[str, Any]) -> dict[str, Any]:
        if event["item"] == "7":
            return rejected("bad_item")
        if int(event["item"]) % 3 == 0 and event["eid"] not in tried:
            tried.add(event["eid"])
            return rejected("fate_unknown", retry=True)
        return accepted()

    saved = Saved()
    async with batch_double(judge) as double:
        await a_sender(double, saved).run(rows(60))
    assert sorted(double.rows) == [row for row in range(1, 61) if row != 7]
    assert {eid: count for eid, count in double.arrived.items() if count > 1} == dict.fromkeys(tried, 2)
    (reject,) = saved.rejects
    assert (reject.row, reject.code, reject.reason) == (7, "bad_item", "says bad_item")
    assert '"i":"7"' in reject.text
    assert saved.counts == RowCounts(accepted=59, rejected=1)


async def test_batch_that_is_too_large_is_sent_in_parts_and_one_row_that_is_too_large_is_rejected() -> None:
    def before(events: list[dict[str, Any]]) -> bytes | None:
        is_large = len(events) > 2 or any(event["item"] == "5" for event in events)
        return an_answer(413, '{"code":"body_too_large","detail":"too much"}') if is_large else None

    saved = Saved()
    async with batch_double(before=before) as double:
        await a_sender(double, saved).run(rows(30))
    assert sorted(double.rows) == [row for row in range(1, 31) if row != 5]
    assert [reject.code for reject in saved.rejects] == ["body_too_large"]


async def test_rejects_come_in_the_order_of_the_file() -> None:
    saved = Saved()
    async with batch_double(lambda _event: rejected()) as double:
        await a_sender(double, saved).run(rows(200))
    assert [reject.row for reject in saved.rejects] == list(range(1, 201))


async def test_bad_rows_are_rejected_without_being_sent() -> None:
    bad = [
        FileRow(1, None, "{", "the line is not JSON"),
        FileRow(2, {"u": "u", "i": "1", "t": "soon"}),
        FileRow(3, {"u": "u", "i": "\udc80", "t": "1000"}),
        FileRow(4, {"u": "u", "i": "1", "t": "1000"}),
    ]
    saved = Saved()
    async with batch_double() as double:
        await a_sender(double, saved).run(bad)
    assert double.rows == [4]
    assert [(reject.row, reject.code) for reject in saved.rejects] == [
        (1, "unreadable"),
        (2, "bad_timestamp"),
        (3, "malformed_encoding"),
    ]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (an_answer(401, '{"code":"unauthorized","detail":"wrong key"}'), "unauthorized: wrong key"),
        (an_answer(404, "no such customer"), "404: no such customer"),
        (an_answer(200, "hello"), "not that of an Uptake collector"),
        (an_answer(200, '{"results":[]}'), "not that of an Uptake collector"),
    ],
)
async def test_collector_that_refuses_everything_ends_the_import_with_its_words(
    answer: bytes, words: str
) -> None:
    saved = Saved()
    async with batch_double(before=lambda _events: answer) as double:
        with pytest.raises(UptakeError, match=words):
            await a_sender(double, saved).run(rows(50))
    assert saved.next_row == 1


async def test_collector_that_takes_nothing_is_given_up_and_no_row_is_passed_over() -> None:
    saved = Saved()
    taking = iter([None] * 2)
    unavailable = an_answer(503, "", "Retry-After: 0")
    async with batch_double(before=lambda _events: next(taking, unavailable)) as double:
        with pytest.raises(UptakeError, match="taken nothing"):
            await a_sender(double, saved, give_up_s=0.1).run(rows(500))
    assert saved.next_row - 1 <= len(double.taken)
    assert set(range(1, saved.next_row)) <= set(double.rows)
    assert max(double.rows) < saved.may_be_sent


async def test_rows_are_sent_only_after_it_is_durable_that_they_may_be() -> None:
    saved = Saved()

    def before(events: list[dict[str, Any]]) -> None:
        assert max(int(event["item"]) for event in events) < saved.may_be_sent

    async with batch_double(before=before) as double:
        await a_sender(double, saved, window=20).run(rows(500))
    assert saved.counts.accepted == 500


async def test_no_more_than_the_window_is_read_ahead() -> None:
    saved, read = Saved(), 0

    def counted() -> Iterator[FileRow]:
        nonlocal read
        for row in rows(2_000):
            read = row.number
            yield row

    def before(_events: list[dict[str, Any]]) -> None:
        assert read - len(double.taken) <= 51

    async with batch_double(before=before) as double:
        await a_sender(double, saved, window=50).run(counted())
    assert saved.counts.accepted == 2_000


async def test_stop_settles_what_was_read_so_that_nothing_is_unsure() -> None:
    saved = Saved()
    async with batch_double() as double:
        sender = a_sender(double, saved)

        def stopping() -> Iterator[FileRow]:
            for row in rows(5_000):
                if row.number == 300:
                    sender.stop()
                yield row

        await sender.run(stopping())
    assert 1 < saved.next_row < 5_000
    assert saved.next_row == saved.may_be_sent
    assert sorted(double.rows) == list(range(1, saved.next_row))


async def test_stop_does_not_wait_for_a_collector_that_pushes_back() -> None:
    saved = Saved()
    async with batch_double(before=lambda _events: an_answer(503, "", "Retry-After: 60")) as double:
        sender = a_sender(double, saved)
        asyncio.get_running_loop().call_later(0.05, sender.stop)
        async with asyncio.timeout(20):
            await sender.run(rows(500))
    assert saved.next_row == 1 < saved.may_be_sent


async def test_rows_that_are_to_be_left_out_are_not_sent_and_stand_in_the_rejects() -> None:
    saved = Saved()
    async with batch_double() as double:
        await a_sender(double, saved, skip_before=4).run(rows(6))
    assert sorted(double.rows) == [4, 5, 6]
    assert [(reject.row, reject.code) for reject in saved.rejects] == [
        (1, "fate_unknown"),
        (2, "fate_unknown"),
        (3, "fate_unknown"),
    ]
    assert saved.counts == RowCounts(accepted=3, unknown=3)


async def test_save_that_fails_ends_the_import_and_is_not_tried_again() -> None:
    calls = 0

    def failing(*_arguments: object) -> None:
        nonlocal calls
        calls += 1
        raise UptakeError("the disk is full")

    async with batch_double() as double:
        sender = a_sender(double, Saved())
        sender._save = failing
        with pytest.raises(UptakeError, match="disk is full"):
            await sender.run(rows(50))
    assert calls == 1
    assert double.rows == []

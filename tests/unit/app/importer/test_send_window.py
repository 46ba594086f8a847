"""Only the oldest undecided rows of a lane are sent, within the window, after a checkpoint says so; each until it is decided."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from app.importer.batch_answer import RowResult
from app.importer.ledger import Ledger, RejectedRow, RowCounts
from app.importer.rows import FileRow
from app.importer.send_window import QueuedRow, RowQueue, SendWindow

ACCEPTED, REJECTED, AGAIN = (
    RowResult("accepted"),
    RowResult("rejected", "bad_item"),
    RowResult("x", retry=True),
)


def a_row(number: int) -> FileRow:
    return FileRow(number, {"u": f"{number}"})


def a_queue(*numbers: int, batch_rows: int = 3, body: bytes = b"{}") -> RowQueue:
    queue = RowQueue(batch_rows)
    for number in numbers:
        queue.add(QueuedRow(a_row(number), body))
    return queue


def numbers_of(batch: list[QueuedRow]) -> list[int]:
    return [item.row.number for item in batch]


def a_window(lanes: int = 1, rows: int = 6, batch_rows: int = 3) -> SendWindow:
    """Return a window whose first checkpoint is durable."""
    window = SendWindow(Ledger(1, RowCounts()), lanes=lanes, rows=rows, batch_rows=batch_rows)
    window.saved(window.settled())
    return window


# --- one queue ------------------------------------------------------------------------------------------------------------------------


def test_batch_stays_the_same_until_it_is_decided() -> None:
    queue = a_queue(1, 2, 3, 4)
    assert numbers_of(queue.batch()) == numbers_of(queue.batch()) == [1, 2, 3]
    queue.keep([])
    assert numbers_of(queue.batch()) == [4]
    assert not queue.is_empty
    queue.keep([])
    assert queue.is_empty


def test_rows_to_send_again_come_before_all_others() -> None:
    queue = a_queue(1, 2, 3, 4)
    queue.keep([each for each in queue.batch() if each.row.number != 2])
    assert numbers_of(queue.batch()) == [1, 3]
    assert not queue.is_empty


def test_batch_is_bounded_by_bytes_but_has_one_row_at_least() -> None:
    queue = a_queue(1, 2, 3, body=bytes(150_000))
    assert numbers_of(queue.batch()) == [1]
    queue = a_queue(1, 2, 3, body=bytes(100_000))
    assert numbers_of(queue.batch()) == [1, 2]
    queue = a_queue(1, 2, body=bytes(300_000))
    assert numbers_of(queue.batch()) == [1]


def test_halves_come_in_order_and_can_be_split_again() -> None:
    queue = a_queue(1, 2, 3, 4, 5, 6, batch_rows=5)
    sent = []
    queue.batch()
    queue.split()
    while not queue.is_empty:
        batch = numbers_of(queue.batch())
        if len(batch) > 2:
            queue.split()
            continue
        sent.append(batch)
        queue.keep([])
    assert sent == [[1, 2], [3], [4, 5], [6]]


# --- the window -----------------------------------------------------------------------------------------------------------------------


def test_no_row_may_be_sent_before_the_first_checkpoint_is_durable() -> None:
    window = SendWindow(Ledger(5, RowCounts()), lanes=1, rows=10)
    assert window.needs_checkpoint(5)
    assert not window.admit(5)
    settled = window.settled()
    assert (settled.next_row, settled.may_be_sent) == (5, 25)
    assert not window.admit(5)
    window.saved(settled)
    assert window.admit(5)
    assert not window.needs_checkpoint(24)
    assert window.needs_checkpoint(25)


def test_window_slides_only_when_its_first_row_is_decided() -> None:
    window = a_window(rows=3)
    for number in (1, 2, 3):
        assert window.admit(number)
    window.skip(a_row(2))
    assert not window.admit(4)
    window.skip(a_row(1))
    assert window.admit(4)
    assert window.admit(5)
    assert not window.admit(6)


def test_rows_of_one_user_are_in_one_queue() -> None:
    window = a_window(lanes=4)
    lane = zlib.crc32("Größe".encode()) % 4
    assert {window.queue(a_row(number), "Größe", b"{}") for number in (1, 2, 3)} == {lane}
    assert numbers_of(window.queues[lane].batch()) == [1, 2, 3]


def test_each_row_of_a_batch_has_its_own_outcome() -> None:
    window = a_window()
    for number in (1, 2, 3):
        assert window.admit(number)
        window.queue(a_row(number), "u", b"{}")
    assert window.decide(0, [ACCEPTED, AGAIN, RowResult("rejected", "bad_item", "no item")]) == 2
    assert numbers_of(window.queues[0].batch()) == [2]
    assert window.settled().rejects == []
    assert window.decide(0, [ACCEPTED]) == 1
    settled = window.settled(is_last=True)
    assert settled == (
        4,
        4,
        RowCounts(accepted=2, rejected=1),
        [RejectedRow(3, "bad_item", "no item", '{"u":"3"}')],
    )


def test_only_a_row_that_is_too_large_by_itself_is_rejected() -> None:
    window = a_window()
    for number in (1, 2):
        window.queue(a_row(number), "u", b"{}")
    assert not window.shrink(0, "too large")
    assert numbers_of(window.queues[0].batch()) == [1]
    assert window.shrink(0, "too large")
    assert numbers_of(window.queues[0].batch()) == [2]
    (reject,) = window.settled().rejects
    assert (reject.row, reject.code, reject.reason) == (1, "body_too_large", "too large")


def test_checkpoint_does_not_change_afterwards() -> None:
    window = a_window()
    settled = window.settled()
    window.skip(a_row(1))
    assert settled.counts == RowCounts()


USERS, LANES, ROWS, BATCH = 4, 2, 6, 3
STEPS = st.one_of(
    st.just(("read", None)),
    st.tuples(
        st.just("answer"),
        st.tuples(
            st.integers(0, LANES - 1), st.lists(st.sampled_from([ACCEPTED, REJECTED, AGAIN]), min_size=BATCH)
        ),
    ),
    st.tuples(st.just("shrink"), st.integers(0, LANES - 1)),
    st.just(("settle", None)),
    st.just(("save", None)),
)


class Import:
    """An import whose reader, collector and disk are decided by a list of steps."""

    def __init__(self) -> None:
        self.ledger = Ledger(1, RowCounts())
        self.window = SendWindow(self.ledger, lanes=LANES, rows=ROWS, batch_rows=BATCH)
        self.next_row = self.may_be_sent = 1
        self.unsaved = self.window.settled()
        self.undecided: list[list[int]] = [[] for _ in range(LANES)]
        self.rejected: set[int] = set()
        self.reported: list[int] = []

    def read(self, _: None = None) -> None:
        if not self.window.admit(self.next_row):
            return
        assert self.next_row < self.may_be_sent
        assert self.next_row - self.ledger.next_row < ROWS
        lane = self.window.queue(a_row(self.next_row), f"user {self.next_row % USERS}", b"{}")
        self.undecided[lane].append(self.next_row)
        self.next_row += 1

    def batch(self, lane: int) -> list[int]:
        batch = numbers_of(self.window.queues[lane].batch())
        assert batch
        assert batch == self.undecided[lane][: len(batch)], "the oldest undecided rows, in order"
        return batch

    def answer(self, lane_and_results: tuple[int, list[RowResult]]) -> None:
        lane, results = lane_and_results
        if self.undecided[lane]:
            given = list(zip(self.batch(lane), results, strict=False))
            assert self.window.decide(lane, [result for _, result in given]) == sum(
                not result.retry for _, result in given
            )
            self.undecided[lane] = [
                row for row in self.undecided[lane] if (row, AGAIN) in given or row not in dict(given)
            ]
            self.rejected |= {row for row, result in given if result is REJECTED}

    def shrink(self, lane: int) -> None:
        if self.undecided[lane]:
            batch = self.batch(lane)
            assert self.window.shrink(lane, "too large") == (len(batch) == 1)
            if len(batch) == 1:
                self.undecided[lane].remove(batch[0])
                self.rejected.add(batch[0])

    def settle(self, _: None = None) -> None:
        self.unsaved = self.window.settled()
        self.report()

    def report(self) -> None:
        oldest = min((row for lane in self.undecided for row in lane), default=self.next_row)
        assert self.unsaved.next_row == oldest
        assert self.unsaved.counts.done == oldest - 1
        self.reported += [reject.row for reject in self.unsaved.rejects]
        assert self.reported == sorted(row for row in self.rejected if row < oldest)

    def save(self, _: None = None) -> None:
        self.window.saved(self.unsaved)
        self.may_be_sent = self.unsaved.may_be_sent

    def finish(self) -> None:
        for lane in range(LANES):
            while self.undecided[lane]:
                self.answer((lane, [ACCEPTED] * BATCH))
        self.unsaved = self.window.settled(is_last=True)
        self.report()
        assert self.unsaved.next_row == self.unsaved.may_be_sent == self.next_row
        assert all(queue.is_empty for queue in self.window.queues)


@given(st.lists(STEPS, max_size=80))
def test_every_row_is_decided_once_whatever_is_answered(steps: list[tuple[str, object]]) -> None:
    run = Import()
    run.save()
    for name, argument in steps:
        getattr(run, name)(argument)
    run.finish()
    assert run.unsaved.counts == RowCounts(
        accepted=run.next_row - 1 - len(run.rejected), rejected=len(run.rejected)
    )

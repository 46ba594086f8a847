"""One partition's events arrive in the order in which they came, through refusals, lost batches and the spool."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.journal import lane_order
from app.journal.lane_order import LaneOrder

LIMIT = 4
HANDOVER = 2


@dataclass(eq=False)
class Event:
    number: int
    has_eid: bool = False
    since_ms: int = 0
    is_settled: bool = False
    is_copied: bool = False
    is_handed_on: bool = False


@pytest.fixture(autouse=True, scope="module")
def small_spool() -> Iterator[None]:
    """With so few records left in the spool, newer events wait for them in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane_order, "_HANDOVER_RECORDS", HANDOVER)
        yield


def an_order(*events: Event) -> LaneOrder[Event]:
    order: LaneOrder[Event] = LaneOrder(LIMIT)
    for event in events:
        assert order.add(event, 0, is_refused=False) == "waits"
    return order


def in_flight(*events: Event) -> LaneOrder[Event]:
    order = an_order(*events)
    assert order.begin_batch(0) == list(events)
    order.handed_on(len(events))
    return order


def test_no_more_than_the_limit_waits() -> None:
    order = an_order(*map(Event, range(LIMIT)))
    assert order.add(Event(LIMIT), 0, is_refused=False) == "full"
    assert order.waiting == LIMIT


def test_events_in_flight_leave_room_for_others() -> None:
    order = in_flight(*map(Event, range(LIMIT)))
    assert order.add(Event(LIMIT), 0, is_refused=False) == "waits"


def test_new_event_goes_behind_the_spool_until_little_is_left_there() -> None:
    order = an_order()
    order.begin_spooled(HANDOVER + 1)
    assert order.add(Event(0), HANDOVER + 1, is_refused=False) == "follows"
    order.begin_spooled(HANDOVER)
    assert order.add(Event(1), HANDOVER, is_refused=False) == "waits"
    assert order.next_source(HANDOVER) == "spool"
    assert order.begin_batch(HANDOVER) == []
    assert order.next_source(0) == "waiting"


def test_refusal_ends_the_hand_over_from_the_spool() -> None:
    order = an_order()
    order.begin_spooled(1)
    order.divert(with_copies=True)
    assert order.add(Event(0), 1, is_refused=False) == "follows"


def test_lane_that_was_idle_goes_behind_the_spool_again() -> None:
    order = an_order()
    order.begin_spooled(1)
    assert order.next_source(0) is None
    assert order.add(Event(0), 1, is_refused=False) == "follows"


def test_refused_event_is_diverted_but_not_during_a_hand_over_to_kafka() -> None:
    order = an_order(Event(0))
    assert order.add(Event(1), 0, is_refused=True) == "diverts"
    order.begin_batch(0)
    assert not order.can_divert
    assert order.add(Event(2), 0, is_refused=True) == "waits"
    order.handed_on(0)
    assert order.can_divert
    assert order.waiting == 2


def test_producer_that_takes_a_part_leaves_the_rest_in_place() -> None:
    events = [Event(number) for number in range(3)]
    order = an_order(*events)
    order.begin_batch(0)
    order.handed_on(2)
    assert order.end_batch() == events[:2]
    assert order.uncopied() == []
    assert order.begin_batch(0) == events[2:]


def test_only_events_with_an_eid_are_copied_once_and_before_what_waits() -> None:
    plain, copied, answered, known = Event(0), Event(1, True), Event(2, True), Event(3, True)
    order = in_flight(plain, copied, answered, known)
    copied.is_copied = answered.is_settled = True
    waiting = Event(4)
    order.add(waiting, 0, is_refused=False)
    assert order.divert(with_copies=True) == ([known], [waiting])
    assert order.waiting == 0
    assert order.uncopied() == [plain, answered, known]


def test_spool_that_takes_nothing_gets_no_copies() -> None:
    assert in_flight(Event(0, True)).divert(with_copies=False) == ([], [])


def test_client_of_an_event_in_flight_is_answered_when_the_time_is_over() -> None:
    early, late, answered = Event(0, since_ms=100), Event(1, since_ms=101), Event(2, since_ms=0)
    order = in_flight(early, late, answered)
    answered.is_settled = True
    assert order.overdue(199, 100) == []
    assert order.overdue(200, 100) == [early]
    assert order.waiting_since_ms is None
    order.add(Event(3, since_ms=7), 0, is_refused=False)
    order.add(Event(4, since_ms=9), 0, is_refused=False)
    assert order.waiting_since_ms == 7


class Simulation:
    """A lane whose Kafka, spool and clock are decided by a list of steps. A step that cannot happen now is left out."""

    def __init__(self) -> None:
        self.order: LaneOrder[Event] = LaneOrder(LIMIT)
        self.is_refused = False
        self.spool: list[Event] = []
        self.log: list[Event] = []
        self.came: list[Event] = []
        self.refused: set[Event] = set()
        self.lost: set[Event] = set()
        self.batch: list[Event] | None = None
        self.flying: list[Event] | None = None
        self.draining: list[Event] | None = None

    def add(self, has_eid: bool) -> None:
        event = Event(len(self.came), has_eid)
        self.came.append(event)
        admission = self.order.add(event, len(self.spool), is_refused=self.is_refused)
        if admission == "full":
            self.refused.add(event)
        elif admission == "diverts":
            self.divert()
        if admission in ("diverts", "follows"):
            self.keep(event)

    def keep(self, event: Event) -> None:
        assert event.has_eid or not event.is_handed_on, "it would count twice"
        event.has_eid = True
        self.spool.append(event)

    def divert(self) -> None:
        diverted = self.order.divert(with_copies=True)
        for event in diverted.copies:
            event.is_copied = True
            self.keep(event)
        for event in diverted.moved:
            self.keep(event)

    def refuse(self, is_refused: bool) -> None:
        self.is_refused = is_refused
        if is_refused and self.order.can_divert:
            self.divert()

    @property
    def is_busy(self) -> bool:
        return any(each is not None for each in (self.batch, self.flying, self.draining))

    def begin(self, count: int) -> None:
        if self.is_busy:
            return
        source = self.order.next_source(len(self.spool))
        if source == "waiting":
            self.batch = self.order.begin_batch(len(self.spool))
        elif source == "spool":
            if not self.is_refused:
                self.order.begin_spooled(len(self.spool))
            self.draining = self.spool[:count]

    def go_on(self, count: int) -> None:
        """The producer takes some of the batch, or Kafka acknowledges what is in flight."""
        if self.batch is not None:
            self.flying, self.batch = self.batch[:count], None
            self.order.handed_on(len(self.flying))
            for event in self.flying:
                event.is_handed_on = True
        elif self.flying is not None:
            self.log += self.order.end_batch()
            self.flying = None
        elif self.draining is not None:
            del self.spool[: len(self.draining)]
            self.log += self.draining
            self.draining = None

    def lose(self, is_written: bool) -> None:
        if self.flying is not None:
            self.log += self.flying if is_written else []
            self.divert()
            self.lost |= set(self.order.uncopied())
            self.order.end_batch()
            self.flying = None
        elif self.draining is not None:
            self.log += self.draining if is_written else []
            self.draining = None

    def finish(self) -> None:
        self.is_refused = False
        while self.is_busy or self.order.next_source(len(self.spool)) is not None:
            self.begin(LIMIT)
            self.go_on(LIMIT)


STEPS = st.one_of(
    st.tuples(st.just("add"), st.booleans()),
    st.tuples(st.just("refuse"), st.booleans()),
    st.tuples(st.just("begin"), st.integers(1, 3)),
    st.tuples(st.just("go_on"), st.integers(0, LIMIT)),
    st.tuples(st.just("lose"), st.booleans()),
)


@given(st.lists(STEPS, max_size=60))
def test_events_arrive_once_each_in_the_order_in_which_they_came(steps: list[tuple[str, int]]) -> None:
    lane = Simulation()
    for name, argument in steps:
        getattr(lane, name)(argument)
    lane.finish()
    counted = list(dict.fromkeys(lane.log))  # an event that arrives again has an eid, and counts once
    assert [event.number for event in counted] == sorted(event.number for event in counted)
    assert set(lane.came) - set(counted) <= lane.refused | lane.lost
    assert not lane.refused & set(lane.log)
    again = [event for event in counted if lane.log.count(event) > 1]
    assert all(event.has_eid for event in again)

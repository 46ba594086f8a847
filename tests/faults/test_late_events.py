"""F11: events come shuffled within the grace, some later, next to old history; windows equal the fold and become final.

Event times lie on a past day and run a thousand times faster than the clock.
So minutes, hours and the day end within seconds.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome
from tests.faults.load import Event, Load
from tests.faults.oracle import DAY_MS, HOUR_MS, MINUTE_MS, dump, fold, latest
from tests.faults.reader import Reader

GRACE_MS = 600_000
SIZES_MS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
COUNTERS = ("rendered", "clicks", "attributed_clicks")
CAUGHT_UP_MS = 3_000  # longer than any partition waits for an event before the day ends
SCENARIOS = ("home", "also_bought")
PAST, CLOSING = "past", "closing"
"""The scenario of the history lane, and that of the one current event that ends the day."""

Window = tuple[str, str, int]
"""Scenario, granularity, start."""


@dataclass
class Day:
    """The load: visits of a past day, by users who come once; an impression each, some with a click within a minute."""

    cluster: Cluster
    start_ms: int
    draw: random.Random = field(default_factory=lambda: random.Random(11))
    visitors: int = 0
    goes_on: threading.Event = field(default_factory=threading.Event)
    late: set[Window] = field(default_factory=set)
    """The minutes and hours that were over when one of their events was sent."""

    def visit(self, time_ms: int, scenario: str, received_ms: int = 0) -> Iterator[Event]:
        self.visitors += 1
        shown: Event = {
            "type": "rendered",
            "customer": CUSTOMER,
            "user": self.cluster.customer.rules.user(f"visitor-{self.visitors}"),
            "items": ["1", "2", "3"],
            "scenario": scenario,
            "time_ms": time_ms,
            "received_ms": received_ms or time_ms + GRACE_MS,
        }
        yield shown
        if self.draw.random() < 0.3:
            at_ms = time_ms + self.draw.randrange(MINUTE_MS)
            yield shown | {
                "type": "clickrecommended",
                "item": "2",
                "time_ms": at_ms,
                "received_ms": received_ms or at_ms + GRACE_MS,
            }

    def shuffled(self, from_ms: int, to_ms: int, visits: int) -> Iterator[Event]:
        """Yield visits between two times of the day, shuffled by less than the grace.

        The grace also covers the time from an impression to its click.
        """
        events = [
            event
            for _ in range(visits)
            for event in self.visit(
                self.start_ms + self.draw.randrange(from_ms, to_ms), self.draw.choice(SCENARIOS)
            )
        ]
        yield from sorted(
            events, key=lambda event: event["time_ms"] + self.draw.randrange(GRACE_MS - 2 * MINUTE_MS)
        )

    def waiting(self, from_ms: int) -> Iterator[Event]:
        """Yield visits, each a moment after the former, until ``goes_on`` is set, so that no partition is without events."""
        while not self.goes_on.wait(0.01):
            from_ms += 1
            yield from self.visit(self.start_ms + from_ms, self.draw.choice(SCENARIOS))

    def belated(self, events: Iterable[Event], share: float, before_ms: int) -> Iterator[Event]:
        """Yield the events, mixed with visits of long before, whose minutes and hours are over."""
        for event in events:
            yield event
            if self.draw.random() < share:
                time_ms = self.start_ms + self.draw.randrange(before_ms - MINUTE_MS)
                for late in self.visit(time_ms, self.draw.choice(SCENARIOS), event["received_ms"]):
                    for name in ("minute", "hour"):
                        start_ms = late["time_ms"] - late["time_ms"] % SIZES_MS[name]
                        self.late.add((late["scenario"], name, start_ms))
                    yield late

    def over(self, before_ms: int) -> set[Window]:
        """Return all windows that end at or before a time of the day."""
        return {
            (scenario, name, start_ms)
            for scenario in SCENARIOS
            for name, size_ms in SIZES_MS.items()
            for start_ms in range(self.start_ms, self.start_ms + before_ms - size_ms + 1, size_ms)
        }

    def imported(self, visits: int) -> Iterator[Event]:
        """Yield visits of a year ago in random order, as an import sends them."""
        now_ms = int(time.time() * 1000)
        for _ in range(visits):
            yield from self.visit(now_ms - 365 * DAY_MS - self.draw.randrange(DAY_MS), PAST, now_ms)


def send(cluster: Cluster, events: Iterable[Event], rate: int = 2_000, topic: str = "uptake.events") -> Load:
    load = Load(cluster.broker.bootstrap, CUSTOMER, [], rate=rate, events=0, source=events, topic=topic)
    load.start()
    return load


def watermarks(cluster: Cluster) -> list[int]:
    return [each["watermark_ms"] for each in cluster.partitions_of("w0").values()]


def when_final(
    cluster: Cluster, are_meant: Callable[[Window], bool]
) -> tuple[dict[Window, dict[str, Any]], int]:
    """Wait until all windows that ``are_meant`` selects are final; return the latest windows and all revisions.

    The windows are those of a scenario alone; the revisions are summed over all dimensions.
    """
    found: dict[Window, dict[str, Any]] = {}
    revisions = 0

    def are_final() -> bool:
        nonlocal revisions
        values = latest(cluster.broker.bootstrap, "uptake.ctr.windows").values()
        records = [json.loads(value) for value in values]
        revisions = sum(each["revision"] for each in records)
        of_scenarios = [each for each in records if each["dimension"] == "scenario"]
        found.update(
            {(each["scenario"], each["granularity"], each["start_ms"]): each for each in of_scenarios}
        )
        meant = [each for place, each in found.items() if are_meant(place)]
        return bool(meant) and all(each["final"] for each in meant)

    cluster.wait_until(are_final, "windows that are over are final", 30)
    return found, revisions


def true_windows(cluster: Cluster) -> Counter[tuple[str, str, int, str]]:
    """Return (scenario, granularity, start, counter) -> count, from the plain fold of both lanes."""
    bootstrap = cluster.broker.bootstrap
    minutes = fold(bootstrap).by_minute + fold(bootstrap, "uptake.events.history", max_age_ms=None).by_minute
    truth: Counter[tuple[str, str, int, str]] = Counter()
    for (scenario, start_ms, counter), count in minutes.items():
        for name, size_ms in SIZES_MS.items():
            truth[scenario, name, start_ms - start_ms % size_ms, counter] += count
    return truth


def answered(cluster: Cluster, day: Day, past_ms: int) -> dict[Window, dict[str, Any]]:
    """Return the windows of the day and of the import, which began at ``past_ms``, from lookups."""
    found = {}
    for scenario, from_ms in (*((each, day.start_ms) for each in SCENARIOS), (PAST, past_ms)):
        from_ms -= from_ms % DAY_MS
        for name, size in (("minute", "PT1M"), ("hour", "PT1H"), ("day", "P1D")):
            span = f"from={from_ms}&to={from_ms + 3 * DAY_MS}&granularity={size}"
            status, answer = cluster.get(f"/v1/{CUSTOMER}/ctr?scenario={scenario}&{span}")
            assert status == 200, answer
            found |= {(scenario, name, each["start_ms"]): each for each in answer["windows"]}
    return found


def true_items(cluster: Cluster) -> Counter[tuple[str, int, str, str]]:
    """Return (scenario, hour start, item, counter) -> count, by plain counting of both lanes.

    A visitor comes once, so its click belongs to its only impression.
    """
    truth: Counter[tuple[str, int, str, str]] = Counter()
    for topic in ("uptake.events", "uptake.events.history"):
        shown: dict[str, int] = {}
        clicked: list[dict[str, Any]] = []
        for message in dump(cluster.broker.bootstrap, topic):
            event = json.loads(message.value())
            if event.get("scenario") not in (*SCENARIOS, PAST):
                continue
            hour_ms = event["time_ms"] - event["time_ms"] % HOUR_MS
            if event["type"] == "rendered":
                shown[event["user"]] = hour_ms
                for item in event["items"]:
                    truth[event["scenario"], hour_ms, f"1/{item}", "rendered"] += 1
            else:
                truth[event["scenario"], hour_ms, f"1/{event['item']}", "clicks"] += 1
                clicked.append(event)
        for event in clicked:
            hour_ms = shown[event["user"]]
            truth[event["scenario"], hour_ms, f"1/{event['item']}", "attributed_clicks"] += 1
    return truth


def answered_items(cluster: Cluster, day: Day, past_ms: int) -> tuple[Counter[Any], Counter[Any]]:
    """Return the counts of items by hour of the day, and by day of all, from lookups."""
    hours: Counter[Any] = Counter()
    days: Counter[Any] = Counter()
    for scenario, from_ms, size, found in (
        *((each, day.start_ms, "PT1H", hours) for each in SCENARIOS),
        *((each, day.start_ms, "P1D", days) for each in SCENARIOS),
        (PAST, past_ms - past_ms % DAY_MS, "P1D", days),
    ):
        span = f"from={from_ms}&to={from_ms + 3 * DAY_MS}&granularity={size}"
        status, answer = cluster.get(f"/v1/{CUSTOMER}/ctr?scenario={scenario}&{span}&by=item&limit=1000")
        assert status == 200, answer
        assert (answer["left_out"], answer["items_bounded"]) == (0, False)
        for window in answer["windows"]:
            for counter in COUNTERS:
                if window[counter]:
                    found[scenario, window["start_ms"], window["item"], counter] += window[counter]
    return hours, days


def items_differ(cluster: Cluster, day: Day, past_ms: int) -> tuple[int, int]:
    """Return how many counts of items are missing, and how many are too many, in hours and days together."""
    truth = true_items(cluster)
    true_days: Counter[Any] = Counter()
    for (scenario, hour_ms, item, counter), count in truth.items():
        true_days[scenario, hour_ms - hour_ms % DAY_MS, item, counter] += count
    true_hours = Counter({at: count for at, count in truth.items() if at[0] in SCENARIOS})
    hours, days = answered_items(cluster, day, past_ms)
    missing = (true_hours - hours).total() + (true_days - days).total()
    return missing, (hours - true_hours).total() + (days - true_days).total()


def difference(truth: Counter[Any], windows: dict[Window, dict[str, Any]]) -> tuple[int, int]:
    """Return how many counts of the windows are missing, and how many are too many."""
    have = Counter(
        {(*place, counter): window[counter] for place, window in windows.items() for counter in COUNTERS}
    )
    return sum((truth - have).values()), sum((have - truth).values())


def late_events(broker: LocalBroker, directory: Path, *, visits: int, kills: int) -> Outcome:
    """Send a day: the first hours in order within the grace, the rest with 1 % late events, and a year-old import."""
    cluster = Cluster(broker, directory, env={"UPTAKE_CAUGHT_UP_MS": str(CAUGHT_UP_MS)})
    now_ms = int(time.time() * 1000)
    day = Day(cluster, now_ms - now_ms % DAY_MS - 3 * DAY_MS)
    loads: list[Load] = []
    reader = Reader(cluster, past_ms=day.start_ms)
    try:
        cluster.start_worker()
        cluster.wait_ready()
        reader.start()
        loads.append(send(cluster, day.imported(visits // 4), topic="uptake.events.history"))
        loads[0].join()
        over_ms = 5 * HOUR_MS
        events = chain(
            day.shuffled(0, 6 * HOUR_MS, visits),
            day.waiting(6 * HOUR_MS),
            day.belated(day.shuffled(6 * HOUR_MS, 12 * HOUR_MS, visits), 0.01, over_ms),
        )
        loads.append(send(cluster, events))
        cluster.wait_until(
            lambda: min(watermarks(cluster), default=0) >= day.start_ms + over_ms + GRACE_MS,
            "the watermark moves",
        )
        over = day.over(over_ms)
        first, revisions = when_final(cluster, lambda place: place in over)
        assert revisions == 0, "events within the grace revised a window"
        days = [each for place, each in first.items() if place[0] in SCENARIOS and place[1] == "day"]
        assert days
        assert not any(each["final"] for each in days)

        sent = loads[-1].sent
        day.goes_on.set()
        for kill in range(kills):
            cluster.wait_until(
                lambda kill=kill: loads[-1].sent > sent + visits * (kill + 1) / (kills + 1),
                "the load goes on",
                120,
            )
            cluster.kill("w0")
            cluster.start_worker()
            cluster.wait_ready()
        loads[-1].join()
        reader.finish()  # its clicks would hold the day back
        # One partition announces the end of the day; the others, which are silent, do not hold it back.
        loads.append(send(cluster, day.visit(now_ms, CLOSING, now_ms)))
        loads[-1].join()
        cluster.wait_until(
            lambda: min(watermarks(cluster), default=0) >= now_ms - MINUTE_MS, "the day ends", 60
        )
        truth = true_windows(cluster)
        found, revisions = when_final(cluster, lambda place: place[0] != CLOSING)
        late = sum(each["late"] for each in cluster.partitions_of("w0").values())
        if not kills:  # the status counts since the partitions were opened
            assert late == revisions
        assert day.late <= found.keys()
        for place in day.late:
            assert found[place]["revision"] >= 1, place
        for place, each in found.items():
            is_meant = place in day.late or not each["revision"]
            assert is_meant, (place, "was revised, and nothing was late in it")
        lost, doubled = difference(truth, found)
        seen = answered(cluster, day, now_ms - 366 * DAY_MS)
        items = items_differ(cluster, day, now_ms - 366 * DAY_MS)
        assert items == (0, 0), f"lookups by item miss or double {items}"
        unseen = difference(Counter({at: count for at, count in truth.items() if at[0] != CLOSING}), seen)
        assert unseen == (0, 0), f"lookups miss or double {unseen}"
        for place, each in seen.items():
            assert (each["final"], each["revision"]) == (True, found[place]["revision"]), place
        for load in loads:
            assert (load.failed, load.delivered) == (0, load.sent)
        assert cluster.stop("w0") == 0
        return Outcome(
            "F11",
            sum(load.delivered for load in loads),
            lost,
            doubled,
            {"late_windows": len(day.late), "revised": late, "imported": loads[0].delivered},
            {"windows": len(found), "final": sum(each["final"] for each in found.values()), "kills": kills},
            reader,
        )
    finally:
        cluster.close()


@pytest.mark.slow_fault
@pytest.mark.fault("F11")
@pytest.mark.timeout(600)
def test_shuffled_and_late_events_give_final_windows_that_equal_the_fold(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    visits, kills = (20_000, 3) if is_long else (800, 0)
    late_events(own_broker, tmp_path, visits=visits, kills=kills).must_be_exact()

"""F12: producers' clocks are wrong by an hour, a day or decades, and step back; totals stay exact, windows few.

The rules are those of docs/events.md:

- No event is later than its receipt.
- On the live lane no event is more than a day before its receipt.
- The broker's time replaces a receipt in the future.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.broker import LocalBroker
from tests.faults.cluster import CUSTOMER, Cluster
from tests.faults.ledger import Outcome, pages_differ
from tests.faults.load import Event, Load, mixed
from tests.faults.oracle import DAY_MS, HOUR_MS, KEEP_HOURS_MS, Truth, fold, kept, lost_and_doubled
from tests.faults.reader import Reader

USERS = 200
Y2100_MS = 4_102_444_800_000
SHIFTS_MS = (HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS, 400 * DAY_MS, -400 * DAY_MS)


def skewed(events: Iterator[Event], total: int, seed: int) -> Iterator[Event]:
    """Yield events of which two thirds come from wrong clocks: the client's, the collector's, or both.

    In the second half, all clocks have stepped back two hours.
    """
    draw = random.Random(seed)
    for number, event in enumerate(events):
        event.pop("eid", None)  # F10 tests repeats
        if number > total // 2:
            event["time_ms"] -= 2 * HOUR_MS
            event["received_ms"] -= 2 * HOUR_MS
        whose = draw.randrange(6)
        wrong_ms = draw.choice((*SHIFTS_MS, None, 0))
        if wrong_ms is None:
            skew = dict.fromkeys(
                ("time_ms", "received_ms"), draw.choice((Y2100_MS, draw.randrange(1, DAY_MS)))
            )
        elif wrong_ms == 0:
            skew = {"time_ms": draw.choice((0, Y2100_MS, 1)), "received_ms": event["received_ms"]}
        else:
            skew = {name: event[name] + wrong_ms for name in ("time_ms", "received_ms")}
        if whose in (0, 1):
            event["time_ms"] = skew["time_ms"]
        elif whose == 2:
            event["received_ms"] = skew["received_ms"]
        elif whose == 3:
            event |= skew
        event["created_ms"] = event["time_ms"]
        yield event


def clocks(broker: LocalBroker, directory: Path, *, events: int, kills: int) -> Outcome:
    """Send ``events`` with wrong clocks and kill the worker at even distances; expired windows are not compared."""
    cluster = Cluster(broker, directory)
    raws = [f"visitor-{number}" for number in range(USERS)]
    users = [cluster.customer.rules.user(raw) for raw in raws]
    source = skewed(mixed(CUSTOMER, users, events, seed=5), events, seed=6)
    load = Load(broker.bootstrap, CUSTOMER, users, rate=800, events=0, source=source)
    reader = Reader(cluster)
    try:
        cluster.start_worker()
        cluster.wait_ready()
        load.start()
        reader.start()
        for kill in range(kills):
            cluster.wait_until(
                lambda kill=kill: load.sent > events * (kill + 1) / (kills + 1), "the load goes on", 120
            )
            cluster.kill("w0")
            cluster.start_worker()
            cluster.wait_ready()
        load.join()
        reader.finish()
        cluster.wait_drained()
        assert load.failed == 0
        truth, found = fold(broker.bootstrap), kept(broker.bootstrap)
        watermarks = [each["watermark_ms"] for each in cluster.partitions_of("w0").values()]
        assert max(watermarks) <= time.time() * 1000, "an event of the future moved the watermark"
        minutes = len(found.minutes)
        assert minutes <= len(truth.minutes), "there are windows at times at which nothing was counted"
        for totals in (truth, found):
            forget_old_windows(totals)
        assert found.minutes == truth.minutes
        lost, doubled = lost_and_doubled(truth, found)
        outcome = Outcome(
            "F12",
            load.delivered,
            lost,
            doubled,
            {"clamped": truth.clamped, "kills": kills},
            {
                "minute_windows": minutes,
                "hour_windows": len({(scenario, start) for scenario, start, _ in found.windows}),
                "differing_pages": pages_differ(cluster, truth, raws),
            },
            reader,
        )
        assert cluster.stop("w0") == 0
        return outcome
    finally:
        cluster.close()


def forget_old_windows(totals: Truth) -> None:
    """Remove what is older than the tables keep: minutes after a week, hours after 400 days."""
    now_ms = int(time.time() * 1000)
    totals.minutes = {(name, start) for name, start in totals.minutes if start > now_ms - 7 * DAY_MS}
    for name in [name for name in totals.windows if name[1] < now_ms - KEEP_HOURS_MS]:
        del totals.windows[name]


@pytest.mark.fault("F12")
@pytest.mark.slow_fault
@pytest.mark.timeout(600)
def test_wrong_clocks_make_few_windows_and_exact_totals(
    own_broker: LocalBroker, tmp_path: Path, is_long: bool
) -> None:
    events, kills = (30_000, 4) if is_long else (6_000, 1)
    outcome = clocks(own_broker, tmp_path, events=events, kills=kills)
    outcome.must_be_exact()
    assert outcome.more["differing_pages"] == 0

"""Writes the events of a traffic into a topic at a steady rate, as a process of its own: ``python -m benchmarks.paced_producer``.

It ends with status 1 if it could not hold the rate.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from benchmarks import journal
from benchmarks.traffic import Record, Traffic

LINGER_MS = 2
"""As the collector has it by default: how long a record waits for others to share its request."""
_TICK_SECONDS = 0.005
_LATE_SECONDS = 1.0


def main(argv: list[str] | None = None) -> int:
    """Write the events; return 0 if the last one was written in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    for name in ("--rate", "--events", "--users", "--partitions", "--seed"):
        parser.add_argument(name, type=int, required=True)
    told = parser.parse_args(argv)
    now_ms = time.time_ns() // 1_000_000
    traffic = Traffic(told.events, told.users, told.partitions, told.seed, now_ms, per_second=told.rate)
    started = time.monotonic()
    records = paced(traffic.records(), told.rate, time.monotonic, time.sleep)
    journal.load(told.kafka, told.topic, records, LINGER_MS)
    late = time.monotonic() - started - told.events / told.rate
    print(f"the last event was {late:.1f} s late")
    return 1 if late > _LATE_SECONDS else 0


def paced(
    records: Iterable[Record], rate: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[Record]:
    """Yield each record when it is due, ``rate`` a second, in groups of some milliseconds. A late one is not waited for."""
    started = clock()
    for number, record in enumerate(records):
        wait = started + number / rate - clock()
        if wait > 0:
            sleep(max(wait, _TICK_SECONDS))
        yield record


if __name__ == "__main__":
    sys.exit(main())

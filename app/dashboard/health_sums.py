"""Sums over workers and collectors: events per second, lag, dead letters, spools and alarms. Pure."""

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

_ACCEPTED: Final = b"uptake_collector_accepted_total"
_SPAN_MS: Final = 5_000


class EventRate:
    """Events per second over the last seconds, from counters that only grow. A counter that fell was started again."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, float]] = deque()  # time, events since the first look
        self._last: dict[Hashable, float] = {}
        self._events = 0.0

    def take(self, now_ms: int, counts: Mapping[Any, float]) -> float | None:
        """Take the counters as they are now, and return the rate; None at the first look, or if there is no counter."""
        if not counts:
            return None
        for name, count in counts.items():
            before = self._last.get(name)
            # What a counter held before it was seen first may be old.
            if before is not None:
                self._events += count - before if count >= before else count
        self._last |= counts
        self._looks.append((now_ms, self._events))
        while len(self._looks) > 2 and now_ms - self._looks[1][0] >= _SPAN_MS:
            self._looks.popleft()
        first_ms, first = self._looks[0]
        return round((self._events - first) * 1_000 / (now_ms - first_ms), 1) if now_ms > first_ms else None


def folded_events(worker: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield (worker, partition) and the events that the worker folded since it opened the partition."""
    for number, partition in _partitions(worker).items():
        if isinstance(partition.get("folded"), int):
            yield (worker["url"], number), partition["folded"]


def accepted_events(metrics: bytes) -> float:
    """Return how many events a collector accepted, from its metrics in Prometheus' text format."""
    return sum(
        float(line.rpartition(b" ")[2]) for line in metrics.splitlines() if line.startswith(_ACCEPTED + b"{")
    )


def added_up(workers: Sequence[Mapping[str, Any]], collectors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums over the states of all servers, with the alarms and warnings of each."""
    said = [worker["status"] for worker in workers if worker["status"] is not None]
    partitions = [each for worker in workers for each in _partitions(worker).values()]
    spools = [
        each["status"]["spool"]
        for each in collectors
        if each["status"] is not None and each["status"].get("spool")
    ]
    return {
        "lag": sum(status.get("lag", 0) for status in said) if said else None,
        "deadlettered": sum(each.get("deadlettered", 0) for each in partitions) if said else None,
        "spooled": sum(spool.get("events", 0) for spool in spools),
        "spool_oldest_seconds": max((spool.get("oldest_seconds", 0) for spool in spools), default=0),
        "alarms": [*_alarms(workers), *_problems(collectors)],
        "warnings": [
            {"url": each["url"], "message": message}
            for each in (*workers, *collectors)
            for message in (each["status"] or {}).get("warnings", ())
        ],
    }


def _alarms(workers: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for worker in workers:
        if worker["status"] is None:
            yield {"url": worker["url"], "alarm": "no_answer", "message": f"this worker: {worker['detail']}"}
            continue
        for alarm in worker["status"].get("alarms", ()):
            yield {"url": worker["url"], **alarm}


def _problems(collectors: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in collectors:
        if each["status"] is None:
            yield {"url": each["url"], "alarm": "no_answer", "message": f"this collector: {each['detail']}"}
            continue
        for problem in each["status"].get("problems", ()):
            yield {"url": each["url"], "alarm": "not_ready", "message": problem}


def _partitions(worker: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = (worker["status"] or {}).get("partitions", {})
    return found
